/*
 * The processes that share a segment, and its locks: whoever is killed when.
 */
#include "segment_regions.h"

#include <pthread.h>
#include <sys/resource.h>

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

static void words_of_no_process_are_not_alive(void **state)
{
    (void)state;
    static const uint64_t words[] = {0, UINT64_C(7) << 32, UINT64_C(7) << 32 | UINT32_MAX,
                                     UINT64_C(7) << 32 | 0x80000000};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        assert_false(segment_owner_alive(words[i], true));
        assert_false(segment_owner_alive(words[i], false));
    }
}

static void process_that_could_not_read_its_start_is_known_by_its_pid(void **state)
{
    (void)state;
    assert_true(segment_owner_alive((uint32_t)getppid(), true));
    assert_true(segment_owner_alive((uint32_t)getpid(), false));
}

static int look_without_proc(void *context)
{
    (void)context;
    uint64_t ghost = UINT64_C(0xfffffff0) << 32 | (uint32_t)getppid();
    const struct rlimit none = {0, 0};
    bool seen = segment_owner_alive(ghost, true);
    /* No descriptor, no /proc. */
    return !seen && setrlimit(RLIMIT_NOFILE, &none) == 0 && segment_owner_alive(ghost, true) ? 0
                                                                                             : 1;
}

static void process_that_proc_does_not_show_counts_as_alive_while_it_runs(void **state)
{
    (void)state;
    assert_int_equal(help_wait(help_fork(look_without_proc, NULL)), 0);
}

static int register_without_proc(void *context)
{
    struct guest *guest = context;
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_NOFILE, &none) != 0) {
        return 1;
    }
    guest->process = segment_self(guest->inherited);
    atomic_store(&guest->here, 1);
    help_sleep_for_ever();
    return 0;
}

static void process_that_cannot_read_its_own_start_has_a_slot_and_loses_it(void **state)
{
    (void)state;
    struct guest *guest = help_share(sizeof *guest);
    struct segment *segment = help_open("judge", regions, REGION_COUNT);
    assert_non_null(segment);
    guest->inherited = segment;
    pid_t pid = help_fork(register_without_proc, guest);
    help_await(&guest->here, 1);
    struct segment_process_slot *slot = &segment->header->processes[guest->process.slot];
    assert_int_equal(atomic_load(&slot->owner), pid);
    assert_true(segment_process_alive(segment, guest->process));
    help_kill(pid);
    assert_false(segment_process_alive(segment, guest->process));
    segment_close(segment);
    munmap(guest, sizeof *guest);
}

static int use_inherited(void *context)
{
    struct guest *guest = context;
    guest->process = segment_self(guest->inherited);
    atomic_store(&guest->here, 1);
    help_sleep_for_ever();
    return 0;
}

static void child_without_a_slot_counts_as_dead(void **state)
{
    (void)state;
    struct guest *guest = help_share(sizeof *guest);
    struct segment *segment = help_open("parent", regions, REGION_COUNT);
    assert_non_null(segment);
    help_fill_process_table(segment);
    guest->inherited = segment;
    pid_t pid = help_fork(use_inherited, guest);
    help_await(&guest->here, 1);
    assert_int_equal(guest->process.slot, SEGMENT_PROCESS_MAXIMUM);
    assert_false(segment_process_alive(segment, guest->process));
    help_kill(pid);
    segment_close(segment);
    munmap(guest, sizeof *guest);
}

/* A look into /proc costs a file; one a second serves. */
static void proc_is_looked_into_once_a_second(void **state)
{
    (void)state;
    struct guest *guest = help_share(sizeof *guest);
    struct segment *segment = help_open("judge", regions, REGION_COUNT);
    assert_non_null(segment);
    pid_t pid = help_fork(stay_until_killed, guest);
    help_await(&guest->here, 1);
    assert_true(segment_process_alive(segment, guest->process));
    _Atomic uint64_t *looked = &segment->looked[guest->process.slot];
    assert_int_equal(atomic_load(looked) >> 32, guest->process.generation);
    uint32_t now = (uint32_t)(clock_boot_nanoseconds() / 1000000000);
    assert_in_range(now - (uint32_t)atomic_load(looked), 0, 10);
    /* A look counts for its whole second: a zombie is noticed in the next one. */
    kill(pid, SIGKILL);
    siginfo_t information;
    assert_int_equal(waitid(P_PID, (id_t)pid, &information, WEXITED | WNOWAIT), 0);
    do {
        now = (uint32_t)(clock_boot_nanoseconds() / 1000000000);
        atomic_store(looked, (uint64_t)guest->process.generation << 32 | now);
        (void)segment_process_alive(segment, guest->process);
    } while (now != (uint32_t)(clock_boot_nanoseconds() / 1000000000));
    assert_true(atomic_load(&segment->header->processes[guest->process.slot].owner) != 0);
    atomic_store(looked, (uint64_t)guest->process.generation << 32 | (now - 1));
    assert_false(segment_process_alive(segment, guest->process));
    assert_int_equal(atomic_load(&segment->header->processes[guest->process.slot].owner), 0);
    help_wait(pid);
    segment_close(segment);
    munmap(guest, sizeof *guest);
}

static void closed_segment_frees_its_slot(void **state)
{
    (void)state;
    struct segment *judge = help_open("judge", regions, REGION_COUNT);
    struct segment *guest = help_open("guest", regions, REGION_COUNT);
    assert_non_null(judge);
    assert_non_null(guest);
    struct segment_process process = segment_self(guest);
    assert_int_not_equal(process.slot, segment_self(judge).slot);
    assert_true(segment_process_alive(judge, process));
    /* Somebody has taken the slot over already: it is his. */
    atomic_fetch_add(&judge->header->processes[process.slot].generation, 1);
    segment_close(guest);
    assert_true(atomic_load(&judge->header->processes[process.slot].owner) != 0);
    atomic_store(&judge->header->processes[process.slot].owner, 0);
    guest = help_open("guest", regions, REGION_COUNT);
    assert_non_null(guest);
    process = segment_self(guest);
    segment_close(guest);
    assert_int_equal(atomic_load(&judge->header->processes[process.slot].owner), 0);
    assert_false(segment_process_alive(judge, process));
    segment_close(judge);
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
        SEGMENT_TEST(words_of_no_process_are_not_alive),
        SEGMENT_TEST(process_that_could_not_read_its_start_is_known_by_its_pid),
        SEGMENT_TEST(process_that_proc_does_not_show_counts_as_alive_while_it_runs),
        SEGMENT_TEST(process_that_cannot_read_its_own_start_has_a_slot_and_loses_it),
        SEGMENT_TEST(child_without_a_slot_counts_as_dead),
        SEGMENT_TEST(proc_is_looked_into_once_a_second),
        SEGMENT_TEST(closed_segment_frees_its_slot),
        SEGMENT_TEST(forked_child_has_its_own_identity),
        SEGMENT_TEST(table_of_processes_is_bounded_and_recovers),
        SEGMENT_TEST(lock_excludes_processes_and_threads),
        SEGMENT_TEST(lock_of_a_dead_holder_is_taken_over_and_told),
        SEGMENT_TEST(kill_storm_leaves_the_segment_usable),
    };
    return cmocka_run_group_tests_name("segment_process", tests, NULL, NULL);
}
