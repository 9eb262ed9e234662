/*
 * json: cJSON behind our own validation, allocating from the caller's arena.
 *
 * cJSON's allocation hooks are global, so they are set once, and find the arena of the running call
 * in a thread-local variable that is set only during json_parse. cJSON also writes a global error
 * position at each parse; threads may race for it, but nobody reads it.
 */
#include "json/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "json/internal.h"

#define INTEGER_MAXIMUM 9007199254740991.0 /* 2^53 - 1 */

/* Stands in the tree for U+0000, at which C's strings end. No byte of UTF-8 is this one. */
#define NUL_MARK 0xff

static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local struct arena *current_arena;
static _Thread_local bool arena_failed;

static void *allocate_from_arena(size_t size)
{
    void *piece = current_arena == NULL ? NULL : arena_allocate(current_arena, size);
    if (piece == NULL) {
        arena_failed = true;
    }
    return piece;
}

static void keep_in_arena(void *piece)
{
    (void)piece;
}

static void install_hooks(void)
{
    cJSON_Hooks hooks = {.malloc_fn = allocate_from_arena, .free_fn = keep_in_arena};
    cJSON_InitHooks(&hooks);
}

/* Writes a shorter number of the same value over a long one, and spaces behind it. */
static enum status respell_number(char *at, size_t length)
{
    double number;
    enum status status = text_parse_double((struct slice){.data = at, .length = length}, &number);
    char spelling[TEXT_DOUBLE_SIZE];
    size_t size;
    if (status == STATUS_OK) {
        size = text_format_double(number, spelling);
    } else if (status == STATUS_INVALID) {
        /* The text is a number, so it is one that overflows a double. So does this. */
        const char *infinite = *at == '-' ? "-1e999" : "1e999";
        size = strlen(infinite);
        memcpy(spelling, infinite, size);
    } else {
        return status;
    }
    memcpy(at, spelling, size);
    memset(at + size, ' ', length - size);
    return STATUS_OK;
}

/* Writes NUL_MARK over each escape of U+0000 in a string; returns what stands behind the string. */
static char *mark_nuls(char *at, const char *end)
{
    bool ignored = false;
    char *behind = at + (json_skip_string(at + 1, end, &ignored) - at);
    while ((at = memchr(at, '\\', (size_t)(behind - at))) != NULL) {
        bool is_nul = behind - at > 6 && memcmp(at, "\\u0000", 6) == 0;
        if (is_nul) {
            memset(at, NUL_MARK, 6);
        }
        at += is_nul ? 6 : 2;
    }
    return behind;
}

/* Replaces *text, which is valid JSON, by a copy that has no number cJSON could not read and no
 * string it would cut. */
static enum status respell(struct arena *arena, struct slice *text)
{
    char *copy = arena_copy(arena, text->data, text->length);
    if (copy == NULL) {
        return STATUS_NO_MEMORY;
    }
    char *end = copy + text->length;
    char *at = copy;
    while (at < end) {
        if (*at == '"') {
            at = mark_nuls(at, end);
        } else if (*at == '-' || (*at >= '0' && *at <= '9')) {
            /* `copy` ends with a NUL, which is none of these. */
            size_t length = strspn(at, "+-.0123456789eE");
            if (length > JSON_NUMBER_ORDINARY) {
                enum status status = respell_number(at, length);
                if (status != STATUS_OK) {
                    return status;
                }
            }
            at += length;
        } else {
            at++;
        }
    }
    text->data = copy;
    return STATUS_OK;
}

static enum status build_tree(struct arena *arena, struct slice text, const struct json_node **root)
{
    pthread_once(&once, install_hooks);
    current_arena = arena;
    arena_failed = false;
    cJSON *tree = cJSON_ParseWithLengthOpts(text.data, text.length, NULL, 0);
    current_arena = NULL;
    if (tree == NULL) {
        return arena_failed ? STATUS_NO_MEMORY : STATUS_INTERNAL;
    }
    *root = (const struct json_node *)tree;
    return STATUS_OK;
}

enum status json_parse(struct arena *arena, struct slice text, const struct json_node **root)
{
    /* The search for duplicates must not use up what the tree may need. */
    struct arena scratch;
    arena_init(&scratch, arena->maximum);
    struct json_findings findings;
    enum status status = json_inspect(text, &scratch, &findings);
    arena_destroy(&scratch);
    if (status != STATUS_OK) {
        return status;
    }
    if (findings.has_long_number || findings.has_nul) {
        status = respell(arena, &text);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return build_tree(arena, text, root);
}

static const cJSON *tree_of(const struct json_node *node)
{
    return (const cJSON *)node;
}

static const struct json_node *node_of(const cJSON *tree)
{
    return (const struct json_node *)tree;
}

enum json_kind json_node_kind(const struct json_node *node)
{
    const cJSON *tree = tree_of(node);
    if (cJSON_IsObject(tree)) {
        return JSON_OBJECT;
    }
    if (cJSON_IsArray(tree)) {
        return JSON_ARRAY;
    }
    if (cJSON_IsString(tree)) {
        return JSON_STRING;
    }
    if (cJSON_IsNumber(tree)) {
        return JSON_NUMBER;
    }
    return cJSON_IsBool(tree) ? JSON_BOOLEAN : JSON_NULL;
}

const struct json_node *json_member(const struct json_node *object, const char *name)
{
    const cJSON *tree = tree_of(object);
    return cJSON_IsObject(tree) ? node_of(cJSON_GetObjectItemCaseSensitive(tree, name)) : NULL;
}

const struct json_node *json_first(const struct json_node *container)
{
    const cJSON *tree = tree_of(container);
    return cJSON_IsObject(tree) || cJSON_IsArray(tree) ? node_of(tree->child) : NULL;
}

const struct json_node *json_next(const struct json_node *node)
{
    return node == NULL ? NULL : node_of(tree_of(node)->next);
}

const char *json_name(const struct json_node *node)
{
    return node == NULL ? NULL : tree_of(node)->string;
}

size_t json_count(const struct json_node *container)
{
    size_t count = 0;
    for (const struct json_node *node = json_first(container); node != NULL;
         node = json_next(node)) {
        count++;
    }
    return count;
}

bool json_has_nul(const struct json_node *node)
{
    return cJSON_IsString(tree_of(node)) && strchr(tree_of(node)->valuestring, NUL_MARK) != NULL;
}

bool json_get_text(const struct json_node *node, const char **text)
{
    if (!cJSON_IsString(tree_of(node)) || json_has_nul(node)) {
        return false;
    }
    *text = tree_of(node)->valuestring;
    return true;
}

bool json_get_double(const struct json_node *node, double *number)
{
    if (!cJSON_IsNumber(tree_of(node)) || !isfinite(tree_of(node)->valuedouble)) {
        return false;
    }
    *number = tree_of(node)->valuedouble;
    return true;
}

bool json_get_integer(const struct json_node *node, int64_t *number)
{
    double value;
    if (!json_get_double(node, &value) || fabs(value) > INTEGER_MAXIMUM ||
        (double)(int64_t)value != value) {
        return false;
    }
    *number = (int64_t)value;
    return true;
}

bool json_get_boolean(const struct json_node *node, bool *value)
{
    if (!cJSON_IsBool(tree_of(node))) {
        return false;
    }
    *value = cJSON_IsTrue(tree_of(node)) != 0;
    return true;
}

const char *json_member_text(const struct json_node *object, const char *name, const char *fallback)
{
    const char *text = fallback;
    (void)json_get_text(json_member(object, name), &text);
    return text;
}
