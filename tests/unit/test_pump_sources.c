/*
 * What the pump lends to others: descriptors, timers, posts, an attachment.
 */
#include "pump_help.h"

#include <sys/eventfd.h>

struct pipe_watch {
    struct pump *pump;
    int read_end;
    int write_end;
    struct pipe_watch *other;
    atomic_int readable;
    atomic_int writable;
    sem_t happened;
};

static void open_pipe(struct pipe_watch *watch, struct pump *pump)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    *watch = (struct pipe_watch){.pump = pump, .read_end = ends[0], .write_end = ends[1]};
    sem_init(&watch->happened, 0, 0);
}

static void close_pipe(struct pipe_watch *watch)
{
    close(watch->read_end);
    close(watch->write_end);
    sem_destroy(&watch->happened);
}

static void on_pipe(int descriptor, bool readable, bool writable, void *context)
{
    struct pipe_watch *watch = context;
    char byte;
    atomic_fetch_add(&watch->readable, readable);
    atomic_fetch_add(&watch->writable, writable);
    if (readable) {
        CHECK(descriptor == watch->read_end);
        CHECK(read(descriptor, &byte, 1) == 1);
    } else {
        pump_unwatch(watch->pump, descriptor);
    }
    if (watch->other != NULL) {
        pump_unwatch(watch->pump, watch->other->read_end);
    }
    sem_post(&watch->happened);
}

static void watch_for_reading(void *context)
{
    struct pipe_watch *watch = context;
    assert_int_equal(pump_watch(watch->pump, watch->read_end, true, false, on_pipe, watch),
                     STATUS_OK);
}

static void watch_for_writing(void *context)
{
    struct pipe_watch *watch = context;
    assert_int_equal(pump_watch(watch->pump, watch->write_end, false, true, on_pipe, watch),
                     STATUS_OK);
}

static void unwatch_reading(void *context)
{
    struct pipe_watch *watch = context;
    pump_unwatch(watch->pump, watch->read_end);
    pump_unwatch(watch->pump, watch->read_end); /* twice does no harm */
}

static void watched_descriptor_is_reported_until_it_is_unwatched(void **state)
{
    struct scene *scene = *state;
    struct pipe_watch watch;
    open_pipe(&watch, scene->pump);
    on_pump(scene->pump, watch_for_reading, &watch);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(write(watch.write_end, "x", 1), 1);
        wait_for(&watch.happened);
    }
    assert_int_equal(watch.readable, 3);
    on_pump(scene->pump, watch_for_writing, &watch);
    wait_for(&watch.happened);
    assert_int_equal(watch.writable, 1);
    on_pump(scene->pump, unwatch_reading, &watch);
    assert_int_equal(write(watch.write_end, "x", 1), 1);
    on_pump(scene->pump, unwatch_reading, &watch);
    assert_int_equal(watch.readable, 3);
    close_pipe(&watch);
}

static void watch_both(void *context)
{
    struct pipe_watch *watches = context;
    watch_for_reading(&watches[0]);
    watch_for_reading(&watches[1]);
}

static void nothing(void *context)
{
    (void)context;
}

static void descriptor_unwatched_by_a_callback_is_not_reported_in_the_same_turn(void **state)
{
    struct scene *scene = *state;
    struct pipe_watch watches[2];
    open_pipe(&watches[0], scene->pump);
    open_pipe(&watches[1], scene->pump);
    watches[0].other = &watches[1];
    watches[1].other = &watches[0];
    assert_int_equal(write(watches[0].write_end, "x", 1), 1);
    assert_int_equal(write(watches[1].write_end, "x", 1), 1);
    on_pump(scene->pump, watch_both, watches);
    on_pump(scene->pump, nothing, NULL);
    on_pump(scene->pump, nothing, NULL);
    assert_int_equal(watches[0].readable + watches[1].readable, 1);
    on_pump(scene->pump, unwatch_reading, &watches[0]);
    on_pump(scene->pump, unwatch_reading, &watches[1]);
    close_pipe(&watches[0]);
    close_pipe(&watches[1]);
}

static void refuse_bad_descriptors(void *context)
{
    struct pump *pump = context;
    assert_int_equal(pump_watch(pump, -1, true, false, on_pipe, NULL), STATUS_INVALID);
    assert_int_equal(pump_watch(pump, 900, true, false, on_pipe, NULL), STATUS_INTERNAL);
    pump_unwatch(pump, -1);
    pump_unwatch(pump, 1 << 20);
}

static void descriptor_that_is_not_open_is_refused(void **state)
{
    struct scene *scene = *state;
    on_pump(scene->pump, refuse_bad_descriptors, scene->pump);
}

