/*
 * The processes that share a segment, and its locks: whoever is killed when.
 */
#include "segment_regions.h"

#include <pthread.h>

#include "segment/layout.h"

/* --- processes ----------------------------------------------------------------------------- */

struct guest {
    _Atomic uint32_t here;
    struct segment_process process;
    struct segment *inherited;
};

static int stay_until_killed(void *context)
{
    struct guest *guest = context;
    struct segment *segment = help_open("guest", regions, REGION_COUNT);
    if (segment == NULL) {
        return 1;
    }
    guest->process = segment_self(segment);
    atomic_fetch_add(&guest->here, 1);
    help_sleep_for_ever();
    return 0;
}

static void live_processes_are_listed_by_program(void **state)
{
    (void)state;
    struct guest *guest = help_share(sizeof *guest);
    struct segment *segment = help_open("a program with a name that is too long", regions, 2);
    assert_non_null(segment);
    pid_t pid = help_fork(stay_until_killed, guest);
    help_await(&guest->here, 1);
    struct segment_process_info info[SEGMENT_PROCESS_MAXIMUM];
    assert_int_equal(segment_list_processes(segment, info, SEGMENT_PROCESS_MAXIMUM), 2);
    assert_int_equal(info[0].pid, getpid());
    assert_string_equal(info[0].program, "a program with a name that is t");
    assert_int_equal(info[1].pid, pid);
    assert_string_equal(info[1].program, "guest");
    assert_true(llabs(info[1].started_wall_milliseconds - clock_wall_milliseconds()) < 10000);
    assert_int_equal(segment_list_processes(segment, info, 1), 1);
    help_kill(pid);
    assert_int_equal(segment_list_processes(segment, info, SEGMENT_PROCESS_MAXIMUM), 1);
    segment_close(segment);
    munmap(guest, sizeof *guest);
}

static void killed_process_is_dead_at_once_and_its_slot_gets_a_new_generation(void **state)
{
    (void)state;
    struct guest *guest = help_share(sizeof *guest);
    struct segment *segment = help_open("judge", regions, REGION_COUNT);
    assert_non_null(segment);
    pid_t pid = help_fork(stay_until_killed, guest);
    help_await(&guest->here, 1);
    struct segment_process first = guest->process;
    assert_true(segment_process_alive(segment, first));
    help_kill(pid);
    assert_false(segment_process_alive(segment, first));
    pid = help_fork(stay_until_killed, guest);
    help_await(&guest->here, 2);
    assert_int_equal(guest->process.slot, first.slot);
    assert_true(guest->process.generation != first.generation);
    assert_true(segment_process_alive(segment, guest->process));
    assert_false(segment_process_alive(segment, first));
    help_kill(pid);
    segment_close(segment);
    munmap(guest, sizeof *guest);
}

static void zombie_counts_as_dead(void **state)
{
    (void)state;
    struct guest *guest = help_share(sizeof *guest);
    struct segment *segment = help_open("judge", regions, REGION_COUNT);
    assert_non_null(segment);
    pid_t pid = help_fork(stay_until_killed, guest);
    help_await(&guest->here, 1);
    kill(pid, SIGKILL);
    siginfo_t information;
    assert_int_equal(waitid(P_PID, (id_t)pid, &information, WEXITED | WNOWAIT), 0);
    struct segment_process_info info[SEGMENT_PROCESS_MAXIMUM];
    assert_int_equal(segment_list_processes(segment, info, SEGMENT_PROCESS_MAXIMUM), 1);
    assert_false(segment_process_alive(segment, guest->process));
    help_wait(pid);
    segment_close(segment);
    munmap(guest, sizeof *guest);
}

static void reused_pid_does_not_count_as_the_old_process(void **state)
{
    (void)state;
    struct segment *segment = help_open("judge", regions, REGION_COUNT);
    assert_non_null(segment);
    struct segment_process_slot *slot = &segment->header->processes[9];
    /* As if our parent's pid had belonged to a process that started at another time. */
    atomic_store(&slot->generation, 3);
    atomic_store(&slot->owner, UINT64_C(0xfffffff0) << 32 | (uint32_t)getppid());
    struct segment_process ghost = {.slot = 9, .generation = 3};
    assert_false(segment_process_alive(segment, ghost));
    assert_int_equal(atomic_load(&slot->owner), 0);
    segment_close(segment);
}

