/*
 * stores/points: one pass over the text, member by member.
 *
 * A scanner of our own over json/scan.h instead of a tree, because a million points as a tree of
 * cJSON nodes take gigabytes and lose the spelling of their numbers.
 *
 * The points of one request nearly always have the same members in the same order. So the names
 * and roles of the previous point are kept: as long as names repeat by position, no name is looked
 * up again, and a point whose names all repeat cannot hold one of them twice.
 */
#include "stores/points.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "stores/point_time.h"

#define FIELD_MAXIMUM     4
#define FIRST_CAPACITY    64
#define REWRITTEN_MAXIMUM ((size_t)256 << 20)
#define SCRATCH_MAXIMUM   ((size_t)1 << 20)
/* A number without exponent and with fewer digits than this cannot overflow a double. */
#define HARMLESS_NUMBER_LENGTH 300

/* --- Kinds -------------------------------------------------------------------------------- */

struct spelling {
    const char *name;
    const char *missing;
    const char *not_numeric;
    const char *not_finite;
};

struct field {
    struct spelling usual;
    struct spelling other; /* in snake_case; name NULL: there is none */
};

#define SPELLING(name)                                                                             \
    {                                                                                              \
        name, "Field '" name "' is missing (required field)", "Field '" name "' must be numeric",  \
            "Field '" name "' must be finite"                                                      \
    }
#define FIELD_OR(name, other)                                                                      \
    {                                                                                              \
        SPELLING(name), SPELLING(other)                                                            \
    }
#define FIELD(name)                                                                                \
    {                                                                                              \
        .usual = SPELLING(name)                                                                    \
    }

enum ohlc { OPEN, HIGH, LOW, CLOSE };

static const struct field fields_of_kind[][FIELD_MAXIMUM] = {
    [POINT_VALUE] = {FIELD("value")},
    [POINT_OHLC] = {[OPEN] = FIELD("open"),
                    [HIGH] = FIELD("high"),
                    [LOW] = FIELD("low"),
                    [CLOSE] = FIELD("close")},
    [POINT_BAND] = {FIELD("upper"), FIELD("middle"), FIELD("lower")},
    [POINT_RIBBON] = {FIELD("upper"), FIELD("lower")},
    [POINT_TREND] = {FIELD_OR("baseLine", "base_line"), FIELD_OR("trendLine", "trend_line"),
                     FIELD_OR("trendDirection", "trend_direction")},
};

static const struct {
    const char *type; /* lower case, no underscores */
    enum point_kind kind;
} kinds[] = {
    {"candlestick", POINT_OHLC},
    {"bar", POINT_OHLC},
    {"band", POINT_BAND},
    {"ribbon", POINT_RIBBON},
    {"gradientribbon", POINT_RIBBON},
    {"trendfill", POINT_TREND},
};

static bool is_same_type(const char *given, const char *type)
{
    for (; *given != '\0'; given++) {
        char byte = *given;
        if (byte == '_') {
            continue;
        }
        if (byte >= 'A' && byte <= 'Z') {
            byte = (char)(byte - 'A' + 'a');
        }
        if (byte != *type) {
            return false;
        }
        type++;
    }
    return *type == '\0';
}

enum point_kind point_kind_of(const char *series_type)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (is_same_type(series_type, kinds[i].type)) {
            return kinds[i].kind;
        }
    }
    return POINT_VALUE;
}

/* --- The state of a scan ------------------------------------------------------------------ */

/* What a member is to us: a required field by its number, or one of these. */
enum { ROLE_TIME = FIELD_MAXIMUM, ROLE_OTHER };

struct member {
    struct slice name; /* as spelled */
    struct json_value value;
};

struct reader {
    struct json_scanner scanner;
    struct points *points;
    struct points_problem *problem;
    const struct field *fields;
    enum point_kind kind;
    double previous_time;
    struct member members[POINT_MEMBER_MAXIMUM];
    int roles[POINT_MEMBER_MAXIMUM]; /* of the names at each position, as last seen there */
    size_t known;                    /* positions that hold a name and a role */
    struct arena scratch;            /* of one member, or of the names */
};

