/*
 * http/app: opens and closes what a program needs, in order of dependence.
 */
#include "http/app.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "http/live.h"
#include "http/pipeline.h"
#include "log/log.h"
#include "segment/board.h"
#include "segment/lease.h"
#include "segment/marks.h"
#include "storage/ephemeral.h"
#include "storage/migrate.h"

#define MAINTENANCE_SECONDS    60
#define LATE_MIGRATION_SECONDS 5
#define PROBLEM_MAXIMUM        ((size_t)64 * 1024)
#define FAULT_MAXIMUM          4096

/* The same list in the same order for all programs: it is the layout of the segment. */
static size_t list_regions(struct segment_region *out)
{
    size_t count = 0;
    out[count++] = metrics_segment_region;
    out[count++] = ratelimit_segment_region;
    out[count++] = lease_segment_region;
    out[count++] = board_segment_region;
    out[count++] = storage_segment_region;
    out[count++] = marks_segment_region;
    return count;
}

static void observe_statement(void *context, const char *statement, uint64_t nanoseconds)
{
    struct app *app = context;
    metrics_observe(app->metrics, METRIC_DB_QUERY_DURATION, METRIC_LABELS(statement), nanoseconds);
}

static enum status open_segment(struct app *app, struct buffer *problem)
{
    struct segment_region regions[8];
    size_t count = list_regions(regions);
    enum status status = segment_open(&app->segment, app->config->runtime_dir,
                                      app->options->program, regions, count, problem);
    if (status != STATUS_OK) {
        return status;
    }
    if (app->config->enable_metrics) {
        status = metrics_open(&app->metrics, app->segment, app->options->program);
        if (status != STATUS_OK) {
            return status;
        }
    }
    enum ratelimit_strategy strategy = RATELIMIT_MOVING_WINDOW;
    status = ratelimit_parse_strategy(app->config->rate_limit_strategy, &strategy);
    if (status != STATUS_OK) {
        return status;
    }
    return ratelimit_open(&app->limits, app->segment, strategy);
}

static enum status open_database(struct app *app, const char *url, uint64_t size_maximum,
                                 struct storage **out)
{
    struct storage_options options = {
        .url = url,
        .size_maximum = size_maximum,
        .writers_maximum = (unsigned)(app->config->workers + 1) / 2,
        .echo = app->config->database_echo,
        .observer = app->metrics ? observe_statement : NULL,
        .observer_context = app,
        .segment = app->segment,
    };
    return storage_open(out, &options);
}

/* A database that does not answer must not keep a program from starting (its requests answer 503
 * until it does); one whose schema we do not understand must. */
static enum status migrate_early(struct app *app, struct storage *storage, struct buffer *problem)
{
    enum status status = migrate_up(storage, problem);
    if (status == STATUS_UNAVAILABLE || status == STATUS_BUSY) {
        log_write(LOG_ERROR, "storage_unavailable", LOG_TEXT("detail", buffer_text(problem)));
        buffer_reset(problem);
        app->needs_migration = true;
        return STATUS_OK;
    }
    return status;
}

static bool has_own_chart_storage(const struct app *app)
{
    return app->chart_storage != NULL && app->chart_storage != app->storage;
}

static enum status open_chart_storage(struct app *app, struct buffer *problem)
{
    const struct config *config = app->config;
    if (config->enable_persistence) {
        app->chart_storage = app->storage;
        return STATUS_OK;
    }
    struct ephemeral_options options = {
        .state_dir = config->state_dir,
        .runtime_dir = config->runtime_dir,
        .common_directory = EPHEMERAL_COMMON_DIRECTORY,
    };
    struct ephemeral_place place;
    enum status status = ephemeral_settle(&place, &options, problem);
    if (status == STATUS_OK) {
        status = open_database(app, place.url, place.size_maximum, &app->chart_storage);
    }
    if (status == STATUS_OK) {
        status = migrate_early(app, app->chart_storage, problem);
    }
    return status;
}

static enum status open_storage(struct app *app, struct buffer *problem)
{
    enum status status = open_database(app, app->config->database_url, 0, &app->storage);
    if (status != STATUS_OK) {
        return status;
    }
    if (app->options->uses_storage) {
        status = migrate_early(app, app->storage, problem);
    }
    if (status == STATUS_OK && app->options->uses_charts) {
        status = open_chart_storage(app, problem);
    }
    if (status != STATUS_OK) {
        return status;
    }
    return authenticator_create(&app->authenticator, app->config, app->storage, problem);
}

