/*
 * The transport without sockets, that tests of handlers use.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "transport/loopback.h"
#include "transport/transport.h"

enum mode { MODE_PLAIN, MODE_STREAM, MODE_SILENT, MODE_FORGET, MODE_REFUSE };

struct scene {
    enum mode mode;
    size_t limit;
    int events;
    int offloads;
    bool has_ended;
    bool was_too_large;
    bool differs;
};

static void plan(struct exchange *exchange, void *context)
{
    exchange->body_maximum = ((struct scene *)context)->limit;
}

static bool admit(struct exchange *exchange, void *context)
{
    struct scene *scene = context;
    assert_int_equal(exchange->body.length, 0);
    if (scene->mode == MODE_REFUSE) {
        (void)exchange_write(exchange, slice_of("refused"));
        exchange_complete(exchange);
    }
    return scene->mode != MODE_REFUSE;
}

static void refuse(struct exchange *exchange, int status, void *context)
{
    (void)status;
    (void)context;
    exchange_complete(exchange);
}

static void dropped(struct exchange *exchange, void *context)
{
    (void)exchange;
    (void)context;
}

static void work(void *context)
{
    ((struct scene *)context)->offloads++;
}

static void next_event(struct stream *stream, void *context)
{
    struct scene *scene = context;
    stream_write(stream, slice_of("data: x\n\n"));
    scene->events++;
    if (scene->events == 3) {
        stream_offload(stream, work);
    } else {
        stream_set_timer(stream, 1);
    }
}

static void offloaded(struct stream *stream, void *context)
{
    assert_int_equal(((struct scene *)context)->offloads, 1);
    stream_write(stream, slice_of("data: end\n\n"));
    stream_end(stream);
}

static void ended(struct stream *stream, void *context)
{
    (void)stream;
    ((struct scene *)context)->has_ended = true;
}

static const struct stream_handlers stream_handlers = {
    .start = next_event, .timer = next_event, .offloaded = offloaded, .ended = ended};

static void handle(struct exchange *exchange, void *context)
{
    struct scene *scene = context;
    scene->was_too_large = exchange->body_too_large;
    scene->differs = exchange->body_differs;
    if (scene->mode == MODE_FORGET) {
        return;
    }
    if (scene->mode == MODE_STREAM) {
        struct pump *pump = transport_pump(NULL);
        assert_non_null(pump);
        if (pump_adopt(pump, exchange, &stream_handlers, scene) == STATUS_OK) {
            return;
        }
    }
    if (scene->mode == MODE_PLAIN) {
        assert_true(exchange->started_nanoseconds > 0);
        (void)exchange_write(exchange, exchange_parameter(exchange, "NAME"));
        (void)exchange_write(exchange, slice_of(":"));
        (void)exchange_write(exchange, exchange->body);
    }
    exchange_complete(exchange);
}

static enum status run(struct scene *scene, const char *const *parameters, const char *body,
                       struct buffer *answer)
{
    const struct exchange_handlers handlers = {
        .plan = plan,
        .admit = admit,
        .handle = handle,
        .refuse = refuse,
        .dropped = dropped,
        .context = scene,
    };
    return loopback_run(&handlers, parameters, slice_of(body), answer);
}

static const char *const parameters[] = {"REQUEST_METHOD=POST", "NAME=a=b", "EMPTY=", NULL};

static void request_and_answer_go_through(void **state)
{
    (void)state;
    struct scene scene = {.mode = MODE_PLAIN, .limit = 100};
    struct buffer answer;
    buffer_init(&answer, 1000);
    assert_int_equal(run(&scene, parameters, "body", &answer), STATUS_OK);
    assert_string_equal(buffer_text(&answer), "a=b:body");
    /* Appended. */
    assert_int_equal(run(&scene, parameters, "", &answer), STATUS_OK);
    assert_string_equal(buffer_text(&answer), "a=b:bodya=b:");
    buffer_release(&answer);
}

static void body_beyond_the_limit_is_not_shown(void **state)
{
    (void)state;
    struct scene scene = {.mode = MODE_PLAIN, .limit = 3};
    struct buffer answer;
    buffer_init(&answer, 1000);
    assert_int_equal(run(&scene, parameters, "abc", &answer), STATUS_OK);
    assert_false(scene.was_too_large);
    assert_int_equal(run(&scene, parameters, "abcd", &answer), STATUS_OK);
    assert_true(scene.was_too_large);
    assert_string_equal(buffer_text(&answer), "a=b:abca=b:");
    buffer_release(&answer);
}

