/*
 * http/request: header and query access. Queries are decoded once, before any handler sees them.
 */
#include "http/request.h"

#include <string.h>

#include "base/clock.h"
#include "http/pipeline.h"

#define QUERY_PARAMETER_MAXIMUM 256

const struct config *request_config(const struct request *request)
{
    return request->live->config;
}

const char *request_path_value(const struct request *request, const char *name)
{
    size_t length = strlen(name);
    size_t index = 0;
    for (const char *at = request->match.route->template; (at = strchr(at, '{')) != NULL; at++) {
        if (strncmp(at + 1, name, length) == 0 && at[1 + length] == '}') {
            return request->match.values[index].data;
        }
        index++;
    }
    return "";
}

struct slice request_header(const struct request *request, const char *name)
{
    /* RFC 3875 section 4.1.18: upper case, '-' becomes '_', "HTTP_" in front; two headers have
     * variables of their own. */
    char variable[80] = "HTTP_";
    size_t at = 5;
    for (const char *from = name; *from != '\0' && at + 1 < sizeof variable; from++) {
        char byte = *from;
        if (byte >= 'a' && byte <= 'z') {
            byte = (char)(byte - 'a' + 'A');
        }
        variable[at++] = byte == '-' ? '_' : byte;
    }
    variable[at] = '\0';
    const char *wanted = variable;
    if (strcmp(variable, "HTTP_CONTENT_TYPE") == 0 ||
        strcmp(variable, "HTTP_CONTENT_LENGTH") == 0) {
        wanted = variable + 5;
    }
    return exchange_parameter(request->exchange, wanted);
}

enum status request_parse_query(struct request *request)
{
    struct slice rest = exchange_parameter(request->exchange, "QUERY_STRING");
    if (rest.length == 0) {
        return STATUS_OK;
    }
    size_t maximum = 1;
    for (size_t i = 0; i < rest.length; i++) {
        maximum += rest.data[i] == '&';
    }
    if (maximum > QUERY_PARAMETER_MAXIMUM) {
        return STATUS_TOO_LARGE;
    }
    request->query = arena_allocate(request->arena, maximum * sizeof *request->query);
    if (request->query == NULL) {
        return STATUS_NO_MEMORY;
    }
    struct slice pair;
    while (slice_split(&rest, '&', &pair)) {
        if (pair.length == 0) {
            continue;
        }
        struct slice value = pair;
        struct slice name = {0};
        if (!slice_split(&value, '=', &name)) {
            continue;
        }
        if (name.length == pair.length) {
            value = (struct slice){"", 0};
        }
        struct request_parameter *out = &request->query[request->query_count];
        enum status status = text_decode_percent(request->arena, name, true, &out->name);
        if (status == STATUS_OK) {
            status = text_decode_percent(request->arena, value, true, &out->value);
        }
        if (status != STATUS_OK) {
            return status;
        }
        if (!text_is_utf8(out->name.data, out->name.length) ||
            !text_is_utf8(out->value.data, out->value.length)) {
            return STATUS_INVALID;
        }
        request->query_count++;
    }
    return STATUS_OK;
}

bool request_query(const struct request *request, const char *name, struct slice *value)
{
    for (size_t i = request->query_count; i > 0; i--) {
        if (slice_equals(request->query[i - 1].name, name)) {
            *value = request->query[i - 1].value;
            return true;
        }
    }
    return false;
}

const char *request_timestamp(struct request *request)
{
    clock_format_timestamp(clock_wall_milliseconds(), request->timestamp);
    return request->timestamp;
}
