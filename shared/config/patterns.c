/*
 * config/patterns: names that hold a provider's name (GROQ_API_KEY, PROVIDER_<NAME>_BASE_URL).
 *
 * One setting may have several such names. They are compared without CONSOUL_ and with aliases
 * replaced (the plain name), and then without PROVIDER_.
 */
#include "config/internal.h"

#include <string.h>

#define PROVIDER_PREFIX   "PROVIDER_"
#define DECLARATION_AFTER "_BASE_URL"

static const struct config_pattern patterns[] = {
#define PATTERN(before, after, bounds, flags, help) {before, after, bounds, flags, help},
#include "config/patterns.def"
};

static const char *const known_providers[] = {
#define PROVIDER(name) name,
#include "config/patterns.def"
};

static const char *const absent_providers[] = {
#define PROVIDER_WITHOUT_EFFECT(name) name,
#include "config/patterns.def"
};

static const struct config_alias aliases[] = {
#define ALIAS(name, meaning) {name, meaning},
#include "config/patterns.def"
};

const char *const *config_known_providers(size_t *count)
{
    *count = sizeof known_providers / sizeof known_providers[0];
    return known_providers;
}

const char *const *config_absent_providers(size_t *count)
{
    *count = sizeof absent_providers / sizeof absent_providers[0];
    return absent_providers;
}

const struct config_alias *config_pattern_aliases(size_t *count)
{
    *count = sizeof aliases / sizeof aliases[0];
    return aliases;
}

const struct config_pattern *config_patterns(size_t *count)
{
    *count = sizeof patterns / sizeof patterns[0];
    return patterns;
}

/* --- Names ---------------------------------------------------------------------------------- */

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

const char *config_plain_name(const char *name)
{
    if (config_find_setting(name) >= 0) {
        return name;
    }
    if (strncmp(name, CONFIG_ALIAS_PREFIX, sizeof CONFIG_ALIAS_PREFIX - 1) == 0) {
        name += sizeof CONFIG_ALIAS_PREFIX - 1;
    }
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++) {
        if (strcmp(name, aliases[i].name) == 0) {
            return aliases[i].meaning;
        }
    }
    return name;
}

static const struct config_pattern *find_provider_pattern(const char *name)
{
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        struct slice provider;

        if (strcmp(patterns[i].before, PROVIDER_PREFIX) == 0 &&
            match(PROVIDER_PREFIX, patterns[i].after, name, &provider)) {
            return &patterns[i];
        }
    }
    return NULL;
}

bool config_is_provider_name(const char *name)
{
    return find_provider_pattern(name) != NULL;
}

static bool is_declaration(const struct config_pattern *pattern)
{
    return strcmp(pattern->before, PROVIDER_PREFIX) == 0 &&
           strcmp(pattern->after, DECLARATION_AFTER) == 0;
}

/* PROVIDER_OPENAI_BASE_URL switches the provider on and OPENAI_BASE_URL, which other programs read
 * as well, does not: these two are not one setting. */
const char *config_compared_name(const char *name)
{
    const struct config_pattern *pattern = find_provider_pattern(name);

    return pattern != NULL && !is_declaration(pattern) ? name + sizeof PROVIDER_PREFIX - 1 : name;
}

/* --- Which pattern a name has ---------------------------------------------------------------- */

static bool is_listed(const char *const *names, size_t count, struct slice provider)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_equals(provider, names[i])) {
            return true;
        }
    }
    return false;
}