static void timers_come_out_in_order_whatever_was_set_moved_or_cancelled(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    static struct pump_timer timers[COUNT];
    struct pump_timers heap = {NULL};
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 3 * COUNT; i++) {
            struct pump_timer *timer = &timers[random_below(COUNT)];
            if (random_below(4) == 0) {
                pump_timers_cancel(&heap, timer);
                assert_false(timer->is_set);
            } else {
                pump_timers_set(&heap, timer, random_below(1000));
            }
        }
        size_t set = 0;
        for (int i = 0; i < COUNT; i++) {
            set += timers[i].is_set;
        }
        uint64_t last = 0;
        while (heap.root != NULL) {
            assert_true(heap.root->deadline >= last);
            last = heap.root->deadline;
            pump_timers_cancel(&heap, heap.root);
            set--;
        }
        assert_int_equal(set, 0);
    }
}

struct alarm_clock {
    struct pump *pump;
    atomic_int rings;
    uint64_t rang;
    sem_t happened;
};

static void ring(void *context)
{
    struct alarm_clock *clock = context;
    atomic_fetch_add(&clock->rings, 1);
    clock->rang = clock_monotonic_nanoseconds();
    sem_post(&clock->happened);
}

static void set_clock_three_times(void *context)
{
    struct alarm_clock *clock = context;
    assert_int_equal(pump_set_timer(clock->pump, 10000, ring, clock), STATUS_OK);
    assert_int_equal(pump_set_timer(clock->pump, 1, ring, clock), STATUS_OK);
    assert_int_equal(pump_set_timer(clock->pump, 40, ring, clock), STATUS_OK);
    assert_int_equal(pump_set_timer(clock->pump, -1, nothing, clock), STATUS_OK);
}

static void set_clock_and_cancel(void *context)
{
    struct alarm_clock *clock = context;
    assert_int_equal(pump_set_timer(clock->pump, 0, ring, clock), STATUS_OK);
    assert_int_equal(pump_set_timer(clock->pump, -1, ring, clock), STATUS_OK);
}

static void named_timer_is_one_for_each_function_and_context(void **state)
{
    struct scene *scene = *state;
    struct alarm_clock clocks[2] = {{.pump = scene->pump}, {.pump = scene->pump}};
    sem_init(&clocks[0].happened, 0, 0);
    sem_init(&clocks[1].happened, 0, 0);
    uint64_t before = clock_monotonic_nanoseconds();
    on_pump(scene->pump, set_clock_three_times, &clocks[0]);
    on_pump(scene->pump, set_clock_three_times, &clocks[1]);
    wait_for(&clocks[0].happened);
    wait_for(&clocks[1].happened);
    assert_true(clocks[0].rang - before >= 40000000);
    assert_true(clocks[0].rang - before < 1000000000);
    on_pump(scene->pump, set_clock_and_cancel, &clocks[0]);
    on_pump(scene->pump, nothing, NULL);
    assert_int_equal(clocks[0].rings, 1);
    assert_int_equal(clocks[1].rings, 1);
    sem_destroy(&clocks[0].happened);
    sem_destroy(&clocks[1].happened);
}

struct poster {
    struct pump *pump;
    pthread_t thread;
    atomic_int sent;
    int received;
    bool is_out_of_order;
};

struct letter {
    struct poster *poster;
    int number;
};

static void read_letter(void *context)
{
    struct letter *letter = context;
    struct poster *poster = letter->poster;
    poster->is_out_of_order = poster->is_out_of_order || letter->number != poster->received;
    poster->received++;
    memory_release(letter);
}

static void *post_letters(void *context)
{
    struct poster *poster = context;
    for (int i = 0; i < 2000; i++) {
        struct letter *letter = memory_allocate(sizeof(*letter));
        *letter = (struct letter){.poster = poster, .number = i};
        if (pump_post(poster->pump, read_letter, letter) == STATUS_OK) {
            atomic_fetch_add(&poster->sent, 1);
        }
    }
    return NULL;
}

