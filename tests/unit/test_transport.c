/*
 * Exchanges and workers: the parts of the transport below the sockets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include "base/memory.h"
#include "transport/exchange_setup.h"
#include "transport/pump_private.h"
#include "transport/workers.h"

/* --- Exchanges ----------------------------------------------------------------------------------- */

static void parameter_that_is_absent_is_empty_and_the_first_of_two_counts(void **state)
{
    (void)state;
    const char *const environment[] = {"A=1", "A=2", "AB=3", "EMPTY=", "NO_VALUE", "=x", NULL};
    struct exchange exchange;
    exchange_init(&exchange, NULL);
    assert_int_equal(exchange_set_environment(&exchange, environment), STATUS_OK);
    assert_true(slice_equals(exchange_parameter(&exchange, "A"), "1"));
    assert_true(slice_equals(exchange_parameter(&exchange, "AB"), "3"));
    assert_int_equal(exchange_parameter(&exchange, "EMPTY").length, 0);
    assert_int_equal(exchange_parameter(&exchange, "B").length, 0);
    assert_non_null(exchange_parameter(&exchange, "B").data);
    assert_int_equal(exchange_parameter(&exchange, "NO_VALUE").length, 0);
    exchange_release(&exchange);
    exchange_release(&exchange);
}

static void plan_nothing(struct exchange *exchange, void *context)
{
    (void)exchange;
    (void)context;
}

static void content_length_is_a_number_or_absent_or_invalid(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t length;
    } cases[] = {
        {"CONTENT_LENGTH=0", 0},
        {"CONTENT_LENGTH=12", 12},
        {"CONTENT_LENGTH=", EXCHANGE_LENGTH_UNKNOWN},
        {"OTHER=1", EXCHANGE_LENGTH_UNKNOWN},
        {"CONTENT_LENGTH=-5", EXCHANGE_LENGTH_INVALID},
        {"CONTENT_LENGTH=1x", EXCHANGE_LENGTH_INVALID},
        {"CONTENT_LENGTH= 1", EXCHANGE_LENGTH_INVALID},
        {"CONTENT_LENGTH=1e3", EXCHANGE_LENGTH_INVALID},
        {"CONTENT_LENGTH=+1", EXCHANGE_LENGTH_INVALID},
        {"CONTENT_LENGTH=1,1", EXCHANGE_LENGTH_INVALID},
        {"CONTENT_LENGTH=99999999999999999999", EXCHANGE_LENGTH_INVALID},
    };
    const struct exchange_handlers handlers = {.plan = plan_nothing};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *const environment[] = {cases[i].text, NULL};
        struct exchange exchange;
        exchange_init(&exchange, NULL);
        assert_int_equal(exchange_set_environment(&exchange, environment), STATUS_OK);
        exchange_plan(&exchange, &handlers);
        assert_int_equal(exchange.body_declared, cases[i].length);
        exchange_release(&exchange);
    }
}

static void sent_bytes_leave_the_output_from_the_front(void **state)
{
    (void)state;
    struct exchange exchange;
    exchange_init(&exchange, NULL);
    exchange_reset(&exchange);
    struct buffer sent;
    buffer_init(&sent, 1 << 20);
    size_t written = 0;
    for (int i = 0; i < 1000; i++) {
        char text[10] = "0123456789";
        text[0] = (char)('a' + i % 26);
        assert_int_equal(exchange_write(&exchange, (struct slice){text, 10}), STATUS_OK);
        written += 10;
        size_t count = (size_t)(i * 7) % (exchange_waiting(&exchange) + 1);
        buffer_append(&sent, exchange.output.data + exchange.output_sent, count);
        exchange_mark_sent(&exchange, count);
        assert_int_equal(sent.length + exchange_waiting(&exchange), written);
    }
    size_t rest = exchange_waiting(&exchange);
    buffer_append(&sent, exchange.output.data + exchange.output_sent, rest);
    exchange_mark_sent(&exchange, rest);
    assert_int_equal(exchange.output.length, 0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(sent.data[i * 10], 'a' + i % 26);
        assert_int_equal(sent.data[i * 10 + 9], '9');
    }
    buffer_release(&sent);
    exchange_release(&exchange);
}

static void reset_exchange_keeps_little(void **state)
{
    (void)state;
    struct exchange exchange;
    exchange_init(&exchange, NULL);
    assert_non_null(buffer_reserve(&exchange.output, 10 << 20));
    assert_non_null(arena_allocate(&exchange.arena, 10 << 20));
    exchange.output_sent = 5;
    exchange_reset(&exchange);
    assert_true(exchange.output.capacity <= 65536);
    assert_int_equal(exchange.arena.used, 0);
    assert_int_equal(exchange_waiting(&exchange), 0);
    exchange_release(&exchange);
}

