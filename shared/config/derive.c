/*
 * config/derive: defaults that depend on other settings.
 */
#include "config/internal.h"

#include <string.h>

#define UNKEPT_CHART_LIFE_IN_HOURS 24

const char *config_expand_default(struct arena *arena, const char *text, const char *state_dir)
{
    const char *at = strstr(text, STATE_DIR_REFERENCE);

    if (at == NULL) {
        return text;
    }
    /* "/" and a name behind it must not make two slashes, which begin a host in URLs. */
    return arena_format(arena, "%.*s%s%s", (int)(at - text), text,
                        strcmp(state_dir, "/") == 0 ? "" : state_dir,
                        at + sizeof STATE_DIR_REFERENCE - 1);
}

bool config_is_set(const struct config *config, const char *name)
{
    int index = config_find_setting(name);

    return index >= 0 && config->values->chosen[index] != NULL;
}

/* "*" among the headers stands for the default list: a browser never lets it cover Authorization. */
static enum status expand_allowed_headers(struct config *config)
{
    size_t count;
    int index = config_find_setting("CORS_ALLOW_HEADERS");
    const struct config_setting *setting = &config_settings(&count)[index];
    struct config_problem problem;
    union config_value value;
    enum status status;

    for (size_t i = 0; i < config->cors_allow_headers.count; i++) {
        if (strcmp(config->cors_allow_headers.items[i], "*") == 0) {
            status = config_parse_value(setting, &config->arena, slice_of(setting->default_text),
                                        &value, &problem);
            if (status == STATUS_OK) {
                config->cors_allow_headers = value.list;
            }
            return status;
        }
    }
    return STATUS_OK;
}

/* A system that quintet replaces has one limit for all it does, under this name. */
static void spread_common_limit(struct config *config)
{
    const struct {
        const char *name;
        const char **field;
    } families[] = {{"RATE_LIMIT_AUTH", &config->rate_limit_auth},
                    {"RATE_LIMIT_CHAT", &config->rate_limit_chat},
                    {"RATE_LIMIT_CHARTS", &config->rate_limit_charts},
                    {"RATE_LIMIT_HISTORY", &config->rate_limit_history},
                    {"RATE_LIMIT_HEALTH", &config->rate_limit_health}};
    const struct config_entry *entry =
        config->values->chosen[config_find_setting("RATE_LIMIT_DEFAULT")];

    if (entry == NULL || strcmp(entry->name, "CONSOUL_DEFAULT_LIMITS") != 0) {
        return;
    }
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        if (!config_is_set(config, families[i].name)) {
            *families[i].field = config->rate_limit_default;
        }
    }
}

/* Where other programs of this machine look for certificate authorities, unless we were told. */
static void settle_authorities(struct config *config)
{
    static const char *const names[] = {"SSL_CERT_FILE", "SSL_CERT_DIR"};

    for (size_t i = 0;
         i < sizeof names / sizeof names[0] && !config_is_set(config, "UPSTREAM_CA_PATH"); i++) {
        const char *path = config_lookup(config, names[i]);

        if (path != NULL) {
            config->upstream_ca_path = path;
            return;
        }
    }
}

enum status config_derive(struct config *config)
{
    config->is_production = strcmp(config->environment, "production") == 0;
    config->is_development = strcmp(config->environment, "development") == 0;
    if (config->debug && !config_is_set(config, "LOG_LEVEL")) {
        config->log_level = "debug";
    }
    if (strcmp(config->https_redirect, "auto") == 0) {
        config->https_redirect = config->is_production ? "true" : "false";
    }
    if (strcmp(config->registration, "auto") == 0) {
        config->registration = config->is_development ? "open" : "closed";
    }
    if (!config_is_set(config, "CHART_TTL_HOURS")) {
        config->chart_ttl_hours = config->enable_persistence ? 0 : UNKEPT_CHART_LIFE_IN_HOURS;
    }
    spread_common_limit(config);
    settle_authorities(config);
    return expand_allowed_headers(config);
}
