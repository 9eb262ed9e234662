/*
 * metrics/negotiate: which exposition format an Accept header asks for.
 *
 * Own parser because the suite has no HTTP library above the web server; the grammar needed is
 * media ranges with parameters (RFC 9110 section 12.5.1). Prometheus' rule: the supported format
 * with the highest quality; a version that we do not write is a format that we do not support.
 */
#include "base/text.h"
#include "metrics/metrics.h"

#define QUALITY_ONE 1000

/* "0.7" as 700; -1 for anything that is not a qvalue. */
static int parse_quality(struct slice text)
{
    if (text.length == 0 || text.length > 5 || (text.data[0] != '0' && text.data[0] != '1') ||
        (text.length > 1 && text.data[1] != '.')) {
        return -1;
    }
    int quality = (text.data[0] - '0') * QUALITY_ONE;
    int place = QUALITY_ONE / 10;
    for (size_t i = 2; i < text.length; i++, place /= 10) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return -1;
        }
        quality += (text.data[i] - '0') * place;
    }
    return quality <= QUALITY_ONE ? quality : -1;
}

struct media_range {
    struct slice type;
    struct slice version; /* empty when not given */
    int quality;          /* 0: not acceptable */
};

static struct slice unquote(struct slice text)
{
    if (text.length >= 2 && text.data[0] == '"' && text.data[text.length - 1] == '"') {
        text.data++;
        text.length -= 2;
    }
    return text;
}

static struct media_range parse_range(struct slice text)
{
    struct media_range range = {.quality = QUALITY_ONE};
    struct slice part;
    for (bool is_first = true; slice_split(&text, ';', &part); is_first = false) {
        if (is_first) {
            range.type = slice_trim(part);
            continue;
        }
        struct slice name;
        if (!slice_split(&part, '=', &name)) {
            continue;
        }
        name = slice_trim(name);
        struct slice value = unquote(slice_trim(part));
        if (slice_equals_ignoring_case(name, "q")) {
            int quality = parse_quality(value);
            range.quality = quality < 0 ? 0 : quality;
        } else if (slice_equals_ignoring_case(name, "version")) {
            range.version = value;
        }
    }
    return range;
}

static bool has_version(const struct media_range *range, const char *version)
{
    return range->version.length == 0 || slice_equals(range->version, version);
}

static void raise(int *quality, int offered)
{
    if (offered > *quality) {
        *quality = offered;
    }
}

enum metrics_format metrics_choose_format(const char *accept)
{
    if (accept == NULL) {
        return METRICS_TEXT_0_0_4;
    }
    int text_quality = 0;
    int openmetrics_quality = 0;
    struct slice rest = slice_of(accept);
    struct slice part;
    while (slice_split(&rest, ',', &part)) {
        struct media_range range = parse_range(part);
        if (slice_equals_ignoring_case(range.type, "application/openmetrics-text")) {
            if (has_version(&range, "1.0.0")) {
                raise(&openmetrics_quality, range.quality);
            }
        } else if (slice_equals_ignoring_case(range.type, "text/plain")) {
            if (has_version(&range, "0.0.4")) {
                raise(&text_quality, range.quality);
            }
        } else if (slice_equals(range.type, "*/*") ||
                   slice_equals_ignoring_case(range.type, "text/*")) {
            raise(&text_quality, range.quality);
        }
    }
    /* Only who names OpenMetrics gets it: browsers and curl want to read. */
    return openmetrics_quality > 0 && openmetrics_quality >= text_quality
               ? METRICS_OPENMETRICS_1_0_0
               : METRICS_TEXT_0_0_4;
}

const char *metrics_content_type(enum metrics_format format)
{
    return format == METRICS_OPENMETRICS_1_0_0
               ? "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
               : "text/plain; version=0.0.4; charset=utf-8";
}
