/*
 * config/settings: the table of settings.def as data, and finding rows in it by name.
 *
 * Owns nothing; everything here is constant.
 */
#include "config/internal.h"

#include <pthread.h>
#include <string.h>

static const struct config_setting settings[] = {
#define SETTING(field, name, type, default_text, bounds, aliases, flags, help)                     \
    {#name, CONFIG_##type, default_text, bounds, aliases, flags, help},
#define WITHOUT_EFFECT(name, type, default_text, bounds, aliases, flags, help)                     \
    {#name, CONFIG_##type, default_text, bounds, aliases, (flags) | CONFIG_WITHOUT_EFFECT, help},
#include "config/settings.def"
#undef SETTING
};

#define SETTING_COUNT (sizeof settings / sizeof settings[0])

#define NO_FIELD SIZE_MAX

static const size_t offsets[] = {
#define SETTING(field, name, type, default_text, bounds, aliases, flags, help)                     \
    offsetof(struct config, field),
#define WITHOUT_EFFECT(name, type, default_text, bounds, aliases, flags, help) NO_FIELD,
#include "config/settings.def"
#undef SETTING
};

/* AT_<section> is the index of the setting that follows the section's heading: the heading takes
 * a number and gives it back. */
enum {
#define SECTION(id, title) AT_##id, BACK_##id = AT_##id - 1,
/* a setting takes the next number */
#define SETTING(field, name, type, default_text, bounds, aliases, flags, help) INDEX_##name,
#define WITHOUT_EFFECT(name, type, default_text, bounds, aliases, flags, help) INDEX_##name,
#include "config/settings.def"
#undef SETTING
    INDEX_END
};

_Static_assert((size_t)INDEX_END == SETTING_COUNT, "headings must not count");

static const struct config_section sections[] = {
#define SECTION(id, title) {AT_##id, title},
/* a setting is no section */
#define SETTING(field, name, type, default_text, bounds, aliases, flags, help)
#include "config/settings.def"
#undef SETTING
};

const struct config_setting *config_settings(size_t *count)
{
    *count = SETTING_COUNT;
    return settings;
}

const struct config_section *config_sections(size_t *count)
{
    *count = sizeof sections / sizeof sections[0];
    return sections;
}

void *config_field(struct config *config, size_t index)
{
    return offsets[index] == NO_FIELD ? (void *)&config->values->unread[index]
                                      : (char *)config + offsets[index];
}

const void *config_read_field(const struct config *config, size_t index)
{
    return offsets[index] == NO_FIELD ? (const void *)&config->values->unread[index]
                                      : (const char *)config + offsets[index];
}

/* --- By name -------------------------------------------------------------------------------- */

/* A hash table of names and aliases, with linear probing: a start looks up some thousand names. */
#define PLACES 2048 /* a power of two, several times the names */

static struct place {
    struct slice name; /* .data NULL: free */
    int index;
} places[PLACES];
static pthread_once_t places_are_filled = PTHREAD_ONCE_INIT;

/* FNV-1a. */
static struct place *find_place(struct slice name)
{
    uint32_t hash = 2166136261;

    for (size_t i = 0; i < name.length; i++) {
        hash = (hash ^ (unsigned char)name.data[i]) * 16777619;
    }
    for (;; hash++) {
        struct place *place = &places[hash % PLACES];

        if (place->name.data == NULL || (place->name.length == name.length &&
                                         memcmp(place->name.data, name.data, name.length) == 0)) {
            return place;
        }
    }
}

static void fill_place(struct slice name, size_t index)
{
    struct place *place = find_place(name);

    if (name.length > 0 && place->name.data == NULL) {
        *place = (struct place){name, (int)index};
    }
}

static void fill_places(void)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        struct slice rest = slice_of(settings[i].aliases);
        struct slice alias;

        fill_place(slice_of(settings[i].name), i);
        while (slice_split(&rest, ' ', &alias)) {
            fill_place(alias, i);
        }
    }
}

static int find_exactly(const char *name)
{
    const struct place *place;

    (void)pthread_once(&places_are_filled, fill_places);
    place = find_place(slice_of(name));
    return place->name.data != NULL ? place->index : -1;
}

int config_find_setting(const char *name)
{
    int index = find_exactly(name);

    if (index < 0 && strncmp(name, CONFIG_ALIAS_PREFIX, sizeof CONFIG_ALIAS_PREFIX - 1) == 0) {
        index = find_exactly(name + sizeof CONFIG_ALIAS_PREFIX - 1);
    }
    return index;
}

#define SUGGESTION_LENGTH_MAXIMUM 48

/* Levenshtein's distance: insertions, deletions and replacements of one byte. Texts longer than
 * SUGGESTION_LENGTH_MAXIMUM are far from everything. */
static size_t distance_between(const char *a, const char *b)
{
    size_t row[SUGGESTION_LENGTH_MAXIMUM + 1];
    size_t a_length = strlen(a);
    size_t b_length = strlen(b);

    if (a_length > SUGGESTION_LENGTH_MAXIMUM || b_length > SUGGESTION_LENGTH_MAXIMUM) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= b_length; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_length; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            size_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

            diagonal = row[j];
            row[j] = replaced < shorter ? replaced : shorter;
        }
    }
    return row[b_length];
}

const char *config_suggest_name(const char *name)
{
    const char *best = NULL;
    size_t limit = strlen(name) / 4 < 3 ? strlen(name) / 4 : 3;

    for (size_t i = 0; i < SETTING_COUNT; i++) {
        size_t distance = distance_between(name, settings[i].name);

        if (distance <= limit) {
            best = settings[i].name;
            if (distance == 0) {
                break;
            }
            limit = distance - 1;
        }
    }
    return best;
}
