/*
 * tests/torture/torture: one request, while each of its allocations in turn fails.
 *
 * A request runs again and again: first its first allocation fails, then its second, until a run
 * ends without a failure; once so that all later allocations fail as well, and once so that the
 * one is the only one. Each answer is the whole one of a healthy run or the documented 503; a
 * stream may also break off, but never as if it were complete. After each run the same request is
 * made with all the memory there is, and answered as ever.
 */
#ifndef TESTS_TORTURE_H
#define TESTS_TORTURE_H

#include "../unit/pipeline_help.h"
#include "mask.h"

enum torture_outcome {
    TORTURE_NOTHING, /* the transport could not begin, or has given the client up */
    TORTURE_REFUSED, /* 503 */
    TORTURE_CUT_OFF, /* a stream: the beginning, perhaps with an error event */
    TORTURE_WHOLE    /* the answer of a healthy run */
};

struct torture_result {
    enum torture_outcome outcome;
    unsigned long failures; /* allocations that failed; all of them from one on, if more than one */
};

/* What is done to a request; zeroes are fine. */
struct torture_plan {
    const struct call *call;
    bool may_vanish;   /* a stream: there may be no answer at all */
    bool ignores_body; /* it differs in each healthy run */
    /* Around each run, with all the memory there is; may be NULL. */
    void (*before)(struct pipeline *pipeline, void *context);
    void (*after)(struct pipeline *pipeline, struct torture_result result, void *context);
    void *context;
};

struct torture {
    struct pipeline *pipeline;
    const struct torture_plan *plan;
    /* The healthy answer. */
    int status;
    size_t header_count;
    struct buffer body; /* masked */
    bool is_event_stream;
    bool is_packed;       /* without memory an answer may be sent as it is */
    struct buffer masked; /* of the answer at hand */
    size_t seen[TORTURE_WHOLE + 1];
};

#define TORTURE_BODY_MAXIMUM ((size_t)8 << 20)

/* --- Answers -------------------------------------------------------------------------------- */

/* The body is one of the documented ones: {"error": word or OpenAI's object}. */
static inline void torture_check_refusal(struct torture *torture)
{
    struct pipeline *pipeline = torture->pipeline;
    const struct json_node *root = NULL;
    assert_non_null(answer_header(pipeline, "Retry-After"));
    assert_non_null(answer_header(pipeline, "X-Content-Type-Options"));
    assert_null(answer_header(pipeline, "ETag"));
    bool is_head = torture->plan->call->method != NULL &&
                   strcmp(torture->plan->call->method, "HEAD") == 0 && pipeline->body.length == 0;
    if (!is_head) {
        assert_int_equal(json_parse(&pipeline->arena, pipeline->body, &root), STATUS_OK);
        assert_non_null(json_member(root, "error"));
    }
}

/* The frame of an error ends what a stream has sent before; without it that is all there is. */
static inline size_t torture_find_error(const char *events)
{
    static const char *const frames[] = {"data: {\"error\":", "event: error\n"};
    for (size_t i = 0; i < COUNT(frames); i++) {
        const char *found = strstr(events, frames[i]);
        if (found != NULL) {
            return (size_t)(found - events);
        }
    }
    return strlen(events);
}

static inline void torture_check_cut_off(struct torture *torture, const char *what, size_t n)
{
    const char *events = buffer_text(&torture->masked);
    size_t length = torture_find_error(events);
    bool seems_complete =
        strstr(events, "[DONE]") != NULL || strstr(events, "event: done\n") != NULL;
    if (seems_complete || length > torture->body.length ||
        memcmp(events, torture->body.data, length) != 0) {
        fail_msg("%s %zu: not the beginning of the stream: %s\nhealthy: %s", what, n, events,
                 buffer_text(&torture->body));
    }
}

static inline void torture_mask_answer(struct torture *torture, struct buffer *out)
{
    buffer_reset(out);
    mask_text(out, torture->pipeline->body);
    assert_int_equal(buffer_status(out), STATUS_OK);
}

/* The message of an error may be the general one; what it is about, it says all the same. */
static inline bool torture_is_same_body(const struct torture *torture)
{
    return torture->plan->ignores_body || torture->status >= 400 ||
           strcmp(buffer_text(&torture->masked), buffer_text(&torture->body)) == 0;
}

static inline enum torture_outcome torture_judge(struct torture *torture, const char *what,
                                                 size_t n)
{
    struct pipeline *pipeline = torture->pipeline;
    const char *problem = pipeline_read_answer(pipeline);
    if (problem != NULL) {
        fail_msg("%s %zu: %s: %s", what, n, problem, buffer_text(&pipeline->answer));
    }
    bool has_all_headers = answer_header_count(pipeline) == torture->header_count;
    torture_mask_answer(torture, &torture->masked);
    if (pipeline->status == torture->status && has_all_headers && torture_is_same_body(torture)) {
        return TORTURE_WHOLE;
    }
    if (pipeline->status == torture->status && torture->is_packed &&
        answer_header(pipeline, "Content-Encoding") == NULL) {
        return TORTURE_WHOLE;
    }
    if (pipeline->status == 503) {
        torture_check_refusal(torture);
        return TORTURE_REFUSED;
    }
    if (pipeline->status != torture->status || !has_all_headers || !torture->is_event_stream) {
        fail_msg("%s %zu: neither whole nor refused: %s\nhealthy: %s", what, n,
                 buffer_text(&pipeline->answer), buffer_text(&torture->body));
    }
    torture_check_cut_off(torture, what, n);
    return TORTURE_CUT_OFF;
}

