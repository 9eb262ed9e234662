/*
 * health: the program that says how the suite and what it leans on are doing.
 *
 * main.c routes; services.c which services there are; probe.c how one is probed; prober.c runs
 * probes in parallel, caches results over all processes (segment/board) and keeps history;
 * report.c, history.c the answers.
 */
#ifndef HEALTH_PROGRAM_H
#define HEALTH_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

#include "http/app.h"
#include "http/request.h"
#include "segment/board.h"

#define PROBE_TIMEOUT_MILLISECONDS 1000
#define SERVICE_MAXIMUM            64

enum service_kind {
    SERVICE_DATABASE,
    SERVICE_DISK,
    SERVICE_HTTP,
    SERVICE_TCP,
    SERVICE_UNIX,
    SERVICE_REDIS,
    SERVICE_POSTGRESQL,
    SERVICE_NOT_CONFIGURED /* known by name, reported as skipped */
};

struct service {
    const char *name;
    enum service_kind kind;
    const char *target; /* URL or path; never shown to anybody but an administrator */
    bool is_required;   /* not ready without it */
};

struct service_list {
    struct service items[SERVICE_MAXIMUM];
    size_t count;
};

/* services.c: from the configuration. STATUS_INVALID with `problem` for a bad HEALTH_SERVICES. */
enum status services_load(struct app *app, struct service_list *out, struct buffer *problem);
const struct service *services_find(const struct app *app, const char *name);
const struct service_list *services_of(const struct app *app);

/* probe.c */
struct probe_result {
    bool is_healthy;
    double latency_milliseconds;
    char message[BOARD_TEXT_SIZE]; /* a fixed text; "" when healthy */
};

/* Blocks; may take longer than PROBE_TIMEOUT_MILLISECONDS only in name resolution, which is why
 * prober.c waits no longer than that for it. */
void probe_run(struct app *app, const struct service *service, struct probe_result *result);

/* prober.c: results in the order of `services`, from the cache if younger than one second unless
 * `fresh`. Takes at most a little over PROBE_TIMEOUT_MILLISECONDS. */
void prober_check(struct app *app, const struct service *const *services, size_t count, bool fresh,
                  struct probe_result *results);
/* app_options.background: probes everything every HEALTH_PROBE_INTERVAL on one elected process. */
void prober_tick(struct app *app);

/* report.c */
void report_live(struct request *request);
void report_ready(struct request *request);
void report_all(struct request *request);
void report_service(struct request *request);
void report_retest(struct request *request);

/* history.c */
void history_latency(struct request *request);
void history_errors(struct request *request);
void history_cost(struct request *request);

#endif
