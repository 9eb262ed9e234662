/*
 * config/describe: values, and what is wrong with them, as people may see them.
 */
#include "config/internal.h"

#include <string.h>
#include <strings.h>

#include "base/memory.h"

#define CULPRIT_MAXIMUM 40 /* most keys are longer than this */

void config_release_secret(struct buffer *buffer)
{
    if (buffer->data != NULL) {
        memory_wipe(buffer->data, buffer->length);
    }
    buffer_release(buffer);
}

/* Finds the password in "user:password@" at the front of `text`: where it begins and its length.
 * The last '@' ends it, for a password may hold '@' and '/' by mistake; better to mask too much. */
static bool find_password(struct slice text, size_t *start, size_t *length)
{
    const char *colon;
    size_t run = 0;
    size_t at = 0;

    while (run < text.length && strchr(" ,\"'", text.data[run]) == NULL) {
        at = text.data[run] == '@' ? run : at;
        run++;
    }
    colon = memchr(text.data, ':', at);
    if (colon == NULL) {
        return false;
    }
    *start = (size_t)(colon - text.data) + 1;
    *length = at - *start;
    return true;
}

/* The length of "?password=" or the like at the front of `text`, or 0. */
static size_t match_secret_parameter(struct slice text)
{
    static const char *const names[] = {
        "password=", "passwd=", "token=", "secret=", "api_key=", "apikey=", "key=", "sslpassword="};

    if (text.data[0] != '?' && text.data[0] != '&') {
        return 0;
    }
    text.data++;
    text.length--;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t length = strlen(names[i]);

        if (text.length >= length && strncasecmp(text.data, names[i], length) == 0) {
            return 1 + length;
        }
    }
    return 0;
}

static size_t count_parameter_bytes(struct slice text)
{
    size_t length = 0;

    while (length < text.length && strchr("&# ,\"'", text.data[length]) == NULL) {
        length++;
    }
    return length;
}

void config_append_masked(struct buffer *out, struct slice text)
{
    static const char mark[] = "://";
    size_t i = 0;

    while (i < text.length) {
        struct slice rest = {text.data + i, text.length - i};
        size_t start;
        size_t length;

        length = match_secret_parameter(rest);
        if (length > 0) {
            buffer_append(out, rest.data, length);
            buffer_append_text(out, CONFIG_MASK);
            i += length;
            i += count_parameter_bytes((struct slice){text.data + i, text.length - i});
            continue;
        }
        if (!slice_starts_with(rest, mark)) {
            buffer_append_char(out, text.data[i++]);
            continue;
        }
        buffer_append_text(out, mark);
        i += sizeof mark - 1;
        rest = (struct slice){text.data + i, text.length - i};
        if (find_password(rest, &start, &length)) {
            buffer_append(out, rest.data, start);
            buffer_append_text(out, CONFIG_MASK);
            i += start + length;
        }
    }
}

/* The message stays one line whatever the text holds. */
void config_append_on_one_line(struct buffer *out, const char *text)
{
    for (; *text != '\0'; text++) {
        bool is_control = (unsigned char)*text < 0x20 || *text == 0x7f;

        buffer_append_char(out, is_control ? '?' : *text);
    }
}

static void append_place(const struct config_entry *entry, struct buffer *out)
{
    if (entry == NULL) {
        buffer_append_text(out, "default");
    } else if (entry->origin->path == NULL) {
        buffer_append_text(out, "environment");
    } else {
        config_append_on_one_line(out, entry->origin->path);
        buffer_append_format(out, ":%d", entry->line);
    }
}

void config_append_place(const struct config *config, const char *name, struct buffer *out)
{
    int index = config_find_setting(name);

    append_place(
        index >= 0 ? config->values->chosen[index] : config_find_entry(config->values, name), out);
}

void config_append_origin(const struct config_entry *entry, struct buffer *out)
{
    buffer_append_text(out, " (");
    append_place(entry, out);
    buffer_append_char(out, ')');
}

void config_append_refusal(const struct config_entry *entry, const char *setting_name,
                           unsigned flags, const struct config_problem *problem, struct buffer *out)
{
    struct slice culprit = problem->culprit;

    config_begin_fault(out);
    config_append_on_one_line(out, entry->name);
    if (strcmp(entry->name, setting_name) != 0) {
        buffer_append_format(out, " (%s)", setting_name);
    }
    buffer_append_char(out, ' ');
    if ((flags & CONFIG_SECRET) == 0 && culprit.length > 0 && culprit.length <= CULPRIT_MAXIMUM &&
        config_is_plain_text(culprit)) {
        buffer_append_char(out, '"');
        config_append_masked(out, culprit);
        buffer_append_text(out, "\" ");
    }
    buffer_append_text(out, problem->phrase);
    config_append_origin(entry, out);
}

static enum status describe_text(struct slice text, unsigned flags, bool reveal, struct buffer *out)
{
    if (reveal || text.length == 0) {
        buffer_append(out, text.data, text.length);
    } else if ((flags & CONFIG_SECRET) != 0) {
        buffer_append_text(out, CONFIG_MASK);
    } else {
        config_append_masked(out, text);
    }
    return buffer_status(out);
}

/* A secret that is not set must not look as if it were. */
static bool is_unset(const struct config_setting *setting, const union config_value *value)
{
    switch (setting->type) {
    case CONFIG_TEXT:
        return value->text[0] == '\0';
    case CONFIG_LIST:
        return value->list.count == 0;
    case CONFIG_MAP:
        return strcmp(value->text, setting->default_text) == 0;
    default:
        return false;
    }
}

enum status config_describe(const struct config *config, const char *name, bool reveal,
                            struct buffer *out, enum config_source *source)
{
    int index = config_find_setting(name);
    const struct config_setting *setting;
    const struct config_entry *entry;
    union config_value value;
    struct buffer plain;
    size_t count;
    enum status status;

    if (index < 0) {
        const struct config_pattern *pattern = config_find_pattern(config, name);

        entry = pattern != NULL ? config_find_entry(config->values, name) : NULL;
        if (entry == NULL) {
            return STATUS_NOT_FOUND;
        }
        *source = config_source_of(entry);
        return describe_text(slice_of(entry->value), pattern->flags, reveal, out);
    }
    setting = &config_settings(&count)[index];
    entry = config->values->chosen[index];
    *source = config_source_of(entry);
    value = config_fetch_value(setting, config_read_field(config, (size_t)index));
    if ((setting->flags & CONFIG_SECRET) != 0 && is_unset(setting, &value)) {
        return config_print_value(setting, &value, out);
    }
    buffer_init(&plain, out->maximum);
    status = config_print_value(setting, &value, &plain);
    if (status == STATUS_OK) {
        status = describe_text((struct slice){buffer_text(&plain), plain.length}, setting->flags,
                               reveal, out);
    }
    config_release_secret(&plain);
    return status;
}
