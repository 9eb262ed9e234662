/*
 * chat/completion_mend: changes to a provider's JSON text.
 *
 * Changes are noted while the text is read, in any order, and made at the end in one copy; a text
 * that needs none costs nothing. Repairing comes before that, for text that is no JSON but nearly.
 */
#ifndef CHAT_COMPLETION_MEND_H
#define CHAT_COMPLETION_MEND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "base/text.h"

struct completion_edit;

/* Starts as {.arena = …}. */
struct completion_mender {
    struct arena *arena;
    struct completion_edit *edits;
    size_t count;
    size_t capacity;
    bool is_out_of_memory;
};

/* Puts `text`, which must live as long as the mender, in the place of `length` bytes at `at`.
 * A change within what another one replaces is lost; of several insertions at one place the first
 * stands first. A comma at the end of a text goes when the object ends behind it. */
void completion_mend(struct completion_mender *mender, const char *at, size_t length,
                     struct slice text);

/* Appends the text with its changes, as one line: JSON may be spread over lines, a frame of an
 * event stream may not, and inside of strings there are no line ends. */
void completion_mend_apply(struct completion_mender *mender, struct slice text, struct buffer *out);

/* A copy, in the arena, without what the strict scanner refuses and a reader can do without: a byte
 * order mark in front, control characters in strings, bytes that are no UTF-8 and surrogates
 * without their partner (both become U+FFFD). A pair may be spread over the end of a string and the
 * beginning of the next one of the same stream: *pending (0 at first) keeps the first half. */
enum status completion_repair(struct slice text, struct arena *arena, unsigned *pending,
                              struct slice *out) MUST_CHECK;

#endif
