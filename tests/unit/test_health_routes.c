/*
 * The routes of the health program, through the whole pipeline: which services there are, which
 * names they may have, and how probes are shared.
 */
#include "pipeline_help.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "fcgi-apps/health/routes.h"
#include "stores/probes.h"

static int set_up(void **state)
{
    return pipeline_set_up_with(state, &health_options);
}

#define GET(at)    CALL(.path = (at))
#define ASK(at, q) CALL(.path = (at), .query = (q))

/* A port of 127.0.0.1 whose connections nobody ever accepts. */
struct mute_port {
    int listener;
    char setting[96]; /* PROVIDER_MUTE_BASE_URL=… */
};

static void mute_open(struct mute_port *mute)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    mute->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(mute->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(mute->listener, 100), 0);
    assert_int_equal(getsockname(mute->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(mute->setting, sizeof mute->setting, "PROVIDER_MUTE_BASE_URL=http://127.0.0.1:%d/v1",
             ntohs(address.sin_port));
}

/* How many have connected; ends their waiting. */
static int mute_close(struct mute_port *mute)
{
    int count = 0;
    for (int peer; (peer = accept(mute->listener, NULL, NULL)) >= 0; count++) {
        close(peer);
    }
    close(mute->listener);
    return count;
}

#define HANGING_HOST         "hangs.example"
#define HANGING_MILLISECONDS 4000

static atomic_int resolutions; /* of the hanging host, under way */

/* In place of the library's, which cannot be made to hang otherwise. */
int getaddrinfo(const char *restrict node, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict found)
{
    typedef int resolve(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (node != NULL && strcmp(node, HANGING_HOST) == 0) {
        struct timespec pause = {.tv_sec = HANGING_MILLISECONDS / 1000};
        atomic_fetch_add(&resolutions, 1);
        nanosleep(&pause, NULL);
        atomic_fetch_sub(&resolutions, 1);
        return EAI_AGAIN;
    }
    resolve *real = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(node, service, hints, found);
}

/* The names of an object's members, joined by blanks. */
static const char *names_of(struct pipeline *pipeline, const struct json_node *object)
{
    struct buffer names;
    buffer_init(&names, 65536);
    for (const struct json_node *member = json_first(object); member; member = json_next(member)) {
        buffer_append_format(&names, "%s%s", names.length > 0 ? " " : "", json_name(member));
    }
    const char *copy = arena_copy(&pipeline->arena, buffer_text(&names), names.length);
    assert_non_null(copy);
    buffer_release(&names);
    return copy;
}

static void assert_checks(struct pipeline *pipeline, const char *path, const char *names)
{
    assert_answers(pipeline, GET(path), 200);
    assert_string_equal(names_of(pipeline, json_member(answer_json(pipeline), "checks")), names);
}

static enum status drop_blocks(struct storage_connection *connection, void *context)
{
    (void)context;
    return storage_run_script(connection, "DROP TABLE chart_blocks");
}

/* --- Which services there are ----------------------------------------------------------------- */

static void every_configured_dependency_is_checked_and_no_other(void **state)
{
    struct pipeline *pipeline = *state;
    assert_checks(pipeline, "/health/ready", "database datafeed disk demo");
    assert_checks(pipeline, "/ready", "database datafeed disk demo");
    assert_checks(pipeline, "/health/all", "database datafeed disk demo redis consul");
    pipeline_open(pipeline, &health_options,
                  SETTINGS("GROQ_API_KEY=k", "GROQ_BASE_URL=http://127.0.0.1:1",
                           "PROVIDER_MY-LLM_BASE_URL=http://127.0.0.1:1/v1", "DEMO_ENABLED=true",
                           "PROVIDER_OFF_BASE_URL=http://127.0.0.1:1/v1", "OFF_ENABLED=false",
                           "HEALTH_SERVICES=consul=tcp://127.0.0.1:1"));
    assert_checks(pipeline, "/health/ready", "database datafeed disk groq my-llm demo consul");
    assert_checks(pipeline, "/health/all", "database datafeed disk groq my-llm demo consul redis");
}

static void the_built_in_provider_is_always_healthy(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, GET("/health/demo"), 200);
    assert_member(pipeline, "status", "healthy");
    assert_answers(pipeline, GET("/health/demo/status"), 200);
    assert_int_equal(
        metrics_read(pipeline->app->metrics, METRIC_SERVICE_HEALTH_STATUS, METRIC_LABELS("demo")),
        1);
}

static void what_is_not_configured_is_skipped(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, GET("/health/redis"), 200);
    assert_member(pipeline, "status", "skipped");
    assert_null(json_member(answer_json(pipeline), "latency_ms"));
    assert_refused(pipeline, GET("/health/groq"), 404, "not_found");
    assert_refused(pipeline, GET("/health/latency-history/groq"), 404, "not_found");
    assert_refused(pipeline, GET("/health/service-errors/groq"), 404, "not_found");
}

