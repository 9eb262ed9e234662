/*
 * config/values: between texts and typed values. Pure functions over an arena.
 */
#include "config/internal.h"

#include <inttypes.h>
#include <string.h>

#include "json/scan.h"
#include "json/write.h"

/* --- Numbers -------------------------------------------------------------------------------- */

/* "64", and where `is_size` also "64K", "1m", "2G": powers of 1024. */
static bool parse_number(struct slice text, bool is_size, int64_t *number)
{
    static const char suffixes[] = "KMG";
    int64_t factor = 1;

    if (is_size && text.length > 1) {
        for (size_t i = 0; i < sizeof suffixes - 1; i++) {
            if ((text.data[text.length - 1] & ~0x20) == suffixes[i]) {
                factor = (int64_t)1 << (10 * (i + 1));
                text.length--;
                break;
            }
        }
    }
    return text_parse_integer(text, number) == STATUS_OK &&
           !__builtin_mul_overflow(*number, factor, number);
}

static bool is_size_bounds(const char *bounds)
{
    return strpbrk(bounds, "KMG") != NULL;
}

static enum status parse_integer(const struct config_setting *setting, struct arena *arena,
                                 struct slice text, int64_t *out, struct config_problem *problem)
{
    bool is_size = is_size_bounds(setting->bounds);
    const char *dots = strstr(setting->bounds, "..");
    struct slice low = {setting->bounds, (size_t)(dots - setting->bounds)};
    int64_t minimum;
    int64_t maximum;
    const char *phrase;

    if (!parse_number(text, is_size, out)) {
        return config_blame(problem, text,
                            is_size ? "is not a size (a whole number, with K, M or G if wanted)"
                                    : "is not a whole number");
    }
    if (parse_number(low, is_size, &minimum) &&
        parse_number(slice_of(dots + 2), is_size, &maximum) && *out >= minimum && *out <= maximum) {
        return STATUS_OK;
    }
    phrase = arena_format(arena, "is not within %s", setting->bounds);
    return phrase != NULL ? config_blame(problem, text, phrase) : STATUS_NO_MEMORY;
}

/* --- Lists ---------------------------------------------------------------------------------- */

/* A list under construction; `items` has room for all. */
struct list_maker {
    const char **items;
    size_t count;
};

static enum status make_list(struct arena *arena, size_t room, struct list_maker *maker)
{
    maker->count = 0;
    maker->items = arena_allocate(arena, room * sizeof *maker->items);
    return maker->items != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

static size_t count_byte(struct slice text, char byte)
{
    size_t count = 0;

    for (size_t i = 0; i < text.length; i++) {
        count += text.data[i] == byte ? 1 : 0;
    }
    return count;
}

enum status config_parse_array(struct arena *arena, struct slice text, struct config_list *out,
                               struct config_problem *problem)
{
    struct json_scanner scanner;
    struct json_value value;
    struct list_maker maker;
    struct slice item;
    bool first = true;
    enum status status = json_validate(text, arena);

    if (status == STATUS_OK) {
        status = make_list(arena, count_byte(text, ',') + 1, &maker);
    }
    if (status != STATUS_OK) {
        return status == STATUS_NO_MEMORY
                   ? status
                   : config_blame(problem, text, "is not a valid JSON array");
    }
    json_scan_start(&scanner, text);
    if (json_scan_enter_array(&scanner) != STATUS_OK) {
        return config_blame(problem, text, "is JSON, but not an array");
    }
    while ((status = json_scan_next_element(&scanner, &first, &value)) == STATUS_OK) {
        if (value.kind != JSON_STRING) {
            return config_blame(problem, value.text, "is not a string in a JSON array");
        }
        status = json_unescape(arena, value.text, &item);
        if (status != STATUS_OK) {
            return status == STATUS_NO_MEMORY
                       ? status
                       : config_blame(problem, value.text, "is not a usable string");
        }
        item = slice_trim(item);
        if (item.length == 0) {
            return config_blame(problem, value.text, "is an empty string in a JSON array");
        }
        if (!config_is_plain_text(item)) {
            return config_blame(problem, value.text, "holds a control character");
        }
        maker.items[maker.count] = arena_copy(arena, item.data, item.length);
        if (maker.items[maker.count] == NULL) {
            return STATUS_NO_MEMORY;
        }
        maker.count++;
    }
    if (status != STATUS_NOT_FOUND) {
        return config_blame(problem, text, "is not a valid JSON array");
    }
    *out = (struct config_list){maker.items, maker.count};
    return STATUS_OK;
}

/* Empty parts are passed over: "a,,b," is two items. */
static enum status parse_comma_list(struct arena *arena, struct slice text, struct config_list *out)
{
    struct list_maker maker;
    struct slice part;

