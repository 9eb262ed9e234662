/*
 * stores/points: what is accepted as points of a series, what is refused and where, and how the
 * accepted ones are spelled afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "stores/points.h"

/* Joins the stored texts by commas. */
static void join(const struct points *points, struct buffer *out)
{
    buffer_reset(out);
    for (size_t i = 0; i < points->count; i++) {
        if (i > 0) {
            buffer_append_char(out, ',');
        }
        buffer_append(out, points->items[i].text, points->items[i].length);
    }
    assert_int_equal(buffer_status(out), STATUS_OK);
}

struct accepted {
    const char *type;
    const char *text;
    const char *stored; /* NULL: as it came, without the brackets */
};

static void check_accepted(const struct accepted *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct points points;
        struct points_problem problem;
        struct buffer joined;
        buffer_init(&joined, (size_t)1 << 20);
        enum status status =
            points_scan(&points, slice_of(table[i].text), point_kind_of(table[i].type), &problem);
        if (status != STATUS_OK) {
            fail_msg("%s refused: %s", table[i].text, problem.message);
        }
        join(&points, &joined);
        if (table[i].stored != NULL) {
            assert_string_equal(buffer_text(&joined), table[i].stored);
        } else {
            assert_int_equal(joined.length, strlen(table[i].text) - 2);
            assert_memory_equal(buffer_text(&joined), table[i].text + 1, joined.length);
        }
        points_release(&points);
        buffer_release(&joined);
    }
}

#define CHECK_ACCEPTED(table) check_accepted((table), sizeof(table) / sizeof((table)[0]))

struct refused {
    const char *type;
    const char *text;
    enum points_problem_kind kind;
    size_t index;
    const char *fragment;
};

static void check_refused(const struct refused *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct points points;
        struct points_problem problem;
        enum status status =
            points_scan(&points, slice_of(table[i].text), point_kind_of(table[i].type), &problem);
        if (status != STATUS_INVALID) {
            fail_msg("%s: status %d", table[i].text, status);
        }
        if (problem.kind != table[i].kind || problem.index != table[i].index ||
            strstr(problem.message, table[i].fragment) == NULL) {
            fail_msg("%s: kind %d, \"%s\" at index %zu", table[i].text, problem.kind,
                     problem.message, problem.index);
        }
        assert_null(points.items);
        assert_int_equal(points.count, 0);
    }
}

#define CHECK_REFUSED(table) check_refused((table), sizeof(table) / sizeof((table)[0]))

static void text_of_points_is_kept_as_sent(void **state)
{
    (void)state;
    static const struct accepted table[] = {
        {"line", "[]", NULL},
        {"line", "[{\"time\":1,\"value\":1}]", NULL},
        {"line", "[{\"value\":1.0,\"time\":0}]", NULL},
        {"line", "[{\"time\":1,\"value\":1e3},{\"time\":2,\"value\":0.1000}]", NULL},
        {"line", "[{\"time\":1,\"value\":-0}]", NULL},
        {"line", "[{\"time\":1,\"value\":123456789012345678901234567890.5}]", NULL},
        {"line", "[{\"time\":1,\"value\":1,\"color\":\"#f\\u0030f\",\"x\":null,\"y\":true}]", NULL},
        {"line", "[{\"time\":1,\"value\":1,\"n\":{\"a\":[1, {\"b\":2}],\"c\":\" {\"}}]", NULL},
        {"line", "[{\"time\":1,\"value\":1,\"\xc3\xa9\":\"\xf0\x9f\x93\x88\"}]", NULL},
        {"line", "[{\"time\":1,\"value\":1,\"a\\\"b\":2,\"\":3}]", NULL},
        {"line", "[{\"time\":1,\"value\":1,\"a\\u0000\":2,\"a\":3,\"\\u0000\":4}]", NULL},
        {"candlestick", "[{\"time\":1,\"open\":1,\"high\":2,\"low\":1,\"close\":1.5,\"volume\":9}]",
         NULL},
        {"line", " [ { \"time\" : 1 , \"value\"\n:\t2 } ,\r\n{\"time\": 2,\"value\": 3} ] ",
         "{\"time\":1,\"value\":2},{\"time\":2,\"value\":3}"},
        /* an escaped name is the same name */
        {"line", "[{\"\\u0074ime\":1.0,\"v\\u0061lue\":1}]",
         "{\"\\u0074ime\":1,\"v\\u0061lue\":1}"},
    };
    CHECK_ACCEPTED(table);
}

