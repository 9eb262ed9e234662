/*
 * chat/usage: see the header.
 */
#include "usage.h"

#include <string.h>

#define WEIGHT_OF_A_TOKEN 4
/* Dollars per million tokens are this many billionths per token. */
#define NANODOLLARS_PER_TOKEN 1000.0

static int64_t weigh_code_point(uint32_t code)
{
    static const struct {
        uint32_t first, last;
    } tokens[] = {
        {0x2e80, 0x9fff},   /* radicals, marks, kana, bopomofo, ideographs */
        {0xac00, 0xd7a3},   /* hangul */
        {0xf900, 0xfaff},   /* compatibility ideographs */
        {0xff00, 0xffef},   /* forms of another width */
        {0x20000, 0x3ffff}, /* more ideographs */
    };
    for (size_t i = 0; code >= tokens[0].first && i < sizeof tokens / sizeof tokens[0]; i++) {
        if (code >= tokens[i].first && code <= tokens[i].last) {
            return WEIGHT_OF_A_TOKEN;
        }
    }
    return 1;
}

/* Weighs the character at *at and moves *at behind it. A byte that is not UTF-8 counts as a
 * character. */
static int64_t weigh_character(const char **at, const char *end)
{
    const unsigned char *bytes = (const unsigned char *)*at;
    size_t length = bytes[0] < 0x80 ? 1 : text_measure_character(*at, (size_t)(end - *at));
    *at += length > 0 ? length : 1;
    if (length < 3) {
        return 1;
    }
    uint32_t code = bytes[0] & (length == 3 ? 0x0fu : 0x07u);
    for (size_t i = 1; i < length; i++) {
        code = code << 6 | (bytes[i] & 0x3fu);
    }
    return weigh_code_point(code);
}

/* Weighs \uXXXX, whose digits begin at `digits`. Each half of a surrogate pair is weighed alone: the
 * second weighs 1, the first the rest. */
static int64_t weigh_escape(const char *digits)
{
    unsigned char unit[2];
    if (text_decode_hex((struct slice){digits, 4}, unit, sizeof unit) != STATUS_OK) {
        return 1;
    }
    uint32_t code = (uint32_t)unit[0] << 8 | unit[1];
    if (code >= 0xd800 && code < 0xdc00) {
        return weigh_code_point(0x10000 + ((code & 0x3ff) << 10)) - 1;
    }
    return weigh_code_point(code);
}

int64_t usage_weigh_string(struct slice string_text)
{
    int64_t weight = 0;
    if (string_text.length < 2) {
        return 0;
    }
    const char *at = string_text.data + 1;
    const char *end = string_text.data + string_text.length - 1;
    while (at < end) {
        if (*at != '\\' || at + 1 == end) {
            weight += weigh_character(&at, end);
        } else if (at[1] == 'u' && end - at >= 6) {
            weight += weigh_escape(at + 2);
            at += 6;
        } else {
            weight++;
            at += 2;
        }
    }
    return weight;
}

int64_t usage_weigh_text(const char *text)
{
    int64_t weight = 0;
    const char *end = text + strlen(text);
    while (text < end) {
        weight += weigh_character(&text, end);
    }
    return weight;
}

int64_t usage_estimate_tokens(int64_t weight)
{
    return (weight + WEIGHT_OF_A_TOKEN - 1) / WEIGHT_OF_A_TOKEN;
}

int64_t usage_cost(const struct model_price *price, const struct token_usage *usage)
{
    if (price == NULL) {
        return 0;
    }
    double cost = NANODOLLARS_PER_TOKEN * (price->input * (double)usage->input_tokens +
                                           price->output * (double)usage->output_tokens);
    return cost < (double)USAGE_COST_MAXIMUM ? (int64_t)(cost + 0.5) : USAGE_COST_MAXIMUM;
}
