/*
 * base/rate: "10/minute;100 per 2 hours" and back.
 *
 * Own parser because the grammar is that of the Python library "limits" and has no C library. It
 * is: amount, "/" or "per", optional multiple, unit with optional "s", in any case, with white
 * space between; several joined by ; , or |.
 */
#include "base/rate.h"

#include <string.h>
#include <strings.h>

#define COUNT_MAXIMUM          1000000000
#define WINDOW_MAXIMUM_SECONDS (36000 * DAY) /* 100 years; fits nanoseconds */

#define MINUTE UINT64_C(60)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static const struct unit {
    const char *name;
    uint64_t seconds;
} units[] = {
    {"second", 1}, {"minute", MINUTE},  {"hour", HOUR},
    {"day", DAY},  {"month", 30 * DAY}, {"year", 360 * DAY},
};

static void skip_space(struct slice *text)
{
    while (text->length > 0 && (text->data[0] == ' ' || text->data[0] == '\t')) {
        text->data++;
        text->length--;
    }
}

/* False when there are no digits or more than the maximum. */
static bool take_number(struct slice *text, uint32_t *number)
{
    uint64_t value = 0;
    size_t digits = 0;
    while (digits < text->length && text->data[digits] >= '0' && text->data[digits] <= '9') {
        value = value * 10 + (uint64_t)(text->data[digits] - '0');
        if (value > COUNT_MAXIMUM) {
            return false;
        }
        digits++;
    }
    text->data += digits;
    text->length -= digits;
    *number = (uint32_t)value;
    return digits > 0;
}

static bool take_separator(struct slice *text)
{
    size_t length = 0;
    if (text->length >= 1 && text->data[0] == '/') {
        length = 1;
    } else if (text->length >= 3 && strncasecmp(text->data, "per", 3) == 0) {
        length = 3;
    }
    text->data += length;
    text->length -= length;
    return length > 0;
}

static const struct unit *find_unit(struct slice text)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        struct slice singular = text;
        if (text.length == strlen(units[i].name) + 1 &&
            (text.data[text.length - 1] == 's' || text.data[text.length - 1] == 'S')) {
            singular.length--;
        }
        if (slice_equals_ignoring_case(singular, units[i].name)) {
            return &units[i];
        }
    }
    return NULL;
}

static enum status parse_limit(struct slice text, struct rate *limit)
{
    *limit = (struct rate){.multiple = 1};
    if (!take_number(&text, &limit->count) || limit->count == 0) {
        return STATUS_INVALID;
    }
    skip_space(&text);
    if (!take_separator(&text)) {
        return STATUS_INVALID;
    }
    skip_space(&text);
    bool has_multiple = text.length > 0 && text.data[0] >= '0' && text.data[0] <= '9';
    if (has_multiple && (!take_number(&text, &limit->multiple) || limit->multiple == 0)) {
        return STATUS_INVALID;
    }
    skip_space(&text);
    const struct unit *unit = find_unit(text);
    if (unit == NULL || limit->multiple > WINDOW_MAXIMUM_SECONDS / unit->seconds) {
        return STATUS_INVALID;
    }
    limit->unit = unit->name;
    limit->window_seconds = limit->multiple * unit->seconds;
    return STATUS_OK;
}

enum status rate_parse_list(struct slice text, struct rate *rates, size_t maximum, size_t *count)
{
    *count = 0;
    size_t start = 0;
    for (size_t i = 0; i <= text.length; i++) {
        bool is_end = i == text.length;
        if (!is_end && text.data[i] != ';' && text.data[i] != ',' && text.data[i] != '|') {
            continue;
        }
        struct slice part = {.data = text.data + start, .length = i - start};
        start = i + 1;
        if (*count == maximum || parse_limit(slice_trim(part), &rates[*count]) != STATUS_OK) {
            *count = 0;
            return STATUS_INVALID;
        }
        (*count)++;
    }
    return STATUS_OK;
}

void rate_describe(const struct rate *rate, struct buffer *out)
{
    buffer_append_format(out, "%u per %u %s", rate->count, rate->multiple, rate->unit);
}
