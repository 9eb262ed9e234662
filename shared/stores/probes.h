/*
 * stores/probes: what probes of services found, over time.
 *
 * Written by the elected prober of a host, read by the health program. Times are wall
 * milliseconds, latencies microseconds.
 */
#ifndef STORES_PROBES_H
#define STORES_PROBES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "storage/storage.h"

struct probe_record {
    const char *service;
    int64_t probed_at;
    bool is_healthy;
    int64_t latency_microseconds;
    const char *message; /* fixed text; "" when healthy */
};

/* All in one transaction. */
enum status probe_save(struct storage *storage, const struct probe_record *records,
                       size_t count) MUST_CHECK;

/* Latencies of successful probes since then, oldest first, thinned evenly to at most `maximum`
 * (above 0); the newest is always among them. */
enum status probe_history(struct storage *storage, struct arena *arena, const char *service,
                          int64_t since, size_t maximum, struct probe_record **out,
                          size_t *count) MUST_CHECK;

/* The newest failures. */
enum status probe_errors(struct storage *storage, struct arena *arena, const char *service,
                         size_t maximum, struct probe_record **out, size_t *count) MUST_CHECK;

/* Removes what is older, in batches, so that nobody waits long for the database. */
enum status probe_prune(struct storage *storage, int64_t before) MUST_CHECK;

#endif
