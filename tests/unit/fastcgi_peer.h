/*
 * The records that a web server sends to a FastCGI program, for tests.
 */
#ifndef TESTS_UNIT_FASTCGI_PEER_H
#define TESTS_UNIT_FASTCGI_PEER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "transport/fastcgi_record.h"

static inline void put(struct buffer *out, enum fastcgi_type type, uint16_t id, const void *content,
                       size_t length, uint8_t padding)
{
    unsigned char header[FASTCGI_HEADER_SIZE];
    static const char zeros[256];
    fastcgi_encode_header(header, type, id, length);
    header[6] = padding;
    buffer_append(out, header, sizeof(header));
    buffer_append(out, content, length);
    buffer_append(out, zeros, padding);
}

static inline void put_begin(struct buffer *out, uint16_t id, int role, int flags)
{
    unsigned char content[8] = {0, (unsigned char)role, (unsigned char)flags};
    put(out, FASTCGI_BEGIN_REQUEST, id, content, sizeof(content), 0);
}

static inline void put_pair(struct buffer *out, const char *name, const char *value)
{
    size_t length = strlen(value);
    buffer_append_char(out, (char)strlen(name));
    if (length < 128) {
        buffer_append_char(out, (char)length);
    } else {
        const char bytes[4] = {(char)(0x80 | length >> 24), (char)(length >> 16),
                               (char)(length >> 8), (char)length};
        buffer_append(out, bytes, 4);
    }
    buffer_append_text(out, name);
    buffer_append_text(out, value);
}

#endif
