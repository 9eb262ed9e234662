/*
 * Metrics of processes: by program, of live ones only; processor time also counts that of ended ones.
 */
#include "metrics_help.h"

#include <time.h>

struct scene {
    _Atomic uint32_t ready;
};

static double read_sample(const char *text, const char *name)
{
    const char *found = strstr(text, name);
    if (found == NULL) {
        fail_msg("no sample %s", name);
    }
    return strtod(found + strlen(name), NULL);
}

/* Uses several ticks of processor time, however long that takes on a busy machine. */
static void burn_processor_time(void)
{
    clock_t start = clock();
    while (clock() - start < CLOCKS_PER_SEC * 15 / 100) {
    }
}

static int burn_and_stay(void *context)
{
    struct scene *scene = context;
    set_up("burner");
    burn_processor_time();
    atomic_store(&scene->ready, 1);
    help_sleep_for_ever();
    return 0;
}

static void live_processes_are_described_by_program(void **state)
{
    (void)state;
    struct scene *scene = help_share(sizeof *scene);
    struct fixture fixture = set_up("judge");
    pid_t child = help_fork(burn_and_stay, scene);
    help_await(&scene->ready, 1);
    const char *text = render(&fixture);
    double now = (double)clock_wall_milliseconds() / 1000;
    double start = read_sample(text, "process_start_time_seconds{program=\"judge\"} ");
    assert_true(start > now - 60 && start <= now + 1);
    assert_true(read_sample(text, "process_open_fds{program=\"judge\"} ") >= 3);
    assert_true(read_sample(text, "process_resident_memory_bytes{program=\"burner\"} ") > 100000);
    assert_true(read_sample(text, "\nsegment_created_timestamp_seconds ") > now - 60);
    double before = read_sample(text, "process_cpu_seconds_total{program=\"burner\"} ");
    assert_true(before > 0);
    assert_true(before < 10);
    text = render(&fixture); /* no tick is counted twice */
    assert_true(read_sample(text, "process_cpu_seconds_total{program=\"burner\"} ") == before);
    help_kill(child);
    text = render(&fixture);
    assert_true(read_sample(text, "process_cpu_seconds_total{program=\"burner\"} ") >= before);
    assert_null(strstr(text, "process_open_fds{program=\"burner\"}"));
    tear_down(&fixture);
    munmap(scene, sizeof *scene);
}

/* However often it is scraped, each tick counts once. */
static void processor_time_is_what_the_process_has_used(void **state)
{
    (void)state;
    struct fixture fixture = set_up("judge");
    for (int i = 0; i < 3; i++) {
        double before = (double)clock() / CLOCKS_PER_SEC;
        double told =
            read_sample(render(&fixture), "process_cpu_seconds_total{program=\"judge\"} ");
        double after = (double)clock() / CLOCKS_PER_SEC;
        assert_true(told > before - 0.05 && told < after + 0.05); /* a few ticks */
        burn_processor_time();
    }
    tear_down(&fixture);
}

enum { MANY_DESCRIPTORS = 60, FEW_DESCRIPTORS = 20, MUCH_MEMORY = 64 << 20 };

/* A process of the program "twin" with at least so many descriptors and so much memory. */
static int be_a_twin(struct scene *scene, int descriptors, size_t memory)
{
    set_up("twin");
    while (dup(0) < descriptors) {
    }
    char *bytes = mmap(NULL, memory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(bytes, 'x', memory);
    atomic_fetch_add(&scene->ready, 1);
    help_sleep_for_ever();
    return 0;
}

static int be_the_first_twin(void *context)
{
    return be_a_twin(context, MANY_DESCRIPTORS, MUCH_MEMORY / 2);
}

static int be_the_second_twin(void *context)
{
    return be_a_twin(context, FEW_DESCRIPTORS, MUCH_MEMORY);
}

/* A sanitizer's own memory makes it a multiple of what the process has asked for. */
static uint64_t resident_bytes(pid_t process)
{
    char path[64];
    unsigned long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)process);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %lu", &pages), 1);
    fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* One process runs into a limit, not their sum; the start time is that of the newest one. */