static enum status refuse(struct reader *reader, enum points_problem_kind kind, const char *member,
                          const char *message)
{
    *reader->problem = (struct points_problem){
        .kind = kind, .message = message, .member = member, .index = reader->points->count};
    return STATUS_INVALID;
}

/* `member` NULL: the rule concerns the whole point. */
static enum status refuse_rule(struct reader *reader, const char *member, const char *message)
{
    return refuse(reader, POINTS_RULE, member, message);
}

static enum status refuse_size(struct reader *reader)
{
    return refuse_rule(reader, NULL, "The point is too large");
}

/* What a failure of json/scan means here. */
static enum status refuse_text(struct reader *reader, enum status status)
{
    switch (status) {
    case STATUS_OK:
    case STATUS_NO_MEMORY:
        return status;
    default:
        return refuse(reader, POINTS_MALFORMED, NULL, "The points are not valid JSON");
    }
}

static bool is_same(struct slice a, struct slice b)
{
    return a.length == b.length && memcmp(a.data, b.data, a.length) == 0;
}

/* --- Names -------------------------------------------------------------------------------- */

static int role_of(const struct reader *reader, struct slice name)
{
    if (slice_equals(name, "time")) {
        return ROLE_TIME;
    }
    for (int i = 0; i < FIELD_MAXIMUM && reader->fields[i].usual.name != NULL; i++) {
        const struct field *field = &reader->fields[i];
        if (slice_equals(name, field->usual.name) ||
            (field->other.name != NULL && slice_equals(name, field->other.name))) {
            return i;
        }
    }
    return ROLE_OTHER;
}

/* The spelling that the client uses for this field. A name with escapes counts as the usual one. */
static const struct spelling *spelling_of(const struct field *field, struct slice name)
{
    bool is_other = field->other.name != NULL && slice_equals(name, field->other.name);
    return is_other ? &field->other : &field->usual;
}

/* For a point whose names did not all repeat: finds the roles and looks for duplicates. */
static enum status learn_names(struct reader *reader, size_t count)
{
    struct slice plain[POINT_MEMBER_MAXIMUM];
    reader->known = 0;
    for (size_t i = 0; i < count; i++) {
        if (reader->members[i].name.length > POINT_TEXT_MAXIMUM) {
            return refuse_size(reader);
        }
        enum status status = json_plain_text(&reader->scratch, reader->members[i].name, &plain[i]);
        if (status != STATUS_OK) {
            return status;
        }
        for (size_t before = 0; before < i; before++) {
            if (is_same(plain[before], plain[i])) {
                return refuse(reader, POINTS_MALFORMED, NULL, "A point has a member twice");
            }
        }
        reader->roles[i] = role_of(reader, plain[i]);
    }
    reader->known = count;
    return STATUS_OK;
}

/* --- Values ------------------------------------------------------------------------------- */

static bool is_number_finite(struct slice text)
{
    if (text.length < HARMLESS_NUMBER_LENGTH && memchr(text.data, 'e', text.length) == NULL &&
        memchr(text.data, 'E', text.length) == NULL) {
        return true;
    }
    double ignored;
    return text_parse_double(text, &ignored) != STATUS_INVALID;
}

bool points_are_numbers_finite(struct slice json)
{
    /* Every byte that starts a number outside of strings starts a run of number characters, so
     * runs are looked at and strings are jumped over; structure does not matter. */
    const char *at = json.data;
    const char *end = json.data + json.length;
    while (at < end) {
        if (*at == '"') {
            for (at++; at < end && *at != '"'; at++) {
                at += *at == '\\';
            }
            at++;
        } else if (*at == '-' || (*at >= '0' && *at <= '9')) {
            const char *start = at;
            while (at < end && memchr("0123456789.-+eE", *at, 15) != NULL) {
                at++;
            }
            if (!is_number_finite((struct slice){start, (size_t)(at - start)})) {
                return false;
            }
        } else {
            at++;
        }
    }
    return true;
}

