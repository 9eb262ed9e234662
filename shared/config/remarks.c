/*
 * config/remarks: what is set and does nothing, or nothing yet. Somebody who sets a thing expects
 * something of it; what this version cannot do for them is said, at every start and by `quintet
 * check`.
 */
#include "config/internal.h"

#include <stdio.h>
#include <string.h>

#define TEXT_SIZE       128
#define PRINTED_MAXIMUM ((size_t)16 * 1024 * 1024)

static const char no_effect[] = "has no effect in this version";
static const char needs_restart[] = "has changed, which counts after a restart only";

/* Prefixes that nobody but us gives a meaning to. */
static bool is_in_our_name_space(const char *name)
{
    return strncmp(name, CONFIG_ALIAS_PREFIX, sizeof CONFIG_ALIAS_PREFIX - 1) == 0 ||
           strncmp(name, "PROVIDER_", sizeof "PROVIDER_" - 1) == 0;
}

/* A name in a file that is almost one of ours is more likely ours than another program's. */
static bool is_misspelt(const struct config_entry *entry)
{
    return entry->origin->path != NULL && config_suggest_name(entry->known_as) != NULL;
}

/* What is wrong with a name that is no setting. */
static void describe_unknown(const char *name, char text[TEXT_SIZE])
{
    const char *suggestion = config_suggest_name(name);

    if (config_is_provider_name(name)) {
        snprintf(text, TEXT_SIZE, "belongs to a provider that no PROVIDER_..._BASE_URL declares");
    } else if (suggestion != NULL) {
        snprintf(text, TEXT_SIZE, "is no setting; did you mean %s?", suggestion);
    } else {
        snprintf(text, TEXT_SIZE, "is no setting");
    }
}

enum status config_refuse_unknown(const struct config_entry *entry, struct buffer *out)
{
    char text[TEXT_SIZE];

    describe_unknown(entry->known_as, text);
    return config_refuse_entry(entry, text, out);
}

/* --- Risks ---------------------------------------------------------------------------------- */

static bool is_redirected_for_ever(const struct config *config)
{
    return strcmp(config->https_redirect, "true") == 0 && config->trusted_proxies.count == 0;
}

static bool is_redirected_nowhere(const struct config *config)
{
    bool names_one = false;
    for (size_t i = 0; i < config->allowed_hosts.count; i++) {
        names_one = names_one || strcmp(config->allowed_hosts.items[i], "*") != 0;
    }
    return strcmp(config->https_redirect, "true") == 0 && !names_one;
}

static bool takes_keys_from_urls(const struct config *config)
{
    return config->api_key_query[0] != '\0';
}

/* Outside production strangers are not expected. */
static bool is_free_for_strangers(const struct config *config)
{
    return config->is_production && strcmp(config->registration, "closed") != 0 &&
           strchr(config->model_prices, '"') == NULL;
}

/* What is allowed and seldom meant. */
static const struct {
    bool (*is_taken)(const struct config *config);
    const char *name;
    const char *text;
} risks[] = {
    {is_redirected_for_ever, "TRUSTED_PROXIES",
     "names nobody, and plain HTTP is redirected to HTTPS: a proxy that ends TLS must be named, or "
     "it is redirected for ever"},
    {is_redirected_nowhere, "ALLOWED_HOSTS",
     "names no host, so plain HTTP is answered 400 where it would be redirected to HTTPS"},
    {takes_keys_from_urls, "API_KEY_QUERY",
     "takes keys from URLs, which end up in logs of web servers, proxies and browsers"},
    {is_free_for_strangers, "MODEL_PRICES",
     "names no model, so BUDGET_NEW_USER does not bound what registered users spend"},
};

static void each_risk(const struct config *config,
                      void (*visit)(const struct config_remark *remark, void *context),
                      void *context)
{
    for (size_t i = 0; i < sizeof risks / sizeof risks[0]; i++) {
        if (risks[i].is_taken(config)) {
            visit(&(struct config_remark){"setting_risky", risks[i].name, risks[i].text}, context);
        }
    }
}

