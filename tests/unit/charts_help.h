/*
 * tests/unit/charts_help: the charts program without a web server, and its requests in short.
 */
#ifndef TESTS_CHARTS_HELP_H
#define TESTS_CHARTS_HELP_H

#include "keyed_calls.h"

#include "fcgi-apps/charts/routes.h"

static inline int charts_set_up(void **state)
{
    return pipeline_set_up_settings(state, &charts_options, SETTINGS("RATE_LIMIT_ENABLED=false"));
}

#define HISTORY(q) ASK("/api/charts/c/history/0/s", q)

static inline void assert_body(struct pipeline *pipeline, const struct call *call,
                               const char *expected)
{
    assert_answers(pipeline, call, 200);
    (void)answer_json(pipeline);
    assert_string_equal(pipeline->body.data, expected);
}

/* 400 or 404 with this in its message. */
static inline void assert_message(struct pipeline *pipeline, const struct call *call, int status,
                                  const char *fragment)
{
    assert_answers(pipeline, call, status);
    const char *message = answer_text(pipeline, "message");
    if (message == NULL || strstr(message, fragment) == NULL) {
        fail_msg("message is \"%s\", without \"%s\"", message != NULL ? message : "absent",
                 fragment);
    }
}

/* 422 that names this member. */
static inline void assert_field(struct pipeline *pipeline, const struct call *call,
                                const char *location)
{
    assert_answers(pipeline, call, 422);
    const struct json_node *error = json_first(json_member(answer_json(pipeline), "detail"));
    for (; error != NULL; error = json_next(error)) {
        const struct json_node *part = json_first(json_member(error, "loc"));
        for (; part != NULL; part = json_next(part)) {
            const char *text = NULL;
            if (json_get_text(part, &text) && strcmp(text, location) == 0) {
                return;
            }
        }
    }
    fail_msg("no error at %s: %s", location, pipeline->body.data);
}

/* 422 for one fault, at this place ("body.data.1.time") and with this in its text. */
static inline void assert_fault(struct pipeline *pipeline, const struct call *call,
                                const char *place, const char *fragment)
{
    assert_answers(pipeline, call, 422);
    const struct json_node *errors = json_member(answer_json(pipeline), "detail");
    assert_int_equal(json_count(errors), 1);
    struct buffer found;
    buffer_init(&found, 256);
    const struct json_node *part = json_first(json_member(json_first(errors), "loc"));
    for (const char *point = ""; part != NULL; part = json_next(part), point = ".") {
        const char *text = NULL;
        int64_t index = 0;
        if (json_get_text(part, &text)) {
            buffer_append_format(&found, "%s%s", point, text);
        } else if (json_get_integer(part, &index)) {
            buffer_append_format(&found, "%s%lld", point, (long long)index);
        }
    }
    assert_string_equal(buffer_text(&found), place);
    buffer_release(&found);
    const char *message = json_member_text(json_first(errors), "msg", "");
    if (strstr(message, fragment) == NULL) {
        fail_msg("\"%s\" is without \"%s\"", message, fragment);
    }
}

/* {"series_type":"line","data":[…]} with times from..to-1. */
static const char *line_body(struct pipeline *pipeline, int from, int to)
{
    struct buffer text;
    buffer_init(&text, (size_t)4 << 20);
    buffer_append_text(&text, "{\"series_type\":\"line\",\"data\":[");
    for (int i = from; i < to; i++) {
        buffer_append_format(&text, "%s{\"time\":%d,\"value\":%d}", i > from ? "," : "", i, i);
    }
    buffer_append_text(&text, "]}");
    const char *copy = arena_copy(&pipeline->arena, buffer_text(&text), text.length);
    assert_non_null(copy);
    buffer_release(&text);
    return copy;
}

static inline void make_line(struct pipeline *pipeline, int count)
{
    assert_answers(pipeline, POST("/api/charts/c/data/s", line_body(pipeline, 0, count)), 200);
}

#endif