static bool is_container(const struct json_value *value)
{
    return value->kind == JSON_ARRAY || value->kind == JSON_OBJECT;
}

/* Refuses members that stand twice at any depth, which json/scan lets pass. */
static enum status check_names_within(struct reader *reader, const struct json_value *value)
{
    if (!is_container(value)) {
        return STATUS_OK;
    }
    /* A value that is too large for the scratch arena is also too large for a point. */
    if (value->text.length > POINT_TEXT_MAXIMUM) {
        return refuse_size(reader);
    }
    enum status status = json_validate(value->text, &reader->scratch);
    arena_reset(&reader->scratch);
    return refuse_text(reader, status);
}

static enum status check_other(struct reader *reader, const struct json_value *value)
{
    bool is_finite = is_container(value)          ? points_are_numbers_finite(value->text)
                     : value->kind == JSON_NUMBER ? is_number_finite(value->text)
                                                  : true;
    return is_finite ? STATUS_OK : refuse_rule(reader, NULL, "A number is not finite");
}

static enum status read_field(struct reader *reader, const struct field *field,
                              const struct member *member, double *number)
{
    enum status status = STATUS_INVALID;
    if (member->value.kind == JSON_NUMBER) {
        status = text_parse_double(member->value.text, number);
    }
    if (status != STATUS_INVALID) {
        return status;
    }
    const struct spelling *spelling = spelling_of(field, member->name);
    return refuse_rule(reader, spelling->name,
                       member->value.kind == JSON_NUMBER ? spelling->not_finite
                                                         : spelling->not_numeric);
}

/* Refuses a point for a field that it lacks, spelled as the point spells its other fields. */
static enum status refuse_absent(struct reader *reader, const struct field *field, size_t count)
{
    const struct spelling *spelling = &field->usual;
    for (size_t i = 0; i < count; i++) {
        int role = reader->roles[i];
        if (role < FIELD_MAXIMUM && field->other.name != NULL &&
            spelling_of(&reader->fields[role], reader->members[i].name) ==
                &reader->fields[role].other) {
            spelling = &field->other;
        }
    }
    return refuse(reader, POINTS_MISSING, spelling->name, spelling->missing);
}

static enum status check_ohlc(struct reader *reader, const double values[FIELD_MAXIMUM])
{
    if (values[LOW] > values[HIGH]) {
        return refuse_rule(reader, "low", "Invalid OHLC: low > high");
    }
    if (values[LOW] > values[OPEN]) {
        return refuse_rule(reader, "low", "Invalid OHLC: low > open");
    }
    if (values[LOW] > values[CLOSE]) {
        return refuse_rule(reader, "low", "Invalid OHLC: low > close");
    }
    if (values[HIGH] < values[OPEN]) {
        return refuse_rule(reader, "high", "Invalid OHLC: high < open");
    }
    if (values[HIGH] < values[CLOSE]) {
        return refuse_rule(reader, "high", "Invalid OHLC: high < close");
    }
    return STATUS_OK;
}

/* Where the time stands in the order of the series. */
static enum status read_time(struct reader *reader, const struct json_value *value,
                             struct point_time *time)
{
    const char *message = NULL;
    enum status status = point_time_read(value, &reader->scratch, time, &message);
    if (status != STATUS_OK) {
        return status == STATUS_INVALID ? refuse_rule(reader, "time", message) : status;
    }
    if (time->seconds == reader->previous_time) {
        return refuse_rule(reader, "time", "Duplicate timestamp");
    }
    if (time->seconds < reader->previous_time) {
        return refuse_rule(reader, "time", "Timestamps are not monotonic");
    }
    reader->previous_time = time->seconds;
    reader->points->has_fractions |= time->has_fraction;
    return STATUS_OK;
}

/* --- Points ------------------------------------------------------------------------------- */