static void time_becomes_utc_seconds(void **state)
{
    (void)state;
    static const struct accepted table[] = {
        {"line", "[{\"time\":1.0,\"value\":1}]", "{\"time\":1,\"value\":1}"},
        {"line", "[{\"value\":1,\"time\":1e9}]", "{\"value\":1,\"time\":1000000000}"},
        {"line", "[{\"time\":-0.0,\"value\":1}]", "{\"time\":0,\"value\":1}"},
        {"line", "[{\"time\":-1,\"value\":1},{\"time\":0,\"value\":1}]", NULL},
        {"line", "[{\"time\":-1.5e1,\"value\":1}]", "{\"time\":-15,\"value\":1}"},
        {"line", "[{\"time\":-62135596800,\"value\":1}]", NULL},
        {"line", "[{\"time\":\"0001-01-01\"},{\"time\":\"1900-01-02\"},{\"time\":\"1969-12-31\"}]",
         "{\"time\":-62135596800},{\"time\":-2208902400},{\"time\":-86400}"},
        {"line", "[{\"time\":{\"year\":1950,\"month\":1,\"day\":3},\"value\":16.66}]",
         "{\"time\":-630979200,\"value\":16.66}"},
        {"line", "[{\"time\":1.50,\"value\":1}]", NULL},
        {"line", "[{\"time\":4102444800,\"value\":1}]", NULL},
        {"line", "[{\"time\":4102444801,\"value\":1}]", "{\"time\":4102444.801,\"value\":1}"},
        {"line", "[{\"time\":1700000000000,\"value\":1}]", "{\"time\":1700000000,\"value\":1}"},
        {"line", "[{\"time\":1700000000123,\"value\":1}]", "{\"time\":1700000000.123,\"value\":1}"},
        {"line", "[{\"time\":4102444800000,\"value\":1}]", "{\"time\":4102444800,\"value\":1}"},
        {"line", "[{\"time\":\"1970-01-01\",\"value\":1},{\"time\":\"2024-02-29\",\"value\":1}]",
         "{\"time\":0,\"value\":1},{\"time\":1709164800,\"value\":1}"},
        {"line", "[{\"time\":{\"year\":2024,\"month\":2,\"day\":29},\"value\":1}]",
         "{\"time\":1709164800,\"value\":1}"},
        {"line", "[{\"time\": { \"day\":29, \"month\":2, \"year\":2024 },\"value\":1}]",
         "{\"time\":1709164800,\"value\":1}"},
        {"line", "[{\"time\":{\"year\":2024.0,\"m\\u006fnth\":2,\"day\":2.9e1},\"value\":1}]",
         "{\"time\":1709164800,\"value\":1}"},
        {"line", "[{\"time\":\"2024\\u002d02-2\\u0039\",\"value\":1}]",
         "{\"time\":1709164800,\"value\":1}"},
        {"line", "[{\"time\":\"2024-02-29\"},{\"time\":1709164801},{\"time\":1709164802000}]",
         "{\"time\":1709164800},{\"time\":1709164801},{\"time\":1709164802}"},
    };
    CHECK_ACCEPTED(table);
}

static void fractions_of_seconds_are_noticed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool has_fractions;
    } table[] = {
        {"[{\"time\":1},{\"time\":2.0}]", false},
        {"[{\"time\":1},{\"time\":2.5}]", true},
        {"[{\"time\":1700000000000}]", false},
        {"[{\"time\":1700000000001}]", true},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct points points;
        struct points_problem problem;
        assert_int_equal(points_scan(&points, slice_of(table[i].text), POINT_VALUE, &problem),
                         STATUS_OK);
        assert_int_equal(points.has_fractions, table[i].has_fractions);
        points_release(&points);
    }
}

