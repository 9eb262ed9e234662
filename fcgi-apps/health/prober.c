/*
 * health/prober: runs probes in threads of their own, because name resolution and the database
 * cannot be bounded from inside, and waits no longer than the timeout. Results are shared by all
 * processes through the board.
 *
 * Each service has one slot and at most one probe under way: whoever asks meanwhile waits for that
 * one, so neither a burst of requests nor a service that hangs multiplies threads or questions. A
 * probe that has run for longer than the timeout is a failure at once for everybody, until it ends.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "health.h"
#include "log/log.h"
#include "stores/probes.h"
#include "transport/workers.h"

#define MILLISECOND          UINT64_C(1000000)
#define CACHE_NANOSECONDS    (1000 * MILLISECOND)
#define WAIT_NANOSECONDS     (PROBE_TIMEOUT_MILLISECONDS * MILLISECOND)
#define RELEASE_NANOSECONDS  (2000 * MILLISECOND)
#define HISTORY_MILLISECONDS (7 * 86400 * 1000LL)
#define BOARD_PREFIX         "probe:"

struct slot {
    struct prober *prober;
    struct service service; /* a copy: its thread may outlive the list */
    pthread_t thread;
    bool has_thread; /* to be joined */
    bool is_running; /* its probe has no result yet */
    uint64_t began;  /* monotonic nanoseconds, of the probe under way */
    uint64_t ended;  /* how many probes have */
    struct probe_result result;
};

struct prober {
    struct app *app;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_stopping;  /* the app must not be touched any more */
    bool is_abandoned; /* the last probe under way frees it */
    struct slot slots[SERVICE_MAXIMUM];
};

/* --- Results for all processes ------------------------------------------------------------------- */

static void board_name(const struct service *service, char out[BOARD_NAME_SIZE])
{
    snprintf(out, BOARD_NAME_SIZE, "%s%s", BOARD_PREFIX, service->name);
}

static void publish(struct app *app, const struct service *service,
                    const struct probe_result *result)
{
    char name[BOARD_NAME_SIZE];
    board_name(service, name);
    if (board_write(app->segment, name, result->is_healthy, result->latency_milliseconds,
                    result->message) != STATUS_OK) {
        log_write(LOG_DEBUG, "probe_cache_full", LOG_TEXT("service", service->name));
    }
    metrics_set(app->metrics, METRIC_SERVICE_HEALTH_STATUS, METRIC_LABELS(service->name),
                result->is_healthy);
}

static bool read_cached(struct app *app, const struct service *service, struct probe_result *result)
{
    char name[BOARD_NAME_SIZE];
    struct board_entry entry;
    board_name(service, name);
    if (!board_read(app->segment, name, &entry) ||
        clock_boot_nanoseconds() - entry.boot_nanoseconds > CACHE_NANOSECONDS) {
        return false;
    }
    result->is_healthy = entry.value != 0;
    result->latency_milliseconds = entry.number;
    memcpy(result->message, entry.text, sizeof result->message);
    return true;
}

/* The segment outlives a change of the settings; what is not probed any more must not be told as
 * unhealthy for ever. */
static enum status withdraw_others(struct app *app)
{
    struct board_entry *entries = memory_allocate(BOARD_ENTRY_MAXIMUM * sizeof *entries);
    if (entries == NULL) {
        return STATUS_NO_MEMORY;
    }
    size_t count = board_list(app->segment, BOARD_PREFIX, entries, BOARD_ENTRY_MAXIMUM);
    for (size_t i = 0; i < count; i++) {
        const char *name = entries[i].name + strlen(BOARD_PREFIX);
        const struct service *service = services_find(app, name);
        if (service == NULL || service->kind == SERVICE_NOT_CONFIGURED) {
            metrics_withdraw(app->metrics, METRIC_SERVICE_HEALTH_STATUS, METRIC_LABELS(name));
        }
    }
    memory_release(entries);
    return STATUS_OK;
}

/* --- One probe ------------------------------------------------------------------------------------ */