static void a_provider_that_is_away_degrades(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(
        pipeline, &health_options,
        SETTINGS("PROVIDER_AWAY_BASE_URL=http://127.0.0.1:1/v1", "PROVIDER_AWAY_API_KEY=sk-away"));
    assert_answers(pipeline, GET("/ready"), 200);
    assert_member(pipeline, "status", "degraded");
    assert_answers(pipeline, GET("/health/all"), 200);
    assert_member(pipeline, "status", "degraded");
    assert_null(strstr(buffer_text(&pipeline->answer), "127.0.0.1"));
    assert_null(strstr(buffer_text(&pipeline->answer), "connect"));
    assert_int_equal(
        metrics_read(pipeline->app->metrics, METRIC_SERVICE_HEALTH_STATUS, METRIC_LABELS("away")),
        0);
}

static void charts_that_cannot_be_read_are_not_ready(void **state)
{
    struct pipeline *pipeline = *state;
    struct storage_connection *connection;
    assert_int_equal(storage_connect(pipeline->app->storage, &connection), STATUS_OK);
    assert_int_equal(storage_transaction(connection, drop_blocks, NULL), STATUS_OK);
    assert_answers(pipeline, GET("/health/ready"), 503);
    assert_member(pipeline, "status", "not_ready");
    assert_header(pipeline, "Retry-After", "1");
    bool is_well = true;
    const struct json_node *checks = json_member(answer_json(pipeline), "checks");
    assert_true(json_get_boolean(json_member(checks, "datafeed"), &is_well));
    assert_false(is_well);
    assert_true(json_get_boolean(json_member(checks, "database"), &is_well));
    assert_true(is_well);
    assert_answers(pipeline, GET("/health/all"), 200);
    assert_member(pipeline, "status", "unhealthy");
}

static bool is_scraped(struct pipeline *pipeline, const char *sample)
{
    struct buffer text;
    buffer_init(&text, 1 << 20);
    assert_int_equal(metrics_render(pipeline->app->metrics, METRICS_TEXT_0_0_4, false, &text),
                     STATUS_OK);
    bool is_there = strstr(buffer_text(&text), sample) != NULL;
    buffer_release(&text);
    return is_there;
}

/* The shared memory outlives a change of the settings. */
static void what_is_probed_no_more_leaves_the_metrics(void **state)
{
#define SAMPLE(name) "service_health_status{service_name=\"" name "\"}"
    struct pipeline *pipeline = *state;
    static const char *const redis[] = {"HEALTH_SERVICES=redis=tcp://127.0.0.1:1", NULL};
    pipeline_open(pipeline, &health_options, redis);
    assert_answers(pipeline, GET("/ready"), 200);
    assert_true(is_scraped(pipeline, SAMPLE("redis") " 0\n"));
    pipeline_open(pipeline, &health_options, NO_SETTINGS);
    assert_true(is_scraped(pipeline, SAMPLE("database") " 1\n"));
    assert_false(is_scraped(pipeline, SAMPLE("redis")));
    assert_int_equal(
        metrics_read(pipeline->app->metrics, METRIC_SERVICE_HEALTH_STATUS, METRIC_LABELS("redis")),
        0);
    pipeline_open(pipeline, &health_options, redis);
    const struct service *service = services_find(pipeline->app, "redis");
    struct probe_result result;
    assert_int_equal(prober_check(pipeline->app, &service, 1, true, &result), STATUS_OK);
    assert_true(is_scraped(pipeline, SAMPLE("redis") " 0\n"));
}

