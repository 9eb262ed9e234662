/*
 * fastcgi_record: headers, pairs and frames.
 */
#include "transport/fastcgi_record.h"

#include <string.h>

#define RECORD_VERSION 1

/* A record of the answer holds this much: the largest multiple of 8, as the specification
 * (section 3.3) advises in place of padding. */
#define FRAME_CONTENT 65528

bool fastcgi_decode_header(const unsigned char bytes[FASTCGI_HEADER_SIZE],
                           struct fastcgi_header *header)
{
    header->type = bytes[1];
    header->id = (uint16_t)(bytes[2] << 8 | bytes[3]);
    header->length = (uint16_t)(bytes[4] << 8 | bytes[5]);
    header->padding = bytes[6];
    return bytes[0] == RECORD_VERSION;
}

void fastcgi_encode_header(unsigned char bytes[FASTCGI_HEADER_SIZE], enum fastcgi_type type,
                           uint16_t id, size_t length)
{
    bytes[0] = RECORD_VERSION;
    bytes[1] = (unsigned char)type;
    bytes[2] = (unsigned char)(id >> 8);
    bytes[3] = (unsigned char)(id & 0xff);
    bytes[4] = (unsigned char)(length >> 8 & 0xff);
    bytes[5] = (unsigned char)(length & 0xff);
    bytes[6] = 0;
    bytes[7] = 0;
}

void fastcgi_encode_end(unsigned char bytes[FASTCGI_END_REQUEST_SIZE], uint16_t id,
                        enum fastcgi_protocol_status status)
{
    memset(bytes, 0, FASTCGI_END_REQUEST_SIZE);
    fastcgi_encode_header(bytes, FASTCGI_END_REQUEST, id,
                          FASTCGI_END_REQUEST_SIZE - FASTCGI_HEADER_SIZE);
    bytes[FASTCGI_HEADER_SIZE + 4] = (unsigned char)status;
}

/* --- Pairs ----------------------------------------------------------------------------------- */

static bool take_length(struct slice *pairs, size_t *length)
{
    const unsigned char *bytes = (const unsigned char *)pairs->data;
    size_t size = 1;
    if (pairs->length == 0) {
        return false;
    }
    *length = bytes[0];
    if (bytes[0] & 0x80) {
        size = 4;
        if (pairs->length < size) {
            return false;
        }
        *length = (size_t)(bytes[0] & 0x7f) << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 |
                  (size_t)bytes[3];
    }
    pairs->data += size;
    pairs->length -= size;
    return true;
}

enum status fastcgi_take_pair(struct slice *pairs, struct slice *name, struct slice *value)
{
    if (!take_length(pairs, &name->length) || !take_length(pairs, &value->length)) {
        return STATUS_INVALID;
    }
    /* Each is below 2^31, so neither subtraction nor comparison can wrap. */
    if (name->length > pairs->length || value->length > pairs->length - name->length) {
        return STATUS_INVALID;
    }
    name->data = pairs->data;
    value->data = pairs->data + name->length;
    pairs->data += name->length + value->length;
    pairs->length -= name->length + value->length;
    return STATUS_OK;
}

/* --- Frames ---------------------------------------------------------------------------------- */

void fastcgi_framer_start(struct fastcgi_framer *framer, uint16_t id)
{
    framer->id = id;
    framer->head_left = 0;
    framer->content_left = 0;
    framer->trailer_left = FASTCGI_TRAILER_SIZE;
    fastcgi_encode_header(framer->trailer, FASTCGI_STDOUT, id, 0);
    fastcgi_encode_end(framer->trailer + FASTCGI_HEADER_SIZE, id, FASTCGI_REQUEST_COMPLETE);
}

bool fastcgi_is_between_records(const struct fastcgi_framer *framer)
{
    return framer->head_left == 0 && framer->content_left == 0 &&
           framer->trailer_left == FASTCGI_TRAILER_SIZE;
}

static size_t next_content(size_t text_length)
{
    return text_length < FRAME_CONTENT ? text_length : FRAME_CONTENT;
}

static void add_piece(struct fastcgi_frames *frames, const void *bytes, size_t length)
{
    /* iovec wants a pointer to what it could also be written to; sendmsg only reads. */
    union {
        const void *constant;
        void *plain;
    } pointer = {.constant = bytes};
    frames->pieces[frames->count].iov_base = pointer.plain;
    frames->pieces[frames->count].iov_len = length;
    frames->count++;
}

void fastcgi_frame(const struct fastcgi_framer *framer, struct slice text, bool is_whole,
                   struct fastcgi_frames *frames)
{
    frames->count = 0;
    if (framer->head_left > 0) {
        add_piece(frames, framer->head + FASTCGI_HEADER_SIZE - framer->head_left,
                  framer->head_left);
    }
    if (framer->content_left > 0) {
        add_piece(frames, text.data, framer->content_left);
        text.data += framer->content_left;
        text.length -= framer->content_left;
    }
    /* The record that was begun counts as one frame. */
    for (int i = 1; i < FASTCGI_FRAMES && text.length > 0; i++) {
        size_t content = next_content(text.length);
        fastcgi_encode_header(frames->heads[i], FASTCGI_STDOUT, framer->id, content);
        add_piece(frames, frames->heads[i], FASTCGI_HEADER_SIZE);
        add_piece(frames, text.data, content);
        text.data += content;
        text.length -= content;
    }
    if (is_whole && text.length == 0 && framer->trailer_left > 0) {
        add_piece(frames, framer->trailer + FASTCGI_TRAILER_SIZE - framer->trailer_left,
                  framer->trailer_left);
    }
}

static size_t take(size_t *left, size_t *sent)
{
    size_t count = *left < *sent ? *left : *sent;
    *left -= count;
    *sent -= count;
    return count;
}

size_t fastcgi_framed(struct fastcgi_framer *framer, size_t text_length, size_t sent)
{
    size_t text_sent = 0;
    for (;;) {
        take(&framer->head_left, &sent);
        text_sent += take(&framer->content_left, &sent);
        if (sent == 0) {
            return text_sent;
        }
        if (text_sent == text_length) {
            take(&framer->trailer_left, &sent);
            return text_sent;
        }
        framer->content_left = next_content(text_length - text_sent);
        framer->head_left = FASTCGI_HEADER_SIZE;
        fastcgi_encode_header(framer->head, FASTCGI_STDOUT, framer->id, framer->content_left);
    }
}
