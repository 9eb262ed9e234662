/*
 * metrics/alias: the consoul_* names, so that dashboards made for Consoul go on working.
 *
 * Each alias family is made of one of ours: labels are renamed, put in another order or left
 * out (what then has equal labels is added up). Two labels differ from Consoul on purpose:
 * consoul_request_total has model="unknown" as Consoul itself always had, and
 * consoul_token_usage_total has no session_id, because one series per session has no bound.
 */
#include <string.h>

#include "metrics/snapshot.h"

#define CONSTANT_UNKNOWN (-1) /* in place of a label's number: the value "unknown" */
#define DIRECTION        2    /* token_type, in Consoul's words */

struct alias {
    enum metric source;
    bool is_negated; /* 1 - value */
    int labels[METRICS_LABEL_MAXIMUM + 1];
};

static const struct alias aliases[] = {
    {METRIC_HTTP_REQUESTS, false, {1, 0, 2, CONSTANT_UNKNOWN}},
    {METRIC_HTTP_REQUEST_DURATION, false, {1, 0}},
    {METRIC_CHAT_COMPLETION_TOKENS, false, {DIRECTION, 1}},
    {METRIC_HTTP_ERRORS, false, {1, 2}},
    {METRIC_RATE_LIMIT_STORE_UP, true, {0}},
};

#define ALIAS_COUNT (sizeof aliases / sizeof aliases[0])

/* In the order of `aliases`; buckets come from the source. */
const struct metrics_family metrics_alias_families[ALIAS_COUNT] = {
    {"consoul_request", METRICS_COUNTER, 0, "endpoint,method,status,model", "", NULL,
     "Total request count"},
    {"consoul_request_latency_seconds", METRICS_HISTOGRAM, 0, "endpoint,method", "seconds", NULL,
     "Request latency in seconds"},
    {"consoul_token_usage", METRICS_COUNTER, 0, "direction,model", "", NULL, "Token usage count"},
    {"consoul_errors", METRICS_COUNTER, 0, "endpoint,error_type", "", NULL, "Error count"},
    {"consoul_redis_degraded", METRICS_GAUGE, 0, "", "", NULL,
     "Whether Redis is in degraded mode (1=degraded, 0=healthy)"},
};

const size_t metrics_alias_count = ALIAS_COUNT;

static const char *find_label(const struct metrics_row *row, int number)
{
    const char *value = row->labels;
    while (number-- > 0) {
        value += strlen(value) + 1;
    }
    return value;
}

static const char *translate_label(const struct alias *alias, const struct metrics_row *row,
                                   int number)
{
    if (number == CONSTANT_UNKNOWN) {
        return "unknown";
    }
    const char *value = find_label(row, number);
    if (alias->source == METRIC_CHAT_COMPLETION_TOKENS && number == DIRECTION) {
        if (strcmp(value, "prompt") == 0) {
            return "input";
        }
        if (strcmp(value, "completion") == 0) {
            return "output";
        }
    }
    return value;
}

static void add_alias_row(struct metrics_snapshot *aliases_out, size_t number,
                          const struct metrics_snapshot *from, const struct metrics_row *row)
{
    const struct alias *alias = &aliases[number];
    size_t count = metrics_count_labels(&metrics_alias_families[number]);
    char *text = arena_allocate(&aliases_out->arena,
                                (METRICS_LABEL_MAXIMUM + 1UL) * (METRICS_VALUE_SIZE + 1));
    if (text == NULL) {
        aliases_out->status = STATUS_NO_MEMORY;
        return;
    }
    size_t length = 0;
    for (size_t i = 0; i < count; i++) {
        const char *value = translate_label(alias, row, alias->labels[i]);
        size_t bytes = strlen(value) + 1;
        memcpy(text + length, value, bytes);
        length += bytes;
    }
    uint64_t *cells = metrics_snapshot_add(aliases_out, number, text, length, row->cell_count);
    if (cells == NULL) {
        return;
    }
    for (size_t i = 0; i < row->cell_count; i++) {
        uint64_t value = from->cells[row->first_cell + i];
        cells[i] = alias->is_negated ? 1 - value : value;
    }
}

enum status metrics_alias_make(struct metrics_snapshot *aliases_out,
                               const struct metrics_snapshot *from)
{
    metrics_snapshot_init(aliases_out);
    for (size_t number = 0; number < ALIAS_COUNT; number++) {
        size_t first = 0;
        size_t end = metrics_snapshot_find(from, aliases[number].source, &first);
        for (size_t i = first; i < end; i++) {
            add_alias_row(aliases_out, number, from, &from->rows[i]);
        }
    }
    metrics_snapshot_sort(aliases_out);
    return aliases_out->status;
}
