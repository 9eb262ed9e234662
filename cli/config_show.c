/*
 * quintet config: the settings that count, as a table, as a file that would load to the same, or
 * as JSON; and the pages that are made from the table of settings (config_pages.c).
 */
#include "command.h"
#include "config_pages.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "json/write.h"

#define TEXT_MAXIMUM ((size_t)16 * 1024 * 1024)

enum format { FORMAT_TABLE, FORMAT_ENV, FORMAT_JSON };

/* What is being shown, and how. */
struct listing {
    const struct config *config;
    enum format format;
    bool shows_all;
    bool reveals;
    size_t hidden; /* settings left out because they have their default */
    struct buffer out;
    struct command_table table;
    struct json_writer json;
};

static const char *source_text(enum config_source source)
{
    switch (source) {
    case CONFIG_FROM_ENVIRONMENT:
        return "environment";
    case CONFIG_FROM_FILE:
        return "file";
    case CONFIG_FROM_DEFAULT:
        break;
    }
    return "default";
}

static bool is_plain_word(const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "_-./:,@%+=*";

    return text[strspn(text, plain)] == '\0';
}

/* As quintet.conf(5) and shells read it. */
static void append_quoted(struct buffer *out, const char *text)
{
    if (is_plain_word(text)) {
        buffer_append_text(out, text);
        return;
    }
    if (strpbrk(text, "'\n\r\t") == NULL) {
        buffer_append_format(out, "'%s'", text);
        return;
    }
    buffer_append_char(out, '"');
    for (; *text != '\0'; text++) {
        static const char special[] = "\"\\$\n\r\t";
        static const char escaped[] = "\"\\$nrt";
        const char *at = strchr(special, *text);

        if (at != NULL) {
            buffer_append_char(out, '\\');
        }
        buffer_append_char(out, at != NULL ? escaped[at - special] : *text);
    }
    buffer_append_char(out, '"');
}

static void add_source(struct command_table *table, enum config_source source, bool has_effect)
{
    char text[64];

    snprintf(text, sizeof text, "%s%s", source_text(source), has_effect ? "" : ", without effect");
    command_table_add(table, text);
}

static void show(struct listing *listing, const char *name, const char *value,
                 enum config_source source)
{
    bool is_masked = !listing->reveals && strstr(value, CONFIG_MASK) != NULL;
    bool has_effect = config_has_effect(listing->config, name);

    switch (listing->format) {
    case FORMAT_TABLE:
        command_table_add(&listing->table, name);
        command_table_add(&listing->table, value);
        add_source(&listing->table, source, has_effect);
        break;
    case FORMAT_ENV:
        /* A mask that was read back would be taken for the value. */
        buffer_append_text(&listing->out, is_masked ? "# " : "");
        buffer_append_format(&listing->out, "%s=", name);
        append_quoted(&listing->out, value);
        buffer_append_text(&listing->out, has_effect ? "\n" : " # without effect\n");
        break;
    case FORMAT_JSON:
        json_write_name(&listing->json, name);
        json_write_object_begin(&listing->json);
        json_write_member_text(&listing->json, "value", value);
        json_write_member_text(&listing->json, "source", source_text(source));
        if (!has_effect) {
            json_write_member_boolean(&listing->json, "without_effect", true);
        }
        json_write_object_end(&listing->json);
        break;
    }
}

static void show_named(struct listing *listing, const char *name)
{
    struct buffer value;
    enum config_source source = CONFIG_FROM_DEFAULT;
    enum status status;

    buffer_init(&value, TEXT_MAXIMUM);
    status = config_describe(listing->config, name, listing->reveals, &value, &source);
    if (status != STATUS_OK) {
        listing->out.status = status;
    } else if (source == CONFIG_FROM_DEFAULT && !listing->shows_all) {
        listing->hidden++;
    } else {
        show(listing, name, buffer_text(&value), source);
    }
    buffer_release(&value);
}

