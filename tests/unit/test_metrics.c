/*
 * Metrics: counters that never fall, gauges that never stick, tables that fill up gracefully.
 */
#include "metrics_help.h"

#include <pthread.h>

#include "log/log.h"
#include "metrics/table.h"

/* --- counters ------------------------------------------------------------------------------ */

static void what_has_no_labels_is_there_from_the_start(void **state)
{
    (void)state;
    struct fixture fixture = set_up("test");
    const char *text = render(&fixture);
    assert_line(text, "metrics_dropped_series_total 0");
    assert_line(text, "chat_streams_active 0");
    assert_line(text, "# TYPE http_requests_total counter");
    /* A state that nobody has told is not stated. */
    assert_null(strstr(text, "\nrate_limit_store_up "));
    tear_down(&fixture);
}

static void series_are_told_apart_by_every_label(void **state)
{
    (void)state;
    struct fixture fixture = set_up("test");
    struct metrics *metrics = fixture.metrics;
    metrics_add(metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("GET", "/a", "200"), 1);
    metrics_add(metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("GET", "/a", "404"), 2);
    metrics_add(metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("GET", "/a2", "00"), 4);
    metrics_add(metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("GE", "T/a", "200"), 8);
    metrics_add(metrics, METRIC_HTTP_ERRORS, METRIC_LABELS("GET", "/a", "200"), 16);
    metrics_add(metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("GET", "/a", "200"), 32);
    assert_int_equal(metrics_read(metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("GET", "/a", "200")),
                     33);
    assert_int_equal(metrics_read(metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("GET", "/a", "404")),
                     2);
    assert_int_equal(metrics_read(metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("GET", "/b", "1")),
                     0);
    const char *text = render(&fixture);
    assert_line(text, "http_requests_total{method=\"GET\",endpoint=\"/a\",status_code=\"200\"} 33");
    assert_line(text, "http_requests_total{method=\"GE\",endpoint=\"T/a\",status_code=\"200\"} 8");
    assert_line(text, "http_errors_total{method=\"GET\",endpoint=\"/a\",error_type=\"200\"} 16");
    tear_down(&fixture);
}

static void without_metrics_everything_does_nothing(void **state)
{
    (void)state;
    metrics_add(NULL, METRIC_HTTP_REQUESTS, METRIC_LABELS("GET", "/", "200"), 1);
    metrics_observe(NULL, METRIC_DB_QUERY_DURATION, METRIC_LABELS("x"), 1);
    metrics_set(NULL, METRIC_RATE_LIMIT_STORE_UP, METRIC_NO_LABELS, 1);
    metrics_present(NULL, METRIC_CHAT_STREAMS_ACTIVE, METRIC_NO_LABELS, 1);
    assert_int_equal(metrics_read(NULL, METRIC_CHAT_STREAMS_ACTIVE, METRIC_NO_LABELS), 0);
    metrics_close(NULL);
    struct buffer out;
    buffer_init(&out, 100);
    assert_int_equal(metrics_render(NULL, METRICS_TEXT_0_0_4, true, &out), STATUS_OK);
    assert_string_equal(buffer_text(&out), "");
    assert_int_equal(metrics_render(NULL, METRICS_OPENMETRICS_1_0_0, true, &out), STATUS_OK);
    assert_string_equal(buffer_text(&out), "# EOF\n");
    buffer_release(&out);
}

static void update_of_the_wrong_kind_changes_nothing(void **state)
{
    (void)state;
    struct fixture fixture = set_up("test");
    metrics_add(fixture.metrics, METRIC_RATE_LIMIT_STORE_UP, METRIC_NO_LABELS, 5);
    metrics_set(fixture.metrics, METRIC_METRICS_DROPPED_SERIES, METRIC_NO_LABELS, -5);
    metrics_observe(fixture.metrics, METRIC_CHAT_STREAMS_ACTIVE, METRIC_NO_LABELS, 5);
    metrics_present(fixture.metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("a", "b", "c"), 5);
    metrics_add(fixture.metrics, METRIC_BUILD, METRIC_LABELS("9"), 5);
    metrics_add(fixture.metrics, METRIC_COUNT, METRIC_NO_LABELS, 5);
    const char *text = render(&fixture);
    assert_null(strstr(text, " 5\n"));
    assert_null(strstr(text, " -5\n"));
    tear_down(&fixture);
}

