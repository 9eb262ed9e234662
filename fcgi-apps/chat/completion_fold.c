/*
 * chat/completion_fold: a tree of the answer so far.
 *
 * Texts are kept as JSON spells them, so that a piece is simply appended; completion_read_chunk has
 * mended halves of surrogate pairs before.
 */
#include "completion_fold.h"

#include <string.h>

#include "completion_reader.h"
#include "json/walk.h"

/* A text's room doubles as it grows and the arena gives none back, so a text takes at most four times
 * its length. The other half is for the tree. */
#define ARENA_FACTOR 8
#define FIRST_ROOM   64

/* Members and elements are looked for one by one, for there are few. A chunk of many thousands would
 * keep the pump from everything else, so the time that it may take grows with its length only. */
#define STEPS_OF_A_CHUNK 10000
#define STEPS_OF_A_BYTE  16

#define NO_INDEX INT64_C(-1)

struct fold_node {
    struct slice name;   /* of a member */
    int64_t index;       /* of an element; NO_INDEX: it has none */
    enum json_kind kind; /* JSON_NULL: no value yet; JSON_NUMBER: any value kept as it is spelled */
    char *text;          /* of a string the text between its quotes */
    size_t length, room;
    struct fold_node *first, *last, *next; /* members or elements */
    struct json_value
        told; /* of a member in the object that is being read; .text.data NULL: none */
};

/* Where a value stands. */
enum place { AT_TOP, OUTSIDE, IN_CHOICE, IN_DELTA };

void completion_fold_init(struct completion_fold *fold, size_t maximum)
{
    *fold = (struct completion_fold){.maximum = maximum};
    arena_init(&fold->arena, ARENA_FACTOR * maximum);
}

void completion_fold_release(struct completion_fold *fold)
{
    arena_destroy(&fold->arena);
    fold->root = NULL;
}

/* --- The tree -------------------------------------------------------------------------------- */

static enum status append(struct completion_fold *fold, struct fold_node *node, struct slice text)
{
    if (text.length > fold->maximum - fold->length) {
        return STATUS_TOO_LARGE;
    }
    if (text.length == 0) {
        return STATUS_OK;
    }
    fold->length += text.length;
    if (text.length > node->room - node->length) {
        size_t room = node->room == 0 ? FIRST_ROOM : 2 * node->room;
        room = room < node->length + text.length ? node->length + text.length : room;
        char *moved = arena_allocate(&fold->arena, room);
        if (moved == NULL) {
            return STATUS_NO_MEMORY;
        }
        if (node->length > 0) {
            memcpy(moved, node->text, node->length);
        }
        node->text = moved;
        node->room = room;
    }
    memcpy(node->text + node->length, text.data, text.length);
    node->length += text.length;
    return STATUS_OK;
}

static enum status replace(struct completion_fold *fold, struct fold_node *node,
                           enum json_kind kind, struct slice text)
{
    fold->length -= node->length;
    node->length = 0;
    node->kind = kind;
    node->first = node->last = NULL;
    return append(fold, node, text);
}

/* False when there have been too many. */
static bool step(struct completion_fold *fold)
{
    fold->steps_left -= fold->steps_left > 0;
    return fold->steps_left > 0;
}

/* Why there is no such child and can be none. */
static enum status why_not(const struct completion_fold *fold)
{
    return fold->steps_left == 0 ? STATUS_TOO_LARGE : STATUS_NO_MEMORY;
}

/* A new child; elements with an index stand in its order. */
static struct fold_node *add_child(struct completion_fold *fold, struct fold_node *parent,
                                   struct slice name, int64_t index)
{
    struct fold_node *node = arena_allocate(&fold->arena, sizeof *node);
    if (node == NULL) {
        return NULL;
    }
    *node = (struct fold_node){.index = index, .kind = JSON_NULL};
    node->name = (struct slice){arena_copy(&fold->arena, name.data, name.length), name.length};
    if (node->name.data == NULL) {
        return NULL;
    }
    struct fold_node **at = &parent->first;
    if (parent->last != NULL && parent->last->index <= index) {
        at = &parent->last->next;
    }
    while (*at != NULL && (*at)->index <= index && step(fold)) {
        at = &(*at)->next;
    }
    if (fold->steps_left == 0) {
        return NULL;
    }
    node->next = *at;
    *at = node;
    parent->last = node->next == NULL ? node : parent->last;
    return node;
}

