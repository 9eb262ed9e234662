/*
 * config/remarks: what is set and does nothing. Somebody who sets a thing expects something of it;
 * what this version cannot do for them is said, at every start and by `quintet check`.
 */
#include "config/internal.h"

#include <stdio.h>
#include <string.h>

#define TEXT_SIZE 128

static const char no_effect[] = "has no effect in this version";

/* Prefixes that nobody but us gives a meaning to. */
static bool is_in_our_name_space(const char *name)
{
    return strncmp(name, CONFIG_ALIAS_PREFIX, sizeof CONFIG_ALIAS_PREFIX - 1) == 0 ||
           strncmp(name, "PROVIDER_", sizeof "PROVIDER_" - 1) == 0;
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

void config_each_remark(const struct config *config,
                        void (*visit)(const struct config_remark *remark, void *context),
                        void *context)
{
    const struct config_values *values = config->values;
    size_t count;

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
                 : !is_in_our_name_space(entry->name)) ||
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