static enum status open_log(struct app *app, struct buffer *problem)
{
    enum log_level level = LOG_INFO;
    if (log_parse_level(app->config->log_level, &level) != STATUS_OK) {
        buffer_append_text(problem, "LOG_LEVEL: is not a level");
        return STATUS_INVALID;
    }
    enum status status = log_open(app->options->program, level, app->config->log_file);
    if (status != STATUS_OK) {
        buffer_append_text(problem, "LOG_FILE cannot be opened (");
        config_append_place(app->config, "LOG_FILE", problem);
        buffer_append_char(problem, ')');
    }
    return status;
}

enum status app_open(struct app **out, const struct app_options *options, struct config *config,
                     struct buffer *problem)
{
    *out = NULL;
    struct app *app = memory_allocate(sizeof *app);
    if (app == NULL) {
        config_release(config);
        return STATUS_NO_MEMORY;
    }
    app->options = options;
    app->config = config;
    struct app_live *live = NULL;
    enum status status = live_create(&live, config, problem);
    if (status != STATUS_OK) {
        config_release(config);
        memory_release(app);
        return status;
    }
    atomic_store(&app->live, live);
    status = open_log(app, problem);
    if (status == STATUS_OK) {
        status = open_segment(app, problem);
    }
    if (status == STATUS_OK) {
        status = open_storage(app, problem);
    }
    if (status == STATUS_OK && options->start != NULL) {
        status = options->start(app, problem);
    }
    if (status != STATUS_OK) {
        app_close(app);
        return status;
    }
    *out = app;
    return STATUS_OK;
}

void app_close(struct app *app)
{
    if (app == NULL) {
        return;
    }
    if (app->options->stop != NULL) {
        app->options->stop(app);
    }
    authenticator_release(app->authenticator);
    if (has_own_chart_storage(app)) {
        storage_close(app->chart_storage);
    }
    storage_close(app->storage);
    ratelimit_close(app->limits);
    metrics_close(app->metrics);
    segment_close(app->segment);
    live_release(atomic_load(&app->live));
    memory_release(app);
}

static void log_remark(const struct config_remark *remark, void *context)
{
    const struct config *config = context;
    struct buffer place;
    buffer_init(&place, 4096);
    config_append_place(config, remark->name, &place);
    /* A CGI program starts for each request: said every time it would drown the log. */
    log_write(transport_is_cgi() ? LOG_DEBUG : LOG_WARNING, remark->event,
              LOG_TEXT("setting", remark->name), LOG_TEXT("detail", remark->text),
              LOG_TEXT("source", buffer_text(&place)));
    buffer_release(&place);
}

static void log_remarks(const struct config *config)
{
    config_each_remark(config, log_remark, (void *)(uintptr_t)config);
}

/* Each fault in a line of the log of its own. */
static void log_faults(const struct buffer *problem)
{
    struct slice rest = {buffer_text(problem), problem->length};
    struct slice line;
    while (slice_split(&rest, '\n', &line)) {
        char text[FAULT_MAXIMUM];
        snprintf(text, sizeof text, "%.*s", (int)line.length, line.data);
        log_write(LOG_ERROR, "configuration_refused", LOG_TEXT("detail", text));
    }
}

/* SIGHUP: logs are opened anew; a configuration that cannot be used is refused whole, with a line
 * of the log for each fault, and the old one goes on. */
static void reload(void *context)
{
    struct app *app = context;
    log_reopen();
    struct buffer problem;
    buffer_init(&problem, PROBLEM_MAXIMUM);
    struct config *config = NULL;
    struct app_live *live = NULL;
    enum status status = app_load_config(&config, &problem);
    if (status == STATUS_OK) {
        status = config_settle(config, &problem);
    }
    if (status == STATUS_OK) {
        status = live_create(&live, config, &problem);
    }
    if (status == STATUS_OK) {
        enum log_level level = LOG_INFO;
        if (log_parse_level(config->log_level, &level) == STATUS_OK) {
            log_set_level(level);
        }
        live->previous = atomic_load(&app->live);
        atomic_store(&app->live, live);
        log_write(LOG_INFO, "configuration_reloaded", LOG_TEXT("program", app->options->program));
        log_remarks(config);
        config_each_stale(app->config, config, log_remark, config);
    } else {
        config_release(config);
        log_faults(&problem);
    }
    buffer_release(&problem);
}

bool app_schedule_is_due(struct app *app, struct app_schedule *schedule, uint64_t seconds)
{
    uint64_t now = clock_boot_nanoseconds();
    if (now < schedule->next) {
        return false;
    }
    schedule->next = now + seconds * UINT64_C(1000000000);
    /* Held for longer than the interval, so that the same process goes on with it. */
    return lease_elect(app->segment, schedule->lease, seconds * 1000 + 5000);
}

