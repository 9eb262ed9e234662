/*
 * config/sources: which files count, and which of all that was said counts for a name.
 */
#include "config/internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_INSTALLED_FILE QUINTET_CONFIG_DIRECTORY "/quintet.conf"

const char *config_find_variable(const char *const *environment, const char *name)
{
    size_t length = strlen(name);

    for (; *environment != NULL; environment++) {
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') {
            return *environment + length + 1;
        }
    }
    return "";
}

static bool add_name(struct config_files *files, const char *directory, const char *name)
{
    char *text = files->texts[files->count];
    const char *place = name[0] != '/' ? directory : "";
    int length = snprintf(text, PATH_MAX, "%s%s%s", place, place[0] != '\0' ? "/" : "", name);

    if (length >= PATH_MAX) {
        return false;
    }
    files->names[files->count++] = text;
    return true;
}

void config_find_files(struct config_files *files, const char *directory, const char *named)
{
    static const char *const usual[CONFIG_FILES_MAXIMUM] = {"quintet.conf", ".env"};

    files->count = 0;
    if (named[0] != '\0') {
        (void)add_name(files, directory, named);
        return;
    }
    for (size_t i = 0; i < CONFIG_FILES_MAXIMUM; i++) {
        if (add_name(files, directory, usual[i]) &&
            access(files->names[files->count - 1], F_OK) != 0) {
            files->count--;
        }
    }
    if (files->count == 0 && access(CONFIG_INSTALLED_FILE, F_OK) == 0) {
        (void)add_name(files, "", CONFIG_INSTALLED_FILE);
    }
}

const struct config_entry *config_find_entry(const struct config_values *values, const char *name)
{
    const struct config_entry *found = NULL;
    const char *compared = config_compared_name(config_plain_name(name));

    for (size_t i = 0; i < values->count; i++) {
        const struct config_entry *entry = &values->entries[i];

        if (entry->value[0] == '\0' || strcmp(entry->compared_as, compared) != 0) {
            continue;
        }
        if (entry->origin->path == NULL) {
            return entry;
        }
        if (found == NULL || entry->origin == found->origin) {
            found = entry; /* in a file the last one counts */
        }
    }
    return found;
}

enum config_source config_source_of(const struct config_entry *entry)
{
    return entry == NULL                 ? CONFIG_FROM_DEFAULT
           : entry->origin->path == NULL ? CONFIG_FROM_ENVIRONMENT
                                         : CONFIG_FROM_FILE;
}

const char *config_lookup(const struct config *config, const char *name)
{
    const struct config_entry *entry = config_find_entry(config->values, name);

    return entry != NULL ? entry->value : NULL;
}

const char *config_file(const struct config *config, size_t index)
{
    return index + 1 < config->values->origin_count ? config->values->origins[index + 1].path
                                                    : NULL;
}
