/*
 * metrics/render: the exposition, in Prometheus' text format 0.0.4 and in OpenMetrics 1.0.0.
 *
 * The two differ in the name in # HELP and # TYPE (OpenMetrics leaves _total and _info out), in
 * # UNIT, in the type of an info family and in # EOF. Bucket bounds are canonical floats in both,
 * so a series keeps its name when the scraper changes the format.
 */
#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "metrics/snapshot.h"

#define NANOSECOND_DIGITS  9
#define MILLISECOND_DIGITS 3

struct renderer {
    struct buffer *out;
    bool is_openmetrics;
    const struct metrics_snapshot *snapshot;
};

static const char *suffix_of(const struct metrics_family *family)
{
    switch (family->kind) {
    case METRICS_COUNTER:
    case METRICS_SECONDS_COUNTER:
        return "_total";
    case METRICS_INFO:
        return "_info";
    default:
        return "";
    }
}

static const char *type_of(const struct renderer *renderer, const struct metrics_family *family)
{
    switch (family->kind) {
    case METRICS_COUNTER:
    case METRICS_SECONDS_COUNTER:
        return "counter";
    case METRICS_HISTOGRAM:
        return "histogram";
    case METRICS_INFO:
        return renderer->is_openmetrics ? "info" : "gauge";
    default:
        return "gauge";
    }
}

static void write_comment(const struct renderer *renderer, const struct metrics_family *family,
                          const char *word, const char *text)
{
    const char *suffix = renderer->is_openmetrics ? "" : suffix_of(family);
    buffer_append_format(renderer->out, "# %s %s%s %s\n", word, family->name, suffix, text);
}

static void write_escaped(struct buffer *out, const char *value)
{
    while (*value != '\0') {
        size_t plain = strcspn(value, "\\\"\n");
        buffer_append(out, value, plain);
        value += plain;
        if (*value != '\0') {
            buffer_append_char(out, '\\');
            buffer_append_char(out, *value == '\n' ? 'n' : *value);
            value++;
        }
    }
}

/* {method="GET",endpoint="/x"} with `le` as the last one if it is given. */
static void write_labels(struct buffer *out, const struct metrics_family *family,
                         const struct metrics_row *row, const char *le)
{
    const char *name = family->labels;
    const char *value = row->labels;
    char separator = '{';
    while (*name != '\0') {
        size_t length = strcspn(name, ",");
        buffer_append_char(out, separator);
        buffer_append(out, name, length);
        buffer_append_text(out, "=\"");
        write_escaped(out, value);
        buffer_append_char(out, '"');
        value += strlen(value) + 1;
        name += length + (name[length] == ',');
        separator = ',';
    }
    if (le != NULL) {
        buffer_append_char(out, separator);
        buffer_append_text(out, "le=\"");
        buffer_append_text(out, le);
        buffer_append_char(out, '"');
        separator = ',';
    }
    if (separator == ',') {
        buffer_append_char(out, '}');
    }
    buffer_append_char(out, ' ');
}

/* `number` / 10^digits, exactly, with at least one decimal. */
static void write_decimal(struct buffer *out, uint64_t number, int digits)
{
    uint64_t unit = 1;
    for (int i = 0; i < digits; i++) {
        unit *= 10;
    }
    uint64_t fraction = number % unit;
    while (digits > 1 && fraction % 10 == 0) {
        fraction /= 10;
        digits--;
    }
    buffer_append_format(out, "%" PRIu64 ".%0*" PRIu64, number / unit, digits, fraction);
}

