/*
 * config/load: from environment and file to a configuration.
 *
 * All names of both sources are kept in file order (config_lookup finds any of them); for each
 * setting one entry is chosen: the environment's before the file's. Ownership: everything lives
 * in the configuration's arena.
 */
#include "config/internal.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

#define ARENA_MAXIMUM    ((size_t)16 * 1024 * 1024)
#define FILE_MAXIMUM     ((size_t)1024 * 1024)
#define PER_MINUTE       "_PER_MINUTE"
#define SOURCES_PER_NAME 2 /* environment, file */

/* What is known of a setting while entries are walked. */
struct candidates {
    const struct config_entry *by_source[SOURCES_PER_NAME];
};

struct loader {
    struct config *config;
    struct config_values *values;
    struct candidates *candidates; /* by setting */
    struct arena scratch;          /* for values that are only compared */
    struct buffer *problem;
};

/* --- Refusals ------------------------------------------------------------------------------- */

static enum status refuse(struct loader *loader, const struct config_entry *entry,
                          const char *phrase)
{
    config_append_on_one_line(loader->problem, entry->name);
    buffer_append_char(loader->problem, ' ');
    buffer_append_text(loader->problem, phrase);
    config_append_origin(loader->values, entry, loader->problem);
    return STATUS_INVALID;
}

static enum status refuse_pair(struct loader *loader, const struct config_entry *first,
                               const struct config_entry *second)
{
    buffer_append_format(loader->problem, "%s and %s are both set but differ", first->name,
                         second->name);
    config_append_origin(loader->values, first, loader->problem);
    if (first->source == CONFIG_FROM_FILE) {
        config_append_origin(loader->values, second, loader->problem);
    }
    return STATUS_INVALID;
}

static enum status refuse_file(struct loader *loader, const char *path, int line,
                               const char *phrase)
{
    config_append_on_one_line(loader->problem, path);
    if (line > 0) {
        buffer_append_format(loader->problem, ":%d", line);
    }
    buffer_append_text(loader->problem, ": ");
    buffer_append_text(loader->problem, phrase);
    return STATUS_INVALID;
}

/* --- Reading both sources ------------------------------------------------------------------- */

static void add_entry(struct config_values *values, const char *name, const char *value,
                      enum config_source source, int line)
{
    values->entries[values->count++] = (struct config_entry){name, value, source, line};
}

static enum status add_environment(struct loader *loader, const char *const *environment)
{
    struct arena *arena = &loader->config->arena;

    for (; *environment != NULL; environment++) {
        const char *equals = strchr(*environment, '=');
        const char *name;
        const char *value;

        if (equals == NULL || equals == *environment) {
            continue;
        }
        name = arena_copy(arena, *environment, (size_t)(equals - *environment));
        value = arena_copy(arena, equals + 1, strlen(equals + 1));
        if (name == NULL || value == NULL) {
            return STATUS_NO_MEMORY;
        }
        add_entry(loader->values, name, value, CONFIG_FROM_ENVIRONMENT, 0);
    }
    return STATUS_OK;
}

static enum status add_file(struct loader *loader, struct slice text)
{
    struct config_file_parser parser;
    struct config_assignment assignment;
    enum status status;

