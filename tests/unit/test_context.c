/* The context of a thread: kept with work that is posted, and restored around it. */
#include "pump_client.h"

#include "base/context.h"

#define NOBODY ((struct context){.correlation_id = ""})

static struct context somebody(const char *correlation_id)
{
    struct context context = NOBODY;
    snprintf(context.correlation_id, sizeof context.correlation_id, "%s", correlation_id);
    return context;
}

static bool is_of(const char *correlation_id)
{
    return strcmp(context_current()->correlation_id, correlation_id) == 0;
}

/* --- A thread ------------------------------------------------------------------------------- */

static void *look(void *out)
{
    *(bool *)out = is_of("");
    const struct context theirs = somebody("theirs");
    context_replace(&theirs);
    return NULL;
}

static void a_thread_begins_with_nobody_and_changes_no_other(void **state)
{
    (void)state;
    const struct context ours = somebody("ours");
    const struct context before = context_enter(&ours);
    bool was_nobody = false;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, look, &was_nobody), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(was_nobody);
    assert_true(is_of("ours"));
    context_leave(&before);
}

static void leaving_restores_what_was_before_and_what_replaced_it(void **state)
{
    (void)state;
    const struct context first = somebody("first");
    const struct context second = somebody("second");
    const struct context third = somebody("third");
    const struct context nobody = context_enter(&first);
    context_replace(&second);
    const struct context before_third = context_enter(&third);
    const struct context before_none = context_enter(NULL);
    assert_true(is_of(""));
    context_leave(&before_none);
    assert_true(is_of("third"));
    context_leave(&before_third);
    assert_true(is_of("second"));
    context_leave(&nobody);
    assert_true(is_of(""));
}

static void a_context_is_copied(void **state)
{
    (void)state;
    struct context mine = somebody("mine");
    const struct context before = context_enter(&mine);
    memcpy(mine.correlation_id, "gone", 4);
    assert_true(is_of("mine"));
    context_leave(&before);
}