/* --- Names -------------------------------------------------------------------------------------- */

static void assert_refuses(struct pipeline *pipeline, const char *const *settings,
                           const char *expected)
{
    char directory[128];
    const char *environment[8] = {directory};
    for (size_t i = 0; settings[i] != NULL; i++) {
        assert_true(i + 2 < COUNT(environment));
        environment[i + 1] = settings[i];
    }
    snprintf(directory, sizeof directory, "STATE_DIR=%s", pipeline->directory);
    struct buffer problem;
    struct config *config = NULL;
    struct app *app = NULL;
    buffer_init(&problem, 4096);
    assert_int_equal(config_load_from(&config, environment, NULL, &problem), STATUS_OK);
    assert_int_equal(config_settle(config, &problem), STATUS_OK);
    assert_int_equal(app_open(&app, &health_options, config, &problem), STATUS_INVALID);
    assert_null(app);
    assert_string_equal(buffer_text(&problem), expected);
    buffer_release(&problem);
}

static void a_name_means_one_thing(void **state)
{
#define AWAY "=http://127.0.0.1:1/v1"
    static const struct {
        const char *settings[4];
        const char *problem;
    } cases[] = {
        {{"PROVIDER_DATABASE_BASE_URL" AWAY},
         "provider database: /health/database is something else already"},
        {{"PROVIDER_DATAFEED_BASE_URL" AWAY},
         "provider datafeed: /health/datafeed is something else already"},
        {{"PROVIDER_DISK_BASE_URL" AWAY}, "provider disk: /health/disk is something else already"},
        {{"PROVIDER_REDIS_BASE_URL" AWAY},
         "provider redis: /health/redis is something else already"},
        {{"PROVIDER_LIVE_BASE_URL" AWAY}, "provider live: /health/live is something else already"},
        {{"PROVIDER_COST-TRACKING_BASE_URL" AWAY},
         "provider cost-tracking: /health/cost-tracking is something else already"},
        {{"PROVIDER_MINE_BASE_URL" AWAY, "HEALTH_SERVICES=a=tcp://h:1,mine=tcp://h:1"},
         "HEALTH_SERVICES: entry 2 has a name that is taken (environment)"},
        {{"HEALTH_SERVICES=demo=tcp://h:1"},
         "HEALTH_SERVICES: entry 1 has a name that is taken (environment)"},
        {{"HEALTH_SERVICES=datafeed=tcp://h:1"},
         "HEALTH_SERVICES: entry 1 has a name that is taken (environment)"},
        {{"HEALTH_SERVICES=ready=tcp://h:1"},
         "HEALTH_SERVICES: entry 1 has a name that is taken (environment)"},
        {{"HEALTH_SERVICES=a=tcp://h:1,a=tcp://h:2"},
         "HEALTH_SERVICES: entry 2 has a name that is taken (environment)"},
        {{"HEALTH_SERVICES=n123456789n123456789n123456789n123456789n12345678=tcp://h:1"},
         "HEALTH_SERVICES: entry 1 is not name=url (environment)"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_refuses(*state, cases[i].settings, cases[i].problem);
    }
}

/* There is no port that a service of no known protocol would have by itself. */
static void a_tcp_service_has_a_port(void **state)
{
    static const char *const bad[] = {
        "tcp://host",       "tcp://host/5432", "tcp://host:", "tcp://host:0",
        "tcp://host:70000", "tcp://host:http", "tcp://[::1]", "tcp://:80",
        "tcp://host?:80",   "tcp://host:-1",   "tcp://[::1]5"};
    char setting[96];
    for (size_t i = 0; i < COUNT(bad); i++) {
        snprintf(setting, sizeof setting, "HEALTH_SERVICES=a=%s", bad[i]);
        assert_refuses(*state, SETTINGS(setting),
                       "HEALTH_SERVICES: entry 1 has no port from 1 to 65535 (environment)");
    }
    pipeline_open(*state, &health_options,
                  SETTINGS("HEALTH_SERVICES=a=tcp://h:1,b=tcp://[::1]:65535,c=tcp://h:1/x:y,"
                           "d=redis://h,e=postgresql://u:p@h/d"));
}

/* Cut anywhere, the two would be one in the table of results. */
static void long_names_are_kept_apart(void **state)
{
    struct pipeline *pipeline = *state;
#define LONG "N123456789N123456789N123456789N123456789N123456"
    pipeline_open(pipeline, &health_options,
                  SETTINGS("PROVIDER_" LONG "A_BASE_URL=http://127.0.0.1:1/v1",
                           "PROVIDER_" LONG "B_BASE_URL=http://127.0.0.1:1/v1"));
    assert_answers(pipeline, GET("/ready"), 200);
    struct board_entry entries[8];
    assert_int_equal(board_list(pipeline->app->segment, "probe:n123456789", entries, 8), 2);
}

static void there_may_be_as_many_services_as_there_is_room_for(void **state)
{
    struct pipeline *pipeline = *state;
    struct buffer text;
    buffer_init(&text, 65536);
    buffer_append_text(&text, "HEALTH_SERVICES=");
    for (size_t i = 0; i < SERVICE_MAXIMUM - 4; i++) {
        buffer_append_format(&text, "s%zu=tcp://127.0.0.1:1,", i);
    }
    pipeline_open(pipeline, &health_options, SETTINGS(buffer_text(&text)));
    assert_answers(pipeline, GET("/health/all"), 200);
    assert_int_equal(json_count(json_member(answer_json(pipeline), "checks")), SERVICE_MAXIMUM);
    assert_answers(pipeline, GET("/ready"), 200);
    buffer_append_text(&text, "more=tcp://127.0.0.1:1");
    assert_refuses(pipeline, SETTINGS(buffer_text(&text)),
                   "HEALTH_SERVICES: entry 125 is one too many (environment)");
    buffer_release(&text);
}

/* --- Probes --------------------------------------------------------------------------------------- */

struct asker {
    struct pipeline *pipeline;
    uint64_t nanoseconds;
    bool was_told; /* that there was no answer in time */
    pthread_t thread;
};

static void *ask_mute(void *context)
{
    struct asker *asker = context;
    const struct service *service = services_find(asker->pipeline->app, "mute");
    struct probe_result result;
    uint64_t start = clock_monotonic_nanoseconds();
    enum status status = prober_check(asker->pipeline->app, &service, 1, false, &result);
    asker->nanoseconds = clock_monotonic_nanoseconds() - start;
    asker->was_told = status == STATUS_OK && !result.is_healthy &&
                      strcmp(result.message, "no answer in time") == 0;
    return NULL;
}

/* Else a service that hangs would be asked by everybody at once, each with a thread. */
static void who_asks_meanwhile_waits_for_the_probe_under_way(void **state)
{
    struct pipeline *pipeline = *state;
    struct mute_port mute;
    struct asker askers[16];
    mute_open(&mute);
    pipeline_open(pipeline, &health_options, SETTINGS(mute.setting));
    for (size_t i = 0; i < COUNT(askers); i++) {
        askers[i] = (struct asker){.pipeline = pipeline};
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask_mute, &askers[i]), 0);
    }
    for (size_t i = 0; i < COUNT(askers); i++) {
        pthread_join(askers[i].thread, NULL);
        assert_true(askers[i].was_told);
        assert_in_range(askers[i].nanoseconds / 1000000, 0, 1500);
    }
    struct asker again = {.pipeline = pipeline};
    ask_mute(&again);
    assert_in_range(again.nanoseconds / 1000000, 0, 500); /* from the cache */
    assert_int_equal(mute_close(&mute), 1);
}

