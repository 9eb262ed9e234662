/*
 * json/string: strings as RFC 8259 section 7 spells them.
 */
#include "json/internal.h"

/* The number that four hex digits stand for, or -1. */
static int32_t read_hex4(const char *at, const char *end)
{
    unsigned char bytes[2];
    if (end - at < 4 ||
        text_decode_hex((struct slice){.data = at, .length = 4}, bytes, 2) != STATUS_OK) {
        return -1;
    }
    return bytes[0] << 8 | bytes[1];
}

/* Reads an escape; `at` stands behind the backslash and is moved behind the escape. Returns the
 * code point, or -1 if there is no such escape or half a surrogate pair. */
static int32_t read_escape(const char **at, const char *end)
{
    if (*at == end) {
        return -1;
    }
    char letter = *(*at)++;
    switch (letter) {
    case '"':
    case '\\':
    case '/':
        return letter;
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'u':
        break;
    default:
        return -1;
    }
    int32_t unit = read_hex4(*at, end);
    if (unit < 0 || (unit & 0xfc00) == 0xdc00) {
        return -1;
    }
    *at += 4;
    if ((unit & 0xfc00) != 0xd800) {
        return unit;
    }
    if (end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u') {
        return -1;
    }
    int32_t second = read_hex4(*at + 2, end);
    if (second < 0 || (second & 0xfc00) != 0xdc00) {
        return -1;
    }
    *at += 6;
    return 0x10000 + ((unit & 0x3ff) << 10) + (second & 0x3ff);
}

const char *json_skip_string(const char *at, const char *end, bool *has_nul)
{
    for (;;) {
        at = json_skip_plain(at, end);
        if (at == end) {
            return NULL;
        }
        if (*at == '"') {
            return at + 1;
        }
        if (*at == '\\') {
            at++;
            int32_t character = read_escape(&at, end);
            if (character < 0) {
                return NULL;
            }
            if (character == 0) {
                *has_nul = true;
            }
        } else {
            /* A control character, or a character beyond ASCII. */
            size_t size =
                (unsigned char)*at < 0x20 ? 0 : text_measure_character(at, (size_t)(end - at));
            if (size == 0) {
                return NULL;
            }
            at += size;
        }
    }
}

static char *put_character(char *out, uint32_t character)
{
    if (character < 0x80) {
        *out++ = (char)character;
        return out;
    }
    if (character < 0x800) {
        *out++ = (char)(0xc0 | character >> 6);
    } else {
        if (character < 0x10000) {
            *out++ = (char)(0xe0 | character >> 12);
        } else {
            *out++ = (char)(0xf0 | character >> 18);
            *out++ = (char)(0x80 | (character >> 12 & 0x3f));
        }
        *out++ = (char)(0x80 | (character >> 6 & 0x3f));
    }
    *out++ = (char)(0x80 | (character & 0x3f));
    return out;
}

size_t json_unescape_inside(struct slice inside, char *out)
{
    const char *start = out;
    const char *at = inside.data;
    const char *end = at + inside.length;
    while (at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        size_t run = (size_t)((escape == NULL ? end : escape) - at);
        memcpy(out, at, run);
        out += run;
        if (escape == NULL) {
            break;
        }
        at = escape + 1;
        int32_t character = read_escape(&at, end);
        if (character >= 0) {
            out = put_character(out, (uint32_t)character);
        }
    }
    return (size_t)(out - start);
}

enum status json_unescape(struct arena *arena, struct slice string_text, struct slice *out)
{
    if (string_text.length < 2 || string_text.data[0] != '"') {
        return STATUS_INVALID;
    }
    const char *inside = string_text.data + 1;
    const char *end = string_text.data + string_text.length;
    bool has_nul = false;
    if (json_skip_string(inside, end, &has_nul) != end || has_nul) {
        return STATUS_INVALID;
    }
    struct slice raw = {.data = inside, .length = string_text.length - 2};
    char *text = arena_allocate(arena, raw.length + 1);
    if (text == NULL) {
        return STATUS_NO_MEMORY;
    }
    size_t length = json_unescape_inside(raw, text);
    text[length] = '\0';
    *out = (struct slice){.data = text, .length = length};
    return STATUS_OK;
}

enum status json_plain_text(struct arena *arena, struct slice inside, struct slice *out)
{
    *out = inside;
    if (memchr(inside.data, '\\', inside.length) == NULL) {
        return STATUS_OK;
    }
    char *text = arena_allocate(arena, inside.length);
    if (text == NULL) {
        return STATUS_NO_MEMORY;
    }
    *out = (struct slice){.data = text, .length = json_unescape_inside(inside, text)};
    return STATUS_OK;
}