static bool uses_storage(const struct slot *slot)
{
    return slot->service.kind == SERVICE_DATABASE || slot->service.kind == SERVICE_DATAFEED;
}

/* With the lock. */
static size_t count_running(const struct prober *prober, bool of_storage)
{
    size_t count = 0;
    for (size_t i = 0; i < SERVICE_MAXIMUM; i++) {
        const struct slot *slot = &prober->slots[i];
        count += slot->is_running && (!of_storage || uses_storage(slot));
    }
    return count;
}

static void destroy(struct prober *prober)
{
    pthread_cond_destroy(&prober->changed);
    pthread_mutex_destroy(&prober->lock);
    memory_release(prober);
}

static void *run_slot(void *context)
{
    struct slot *slot = context;
    struct prober *prober = slot->prober;
    struct probe_result result;
    probe_run(prober->app, &slot->service, &result);
    pthread_mutex_lock(&prober->lock);
    if (clock_monotonic_nanoseconds() - slot->began > WAIT_NANOSECONDS) {
        /* Others have been told so already. */
        result = (struct probe_result){.latency_milliseconds = result.latency_milliseconds,
                                       .message = SERVICE_LATE};
    }
    slot->result = result;
    slot->is_running = false;
    slot->ended++;
    if (!prober->is_stopping) {
        publish(prober->app, &slot->service, &result);
    }
    pthread_cond_broadcast(&prober->changed);
    bool is_last = prober->is_abandoned && count_running(prober, false) == 0;
    pthread_mutex_unlock(&prober->lock);
    if (is_last) {
        destroy(prober);
    }
    return NULL;
}

/* With the lock, which an ended probe's thread does not need any more. */
static void join_slot(struct slot *slot)
{
    if (slot->has_thread) {
        pthread_join(slot->thread, NULL);
        slot->has_thread = false;
    }
}

/* With the lock. */
static bool start_slot(struct slot *slot)
{
    join_slot(slot);
    slot->began = clock_monotonic_nanoseconds();
    slot->has_thread = workers_make_thread(&slot->thread, run_slot, slot) == STATUS_OK;
    slot->is_running = slot->has_thread;
    return slot->is_running;
}

/* --- Many ----------------------------------------------------------------------------------------- */

/* With the lock; false when the time has come. */
static bool wait_until(struct prober *prober, uint64_t deadline)
{
    struct timespec at = {.tv_sec = (time_t)(deadline / (1000 * MILLISECOND)),
                          .tv_nsec = (long)(deadline % (1000 * MILLISECOND))};
    return pthread_cond_timedwait(&prober->changed, &prober->lock, &at) == 0;
}

enum status prober_create(struct prober **out, struct app *app)
{
    *out = NULL;
    enum status status = withdraw_others(app);
    if (status != STATUS_OK) {
        return status;
    }
    struct prober *prober = memory_allocate(sizeof *prober);
    if (prober == NULL) {
        return STATUS_NO_MEMORY;
    }
    const struct service_list *services = &health_of(app)->services;
    prober->app = app;
    for (size_t i = 0; i < services->count; i++) {
        prober->slots[i].prober = prober;
        prober->slots[i].service = services->items[i];
    }
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&prober->lock, NULL);
    pthread_cond_init(&prober->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    *out = prober;
    return STATUS_OK;
}

void prober_release(struct prober *prober)
{
    if (prober == NULL) {
        return;
    }
    pthread_mutex_lock(&prober->lock);
    prober->is_stopping = true;
    uint64_t deadline = clock_monotonic_nanoseconds() + RELEASE_NANOSECONDS;
    while (count_running(prober, false) > 0 && wait_until(prober, deadline)) {
    }
    /* The database is closed next, and a thread closes its connection only when it ends, so these
     * are waited for: they are bounded by the database's own timeouts. */
    while (count_running(prober, true) > 0) {
        pthread_cond_wait(&prober->changed, &prober->lock);
    }
    /* A thread that hangs in name resolution has taken what it needs of the app. */
    for (size_t i = 0; i < SERVICE_MAXIMUM; i++) {
        struct slot *slot = &prober->slots[i];
        if (slot->is_running) {
            pthread_detach(slot->thread);
            prober->is_abandoned = true;
        } else {
            join_slot(slot);
        }
    }
    bool is_abandoned = prober->is_abandoned;
    pthread_mutex_unlock(&prober->lock);
    if (!is_abandoned) {
        destroy(prober);
    }
}

