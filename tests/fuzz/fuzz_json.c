/*
 * Fuzz target of json/: any bytes at all.
 *
 * Promises that must hold whatever the input: the scanner, the walkers, json_validate, json_parse
 * and text_parse_double agree on what is valid; what the writer writes is valid; a tree that is
 * written reads back as the same tree.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "json/json.h"
#include "json/write.h"

#define MEMORY ((size_t)256 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise)
{
    if (!promise) {
        abort();
    }
}

static bool scans(struct slice text, struct json_value *value)
{
    struct json_scanner scanner;
    json_scan_start(&scanner, text);
    return json_scan_value(&scanner, value) == STATUS_OK && json_scan_at_end(&scanner);
}

/* Walks a valid container; all that is in it must be valid too. */
static void walk(struct slice text, struct arena *arena)
{
    struct json_value value;
    require(scans(text, &value));
    struct json_scanner scanner;
    bool first = true;
    enum status status = STATUS_NOT_FOUND;
    json_scan_start(&scanner, text);
    if (value.kind == JSON_ARRAY) {
        struct json_value element;
        require(json_scan_enter_array(&scanner) == STATUS_OK);
        while ((status = json_scan_next_element(&scanner, &first, &element)) == STATUS_OK) {
            walk(element.text, arena);
        }
    } else if (value.kind == JSON_OBJECT) {
        struct json_value member;
        struct slice name;
        require(json_scan_enter_object(&scanner) == STATUS_OK);
        while ((status = json_scan_next_member(&scanner, &first, &name, &member)) == STATUS_OK) {
            walk(member.text, arena);
        }
    } else {
        require(json_scan_value(&scanner, &value) == STATUS_OK);
        if (value.kind == JSON_STRING) {
            struct slice plain;
            enum status unescaped = json_unescape(arena, value.text, &plain);
            require(unescaped == STATUS_OK || unescaped == STATUS_INVALID);
            require(unescaped != STATUS_OK || text_is_utf8(plain.data, plain.length));
        }
    }
    require(status == STATUS_NOT_FOUND);
    require(json_scan_at_end(&scanner));
}

static void write_tree(struct json_writer *writer, const struct json_node *node)
{
    const char *text;
    double number;
    bool boolean;
    switch (json_node_kind(node)) {
    case JSON_NULL:
        json_write_null(writer);
        break;
    case JSON_BOOLEAN:
        require(json_get_boolean(node, &boolean));
        json_write_boolean(writer, boolean);
        break;
    case JSON_NUMBER:
        if (json_get_double(node, &number)) {
            json_write_double(writer, number);
        } else {
            json_write_raw(writer, slice_of("1e999"));
        }
        break;
    case JSON_STRING:
        if (json_has_nul(node)) {
            require(!json_get_text(node, &text));
            json_write_raw(writer, slice_of("\"\\u0000\""));
        } else {
            require(json_get_text(node, &text));
            require(text_is_utf8(text, strlen(text)));
            json_write_text(writer, text);
        }
        break;
    case JSON_ARRAY:
        json_write_array_begin(writer);
        for (const struct json_node *child = json_first(node); child; child = json_next(child)) {
            write_tree(writer, child);
        }
        json_write_array_end(writer);
        break;
    case JSON_OBJECT:
        json_write_object_begin(writer);
        for (const struct json_node *child = json_first(node); child; child = json_next(child)) {
            json_write_name(writer, json_name(child));
            write_tree(writer, child);
        }
        json_write_object_end(writer);
        break;
    }
}

static void require_same(const struct json_node *a, const struct json_node *b)
{
    const char *texts[2];
    double numbers[2];
    bool booleans[2];
    require((a == NULL) == (b == NULL));
    require(json_node_kind(a) == json_node_kind(b));
    require(json_get_text(a, &texts[0]) == json_get_text(b, &texts[1]));
    require(json_node_kind(a) != JSON_STRING || json_has_nul(a) || strcmp(texts[0], texts[1]) == 0);
    if (json_get_double(a, &numbers[0])) {
        require(json_get_double(b, &numbers[1]) && numbers[0] == numbers[1]);
    }
    if (json_get_boolean(a, &booleans[0])) {
        require(json_get_boolean(b, &booleans[1]) && booleans[0] == booleans[1]);
    }
    require(json_count(a) == json_count(b));
    a = json_first(a);
    b = json_first(b);
    for (; a != NULL && b != NULL; a = json_next(a), b = json_next(b)) {
        require((json_name(a) == NULL) == (json_name(b) == NULL));
        require(json_name(a) == NULL || strcmp(json_name(a), json_name(b)) == 0);
        require_same(a, b);
    }
}

