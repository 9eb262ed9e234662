/*
 * config/patterns: names that hold a provider's name (GROQ_API_KEY, PROVIDER_<NAME>_BASE_URL).
 */
#include "config/internal.h"

#include <string.h>

#define DECLARATION_BEFORE "PROVIDER_"
#define DECLARATION_AFTER  "_BASE_URL"

static const struct config_pattern patterns[] = {
#define PATTERN(before, after, bounds, flags, help) {before, after, bounds, flags, help},
#include "config/patterns.def"
};

static const char *const known_providers[] = {
#define PROVIDER(name) name,
#include "config/patterns.def"
};

const char *const *config_known_providers(size_t *count)
{
    *count = sizeof known_providers / sizeof known_providers[0];
    return known_providers;
}

const struct config_pattern *config_patterns(size_t *count)
{
    *count = sizeof patterns / sizeof patterns[0];
    return patterns;
}

/* The NAME in before + NAME + after, or false. */
static bool match(const char *before, const char *after, const char *name, struct slice *middle)
{
    size_t length = strlen(name);
    size_t front = strlen(before);
    size_t back = strlen(after);

    if (length <= front + back || strncmp(name, before, front) != 0 ||
        strcmp(name + length - back, after) != 0) {
        return false;
    }
    *middle = (struct slice){name + front, length - front - back};
    return true;
}

static bool is_declared(const struct config_values *values, struct slice provider)
{
    for (size_t i = 0; i < sizeof known_providers / sizeof known_providers[0]; i++) {
        if (slice_equals(provider, known_providers[i])) {
            return true;
        }
    }
    for (size_t i = 0; i < values->count; i++) {
        struct slice declared;

        if (match(DECLARATION_BEFORE, DECLARATION_AFTER, values->entries[i].name, &declared) &&
            declared.length == provider.length &&
            memcmp(declared.data, provider.data, provider.length) == 0) {
            return true;
        }
    }
    return false;
}

const struct config_pattern *config_match_pattern(const struct config_values *values,
                                                  const char *name)
{
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        struct slice provider;

        if (match(patterns[i].before, patterns[i].after, name, &provider) &&
            (patterns[i].before[0] != '\0' || is_declared(values, provider))) {
            return &patterns[i];
        }
    }
    return NULL;
}

const struct config_pattern *config_find_pattern(const struct config *config, const char *name)
{
    return config_find_setting(name) < 0 ? config_match_pattern(config->values, name) : NULL;
}

enum status config_settle_patterns(struct config_values *values, struct arena *arena,
                                   struct buffer *line)
{
    for (size_t i = 0; i < values->count; i++) {
        struct config_entry *entry = &values->entries[i];
        const struct config_pattern *pattern = config_match_pattern(values, entry->name);
        struct config_problem problem;
        const char *normal;
        enum status status;

        if (pattern == NULL || entry->value[0] == '\0' || config_find_setting(entry->name) >= 0) {
            continue;
        }
        status = config_check_text(pattern->bounds, arena, slice_trim(slice_of(entry->value)),
                                   &normal, &problem);
        if (status == STATUS_INVALID) {
            config_append_refusal(values, entry, entry->name, pattern->flags, &problem, line);
        }
        if (status != STATUS_OK) {
            return status;
        }
        entry->value = normal;
    }
    return STATUS_OK;
}

void config_each(const struct config *config, const char *prefix, const char *suffix,
                 void (*visit)(const char *name, const char *value, void *context), void *context)
{
    const struct config_values *values = config->values;
    size_t front = strlen(prefix);
    size_t back = strlen(suffix);

    for (size_t i = 0; i < values->count; i++) {
        const struct config_entry *entry = &values->entries[i];
        size_t length = strlen(entry->name);

        /* Each name once: only the entry that counts is visited. */
        if (length >= front + back && strncmp(entry->name, prefix, front) == 0 &&
            strcmp(entry->name + length - back, suffix) == 0 &&
            config_find_entry(values, entry->name) == entry) {
            visit(entry->name, entry->value, context);
        }
    }
}
