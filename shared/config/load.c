/*
 * config/load: from environment and file to a configuration.
 *
 * All names of all origins are kept in their order (config_lookup finds any of them); for each
 * setting one entry is chosen: the environment's before quintet.conf's before that of .env.
 * A fault does not end the work: every one is told, and what was refused has its default, so that
 * later checks find what else is wrong. Ownership: everything lives in the configuration's arena.
 */
#include "config/internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

#define ARENA_MAXIMUM ((size_t)16 * 1024 * 1024)
#define FILE_MAXIMUM  ((size_t)1024 * 1024)
#define PER_MINUTE    "_PER_MINUTE"

/* What is known of a setting while entries are walked. */
struct candidates {
    const struct config_entry *by_rank[CONFIG_ORIGIN_MAXIMUM];
};

struct loader {
    struct config *config;
    struct config_values *values;
    struct candidates *candidates; /* by setting */
    struct arena scratch;          /* for values that are only compared */
    const char *directory;         /* where relative paths of the environment begin; "" = here */
    struct buffer *problem;
    bool has_faults; /* told in `problem` */
};

/* A fault has been told: go on. Anything else than a fault ends the loading. */
static enum status go_on(struct loader *loader, enum status status)
{
    if (status != STATUS_INVALID) {
        return status;
    }
    loader->has_faults = true;
    return STATUS_OK;
}

/* --- Refusals ------------------------------------------------------------------------------- */

void config_begin_fault(struct buffer *out)
{
    if (out->length > 0) {
        buffer_append_char(out, '\n');
    }
}

enum status config_refuse_entry(const struct config_entry *entry, const char *phrase,
                                struct buffer *out)
{
    config_begin_fault(out);
    config_append_on_one_line(out, entry->name);
    buffer_append_char(out, ' ');
    buffer_append_text(out, phrase);
    config_append_origin(entry, out);
    return STATUS_INVALID;
}

enum status config_refuse_pair(const struct config_entry *first, const struct config_entry *second,
                               struct buffer *out)
{
    config_begin_fault(out);
    buffer_append_format(out, "%s and %s are both set but differ", first->name, second->name);
    config_append_origin(first, out);
    if (first->origin->path != NULL) {
        config_append_origin(second, out);
    }
    return STATUS_INVALID;
}

static enum status refuse_file(struct loader *loader, const char *path, int line,
                               const char *phrase)
{
    config_begin_fault(loader->problem);
    config_append_on_one_line(loader->problem, path);
    if (line > 0) {
        buffer_append_format(loader->problem, ":%d", line);
    }
    buffer_append_text(loader->problem, ": ");
    buffer_append_text(loader->problem, phrase);
    return STATUS_INVALID;
}

/* --- Reading all origins --------------------------------------------------------------------- */

/* How programs of other languages print that there is nothing. */
static bool means_nothing(const char *value)
{
    struct slice text = slice_trim(slice_of(value));

    return slice_equals(text, "None") || slice_equals(text, "null") || slice_equals(text, "NULL");
}

/* "${NAME}" or "$(command)" and nothing else. A value of the environment cannot say that its dollar
 * is meant as one, so a part of it that looks so is left alone. */
static bool is_reference(const char *value)
{
    struct slice text = slice_trim(slice_of(value));
    char last = text.length > 2 ? text.data[text.length - 1] : '\0';

    return (slice_starts_with(text, "${") && last == '}') ||
           (slice_starts_with(text, "$(") && last == ')');
}

static void add_entry(struct config_values *values, const struct config_assignment *given,
                      const struct config_origin *origin, int line)
{
    const char *known_as = config_plain_name(given->name);

    values->entries[values->count++] =
        (struct config_entry){.name = given->name,
                              .known_as = known_as,
                              .compared_as = config_compared_name(known_as),
                              .value = means_nothing(given->value) ? "" : given->value,
                              .origin = origin,
                              .line = line,
                              .is_unexpanded = given->is_unexpanded};
}

static enum status add_environment(struct loader *loader, const char *const *environment)
{
    struct arena *arena = &loader->config->arena;

    for (; *environment != NULL; environment++) {
        const char *equals = strchr(*environment, '=');
        struct config_assignment given;

        if (equals == NULL || equals == *environment) {
            continue;
        }
        given.name = arena_copy(arena, *environment, (size_t)(equals - *environment));
        given.value = arena_copy(arena, equals + 1, strlen(equals + 1));
        if (given.name == NULL || given.value == NULL) {
            return STATUS_NO_MEMORY;
        }
        given.is_unexpanded = is_reference(given.value);
        add_entry(loader->values, &given, &loader->values->origins[0], 0);
    }
    return STATUS_OK;
}

