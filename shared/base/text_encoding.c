/*
 * text_encoding: UTF-8, hexadecimal, base64url and percent-encoding.
 *
 * Own code because libc's conversions depend on the locale, and OpenSSL knows only the base64
 * alphabet with '+' and '/', ignores stray bits and is not linked into every program.
 */
#include <string.h>

#include "base/text.h"

size_t text_measure_character(const char *text, size_t length)
{
    const unsigned char *at = (const unsigned char *)text;
    if (length == 0) {
        return 0;
    }
    if (at[0] < 0x80) {
        return 1;
    }
    /* The bounds of the second byte exclude overlong forms, surrogates and what lies above
     * U+10FFFF (RFC 3629 section 4). */
    size_t size;
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    if (at[0] >= 0xc2 && at[0] <= 0xdf) {
        size = 2;
    } else if (at[0] >= 0xe0 && at[0] <= 0xef) {
        size = 3;
        low = at[0] == 0xe0 ? 0xa0 : low;
        high = at[0] == 0xed ? 0x9f : high;
    } else if (at[0] >= 0xf0 && at[0] <= 0xf4) {
        size = 4;
        low = at[0] == 0xf0 ? 0x90 : low;
        high = at[0] == 0xf4 ? 0x8f : high;
    } else {
        return 0;
    }
    if (length < size || at[1] < low || at[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}

bool text_is_utf8(const char *text, size_t length)
{
    size_t at = 0;
    while (at < length) {
        uint64_t eight;
        if (length - at >= sizeof(eight)) {
            memcpy(&eight, text + at, sizeof(eight));
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                at += sizeof(eight);
                continue;
            }
        }
        size_t size = text_measure_character(text + at, length - at);
        if (size == 0) {
            return false;
        }
        at += size;
    }
    return true;
}

size_t text_count_characters(const char *text, size_t length)
{
    size_t count = 0;
    for (size_t i = 0; i < length; i++) {
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    }
    return count;
}

void text_encode_hex(const void *bytes, size_t length, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *at = bytes;
    for (size_t i = 0; i < length; i++) {
        *out++ = digits[at[i] >> 4];
        *out++ = digits[at[i] & 0x0f];
    }
    *out = '\0';
}

/* -1 for anything else. */
static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    if (digit >= 'a' && digit <= 'f') {
        return digit - 'a' + 10;
    }
    if (digit >= 'A' && digit <= 'F') {
        return digit - 'A' + 10;
    }
    return -1;
}

/* The byte that two hex digits stand for, or -1. */
static int hex_byte(const char *digits)
{
    int high = hex_digit(digits[0]);
    int low = hex_digit(digits[1]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

enum status text_decode_hex(struct slice text, void *bytes, size_t length)
{
    unsigned char *out = bytes;
    if (text.length % 2 != 0 || text.length / 2 != length) {
        return STATUS_INVALID;
    }
    for (size_t i = 0; i < length; i++) {
        int byte = hex_byte(text.data + 2 * i);
        if (byte < 0) {
            return STATUS_INVALID;
        }
        out[i] = (unsigned char)byte;
    }
    return STATUS_OK;
}

size_t text_encode_base64url(const void *bytes, size_t length, char *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const unsigned char *in = bytes;
    char *start = out;
    uint32_t bits = 0;
    int count = 0; /* of bits that wait, fewer than six between the steps */
    for (size_t i = 0; i < length; i++) {
        bits = bits << 8 | in[i];
        count += 8;
        while (count >= 6) {
            count -= 6;
            *out++ = alphabet[bits >> count & 0x3f];
        }
    }
    if (count > 0) {
        *out++ = alphabet[bits << (6 - count) & 0x3f];
    }
    *out = '\0';
    return (size_t)(out - start);
}

/* A digit's value plus 1, so that everything else is 0. A table, because an access token has
 * hundreds of digits and every request has a token. */
static const unsigned char base64url_values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64,
};

enum status text_decode_base64url(struct slice text, void *out, size_t *length)
{
    unsigned char *at = out;
    /* One digit alone cannot hold a byte. */
    if (text.length % 4 == 1) {
        return STATUS_INVALID;
    }
    size_t size = text.length / 4 * 3 + (text.length % 4 == 0 ? 0 : text.length % 4 - 1);
    if (size > *length) {
        return STATUS_TOO_LARGE;
    }
    uint32_t bits = 0;
    int count = 0;
    for (size_t i = 0; i < text.length; i++) {
        uint32_t value = base64url_values[(unsigned char)text.data[i]];
        if (value == 0) {
            return STATUS_INVALID;
        }
        bits = bits << 6 | (value - 1);
        count += 6;
        if (count >= 8) {
            count -= 8;
            *at++ = (unsigned char)(bits >> count);
        }
    }
    /* Else two different texts would stand for the same bytes. */
    if ((bits & ((1U << count) - 1)) != 0) {
        return STATUS_INVALID;
    }
    *length = size;
    return STATUS_OK;
}

enum status text_decode_percent(struct arena *arena, struct slice text, bool plus_is_space,
                                struct slice *out)
{
    if (text.length == SIZE_MAX) {
        return STATUS_NO_MEMORY;
    }
    char *decoded = arena_allocate(arena, text.length + 1);
    if (decoded == NULL) {
        return STATUS_NO_MEMORY;
    }
    size_t length = 0;
    for (size_t i = 0; i < text.length; i++) {
        char byte = text.data[i];
        if (byte == '%') {
            int escaped = text.length - i > 2 ? hex_byte(text.data + i + 1) : -1;
            if (escaped <= 0) {
                return STATUS_INVALID;
            }
            byte = (char)escaped;
            i += 2;
        } else if (byte == '+' && plus_is_space) {
            byte = ' ';
        } else if (byte == '\0') {
            return STATUS_INVALID;
        }
        decoded[length++] = byte;
    }
    decoded[length] = '\0';
    *out = (struct slice){.data = decoded, .length = length};
    return STATUS_OK;
}
