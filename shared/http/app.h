/*
 * http/app: everything a running program shares between its requests, and how it starts.
 *
 * A program's main.c is its route table and one call of app_run. app_run looks what has started the
 * program (--help and wrong arguments end there), loads the configuration (exit 78 when it cannot),
 * opens log, segment, metrics, limits, storage (migrating SQLite up) and authentication, and hands
 * the pipeline to the transport.
 */
#ifndef HTTP_APP_H
#define HTTP_APP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/principal.h"
#include "base/status.h"
#include "config/config.h"
#include "http/router.h"
#include "metrics/metrics.h"
#include "ratelimit/ratelimit.h"
#include "segment/segment.h"
#include "storage/storage.h"
#include "transport/transport.h"

struct app;

/* A query parameter that a route refuses with 400, because it is documented and not built, or works on
 * other routes only. Where a body stands for a query (request_refuse_unbuilt), also a member of it. */
struct unbuilt_parameter {
    const char *template; /* of the route */
    const char *name;
};

struct app_options {
    const char *program; /* "auth" */
    const struct route *routes;
    size_t route_count;
    const struct unbuilt_parameter *unbuilt;
    size_t unbuilt_count;
    bool uses_storage;   /* migrates the database up before the first request; without it the
                          database is opened only when a request needs it */
    bool answers_probes; /* all its paths are exempt from ALLOWED_HOSTS and HTTPS_REDIRECT */
    bool uses_charts;    /* also opens the storage of charts, and migrates that */
    /* Each may be NULL. `start` runs after everything is open and before the first request; its
     * failure (with `problem`) refuses to start with exit 78. */
    enum status (*start)(struct app *app, struct buffer *problem);
    void (*background)(struct app *app); /* about once a second, on a worker, may block */
    void (*stop)(struct app *app);
};

struct app_live; /* what SIGHUP may change: limits, CORS, hosts; see http/live.h */

struct app {
    const struct app_options *options;
    const struct config *config;
    struct segment *segment;
    struct metrics *metrics; /* NULL with ENABLE_METRICS=false: allowed everywhere */
    struct ratelimit_table *limits;
    struct storage *storage;
    /* Where charts are: `storage`, or with ENABLE_PERSISTENCE=false a database of their own on a
     * memory file system (storage/ephemeral.h), which has the tables of everything else as well,
     * empty, because there is one set of migrations. NULL without uses_charts. */
    struct storage *chart_storage;
    struct authenticator *authenticator;
    struct transport *transport; /* NULL under the loopback transport */
    bool needs_migration;        /* a database did not answer at start; background tries again */
    struct app_live *_Atomic live;
    /* The settings under which a proxy that is not trusted has been told of in the log. */
    const struct app_live *_Atomic told_untrusted;
    void *state; /* of the program */
};

/* Loads the configuration and judges it by everything that refuses a start (http/start.c), without
 * making anything. On failure *out is NULL and `problem` has a line for each fault. */
enum status app_load_config(struct config **out, struct buffer *problem) MUST_CHECK;

/* The whole life of a program; returns its exit status. */
int app_run(const struct app_options *options, int argc, char **argv);

/* For tests: opens with an explicit configuration (taken over), without a transport. */
enum status app_open(struct app **out, const struct app_options *options, struct config *config,
                     struct buffer *problem) MUST_CHECK;
void app_close(struct app *app);

/* Work of app_options.background that one process of the host does now and then. Static, with the
 * name of its lease; background never runs twice at once, so it needs no lock. */
struct app_schedule {
    const char *lease;
    uint64_t next; /* boot nanoseconds */
};

/* True about every `seconds`, on the elected process only. */
bool app_schedule_is_due(struct app *app, struct app_schedule *schedule, uint64_t seconds);

/* The pipeline, for any transport (loopback_run in tests). */
struct exchange_handlers app_handlers(struct app *app);

#endif