static void posts_of_many_threads_all_arrive_in_order(void **state)
{
    struct scene *scene = *state;
    struct poster posters[4] = {0};
    for (int i = 0; i < 4; i++) {
        posters[i].pump = scene->pump;
        pthread_create(&posters[i].thread, NULL, post_letters, &posters[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(posters[i].thread, NULL);
    }
    on_pump(scene->pump, nothing, NULL);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(posters[i].sent, 2000);
        assert_int_equal(posters[i].received, 2000);
        assert_false(posters[i].is_out_of_order);
    }
}

static int released;

static void release_attachment(void *object)
{
    released += *(int *)object;
}

static void attach(void *context)
{
    static int object = 7;
    assert_null(pump_attachment(context));
    pump_attach(context, &object, release_attachment);
    assert_ptr_equal(pump_attachment(context), &object);
}

static void attachment_is_released_with_the_pump(void **state)
{
    struct scene *scene = *state;
    released = 0;
    on_pump(scene->pump, attach, scene->pump);
    close_scene(state);
    assert_int_equal(released, 7);
}

/* --- Fairness ----------------------------------------------------------------------------------- */

enum { BUSY_SOURCES = 140, BUSY_TIMERS = 40 };

/* Sources that are always ready and take two milliseconds each time, and timers that are always due. */
struct crowd {
    struct pump *pump;
    int descriptor;
    int source_calls[BUSY_SOURCES];
    int timer_calls[BUSY_TIMERS];
    int copies[BUSY_SOURCES];
    atomic_int all_calls;
};

static void on_busy(int descriptor, bool readable, bool writable, void *context)
{
    struct crowd *crowd = context;
    uint64_t began = clock_monotonic_nanoseconds();
    (void)readable;
    (void)writable;
    while (clock_monotonic_nanoseconds() - began < 2000000) {
    }
    for (int i = 0; i < BUSY_SOURCES; i++) {
        crowd->source_calls[i] += crowd->copies[i] == descriptor;
    }
    atomic_fetch_add(&crowd->all_calls, 1);
}

struct crowd_timer {
    struct crowd *crowd;
    int number;
};

static void on_crowd_timer(void *context)
{
    struct crowd_timer *timer = context;
    timer->crowd->timer_calls[timer->number]++;
    CHECK(pump_set_timer(timer->crowd->pump, 1, on_crowd_timer, timer) == STATUS_OK);
}

static struct crowd_timer crowd_timers[BUSY_TIMERS];

static void start_crowd(void *context)
{
    struct crowd *crowd = context;
    for (int i = 0; i < BUSY_SOURCES; i++) {
        CHECK(pump_watch(crowd->pump, crowd->copies[i], true, false, on_busy, crowd) == STATUS_OK);
    }
    for (int i = 0; i < BUSY_TIMERS; i++) {
        crowd_timers[i] = (struct crowd_timer){crowd, i};
        on_crowd_timer(&crowd_timers[i]);
    }
}

static void stop_crowd(void *context)
{
    struct crowd *crowd = context;
    for (int i = 0; i < BUSY_SOURCES; i++) {
        pump_unwatch(crowd->pump, crowd->copies[i]);
    }
    for (int i = 0; i < BUSY_TIMERS; i++) {
        CHECK(pump_set_timer(crowd->pump, -1, on_crowd_timer, &crowd_timers[i]) == STATUS_OK);
    }
}

static void busy_descriptors_take_turns_and_timers_are_not_forgotten(void **state)
{
    struct scene *scene = *state;
    struct crowd crowd = {.pump = scene->pump, .descriptor = eventfd(1, EFD_CLOEXEC)};
    for (int i = 0; i < BUSY_SOURCES; i++) {
        crowd.copies[i] = fcntl(crowd.descriptor, F_DUPFD_CLOEXEC, 3);
        assert_true(crowd.copies[i] >= 0);
    }
    on_pump(scene->pump, start_crowd, &crowd);
    await(&crowd.all_calls, 4 * BUSY_SOURCES);
    on_pump(scene->pump, stop_crowd, &crowd);
    for (int i = 0; i < BUSY_SOURCES; i++) {
        assert_in_range(crowd.source_calls[i], 2, 8);
        close(crowd.copies[i]);
    }
    /* Some hundred turns of 20 ms were spent on descriptors: each timer ran in nearly all of them. */
    for (int i = 0; i < BUSY_TIMERS; i++) {
        assert_true(crowd.timer_calls[i] > 20);
    }
    close(crowd.descriptor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(watched_descriptor_is_reported_until_it_is_unwatched),
        TEST(descriptor_unwatched_by_a_callback_is_not_reported_in_the_same_turn),
        TEST(descriptor_that_is_not_open_is_refused),
        TEST(busy_descriptors_take_turns_and_timers_are_not_forgotten),
        cmocka_unit_test(timers_come_out_in_order_whatever_was_set_moved_or_cancelled),
        TEST(named_timer_is_one_for_each_function_and_context),
        TEST(posts_of_many_threads_all_arrive_in_order),
        TEST(attachment_is_released_with_the_pump),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