static void show_if_pattern(const char *name, const char *value, void *context)
{
    struct listing *listing = context;

    (void)value;
    if (config_find_pattern(listing->config, name) != NULL) {
        show_named(listing, name);
    }
}

static int list(struct listing *listing)
{
    size_t count;
    const struct config_setting *settings = config_settings(&count);
    int exit_status;

    buffer_init(&listing->out, TEXT_MAXIMUM);
    command_table_start(&listing->table, 3);
    json_write_start(&listing->json, &listing->out);
    if (listing->format == FORMAT_JSON) {
        json_write_object_begin(&listing->json);
    }
    for (size_t i = 0; i < count; i++) {
        show_named(listing, settings[i].name);
    }
    config_each(listing->config, "", "", show_if_pattern, listing);
    if (listing->format == FORMAT_JSON) {
        json_write_object_end(&listing->json);
        buffer_append_char(&listing->out, '\n');
    }
    command_table_finish(&listing->table, &listing->out);
    exit_status = command_print(&listing->out);
    if (exit_status == 0 && listing->format == FORMAT_TABLE && listing->hidden > 0 &&
        isatty(STDERR_FILENO) == 1) {
        fprintf(stderr, "%zu settings have their default value; --all shows them too\n",
                listing->hidden);
    }
    buffer_release(&listing->out);
    return exit_status;
}

static bool parse_format(const char *text, enum format *format)
{
    static const char *const words[] = {
        [FORMAT_TABLE] = "table", [FORMAT_ENV] = "env", [FORMAT_JSON] = "json"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i]) == 0) {
            *format = (enum format)i;
            return true;
        }
    }
    return false;
}

static int print_page(void (*append)(struct buffer *out))
{
    struct buffer page;
    int exit_status;

    buffer_init(&page, TEXT_MAXIMUM);
    append(&page);
    exit_status = command_print(&page);
    buffer_release(&page);
    return exit_status;
}

static void append_remark(const struct config_remark *remark, void *context)
{
    struct listing *listing = context;

    buffer_append_format(&listing->out, "warning: %s %s (", remark->name, remark->text);
    config_append_place(listing->config, remark->name, &listing->out);
    buffer_append_text(&listing->out, ")\n");
}

/* What is set and does nothing or harm, or the files that were read; a line each. */
static int list_lines(struct listing *listing, bool remarks)
{
    int exit_status;

    buffer_init(&listing->out, TEXT_MAXIMUM);
    if (remarks) {
        config_each_remark(listing->config, append_remark, listing);
    } else {
        const char *path;

        for (size_t i = 0; (path = config_file(listing->config, i)) != NULL; i++) {
            buffer_append_format(&listing->out, "%s\n", path);
        }
    }
    exit_status = command_print(&listing->out);
    buffer_release(&listing->out);
    return exit_status;
}

int config_command(int argc, char **argv)
{
    struct listing listing = {.format = FORMAT_TABLE};
    struct config *config;
    const char *format = "table";
    bool sample = false;
    bool markdown = false;
    bool remarks = false;
    bool files = false;
    const struct command_option options[] = {
        {.name = "all", .flag = &listing.shows_all}, {.name = "reveal", .flag = &listing.reveals},
        {.name = "format", .value = &format},        {.name = "sample", .flag = &sample},
        {.name = "markdown", .flag = &markdown},     {.name = "remarks", .flag = &remarks},
        {.name = "files", .flag = &files},
    };
    int exit_status;

    if (!command_parse_options(&argc, argv, options, sizeof options / sizeof options[0]) ||
        argc > 1 || !parse_format(format, &listing.format) ||
        sample + markdown + remarks + files > 1) {
        return command_misused("config");
    }
    if (sample || markdown) {
        return print_page(sample ? config_append_sample : config_append_markdown);
    }
    exit_status = command_load_config(&config, false);
    if (exit_status == 0) {
        listing.config = config;
        exit_status = remarks || files ? list_lines(&listing, remarks) : list(&listing);
        config_release(config);
    }
    return exit_status;
}