static enum status add_point(struct reader *reader, double time, struct slice text)
{
    struct points *points = reader->points;
    if (text.length > POINT_TEXT_MAXIMUM) {
        return refuse_size(reader);
    }
    if (points->count == points->capacity) {
        size_t capacity = points->capacity == 0 ? FIRST_CAPACITY : 2 * points->capacity;
        struct point *items = memory_resize(points->items, capacity * sizeof(*items));
        if (items == NULL) {
            return STATUS_NO_MEMORY;
        }
        points->items = items;
        points->capacity = capacity;
    }
    points->items[points->count++] =
        (struct point){.time = time, .text = text.data, .length = text.length};
    return STATUS_OK;
}

static char *put(char *out, const char *bytes, size_t length)
{
    memcpy(out, bytes, length);
    return out + length;
}

/* The point without white space between its members and with its time in our spelling. `length` is
 * what that takes. */
static enum status rewrite(struct reader *reader, size_t count, const struct point_time *time,
                           size_t length, struct slice *out)
{
    if (length > POINT_TEXT_MAXIMUM) {
        return refuse_size(reader);
    }
    char *text = arena_allocate(&reader->points->rewritten, length);
    if (text == NULL) {
        return STATUS_NO_MEMORY;
    }
    *out = (struct slice){.data = text, .length = length};
    char separator = '{';
    for (size_t i = 0; i < count; i++) {
        const struct member *member = &reader->members[i];
        bool is_time = reader->roles[i] == ROLE_TIME && time->spelling_length > 0;
        *text++ = separator;
        *text++ = '"';
        text = put(text, member->name.data, member->name.length);
        *text++ = '"';
        *text++ = ':';
        text = is_time ? put(text, time->spelling, time->spelling_length)
                       : put(text, member->value.text.data, member->value.text.length);
        separator = ',';
    }
    *text = '}';
    return STATUS_OK;
}

/* Scans the members of the object that begins at the scanner. *repeats: all names stand where they
 * stood in the previous point. */
