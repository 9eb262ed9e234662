/*
 * http/media: what kind of body a request says it has: Content-Type (RFC 9110 section 8.3) and
 * Content-Encoding (section 8.4). Own code because the suite has no HTTP library above the web server.
 */
#include <string.h>

#include "http/pipeline.h"

static bool is_token(struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        char byte = text.data[i];
        bool is_alphanumeric = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                               (byte >= '0' && byte <= '9');
        if (!is_alphanumeric && (byte == '\0' || strchr("!#$%&'*+-.^_`|~", byte) == NULL)) {
            return false;
        }
    }
    return text.length > 0;
}

/* Takes a quoted string off the front; false when it does not end. What is between the quotes stays
 * as it is, for no character set that we take needs an escape. */
static bool take_quoted(struct slice *rest, struct slice *inside)
{
    for (size_t i = 1; i < rest->length; i++) {
        if (rest->data[i] == '"') {
            *inside = (struct slice){rest->data + 1, i - 1};
            *rest = (struct slice){rest->data + i + 1, rest->length - i - 1};
            return true;
        }
        i += rest->data[i] == '\\';
    }
    return false;
}

/* Takes "name=value" off the front, up to a semicolon or the end; an empty one has no name. */
static bool take_parameter(struct slice *rest, struct slice *name, struct slice *value)
{
    *rest = slice_trim(*rest);
    *name = (struct slice){0};
    if (rest->length == 0 || rest->data[0] == ';') {
        return true;
    }
    size_t length = 0;
    while (length < rest->length && rest->data[length] != '=') {
        length++;
    }
    *name = (struct slice){rest->data, length};
    if (length == rest->length || !is_token(*name)) {
        return false;
    }
    *rest = (struct slice){rest->data + length + 1, rest->length - length - 1};
    if (rest->length > 0 && rest->data[0] == '"') {
        return take_quoted(rest, value);
    }
    length = 0;
    while (length < rest->length && rest->data[length] != ';') {
        length++;
    }
    *value = slice_trim((struct slice){rest->data, length});
    *rest = (struct slice){rest->data + length, rest->length - length};
    return is_token(*value);
}

/* RFC 8259 section 8.1: JSON between systems is UTF-8, of which ASCII is a part. */
static bool is_utf8(struct slice name)
{
    static const char *const names[] = {"utf-8", "utf8", "us-ascii"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (slice_equals_ignoring_case(name, names[i])) {
            return true;
        }
    }
    return false;
}

static bool is_json(struct slice type)
{
    struct slice rest = type;
    struct slice media;
    if (type.length == 0 || !slice_split(&rest, ';', &media) ||
        !slice_equals_ignoring_case(slice_trim(media), "application/json")) {
        return false;
    }
    bool has_more = media.length < type.length;
    while (has_more) {
        struct slice name;
        struct slice value = {0};
        if (!take_parameter(&rest, &name, &value) ||
            (slice_equals_ignoring_case(name, "charset") && !is_utf8(value))) {
            return false;
        }
        rest = slice_trim(rest);
        has_more = rest.length > 0;
        if (has_more && rest.data[0] != ';') {
            return false;
        }
        if (has_more) {
            rest = (struct slice){rest.data + 1, rest.length - 1};
        }
    }
    return true;
}

/* Nothing we do decodes a body, so only "identity", which is no coding. */
static bool is_coded(struct slice codings)
{
    struct slice coding;
    while (codings.length > 0 && slice_split(&codings, ',', &coding)) {
        coding = slice_trim(coding);
        if (coding.length > 0 && !slice_equals_ignoring_case(coding, "identity")) {
            return true;
        }
    }
    return false;
}

bool media_check(struct request *request, bool wants_json)
{
    if (is_coded(request_header(request, "Content-Encoding"))) {
        problem_answer(request, PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                       "The content coding is not supported");
        return false;
    }
    if (wants_json && !is_json(request_header(request, "Content-Type"))) {
        problem_answer(request, PROBLEM_UNSUPPORTED_MEDIA_TYPE, NULL);
        return false;
    }
    return true;
}