struct scene {
    struct segment *segment;
    struct metrics *metrics;
    _Atomic uint32_t ready;
    _Atomic uint64_t added;
};

#define ROUNDS 50000

static void *count_up(void *context)
{
    struct metrics *metrics = context;
    for (int i = 0; i < ROUNDS; i++) {
        metrics_add(metrics, METRIC_CHAT_COMPLETIONS, METRIC_LABELS("openai", "gpt"), 3);
        metrics_observe(metrics, METRIC_DB_QUERY_DURATION, METRIC_LABELS("select"),
                        (uint64_t)i * 1000);
    }
    return NULL;
}

static int count_up_in_process(void *context)
{
    (void)context;
    struct fixture fixture = set_up("counter");
    count_up(fixture.metrics);
    tear_down(&fixture);
    return 0;
}

static void no_update_is_lost_between_processes_and_threads(void **state)
{
    (void)state;
    struct fixture fixture = set_up("test");
    pid_t children[3];
    pthread_t threads[2];
    for (int i = 0; i < 3; i++) {
        children[i] = help_fork(count_up_in_process, NULL);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, fixture.metrics), 0);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(help_wait(children[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(
        metrics_read(fixture.metrics, METRIC_CHAT_COMPLETIONS, METRIC_LABELS("openai", "gpt")),
        5 * ROUNDS * 3);
    assert_int_equal(
        metrics_read(fixture.metrics, METRIC_DB_QUERY_DURATION, METRIC_LABELS("select")),
        5 * ROUNDS);
    /* 5 * (0 + 1 + … + 49999) microseconds */
    assert_line(render(&fixture), "db_query_duration_seconds_sum{operation=\"select\"} 6249.875");
    tear_down(&fixture);
}

static int add_and_stay(void *context)
{
    struct scene *scene = context;
    struct fixture fixture = set_up("victim");
    metrics_add(fixture.metrics, METRIC_CHAT_COMPLETIONS, METRIC_LABELS("p", "m"), 7);
    metrics_present(fixture.metrics, METRIC_HTTP_REQUESTS_IN_PROGRESS, METRIC_LABELS("GET", "/x"),
                    1);
    metrics_present(fixture.metrics, METRIC_CHAT_STREAMS_ACTIVE, METRIC_NO_LABELS, 3);
    atomic_fetch_add(&scene->ready, 1);
    help_sleep_for_ever();
    return 0;
}

static void counters_outlive_processes_and_presence_dies_with_them(void **state)
{
    (void)state;
    struct scene *scene = help_share(sizeof *scene);
    struct fixture fixture = set_up("test");
    metrics_present(fixture.metrics, METRIC_CHAT_STREAMS_ACTIVE, METRIC_NO_LABELS, 1);
    pid_t victim = help_fork(add_and_stay, scene);
    help_await(&scene->ready, 1);
    const char *text = render(&fixture);
    assert_line(text, "chat_streams_active 4");
    assert_line(text, "http_requests_in_progress{method=\"GET\",endpoint=\"/x\"} 1");
    assert_line(text, "chat_completions_total{provider=\"p\",model=\"m\"} 7");
    help_kill(victim);
    text = render(&fixture);
    assert_line(text, "chat_streams_active 1");
    assert_line(text, "http_requests_in_progress{method=\"GET\",endpoint=\"/x\"} 0");
    assert_line(text, "chat_completions_total{provider=\"p\",model=\"m\"} 7");
    /* Whoever gets the dead one's slot starts at nothing. */
    victim = help_fork(add_and_stay, scene);
    help_await(&scene->ready, 2);
    assert_int_equal(metrics_read(fixture.metrics, METRIC_CHAT_STREAMS_ACTIVE, METRIC_NO_LABELS),
                     4);
    help_kill(victim);
    assert_int_equal(metrics_read(fixture.metrics, METRIC_CHAT_STREAMS_ACTIVE, METRIC_NO_LABELS),
                     1);
    metrics_present(fixture.metrics, METRIC_CHAT_STREAMS_ACTIVE, METRIC_NO_LABELS, -1);
    assert_line(render(&fixture), "chat_streams_active 0");
    tear_down(&fixture);
    munmap(scene, sizeof *scene);
}

static void values_outlive_all_processes(void **state)
{
    (void)state;
    struct fixture fixture = set_up("first");
    metrics_add(fixture.metrics, METRIC_CHAT_COMPLETIONS, METRIC_LABELS("p", "m"), 7);
    tear_down(&fixture);
    fixture = set_up("second");
    metrics_add(fixture.metrics, METRIC_CHAT_COMPLETIONS, METRIC_LABELS("p", "m"), 1);
    assert_line(render(&fixture), "chat_completions_total{provider=\"p\",model=\"m\"} 8");
    tear_down(&fixture);
}

static void state_gauge_keeps_what_the_last_writer_said(void **state)
{
    (void)state;
    struct fixture fixture = set_up("test");
    metrics_set(fixture.metrics, METRIC_SERVICE_HEALTH_STATUS, METRIC_LABELS("redis"), 1);
    metrics_set(fixture.metrics, METRIC_SERVICE_HEALTH_STATUS, METRIC_LABELS("redis"), -2);
    metrics_set(fixture.metrics, METRIC_RATE_LIMIT_STORE_UP, METRIC_NO_LABELS, 0);
    const char *text = render(&fixture);
    assert_line(text, "service_health_status{service_name=\"redis\"} -2");
    assert_line(text, "rate_limit_store_up 0");
    assert_int_equal(
        metrics_read(fixture.metrics, METRIC_SERVICE_HEALTH_STATUS, METRIC_LABELS("redis")), -2);
    tear_down(&fixture);
}

static void withdrawn_gauge_is_gone_until_it_is_set_again(void **state)
{
    (void)state;
    struct fixture fixture = set_up("test");
    const char *const *redis = METRIC_LABELS("redis");
    metrics_withdraw(NULL, METRIC_SERVICE_HEALTH_STATUS, redis);
    metrics_withdraw(fixture.metrics, METRIC_SERVICE_HEALTH_STATUS, redis);
    metrics_withdraw(fixture.metrics, METRIC_CHAT_COMPLETIONS, METRIC_LABELS("p", "m"));
    metrics_set(fixture.metrics, METRIC_SERVICE_HEALTH_STATUS, redis, 0);
    assert_line(render(&fixture), "service_health_status{service_name=\"redis\"} 0");
    metrics_withdraw(fixture.metrics, METRIC_SERVICE_HEALTH_STATUS, redis);
    assert_null(strstr(render(&fixture), "redis"));
    assert_int_equal(metrics_read(fixture.metrics, METRIC_SERVICE_HEALTH_STATUS, redis), 0);
    metrics_set(fixture.metrics, METRIC_SERVICE_HEALTH_STATUS, redis, 1);
    assert_line(render(&fixture), "service_health_status{service_name=\"redis\"} 1");
    tear_down(&fixture);
}

/* --- limits of the table ------------------------------------------------------------------- */

static unsigned count_log_lines(const char *wanted)
{
    char path[128];
    snprintf(path, sizeof path, "%s/log", help_directory);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return 0;
    }
    char line[4096];
    unsigned count = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        count += strstr(line, wanted) != NULL;
    }
    fclose(file);
    return count;
}

