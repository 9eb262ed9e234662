/*
 * json/scan: one pass over the bytes, without recursion.
 *
 * The kinds of the containers that are open are a stack of bits in one word: 1 an object, 0 an
 * array. That is why the depth cannot exceed 64. The same loop serves json_scan_value and
 * json_inspect; the compiler makes one copy of it for each, so that scanning points of a series
 * pays nothing for the search for duplicates.
 */
#include "json/scan.h"

#include "json/internal.h"

_Static_assert(JSON_DEPTH_MAXIMUM <= 64, "the stack of open containers is one word");

/* What json_inspect adds to a scan. */
struct inspector {
    struct json_names names;
    struct json_findings *findings;
};

void json_scan_start(struct json_scanner *scanner, struct slice text)
{
    scanner->at = text.length == 0 ? "" : text.data;
    scanner->end = scanner->at + text.length;
    scanner->depth = 0;
    scanner->depth_maximum = JSON_DEPTH_MAXIMUM;
}

static inline const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) {
        at++;
    }
    return at;
}

/* The functions skip_… return the place behind what they name, or NULL if it is not there. */

static inline const char *skip_word(const char *at, const char *end, const char *word,
                                    size_t length)
{
    return (size_t)(end - at) >= length && memcmp(at, word, length) == 0 ? at + length : NULL;
}

static inline const char *skip_digits(const char *at, const char *end)
{
    const char *start = at;
    while (at < end && *at >= '0' && *at <= '9') {
        at++;
    }
    return at == start ? NULL : at;
}

/* RFC 8259 section 6. */
static inline const char *skip_number(const char *at, const char *end)
{
    if (*at == '-') {
        at++;
    }
    if (at < end && *at == '0') {
        at++;
    } else {
        at = skip_digits(at, end);
    }
    if (at != NULL && at < end && *at == '.') {
        at = skip_digits(at + 1, end);
    }
    if (at != NULL && at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-')) {
            at++;
        }
        at = skip_digits(at, end);
    }
    return at;
}

/* Any value that is no container. */
static inline const char *skip_scalar(const char *at, const char *end, enum json_kind *kind,
                                      struct inspector *inspector)
{
    switch (*at) {
    case '"': {
        bool ignored = false;
        *kind = JSON_STRING;
        return json_skip_string(at + 1, end,
                                inspector == NULL ? &ignored : &inspector->findings->has_nul);
    }
    case 't':
        *kind = JSON_BOOLEAN;
        return skip_word(at, end, "true", 4);
    case 'f':
        *kind = JSON_BOOLEAN;
        return skip_word(at, end, "false", 5);
    case 'n':
        *kind = JSON_NULL;
        return skip_word(at, end, "null", 4);
    default: {
        *kind = JSON_NUMBER;
        const char *behind = skip_number(at, end);
        if (inspector != NULL && behind != NULL && behind - at > JSON_NUMBER_ORDINARY) {
            inspector->findings->has_long_number = true;
        }
        return behind;
    }
    }
}

/* A name with its colon and the white space around that; `name` gets what is between the quotes. */
static inline const char *skip_name(const char *at, const char *end, struct slice *name,
                                    bool *has_nul)
{
    if (at == end || *at != '"') {
        return NULL;
    }
    const char *inside = at + 1;
    at = json_skip_string(inside, end, has_nul);
    if (at == NULL) {
        return NULL;
    }
    *name = (struct slice){.data = inside, .length = (size_t)(at - 1 - inside)};
    at = skip_space(at, end);
    return at < end && *at == ':' ? skip_space(at + 1, end) : NULL;
}

static inline enum status begin_member(const char **at, const char *end,
                                       struct inspector *inspector)
{
    struct slice name;
    bool ignored = false;
    *at = skip_name(*at, end, &name, inspector == NULL ? &ignored : &inspector->findings->has_nul);
    if (*at == NULL) {
        return STATUS_INVALID;
    }
    return inspector == NULL ? STATUS_OK : json_names_add(&inspector->names, name);
}