static void many_providers_that_hang_cost_one_second(void **state)
{
    struct pipeline *pipeline = *state;
    struct mute_port mute;
    char texts[25][96];
    const char *settings[COUNT(texts) + 1] = {NULL};
    mute_open(&mute);
    for (size_t i = 0; i < COUNT(texts); i++) {
        snprintf(texts[i], sizeof texts[i], "PROVIDER_P%zu_BASE_URL%s", i,
                 strchr(mute.setting, '='));
        settings[i] = texts[i];
    }
    pipeline_open(pipeline, &health_options, settings);
    uint64_t start = clock_monotonic_nanoseconds();
    assert_answers(pipeline, GET("/ready"), 200);
    assert_in_range((clock_monotonic_nanoseconds() - start) / 1000000, 900, 1900);
    assert_member(pipeline, "status", "degraded");
    assert_int_equal(json_count(json_member(answer_json(pipeline), "checks")), 3 + COUNT(texts));
    assert_int_equal(mute_close(&mute), COUNT(texts));
}

static void a_program_ends_while_probes_hang(void **state)
{
    struct pipeline *pipeline = *state;
    struct mute_port mute;
    struct asker asker = {.pipeline = pipeline};
    mute_open(&mute);
    pipeline_open(pipeline, &health_options, SETTINGS(mute.setting));
    assert_int_equal(pthread_create(&asker.thread, NULL, ask_mute, &asker), 0);
    pthread_join(asker.thread, NULL);
    assert_answers(pipeline, CALL(.path = "/health/mute"), 200);
    pipeline_open(pipeline, &health_options, NO_SETTINGS);
    assert_checks(pipeline, "/ready", "database datafeed disk demo");
    mute_close(&mute);
}