static void ten_thousand_paths_add_no_more_than_the_maximum(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/log", help_directory);
    assert_int_equal(log_open("test", LOG_INFO, path), STATUS_OK);
    struct fixture fixture = set_up("test");
    const uint32_t maximum = metrics_families[METRIC_HTTP_REQUEST_DURATION].maximum_series;
    for (int i = 0; i < 10000; i++) {
        char endpoint[32];
        snprintf(endpoint, sizeof endpoint, "/random/%d", i);
        metrics_observe(fixture.metrics, METRIC_HTTP_REQUEST_DURATION,
                        METRIC_LABELS("GET", endpoint), 1000);
    }
    const char *text = render(&fixture);
    assert_int_equal(count_texts(text, "http_request_duration_seconds_count{"), maximum + 1);
    char line[256];
    snprintf(line, sizeof line,
             "http_request_duration_seconds_count{method=\"overflow\",endpoint=\"overflow\"} %u",
             10000 - maximum);
    assert_line(text, line);
    snprintf(line, sizeof line, "metrics_dropped_series_total %u", 10000 - maximum);
    assert_line(text, line);
    /* Series that are there go on; so do other families. */
    metrics_observe(fixture.metrics, METRIC_HTTP_REQUEST_DURATION,
                    METRIC_LABELS("GET", "/random/1"), 1000);
    assert_int_equal(metrics_read(fixture.metrics, METRIC_HTTP_REQUEST_DURATION,
                                  METRIC_LABELS("GET", "/random/1")),
                     2);
    metrics_add(fixture.metrics, METRIC_HTTP_ERRORS, METRIC_LABELS("GET", "/", "x"), 1);
    assert_int_equal(
        metrics_read(fixture.metrics, METRIC_HTTP_ERRORS, METRIC_LABELS("GET", "/", "x")), 1);
    assert_int_equal(count_log_lines("metrics_series_full"), 1);
    tear_down(&fixture);
    assert_int_equal(log_open("test", LOG_INFO, ""), STATUS_OK);
}