static struct fold_node *member_of(struct completion_fold *fold, struct fold_node *parent,
                                   struct slice name)
{
    struct fold_node *node = parent->first;
    while (node != NULL &&
           (node->name.length != name.length ||
            memcmp(node->name.data, name.data, name.length) != 0) &&
           step(fold)) {
        node = node->next;
    }
    return fold->steps_left == 0 ? NULL
           : node != NULL        ? node
                                 : add_child(fold, parent, name, NO_INDEX);
}

static struct fold_node *element_of(struct completion_fold *fold, struct fold_node *parent,
                                    int64_t index)
{
    struct fold_node *node = index == NO_INDEX ? NULL : parent->first;
    while (node != NULL && node->index != index && step(fold)) {
        node = node->next;
    }
    return fold->steps_left == 0 ? NULL
           : node != NULL        ? node
                                 : add_child(fold, parent, slice_of(""), index);
}

/* --- Putting together ------------------------------------------------------------------------ */

static enum status merge(struct completion_fold *fold, struct fold_node *node,
                         const struct json_value *value, enum place place);

/* Providers send these whole, and some send them again with each piece. */
static bool is_whole_in_each_piece(struct slice name)
{
    static const char *const names[] = {"id", "type", "role", "name"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (slice_equals(name, names[i])) {
            return true;
        }
    }
    return false;
}

static enum status merge_string(struct completion_fold *fold, struct fold_node *node,
                                struct slice quoted, enum place place)
{
    struct slice inside = {quoted.data + 1, quoted.length - 2};
    bool goes_on =
        node->kind == JSON_STRING && place == IN_DELTA && !is_whole_in_each_piece(node->name);
    if (goes_on) {
        return append(fold, node, inside);
    }
    return node->kind == JSON_STRING && inside.length == 0
               ? STATUS_OK
               : replace(fold, node, JSON_STRING, inside);
}

static enum place place_within(enum place place, struct slice name)
{
    if (place == AT_TOP) {
        return slice_equals(name, "choices") ? IN_CHOICE : OUTSIDE;
    }
    return place == IN_CHOICE && slice_equals(name, "delta") ? IN_DELTA : place;
}

/* Of a member that is there twice the last counts, as it does for everybody else. */
static enum status find_members(struct completion_fold *fold, struct fold_node *node,
                                struct slice text, enum place place)
{
    struct json_walk walk;
    enum status status = json_walk_object(&walk, text);
    while (status == STATUS_OK && json_walk_member(&walk, &status)) {
        if (place == IN_CHOICE && slice_equals(walk.name, "message")) {
            continue; /* some repeat the whole answer so far beside the delta */
        }
        struct fold_node *member = member_of(fold, node, walk.name);
        if (member == NULL) {
            return why_not(fold);
        }
        member->told = walk.value;
    }
    return json_walk_end(status);
}

static enum status merge_object(struct completion_fold *fold, struct fold_node *node,
                                struct slice text, enum place place)
{
    enum status status = find_members(fold, node, text, place);
    struct fold_node *member = node->first;
    node->kind = JSON_OBJECT;
    for (; status == STATUS_OK && member != NULL; member = member->next) {
        const struct json_value told = member->told;
        member->told = (struct json_value){.text = {.data = NULL}};
        if (!step(fold)) {
            status = STATUS_TOO_LARGE;
        } else if (told.text.data != NULL) {
            status = merge(fold, member, &told, place_within(place, member->name));
        }
    }
    return status;
}

static int64_t index_of(const struct json_value *element)
{
    struct json_walk walk;
    int64_t index = NO_INDEX;
    enum status status =
        element->kind == JSON_OBJECT ? json_walk_object(&walk, element->text) : STATUS_NOT_FOUND;
    while (status == STATUS_OK && json_walk_member(&walk, &status)) {
        if (slice_equals(walk.name, "index") && !completion_get_count(&walk.value, &index)) {
            index = NO_INDEX;
        }
    }
    return index;
}

static enum status merge_array(struct completion_fold *fold, struct fold_node *node,
                               struct slice text, enum place place)
{
    struct json_walk walk;
    enum status status = json_walk_array(&walk, text);
    node->kind = JSON_ARRAY;
    while (status == STATUS_OK && json_walk_element(&walk, &status)) {
        int64_t index = index_of(&walk.value);
        struct fold_node *element = element_of(fold, node, index);
        if (element == NULL) {
            return why_not(fold);
        }
        status = index == NO_INDEX ? replace(fold, element, JSON_NUMBER, walk.value.text)
                                   : merge(fold, element, &walk.value, place);
    }
    return json_walk_end(status);
}

