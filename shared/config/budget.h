/*
 * config/budget: the grammar of a budget.
 *
 * AMOUNT/day and AMOUNT/month in US dollars, also "AMOUNT per month" and with a dollar sign in
 * front; both may be given, joined by ';', ',' or '|'. Days and months are those of UTC.
 */
#ifndef CONFIG_BUDGET_H
#define CONFIG_BUDGET_H

#include <stdint.h>

#include "base/status.h"
#include "base/text.h"

#define BUDGET_UNLIMITED INT64_MAX

/* Billionths of a US dollar; BUDGET_UNLIMITED = none. */
struct budget_limits {
    int64_t day;
    int64_t month;
};

/* An empty text and the word "unlimited" limit nothing. STATUS_INVALID: not a budget. */
enum status budget_parse(struct slice text, struct budget_limits *out) MUST_CHECK;

#endif