static void the_trace_goes_on_with_its_parent(void **state)
{
    (void)state;
    char text[CONTEXT_TRACEPARENT_SIZE] = "";
    struct context context = somebody("id");
    assert_false(context_traceparent(&context, text));
    memcpy(context.trace_id, "0af7651916cd43dd8448eb211c80319c", 32);
    memcpy(context.span_id, "b7ad6b7169203331", 16);
    memcpy(context.trace_flags, "01", 2);
    assert_true(context_traceparent(&context, text));
    assert_string_equal(text, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
}

/* --- Work for later -------------------------------------------------------------------------- */

struct job {
    struct worker_task task;
    const char *owner;
    atomic_int *done;
};

static void work_for_owner(void *context)
{
    struct job *job = context;
    CHECK(is_of(job->owner));
    /* A context that a task sets must not outlive it. */
    const struct context other = somebody("somebody else");
    context_replace(&other);
    atomic_fetch_add(job->done, 1);
}

static void each_task_of_the_workers_has_the_context_it_was_queued_in(void **state)
{
    struct scene *scene = *state;
    static const char *const owners[] = {"ada", "", "grace", "", "alan"};
    enum { JOBS = 60 };
    static struct job jobs[JOBS];
    static atomic_int done;
    atomic_store(&done, 0);
    for (size_t i = 0; i < JOBS; i++) {
        const char *owner = owners[i % (sizeof owners / sizeof owners[0])];
        const struct context context = somebody(owner);
        jobs[i] = (struct job){.owner = owner, .done = &done};
        jobs[i].task = (struct worker_task){.run = work_for_owner, .context = &jobs[i]};
        const struct context before = context_enter(&context);
        workers_add(scene->workers, &jobs[i].task);
        context_leave(&before);
    }
    await(&done, JOBS);
}

static void what_is_posted_to_the_pump_has_the_context_of_its_sender(void **state)
{
    struct scene *scene = *state;
    static atomic_int done;
    static struct job jobs[] = {{.owner = "ada", .done = &done}, {.owner = "", .done = &done}};
    atomic_store(&done, 0);
    for (size_t i = 0; i < 2; i++) {
        const struct context context = somebody(jobs[i].owner);
        const struct context before = context_enter(&context);
        assert_int_equal(pump_post(scene->pump, work_for_owner, &jobs[i]), STATUS_OK);
        context_leave(&before);
    }
    await(&done, 2);
}

struct clock {
    struct pump *pump;
    int descriptor;
    struct job jobs[3];
};

static void set_timers(void *context)
{
    struct clock *clock = context;
    for (size_t i = 0; i < 3; i++) {
        const struct context owner = somebody(clock->jobs[i].owner);
        const struct context before = context_enter(&owner);
        CHECK(pump_set_timer(clock->pump, (int64_t)i, work_for_owner, &clock->jobs[i]) ==
              STATUS_OK);
        context_leave(&before);
    }
}

static void a_timer_of_the_pump_has_the_context_it_was_set_in(void **state)
{
    struct scene *scene = *state;
    static atomic_int done;
    atomic_store(&done, 0);
    struct clock clock = {.pump = scene->pump,
                          .jobs = {{.owner = "ada", .done = &done},
                                   {.owner = "", .done = &done},
                                   {.owner = "grace", .done = &done}}};
    on_pump(scene->pump, set_timers, &clock);
    await(&done, 3);
}

static void be_ready(int descriptor, bool readable, bool writable, void *context)
{
    struct clock *clock = context;
    (void)readable;
    (void)writable;
    pump_unwatch(clock->pump, descriptor);
    work_for_owner(&clock->jobs[0]);
}

static void watch_for_ada(void *context)
{
    struct clock *clock = context;
    const struct context owner = somebody("ada");
    const struct context before = context_enter(&owner);
    CHECK(pump_watch(clock->pump, clock->descriptor, false, true, be_ready, clock) == STATUS_OK);
    context_leave(&before);
}

static void a_descriptor_of_the_pump_has_the_context_it_was_watched_in(void **state)
{
    struct scene *scene = *state;
    static atomic_int done;
    atomic_store(&done, 0);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct clock clock = {.pump = scene->pump, .jobs = {{.owner = "ada", .done = &done}}};
    clock.descriptor = ends[1];
    on_pump(scene->pump, watch_for_ada, &clock);
    await(&done, 1);
    close(ends[0]);
    close(ends[1]);
}

/* --- Streams --------------------------------------------------------------------------------- */

static void look_whose_it_is(void *context)
{
    struct client *client = context;
    CHECK(is_of("ada"));
    atomic_fetch_add(&client->works, 1);
}

static void end_when_offloaded(struct stream *stream, void *context)
{
    CHECK(is_of("ada"));
    on_offloaded(stream, context);
    end(context);
}

static void put_to_work(void *context)
{
    struct client *client = context;
    const struct context other = somebody("grace");
    const struct context before = context_enter(&other);
    stream_offload(client->stream, look_whose_it_is);
    context_leave(&before);
}

static void work_of_a_stream_is_its_owners_whoever_asks_for_it(void **state)
{
    struct scene *scene = *state;
    struct stream_handlers handlers = counting;
    struct client client;
    handlers.offloaded = end_when_offloaded;
    const struct context owner = somebody("ada");
    const struct context before = context_enter(&owner);
    start_client(scene->pump, &client, &handlers);
    context_leave(&before);
    await(&client.starts, 1);
    on_pump(scene->pump, put_to_work, &client);
    wait_for(&client.over);
    assert_int_equal(client.works, 1);
    close_client(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_begins_with_nobody_and_changes_no_other),
        cmocka_unit_test(leaving_restores_what_was_before_and_what_replaced_it),
        cmocka_unit_test(a_context_is_copied),
        cmocka_unit_test(the_trace_goes_on_with_its_parent),
        TEST(each_task_of_the_workers_has_the_context_it_was_queued_in),
        TEST(what_is_posted_to_the_pump_has_the_context_of_its_sender),
        TEST(a_timer_of_the_pump_has_the_context_it_was_set_in),
        TEST(a_descriptor_of_the_pump_has_the_context_it_was_watched_in),
        TEST(work_of_a_stream_is_its_owners_whoever_asks_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