static enum status merge(struct completion_fold *fold, struct fold_node *node,
                         const struct json_value *value, enum place place)
{
    bool is_container = value->kind == JSON_OBJECT || value->kind == JSON_ARRAY;
    if (value->kind == JSON_NULL) {
        return STATUS_OK;
    }
    if (place == OUTSIDE ||
        (is_container && node->kind != JSON_NULL && node->kind != value->kind)) {
        return replace(fold, node, JSON_NUMBER, value->text);
    }
    switch (value->kind) {
    case JSON_STRING:
        return merge_string(fold, node, value->text, place);
    case JSON_OBJECT:
        return merge_object(fold, node, value->text, place);
    case JSON_ARRAY:
        return merge_array(fold, node, value->text, place);
    default:
        return replace(fold, node, JSON_NUMBER, value->text);
    }
}

enum status completion_fold_add(struct completion_fold *fold, struct slice chunk)
{
    if (fold->root == NULL) {
        fold->root = arena_allocate(&fold->arena, sizeof *fold->root);
        if (fold->root == NULL) {
            return STATUS_NO_MEMORY;
        }
        *fold->root = (struct fold_node){.kind = JSON_OBJECT, .index = NO_INDEX};
    }
    fold->steps_left = STEPS_OF_A_CHUNK + STEPS_OF_A_BYTE * chunk.length;
    return merge_object(fold, fold->root, chunk, AT_TOP);
}

/* --- Writing --------------------------------------------------------------------------------- */

static bool has_member(const struct fold_node *node, const char *name)
{
    const struct fold_node *member = node->first;
    while (member != NULL && !slice_equals(member->name, name)) {
        member = member->next;
    }
    return member != NULL;
}

static void write_node(const struct fold_node *node, struct buffer *out);

static void write_text(const struct fold_node *node, struct buffer *out)
{
    if (node->length > 0) {
        buffer_append(out, node->text, node->length);
    }
}

static void write_name(const char *name, size_t length, struct buffer *out)
{
    buffer_append_char(out, '"');
    buffer_append(out, name, length);
    buffer_append(out, "\":", 2);
}

/* A delta becomes a message, which always has a `content`, null if need be. Tool calls have an `index`
 * in chunks only, so that member is left out. */
static void write_object(const struct fold_node *node, bool is_call, struct buffer *out)
{
    const char *comma = "";
    bool becomes_message = slice_equals(node->name, "delta");
    buffer_append_char(out, '{');
    for (const struct fold_node *member = node->first; member != NULL; member = member->next) {
        bool is_delta = slice_equals(member->name, "delta");
        if (is_call && slice_equals(member->name, "index")) {
            continue;
        }
        buffer_append_text(out, comma);
        write_name(is_delta ? "message" : member->name.data,
                   is_delta ? strlen("message") : member->name.length, out);
        write_node(member, out);
        comma = ",";
    }
    if (becomes_message && !has_member(node, "content")) {
        buffer_append_text(out, comma);
        buffer_append_text(out, "\"content\":null");
    }
    buffer_append_char(out, '}');
}

static void write_array(const struct fold_node *node, struct buffer *out)
{
    const char *comma = "";
    bool is_of_calls = slice_equals(node->name, "tool_calls");
    buffer_append_char(out, '[');
    for (const struct fold_node *element = node->first; element != NULL; element = element->next) {
        buffer_append_text(out, comma);
        if (is_of_calls && element->kind == JSON_OBJECT) {
            write_object(element, true, out);
        } else {
            write_node(element, out);
        }
        comma = ",";
    }
    buffer_append_char(out, ']');
}

static void write_node(const struct fold_node *node, struct buffer *out)
{
    switch (node->kind) {
    case JSON_NULL:
        buffer_append_text(out, "null");
        break;
    case JSON_OBJECT:
        write_object(node, false, out);
        break;
    case JSON_ARRAY:
        write_array(node, out);
        break;
    case JSON_STRING:
        buffer_append_char(out, '"');
        write_text(node, out);
        buffer_append_char(out, '"');
        break;
    default:
        write_text(node, out);
    }
}

enum status completion_fold_write(const struct completion_fold *fold, struct buffer *out)
{
    static const char kind[] = "\"chat.completion\"";
    const char *comma = "";
    buffer_append_char(out, '{');
    const struct fold_node *member = fold->root != NULL ? fold->root->first : NULL;
    for (; member != NULL; member = member->next) {
        buffer_append_text(out, comma);
        write_name(member->name.data, member->name.length, out);
        if (slice_equals(member->name, "object")) {
            buffer_append_text(out, kind);
        } else {
            write_node(member, out);
        }
        comma = ",";
    }
    buffer_append_char(out, '}');
    return buffer_status(out);
}