static bool is_declared(const struct config_values *values, struct slice provider)
{
    for (size_t i = 0; i < values->count; i++) {
        const struct config_entry *entry = &values->entries[i];
        struct slice declared;

        if (entry->value[0] != '\0' &&
            match(PROVIDER_PREFIX, DECLARATION_AFTER, entry->known_as, &declared) &&
            declared.length == provider.length &&
            memcmp(declared.data, provider.data, provider.length) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_provider(const struct config_values *values, struct slice provider)
{
    return is_listed(known_providers, sizeof known_providers / sizeof known_providers[0],
                     provider) ||
           is_listed(absent_providers, sizeof absent_providers / sizeof absent_providers[0],
                     provider) ||
           is_declared(values, provider);
}

/* A declaration makes its own provider; GROQ_… and the rest of PROVIDER_GROQ_… need one. */
static bool needs_provider(const struct config_pattern *pattern)
{
    return pattern->before[0] == '\0' ||
           (strcmp(pattern->before, PROVIDER_PREFIX) == 0 && !is_declaration(pattern));
}

/* *provider is empty for a pattern that is not about providers. */
static const struct config_pattern *find_pattern(const struct config_values *values,
                                                 const char *name, struct slice *provider)
{
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        if (match(patterns[i].before, patterns[i].after, name, provider) &&
            (!needs_provider(&patterns[i]) || is_provider(values, *provider))) {
            return &patterns[i];
        }
    }
    return NULL;
}

const struct config_pattern *config_match_pattern(const struct config_values *values,
                                                  const char *name)
{
    struct slice provider;

    return find_pattern(values, name, &provider);
}

const struct config_pattern *config_find_pattern(const struct config *config, const char *name)
{
    return config_find_setting(name) < 0
               ? config_match_pattern(config->values, config_plain_name(name))
               : NULL;
}

bool config_has_effect(const struct config *config, const char *name)
{
    int index = config_find_setting(name);
    const struct config_pattern *pattern;
    struct slice provider;
    size_t count;

    if (index >= 0) {
        return (config_settings(&count)[index].flags & CONFIG_WITHOUT_EFFECT) == 0;
    }
    pattern = find_pattern(config->values, config_plain_name(name), &provider);
    if (pattern == NULL || (pattern->flags & CONFIG_WITHOUT_EFFECT) != 0) {
        return false;
    }
    return !is_listed(absent_providers, sizeof absent_providers / sizeof absent_providers[0],
                      provider) ||
           is_declared(config->values, provider);
}

/* --- Values --------------------------------------------------------------------------------- */

static enum status settle_value(struct config_entry *entry, const struct config_pattern *pattern,
                                struct arena *arena, struct buffer *line)
{
    struct config_problem problem;
    struct slice text = slice_trim(slice_of(entry->value));
    const char *normal;
    enum status status = entry->is_unexpanded
                             ? config_blame(&problem, text, CONFIG_UNEXPANDED)
                             : config_check_text(pattern->bounds, arena, text, &normal, &problem);

    if (status == STATUS_INVALID) {
        config_append_refusal(entry, entry->known_as, pattern->flags, &problem, line);
    }
    if (status == STATUS_OK) {
        entry->value = normal;
    }
    return status;
}

/* An entry before this one that speaks of the same setting in the same source must agree. A name
 * that is merely repeated counts as getenv reads it, or as given last in a shared file. */
static enum status compare_with_earlier(const struct config_values *values, size_t index,
                                        struct buffer *line)
{
    const struct config_entry *entry = &values->entries[index];

    for (size_t i = 0; i < index; i++) {
        const struct config_entry *earlier = &values->entries[i];
        bool is_repeated = strcmp(earlier->name, entry->name) == 0;

        if (earlier->origin != entry->origin || earlier->value[0] == '\0' ||
            strcmp(earlier->value, entry->value) == 0 ||
            (is_repeated && !entry->origin->is_strict) ||
            strcmp(earlier->compared_as, entry->compared_as) != 0) {
            continue;
        }
        return is_repeated ? config_refuse_entry(entry, "is set twice with different values", line)
                           : config_refuse_pair(earlier, entry, line);
    }
    return STATUS_OK;
}

enum status config_settle_patterns(struct config_values *values, struct arena *arena,
                                   struct buffer *lines, bool *has_faults)
{
    for (size_t i = 0; i < values->count; i++) {
        struct config_entry *entry = &values->entries[i];
        const struct config_pattern *pattern = config_match_pattern(values, entry->known_as);
        enum status status;

        if (pattern == NULL || entry->value[0] == '\0' || config_find_setting(entry->name) >= 0) {
            continue;
        }
        status = settle_value(entry, pattern, arena, lines);
        if (status == STATUS_OK) {
            status = compare_with_earlier(values, i, lines);
        }
        if (status == STATUS_INVALID) {
            *has_faults = true;
        } else if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* Whether an entry with the same plain name has been visited already. */
static bool is_later(const struct config_values *values, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (values->entries[i].value[0] != '\0' &&
            strcmp(values->entries[i].known_as, values->entries[index].known_as) == 0) {
            return true;
        }
    }
    return false;
}

void config_each(const struct config *config, const char *prefix, const char *suffix,
                 void (*visit)(const char *name, const char *value, void *context), void *context)
{
    const struct config_values *values = config->values;
    size_t front = strlen(prefix);
    size_t back = strlen(suffix);

    for (size_t i = 0; i < values->count; i++) {
        const struct config_entry *entry = &values->entries[i];
        size_t length = strlen(entry->known_as);

        if (entry->value[0] != '\0' && length >= front + back &&
            strncmp(entry->known_as, prefix, front) == 0 &&
            strcmp(entry->known_as + length - back, suffix) == 0 && !is_later(values, i)) {
            visit(entry->known_as, config_lookup(config, entry->known_as), context);
        }
    }
}