static inline __attribute__((always_inline)) enum status
scan(struct json_scanner *scanner, struct json_value *value, struct inspector *inspector)
{
    const char *end = scanner->end;
    const char *at = skip_space(scanner->at, end);
    const char *start = at;
    uint64_t objects = 0;
    int depth = 0;
    int room = (scanner->depth_maximum < JSON_DEPTH_MAXIMUM ? scanner->depth_maximum
                                                            : JSON_DEPTH_MAXIMUM) -
               scanner->depth;
    enum json_kind kind = JSON_NULL;
    enum status status;

    for (;;) {
        /* A value begins here. */
        if (at == end) {
            return STATUS_INVALID;
        }
        if (*at == '{' || *at == '[') {
            bool object = *at == '{';
            if (depth >= room) {
                return STATUS_TOO_LARGE;
            }
            depth++;
            objects = objects << 1 | object;
            if (object && inspector != NULL) {
                json_names_open_object(&inspector->names);
            }
            at = skip_space(at + 1, end);
            bool empty = at < end && *at == (object ? '}' : ']');
            if (!empty) {
                if (object && (status = begin_member(&at, end, inspector)) != STATUS_OK) {
                    return status;
                }
                continue;
            }
        } else {
            at = skip_scalar(at, end, &kind, inspector);
            if (at == NULL) {
                return STATUS_INVALID;
            }
        }
        /* Behind a value: containers may end, until a comma announces the next one. */
        for (;;) {
            if (depth == 0) {
                goto complete;
            }
            bool object = objects & 1;
            at = skip_space(at, end);
            if (at == end) {
                return STATUS_INVALID;
            }
            if (*at == ',') {
                at = skip_space(at + 1, end);
                if (object && (status = begin_member(&at, end, inspector)) != STATUS_OK) {
                    return status;
                }
                break;
            }
            if (*at != (object ? '}' : ']')) {
                return STATUS_INVALID;
            }
            at++;
            objects >>= 1;
            depth--;
            kind = object ? JSON_OBJECT : JSON_ARRAY;
            if (object && inspector != NULL &&
                (status = json_names_close_object(&inspector->names)) != STATUS_OK) {
                return status;
            }
        }
    }

complete:
    value->kind = kind;
    value->text = (struct slice){.data = start, .length = (size_t)(at - start)};
    scanner->at = skip_space(at, end);
    return STATUS_OK;
}

enum status json_scan_value(struct json_scanner *scanner, struct json_value *value)
{
    return scan(scanner, value, NULL);
}

bool json_scan_at_end(struct json_scanner *scanner)
{
    scanner->at = skip_space(scanner->at, scanner->end);
    return scanner->at == scanner->end;
}

static enum status enter(struct json_scanner *scanner, char bracket)
{
    const char *at = skip_space(scanner->at, scanner->end);
    if (at == scanner->end || *at != bracket) {
        return STATUS_INVALID;
    }
    if (scanner->depth >= scanner->depth_maximum || scanner->depth >= JSON_DEPTH_MAXIMUM) {
        return STATUS_TOO_LARGE;
    }
    scanner->depth++;
    scanner->at = at + 1;
    return STATUS_OK;
}

/* Goes to the next element or member: STATUS_NOT_FOUND with `bracket` consumed at the end. */
static enum status advance(struct json_scanner *scanner, bool *first, char bracket)
{
    const char *at = skip_space(scanner->at, scanner->end);
    if (at == scanner->end) {
        return STATUS_INVALID;
    }
    if (*at == bracket) {
        scanner->depth--;
        scanner->at = skip_space(at + 1, scanner->end);
        return STATUS_NOT_FOUND;
    }
    if (!*first) {
        if (*at != ',') {
            return STATUS_INVALID;
        }
        at++;
    }
    *first = false;
    scanner->at = at;
    return STATUS_OK;
}

enum status json_scan_enter_array(struct json_scanner *scanner)
{
    return enter(scanner, '[');
}

enum status json_scan_next_element(struct json_scanner *scanner, bool *first,
                                   struct json_value *value)
{
    enum status status = advance(scanner, first, ']');
    return status == STATUS_OK ? json_scan_value(scanner, value) : status;
}

enum status json_scan_enter_object(struct json_scanner *scanner)
{
    return enter(scanner, '{');
}

enum status json_scan_next_member(struct json_scanner *scanner, bool *first, struct slice *name,
                                  struct json_value *value)
{
    enum status status = advance(scanner, first, '}');
    if (status != STATUS_OK) {
        return status;
    }
    bool ignored = false;
    const char *at = skip_name(skip_space(scanner->at, scanner->end), scanner->end, name, &ignored);
    if (at == NULL) {
        return STATUS_INVALID;
    }
    scanner->at = at;
    return json_scan_value(scanner, value);
}

enum status json_inspect(struct slice text, struct arena *scratch, struct json_findings *findings)
{
    *findings = (struct json_findings){0};
    struct inspector inspector;
    inspector.findings = findings;
    json_names_start(&inspector.names, scratch);

    struct json_scanner scanner;
    struct json_value value;
    json_scan_start(&scanner, text);
    enum status status = scan(&scanner, &value, &inspector);
    if (status == STATUS_OK && !json_scan_at_end(&scanner)) {
        status = STATUS_INVALID;
    }
    return status;
}

enum status json_validate(struct slice text, struct arena *scratch)
{
    struct json_findings ignored;
    return json_inspect(text, scratch, &ignored);
}