static void types_demand_their_fields(void **state)
{
    (void)state;
    static const struct accepted good[] = {
        {"Line", "[{\"time\":1,\"value\":1}]", NULL},
        {"no such type", "[{\"time\":1,\"value\":1}]", NULL},
        {"signal", "[{\"time\":1,\"value\":1,\"color\":\"red\"}]", NULL},
        {"BAR", "[{\"time\":1,\"open\":2,\"high\":3,\"low\":1,\"close\":2}]", NULL},
        {"Candlestick", "[{\"time\":1,\"open\":1,\"high\":1,\"low\":1,\"close\":1}]", NULL},
        {"band", "[{\"time\":1,\"upper\":3,\"middle\":2,\"lower\":1}]", NULL},
        {"ribbon", "[{\"time\":1,\"upper\":3,\"lower\":1}]", NULL},
        {"gradient_ribbon", "[{\"time\":1,\"upper\":3,\"lower\":1,\"gradient\":0.5}]", NULL},
        {"gradientRibbon", "[{\"time\":1,\"upper\":3,\"lower\":1}]", NULL},
        {"trend_fill", "[{\"time\":1,\"baseLine\":3,\"trendLine\":1,\"trendDirection\":-1}]", NULL},
        {"trend_fill", "[{\"time\":1,\"base_line\":3,\"trend_line\":1,\"trend_direction\":-1}]",
         NULL},
        {"trend_fill", "[{\"time\":1,\"baseLine\":3,\"trend_line\":1,\"trendDirection\":-1}]",
         NULL},
        /* whitespace is legal everywhere */
        {"line", "[{\"time\":1}]", NULL},
        {"candlestick", "[{\"time\":1},{\"time\":2,\"open\":1,\"high\":1,\"low\":1,\"close\":1}]",
         NULL},
        {"band", "[{\"time\":1}]", NULL},
    };
    CHECK_ACCEPTED(good);

    static const struct refused bad[] = {
        {"line", "[{\"time\":1,\"color\":\"red\"}]", POINTS_MISSING, 0, "Field 'value' is missing"},
        {"line", "[{\"time\":1,\"value\":null}]", POINTS_RULE, 0, "'value' must be numeric"},
        {"line", "[{\"time\":1,\"value\":\"1\"}]", POINTS_RULE, 0, "'value' must be numeric"},
        {"line", "[{\"time\":1,\"value\":true}]", POINTS_RULE, 0, "'value' must be numeric"},
        {"line", "[{\"time\":1,\"value\":[1]}]", POINTS_RULE, 0, "'value' must be numeric"},
        {"line", "[{\"time\":1,\"value\":1e999}]", POINTS_RULE, 0, "'value' must be finite"},
        {"line", "[{\"time\":1,\"value\":1},{\"time\":2,\"Value\":1}]", POINTS_MISSING, 1,
         "Field 'value' is missing"},
        {"bar", "[{\"time\":1,\"open\":2,\"high\":3,\"low\":1}]", POINTS_MISSING, 0,
         "Field 'close' is missing"},
        {"bar", "[{\"time\":1,\"value\":2}]", POINTS_MISSING, 0, "Field 'open' is missing"},
        {"bar", "[{\"time\":1,\"open\":2,\"high\":1,\"low\":3,\"close\":2}]", POINTS_RULE, 0,
         "low > high"},
        {"bar", "[{\"time\":1,\"open\":1,\"high\":3,\"low\":2,\"close\":2}]", POINTS_RULE, 0,
         "low > open"},
        {"bar", "[{\"time\":1,\"open\":2,\"high\":3,\"low\":2,\"close\":1}]", POINTS_RULE, 0,
         "low > close"},
        {"bar", "[{\"time\":1,\"open\":4,\"high\":3,\"low\":1,\"close\":2}]", POINTS_RULE, 0,
         "high < open"},
        {"bar", "[{\"time\":1,\"open\":2,\"high\":3,\"low\":1,\"close\":4}]", POINTS_RULE, 0,
         "high < close"},
        {"band", "[{\"time\":1,\"upper\":3,\"lower\":1}]", POINTS_MISSING, 0,
         "Field 'middle' is missing"},
        {"ribbon", "[{\"time\":1,\"upper\":3}]", POINTS_MISSING, 0, "Field 'lower' is missing"},
        {"trend_fill", "[{\"time\":1,\"baseLine\":3,\"trendLine\":1}]", POINTS_MISSING, 0,
         "Field 'trendDirection' is missing"},
    };
    CHECK_REFUSED(bad);
}