static void outlast_the_cache(void)
{
    struct timespec pause = {.tv_sec = 1, .tv_nsec = 50000000};
    nanosleep(&pause, NULL);
}

static uint64_t milliseconds_of(struct pipeline *pipeline, const char *path)
{
    uint64_t start = clock_monotonic_nanoseconds();
    assert_answers(pipeline, GET(path), 200);
    return (clock_monotonic_nanoseconds() - start) / 1000000;
}

/* The thread that waits for a name cannot be cut short; each probe gives up on it after its second. */
static void a_name_that_is_not_resolved_holds_up_nobody(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &health_options,
                  SETTINGS("HEALTH_SERVICES=slow=tcp://" HANGING_HOST ":1",
                           "PROVIDER_LOST_BASE_URL=http://" HANGING_HOST "/v1"));
    assert_in_range(milliseconds_of(pipeline, "/ready"), 900, 1800);
    assert_member(pipeline, "status", "degraded");
    outlast_the_cache();
    assert_in_range(milliseconds_of(pipeline, "/ready"), 0, 1800);
    assert_member(pipeline, "status", "degraded");
    assert_in_range(atomic_load(&resolutions), 1, 3);
    uint64_t start = clock_monotonic_nanoseconds();
    pipeline_open(pipeline, &health_options, NO_SETTINGS);
    assert_in_range((clock_monotonic_nanoseconds() - start) / 1000000, 0,
                    HANGING_MILLISECONDS - 1000);
    assert_checks(pipeline, "/ready", "database datafeed disk demo");
    while (atomic_load(&resolutions) > 0) {
        outlast_the_cache();
    }
}

/* --- History -------------------------------------------------------------------------------------- */

static void the_elected_process_keeps_history(void **state)
{
    struct pipeline *pipeline = *state;
    pipeline_open(pipeline, &health_options,
                  SETTINGS("PROVIDER_AWAY_BASE_URL=http://127.0.0.1:1/v1", "DEMO_ENABLED=true"));
    prober_tick(pipeline->app);
    static const char *const healthy[] = {"database", "datafeed", "disk", "demo"};
    for (size_t i = 0; i < COUNT(healthy); i++) {
        char path[64];
        snprintf(path, sizeof path, "/health/latency-history/%s", healthy[i]);
        assert_answers(pipeline, GET(path), 200);
        assert_int_equal(json_count(json_member(answer_json(pipeline), "latencies")), 1);
    }
    assert_answers(pipeline, GET("/health/latency-history/away"), 200);
    assert_int_equal(json_count(json_member(answer_json(pipeline), "latencies")), 0);
    assert_answers(pipeline, GET("/health/service-errors/away"), 200);
    const struct json_node *error = json_first(answer_json(pipeline));
    assert_string_equal(json_member_text(error, "service", ""), "away");
    assert_string_equal(json_member_text(error, "message", ""), "The probe failed");
}