static enum status read_members(struct reader *reader, size_t *count, size_t *length, bool *repeats)
{
    enum status status = json_scan_enter_object(&reader->scanner);
    bool first = true;
    *count = 0;
    *length = 2; /* the braces, then per member two quotes, a colon and a comma but for the first */
    *repeats = true;
    while (status == STATUS_OK) {
        struct member scanned;
        status = json_scan_next_member(&reader->scanner, &first, &scanned.name, &scanned.value);
        if (status != STATUS_OK) {
            break;
        }
        size_t i = (*count)++;
        if (i == POINT_MEMBER_MAXIMUM) {
            return refuse_rule(reader, NULL, "The point has too many members");
        }
        *repeats = *repeats && i < reader->known && is_same(reader->members[i].name, scanned.name);
        reader->members[i] = scanned;
        *length += scanned.name.length + scanned.value.text.length + (i > 0 ? 4 : 3);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : refuse_text(reader, status);
}

/* All of a point but its place in the sequence. */
static enum status check_members(struct reader *reader, size_t count, struct point_time *time,
                                 size_t *time_text_length)
{
    double values[FIELD_MAXIMUM] = {0};
    bool present[FIELD_MAXIMUM] = {false};
    const struct json_value *time_value = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct json_value *value = &reader->members[i].value;
        int role = reader->roles[i];
        enum status status = check_names_within(reader, value);
        if (status != STATUS_OK) {
            return status;
        }
        if (role == ROLE_OTHER) {
            status = check_other(reader, value);
        } else if (role == ROLE_TIME) {
            time_value = value;
        } else {
            status = read_field(reader, &reader->fields[role], &reader->members[i], &values[role]);
            present[role] = true;
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (time_value == NULL) {
        return refuse(reader, POINTS_MISSING, "time",
                      "Timestamp is missing (required 'time' field)");
    }
    enum status status = read_time(reader, time_value, time);
    if (status != STATUS_OK) {
        return status;
    }
    *time_text_length = time_value->text.length;
    if (count == 1) {
        return STATUS_OK;
    }
    for (size_t i = 0; i < FIELD_MAXIMUM && reader->fields[i].usual.name != NULL; i++) {
        if (!present[i]) {
            return refuse_absent(reader, &reader->fields[i], count);
        }
    }
    return reader->kind == POINT_OHLC ? check_ohlc(reader, values) : STATUS_OK;
}

static enum status read_point(struct reader *reader)
{
    const char *start = reader->scanner.at;
    size_t count;
    size_t length;
    bool repeats;
    enum status status = read_members(reader, &count, &length, &repeats);
    if (status == STATUS_OK && !repeats) {
        status = learn_names(reader, count);
    }
    struct point_time time;
    size_t time_length = 0;
    if (status == STATUS_OK) {
        status = check_members(reader, count, &time, &time_length);
    }
    if (status != STATUS_OK) {
        return status;
    }
    /* The closing brace is the last byte of the point; the scanner has skipped what follows. */
    const char *end = reader->scanner.at;
    while (end[-1] != '}') {
        end--;
    }
    struct slice text = {.data = start, .length = (size_t)(end - start)};
    if (time.spelling_length > 0) {
        length = length - time_length + time.spelling_length;
    }
    if (text.length != length || time.spelling_length > 0) {
        status = rewrite(reader, count, &time, length, &text);
    }
    if (status == STATUS_OK) {
        status = add_point(reader, time.seconds, text);
    }
    if (reader->scratch.used > 0) {
        arena_reset(&reader->scratch);
    }
    return status;
}

static void skip_space(struct json_scanner *scanner)
{
    while (scanner->at < scanner->end && memchr(" \t\r\n", *scanner->at, 4) != NULL) {
        scanner->at++;
    }
}

/* json_scan_next_element would scan every point twice: once as a whole, once by its members. */
static enum status read_elements(struct reader *reader)
{
    struct json_scanner *scanner = &reader->scanner;
    enum status status = json_scan_enter_array(scanner);
    if (status != STATUS_OK) {
        return refuse(reader, POINTS_SHAPE, NULL, "Input should be a list");
    }
    for (bool first = true;; first = false) {
        skip_space(scanner);
        if (scanner->at == scanner->end) {
            return refuse_text(reader, STATUS_INVALID);
        }
        if (*scanner->at == ']') {
            scanner->at++;
            break;
        }
        if (!first) {
            if (*scanner->at != ',') {
                return refuse_text(reader, STATUS_INVALID);
            }
            scanner->at++;
            skip_space(scanner);
        }
        if (scanner->at < scanner->end && *scanner->at == '{') {
            status = read_point(reader);
        } else {
            struct json_value ignored;
            status = json_scan_value(scanner, &ignored);
            status = status == STATUS_OK
                         ? refuse(reader, POINTS_SHAPE, NULL, "Input should be an object")
                         : refuse_text(reader, status);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return json_scan_at_end(scanner) ? STATUS_OK : refuse_text(reader, STATUS_INVALID);
}

enum status points_scan(struct points *out, struct slice text, enum point_kind kind,
                        struct points_problem *problem)
{
    *out = (struct points){0};
    *problem = (struct points_problem){0};
    arena_init(&out->rewritten, REWRITTEN_MAXIMUM);
    struct reader reader;
    json_scan_start(&reader.scanner, text);
    reader.points = out;
    reader.problem = problem;
    reader.fields = fields_of_kind[kind];
    reader.kind = kind;
    reader.previous_time = -INFINITY;
    reader.known = 0;
    arena_init(&reader.scratch, SCRATCH_MAXIMUM);
    enum status status = read_elements(&reader);
    arena_destroy(&reader.scratch);
    if (status != STATUS_OK) {
        points_release(out);
    }
    return status;
}

void points_release(struct points *points)
{
    memory_release(points->items);
    arena_destroy(&points->rewritten);
    points->items = NULL;
    points->count = 0;
    points->capacity = 0;
}