/* Also where two spellings of it are known. */
static void a_fault_names_the_member_as_the_client_spells_it(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        const char *text;
        const char *member; /* NULL: the point */
        const char *message;
    } table[] = {
        {"line", "[{}]", "time", "Timestamp is missing (required 'time' field)"},
        {"line", "[{\"time\":\"x\",\"value\":1}]", "time", "Timestamp is not a date"},
        {"line", "[{\"time\":1},{\"time\":1}]", "time", "Duplicate timestamp"},
        {"line", "[{\"time\":2},{\"time\":1}]", "time", "Timestamps are not monotonic"},
        {"line", "[{\"time\":1,\"x\":1}]", "value", "Field 'value' is missing (required field)"},
        {"line", "[{\"time\":1,\"v\\u0061lue\":\"1\"}]", "value", "Field 'value' must be numeric"},
        {"line", "[{\"time\":1,\"value\":1,\"x\":1e999}]", NULL, "A number is not finite"},
        {"bar", "[{\"time\":1,\"open\":1,\"high\":1,\"low\":2,\"close\":1}]", "low",
         "Invalid OHLC: low > high"},
        {"bar", "[{\"time\":1,\"open\":3,\"high\":2,\"low\":1,\"close\":1}]", "high",
         "Invalid OHLC: high < open"},
        {"trend_fill", "[{\"time\":1,\"x\":1}]", "baseLine",
         "Field 'baseLine' is missing (required field)"},
        {"trend_fill", "[{\"time\":1,\"baseLine\":1,\"trendDirection\":1}]", "trendLine",
         "Field 'trendLine' is missing (required field)"},
        {"trend_fill", "[{\"time\":1,\"base_line\":1,\"trend_direction\":1}]", "trend_line",
         "Field 'trend_line' is missing (required field)"},
        {"trend_fill", "[{\"time\":1,\"baseLine\":\"1\"}]", "baseLine",
         "Field 'baseLine' must be numeric"},
        {"trend_fill", "[{\"time\":1,\"base_line\":\"1\"}]", "base_line",
         "Field 'base_line' must be numeric"},
        {"trend_fill", "[{\"time\":1,\"base_line\":1e999}]", "base_line",
         "Field 'base_line' must be finite"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct points points;
        struct points_problem problem;
        assert_int_equal(
            points_scan(&points, slice_of(table[i].text), point_kind_of(table[i].type), &problem),
            STATUS_INVALID);
        assert_string_equal(problem.message, table[i].message);
        if (table[i].member == NULL) {
            assert_null(problem.member);
        } else {
            assert_non_null(problem.member);
            assert_string_equal(problem.member, table[i].member);
        }
    }
}