struct wait {
    struct slot *slot;    /* NULL: nothing to wait for */
    uint64_t ended_after; /* slot->ended, before */
};

static bool has_ended(const struct wait *wait)
{
    return wait->slot == NULL || wait->slot->ended != wait->ended_after;
}

/* With the lock. When the last of those that are still missing is due. */
static uint64_t find_deadline(const struct wait *waits, size_t count)
{
    uint64_t deadline = 0;
    for (size_t i = 0; i < count; i++) {
        if (!has_ended(&waits[i]) && waits[i].slot->began + WAIT_NANOSECONDS > deadline) {
            deadline = waits[i].slot->began + WAIT_NANOSECONDS;
        }
    }
    return deadline;
}

enum status prober_check(struct app *app, const struct service *const *services, size_t count,
                         bool fresh, struct probe_result *results)
{
    struct prober *prober = health_of(app)->prober;
    const struct service *first = health_of(app)->services.items;
    struct wait waits[SERVICE_MAXIMUM] = {{0}};
    enum status status = STATUS_OK;
    pthread_mutex_lock(&prober->lock);
    for (size_t i = 0; i < count; i++) {
        struct slot *slot = &prober->slots[services[i] - first];
        results[i] = (struct probe_result){.is_healthy = false};
        if (services[i]->kind == SERVICE_NOT_CONFIGURED ||
            (!fresh && read_cached(app, services[i], &results[i]))) {
            continue;
        }
        if (slot->is_running || start_slot(slot)) {
            waits[i] = (struct wait){slot, slot->ended};
        } else {
            status = STATUS_NO_MEMORY;
        }
    }
    uint64_t deadline;
    while ((deadline = find_deadline(waits, count)) > 0 && wait_until(prober, deadline)) {
    }
    for (size_t i = 0; i < count; i++) {
        if (!has_ended(&waits[i])) {
            results[i] = (struct probe_result){.latency_milliseconds = PROBE_TIMEOUT_MILLISECONDS,
                                               .message = SERVICE_LATE};
            publish(app, services[i], &results[i]);
        } else if (waits[i].slot != NULL) {
            results[i] = waits[i].slot->result;
        }
    }
    pthread_mutex_unlock(&prober->lock);
    return status;
}

void prober_tick(struct app *app)
{
    static struct app_schedule schedule = {.lease = "health-prober"};
    if (!app_schedule_is_due(app, &schedule, (uint64_t)app->config->health_probe_interval)) {
        return;
    }
    const struct service *services[SERVICE_MAXIMUM];
    struct probe_result results[SERVICE_MAXIMUM];
    size_t count = services_list_configured(app, services);
    if (prober_check(app, services, count, true, results) != STATUS_OK) {
        log_write(LOG_WARNING, "probes_not_made", LOG_TEXT("program", "health"));
        return;
    }
    struct probe_record records[SERVICE_MAXIMUM];
    int64_t wall = clock_wall_milliseconds();
    for (size_t i = 0; i < count; i++) {
        records[i] = (struct probe_record){
            .service = services[i]->name,
            .probed_at = wall,
            .is_healthy = results[i].is_healthy,
            .latency_microseconds = (int64_t)(results[i].latency_milliseconds * 1000.0),
            .message = results[i].message,
        };
    }
    /* A database that is down is seen in the probe itself; the history has a gap then. */
    if (probe_save(app->storage, records, count) != STATUS_OK ||
        probe_prune(app->storage, wall - HISTORY_MILLISECONDS) != STATUS_OK) {
        log_write(LOG_WARNING, "probe_history_not_saved", LOG_TEXT("program", "health"));
    }
}