/* --- Workers --------------------------------------------------------------------------------- */

struct job {
    atomic_int *counter;
    sem_t *gate;
    int order;
    struct worker_task task;
};

static void run_job(void *context)
{
    struct job *job = context;
    if (job->gate != NULL) {
        sem_wait(job->gate);
    }
    job->order = atomic_fetch_add(job->counter, 1);
}

static enum status request_job(struct workers *workers, enum worker_kind kind, struct job *job)
{
    job->task = (struct worker_task){.run = run_job, .context = job};
    return workers_request(workers, kind, &job->task);
}

static void await(atomic_int *counter, int wanted)
{
    for (int i = 0; i < 5000 && atomic_load(counter) < wanted; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    assert_int_equal(atomic_load(counter), wanted);
}

static void full_queue_refuses_and_tasks_go_first(void **state)
{
    (void)state;
    struct workers *workers;
    assert_int_equal(workers_start(&workers, "test", 1, 2), STATUS_OK);
    atomic_int counter = 0;
    sem_t gate;
    sem_init(&gate, 0, 0);
    struct job first = {.counter = &counter, .gate = &gate};
    struct job requests[3] = {{.counter = &counter, .gate = NULL},
                              {.counter = &counter, .gate = NULL},
                              {.counter = &counter, .gate = NULL}};
    struct job jobs[2] = {{.counter = &counter, .gate = NULL}, {.counter = &counter, .gate = NULL}};
    struct worker_task tasks[2] = {{.run = run_job, .context = &jobs[0]},
                                   {.run = run_job, .context = &jobs[1]}};
    assert_true(workers_are_idle(workers));
    assert_int_equal(request_job(workers, WORKER_QUICK, &first), STATUS_OK);
    workers_wake(workers);
    while (request_job(workers, WORKER_QUICK, &requests[0]) != STATUS_OK) {
    }
    /* Until the first has left the queue there is room for one only. */
    while (request_job(workers, WORKER_QUICK, &requests[1]) != STATUS_OK) {
    }
    assert_int_equal(request_job(workers, WORKER_QUICK, &requests[2]), STATUS_BUSY);
    assert_false(workers_are_idle(workers));
    workers_add(workers, &tasks[0]);
    workers_add(workers, &tasks[1]);
    sem_post(&gate);
    await(&counter, 5);
    workers_stop(workers);
    sem_destroy(&gate);
    assert_int_equal(first.order, 0);
    assert_int_equal(jobs[0].order, 1);
    assert_int_equal(jobs[1].order, 2);
    assert_int_equal(requests[0].order, 3);
    assert_int_equal(requests[1].order, 4);
}

static void requests_that_wait_long_use_all_workers(void **state)
{
    (void)state;
    struct workers *workers;
    atomic_int counter = 0;
    sem_t gate;
    sem_init(&gate, 0, 0);
    assert_int_equal(workers_start(&workers, "test", 8, 100), STATUS_OK);
    struct job blocked[7];
    for (int i = 0; i < 7; i++) {
        blocked[i] = (struct job){.counter = &counter, .gate = &gate};
        assert_int_equal(request_job(workers, WORKER_QUICK, &blocked[i]), STATUS_OK);
    }
    struct job last = {.counter = &counter, .gate = NULL};
    assert_int_equal(request_job(workers, WORKER_QUICK, &last), STATUS_OK);
    workers_wake(workers); /* once for all of them */
    await(&counter, 1);
    for (int i = 0; i < 7; i++) {
        sem_post(&gate);
    }
    await(&counter, 8);
    workers_stop(workers);
    sem_destroy(&gate);
    assert_int_equal(last.order, 0);
}

static void work_that_waits_leaves_threads_to_the_rest(void **state)
{
    (void)state;
    static const struct {
        int threads;
        enum worker_kind kind;
        enum worker_kind other; /* of every second one */
    } cases[] = {{8, WORKER_WAITING, WORKER_WAITING}, {8, WORKER_HEAVY, WORKER_HEAVY},
                 {8, WORKER_SPOOL, WORKER_SPOOL},     {8, WORKER_TASK, WORKER_TASK},
                 {4, WORKER_WAITING, WORKER_WAITING}, {2, WORKER_WAITING, WORKER_WAITING},
                 {2, WORKER_TASK, WORKER_TASK},       {8, WORKER_TASK, WORKER_WAITING},
                 {8, WORKER_TASK, WORKER_SPOOL},      {4, WORKER_TASK, WORKER_SPOOL},
                 {2, WORKER_TASK, WORKER_SPOOL}};
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        struct workers *workers;
        atomic_int waiting = 0;
        atomic_int quick = 0;
        sem_t gate;
        sem_init(&gate, 0, 0);
        assert_int_equal(workers_start(&workers, "test", cases[c].threads, 100), STATUS_OK);
        struct job slow[20];
        for (int i = 0; i < 20; i++) {
            slow[i] = (struct job){.counter = &waiting, .gate = &gate};
            enum worker_kind kind = i % 2 == 0 ? cases[c].kind : cases[c].other;
            if (kind == WORKER_TASK) {
                slow[i].task = (struct worker_task){.run = run_job, .context = &slow[i]};
                workers_add(workers, &slow[i].task);
            } else {
                assert_int_equal(request_job(workers, kind, &slow[i]), STATUS_OK);
            }
        }
        workers_wake(workers);
        /* All of them come behind those that wait, and none has to. */
        struct job fast[20];
        for (int i = 0; i < 20; i++) {
            fast[i] = (struct job){.counter = &quick};
            assert_int_equal(request_job(workers, WORKER_QUICK, &fast[i]), STATUS_OK);
        }
        workers_wake(workers);
        await(&quick, 20);
        assert_int_equal(waiting, 0);
        /* One after the other ends, and as many run as may. */
        for (int i = 0; i < 20; i++) {
            sem_post(&gate);
        }
        await(&waiting, 20);
        workers_stop(workers);
        sem_destroy(&gate);
    }
}