static void wrong_times_are_refused_with_their_index(void **state)
{
    (void)state;
    static const struct refused table[] = {
        {"line", "[{\"value\":1}]", POINTS_MISSING, 0, "missing (required 'time' field)"},
        {"line", "[{}]", POINTS_MISSING, 0, "missing (required 'time' field)"},
        {"line", "[{\"time\":1},{\"time\":null}]", POINTS_RULE, 1, "must be numeric"},
        {"line", "[{\"time\":true}]", POINTS_RULE, 0, "must be numeric"},
        {"line", "[{\"time\":[1]}]", POINTS_RULE, 0, "must be numeric"},
        {"line", "[{\"time\":\"1\"}]", POINTS_RULE, 0, "not a date"},
        {"line", "[{\"time\":\"2024-1-01\"}]", POINTS_RULE, 0, "not a date"},
        {"line", "[{\"time\":\"2024-13-01\"}]", POINTS_RULE, 0, "not a date"},
        {"line", "[{\"time\":\"2023-02-29\"}]", POINTS_RULE, 0, "not a date"},
        {"line", "[{\"time\":\"2024-02-29T00:00:00Z\"}]", POINTS_RULE, 0, "not a date"},
        {"line", "[{\"time\":\"2024/02/29\"}]", POINTS_RULE, 0, "not a date"},
        {"line", "[{\"time\":\"-024-02-29\"}]", POINTS_RULE, 0, "not a date"},
        {"line", "[{\"time\":\"+024-02-29\"}]", POINTS_RULE, 0, "not a date"},
        {"line", "[{\"time\":\"\"}]", POINTS_RULE, 0, "not a date"},
        {"line", "[{\"time\":{}}]", POINTS_RULE, 0, "not a date"},
        {"line", "[{\"time\":{\"year\":2024,\"month\":2}}]", POINTS_RULE, 0, "not a date"},
        {"line", "[{\"time\":{\"year\":2024,\"month\":2,\"day\":30}}]", POINTS_RULE, 0,
         "not a date"},
        {"line", "[{\"time\":{\"year\":2024,\"month\":2,\"day\":1.5}}]", POINTS_RULE, 0,
         "not a date"},
        {"line", "[{\"time\":{\"year\":2024,\"month\":2,\"day\":1,\"hour\":1}}]", POINTS_RULE, 0,
         "not a date"},
        {"line", "[{\"time\":{\"year\":2024,\"year\":2024,\"month\":2,\"day\":1}}]",
         POINTS_MALFORMED, 0, "JSON"},
        {"line", "[{\"time\":{\"year\":2024,\"y\\u0065ar\":2024,\"month\":2,\"day\":1}}]",
         POINTS_MALFORMED, 0, "JSON"},
        {"line", "[{\"time\":\"2024-01-\\u0000\"}]", POINTS_RULE, 0, "not a date"},
        {"line", "[{\"time\":-62135596801}]", POINTS_RULE, 0, "before the year 1"},
        {"line", "[{\"time\":-631152000000}]", POINTS_RULE, 0, "before the year 1"},
        {"line", "[{\"time\":\"0000-12-31\"}]", POINTS_RULE, 0, "before the year 1"},
        {"line", "[{\"time\":{\"year\":0,\"month\":12,\"day\":31}}]", POINTS_RULE, 0,
         "before the year 1"},
        {"line", "[{\"time\":-1},{\"time\":-2}]", POINTS_RULE, 1, "not monotonic"},
        {"line", "[{\"time\":4102444800001}]", POINTS_RULE, 0, "exceeds"},
        {"line", "[{\"time\":1e14}]", POINTS_RULE, 0, "exceeds"},
        {"line", "[{\"time\":\"2100-01-02\"}]", POINTS_RULE, 0, "exceeds"},
        {"line", "[{\"time\":1e999}]", POINTS_RULE, 0, "must be finite"},
        {"line", "[{\"time\":3,\"value\":1},{\"time\":1,\"value\":1}]", POINTS_RULE, 1,
         "not monotonic"},
        {"line", "[{\"time\":1},{\"time\":2},{\"time\":2}]", POINTS_RULE, 2, "Duplicate timestamp"},
        {"line", "[{\"time\":\"2024-02-29\"},{\"time\":1709164800}]", POINTS_RULE, 1,
         "Duplicate timestamp"},
        {"line", "[{\"time\":1700000000},{\"time\":1699999999999}]", POINTS_RULE, 1,
         "not monotonic"},
    };
    CHECK_REFUSED(table);
}