/* A name that holds U+0000 is found by nobody, and cannot be written. */
static bool has_plain_names(const struct json_node *node)
{
    for (const struct json_node *child = json_first(node); child; child = json_next(child)) {
        const char *name = json_name(child);
        if ((name != NULL && !text_is_utf8(name, strlen(name))) || !has_plain_names(child)) {
            return false;
        }
    }
    return true;
}

static void check_tree(const struct json_node *root, struct arena *arena)
{
    if (!has_plain_names(root)) {
        return;
    }
    struct buffer out;
    struct json_writer writer;
    const struct json_node *again = NULL;
    buffer_init(&out, MEMORY);
    json_write_start(&writer, &out);
    write_tree(&writer, root);
    require(buffer_status(&out) == STATUS_OK);
    struct slice written = {.data = buffer_text(&out), .length = out.length};
    require(json_validate(written, arena) == STATUS_OK);
    require(json_parse(arena, written, &again) == STATUS_OK);
    require_same(root, again);
    buffer_release(&out);
}

/* The input as the content of a string. */
static void check_string(struct slice text, struct arena *arena)
{
    struct buffer out;
    struct slice back;
    buffer_init(&out, MEMORY);
    json_write_escaped(&out, text);
    require(buffer_status(&out) == STATUS_OK);
    struct slice written = {.data = buffer_text(&out), .length = out.length};
    require(json_validate(written, arena) == STATUS_OK);
    if (text.length > 0 && memchr(text.data, '\0', text.length) != NULL) {
        require(json_unescape(arena, written, &back) == STATUS_INVALID);
    } else {
        require(json_unescape(arena, written, &back) == STATUS_OK);
        bool same = back.length == text.length &&
                    (back.length == 0 || memcmp(back.data, text.data, back.length) == 0);
        require(same == text_is_utf8(text.data, text.length));
    }
    buffer_release(&out);
}

/* The input as a number. */
static void check_number(struct slice text)
{
    struct json_value value;
    double number = 0;
    double back = 1;
    bool is_number =
        scans(text, &value) && value.kind == JSON_NUMBER && value.text.length == text.length;
    enum status status = text_parse_double(text, &number);
    require(is_number ? status == STATUS_OK || status == STATUS_INVALID : status == STATUS_INVALID);
    if (status == STATUS_OK) {
        char spelling[TEXT_DOUBLE_SIZE];
        size_t length = text_format_double(number, spelling);
        require(text_parse_double((struct slice){spelling, length}, &back) == STATUS_OK);
        require(number == back);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {.data = (const char *)data, .length = size};
    struct arena arena;
    arena_init(&arena, MEMORY);
    struct json_value value;
    const struct json_node *root = NULL;
    bool scanned = scans(text, &value);
    enum status validated = json_validate(text, &arena);
    enum status parsed = json_parse(&arena, text, &root);
    if (validated == STATUS_OK) {
        require(scanned);
        /* The one thing that is valid and not parsed is an escape that spells U+0000. */
        require(parsed == STATUS_OK ||
                (parsed == STATUS_INVALID && memmem(data, size, "\\u0000", 6) != NULL));
        require(json_node_kind(root) == (parsed == STATUS_OK ? value.kind : JSON_NULL));
        walk(text, &arena);
    } else {
        require(validated == STATUS_INVALID || validated == STATUS_TOO_LARGE);
        require(parsed == validated);
    }
    if (parsed == STATUS_OK) {
        check_tree(root, &arena);
    }
    check_string(text, &arena);
    check_number(text);
    arena_destroy(&arena);
    return 0;
}