static enum status add_file(struct loader *loader, const struct config_origin *origin,
                            struct slice text)
{
    struct config_file_parser parser;
    struct config_assignment assignment;
    enum status status;

    config_file_start(&parser, text);
    do {
        status = config_file_next(&parser, &loader->config->arena, &assignment);
        if (status == STATUS_OK) {
            add_entry(loader->values, &assignment, origin, parser.line);
        } else if (status == STATUS_INVALID) {
            status = go_on(loader, refuse_file(loader, origin->path, parser.line, parser.problem));
        }
    } while (status == STATUS_OK);
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

/* Reads the files and finds out how many entries there can be. */
static enum status read_files(struct loader *loader, const char *const *paths, size_t count,
                              struct buffer *texts, size_t *room)
{
    struct config_values *values = loader->values;

    for (size_t i = 0; i < count; i++) {
        struct config_origin *origin = &values->origins[values->origin_count];
        enum status status;

        *origin = (struct config_origin){.rank = values->origin_count++,
                                         .is_strict = !is_shared_file(paths[i])};
        origin->path = arena_copy(&loader->config->arena, paths[i], strlen(paths[i]));
        status = origin->path != NULL ? go_on(loader, read_file(loader, paths[i], &texts[i]))
                                      : STATUS_NO_MEMORY;
        if (status != STATUS_OK) {
            return status;
        }
        *room += count_equals_signs((struct slice){buffer_text(&texts[i]), texts[i].length});
    }
    return STATUS_OK;
}

static enum status collect(struct loader *loader, const char *const *environment,
                           const char *const *paths, size_t file_count)
{
    struct config_values *values = loader->values;
    struct buffer texts[CONFIG_ORIGIN_MAXIMUM - 1];
    size_t room = 1;
    enum status status;

    values->origin_count = 1; /* the environment */
    for (size_t i = 0; i < file_count; i++) {
        buffer_init(&texts[i], FILE_MAXIMUM);
    }
    status = read_files(loader, paths, file_count, texts, &room);
    for (const char *const *at = environment; *at != NULL; at++) {
        room++;
    }
    if (status == STATUS_OK) {
        values->entries = arena_allocate(&loader->config->arena, room * sizeof *values->entries);
        status = values->entries != NULL ? add_environment(loader, environment) : STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < file_count && status == STATUS_OK; i++) {
        status = add_file(loader, &values->origins[1 + i],
                          (struct slice){buffer_text(&texts[i]), texts[i].length});
    }
    for (size_t i = 0; i < file_count; i++) {
        config_release_secret(&texts[i]);
    }
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
    if (entry->is_unexpanded) {
        return config_blame(problem, *text, CONFIG_UNEXPANDED);
    }
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

/* Takes `entry` as the value of the setting `index` from its origin. */
static enum status offer(struct loader *loader, size_t index, const struct config_entry *entry)
{
    size_t count;
    const struct config_setting *setting = &config_settings(&count)[index];
    const struct config_entry **present = &loader->candidates[index].by_rank[entry->origin->rank];
    bool is_repeated;
    bool is_equal = true;
    enum status status;

    if (*present == NULL) {
        *present = entry;
        return STATUS_OK;
    }
    is_repeated = strcmp((*present)->name, entry->name) == 0;
    if (is_repeated && entry->origin->path == NULL) {
        return STATUS_OK; /* as getenv does */
    }
    if (is_repeated && !entry->origin->is_strict) {
        *present = entry;
        return STATUS_OK;
    }
    status = compare_entries(loader, setting, *present, entry, &is_equal);
    if (status != STATUS_OK || is_equal) {
        return status;
    }
    return is_repeated
               ? config_refuse_entry(entry, "is set twice with different values", loader->problem)
               : config_refuse_pair(*present, entry, loader->problem);
}

static const struct config_entry *first_of(const struct candidates *candidates)
{
    for (size_t rank = 0; rank < CONFIG_ORIGIN_MAXIMUM; rank++) {
        if (candidates->by_rank[rank] != NULL) {
            return candidates->by_rank[rank];
        }
    }
    return NULL;
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
        } else if (index < 0 && entry->origin->is_strict &&
                   config_match_pattern(values, entry->known_as) == NULL) {
            status = config_refuse_unknown(entry, loader->problem);
        }
        status = go_on(loader, status);
        if (status != STATUS_OK) {
            return status;
        }
    }
    for (size_t i = 0; i < setting_count; i++) {
        values->chosen[i] = first_of(&loader->candidates[i]);
    }
    return STATUS_OK;
}