/* The database that was away at start may be a new one when it comes. */
static void migrate_late(struct app *app)
{
    static struct app_schedule schedule = {.lease = "late-migration"};
    struct buffer problem;
    if (!app->needs_migration || !app_schedule_is_due(app, &schedule, LATE_MIGRATION_SECONDS)) {
        return;
    }
    buffer_init(&problem, 1024);
    enum status status = migrate_up(app->storage, &problem);
    if (status == STATUS_OK && has_own_chart_storage(app)) {
        status = migrate_up(app->chart_storage, &problem);
    }
    if (status == STATUS_OK) {
        app->needs_migration = false;
    } else if (status != STATUS_UNAVAILABLE && status != STATUS_BUSY) {
        log_write(LOG_ERROR, "migration_refused", LOG_TEXT("detail", buffer_text(&problem)));
    }
    buffer_release(&problem);
}

/* Keeps the write-ahead log short. */
static void maintain(struct app *app, struct storage *storage, struct app_schedule *schedule)
{
    if (app_schedule_is_due(app, schedule, MAINTENANCE_SECONDS) &&
        storage_maintain(storage) != STATUS_OK) {
        log_write(LOG_WARNING, "storage_maintenance_failed",
                  LOG_TEXT("program", app->options->program), LOG_TEXT("task", schedule->lease));
    }
}

static void maintain_storage(struct app *app)
{
    static struct app_schedule schedule = {.lease = "storage-maintenance"};
    static struct app_schedule chart_schedule = {.lease = "chart-maintenance"};
    if (app->options->uses_storage) {
        maintain(app, app->storage, &schedule);
    }
    if (has_own_chart_storage(app)) {
        maintain(app, app->chart_storage, &chart_schedule);
    }
}

static void run_background(void *context)
{
    struct app *app = context;
    migrate_late(app);
    maintain_storage(app);
    if (app->options->background != NULL) {
        app->options->background(app);
    }
}

static enum status remember_transport(struct transport *transport, void *context)
{
    ((struct app *)context)->transport = transport;
    return STATUS_OK;
}

static void count_turn(enum transport_loop loop, uint64_t nanoseconds, void *context)
{
    const struct app *app = context;
    metrics_observe(
        app->metrics, METRIC_LOOP_LAG,
        METRIC_LABELS(app->options->program, loop == TRANSPORT_PUMP_LOOP ? "pump" : "event"),
        nanoseconds);
}

struct exchange_handlers app_handlers(struct app *app)
{
    return (struct exchange_handlers){
        .plan = pipeline_plan,
        .admit = pipeline_admit,
        .handle = pipeline_handle,
        .refuse = pipeline_refuse,
        .dropped = pipeline_dropped,
        .context = app,
    };
}

static int refuse_to_start(const struct app_options *options, struct buffer *problem)
{
    struct slice rest = slice_of(problem->length > 0 ? buffer_text(problem) : "cannot start");
    struct slice line;
    while (slice_split(&rest, '\n', &line)) {
        fprintf(stderr, "quintet-%s: %.*s\n", options->program, (int)line.length, line.data);
    }
    buffer_release(problem);
    return CONFIG_EXIT_STATUS;
}

int app_run(const struct app_options *options, int argc, char **argv)
{
    int early = transport_check_start(options->program, argc, argv);
    if (early >= 0) {
        return early;
    }
    file_hold_standard_descriptors();
    struct buffer problem;
    buffer_init(&problem, PROBLEM_MAXIMUM);
    struct config *config = NULL;
    if (app_load_config(&config, &problem) != STATUS_OK) {
        return refuse_to_start(options, &problem);
    }
    if (config_settle(config, &problem) != STATUS_OK) {
        config_release(config);
        return refuse_to_start(options, &problem);
    }
    struct app *app = NULL;
    if (app_open(&app, options, config, &problem) != STATUS_OK) {
        return refuse_to_start(options, &problem);
    }
    buffer_release(&problem);
    log_remarks(config);
    struct transport_options transport = {
        .program = options->program,
        .worker_count = (int)config->workers,
        .queue_maximum = (int)config->queue_size,
        /* Charts that are on no disk do not pass through one either. */
        .body_directory = config->enable_persistence ? config->state_dir : "/dev/shm",
        .body_room =
            (uint64_t)(config->max_bodies_size > config->max_ingest_size ? config->max_bodies_size
                                                                         : config->max_ingest_size),
        .handlers = app_handlers(app),
        .started = remember_transport,
        .reload = reload,
        .background = run_background,
        .turned = count_turn,
        .stream_maximum = (int)config->max_streams,
    };
    int exit_status = transport_run(&transport, argc, argv);
    app_close(app);
    return exit_status;
}
