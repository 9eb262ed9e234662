/*
 * chat/usage: tokens and what they cost.
 *
 * Providers tell the tokens of a call; when one does not (or the client left before the end) they
 * are estimated by the weight of the texts, and the ledger says that it is an estimate. The unit of
 * weight is a quarter of a token. A character weighs one, but a character of Chinese, Japanese or
 * Korean is about a token by itself and weighs four. Tokenizers differ, but not far from that.
 */
#ifndef CHAT_USAGE_H
#define CHAT_USAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "models/catalogue.h"

struct token_usage {
    int64_t input_tokens;
    int64_t output_tokens;
    bool is_estimated;
};

/* The weight of a JSON string as it is spelled, with its quotes. */
int64_t usage_weigh_string(struct slice string_text);

/* The weight of plain text. */
int64_t usage_weigh_text(const char *text);

/* At least 1 for anything at all. */
int64_t usage_estimate_tokens(int64_t weight);

/* No call costs more: a million dollars, so that sums of nonsense have room for years. */
#define USAGE_COST_MAXIMUM INT64_C(1000000000000000)

/* Billionths of a US dollar, rounded to the nearest; 0 without a price. */
int64_t usage_cost(const struct model_price *price, const struct token_usage *usage);

#endif