/* --- Values --------------------------------------------------------------------------------- */

static enum status parse_default(struct config *config, const struct config_setting *setting,
                                 union config_value *value)
{
    struct config_problem problem;
    const char *text;
    enum status status;

    *value = (union config_value){.list = {NULL, 0}};
    if (setting->default_text[0] == '\0') {
        if (setting->type == CONFIG_TEXT) {
            value->text = "";
        }
        return STATUS_OK;
    }
    text = config_expand_default(&config->arena, setting->default_text, config->state_dir);
    if (text == NULL) {
        return STATUS_NO_MEMORY;
    }
    status = config_parse_value(setting, &config->arena, slice_of(text), value, &problem);
    return status == STATUS_INVALID ? STATUS_INTERNAL : status;
}

/* Whether a value says something else than the default; a number without a default always does. */
static enum status differs_from_default(struct loader *loader, const struct config_setting *setting,
                                        const union config_value *value, bool *differs)
{
    union config_value normal;
    struct buffer printed[2];
    enum status status = parse_default(loader->config, setting, &normal);

    for (size_t i = 0; i < 2; i++) {
        buffer_init(&printed[i], ARENA_MAXIMUM);
        if (status == STATUS_OK) {
            status = config_print_value(setting, i == 0 ? value : &normal, &printed[i]);
        }
    }
    if (status == STATUS_OK) {
        *differs = strcmp(buffer_text(&printed[0]), buffer_text(&printed[1])) != 0 ||
                   (setting->type == CONFIG_INTEGER && setting->default_text[0] == '\0');
    }
    for (size_t i = 0; i < 2; i++) {
        config_release_secret(&printed[i]);
    }
    return status;
}

/* The part of a path up to and with its last slash. */
static struct slice directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return (struct slice){path, slash != NULL ? (size_t)(slash - path) + 1 : 0};
}

/* A relative path counts from where it was said: from the file that holds it, else from the
 * directory that the suite was started from. */