static void invalid_process_is_not_alive(void **state)
{
    (void)state;
    struct segment *segment = help_open("judge", regions, REGION_COUNT);
    assert_non_null(segment);
    assert_false(segment_process_alive(segment, (struct segment_process){0, 0}));
    assert_false(segment_process_alive(segment, (struct segment_process){63, 0}));
    assert_false(segment_process_alive(segment, (struct segment_process){64, 1}));
    assert_false(segment_process_alive(segment, (struct segment_process){UINT32_MAX, 1}));
    assert_true(segment_process_alive(segment, segment_self(segment)));
    segment_close(segment);
}

static int use_inherited(void *context)
{
    struct guest *guest = context;
    guest->process = segment_self(guest->inherited);
    atomic_store(&guest->here, 1);
    help_sleep_for_ever();
    return 0;
}

static void forked_child_has_its_own_identity(void **state)
{
    (void)state;
    struct guest *guest = help_share(sizeof *guest);
    struct segment *segment = help_open("parent", regions, REGION_COUNT);
    assert_non_null(segment);
    guest->inherited = segment;
    pid_t pid = help_fork(use_inherited, guest);
    help_await(&guest->here, 1);
    assert_int_not_equal(guest->process.slot, segment_self(segment).slot);
    assert_true(segment_process_alive(segment, guest->process));
    help_kill(pid);
    assert_false(segment_process_alive(segment, guest->process));
    assert_true(segment_process_alive(segment, segment_self(segment)));
    segment_close(segment);
    munmap(guest, sizeof *guest);
}

static void table_of_processes_is_bounded_and_recovers(void **state)
{
    (void)state;
    struct guest *guest = help_share(sizeof *guest);
    pid_t guests[SEGMENT_PROCESS_MAXIMUM];
    for (uint32_t i = 0; i < SEGMENT_PROCESS_MAXIMUM; i++) {
        guests[i] = help_fork(stay_until_killed, guest);
    }
    help_await(&guest->here, SEGMENT_PROCESS_MAXIMUM);
    struct segment *segment = NULL;
    struct buffer problem;
    buffer_init(&problem, 1024);
    assert_int_equal(segment_open(&segment, help_directory, "65th", regions, 2, &problem),
                     STATUS_UNAVAILABLE);
    assert_null(segment);
    assert_non_null(strstr(buffer_text(&problem), "64 processes"));
    buffer_release(&problem);
    help_kill(guests[17]);
    segment = help_open("late", regions, REGION_COUNT);
    assert_non_null(segment);
    for (uint32_t i = 0; i < SEGMENT_PROCESS_MAXIMUM; i++) {
        if (i != 17) {
            help_kill(guests[i]);
        }
    }
    struct segment_process_info info[SEGMENT_PROCESS_MAXIMUM];
    assert_int_equal(segment_list_processes(segment, info, SEGMENT_PROCESS_MAXIMUM), 1);
    segment_close(segment);
    munmap(guest, sizeof *guest);
}

/* --- locks --------------------------------------------------------------------------------- */

#define ROUNDS 20000

static void add_under_lock(struct segment *segment)
{
    struct test_region *region = alpha(segment);
    for (int i = 0; i < ROUNDS; i++) {
        segment_lock_acquire(segment, &region->lock);
        region->first++;
        region->second++;
        segment_lock_release(segment, &region->lock);
    }
}

static int add_in_process(void *context)
{
    (void)context;
    struct segment *segment = help_open("adder", regions, REGION_COUNT);
    if (segment == NULL) {
        return 1;
    }
    add_under_lock(segment);
    segment_close(segment);
    return 0;
}

static void *add_in_thread(void *context)
{
    add_under_lock(context);
    return NULL;
}

static void lock_excludes_processes_and_threads(void **state)
{
    (void)state;
    struct segment *segment = help_open("judge", regions, REGION_COUNT);
    assert_non_null(segment);
    pid_t adders[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        adders[i] = help_fork(add_in_process, NULL);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, add_in_thread, segment), 0);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(help_wait(adders[i]), 0);
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(alpha(segment)->first, 6 * ROUNDS);
    assert_int_equal(alpha(segment)->second, 6 * ROUNDS);
    segment_close(segment);
}

static int die_with_lock(void *context)
{
    (void)context;
    struct segment *segment = help_open("victim", regions, REGION_COUNT);
    if (segment == NULL) {
        return 1;
    }
    segment_lock_acquire(segment, &alpha(segment)->lock);
    raise(SIGKILL);
    return 1;
}

