/*
 * chat/usage: see the header.
 */
#include "usage.h"

#define CHARACTERS_PER_TOKEN 4
/* Dollars per million tokens are this many billionths per token. */
#define NANODOLLARS_PER_TOKEN 1000.0

int64_t usage_count_characters(struct slice string_text)
{
    int64_t count = 0;
    if (string_text.length < 2) {
        return 0;
    }
    const char *at = string_text.data + 1;
    const char *end = string_text.data + string_text.length - 1;
    for (; at < end; at++) {
        if (*at == '\\' && at + 1 < end) {
            at++;
            at += *at == 'u' && end - at > 4 ? 4 : 0;
            count++;
        } else if (((unsigned char)*at & 0xc0) != 0x80) {
            count++;
        }
    }
    return count;
}

int64_t usage_estimate_tokens(int64_t characters)
{
    return (characters + CHARACTERS_PER_TOKEN - 1) / CHARACTERS_PER_TOKEN;
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
