/*
 * Runs probes in threads of their own, because name resolution cannot be bounded from inside, and
 * waits no longer than the timeout. Results are shared by all processes through the board.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "health.h"
#include "log/log.h"
#include "stores/probes.h"

#define CACHE_NANOSECONDS    1000000000u
#define HISTORY_MILLISECONDS (7 * 86400 * 1000LL)
#define MAXIMUM_IN_FLIGHT    (2 * SERVICE_MAXIMUM)

/* One round of probes; the last of caller and probe threads frees it. */
struct round {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct app *app;
    size_t running;
    size_t references;
    size_t count;
    const struct service *services[SERVICE_MAXIMUM];
    struct probe_result results[SERVICE_MAXIMUM];
    bool done[SERVICE_MAXIMUM];
};

struct task {
    struct round *round;
    size_t index;
};

/* Threads that hang in name resolution outlive their round: their number is bounded. */
static _Atomic int in_flight;

static void round_release(struct round *round)
{
    pthread_mutex_lock(&round->lock);
    size_t left = --round->references;
    pthread_mutex_unlock(&round->lock);
    if (left == 0) {
        pthread_cond_destroy(&round->changed);
        pthread_mutex_destroy(&round->lock);
        memory_release(round);
    }
}

static void *run_task(void *context)
{
    struct task *task = context;
    struct round *round = task->round;
    struct probe_result result;
    probe_run(round->app, round->services[task->index], &result);
    pthread_mutex_lock(&round->lock);
    round->results[task->index] = result;
    round->done[task->index] = true;
    round->running--;
    pthread_cond_signal(&round->changed);
    pthread_mutex_unlock(&round->lock);
    round_release(round);
    memory_release(task);
    atomic_fetch_sub(&in_flight, 1);
    return NULL;
}

static bool start_task(struct round *round, size_t index)
{
    struct task *task = memory_allocate(sizeof *task);
    if (task == NULL || atomic_fetch_add(&in_flight, 1) >= MAXIMUM_IN_FLIGHT) {
        if (task != NULL) {
            atomic_fetch_sub(&in_flight, 1);
        }
        memory_release(task);
        return false;
    }
    *task = (struct task){round, index};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    pthread_mutex_lock(&round->lock);
    round->running++;
    round->references++;
    pthread_mutex_unlock(&round->lock);
    pthread_t thread;
    int error = pthread_create(&thread, &attributes, run_task, task);
    pthread_attr_destroy(&attributes);
    if (error != 0) {
        pthread_mutex_lock(&round->lock);
        round->running--;
        round->references--;
        pthread_mutex_unlock(&round->lock);
        atomic_fetch_sub(&in_flight, 1);
        memory_release(task);
        return false;
    }
    return true;
}

static struct round *round_create(struct app *app)
{
    struct round *round = memory_allocate(sizeof *round);
    if (round == NULL) {
        return NULL;
    }
    round->app = app;
    round->references = 1;
    pthread_mutex_init(&round->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&round->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return round;
}

static void round_wait(struct round *round)
{
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += (PROBE_TIMEOUT_MILLISECONDS + 100) / 1000;
    deadline.tv_nsec += (PROBE_TIMEOUT_MILLISECONDS + 100) % 1000 * 1000000L;
    if (deadline.tv_nsec >= 1000000000L) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&round->lock);
    while (round->running > 0 &&
           pthread_cond_timedwait(&round->changed, &round->lock, &deadline) == 0) {
    }
    pthread_mutex_unlock(&round->lock);
}

static void board_name(const struct service *service, char out[BOARD_NAME_SIZE])
{
    snprintf(out, BOARD_NAME_SIZE, "probe:%s", service->name);
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

void prober_check(struct app *app, const struct service *const *services, size_t count, bool fresh,
                  struct probe_result *results)
{
    size_t wanted[SERVICE_MAXIMUM];
    size_t wanted_count = 0;
    for (size_t i = 0; i < count; i++) {
        results[i] = (struct probe_result){.message = "no answer in time"};
        if (services[i]->kind != SERVICE_NOT_CONFIGURED &&
            (fresh || !read_cached(app, services[i], &results[i]))) {
            wanted[wanted_count++] = i;
        }
    }
    struct round *round = wanted_count > 0 ? round_create(app) : NULL;
    if (round == NULL) {
        return;
    }
    round->count = wanted_count;
    for (size_t i = 0; i < wanted_count; i++) {
        round->services[i] = services[wanted[i]];
        if (!start_task(round, i)) {
            break;
        }
    }
    round_wait(round);
    pthread_mutex_lock(&round->lock);
    for (size_t i = 0; i < wanted_count; i++) {
        struct probe_result *result = &results[wanted[i]];
        if (round->done[i]) {
            *result = round->results[i];
        } else {
            result->latency_milliseconds = PROBE_TIMEOUT_MILLISECONDS;
        }
        publish(app, services[wanted[i]], result);
    }
    pthread_mutex_unlock(&round->lock);
    round_release(round);
}

void prober_tick(struct app *app)
{
    static struct app_schedule schedule = {.lease = "health-prober"};
    if (!app_schedule_is_due(app, &schedule, (uint64_t)app->config->health_probe_interval)) {
        return;
    }
    const struct service_list *list = services_of(app);
    const struct service *services[SERVICE_MAXIMUM] = {NULL};
    struct probe_result results[SERVICE_MAXIMUM];
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].kind != SERVICE_NOT_CONFIGURED) {
            services[count++] = &list->items[i];
        }
    }
    prober_check(app, services, count, true, results);
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