static void what_is_not_strict_json_is_refused(void **state)
{
    (void)state;
    static const struct refused table[] = {
        {"line", "", POINTS_SHAPE, 0, "list"},
        {"line", "{}", POINTS_SHAPE, 0, "list"},
        {"line", "[1]", POINTS_SHAPE, 0, "object"},
        {"line", "[{\"time\":1},null]", POINTS_SHAPE, 1, "object"},
        {"line", "[[{\"time\":1}]]", POINTS_SHAPE, 0, "object"},
        {"line", "[", POINTS_MALFORMED, 0, "JSON"},
        {"line", "[{\"time\":1}", POINTS_MALFORMED, 1, "JSON"},
        {"line", "[{\"time\":1},]", POINTS_MALFORMED, 1, "JSON"},
        {"line", "[,{\"time\":1}]", POINTS_MALFORMED, 0, "JSON"},
        {"line", "[{\"time\":1}{\"time\":2}]", POINTS_MALFORMED, 1, "JSON"},
        {"line", "[{\"time\":1,}]", POINTS_MALFORMED, 0, "JSON"},
        {"line", "[{\"time\":1}] x", POINTS_MALFORMED, 1, "JSON"},
        {"line", "[{\"time\":NaN}]", POINTS_MALFORMED, 0, "JSON"},
        {"line", "[{\"time\":1,\"value\":01}]", POINTS_MALFORMED, 0, "JSON"},
        {"line", "[{\"time\":1,\"value\":1,\"x\":\"\xff\"}]", POINTS_MALFORMED, 0, "JSON"},
        {"line", "[{\"time\":1,\"time\":1}]", POINTS_MALFORMED, 0, "twice"},
        {"line", "[{\"time\":1,\"value\":1},{\"time\":2,\"value\":1,\"value\":1}]",
         POINTS_MALFORMED, 1, "twice"},
        {"line", "[{\"time\":1,\"value\":1,\"\\u0074ime\":1}]", POINTS_MALFORMED, 0, "twice"},
        {"line", "[{\"time\":1,\"value\":1,\"n\":{\"a\":1,\"a\":2}}]", POINTS_MALFORMED, 0, "JSON"},
        {"line", "[{\"time\":1,\"value\":1,\"x\":1e400}]", POINTS_RULE, 0, "not finite"},
        {"line", "[{\"time\":1,\"value\":1,\"x\":[[-1E400]]}]", POINTS_RULE, 0, "not finite"},
    };
    CHECK_REFUSED(table);
}

/* The names of the previous point are taken as known: none of these may fool that. */
static void changing_members_are_noticed(void **state)
{
    (void)state;
    static const struct accepted good[] = {
        {"line",
         "[{\"time\":1,\"value\":1,\"c\":1},{\"time\":2,\"value\":2},"
         "{\"value\":3,\"time\":3},{\"time\":4,\"x\":1,\"value\":4},{\"time\":5}]",
         NULL},
    };
    CHECK_ACCEPTED(good);
    static const struct refused bad[] = {
        {"line",
         "[{\"time\":1,\"value\":1,\"c\":1},{\"time\":2,\"value\":2},"
         "{\"time\":3,\"value\":1,\"time\":1}]",
         POINTS_MALFORMED, 2, "twice"},
        {"line", "[{\"time\":1,\"value\":1},{\"value\":2,\"value\":3}]", POINTS_MALFORMED, 1,
         "twice"},
        {"line", "[{\"time\":1,\"value\":1},{\"time\":2,\"valuf\":1}]", POINTS_MISSING, 1,
         "'value'"},
        {"line", "[{\"time\":1,\"value\":1},{\"value\":2,\"timf\":1}]", POINTS_MISSING, 1,
         "'time'"},
    };
    CHECK_REFUSED(bad);
}