static void processes_of_one_program_make_one_value_each(void **state)
{
    (void)state;
    struct scene *scene = help_share(sizeof *scene);
    struct fixture fixture = set_up("judge");
    pid_t first = help_fork(be_the_first_twin, scene);
    help_await(&scene->ready, 1);
    pid_t second = help_fork(be_the_second_twin, scene);
    help_await(&scene->ready, 2);
    struct segment_process_info info[3];
    assert_int_equal(segment_list_processes(fixture.segment, info, 3), 3);
    assert_int_equal(info[1].pid, first);
    struct segment_process_slot *slots = fixture.segment->header->processes;
    slots[info[1].process.slot].started_wall_milliseconds = 2000500;
    slots[info[2].process.slot].started_wall_milliseconds = 1000500;
    const char *text = render(&fixture);
    assert_line(text, "process_start_time_seconds{program=\"twin\"} 2000.5");
    assert_in_range(read_sample(text, "process_open_fds{program=\"twin\"} "), MANY_DESCRIPTORS,
                    MANY_DESCRIPTORS + FEW_DESCRIPTORS / 2);
    uint64_t larger = resident_bytes(second);
    assert_true(larger > resident_bytes(first));
    assert_in_range(read_sample(text, "process_resident_memory_bytes{program=\"twin\"} "),
                    larger / 4 * 3, larger / 4 * 5);
    assert_int_equal(count_texts(text, "{program=\"twin\"}"), 4);
    slots[info[2].process.slot].started_wall_milliseconds = 3000000;
    assert_line(render(&fixture), "process_start_time_seconds{program=\"twin\"} 3000.0");
    help_kill(first);
    help_kill(second);
    tear_down(&fixture);
    munmap(scene, sizeof *scene);
}

static struct fixture *inherited;

static int count_without_a_slot(void *context)
{
    (void)context;
    struct metrics *metrics = inherited->metrics;
    metrics_add(metrics, METRIC_CHAT_COMPLETIONS, METRIC_LABELS("a", "known"), 2);
    metrics_add(metrics, METRIC_CHAT_COMPLETIONS, METRIC_LABELS("a", "new"), 3);
    metrics_present(metrics, METRIC_CHAT_STREAMS_ACTIVE, METRIC_NO_LABELS, 1);
    return segment_self(inherited->segment).slot == SEGMENT_PROCESS_MAXIMUM ? 0 : 1;
}

/* Nobody could tell that it has died in the middle of making a series, or with a stream open. */
static void process_without_a_slot_counts_where_there_is_a_series(void **state)
{
    (void)state;
    struct fixture fixture = set_up("judge");
    inherited = &fixture;
    metrics_add(fixture.metrics, METRIC_CHAT_COMPLETIONS, METRIC_LABELS("a", "known"), 1);
    help_fill_process_table(fixture.segment);
    assert_int_equal(help_wait(help_fork(count_without_a_slot, NULL)), 0);
    assert_int_equal(
        metrics_read(fixture.metrics, METRIC_CHAT_COMPLETIONS, METRIC_LABELS("a", "known")), 3);
    assert_int_equal(
        metrics_read(fixture.metrics, METRIC_CHAT_COMPLETIONS, METRIC_LABELS("a", "new")), 0);
    assert_int_equal(metrics_read(fixture.metrics, METRIC_METRICS_DROPPED_SERIES, METRIC_NO_LABELS),
                     1);
    assert_int_equal(metrics_read(fixture.metrics, METRIC_CHAT_STREAMS_ACTIVE, METRIC_NO_LABELS),
                     0);
    tear_down(&fixture);
}

static int burn_and_close(void *context)
{
    (void)context;
    struct fixture fixture = set_up("closer");
    burn_processor_time();
    tear_down(&fixture);
    return 0;
}

static void processor_time_of_processes_between_scrapes_counts(void **state)
{
    (void)state;
    struct fixture fixture = set_up("judge");
    assert_int_equal(help_wait(help_fork(burn_and_close, NULL)), 0);
    assert_true(read_sample(render(&fixture), "process_cpu_seconds_total{program=\"closer\"} ") >
                0);
    tear_down(&fixture);
}

int main(void)
{
    alarm(HELP_SECONDS_PER_BINARY);
    const struct CMUnitTest tests[] = {
        METRICS_TEST(live_processes_are_described_by_program),
        METRICS_TEST(processor_time_is_what_the_process_has_used),
        METRICS_TEST(processes_of_one_program_make_one_value_each),
        METRICS_TEST(process_without_a_slot_counts_where_there_is_a_series),
        METRICS_TEST(processor_time_of_processes_between_scrapes_counts),
    };
    return cmocka_run_group_tests_name("metrics_processes", tests, NULL, NULL);
}