static void a_long_history_is_thinned_evenly_to_its_newest(void **state)
{
    struct pipeline *pipeline = *state;
    static struct probe_record records[20000];
    int64_t now = clock_wall_milliseconds() - 10;
    for (size_t count = 99; count <= COUNT(records); count = count * 3 + 1) {
        for (size_t i = 0; i < count; i++) {
            records[i] = (struct probe_record){.service = "database",
                                               .probed_at = now - (int64_t)(count - 1 - i),
                                               .is_healthy = true,
                                               .latency_microseconds = (int64_t)i,
                                               .message = ""};
        }
        assert_int_equal(probe_save(pipeline->app->storage, records, count), STATUS_OK);
        struct arena arena;
        struct probe_record *found;
        size_t found_count;
        arena_init(&arena, 64 << 10);
        assert_int_equal(probe_history(pipeline->app->storage, &arena, "database",
                                       now - (int64_t)count, 100, &found, &found_count),
                         STATUS_OK);
        size_t stride = (count + 99) / 100;
        assert_int_equal(found_count, (count + stride - 1) / stride);
        for (size_t i = 0; i < found_count; i++) {
            assert_int_equal(found[i].probed_at, now - (int64_t)((found_count - 1 - i) * stride));
        }
        arena_destroy(&arena);
    }
    assert_answers(pipeline, ASK("/health/latency-history/database", "hours=168"), 200);
    size_t points = (size_t)json_count(json_member(answer_json(pipeline), "timestamps"));
    assert_in_range(points, 50, 100);
}

/* --- Memory --------------------------------------------------------------------------------------- */

static void starting_without_memory_leaves_nothing_behind(void **state)
{
    static struct app_options bare;
    struct pipeline *pipeline = *state;
    bare = health_options;
    bare.start = NULL;
    bare.stop = NULL;
    pipeline_open(pipeline, &bare,
                  SETTINGS("PROVIDER_AWAY_BASE_URL=http://127.0.0.1:1/v1",
                           "HEALTH_SERVICES=a=tcp://127.0.0.1:1"));
    enum status status = STATUS_NO_MEMORY;
    for (unsigned long n = 1; status != STATUS_OK; n++) {
        struct buffer problem;
        buffer_init(&problem, 1024);
        memory_fail_after(n);
        status = health_start(pipeline->app, &problem);
        memory_fail_after(0);
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
        health_stop(pipeline->app);
        buffer_release(&problem);
    }
}

int main(void)
{
#define HEALTH_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, pipeline_tear_down)
    const struct CMUnitTest tests[] = {
        HEALTH_TEST(every_configured_dependency_is_checked_and_no_other),
        HEALTH_TEST(the_built_in_provider_is_always_healthy),
        HEALTH_TEST(what_is_not_configured_is_skipped),
        HEALTH_TEST(a_provider_that_is_away_degrades),
        HEALTH_TEST(charts_that_cannot_be_read_are_not_ready),
        HEALTH_TEST(what_is_probed_no_more_leaves_the_metrics),
        HEALTH_TEST(a_name_means_one_thing),
        HEALTH_TEST(a_tcp_service_has_a_port),
        HEALTH_TEST(long_names_are_kept_apart),
        HEALTH_TEST(there_may_be_as_many_services_as_there_is_room_for),
        HEALTH_TEST(who_asks_meanwhile_waits_for_the_probe_under_way),
        HEALTH_TEST(many_providers_that_hang_cost_one_second),
        HEALTH_TEST(a_program_ends_while_probes_hang),
        HEALTH_TEST(a_name_that_is_not_resolved_holds_up_nobody),
        HEALTH_TEST(the_elected_process_keeps_history),
        HEALTH_TEST(a_long_history_is_thinned_evenly_to_its_newest),
        HEALTH_TEST(starting_without_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