static void every_family_reaches_its_maximum_with_the_longest_labels(void **state)
{
    (void)state;
    struct fixture fixture = set_up("test");
    char value[METRICS_VALUE_SIZE + 1];
    memset(value, 'v', METRICS_VALUE_SIZE);
    value[METRICS_VALUE_SIZE] = '\0';
    for (size_t family = 0; family < METRIC_COUNT; family++) {
        if (metrics_families[family].labels[0] == '\0') {
            continue;
        }
        for (uint32_t i = 0; i < metrics_families[family].maximum_series; i++) {
            char number[16];
            snprintf(number, sizeof number, "%08u", i);
            memcpy(value, number, 8);
            metrics_find_series(fixture.metrics, (enum metric)family,
                                METRIC_LABELS(value, value, value), true);
        }
    }
    /* process_cpu_seconds has one series more than asked for: that of this program. */
    assert_int_equal(metrics_read(fixture.metrics, METRIC_METRICS_DROPPED_SERIES, METRIC_NO_LABELS),
                     1);
    uint32_t used = atomic_load(&fixture.metrics->region->used_units);
    printf("all families full: %u of %u units\n", used, METRICS_HEAP_UNITS);
    assert_true(used <= METRICS_HEAP_UNITS - METRICS_RESERVED_UNITS);
    /* Even now each family has its overflow series. */
    metrics_add(fixture.metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("one", "too", "many"), 9);
    assert_line(render(&fixture), "http_requests_total{method=\"overflow\",endpoint=\"overflow\","
                                  "status_code=\"overflow\"} 9");
    tear_down(&fixture);
}

static void full_heap_goes_to_overflow(void **state)
{
    (void)state;
    struct fixture fixture = set_up("test");
    atomic_store(&fixture.metrics->region->used_units, METRICS_HEAP_UNITS - METRICS_RESERVED_UNITS);
    metrics_add(fixture.metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("a", "b", "c"), 5);
    metrics_present(fixture.metrics, METRIC_DB_CONNECTIONS, METRIC_LABELS("idle"), 2);
    const char *text = render(&fixture);
    assert_line(text, "http_requests_total{method=\"overflow\",endpoint=\"overflow\",status_code="
                      "\"overflow\"} 5");
    assert_line(text, "db_connections{state=\"overflow\"} 2");
    assert_line(text, "metrics_dropped_series_total 2");
    assert_int_equal(atomic_load(&fixture.metrics->region->family_series[METRIC_HTTP_REQUESTS]), 0);
    tear_down(&fixture);
}

/* --- death while a series is made ---------------------------------------------------------- */

#define CLAIM(process) (UINT64_C(1) << 62 | (uint64_t)(process).generation << 8 | (process).slot)

/* As if a process had been stopped while it claimed every free place of the index. */
static void claim_all(struct metrics *metrics, struct segment_process claimer)
{
    for (size_t i = 0; i < METRICS_INDEX_SIZE; i++) {
        uint64_t expected = 0;
        atomic_compare_exchange_strong(&metrics->region->index[i], &expected, CLAIM(claimer));
    }
}

