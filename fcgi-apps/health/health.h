/*
 * health: the program that says how the suite and what it leans on are doing.
 *
 * routes.h routes; main.c starts; health.c keeps what requests share; services.c finds services in
 * the list of services/services.h; probe.c probes one, by services/probe.h if it is reached
 * over a network; prober.c runs probes in parallel, each at most once at a time, shares their results
 * with all processes (segment/board) and keeps history; report.c and history.c answer.
 *
 * How each kind of service is probed, and what makes it healthy:
 *
 *   database     a trivial read                            it succeeds
 *   datafeed     a row of each table of charts             they can be read
 *   disk         statvfs of STATE_DIR                      64 MB are free
 *   provider     GET of its list of models, with its key   see below
 *   demo         nothing: it is built in                   always
 *   http, https  GET                                       a status below 400
 *   tcp, unix    connect                                   it is accepted
 *   redis        PING                                      any answer, an error too
 *   postgresql   SSLRequest                                the answer of that protocol
 *
 * Listing models is free with every provider: no tokens are spent. An answer of 2xx that begins
 * like JSON is healthy; only its first bytes are read, lists may be long. 404, 405 and 501 are
 * healthy too: a server that keeps no list is there and has not refused us, and more cannot be
 * learnt for free. 401 and 403 are unhealthy though the provider was reached: nobody will get a
 * completion with that key (a provider whose list is public says nothing of the key). So is every
 * other status, and what is no HTTP or no JSON. Redirections are not followed, as completions do
 * not follow them either.
 */
#ifndef HEALTH_PROGRAM_H
#define HEALTH_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

#include "http/app.h"
#include "http/request.h"
#include "models/catalogue.h"
#include "segment/board.h"
#include "services/probe.h"

/* How long anybody waits for a probe: a little longer than it waits for the network, so that its own
 * words reach the answer. */
#define PROBE_TIMEOUT_MILLISECONDS (SERVICE_PROBE_MILLISECONDS + 50)

/* --- health.c --- */

struct prober;

struct health {
    struct catalogue *catalogue; /* owns the texts of the providers */
    struct service_list services;
    struct prober *prober;
};

/* app_options.start and .stop; sets app->state. */
enum status health_start(struct app *app, struct buffer *problem) MUST_CHECK;
void health_stop(struct app *app);

struct health *health_of(const struct app *app);

/* --- services.c --- */

/* NULL when there is none of that name. */
const struct service *services_find(const struct app *app, const char *name);

/* Those that are configured; returns how many. */
size_t services_list_configured(const struct app *app, const struct service *out[SERVICE_MAXIMUM]);

/* --- probe.c --- */

struct probe_result {
    bool is_healthy;
    double latency_milliseconds;
    char message[BOARD_TEXT_SIZE]; /* a fixed text; "" when healthy */
};

/* Blocks; may take longer than PROBE_TIMEOUT_MILLISECONDS only in name resolution or in the
 * database, which is why prober.c waits no longer than that for it. */
void probe_run(struct app *app, const struct service *service, struct probe_result *result);

/* --- prober.c --- */

/* For the services in the list of health_of(app). STATUS_NO_MEMORY. */
enum status prober_create(struct prober **out, struct app *app) MUST_CHECK;

/* Waits for probes that are under way, but not for name resolution. */
void prober_release(struct prober *prober);

/* Results in the order of `services`, from the cache if younger than one second unless `fresh`; a
 * probe that is under way is joined. Takes at most PROBE_TIMEOUT_MILLISECONDS. What is not
 * configured has no result. STATUS_NO_MEMORY: some could not be made, which tells nothing of the
 * services. */
enum status prober_check(struct app *app, const struct service *const *services, size_t count,
                         bool fresh, struct probe_result *results) MUST_CHECK;

/* app_options.background: probes everything every HEALTH_PROBE_INTERVAL on one elected process. */
void prober_tick(struct app *app);

/* --- report.c --- */

void report_index(struct request *request);
void report_live(struct request *request);
void report_ready(struct request *request);
void report_all(struct request *request);
void report_service(struct request *request);
void report_retest(struct request *request);

/* The service of the path, or NULL when the request has been answered with 404. */
const struct service *report_find(struct request *request);

/* --- history.c --- */

void history_latency(struct request *request);
void history_errors(struct request *request);
void history_cost(struct request *request);

#endif
