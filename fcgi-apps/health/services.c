/*
 * health/services: which services there are: the database and the disk always, others by
 * HEALTH_SERVICES.
 */
#include <string.h>

#include "health.h"
#include "http/live.h"

static const struct {
    const char *scheme;
    enum service_kind kind;
} schemes[] = {
    {"http://", SERVICE_HTTP},
    {"https://", SERVICE_HTTP},
    {"tcp://", SERVICE_TCP},
    {"unix:", SERVICE_UNIX},
    {"redis://", SERVICE_REDIS},
    {"postgresql://", SERVICE_POSTGRESQL},
    {"postgres://", SERVICE_POSTGRESQL},
};

/* Words that are routes of this program, so they cannot be services. */
static const char *const reserved[] = {
    "live", "ready", "all", "cost-tracking", "latency-history", "service-errors", "retest"};

const struct service_list *services_of(const struct app *app)
{
    return app->state;
}

const struct service *services_find(const struct app *app, const char *name)
{
    const struct service_list *services = app->state;
    for (size_t i = 0; i < services->count; i++) {
        if (strcmp(services->items[i].name, name) == 0) {
            return &services->items[i];
        }
    }
    return NULL;
}

static bool is_name(struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        char byte = text.data[i];
        bool is_word = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= '0' && byte <= '9') || byte == '-' || byte == '_' || byte == '.';
        if (!is_word) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        if (slice_equals(text, reserved[i])) {
            return false;
        }
    }
    return text.length > 0 && text.length <= 48;
}

static bool has_name(const struct service_list *list, struct slice name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (slice_equals(name, list->items[i].name)) {
            return true;
        }
    }
    return false;
}

/* name=scheme://… */
static enum status add_configured(struct app *app, const char *text, struct service_list *out)
{
    struct slice rest = slice_of(text);
    struct slice name;
    if (!slice_split(&rest, '=', &name) || !is_name(slice_trim(name)) ||
        out->count == SERVICE_MAXIMUM || has_name(out, slice_trim(name))) {
        return STATUS_INVALID;
    }
    name = slice_trim(name);
    struct slice target = slice_trim(rest);
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (slice_starts_with(target, schemes[i].scheme) &&
            target.length > strlen(schemes[i].scheme)) {
            struct arena *arena = &atomic_load(&app->live)->config->arena;
            struct service *service = &out->items[out->count++];
            service->kind = schemes[i].kind;
            service->name = arena_copy(arena, name.data, name.length);
            service->target = arena_copy(arena, target.data, target.length);
            return service->name && service->target ? STATUS_OK : STATUS_NO_MEMORY;
        }
    }
    return STATUS_INVALID;
}

enum status services_load(struct app *app, struct service_list *out, struct buffer *problem)
{
    const struct config *config = app->config;
    out->items[out->count++] =
        (struct service){"database", SERVICE_DATABASE, config->database_url, true};
    out->items[out->count++] = (struct service){"disk", SERVICE_DISK, config->state_dir, false};
    for (size_t i = 0; i < config->health_services.count; i++) {
        enum status status = add_configured(app, config->health_services.items[i], out);
        if (status != STATUS_OK) {
            buffer_append_format(problem, "HEALTH_SERVICES: entry %zu is not name=url", i + 1);
            return status;
        }
    }
    static const char *const optional[] = {"redis", "consul"};
    for (size_t i = 0; i < sizeof optional / sizeof optional[0]; i++) {
        if (out->count < SERVICE_MAXIMUM && !has_name(out, slice_of(optional[i]))) {
            out->items[out->count++] =
                (struct service){optional[i], SERVICE_NOT_CONFIGURED, "", false};
        }
    }
    return STATUS_OK;
}
