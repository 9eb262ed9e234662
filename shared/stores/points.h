/*
 * stores/points: reads the points of a series from a request, strictly, and keeps them as text.
 *
 * Points are data plane: they are scanned once (json/scan.h) and passed on as the client spelled
 * them, members of our concern and all others alike. Only two things are made uniform: white space
 * between the members of a point is dropped, and its `time` becomes UTC seconds, as an integer
 * where it is one. A time may come as seconds, as milliseconds (a number above
 * POINT_TIME_MAXIMUM), as "YYYY-MM-DD" or as {"year","month","day"}.
 *
 * Promises: what is accepted is valid JSON without duplicate members at any depth and without
 * numbers that overflow a double; times ascend strictly and lie within POINT_TIME_MINIMUM and
 * POINT_TIME_MAXIMUM; a point has all fields of its kind as numbers, or no member but `time`
 * (whitespace, a gap in the line). The text of a stored point would be accepted again and stay as it
 * is.
 */
#ifndef STORES_POINTS_H
#define STORES_POINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/text.h"
#include "json/scan.h"

#define POINT_TIME_MINIMUM   (-62135596800.0) /* 0001-01-01T00:00:00Z */
#define POINT_TIME_MAXIMUM   4102444800.0     /* 2100-01-01T00:00:00Z */
#define POINT_TEXT_MAXIMUM   8192             /* bytes of one point as it is stored */
#define POINT_MEMBER_MAXIMUM 64

/* Which members a point must have. */
enum point_kind {
    POINT_VALUE,  /* line, area, baseline, histogram, signal and every type unknown to us: value */
    POINT_OHLC,   /* candlestick, bar: open, high, low, close; low <= open, close <= high */
    POINT_BAND,   /* band: upper, middle, lower */
    POINT_RIBBON, /* ribbon, gradient_ribbon: upper, lower */
    POINT_TREND   /* trend_fill: baseLine, trendLine, trendDirection, or in snake_case */
};

/* Compared in any case and without underscores ("trendFill" is trend_fill). */
enum point_kind point_kind_of(const char *series_type);

struct point {
    double time;      /* seconds since 1970 */
    const char *text; /* one JSON object, not NUL-terminated */
    size_t length;
};

struct points {
    struct point *items;
    size_t count;
    size_t capacity;
    bool has_fractions;     /* some time is no whole second */
    struct arena rewritten; /* texts that are not as they came */
};

enum points_problem_kind {
    POINTS_MALFORMED, /* not JSON, or a member twice */
    POINTS_SHAPE,     /* not an array of objects */
    POINTS_MISSING,   /* a point lacks a member that it must have */
    POINTS_RULE       /* a point breaks another rule */
};

struct points_problem {
    enum points_problem_kind kind;
    const char *message; /* fixed text: "Field 'open' must be numeric" */
    const char *member;  /* "open", as the client spells it; NULL: the whole point */
    size_t index;        /* of the first bad point */
};

/* Reads a JSON array of points. `text` must outlive *out, for texts that need no change point into
 * it. On success release with points_release. STATUS_INVALID with *problem filled, or
 * STATUS_NO_MEMORY; *out is then empty and needs no release. */
enum status points_scan(struct points *out, struct slice text, enum point_kind kind,
                        struct points_problem *problem) MUST_CHECK;

/* Idempotent. */
void points_release(struct points *points);

/* False if a number at any depth of this valid JSON overflows a double: readers would make it
 * infinite, or fail. */
bool points_are_numbers_finite(struct slice json);

#endif
