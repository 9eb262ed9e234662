/*
 * transport/body: where the body of one request is kept while it arrives. Private to transport/.
 *
 * A small one is in memory; one that may become large goes to a temporary file without a name,
 * whose blocks are allocated first, so that what was admitted can be written to its end. Whole, it
 * is one piece of memory followed by a NUL: the file is mapped.
 */
#ifndef TRANSPORT_BODY_H
#define TRANSPORT_BODY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/status.h"
#include "base/text.h"

/* Bodies of up to so many bytes stay in memory. */
#define BODY_MEMORY_MAXIMUM ((size_t)1 << 20)

struct body {
    struct buffer memory;
    int file; /* -1: in memory */
    size_t length;
    char *map; /* NULL until body_finish */
    size_t map_length;
};

/* Takes no memory. */
void body_init(struct body *body);

/* From now on in a file in `directory` that has room for `maximum` bytes; what has come already
 * moves there. STATUS_UNAVAILABLE when there is no room or no file can be made; the body is then as
 * it was. May block. */
enum status body_use_file(struct body *body, const char *directory, size_t maximum) MUST_CHECK;

/* STATUS_NO_MEMORY, or STATUS_UNAVAILABLE when the file cannot be written. */
enum status body_append(struct body *body, struct slice bytes) MUST_CHECK;

/* The whole body, valid until body_reset; a NUL follows it. STATUS_NO_MEMORY. */
enum status body_finish(struct body *body, struct slice *out) MUST_CHECK;

/* Forgets it; memory of up to `kept` bytes stays for the next one. Idempotent. */
void body_reset(struct body *body, size_t kept);

#endif
