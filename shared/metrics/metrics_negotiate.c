/*
 * metrics/negotiate: which exposition format an Accept header asks for. Prometheus' rule: the
 * supported format with the highest quality; a version that we do not write is a format that we do
 * not support.
 */
#include "base/accept.h"
#include "metrics/metrics.h"

static bool has_version(const struct accept_item *range, const char *version)
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
    struct accept_item range;
    while (accept_next(&rest, &range)) {
        if (slice_equals_ignoring_case(range.name, "application/openmetrics-text")) {
            if (has_version(&range, "1.0.0")) {
                raise(&openmetrics_quality, range.quality);
            }
        } else if (slice_equals_ignoring_case(range.name, "text/plain")) {
            if (has_version(&range, "0.0.4")) {
                raise(&text_quality, range.quality);
            }
        } else if (slice_equals(range.name, "*/*") ||
                   slice_equals_ignoring_case(range.name, "text/*")) {
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
