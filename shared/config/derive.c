/*
 * config/derive: defaults that depend on other settings.
 */
#include "config/internal.h"

#include <string.h>

#define STATE_DIR_REFERENCE        "{STATE_DIR}"
#define UNKEPT_CHART_LIFE_IN_HOURS 24

const char *config_expand_default(struct arena *arena, const char *text, const char *state_dir)
{
    const char *at = strstr(text, STATE_DIR_REFERENCE);

    if (at == NULL) {
        return text;
    }
    return arena_format(arena, "%.*s%s%s", (int)(at - text), text, state_dir,
                        at + sizeof STATE_DIR_REFERENCE - 1);
}

static bool is_set(const struct config *config, const char *name)
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

/* Consul's name for the limit of all routes: every family that has none of its own set. */
static void spread_default_limit(struct config *config)
{
    const struct {
        const char *name;
        const char **limit;
    } families[] = {{"RATE_LIMIT_AUTH", &config->rate_limit_auth},
                    {"RATE_LIMIT_CHAT", &config->rate_limit_chat},
                    {"RATE_LIMIT_CHARTS", &config->rate_limit_charts},
                    {"RATE_LIMIT_HISTORY", &config->rate_limit_history},
                    {"RATE_LIMIT_HEALTH", &config->rate_limit_health}};
    int index = config_find_setting("RATE_LIMIT_DEFAULT");
    const struct config_entry *entry = index < 0 ? NULL : config->values->chosen[index];

    if (entry == NULL || strcmp(entry->name, "CONSOUL_DEFAULT_LIMITS") != 0) {
        return;
    }
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        if (!is_set(config, families[i].name)) {
            *families[i].limit = config->rate_limit_default;
        }
    }
}

enum status config_derive(struct config *config)
{
    spread_default_limit(config);
    config->is_production = strcmp(config->environment, "production") == 0;
    config->is_development = strcmp(config->environment, "development") == 0;
    if (config->debug && !is_set(config, "LOG_LEVEL")) {
        config->log_level = "debug";
    }
    if (strcmp(config->https_redirect, "auto") == 0) {
        config->https_redirect = config->is_production ? "true" : "false";
    }
    if (strcmp(config->registration, "auto") == 0) {
        config->registration = config->is_development ? "open" : "closed";
    }
    if (!is_set(config, "CHART_TTL_HOURS")) {
        config->chart_ttl_hours = config->enable_persistence ? 0 : UNKEPT_CHART_LIFE_IN_HOURS;
    }
    return expand_allowed_headers(config);
}
