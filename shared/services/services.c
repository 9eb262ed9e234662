/*
 * services/services: which services there are; see services.h.
 */
#include "services/services.h"

#include <string.h>

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

/* Words that are routes of health, so they cannot be services. */
static const char *const route_words[] = {
    "live", "ready", "all", "cost-tracking", "latency-history", "service-errors", "retest"};

/* Reported as skipped unless HEALTH_SERVICES says where they are. */
static const char *const optional_names[] = {"redis", "consul"};

/* --- Names -------------------------------------------------------------------------------------- */

static bool is_one_of(struct slice name, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_equals(name, words[i])) {
            return true;
        }
    }
    return false;
}

#define IS_ONE_OF(name, words) is_one_of((name), (words), sizeof(words) / sizeof((words)[0]))

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
    return text.length > 0 && text.length <= SERVICE_NAME_MAXIMUM;
}

static bool is_taken(const struct service_list *list, struct slice name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (slice_equals(name, list->items[i].name)) {
            return true;
        }
    }
    return IS_ONE_OF(name, route_words);
}

/* --- Providers ---------------------------------------------------------------------------------- */

static enum status add_providers(const struct catalogue *catalogue, struct service_list *out,
                                 struct buffer *problem)
{
    for (size_t i = 0; i < catalogue->provider_count; i++) {
        const struct provider *provider = &catalogue->providers[i];
        struct slice name = slice_of(provider->name);
        if (is_taken(out, name) || IS_ONE_OF(name, optional_names)) {
            config_begin_fault(problem);
            buffer_append_format(problem, "provider %s: /health/%s is something else already",
                                 provider->name, provider->name);
            return STATUS_INVALID;
        }
        out->items[out->count++] = (struct service){
            .name = provider->name,
            .kind = provider->models_url != NULL ? SERVICE_PROVIDER : SERVICE_BUILT_IN,
            .target = provider->models_url,
            .authorization = provider->authorization,
        };
    }
    return STATUS_OK;
}

/* --- HEALTH_SERVICES ---------------------------------------------------------------------------- */

/* scheme://[user@]host:port[/…], host perhaps in brackets. */
static bool has_port(struct slice url)
{
    const char *start = strstr(url.data, "://") + 3;
    size_t length = strcspn(start, "/?#");
    const char *colon = memrchr(start, ':', length);
    const char *bracket = memrchr(start, ']', length);
    if (colon == NULL || colon == start || (bracket != NULL && colon != bracket + 1)) {
        return false;
    }
    int64_t port = 0;
    struct slice digits = {colon + 1, length - (size_t)(colon + 1 - start)};
    return text_parse_integer(digits, &port) == STATUS_OK && port > 0 && port < 65536;
}

/* name=scheme://…; `what` tells what is wrong. */
static enum status add_configured(struct arena *arena, const char *text, struct service_list *out,
                                  const char **what)
{
    struct slice rest = slice_of(text);
    struct slice name;
    *what = "is not name=url";
    if (!slice_split(&rest, '=', &name) || !is_name(slice_trim(name))) {
        return STATUS_INVALID;
    }
    name = slice_trim(name);
    if (is_taken(out, name)) {
        *what = "has a name that is taken";
        return STATUS_INVALID;
    }
    if (out->count == SERVICE_MAXIMUM) {
        *what = "is one too many";
        return STATUS_INVALID;
    }
    struct slice target = slice_trim(rest);
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (slice_starts_with(target, schemes[i].scheme) &&
            target.length > strlen(schemes[i].scheme)) {
            if (schemes[i].kind == SERVICE_TCP && !has_port(target)) {
                *what = "has no port from 1 to 65535";
                return STATUS_INVALID;
            }
            struct service *service = &out->items[out->count];
            service->kind = schemes[i].kind;
            service->name = arena_copy(arena, name.data, name.length);
            service->target = arena_copy(arena, target.data, target.length);
            if (service->name == NULL || service->target == NULL) {
                return STATUS_NO_MEMORY;
            }
            out->count++;
            return STATUS_OK;
        }
    }
    return STATUS_INVALID;
}

enum status services_load(const struct config *config, const struct catalogue *catalogue,
                          struct arena *arena, struct service_list *out, struct buffer *problem)
{
    out->count = 0;
    out->items[out->count++] =
        (struct service){"database", SERVICE_DATABASE, config->database_url, NULL, true};
    out->items[out->count++] = (struct service){"datafeed", SERVICE_DATAFEED, "", NULL, true};
    out->items[out->count++] =
        (struct service){"disk", SERVICE_DISK, config->state_dir, NULL, false};
    enum status status = add_providers(catalogue, out, problem);
    for (size_t i = 0; status == STATUS_OK && i < config->health_services.count; i++) {
        const char *what;
        status = add_configured(arena, config->health_services.items[i], out, &what);
        if (status == STATUS_INVALID) {
            config_begin_fault(problem);
            buffer_append_format(problem, "HEALTH_SERVICES: entry %zu %s (", i + 1, what);
            config_append_place(config, "HEALTH_SERVICES", problem);
            buffer_append_char(problem, ')');
        }
    }
    for (size_t i = 0; i < sizeof optional_names / sizeof optional_names[0]; i++) {
        if (out->count < SERVICE_MAXIMUM && !is_taken(out, slice_of(optional_names[i]))) {
            out->items[out->count++] =
                (struct service){optional_names[i], SERVICE_NOT_CONFIGURED, "", NULL, false};
        }
    }
    return status;
}