static void size_and_members_of_a_point_are_limited(void **state)
{
    (void)state;
    struct buffer text;
    struct points points;
    struct points_problem problem;
    buffer_init(&text, (size_t)1 << 20);
    for (size_t extra = 0; extra < 2; extra++) {
        buffer_reset(&text);
        buffer_append_text(&text, "[{\"time\":1,\"value\":1,\"x\":\"");
        size_t rest = POINT_TEXT_MAXIMUM + extra - (text.length - 1) - 2;
        for (size_t i = 0; i < rest; i++) {
            buffer_append_char(&text, 'x');
        }
        buffer_append_text(&text, "\"}]");
        struct slice slice = {text.data, text.length};
        enum status status = points_scan(&points, slice, POINT_VALUE, &problem);
        assert_int_equal(status, extra == 0 ? STATUS_OK : STATUS_INVALID);
        if (status == STATUS_OK) {
            assert_int_equal(points.items[0].length, POINT_TEXT_MAXIMUM);
            points_release(&points);
        }
    }
    /* Also a value whose check takes more memory than a point may. */
    static const char *const large[][2] = {{"\"\\u0061", "\":1"},
                                           {"\"x\":{\"", "\":1}"},
                                           {"\"time\":{\"", "\":1}"},
                                           {"\"value\":[{\"", "\":1}]"}};
    buffer_release(&text);
    buffer_init(&text, (size_t)8 << 20);
    for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++) {
        buffer_reset(&text);
        buffer_append_format(&text, "[{\"y\":1,%s%0*d%s}]", large[i][0], 2 << 20, 0, large[i][1]);
        struct slice slice = {text.data, text.length};
        assert_int_equal(points_scan(&points, slice, POINT_VALUE, &problem), STATUS_INVALID);
        assert_int_equal(problem.kind, POINTS_RULE);
        assert_string_equal(problem.message, "The point is too large");
    }
    buffer_reset(&text);
    buffer_append_text(&text, "[{\"time\":1,\"value\":1");
    for (int member = 0; member < 40; member++) {
        buffer_append_format(&text, ",\"m%d\":{\"\":0", member);
        for (int name = 0; name < 800; name++) {
            buffer_append_format(&text, ",\"%d\":0", name);
        }
        buffer_append_char(&text, '}');
    }
    buffer_append_text(&text, "}]");
    assert_int_equal(
        points_scan(&points, (struct slice){text.data, text.length}, POINT_VALUE, &problem),
        STATUS_INVALID);
    assert_string_equal(problem.message, "The point is too large");
    for (int count = POINT_MEMBER_MAXIMUM; count <= POINT_MEMBER_MAXIMUM + 1; count++) {
        buffer_reset(&text);
        buffer_append_text(&text, "[{\"time\":1,\"value\":1");
        for (int i = 2; i < count; i++) {
            buffer_append_format(&text, ",\"m%d\":1", i);
        }
        buffer_append_text(&text, "}]");
        struct slice slice = {text.data, text.length};
        enum status status = points_scan(&points, slice, POINT_VALUE, &problem);
        assert_int_equal(status, count == POINT_MEMBER_MAXIMUM ? STATUS_OK : STATUS_INVALID);
        points_release(&points);
    }
    buffer_release(&text);
}

/* Depth is counted from the outermost bracket of the points. */
static void depth_is_limited(void **state)
{
    (void)state;
    char text[512];
    for (int nested = JSON_DEPTH_MAXIMUM - 2; nested <= JSON_DEPTH_MAXIMUM - 1; nested++) {
        size_t length = (size_t)snprintf(text, sizeof(text), "[{\"time\":1,\"value\":1,\"x\":");
        memset(text + length, '[', (size_t)nested);
        length += (size_t)nested;
        memset(text + length, ']', (size_t)nested);
        length += (size_t)nested;
        snprintf(text + length, sizeof(text) - length, "}]");
        struct points points;
        struct points_problem problem;
        enum status status = points_scan(&points, slice_of(text), POINT_VALUE, &problem);
        assert_int_equal(status, nested == JSON_DEPTH_MAXIMUM - 2 ? STATUS_OK : STATUS_INVALID);
        points_release(&points);
    }
}

