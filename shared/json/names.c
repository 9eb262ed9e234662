/*
 * json/names: no object may have the same name twice.
 *
 * The names of an object are collected while it is open and compared when it closes. Small
 * objects, which is nearly all, are compared each with each, without any memory. Larger ones go
 * through an open hash table of indices; its key is random, or a client could choose names that
 * all fall into one place.
 */
#include "base/random.h"
#include "json/internal.h"

#define FEW_NAMES ((size_t)16)

void json_names_start(struct json_names *names, struct arena *scratch)
{
    names->scratch = scratch;
    names->list = names->first;
    names->count = 0;
    names->capacity = JSON_NAMES_ON_STACK;
    names->open = 0;
    names->table = NULL;
    names->table_size = 0;
}

void json_names_open_object(struct json_names *names)
{
    names->starts[names->open++] = names->count;
}

static enum status make_room(struct json_names *names)
{
    if (names->capacity > SIZE_MAX / 2 / sizeof(struct slice)) {
        return STATUS_NO_MEMORY;
    }
    struct slice *list = arena_allocate(names->scratch, 2 * names->capacity * sizeof(struct slice));
    if (list == NULL) {
        return STATUS_NO_MEMORY;
    }
    memcpy(list, names->list, names->count * sizeof(struct slice));
    names->list = list;
    names->capacity *= 2;
    return STATUS_OK;
}

enum status json_names_add(struct json_names *names, struct slice name)
{
    if (memchr(name.data, '\\', name.length) != NULL) {
        char *plain = arena_allocate(names->scratch, name.length);
        if (plain == NULL) {
            return STATUS_NO_MEMORY;
        }
        name.length = json_unescape_inside(name, plain);
        name.data = plain;
    }
    if (names->count == names->capacity) {
        enum status status = make_room(names);
        if (status != STATUS_OK) {
            return status;
        }
    }
    names->list[names->count++] = name;
    return STATUS_OK;
}

static bool equal(struct slice a, struct slice b)
{
    return a.length == b.length && memcmp(a.data, b.data, a.length) == 0;
}

static bool few_are_unique(const struct slice *list, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        for (size_t before = 0; before < i; before++) {
            if (equal(list[i], list[before])) {
                return false;
            }
        }
    }
    return true;
}

/* A table of a power of two, at least twice as large as `count`, all zero. */
static enum status make_table(struct json_names *names, size_t count, size_t *size)
{
    if (count > UINT32_MAX / 2) {
        return STATUS_TOO_LARGE;
    }
    *size = 4 * FEW_NAMES;
    while (*size < 2 * count) {
        *size *= 2;
    }
    if (*size <= names->table_size) {
        memset(names->table, 0, *size * sizeof(uint32_t));
        return STATUS_OK;
    }
    if (names->table == NULL) {
        random_bytes(&names->key, sizeof(names->key));
    }
    uint32_t *table = arena_allocate(names->scratch, *size * sizeof(uint32_t));
    if (table == NULL) {
        return STATUS_NO_MEMORY;
    }
    names->table = table;
    names->table_size = *size;
    return STATUS_OK;
}

static enum status many_are_unique(struct json_names *names, const struct slice *list, size_t count)
{
    size_t size;
    enum status status = make_table(names, count, &size);
    if (status != STATUS_OK) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        struct siphash_value hash = siphash_compute(&names->key, list[i].data, list[i].length);
        size_t place = (size_t)hash.words[0] & (size - 1);
        while (names->table[place] != 0) {
            if (equal(list[names->table[place] - 1], list[i])) {
                return STATUS_INVALID;
            }
            place = (place + 1) & (size - 1);
        }
        names->table[place] = (uint32_t)(i + 1);
    }
    return STATUS_OK;
}

enum status json_names_close_object(struct json_names *names)
{
    size_t start = names->starts[--names->open];
    const struct slice *list = names->list + start;
    size_t count = names->count - start;
    names->count = start;
    if (count <= FEW_NAMES) {
        return few_are_unique(list, count) ? STATUS_OK : STATUS_INVALID;
    }
    return many_are_unique(names, list, count);
}