static void what_is_not_admitted_is_not_handled(void **state)
{
    (void)state;
    struct scene scene = {.mode = MODE_REFUSE, .limit = 100};
    struct buffer answer;
    buffer_init(&answer, 1000);
    assert_int_equal(run(&scene, parameters, "body", &answer), STATUS_OK);
    assert_string_equal(buffer_text(&answer), "refused");
    buffer_release(&answer);
}

static void content_length_is_compared_with_what_came(void **state)
{
    (void)state;
    struct scene scene = {.mode = MODE_PLAIN, .limit = 100};
    struct buffer answer;
    buffer_init(&answer, 1000);
    const char *const longer[] = {"CONTENT_LENGTH=5", NULL};
    assert_int_equal(run(&scene, longer, "abcd", &answer), STATUS_OK);
    assert_true(scene.differs);
    assert_int_equal(run(&scene, longer, "abcde", &answer), STATUS_OK);
    assert_false(scene.differs);
    assert_int_equal(run(&scene, longer, "abcdef", &answer), STATUS_OK);
    assert_true(scene.differs);
    buffer_release(&answer);
}

static void stream_runs_until_it_ends(void **state)
{
    (void)state;
    struct scene scene = {.mode = MODE_STREAM, .limit = 100};
    struct buffer answer;
    buffer_init(&answer, 1000);
    assert_int_equal(run(&scene, parameters, "", &answer), STATUS_OK);
    assert_string_equal(buffer_text(&answer), "data: x\n\ndata: x\n\ndata: x\n\ndata: end\n\n");
    assert_true(scene.has_ended);
    assert_null(transport_pump(NULL));
    buffer_release(&answer);
}

static void answer_without_a_byte_is_an_answer(void **state)
{
    (void)state;
    struct scene scene = {.mode = MODE_SILENT};
    struct buffer answer;
    buffer_init(&answer, 1000);
    assert_int_equal(run(&scene, parameters, "", &answer), STATUS_OK);
    assert_int_equal(answer.length, 0);
    buffer_release(&answer);
}

static void forgotten_exchange_is_an_internal_error(void **state)
{
    (void)state;
    struct scene scene = {.mode = MODE_FORGET, .limit = 100};
    struct buffer answer;
    buffer_init(&answer, 1000);
    assert_int_equal(run(&scene, parameters, "", &answer), STATUS_INTERNAL);
    buffer_release(&answer);
}

static void answer_that_does_not_fit_is_told(void **state)
{
    (void)state;
    struct buffer answer;
    buffer_init(&answer, 3);
    struct scene scene = {.mode = MODE_PLAIN, .limit = 100};
    assert_int_equal(run(&scene, parameters, "abc", &answer), STATUS_TOO_LARGE);
    buffer_release(&answer);
    buffer_init(&answer, 3);
    scene.mode = MODE_STREAM;
    assert_int_equal(run(&scene, parameters, "abc", &answer), STATUS_TOO_LARGE);
    assert_true(scene.has_ended);
    buffer_release(&answer);
}

static void failing_memory_neither_leaks_nor_hangs(void **state)
{
    (void)state;
    for (enum mode mode = MODE_PLAIN; mode <= MODE_STREAM; mode++) {
        for (unsigned long n = 1;; n++) {
            struct scene scene = {.mode = mode, .limit = 100};
            struct buffer answer;
            buffer_init(&answer, 1000);
            memory_fail_after(n);
            enum status status = run(&scene, parameters, "body", &answer);
            unsigned long failures = memory_failures_seen();
            memory_fail_after(0);
            buffer_release(&answer);
            assert_true(status == STATUS_OK || failures > 0);
            if (failures == 0) {
                assert_true(n > 3);
                break;
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_and_answer_go_through),
        cmocka_unit_test(body_beyond_the_limit_is_not_shown),
        cmocka_unit_test(what_is_not_admitted_is_not_handled),
        cmocka_unit_test(content_length_is_compared_with_what_came),
        cmocka_unit_test(stream_runs_until_it_ends),
        cmocka_unit_test(answer_without_a_byte_is_an_answer),
        cmocka_unit_test(forgotten_exchange_is_an_internal_error),
        cmocka_unit_test(answer_that_does_not_fit_is_told),
        cmocka_unit_test(failing_memory_neither_leaks_nor_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