static void write_histogram(const struct renderer *renderer, const struct metrics_family *family,
                            const struct metrics_buckets *buckets, const struct metrics_row *row)
{
    const uint64_t *cells = &renderer->snapshot->cells[row->first_cell];
    struct buffer *out = renderer->out;
    uint64_t total = 0;
    for (size_t i = 0; i <= buckets->count; i++) {
        total += cells[i];
        buffer_append_text(out, family->name);
        buffer_append_text(out, "_bucket");
        write_labels(out, family, row, buckets->texts[i]);
        buffer_append_format(out, "%" PRIu64 "\n", total);
    }
    buffer_append_text(out, family->name);
    buffer_append_text(out, "_sum");
    write_labels(out, family, row, NULL);
    write_decimal(out, cells[buckets->count + 1], NANOSECOND_DIGITS);
    buffer_append_char(out, '\n');
    buffer_append_text(out, family->name);
    buffer_append_text(out, "_count");
    write_labels(out, family, row, NULL);
    buffer_append_format(out, "%" PRIu64 "\n", total);
}

static bool is_in_milliseconds(const struct metrics_family *family)
{
    return family->kind == METRICS_COMPUTED && strcmp(family->unit, "seconds") == 0;
}

static void write_sample(const struct renderer *renderer, const struct metrics_family *family,
                         const struct metrics_row *row)
{
    uint64_t value = renderer->snapshot->cells[row->first_cell];
    struct buffer *out = renderer->out;
    buffer_append_text(out, family->name);
    buffer_append_text(out, suffix_of(family));
    write_labels(out, family, row, NULL);
    if (family->kind == METRICS_SECONDS_COUNTER) {
        write_decimal(out, value, NANOSECOND_DIGITS);
    } else if (is_in_milliseconds(family)) {
        write_decimal(out, value, MILLISECOND_DIGITS);
    } else if (family->kind == METRICS_COUNTER) {
        buffer_append_format(out, "%" PRIu64, value);
    } else {
        buffer_append_integer(out, (long long)(int64_t)value);
    }
    buffer_append_char(out, '\n');
}

/* Families without a series keep their comments: a reader learns what there could be. */
static void write_family(const struct renderer *renderer, size_t number,
                         const struct metrics_family *family, const struct metrics_buckets *buckets)
{
    write_comment(renderer, family, "HELP", family->help);
    write_comment(renderer, family, "TYPE", type_of(renderer, family));
    if (renderer->is_openmetrics && family->unit[0] != '\0') {
        write_comment(renderer, family, "UNIT", family->unit);
    }
    size_t first = 0;
    size_t end = metrics_snapshot_find(renderer->snapshot, number, &first);
    for (size_t i = first; i < end; i++) {
        const struct metrics_row *row = &renderer->snapshot->rows[i];
        if (family->kind == METRICS_HISTOGRAM) {
            write_histogram(renderer, family, buckets, row);
        } else {
            write_sample(renderer, family, row);
        }
    }
}

static enum status write_aliases(struct renderer *renderer)
{
    struct metrics_snapshot aliases;
    enum status status = metrics_alias_make(&aliases, renderer->snapshot);
    if (status == STATUS_OK) {
        struct renderer alias_renderer = *renderer;
        alias_renderer.snapshot = &aliases;
        for (size_t i = 0; i < metrics_alias_count; i++) {
            write_family(&alias_renderer, i, &metrics_alias_families[i],
                         metrics_families[METRIC_HTTP_REQUEST_DURATION].buckets);
        }
    }
    metrics_snapshot_release(&aliases);
    return status;
}

enum status metrics_render(struct metrics *metrics, enum metrics_format format,
                           bool with_consoul_names, struct buffer *out)
{
    struct metrics_snapshot snapshot;
    struct renderer renderer = {
        .out = out,
        .is_openmetrics = format == METRICS_OPENMETRICS_1_0_0,
        .snapshot = &snapshot,
    };
    enum status status = STATUS_OK;
    if (metrics != NULL) {
        status = metrics_snapshot_take(&snapshot, metrics);
        for (size_t i = 0; status == STATUS_OK && i < METRIC_COUNT; i++) {
            write_family(&renderer, i, &metrics_families[i], metrics_families[i].buckets);
        }
        if (status == STATUS_OK && with_consoul_names) {
            status = write_aliases(&renderer);
        }
        metrics_snapshot_release(&snapshot);
    }
    if (renderer.is_openmetrics) {
        buffer_append_text(out, "# EOF\n");
    }
    return status != STATUS_OK ? status : buffer_status(out);
}