/* What has been stored once is stored the same way when it comes back. */
static void stored_points_are_accepted_unchanged(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "[ {\"time\": 1700000000123, \"value\": 1.10 } , {\"time\":\"2024-02-29\",\"value\":2}]",
        "[{\"time\":1e9,\"value\":1},{\"time\":4102444800000,\"value\":1}]",
        "[{\"time\":4102444801,\"value\":1},{\"time\":{\"year\":2024,\"month\":1,\"day\":1}}]",
        "[{\"time\":0.0001},{\"time\":1.50},{\"time\":1700000000000.5}]",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct points first;
        struct points second;
        struct points_problem problem;
        struct buffer joined;
        struct buffer again;
        struct buffer joined_again;
        buffer_init(&joined, 4096);
        buffer_init(&again, 4096);
        buffer_init(&joined_again, 4096);
        assert_int_equal(points_scan(&first, slice_of(texts[i]), POINT_VALUE, &problem), STATUS_OK);
        join(&first, &joined);
        buffer_reset(&again);
        buffer_append_format(&again, "[%s]", buffer_text(&joined));
        assert_int_equal(
            points_scan(&second, (struct slice){again.data, again.length}, POINT_VALUE, &problem),
            STATUS_OK);
        join(&second, &joined_again);
        assert_string_equal(buffer_text(&joined_again), buffer_text(&joined));
        for (size_t k = 0; k < first.count; k++) {
            assert_true(first.items[k].time == second.items[k].time);
        }
        points_release(&first);
        points_release(&second);
        buffer_release(&joined);
        buffer_release(&again);
        buffer_release(&joined_again);
    }
}

/* The name before it fills the scratch memory to any degree. */
static void a_time_that_there_is_no_memory_to_read_is_not_taken_for_another(void **state)
{
    (void)state;
    static const char *const times[] = {"\"2024\\u002d02-29\"",
                                        "{\"ye\\u0061r\":2024,\"month\":2,\"day\":29}"};
    static char text[POINT_TEXT_MAXIMUM];
    for (int i = 0; i < 2 * 4096; i++) {
        snprintf(text, sizeof(text), "[{\"\\u0061%0*d\":1,\"time\":%s,\"value\":1}]", 1 + i / 2, 0,
                 times[i % 2]);
        bool has_failed = true;
        for (unsigned long n = 1; has_failed; n++) {
            struct points points;
            struct points_problem problem;
            memory_fail_only(n);
            enum status status = points_scan(&points, slice_of(text), POINT_VALUE, &problem);
            has_failed = memory_failures_seen() > 0;
            memory_fail_only(0);
            assert_int_equal(status, has_failed ? STATUS_NO_MEMORY : STATUS_OK);
            points_release(&points);
        }
    }
}

static void failing_allocations_leak_nothing(void **state)
{
    (void)state;
    struct buffer text;
    buffer_init(&text, (size_t)1 << 20);
    buffer_append_char(&text, '[');
    for (int i = 0; i < 300; i++) {
        buffer_append_format(&text, "%s{\"time\": %d, \"value\":1, \"\\u0061\":{\"b\":[1]}}",
                             i > 0 ? "," : "", i);
    }
    buffer_append_char(&text, ']');
    struct slice slice = {text.data, text.length};
    for (unsigned long n = 1;; n++) {
        struct points points;
        struct points_problem problem;
        memory_fail_after(n);
        enum status status = points_scan(&points, slice, POINT_VALUE, &problem);
        unsigned long failures = memory_failures_seen();
        memory_fail_after(0);
        if (failures == 0) {
            assert_int_equal(status, STATUS_OK);
            assert_int_equal(points.count, 300);
            points_release(&points);
            break;
        }
        assert_int_equal(status, STATUS_NO_MEMORY);
        assert_null(points.items);
    }
    buffer_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_of_points_is_kept_as_sent),
        cmocka_unit_test(time_becomes_utc_seconds),
        cmocka_unit_test(fractions_of_seconds_are_noticed),
        cmocka_unit_test(types_demand_their_fields),
        cmocka_unit_test(a_fault_names_the_member_as_the_client_spells_it),
        cmocka_unit_test(wrong_times_are_refused_with_their_index),
        cmocka_unit_test(what_is_not_strict_json_is_refused),
        cmocka_unit_test(changing_members_are_noticed),
        cmocka_unit_test(size_and_members_of_a_point_are_limited),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(stored_points_are_accepted_unchanged),
        cmocka_unit_test(a_time_that_there_is_no_memory_to_read_is_not_taken_for_another),
        cmocka_unit_test(failing_allocations_leak_nothing),
    };
    return cmocka_run_group_tests_name("points", tests, NULL, NULL);
}