/* --- Remarks -------------------------------------------------------------------------------- */

void config_each_remark(const struct config *config,
                        void (*visit)(const struct config_remark *remark, void *context),
                        void *context)
{
    const struct config_values *values = config->values;
    size_t count;

    each_risk(config, visit, context);
    (void)config_settings(&count);
    for (size_t i = 0; i < count; i++) {
        if (values->is_wanted[i]) {
            visit(&(struct config_remark){"setting_without_effect", values->chosen[i]->name,
                                          no_effect},
                  context);
        }
    }
    for (size_t i = 0; i < values->count; i++) {
        const struct config_entry *entry = &values->entries[i];
        bool is_known = config_match_pattern(values, entry->known_as) != NULL;
        char text[TEXT_SIZE];

        /* "false" asks for nothing. */
        if (config_find_setting(entry->name) >= 0 || entry->value[0] == '\0' ||
            (is_known
                 ? config_has_effect(config, entry->known_as) || strcmp(entry->value, "false") == 0
                 : !is_in_our_name_space(entry->name) && !is_misspelt(entry)) ||
            config_find_entry(values, entry->known_as) != entry) {
            continue;
        }
        if (is_known) {
            visit(&(struct config_remark){"setting_without_effect", entry->name, no_effect},
                  context);
        } else {
            describe_unknown(entry->known_as, text);
            visit(&(struct config_remark){"setting_unknown", entry->name, text}, context);
        }
    }
}

/* --- Reloads -------------------------------------------------------------------------------- */

static bool is_same_value(const struct config *a, const struct config *b, size_t index)
{
    const struct config *const configs[] = {a, b};
    struct buffer printed[2];
    size_t count;
    const struct config_setting *setting = &config_settings(&count)[index];
    bool is_same = true;

    for (size_t i = 0; i < 2; i++) {
        union config_value value =
            config_fetch_value(setting, config_read_field(configs[i], index));

        buffer_init(&printed[i], PRINTED_MAXIMUM);
        if (config_print_value(setting, &value, &printed[i]) != STATUS_OK) {
            goto out;
        }
    }
    is_same = strcmp(buffer_text(&printed[0]), buffer_text(&printed[1])) == 0;
out:
    config_release_secret(&printed[0]);
    config_release_secret(&printed[1]);
    return is_same;
}

/* Names of `from` that are made from a pattern and have another value, or none, in `to`; those that
 * both have are visited once, from the side of `is_new`. */
static void compare_patterns(const struct config *from, const struct config *to, bool is_new,
                             void (*visit)(const struct config_remark *remark, void *context),
                             void *context)
{
    for (size_t i = 0; i < from->values->count; i++) {
        const struct config_entry *entry = &from->values->entries[i];
        const char *other;

        if (entry->value[0] == '\0' || config_find_setting(entry->name) >= 0 ||
            !config_has_effect(from, entry->known_as) ||
            config_find_entry(from->values, entry->known_as) != entry) {
            continue;
        }
        other = config_lookup(to, entry->known_as);
        if (other == NULL || (is_new && strcmp(other, entry->value) != 0)) {
            visit(&(struct config_remark){"setting_needs_restart", entry->name, needs_restart},
                  context);
        }
    }
}

void config_each_stale(const struct config *running, const struct config *loaded,
                       void (*visit)(const struct config_remark *remark, void *context),
                       void *context)
{
    size_t count;
    const struct config_setting *settings = config_settings(&count);

    for (size_t i = 0; i < count; i++) {
        if ((settings[i].flags & (CONFIG_LIVE | CONFIG_WITHOUT_EFFECT)) == 0 &&
            !is_same_value(running, loaded, i)) {
            visit(&(struct config_remark){"setting_needs_restart", settings[i].name, needs_restart},
                  context);
        }
    }
    compare_patterns(loaded, running, true, visit, context);
    compare_patterns(running, loaded, false, visit, context);
}