struct producer {
    struct workers *workers;
    pthread_t thread;
    atomic_int *counter;
    struct worker_task tasks[500];
    struct job jobs[500];
};

static void *add_tasks(void *context)
{
    struct producer *producer = context;
    for (int i = 0; i < 500; i++) {
        producer->jobs[i] = (struct job){.counter = producer->counter};
        producer->tasks[i] = (struct worker_task){.run = run_job, .context = &producer->jobs[i]};
        workers_add(producer->workers, &producer->tasks[i]);
    }
    return NULL;
}

static void nothing_is_lost_with_many_producers_and_stop_runs_what_waits(void **state)
{
    (void)state;
    struct workers *workers;
    atomic_int counter = 0;
    assert_int_equal(workers_start(&workers, "test", 3, 1), STATUS_OK);
    struct producer *producers = memory_allocate(4 * sizeof(*producers));
    for (int i = 0; i < 4; i++) {
        producers[i].workers = workers;
        producers[i].counter = &counter;
        pthread_create(&producers[i].thread, NULL, add_tasks, &producers[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(producers[i].thread, NULL);
    }
    workers_stop(workers);
    assert_int_equal(counter, 2000);
    memory_release(producers);
    workers_stop(NULL);
}

struct named_thread {
    char name[16];
    sem_t done;
};

static void note_name(void *context)
{
    struct named_thread *thread = context;
    pthread_getname_np(pthread_self(), thread->name, sizeof(thread->name));
    sem_post(&thread->done);
}

/* So that tools such as top show which thread is busy. */
static void threads_are_named_by_their_program_and_what_they_do(void **state)
{
    (void)state;
    static const struct {
        const char *program;
        const char *name;
    } cases[] = {{"chat", "chat worker"}, {"a-long-name", "a-long- worker"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct workers *workers;
        struct named_thread thread = {.name = ""};
        struct worker_task task = {.run = note_name, .context = &thread};
        sem_init(&thread.done, 0, 0);
        assert_int_equal(workers_start(&workers, cases[i].program, 1, 1), STATUS_OK);
        workers_add(workers, &task);
        sem_wait(&thread.done);
        workers_stop(workers);
        sem_destroy(&thread.done);
        assert_string_equal(thread.name, cases[i].name);
    }
}

static void workers_that_cannot_have_memory_do_not_start(void **state)
{
    (void)state;
    struct workers *workers;
    memory_fail_after(1);
    assert_int_equal(workers_start(&workers, "test", 2, 10), STATUS_NO_MEMORY);
    memory_fail_after(0);
    assert_null(workers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameter_that_is_absent_is_empty_and_the_first_of_two_counts),
        cmocka_unit_test(content_length_is_a_number_or_absent_or_invalid),
        cmocka_unit_test(sent_bytes_leave_the_output_from_the_front),
        cmocka_unit_test(reset_exchange_keeps_little),
        cmocka_unit_test(full_queue_refuses_and_tasks_go_first),
        cmocka_unit_test(requests_that_wait_long_use_all_workers),
        cmocka_unit_test(work_that_waits_leaves_threads_to_the_rest),
        cmocka_unit_test(nothing_is_lost_with_many_producers_and_stop_runs_what_waits),
        cmocka_unit_test(threads_are_named_by_their_program_and_what_they_do),
        cmocka_unit_test(workers_that_cannot_have_memory_do_not_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