/* --- Runs ----------------------------------------------------------------------------------- */

static inline void torture_before(struct torture *torture)
{
    if (torture->plan->before != NULL) {
        torture->plan->before(torture->pipeline, torture->plan->context);
    }
}

static inline void torture_after(struct torture *torture, enum torture_outcome outcome,
                                 unsigned long failures)
{
    torture->seen[outcome]++;
    if (torture->plan->after != NULL) {
        torture->plan->after(torture->pipeline, (struct torture_result){outcome, failures},
                             torture->plan->context);
    }
    /* What was read of this answer is of no use for the next. */
    arena_reset(&torture->pipeline->arena);
}

/* With all the memory there is. */
static inline void torture_run_healthy(struct torture *torture, const char *what, size_t n)
{
    torture_before(torture);
    assert_int_equal(pipeline_run(torture->pipeline, torture->plan->call), STATUS_OK);
    enum torture_outcome outcome = torture_judge(torture, what, n);
    if (outcome != TORTURE_WHOLE) {
        fail_msg("after %s %zu: %s", what, n, buffer_text(&torture->pipeline->answer));
    }
    torture_after(torture, outcome, 0);
}

static inline void torture_begin(struct torture *torture, struct pipeline *pipeline,
                                 const struct torture_plan *plan)
{
    *torture = (struct torture){.pipeline = pipeline, .plan = plan};
    buffer_init(&torture->body, TORTURE_BODY_MAXIMUM);
    buffer_init(&torture->masked, TORTURE_BODY_MAXIMUM);
    assert_non_null(buffer_reserve(&pipeline->answer, 1u << 20));
    torture_before(torture);
    torture->status = send_call(pipeline, plan->call);
    torture->header_count = answer_header_count(pipeline);
    const char *type = answer_header(pipeline, "Content-Type");
    torture->is_event_stream = type != NULL && strcmp(type, "text/event-stream") == 0;
    torture->is_packed = answer_header(pipeline, "Content-Encoding") != NULL;
    torture_mask_answer(torture, &torture->body);
    torture_after(torture, TORTURE_WHOLE, 0);
}

static inline void torture_end(struct torture *torture)
{
    buffer_release(&torture->body);
    buffer_release(&torture->masked);
}

/* Once for each allocation, until a run ends without a failure. */
static inline void torture_allocations(struct torture *torture, void (*fail_nth)(unsigned long n),
                                       const char *what)
{
    struct pipeline *pipeline = torture->pipeline;
    size_t nothing = 0;
    unsigned long failures = 1;
    for (unsigned long n = 1; failures > 0; n++) {
        assert_true(n < 20000);
        torture_before(torture);
        fail_nth(n);
        enum status status = pipeline_run(pipeline, torture->plan->call);
        failures = memory_failures_seen();
        memory_fail_after(0);
        enum torture_outcome outcome = TORTURE_NOTHING;
        if (status != STATUS_OK) { /* not even the transport could begin */
            assert_int_equal(pipeline->answer.length, 0);
        } else if (pipeline->answer.length > 0) {
            outcome = torture_judge(torture, what, n);
        } else {
            nothing++;
        }
        torture_after(torture, outcome, failures);
        if (failures > 0) {
            torture_run_healthy(torture, what, n);
        }
    }
    /* Once there is room for the shortest answer, there is an answer. */
    assert_true(torture->plan->may_vanish || nothing <= 1);
}

/* Repeats the request with more and more room in its arena, until that is plenty. */
static inline void torture_arena(struct torture *torture)
{
    struct pipeline *pipeline = torture->pipeline;
    for (size_t room = 16; room < 8192; room += 32) {
        torture_before(torture);
        pipeline->arena_room = room;
        assert_int_equal(pipeline_run(pipeline, torture->plan->call), STATUS_OK);
        pipeline->arena_room = 0;
        torture_after(torture, torture_judge(torture, "arena", room), 1);
    }
}

/* Every request that was begun has been ended. */
static inline void torture_check_gauges(struct pipeline *pipeline)
{
    static const char *const gauges[] = {"\nhttp_requests_in_progress{", "\nchat_streams_active"};
    struct buffer text;
    buffer_init(&text, TORTURE_BODY_MAXIMUM);
    assert_int_equal(metrics_render(pipeline->app->metrics, METRICS_TEXT_0_0_4, false, &text),
                     STATUS_OK);
    for (size_t i = 0; i < COUNT(gauges); i++) {
        for (const char *at = buffer_text(&text); (at = strstr(at, gauges[i])) != NULL; at++) {
            if (strncmp(strchr(at + 1, '\n') - 2, " 0", 2) != 0) {
                fail_msg("%.*s", (int)strcspn(at + 1, "\n"), at + 1);
            }
        }
    }
    buffer_release(&text);
}

/* Returns how many of the answers were those of a healthy run. */
static inline size_t torture_with(struct pipeline *pipeline, const struct torture_plan *plan)
{
    struct torture torture;
    torture_begin(&torture, pipeline, plan);
    torture_allocations(&torture, memory_fail_after, "allocation from");
    assert_true(torture.seen[TORTURE_REFUSED] > 0);
    torture_allocations(&torture, memory_fail_only, "allocation");
    torture_arena(&torture);
    torture_check_gauges(pipeline);
    torture_end(&torture);
    return torture.seen[TORTURE_WHOLE];
}

static inline size_t torture(struct pipeline *pipeline, const struct call *call, bool may_vanish)
{
    return torture_with(pipeline, &(struct torture_plan){.call = call, .may_vanish = may_vanish});
}

#endif
