/*
 * Any bytes as points of a series; the first byte chooses the kind.
 *
 * Promises that must hold whatever the input: what is accepted is JSON without duplicate members,
 * its times ascend within their range, every stored point is within its size, and the stored text
 * is accepted again as it is, with the same times. What is refused has a message and an index.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "stores/points.h"

#define MEMORY ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise)
{
    if (!promise) {
        abort();
    }
}

static void join(const struct points *points, struct buffer *out)
{
    buffer_append_char(out, '[');
    for (size_t i = 0; i < points->count; i++) {
        buffer_append(out, ",", i > 0 ? 1 : 0);
        buffer_append(out, points->items[i].text, points->items[i].length);
    }
    buffer_append_char(out, ']');
    require(buffer_status(out) == STATUS_OK);
}

static void check_points(const struct points *points)
{
    double previous = POINT_TIME_MINIMUM - 1;
    for (size_t i = 0; i < points->count; i++) {
        const struct point *point = &points->items[i];
        require(point->time > previous && point->time <= POINT_TIME_MAXIMUM);
        require(point->length <= POINT_TEXT_MAXIMUM);
        require(point->text[0] == '{' && point->text[point->length - 1] == '}');
        previous = point->time;
    }
}

static void check_again(const struct points *points, enum point_kind kind)
{
    struct buffer text;
    struct buffer again;
    struct arena arena;
    struct points second;
    struct points_problem problem;
    buffer_init(&text, MEMORY);
    buffer_init(&again, MEMORY);
    arena_init(&arena, MEMORY);
    join(points, &text);
    struct slice slice = {text.data, text.length};
    require(json_validate(slice, &arena) == STATUS_OK);
    require(points_are_numbers_finite(slice));
    require(points_scan(&second, slice, kind, &problem) == STATUS_OK);
    require(second.count == points->count && second.has_fractions == points->has_fractions);
    for (size_t i = 0; i < second.count; i++) {
        require(second.items[i].time == points->items[i].time);
    }
    join(&second, &again);
    require(again.length == text.length && memcmp(again.data, text.data, text.length) == 0);
    points_release(&second);
    arena_destroy(&arena);
    buffer_release(&again);
    buffer_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    enum point_kind kind = (enum point_kind)(data[0] % (POINT_TREND + 1));
    struct slice text = {(const char *)data + 1, size - 1};
    struct points points;
    struct points_problem problem;
    enum status status = points_scan(&points, text, kind, &problem);
    if (status == STATUS_OK) {
        check_points(&points);
        check_again(&points, kind);
        points_release(&points);
    } else {
        require(status == STATUS_INVALID && problem.message != NULL);
        require(problem.index <= size && points.items == NULL && points.count == 0);
    }
    return 0;
}
