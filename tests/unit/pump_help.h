/*
 * What tests of the pump share: a pump with two workers for each test, and errands on its thread.
 */
#ifndef TESTS_UNIT_PUMP_HELP_H
#define TESTS_UNIT_PUMP_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "transport/exchange_setup.h"
#include "transport/pump.h"
#include "transport/pump_private.h"

static inline void wait_for(sem_t *semaphore)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 10;
    assert_int_equal(sem_timedwait(semaphore, &deadline), 0);
}

/* cmocka ends the whole program when an assertion fails on another thread than the test's. What runs
 * on the pump or a worker is judged by CHECK, and the teardown fails. */
static atomic_int check_faults;

static inline void check(bool holds, const char *text, const char *file, int line)
{
    if (!holds) {
        fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, text);
        atomic_fetch_add(&check_faults, 1);
    }
}

#define CHECK(condition) check((condition), #condition, __FILE__, __LINE__)

/* Clients of the test that runs; what a failed test leaves open lies on a stack that is gone. */
static atomic_int open_clients;

struct scene {
    struct workers *workers;
    struct pump *pump;
};

static inline int open_scene(void **state)
{
    static struct scene scene;
    if (workers_start(&scene.workers, "test", 2, 10) != STATUS_OK ||
        pump_create(&scene.pump, &(struct pump_options){.workers = scene.workers,
                                                        .program = "test"}) != STATUS_OK) {
        return -1;
    }
    *state = &scene;
    return 0;
}

static inline void park(void *context)
{
    sem_post(context);
    for (;;) {
        pause();
    }
}

/* The pump must not touch the clients of a test that failed: its thread does nothing any more. */
static inline void abandon_scene(struct scene *scene)
{
    static sem_t is_parked;
    sem_init(&is_parked, 0, 0);
    if (pump_post(scene->pump, park, &is_parked) == STATUS_OK) {
        wait_for(&is_parked);
    }
    scene->pump = NULL;
}

static inline int close_scene(void **state)
{
    struct scene *scene = *state;
    if (scene != NULL && scene->pump != NULL && atomic_exchange(&open_clients, 0) > 0) {
        abandon_scene(scene);
    }
    if (scene != NULL && scene->pump != NULL) {
        pump_shut_down(scene->pump);
        struct pump *pump = scene->pump;
        scene->pump = NULL;
        /* In the transport's order. */
        workers_stop(scene->workers);
        pump_release(pump);
    }
    return atomic_exchange(&check_faults, 0) == 0 ? 0 : -1;
}

/* Runs `work` on the pump thread and waits for it. */
struct errand {
    void (*work)(void *context);
    void *context;
    sem_t done;
};

static inline void run_errand(void *context)
{
    struct errand *errand = context;
    errand->work(errand->context);
    sem_post(&errand->done);
}

static inline void on_pump(struct pump *pump, void (*work)(void *context), void *context)
{
    struct errand errand = {.work = work, .context = context};
    sem_init(&errand.done, 0, 0);
    assert_int_equal(pump_post(pump, run_errand, &errand), STATUS_OK);
    wait_for(&errand.done);
    sem_destroy(&errand.done);
}

static inline void await(atomic_int *value, int wanted)
{
    for (int i = 0; i < 5000 && atomic_load(value) < wanted; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    assert_true(atomic_load(value) >= wanted);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)

#endif
