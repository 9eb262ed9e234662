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

enum status config_derive(struct config *config)
{
    config->is_production = strcmp(config->environment, "production") == 0;
    config->is_development = strcmp(config->environment, "development") == 0;
    if (config->debug && !is_set(config, "LOG_LEVEL")) {
        config->log_level = "debug";
    }
    if (strcmp(config->https_redirect, "auto") == 0) {
        config->https_redirect = config->is_production ? "true" : "false";
    }
    if (!is_set(config, "CHART_TTL_HOURS")) {
        config->chart_ttl_hours = config->enable_persistence ? 0 : UNKEPT_CHART_LIFE_IN_HOURS;
    }
    return expand_allowed_headers(config);
}