static int publish_self_and_stay(void *context)
{
    struct scene *scene = context;
    struct fixture fixture = set_up("claimer");
    struct segment_process self = segment_self(fixture.segment);
    atomic_store(&scene->added, (uint64_t)self.generation << 32 | self.slot);
    atomic_store(&scene->ready, 1);
    help_sleep_for_ever();
    return 0;
}

static void claim_of_a_dead_process_is_taken_over(void **state)
{
    (void)state;
    struct scene *scene = help_share(sizeof *scene);
    struct fixture fixture = set_up("test");
    pid_t claimer = help_fork(publish_self_and_stay, scene);
    help_await(&scene->ready, 1);
    uint64_t identity = atomic_load(&scene->added);
    struct segment_process process = {.slot = (uint32_t)identity,
                                      .generation = (uint32_t)(identity >> 32)};
    claim_all(fixture.metrics, process);
    /* Alive but standing still: nobody waits for ever, the update is counted as dropped. */
    uint64_t start = clock_monotonic_nanoseconds();
    metrics_add(fixture.metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("a", "b", "c"), 1);
    assert_true(clock_monotonic_nanoseconds() - start < UINT64_C(2000000000));
    assert_int_equal(metrics_read(fixture.metrics, METRIC_METRICS_DROPPED_SERIES, METRIC_NO_LABELS),
                     1);
    assert_int_equal(
        metrics_read(fixture.metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("a", "b", "c")), 0);
    help_kill(claimer);
    metrics_add(fixture.metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("a", "b", "c"), 1);
    assert_int_equal(
        metrics_read(fixture.metrics, METRIC_HTTP_REQUESTS, METRIC_LABELS("a", "b", "c")), 1);
    tear_down(&fixture);
    munmap(scene, sizeof *scene);
}

#define STORM_SERIES 200

static int add_random_series_for_ever(void *context)
{
    struct scene *scene = context;
    struct fixture fixture = set_up("storm");
    while (fixture.metrics != NULL) {
        char model[16];
        snprintf(model, sizeof model, "%03u", (unsigned)random_below(STORM_SERIES));
        metrics_add(fixture.metrics, METRIC_CHAT_COMPLETIONS, METRIC_LABELS("storm", model), 1);
        atomic_fetch_add(&scene->added, 1);
    }
    return 0;
}

static void kill_storm_duplicates_and_loses_no_series(void **state)
{
    (void)state;
    enum { CHILDREN = 10, ROUNDS_OF_DEATH = 12 };
    struct scene *scene = help_share(sizeof *scene);
    uint64_t killed = 0;
    struct fixture fixture = set_up("judge");
    for (int round = 0; round < ROUNDS_OF_DEATH; round++) {
        pid_t children[CHILDREN];
        uint64_t before = atomic_load(&scene->added);
        for (int i = 0; i < CHILDREN; i++) {
            children[i] = help_fork(add_random_series_for_ever, scene);
        }
        while (atomic_load(&scene->added) < before + random_below(400)) {
            sched_yield();
        }
        for (int i = 0; i < CHILDREN; i++) {
            help_kill(children[i]);
            killed++;
        }
    }
    uint64_t sum = 0;
    for (unsigned i = 0; i < STORM_SERIES; i++) {
        char model[16];
        snprintf(model, sizeof model, "%03u", i);
        const char *const *labels = METRIC_LABELS("storm", model);
        metrics_add(fixture.metrics, METRIC_CHAT_COMPLETIONS, labels, 1);
        sum += (uint64_t)metrics_read(fixture.metrics, METRIC_CHAT_COMPLETIONS, labels) - 1;
        char wanted[96];
        snprintf(wanted, sizeof wanted, "chat_completions_total{provider=\"storm\",model=\"%s\"} ",
                 model);
        assert_int_equal(count_texts(render(&fixture), wanted), 1);
    }
    uint64_t added = atomic_load(&scene->added);
    assert_true(added > 100);
    /* Killed after adding and before telling. */
    assert_true(sum >= added && sum <= added + killed);
    assert_int_equal(metrics_read(fixture.metrics, METRIC_METRICS_DROPPED_SERIES, METRIC_NO_LABELS),
                     0);
    tear_down(&fixture);
    munmap(scene, sizeof *scene);
}

