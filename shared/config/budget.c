/*
 * config/budget: see the header.
 */
#include "config/budget.h"

#include <string.h>

#define AMOUNT_MAXIMUM 1e6 /* dollars */
#define NANODOLLARS    1e9

static size_t find_any(struct slice text, const char *bytes)
{
    size_t at = 0;
    while (at < text.length && strchr(bytes, text.data[at]) == NULL) {
        at++;
    }
    return at;
}

/* The unit behind '/' or "per". */
static enum status split_unit(struct slice part, struct slice *amount, struct slice *unit)
{
    size_t slash = find_any(part, "/");
    *amount = slice_trim((struct slice){part.data, slash});
    if (slash < part.length) {
        *unit = slice_trim((struct slice){part.data + slash + 1, part.length - slash - 1});
        return STATUS_OK;
    }
    size_t blank = find_any(part, " ");
    struct slice rest = slice_trim((struct slice){part.data + blank, part.length - blank});
    *amount = (struct slice){part.data, blank};
    if (rest.length < 4 || !slice_equals_ignoring_case((struct slice){rest.data, 4}, "per ")) {
        return STATUS_INVALID;
    }
    *unit = slice_trim((struct slice){rest.data + 4, rest.length - 4});
    return STATUS_OK;
}

static enum status parse_part(struct slice part, struct budget_limits *out)
{
    struct slice amount;
    struct slice unit;
    double dollars;
    if (split_unit(part, &amount, &unit) != STATUS_OK) {
        return STATUS_INVALID;
    }
    if (amount.length > 0 && amount.data[0] == '$') {
        amount = (struct slice){amount.data + 1, amount.length - 1};
    }
    if (text_parse_double(amount, &dollars) != STATUS_OK || dollars < 0 ||
        dollars > AMOUNT_MAXIMUM) {
        return STATUS_INVALID;
    }
    int64_t *limit = slice_equals_ignoring_case(unit, "day")     ? &out->day
                     : slice_equals_ignoring_case(unit, "month") ? &out->month
                                                                 : NULL;
    if (limit == NULL || *limit != BUDGET_UNLIMITED) {
        return STATUS_INVALID;
    }
    *limit = (int64_t)(dollars * NANODOLLARS + 0.5);
    return STATUS_OK;
}

enum status budget_parse(struct slice text, struct budget_limits *out)
{
    struct slice rest = slice_trim(text);
    *out = (struct budget_limits){BUDGET_UNLIMITED, BUDGET_UNLIMITED};
    if (rest.length == 0 || slice_equals_ignoring_case(rest, "unlimited")) {
        return STATUS_OK;
    }
    for (;;) {
        size_t end = find_any(rest, ";,|");
        enum status status = parse_part(slice_trim((struct slice){rest.data, end}), out);
        if (status != STATUS_OK || end == rest.length) {
            return status;
        }
        rest = (struct slice){rest.data + end + 1, rest.length - end - 1};
    }
}