static void lock_of_a_dead_holder_is_taken_over_and_told(void **state)
{
    (void)state;
    struct segment *segment = help_open("judge", regions, REGION_COUNT);
    assert_non_null(segment);
    struct segment_lock *lock = &alpha(segment)->lock;
    assert_int_equal(help_wait(help_fork(die_with_lock, NULL)), -SIGKILL);
    assert_true(segment_lock_acquire(segment, lock));
    segment_lock_release(segment, lock);
    assert_false(segment_lock_acquire(segment, lock));
    segment_lock_release(segment, lock);
    /* The pid lives, but it is another process than the one that took the lock. */
    atomic_store(&lock->owner, UINT64_C(0xfffffff0) << 32 | (uint32_t)getppid());
    assert_true(segment_lock_acquire(segment, lock));
    segment_lock_release(segment, lock);
    segment_close(segment);
}

static int open_lock_unlock_for_ever(void *context)
{
    (void)context;
    for (;;) {
        struct segment *segment = help_open("storm", regions, REGION_COUNT);
        if (segment == NULL) {
            return 1;
        }
        struct test_region *region = alpha(segment);
        for (int i = 0; i < 50; i++) {
            if (segment_lock_acquire(segment, &region->lock)) {
                region->second = region->first; /* the repair */
                atomic_fetch_add(&region->repairs, 1);
            }
            if (region->first != region->second) {
                return 2;
            }
            region->first++;
            /* Long enough that kills hit the section: the others, who wait for it, go first. */
            for (volatile int work = 0; work < 2000; work++) {
            }
            if (i % 8 == 0) {
                sched_yield();
            }
            region->second++;
            segment_lock_release(segment, &region->lock);
            atomic_fetch_add(&region->counter, 1);
        }
        segment_close(segment);
    }
}

static void kill_storm_leaves_the_segment_usable(void **state)
{
    (void)state;
    enum { CHILDREN = 20, KILLS = 150, KILLS_AT_MOST = 3000 };
    pid_t children[CHILDREN];
    struct segment *segment = help_open("judge", regions, REGION_COUNT);
    assert_non_null(segment);
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = help_fork(open_lock_unlock_for_ever, NULL);
    }
    struct test_region *region = alpha(segment);
    int kills = 0;
    for (; kills < KILLS || (atomic_load(&region->repairs) == 0 && kills < KILLS_AT_MOST);
         kills++) {
        size_t victim = random_below(CHILDREN);
        usleep((useconds_t)random_below(3000)); /* a random moment is the point */
        kill(children[victim], SIGKILL);
        assert_int_equal(help_wait(children[victim]), -SIGKILL);
        children[victim] = help_fork(open_lock_unlock_for_ever, NULL);
    }
    for (int i = 0; i < CHILDREN; i++) {
        kill(children[i], SIGKILL);
        assert_int_equal(help_wait(children[i]), -SIGKILL);
    }
    if (segment_lock_acquire(segment, &region->lock)) {
        region->second = region->first;
    }
    assert_int_equal(region->first, region->second);
    assert_true(region->first > 100);
    assert_true(atomic_load(&region->repairs) > 0);
    segment_lock_release(segment, &region->lock);
    struct segment_process_info info[SEGMENT_PROCESS_MAXIMUM];
    assert_int_equal(segment_list_processes(segment, info, SEGMENT_PROCESS_MAXIMUM), 1);
    printf("kill storm: %d kills, %llu turns, %llu takeovers\n", kills,
           (unsigned long long)atomic_load(&region->counter),
           (unsigned long long)atomic_load(&region->repairs));
    segment_close(segment);
}

int main(void)
{
    alarm(HELP_SECONDS_PER_BINARY);
    const struct CMUnitTest tests[] = {
        SEGMENT_TEST(live_processes_are_listed_by_program),
        SEGMENT_TEST(killed_process_is_dead_at_once_and_its_slot_gets_a_new_generation),
        SEGMENT_TEST(zombie_counts_as_dead),
        SEGMENT_TEST(reused_pid_does_not_count_as_the_old_process),
        SEGMENT_TEST(invalid_process_is_not_alive),
        SEGMENT_TEST(forked_child_has_its_own_identity),
        SEGMENT_TEST(table_of_processes_is_bounded_and_recovers),
        SEGMENT_TEST(lock_excludes_processes_and_threads),
        SEGMENT_TEST(lock_of_a_dead_holder_is_taken_over_and_told),
        SEGMENT_TEST(kill_storm_leaves_the_segment_usable),
    };
    return cmocka_run_group_tests_name("segment_process", tests, NULL, NULL);
}