static enum status anchor(struct loader *loader, const struct config_setting *setting,
                          const struct config_entry *entry, union config_value *value)
{
    static const char sqlite[] = "sqlite:";
    bool is_database = strcmp(setting->bounds, "<database>") == 0;
    const char *scheme = is_database ? sqlite : "";
    bool is_ours = entry != NULL || strstr(setting->default_text, STATE_DIR_REFERENCE) == NULL;
    const char *path;
    struct slice base;

    if ((!is_database && strcmp(setting->bounds, "<path>") != 0) || !is_ours ||
        strncmp(value->text, scheme, strlen(scheme)) != 0) {
        return STATUS_OK;
    }
    path = value->text + strlen(scheme);
    base = entry != NULL && entry->origin->path != NULL ? directory_of(entry->origin->path)
                                                        : slice_of(loader->directory);
    if (path[0] == '/' || path[0] == '\0' || base.length == 0) {
        return STATUS_OK;
    }
    while (path[0] == '.' && path[1] == '/') {
        path += strspn(path + 1, "/") + 1;
    }
    value->text = arena_format(&loader->config->arena, "%s%.*s%s%s", scheme, (int)base.length,
                               base.data, base.data[base.length - 1] == '/' ? "" : "/", path);
    return value->text != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

/* The value of a setting from its entry, or its default. A refusal is told and leaves the default
 * in place. */
static enum status settle_value(struct loader *loader, const struct config_setting *setting,
                                size_t index, union config_value *value)
{
    const struct config_entry *entry = loader->values->chosen[index];
    struct config_problem problem = {{NULL, 0}, ""};
    enum status status = STATUS_OK;

    if (entry != NULL) {
        status = parse_entry(setting, entry, &loader->config->arena, value, &problem);
        if (status == STATUS_INVALID) {
            config_append_refusal(entry, setting->name, setting->flags, &problem, loader->problem);
            loader->values->is_refused[index] = true;
            loader->has_faults = true;
            entry = NULL;
        } else if (status != STATUS_OK) {
            return status;
        }
    }
    if (entry == NULL) {
        status = parse_default(loader->config, setting, value);
    }
    return status == STATUS_OK ? anchor(loader, setting, entry, value) : status;
}

static enum status store_all(struct loader *loader)
{
    struct config_values *values = loader->values;
    size_t count;
    const struct config_setting *settings = config_settings(&count);

    for (size_t i = 0; i < count; i++) {
        void *field = config_field(loader->config, i);
        union config_value value;
        enum status status = settle_value(loader, &settings[i], i, &value);

        if (status == STATUS_OK && values->chosen[i] != NULL && !values->is_refused[i] &&
            (settings[i].flags & CONFIG_WITHOUT_EFFECT) != 0) {
            status = differs_from_default(loader, &settings[i], &value, &values->is_wanted[i]);
        }
        if (status != STATUS_OK) {
            return status;
        }
        config_store_value(&settings[i], &value, field);
    }
    return STATUS_OK;
}

/* --- Public --------------------------------------------------------------------------------- */

static enum status run(struct loader *loader, const char *const *environment,
                       const char *const *paths, size_t file_count)
{
    struct arena *arena = &loader->config->arena;
    struct config_values *values;
    size_t count;
    enum status status;

    (void)config_settings(&count);
    loader->values = arena_allocate(arena, sizeof *loader->values);
    loader->candidates = arena_allocate(&loader->scratch, count * sizeof *loader->candidates);
    if (loader->values == NULL || loader->candidates == NULL) {
        return STATUS_NO_MEMORY;
    }
    loader->config->values = loader->values;
    values = loader->values;
    values->chosen = arena_allocate(arena, count * sizeof(const struct config_entry *));
    values->unread = arena_allocate(arena, count * sizeof *values->unread);
    values->is_wanted = arena_allocate(arena, count * sizeof *values->is_wanted);
    values->is_refused = arena_allocate(arena, count * sizeof *values->is_refused);
    if (values->chosen == NULL || values->unread == NULL || values->is_wanted == NULL ||
        values->is_refused == NULL) {
        return STATUS_NO_MEMORY;
    }
    status = collect(loader, environment, paths, file_count);
    if (status == STATUS_OK) {
        status = choose(loader, count);
    }
    if (status == STATUS_OK) {
        status =
            config_settle_patterns(loader->values, arena, loader->problem, &loader->has_faults);
    }
    if (status == STATUS_OK) {
        status = store_all(loader);
    }
    if (status == STATUS_OK) {
        status = config_derive(loader->config);
    }
    return status == STATUS_OK && loader->has_faults ? STATUS_INVALID : status;
}

/* STATUS_INVALID leaves a configuration in *out: see config_examine. */
static enum status examine(struct config **out, const char *const *environment,
                           const char *directory, const char *const *file_paths, size_t file_count,
                           struct buffer *problem)
{
    struct loader loader = {.problem = problem, .directory = directory};
    enum status status;

    *out = NULL;
    loader.config = memory_allocate(sizeof *loader.config);
    if (loader.config == NULL) {
        buffer_append_text(problem, "the configuration needs more memory than there is");
        return STATUS_NO_MEMORY;
    }
    arena_init(&loader.config->arena, ARENA_MAXIMUM);
    arena_init(&loader.scratch, ARENA_MAXIMUM);
    status = run(&loader, environment, file_paths, file_count);
    arena_destroy(&loader.scratch);
    if (status == STATUS_OK || status == STATUS_INVALID) {
        *out = loader.config;
        return status;
    }
    config_begin_fault(problem);
    buffer_append_text(problem, status == STATUS_NO_MEMORY
                                    ? "the configuration needs more memory than there is"
                                    : "the configuration cannot be read");
    config_release(loader.config);
    return status;
}

enum status config_load_layers(struct config **out, const char *const *environment,
                               const char *const *file_paths, size_t file_count,
                               struct buffer *problem)
{
    enum status status = examine(out, environment, "", file_paths, file_count, problem);

    if (status == STATUS_INVALID) {
        config_release(*out);
        *out = NULL;
    }
    return status;
}

enum status config_load_from(struct config **out, const char *const *environment,
                             const char *file_path, struct buffer *problem)
{
    return config_load_layers(out, environment, &file_path, file_path != NULL ? 1 : 0, problem);
}

enum status config_examine(struct config **out, struct buffer *problem)
{
    const char *const *environment = (const char *const *)environ;
    const char *directory = config_find_variable(environment, "QUINTET_DIRECTORY");
    struct config_files files;

    config_find_files(&files, directory, config_find_variable(environment, "QUINTET_CONFIG"));
    return examine(out, environment, directory, files.names, files.count, problem);
}

void config_release(struct config *config)
{
    if (config != NULL) {
        arena_destroy(&config->arena);
        memory_release(config);
    }
}
