/*
 * health/probe: how one service is asked whether it is well. Messages are fixed texts: they are
 * stored and shown to administrators, so nothing of the answer goes into them.
 */
#include <stdio.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "health.h"
#include "stores/charts.h"

#define DISK_FREE_MINIMUM (64u << 20) /* below this SQLite and logs are about to fail */

static const char *probe_disk(const struct service *service)
{
    struct statvfs disk;
    if (statvfs(service->target, &disk) != 0) {
        return "state directory is not there";
    }
    uint64_t free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    return free_bytes < DISK_FREE_MINIMUM ? "disk is almost full" : "";
}

void probe_run(struct app *app, const struct service *service, struct probe_result *result)
{
    uint64_t start = clock_monotonic_nanoseconds();
    const char *problem = "";
    switch (service->kind) {
    case SERVICE_DATABASE:
        problem = storage_ping(app->storage) == STATUS_OK ? "" : "database does not answer";
        break;
    case SERVICE_DATAFEED:
        problem = chart_ping(app->chart_storage) == STATUS_OK ? "" : "charts cannot be read";
        break;
    case SERVICE_DISK:
        problem = probe_disk(service);
        break;
    default:
        problem = service_probe(service, app->config->upstream_ca_path);
        problem = problem != NULL ? problem : "";
        break;
    }
    result->latency_milliseconds = (double)(clock_monotonic_nanoseconds() - start) / 1e6;
    snprintf(result->message, sizeof result->message, "%s", problem);
    result->is_healthy = problem[0] == '\0';
}
