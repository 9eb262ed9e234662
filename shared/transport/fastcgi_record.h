/*
 * transport/fastcgi_record: the bytes of FastCGI 1.0 (Brown, 1996), taken apart and put together.
 *
 * Pure: no sockets, no allocation. Own code because the one library for it, libfcgi, cannot be
 * given hostile or slow peers: its 2.4.2 (Debian 12) aborts the whole process when FCGI_GET_VALUES
 * repeats a name four times or when two parameter lengths add up beyond an int (asserts are on),
 * bounds neither parameters nor body, reads and writes with blocking calls, so that each slow or
 * kept connection holds a thread, and loses a request that was sent behind another one.
 *
 * A record is 8 bytes of header, `length` bytes of content and `padding` bytes that mean nothing:
 *
 *   0 version (1) | 1 type | 2-3 request id | 4-5 length | 6 padding | 7 reserved
 *
 * Numbers are big-endian. Parameters are pairs of two lengths (one byte below 128, else four bytes
 * with the top bit set), the name and the value. The parts of a request are put together in
 * transport/fastcgi_request.
 */
#ifndef TRANSPORT_FASTCGI_RECORD_H
#define TRANSPORT_FASTCGI_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/status.h"
#include "base/text.h"

#define FASTCGI_HEADER_SIZE     8
#define FASTCGI_CONTENT_MAXIMUM 65535

/* Specification section 8; those from 1 to 11. */
enum fastcgi_type {
    FASTCGI_BEGIN_REQUEST = 1,
    FASTCGI_ABORT_REQUEST = 2,
    FASTCGI_END_REQUEST = 3,
    FASTCGI_PARAMS = 4,
    FASTCGI_STDIN = 5,
    FASTCGI_STDOUT = 6,
    FASTCGI_STDERR = 7,
    FASTCGI_DATA = 8,
    FASTCGI_GET_VALUES = 9,
    FASTCGI_GET_VALUES_RESULT = 10,
    FASTCGI_UNKNOWN_TYPE = 11
};

enum { FASTCGI_RESPONDER = 1 };
enum { FASTCGI_KEEP_CONNECTION = 1 };

enum fastcgi_protocol_status {
    FASTCGI_REQUEST_COMPLETE = 0,
    FASTCGI_CANNOT_MULTIPLEX = 1,
    FASTCGI_OVERLOADED = 2,
    FASTCGI_UNKNOWN_ROLE = 3
};

struct fastcgi_header {
    uint8_t type;
    uint16_t id;
    uint16_t length;
    uint8_t padding;
};

/* False when the version is not 1: the peer does not speak FastCGI. */
bool fastcgi_decode_header(const unsigned char bytes[FASTCGI_HEADER_SIZE],
                           struct fastcgi_header *header) MUST_CHECK;

/* Without padding. */
void fastcgi_encode_header(unsigned char bytes[FASTCGI_HEADER_SIZE], enum fastcgi_type type,
                           uint16_t id, size_t length);

#define FASTCGI_END_REQUEST_SIZE 16

/* A whole END_REQUEST record; the application status is 0. */
void fastcgi_encode_end(unsigned char bytes[FASTCGI_END_REQUEST_SIZE], uint16_t id,
                        enum fastcgi_protocol_status status);

/* Takes the first pair off `*pairs`. STATUS_INVALID when its lengths lead beyond the end. Start
 * only when pairs->length > 0. */
enum status fastcgi_take_pair(struct slice *pairs, struct slice *name,
                              struct slice *value) MUST_CHECK;

/* --- The answer ----------------------------------------------------------------------------------
 *
 * Text becomes STDOUT records without being copied: fastcgi_frame lists the pieces for one
 * writev, fastcgi_framed is told how many bytes of them were taken, and the next call goes on
 * exactly there, in the middle of a header if need be. */

/* An empty STDOUT record and END_REQUEST. */
#define FASTCGI_TRAILER_SIZE (FASTCGI_HEADER_SIZE + FASTCGI_END_REQUEST_SIZE)

struct fastcgi_framer {
    uint16_t id;
    unsigned char head[FASTCGI_HEADER_SIZE]; /* of the record that is being sent */
    unsigned char trailer[FASTCGI_TRAILER_SIZE];
    size_t head_left;    /* bytes of it that are not sent */
    size_t content_left; /* likewise of its content */
    size_t trailer_left; /* FASTCGI_TRAILER_SIZE until the end is being sent */
};

#define FASTCGI_FRAMES 8 /* records in one call */

struct fastcgi_frames {
    struct iovec pieces[2 * FASTCGI_FRAMES + 1];
    unsigned char heads[FASTCGI_FRAMES][FASTCGI_HEADER_SIZE];
    int count;
};

void fastcgi_framer_start(struct fastcgi_framer *framer, uint16_t id);

/* Lists what to send next of `text`, which starts with the first byte that fastcgi_framed has not
 * reported as taken; with `is_whole`, the end of the request follows the text. count is 0 when
 * nothing is left. The pieces point into text, framer and frames. */
void fastcgi_frame(const struct fastcgi_framer *framer, struct slice text, bool is_whole,
                   struct fastcgi_frames *frames);

/* `sent` bytes of what fastcgi_frame listed for the same text were sent; returns how many of them
 * were text. */
size_t fastcgi_framed(struct fastcgi_framer *framer, size_t text_length, size_t sent);

/* True where another record may be put between those of the framer. */
bool fastcgi_is_between_records(const struct fastcgi_framer *framer);

#endif
