/*
 * services/services: what the suite leans on and health reports: the database, the charts and the
 * disk always, every provider of language models, and others by HEALTH_SERVICES.
 *
 * Here, and not in the program health, so that everybody can find out beforehand whether health
 * would start. A list refers to texts of the configuration, the catalogue and the arena.
 */
#ifndef SERVICES_SERVICES_H
#define SERVICES_SERVICES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "config/config.h"
#include "models/catalogue.h"

#define SERVICE_MAXIMUM      128
#define SERVICE_NAME_MAXIMUM PROVIDER_NAME_MAXIMUM

enum service_kind {
    SERVICE_DATABASE,
    SERVICE_DATAFEED,
    SERVICE_DISK,
    SERVICE_PROVIDER,
    SERVICE_BUILT_IN, /* cannot fail while this program runs */
    SERVICE_HTTP,
    SERVICE_TCP,
    SERVICE_UNIX,
    SERVICE_REDIS,
    SERVICE_POSTGRESQL,
    SERVICE_NOT_CONFIGURED /* known by name, reported as skipped */
};

/* Target and header line are shown to nobody, and logged nowhere. */
struct service {
    const char *name;
    enum service_kind kind;
    const char *target;        /* URL or path */
    const char *authorization; /* header line of a provider; NULL = none */
    bool is_required;          /* not ready without it */
};

struct service_list {
    struct service items[SERVICE_MAXIMUM];
    size_t count;
};

/* Fills *out from the configuration. STATUS_INVALID with `problem` for names that are taken or a bad
 * HEALTH_SERVICES. */
enum status services_load(const struct config *config, const struct catalogue *catalogue,
                          struct arena *arena, struct service_list *out,
                          struct buffer *problem) MUST_CHECK;

#endif