    if (make_list(arena, count_byte(text, ',') + 1, &maker) != STATUS_OK) {
        return STATUS_NO_MEMORY;
    }
    while (slice_split(&text, ',', &part)) {
        part = slice_trim(part);
        if (part.length > 0) {
            maker.items[maker.count] = arena_copy(arena, part.data, part.length);
            if (maker.items[maker.count] == NULL) {
                return STATUS_NO_MEMORY;
            }
            maker.count++;
        }
    }
    *out = (struct config_list){maker.items, maker.count};
    return STATUS_OK;
}

static enum status parse_list(const struct config_setting *setting, struct arena *arena,
                              struct slice text, struct config_list *out,
                              struct config_problem *problem)
{
    bool is_json = text.length > 0 && (text.data[0] == '[' || text.data[0] == '{');
    struct list_maker checked;
    struct config_list list;
    enum status status;

    status = is_json ? config_parse_array(arena, text, &list, problem)
                     : parse_comma_list(arena, text, &list);
    if (status == STATUS_OK) {
        status = make_list(arena, list.count + 1, &checked);
    }
    for (size_t i = 0; status == STATUS_OK && i < list.count; i++) {
        status = config_check_text(setting->bounds, arena, slice_of(list.items[i]),
                                   &checked.items[i], problem);
    }
    if (status == STATUS_OK) {
        *out = (struct config_list){checked.items, list.count};
    }
    return status;
}

/* --- Maps ----------------------------------------------------------------------------------- */

/* `bounds` are those of the values. */
static enum status parse_map(const char *bounds, struct arena *arena, struct slice text,
                             const char **out, struct config_problem *problem)
{
    struct json_scanner scanner;
    struct json_value value;
    struct slice name;
    struct slice plain;
    const char *ignored;
    bool first = true;
    enum status status = json_validate(text, arena);

    if (status == STATUS_NO_MEMORY) {
        return status;
    }
    json_scan_start(&scanner, text);
    if (status != STATUS_OK || json_scan_enter_object(&scanner) != STATUS_OK) {
        return config_blame(problem, text, "is not a JSON object with distinct names");
    }
    while ((status = json_scan_next_member(&scanner, &first, &name, &value)) == STATUS_OK) {
        if (value.kind != JSON_STRING) {
            return config_blame(problem, name, "has a value that is not a string");
        }
        status = json_unescape(arena, value.text, &plain);
        if (status == STATUS_OK && bounds[0] != '\0') {
            status = config_check_text(bounds, arena, plain, &ignored, problem);
            if (status == STATUS_INVALID) {
                return status;
            }
        }
        if (status != STATUS_OK) {
            return status == STATUS_NO_MEMORY
                       ? status
                       : config_blame(problem, name, "has a value that is not a usable string");
        }
    }
    if (status != STATUS_NOT_FOUND) {
        return config_blame(problem, text, "is not a JSON object with distinct names");
    }
    *out = arena_copy(arena, text.data, text.length);
    return *out != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

/* --- All types ------------------------------------------------------------------------------ */

/* A choice that has the words true and false takes yes, off, 1 … too. */
static enum status parse_choice(const struct config_setting *setting, struct arena *arena,
                                struct slice text, const char **out, struct config_problem *problem)
{
    bool value;

    if (strstr(setting->bounds, "true|false") != NULL &&
        text_parse_boolean(text, &value) == STATUS_OK) {
        *out = value ? "true" : "false";
        return STATUS_OK;
    }
    return config_check_text(setting->bounds, arena, text, out, problem);
}

enum status config_parse_value(const struct config_setting *setting, struct arena *arena,
                               struct slice text, union config_value *out,
                               struct config_problem *problem)
{
    /* A secret may begin or end with a space; nothing else means it. */
    if ((setting->flags & CONFIG_SECRET) == 0 || setting->type != CONFIG_TEXT) {
        text = slice_trim(text);
    }
    switch (setting->type) {
    case CONFIG_TEXT:
        return config_check_text(setting->bounds, arena, text, &out->text, problem);
    case CONFIG_INTEGER:
        return parse_integer(setting, arena, text, &out->integer, problem);
    case CONFIG_BOOLEAN:
        if (text_parse_boolean(text, &out->boolean) != STATUS_OK) {
            return config_blame(problem, text, "is neither true nor false");
        }
        return STATUS_OK;
    case CONFIG_LIST:
        return parse_list(setting, arena, text, &out->list, problem);
    case CONFIG_MAP:
        return parse_map(setting->bounds, arena, text, &out->text, problem);
    case CONFIG_CHOICE:
        return parse_choice(setting, arena, text, &out->text, problem);
    }
    return STATUS_INTERNAL;
}

void config_store_value(const struct config_setting *setting, const union config_value *value,
                        void *field)
{
    switch (setting->type) {
    case CONFIG_TEXT:
    case CONFIG_MAP:
    case CONFIG_CHOICE:
        *(const char **)field = value->text;
        break;
    case CONFIG_INTEGER:
        *(int64_t *)field = value->integer;
        break;
    case CONFIG_BOOLEAN:
        *(bool *)field = value->boolean;
        break;
    case CONFIG_LIST:
        *(struct config_list *)field = value->list;
        break;
    }
}

union config_value config_fetch_value(const struct config_setting *setting, const void *field)
{
    union config_value value = {.list = {NULL, 0}};

    switch (setting->type) {
    case CONFIG_TEXT:
    case CONFIG_MAP:
    case CONFIG_CHOICE:
        value.text = *(const char *const *)field;
        break;
    case CONFIG_INTEGER:
        value.integer = *(const int64_t *)field;
        break;
    case CONFIG_BOOLEAN:
        value.boolean = *(const bool *)field;
        break;
    case CONFIG_LIST:
        value.list = *(const struct config_list *)field;
        break;
    }
    return value;
}

/* With commas where that reads back the same, else as JSON. */
static void print_list(const struct config_list *list, struct buffer *out)
{
    struct json_writer writer;
    bool is_plain = list->count > 0 && list->items[0][0] != '[' && list->items[0][0] != '{';

    for (size_t i = 0; i < list->count; i++) {
        is_plain = is_plain && strchr(list->items[i], ',') == NULL;
    }
    if (is_plain) {
        for (size_t i = 0; i < list->count; i++) {
            buffer_append_text(out, i == 0 ? "" : ",");
            buffer_append_text(out, list->items[i]);
        }
        return;
    }
    json_write_start(&writer, out);
    json_write_array_begin(&writer);
    for (size_t i = 0; i < list->count; i++) {
        json_write_text(&writer, list->items[i]);
    }
    json_write_array_end(&writer);
}

/* Sizes in the largest unit that divides them. */
static void print_integer(const struct config_setting *setting, int64_t number, struct buffer *out)
{
    static const char suffixes[] = {'\0', 'K', 'M', 'G'};
    size_t unit = 0;

    if (is_size_bounds(setting->bounds)) {
        while (unit < 3 && number != 0 && number % 1024 == 0) {
            number /= 1024;
            unit++;
        }
    }
    buffer_append_integer(out, number);
    if (unit > 0) {
        buffer_append_char(out, suffixes[unit]);
    }
}

enum status config_print_value(const struct config_setting *setting,
                               const union config_value *value, struct buffer *out)
{
    switch (setting->type) {
    case CONFIG_TEXT:
    case CONFIG_MAP:
    case CONFIG_CHOICE:
        buffer_append_text(out, value->text);
        break;
    case CONFIG_INTEGER:
        print_integer(setting, value->integer, out);
        break;
    case CONFIG_BOOLEAN:
        buffer_append_text(out, value->boolean ? "true" : "false");
        break;
    case CONFIG_LIST:
        print_list(&value->list, out);
        break;
    }
    return buffer_status(out);
}