    config_file_start(&parser, text);
    while ((status = config_file_next(&parser, &loader->config->arena, &assignment)) == STATUS_OK) {
        add_entry(loader->values, assignment.name, assignment.value, CONFIG_FROM_FILE, parser.line);
    }
    if (status == STATUS_INVALID) {
        return refuse_file(loader, loader->values->file_path, parser.line, parser.problem);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status read_file(struct loader *loader, const char *path, struct buffer *text)
{
    enum status status = file_read(path, text);

    switch (status) {
    case STATUS_OK:
    case STATUS_NO_MEMORY:
        return status;
    case STATUS_NOT_FOUND:
        return refuse_file(loader, path, 0, "the configuration file does not exist");
    case STATUS_DENIED:
        return refuse_file(loader, path, 0, "the configuration file may not be read");
    case STATUS_TOO_LARGE:
        return refuse_file(loader, path, 0, "the configuration file is larger than 1 MiB");
    default:
        return refuse_file(loader, path, 0, "the configuration file cannot be read");
    }
}

/* .env files belong to several programs, any other file is ours alone. */
static bool is_shared_file(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    size_t length = strlen(name);

    return strncmp(name, ".env", 4) == 0 || (length >= 4 && strcmp(name + length - 4, ".env") == 0);
}

/* At least the number of assignments in it. */
static size_t count_equals_signs(struct slice text)
{
    size_t count = 0;

    for (size_t i = 0; i < text.length; i++) {
        count += text.data[i] == '=' ? 1 : 0;
    }
    return count;
}

static enum status collect(struct loader *loader, const char *const *environment,
                           const char *file_path)
{
    struct config_values *values = loader->values;
    struct arena *arena = &loader->config->arena;
    struct buffer text;
    size_t room = 1;
    enum status status = STATUS_OK;

    buffer_init(&text, FILE_MAXIMUM);
    if (file_path != NULL) {
        values->is_strict = !is_shared_file(file_path);
        values->file_path = arena_copy(arena, file_path, strlen(file_path));
        status = values->file_path != NULL ? read_file(loader, file_path, &text) : STATUS_NO_MEMORY;
        if (status != STATUS_OK) {
            goto out;
        }
        room += count_equals_signs((struct slice){buffer_text(&text), text.length});
    }
    for (const char *const *at = environment; *at != NULL; at++) {
        room++;
    }
    values->entries = arena_allocate(arena, room * sizeof *values->entries);
    if (values->entries == NULL) {
        status = STATUS_NO_MEMORY;
        goto out;
    }
    status = add_environment(loader, environment);
    if (status == STATUS_OK && file_path != NULL) {
        status = add_file(loader, (struct slice){buffer_text(&text), text.length});
    }
out:
    config_release_secret(&text);
    return status;
}

/* --- Choosing ------------------------------------------------------------------------------- */

/* The text an entry gives to its setting: what an alias means in the setting's own terms. */
static enum status translate(const struct config_entry *entry, struct arena *arena,
                             struct slice *text, struct config_problem *problem)
{
    size_t length = strlen(entry->name);
    size_t suffix = sizeof PER_MINUTE - 1;
    int64_t number;
    const char *limit;

    *text = slice_of(entry->value);
    if (length <= suffix || strcmp(entry->name + length - suffix, PER_MINUTE) != 0) {
        return STATUS_OK;
    }
    if (text_parse_integer(slice_trim(*text), &number) != STATUS_OK || number < 1) {
        *problem = (struct config_problem){*text, "is not a whole number above 0"};
        return STATUS_INVALID;
    }
    limit = arena_format(arena, "%lld/minute", (long long)number);
    *text = slice_of(limit);
    return limit != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status parse_entry(const struct config_setting *setting,
                               const struct config_entry *entry, struct arena *arena,
                               union config_value *value, struct config_problem *problem)
{
    struct slice text;
    enum status status = translate(entry, arena, &text, problem);

    return status == STATUS_OK ? config_parse_value(setting, arena, text, value, problem) : status;
}

/* Whether two entries mean the same; texts that cannot be parsed are compared as they stand. */
static enum status compare_entries(struct loader *loader, const struct config_setting *setting,
                                   const struct config_entry *a, const struct config_entry *b,
                                   bool *equal)
{
    const struct config_entry *entries[] = {a, b};
    struct buffer printed[] = {{0}, {0}};
    enum status status = STATUS_OK;

    *equal = strcmp(a->value, b->value) == 0 && strcmp(a->name, b->name) == 0;
    for (size_t i = 0; i < 2 && status == STATUS_OK && !*equal; i++) {
        union config_value value;
        struct config_problem problem;

        buffer_init(&printed[i], ARENA_MAXIMUM);
        status = parse_entry(setting, entries[i], &loader->scratch, &value, &problem);
        if (status == STATUS_OK) {
            status = config_print_value(setting, &value, &printed[i]);
        } else if (status == STATUS_INVALID) {
            status = buffer_append_text(&printed[i], entries[i]->value);
        }
    }
    if (status == STATUS_OK && !*equal) {
        *equal = strcmp(buffer_text(&printed[0]), buffer_text(&printed[1])) == 0;
    }
    for (size_t i = 0; i < 2; i++) {
        config_release_secret(&printed[i]);
    }
    return status;
}

/* Takes `entry` as the value of the setting `index` from its source. */
static enum status offer(struct loader *loader, size_t index, const struct config_entry *entry)
{
    size_t count;
    const struct config_setting *setting = &config_settings(&count)[index];
    size_t source = entry->source == CONFIG_FROM_ENVIRONMENT ? 0 : 1;
    const struct config_entry **present = &loader->candidates[index].by_source[source];
    bool is_repeated;
    bool is_equal = true;
    enum status status;

    if (*present == NULL) {
        *present = entry;
        return STATUS_OK;
    }
    is_repeated = strcmp((*present)->name, entry->name) == 0;
    if (is_repeated && entry->source == CONFIG_FROM_ENVIRONMENT) {
        return STATUS_OK; /* as getenv does */
    }
    if (is_repeated && !loader->values->is_strict) {
        *present = entry;
        return STATUS_OK;
    }
    status = compare_entries(loader, setting, *present, entry, &is_equal);
    if (status != STATUS_OK || is_equal) {
        return status;
    }
    return is_repeated ? refuse(loader, entry, "is set twice with different values")
                       : refuse_pair(loader, *present, entry);
}

static enum status refuse_unknown(struct loader *loader, const struct config_entry *entry)
{
    const char *suggestion = config_suggest_name(entry->name);
    const char *phrase = "is no setting";

    if (suggestion != NULL) {
        phrase = arena_format(&loader->scratch, "is no setting; did you mean %s?", suggestion);
        if (phrase == NULL) {
            return STATUS_NO_MEMORY;
        }
    }
    return refuse(loader, entry, phrase);
}

static enum status choose(struct loader *loader, size_t setting_count)
{
    struct config_values *values = loader->values;

    for (size_t i = 0; i < values->count; i++) {
        const struct config_entry *entry = &values->entries[i];
        int index = config_find_setting(entry->name);
        enum status status = STATUS_OK;

        if (index >= 0 && slice_trim(slice_of(entry->value)).length > 0) {
            status = offer(loader, (size_t)index, entry);
        } else if (index < 0 && entry->source == CONFIG_FROM_FILE && values->is_strict &&
                   config_match_pattern(values, entry->name) == NULL) {
            status = refuse_unknown(loader, entry);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    for (size_t i = 0; i < setting_count; i++) {
        const struct candidates *candidates = &loader->candidates[i];

        values->chosen[i] =
            candidates->by_source[0] != NULL ? candidates->by_source[0] : candidates->by_source[1];
    }
    return STATUS_OK;
}

/* --- Values --------------------------------------------------------------------------------- */

static enum status store_default(struct config *config, const struct config_setting *setting,
                                 void *field)
{
    union config_value value = {.list = {NULL, 0}};
    struct config_problem problem;
    const char *text;
    enum status status;

    if (setting->default_text[0] == '\0') {
        if (setting->type == CONFIG_TEXT) {
            value.text = "";
        }
        config_store_value(setting, &value, field);
        return STATUS_OK;
    }
    text = config_expand_default(&config->arena, setting->default_text, config->state_dir);
    if (text == NULL) {
        return STATUS_NO_MEMORY;
    }
    status = config_parse_value(setting, &config->arena, slice_of(text), &value, &problem);
    if (status == STATUS_OK) {
        config_store_value(setting, &value, field);
    }
    return status == STATUS_INVALID ? STATUS_INTERNAL : status;
}

static enum status store_all(struct loader *loader)
{
    struct config *config = loader->config;
    size_t count;
    const struct config_setting *settings = config_settings(&count);

    for (size_t i = 0; i < count; i++) {
        const struct config_entry *entry = loader->values->chosen[i];
        void *field = config_field(config, i);
        union config_value value;
        struct config_problem problem = {{NULL, 0}, ""};
        enum status status;

        if (entry == NULL) {
            status = store_default(config, &settings[i], field);
        } else {
            status = parse_entry(&settings[i], entry, &config->arena, &value, &problem);
        }
        if (status == STATUS_INVALID) {
            config_append_refusal(loader->values, entry, settings[i].name, settings[i].flags,
                                  &problem, loader->problem);
        }
        if (status != STATUS_OK) {
            return status;
        }
        if (entry != NULL) {
            config_store_value(&settings[i], &value, field);
        }
    }
    return STATUS_OK;
}

/* --- Public --------------------------------------------------------------------------------- */

static enum status run(struct loader *loader, const char *const *environment, const char *file_path)
{
    struct arena *arena = &loader->config->arena;
    size_t count;
    enum status status;

    (void)config_settings(&count);
    loader->values = arena_allocate(arena, sizeof *loader->values);
    loader->candidates = arena_allocate(&loader->scratch, count * sizeof *loader->candidates);
    if (loader->values == NULL || loader->candidates == NULL) {
        return STATUS_NO_MEMORY;
    }
    loader->config->values = loader->values;
    loader->values->chosen = arena_allocate(arena, count * sizeof(const struct config_entry *));
    if (loader->values->chosen == NULL) {
        return STATUS_NO_MEMORY;
    }
    status = collect(loader, environment, file_path);
    if (status == STATUS_OK) {
        status = choose(loader, count);
    }
    if (status == STATUS_OK) {
        status = config_settle_patterns(loader->values, arena, loader->problem);
    }
    if (status == STATUS_OK) {
        status = store_all(loader);
    }
    if (status == STATUS_OK) {
        status = config_derive(loader->config);
    }
    return status;
}

enum status config_load_from(struct config **out, const char *const *environment,
                             const char *file_path, struct buffer *problem)
{
    struct loader loader = {.problem = problem};
    enum status status;

    *out = NULL;
    loader.config = memory_allocate(sizeof *loader.config);
    if (loader.config == NULL) {
        buffer_append_text(problem, "the configuration needs more memory than there is");
        return STATUS_NO_MEMORY;
    }
    arena_init(&loader.config->arena, ARENA_MAXIMUM);
    arena_init(&loader.scratch, ARENA_MAXIMUM);
    status = run(&loader, environment, file_path);
    arena_destroy(&loader.scratch);
    if (status == STATUS_OK) {
        *out = loader.config;
        return STATUS_OK;
    }
    if (status == STATUS_NO_MEMORY) {
        buffer_append_text(problem, "the configuration needs more memory than there is");
    }
    config_release(loader.config);
    return status;
}

/* The value that getenv would find in `environment`, or NULL. */
static const char *find_variable(const char *const *environment, const char *name)
{
    size_t length = strlen(name);

    for (; *environment != NULL; environment++) {
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') {
            return *environment + length + 1;
        }
    }
    return NULL;
}

enum status config_load(struct config **out, struct buffer *problem)
{
    const char *const *environment = (const char *const *)environ;
    const char *path = find_variable(environment, "QUINTET_CONFIG");

    if (path == NULL || path[0] == '\0') {
        path = access("quintet.conf", F_OK) == 0 ? "quintet.conf"
               : access(".env", F_OK) == 0       ? ".env"
                                                 : NULL;
    }
    return config_load_from(out, environment, path, problem);
}

void config_release(struct config *config)
{
    if (config != NULL) {
        arena_destroy(&config->arena);
        memory_release(config);
    }
}

const struct config_entry *config_find_entry(const struct config_values *values, const char *name)
{
    const struct config_entry *found = NULL;

    for (size_t i = 0; i < values->count; i++) {
        const struct config_entry *entry = &values->entries[i];

        if (strcmp(entry->name, name) != 0 || entry->value[0] == '\0') {
            continue;
        }
        if (entry->source == CONFIG_FROM_ENVIRONMENT) {
            return entry;
        }
        found = entry; /* in a file the last one counts */
    }
    return found;
}

const char *config_lookup(const struct config *config, const char *name)
{
    const struct config_entry *entry = config_find_entry(config->values, name);

    return entry != NULL ? entry->value : NULL;
}

const char *config_file(const struct config *config)
{
    return config->values->file_path;
}
