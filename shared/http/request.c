/*
 * http/request: header access.
 */
#include "http/request.h"

#include <string.h>

#include "base/clock.h"
#include "http/pipeline.h"

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

const char *request_timestamp(struct request *request)
{
    clock_format_timestamp(clock_wall_milliseconds(), request->timestamp);
    return request->timestamp;
}