static int be_present_in_child(void *context)
{
    struct scene *scene = context;
    metrics_present(scene->metrics, METRIC_CHAT_STREAMS_ACTIVE, METRIC_NO_LABELS, 5);
    atomic_store(&scene->ready, 1);
    help_sleep_for_ever();
    return 0;
}

static void presence_of_a_forked_child_is_its_own(void **state)
{
    (void)state;
    struct scene *scene = help_share(sizeof *scene);
    struct fixture fixture = set_up("parent");
    scene->metrics = fixture.metrics;
    metrics_present(fixture.metrics, METRIC_CHAT_STREAMS_ACTIVE, METRIC_NO_LABELS, 1);
    pid_t child = help_fork(be_present_in_child, scene);
    help_await(&scene->ready, 1);
    assert_line(render(&fixture), "chat_streams_active 6");
    help_kill(child);
    assert_line(render(&fixture), "chat_streams_active 1");
    tear_down(&fixture);
    munmap(scene, sizeof *scene);
}

/* --- cost ---------------------------------------------------------------------------------- */

static long read_resident_kilobytes(void)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    assert_non_null(file);
    char line[512];
    bool is_segment = false;
    long kilobytes = -1;
    while (kilobytes < 0 && fgets(line, sizeof line, file) != NULL) {
        is_segment = is_segment || strstr(line, "/segment-") != NULL;
        if (is_segment && strncmp(line, "Rss:", 4) == 0) {
            kilobytes = strtol(line + 4, NULL, 10);
        }
    }
    fclose(file);
    return kilobytes;
}

static void few_series_touch_few_pages(void **state)
{
    (void)state;
    struct fixture fixture = set_up("test");
    fill_with_everything(fixture.metrics);
    render(&fixture);
    long kilobytes = read_resident_kilobytes();
    printf("resident after a few series and a scrape: %ld kB\n", kilobytes);
    assert_true(kilobytes > 0 && kilobytes < 512);
    tear_down(&fixture);
}

static void an_update_is_quick(void **state)
{
    (void)state;
    enum { UPDATES = 200000 };
    struct fixture fixture = set_up("test");
    const char *const *labels = METRIC_LABELS("GET", "/auth/sessions/{id}", "200");
    uint64_t start = clock_monotonic_nanoseconds();
    for (int i = 0; i < UPDATES; i++) {
        metrics_add(fixture.metrics, METRIC_HTTP_REQUESTS, labels, 1);
    }
    uint64_t each = (clock_monotonic_nanoseconds() - start) / UPDATES;
    printf("metrics_add: %llu ns\n", (unsigned long long)each);
    assert_true(each < 20000); /* two orders above what is measured: catches a system call */
    tear_down(&fixture);
}

int main(void)
{
    alarm(HELP_SECONDS_PER_BINARY);
    const struct CMUnitTest tests[] = {
        METRICS_TEST(what_has_no_labels_is_there_from_the_start),
        METRICS_TEST(series_are_told_apart_by_every_label),
        cmocka_unit_test(without_metrics_everything_does_nothing),
        METRICS_TEST(update_of_the_wrong_kind_changes_nothing),
        METRICS_TEST(no_update_is_lost_between_processes_and_threads),
        METRICS_TEST(counters_outlive_processes_and_presence_dies_with_them),
        METRICS_TEST(values_outlive_all_processes),
        METRICS_TEST(state_gauge_keeps_what_the_last_writer_said),
        METRICS_TEST(withdrawn_gauge_is_gone_until_it_is_set_again),
        METRICS_TEST(ten_thousand_paths_add_no_more_than_the_maximum),
        METRICS_TEST(every_family_reaches_its_maximum_with_the_longest_labels),
        METRICS_TEST(full_heap_goes_to_overflow),
        METRICS_TEST(claim_of_a_dead_process_is_taken_over),
        METRICS_TEST(kill_storm_duplicates_and_loses_no_series),
        METRICS_TEST(presence_of_a_forked_child_is_its_own),
        METRICS_TEST(few_series_touch_few_pages),
        METRICS_TEST(an_update_is_quick),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
