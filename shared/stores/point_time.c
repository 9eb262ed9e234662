/*
 * stores/point_time: see the header.
 */
#include "stores/point_time.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "stores/points.h"
#include "json/walk.h"

/* Bytes of a string in JSON, with quotes: ten escapes of six and some. */
#define TEXT_LENGTH_MAXIMUM 64

static enum status refuse(const char **message, const char *text)
{
    *message = text;
    return STATUS_INVALID;
}

static enum status check_range(double seconds, const char **message)
{
    if (seconds < POINT_TIME_MINIMUM) {
        return refuse(message, "Timestamp must not be before the year 1");
    }
    if (seconds > POINT_TIME_MAXIMUM) {
        return refuse(message, "Timestamp exceeds the maximum allowed timestamp");
    }
    return STATUS_OK;
}

static void spell(struct point_time *time)
{
    time->spelling_length = text_format_double(time->seconds, time->spelling);
}

static bool is_only_digits(struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
    }
    return true;
}

static enum status read_number(struct slice text, struct point_time *out, const char **message)
{
    double number;
    enum status status = text_parse_double(text, &number);
    if (status != STATUS_OK) {
        return status == STATUS_INVALID ? refuse(message, "Timestamp must be finite") : status;
    }
    bool is_milliseconds = number > POINT_TIME_MAXIMUM;
    /* Adding 0 makes 0 of -0. */
    out->seconds = is_milliseconds ? number / 1000 : number + 0.0;
    status = check_range(out->seconds, message);
    if (status != STATUS_OK) {
        return status;
    }
    out->has_fraction = floor(out->seconds) != out->seconds;
    if (is_milliseconds || (!out->has_fraction && !is_only_digits(text))) {
        spell(out);
    }
    return STATUS_OK;
}

static enum status set_date(struct point_time *out, int64_t year, int64_t month, int64_t day,
                            const char **message)
{
    int64_t seconds = INT64_MIN;
    if (year >= 0 && year <= 9999 && month >= 1 && month <= 12 && day >= 1 && day <= 31) {
        seconds = clock_seconds_of_date((int)year, (int)month, (int)day);
    }
    if (seconds == INT64_MIN) {
        return refuse(message, "Timestamp is not a date");
    }
    out->seconds = (double)seconds;
    spell(out);
    return check_range(out->seconds, message);
}

static bool read_digits(const char *text, size_t length, int64_t *number)
{
    struct slice digits = {.data = text, .length = length};
    return is_only_digits(digits) && text_parse_integer(digits, number) == STATUS_OK;
}

static enum status read_text(struct arena *scratch, struct slice quoted, struct point_time *out,
                             const char **message)
{
    int64_t year;
    int64_t month;
    int64_t day;
    struct slice text = {.data = quoted.data + 1, .length = quoted.length - 2};
    /* A longer text cannot be a date, even with every character escaped. */
    enum status status =
        quoted.length > TEXT_LENGTH_MAXIMUM ? STATUS_OK : json_plain_text(scratch, text, &text);
    if (status != STATUS_OK) {
        return status;
    }
    if (text.length != sizeof("YYYY-MM-DD") - 1 || text.data[4] != '-' || text.data[7] != '-' ||
        !read_digits(text.data, 4, &year) || !read_digits(text.data + 5, 2, &month) ||
        !read_digits(text.data + 8, 2, &day)) {
        return refuse(message, "Timestamp is not a date");
    }
    return set_date(out, year, month, day, message);
}

/* 2024 may also be spelled 2024.0. */
static bool read_whole_number(struct slice text, int64_t *number)
{
    double value;
    if (text_parse_double(text, &value) != STATUS_OK || value < 0 || value > 9999 ||
        floor(value) != value) {
        return false;
    }
    *number = (int64_t)value;
    return true;
}

/* The three members in any order and nothing else. The caller has checked that none stands twice. */
static enum status read_object(struct arena *scratch, struct slice text, struct point_time *out,
                               const char **message)
{
    static const char *const names[] = {"year", "month", "day"};
    int64_t parts[] = {-1, -1, -1};
    struct json_walk walk;
    enum status status = json_walk_object(&walk, text);
    while (status == STATUS_OK && json_walk_member(&walk, &status)) {
        struct slice name;
        status = json_plain_text(scratch, walk.name, &name);
        if (status != STATUS_OK) {
            return status;
        }
        size_t part = 0;
        while (part < 3 && !slice_equals(name, names[part])) {
            part++;
        }
        if (part == 3 || walk.value.kind != JSON_NUMBER ||
            !read_whole_number(walk.value.text, &parts[part])) {
            return refuse(message, "Timestamp is not a date");
        }
    }
    return set_date(out, parts[0], parts[1], parts[2], message);
}

enum status point_time_read(const struct json_value *value, struct arena *scratch,
                            struct point_time *out, const char **message)
{
    *out = (struct point_time){0};
    switch (value->kind) {
    case JSON_NUMBER:
        return read_number(value->text, out, message);
    case JSON_STRING:
        return read_text(scratch, value->text, out, message);
    case JSON_OBJECT:
        return read_object(scratch, value->text, out, message);
    default:
        return refuse(message, "Timestamp must be numeric or a date");
    }
}
