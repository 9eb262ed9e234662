/*
 * cli/config_pages: how the table of settings looks as a sample file and as a Markdown page.
 */
#include "config_pages.h"

#include <string.h>

#include "base/text.h"
#include "config/config.h"

#define STATE_DIR_REFERENCE "{STATE_DIR}"
#define SAMPLE_WIDTH        98

/* --- What both pages say -------------------------------------------------------------------- */

/* Appends with every `{STATE_DIR}` replaced. */
static void append_default(struct buffer *out, const char *text, const char *state_dir)
{
    const char *at = strstr(text, STATE_DIR_REFERENCE);

    if (at == NULL) {
        buffer_append_text(out, text);
        return;
    }
    buffer_append(out, text, (size_t)(at - text));
    buffer_append_text(out, state_dir);
    buffer_append_text(out, at + sizeof STATE_DIR_REFERENCE - 1);
}

static void append_words(struct buffer *out, const char *words)
{
    for (; *words != '\0'; words++) {
        if (*words == '|') {
            buffer_append_text(out, ", ");
        } else {
            buffer_append_char(out, *words);
        }
    }
}

/* "<cidr>" without its brackets, words with commas. */
static void append_rule(struct buffer *out, const char *bounds)
{
    if (bounds[0] == '\0') {
        buffer_append_text(out, "text");
    } else if (bounds[0] == '<') {
        const char *description = config_kind_text(bounds);

        buffer_append_text(out, description != NULL ? description : bounds);
    } else {
        append_words(out, bounds);
    }
}

static void append_type(struct buffer *out, enum config_type type, const char *bounds)
{
    switch (type) {
    case CONFIG_TEXT:
        append_rule(out, bounds);
        break;
    case CONFIG_INTEGER:
        buffer_append_text(out, strpbrk(bounds, "KMG") != NULL ? "size " : "number ");
        buffer_append_text(out, bounds);
        break;
    case CONFIG_BOOLEAN:
        buffer_append_text(out, "true or false");
        break;
    case CONFIG_LIST:
        buffer_append_text(out, "list");
        if (bounds[0] != '\0') {
            buffer_append_text(out, ": ");
            append_rule(out, bounds);
        }
        break;
    case CONFIG_MAP:
        buffer_append_text(out, "JSON object of strings");
        break;
    case CONFIG_CHOICE:
        append_words(out, bounds);
        break;
    }
}

static void append_names(struct buffer *out, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buffer_append_format(out, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
}

static void append_providers(struct buffer *out)
{
    size_t count;
    const char *const *names = config_known_providers(&count);

    append_names(out, names, count);
}

static void append_absent_providers(struct buffer *out)
{
    size_t count;
    const char *const *names = config_absent_providers(&count);

    append_names(out, names, count);
}

static bool has_effect(unsigned flags)
{
    return (flags & CONFIG_WITHOUT_EFFECT) == 0;
}

/* Calls `begin` before each section and `each` for each setting. */
static void walk(struct buffer *out, void (*begin)(struct buffer *out, const char *title),
                 void (*each)(struct buffer *out, const struct config_setting *setting))
{
    size_t count;
    size_t section_count;
    const struct config_setting *settings = config_settings(&count);
    const struct config_section *sections = config_sections(&section_count);
    size_t section = 0;

    for (size_t i = 0; i < count; i++) {
        if (section < section_count && sections[section].first == i) {
            begin(out, sections[section].title);
            section++;
        }
        each(out, &settings[i]);
    }
}

/* --- docs/quintet.conf.sample --------------------------------------------------------------- */

/* Breaks at spaces, "# " before each line. */
static void append_comment(struct buffer *out, const char *text)
{
    struct slice rest = slice_of(text);
    struct slice word;
    size_t width = 0;

    while (slice_split(&rest, ' ', &word)) {
        if (width > 0 && width + 1 + word.length > SAMPLE_WIDTH) {
            buffer_append_char(out, '\n');
            width = 0;
        }
        buffer_append_text(out, width == 0 ? "# " : " ");
        buffer_append(out, word.data, word.length);
        width += word.length + 1;
    }
    buffer_append_char(out, '\n');
}

static const char *default_state_dir(void)
{
    size_t count;
    const struct config_setting *settings = config_settings(&count);

    for (size_t i = 0; i < count; i++) {
        if (strcmp(settings[i].name, "STATE_DIR") == 0) {
            return settings[i].default_text;
        }
    }
    return "";
}

static void begin_sample_section(struct buffer *out, const char *title)
{
    buffer_append_format(out, "\n# === %s ===\n", title);
}

static void append_sample_setting(struct buffer *out, const struct config_setting *setting)
{
    struct buffer comment;

    buffer_init(&comment, out->maximum);
    buffer_append_text(&comment, setting->help);
    buffer_append_text(&comment, " (");
    append_type(&comment, setting->type, setting->bounds);
    buffer_append_text(&comment, has_effect(setting->flags) ? ")" : "; without effect)");
    buffer_append_char(out, '\n');
    append_comment(out, buffer_text(&comment));
    if (buffer_status(&comment) != STATUS_OK) {
        out->status = buffer_status(&comment);
    }
    buffer_release(&comment);
    buffer_append_format(out, "#%s=", setting->name);
    append_default(out, setting->default_text, default_state_dir());
    buffer_append_char(out, '\n');
}

static void append_sample_patterns(struct buffer *out)
{
    size_t count;
    const struct config_pattern *patterns = config_patterns(&count);

    begin_sample_section(out, "Providers");
    buffer_append_text(out,
                       "\n# <NAME> is one that PROVIDER_<NAME>_BASE_URL declares, or one of\n# ");
    append_providers(out);
    buffer_append_text(out, "\n# Known, but without effect: ");
    append_absent_providers(out);
    buffer_append_text(out, "\n");
    for (size_t i = 0; i < count; i++) {
        buffer_append_format(out, "\n# %s<NAME>%s=\n# %s%s\n", patterns[i].before,
                             patterns[i].after, patterns[i].help,
                             has_effect(patterns[i].flags) ? "" : " (without effect)");
    }
}

void config_append_sample(struct buffer *out)
{
    buffer_append_text(
        out,
        "# quintet.conf: every setting, at its default. Made by: quintet config --sample\n"
        "#\n"
        "# Take the '#' off a line to change it. The environment counts before this file. See\n"
        "# quintet.conf(5) for the format, and check with: quintet check\n"
        "#\n"
        "# \"Without effect\" means that the part is not in this version: the value is checked, "
        "and\n"
        "# the programs warn when it asks for something.\n");
    walk(out, begin_sample_section, append_sample_setting);
    append_sample_patterns(out);
}

/* --- docs/settings.md ----------------------------------------------------------------------- */

/* Inside a table cell. */
static void append_cell(struct buffer *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|' || *text == '*' || *text == '<') {
            buffer_append_char(out, '\\');
        }
        buffer_append_char(out, *text);
    }
}

static void append_code(struct buffer *out, const char *text)
{
    if (text[0] != '\0') {
        buffer_append_format(out, "`%s`", text);
    }
}

static void begin_markdown_section(struct buffer *out, const char *title)
{
    buffer_append_format(
        out, "\n## %s\n\n| setting | type | default | meaning |\n|---|---|---|---|\n", title);
}

static void append_markdown_setting(struct buffer *out, const struct config_setting *setting)
{
    struct slice rest = slice_of(setting->aliases);
    struct slice alias;
    struct buffer text;

    buffer_init(&text, out->maximum);
    append_type(&text, setting->type, setting->bounds);
    buffer_append_format(out, "| `%s` | ", setting->name);
    append_cell(out, buffer_text(&text));
    buffer_append_text(out, " | ");
    buffer_reset(&text);
    append_default(&text, setting->default_text, "STATE_DIR");
    append_code(out, buffer_text(&text));
    buffer_append_text(out, " | ");
    append_cell(out, setting->help);
    if ((setting->flags & CONFIG_SECRET) != 0) {
        buffer_append_text(out, " *Secret.*");
    }
    if ((setting->flags & CONFIG_LIVE) != 0) {
        buffer_append_text(out, " *Live.*");
    }
    if (!has_effect(setting->flags)) {
        buffer_append_text(out, " *Without effect.*");
    }
    for (bool first = true; slice_split(&rest, ' ', &alias); first = false) {
        if (alias.length > 0) {
            buffer_append_format(out, "%s`%.*s`", first ? " Also: " : ", ", (int)alias.length,
                                 alias.data);
        }
    }
    buffer_append_text(out, " |\n");
    if (buffer_status(&text) != STATUS_OK) {
        out->status = buffer_status(&text);
    }
    buffer_release(&text);
}

static void append_markdown_patterns(struct buffer *out)
{
    size_t count;
    const struct config_pattern *patterns = config_patterns(&count);
    size_t alias_count;
    const struct config_alias *aliases = config_pattern_aliases(&alias_count);

    buffer_append_text(out, "\n## Providers\n\n`<NAME>` is one that `PROVIDER_<NAME>_BASE_URL` "
                            "declares, or one of ");
    append_providers(out);
    buffer_append_text(out, ".\nKnown, but without effect: ");
    append_absent_providers(out);
    buffer_append_text(out, ". Also:");
    for (size_t i = 0; i < alias_count; i++) {
        buffer_append_format(out, "%s `%s` for `%s`", i == 0 ? "" : ",", aliases[i].name,
                             aliases[i].meaning);
    }
    buffer_append_text(out, ".\n\n| setting | type | meaning |\n|---|---|---|\n");
    for (size_t i = 0; i < count; i++) {
        buffer_append_format(out, "| `%s<NAME>%s` | ", patterns[i].before, patterns[i].after);
        append_rule(out, patterns[i].bounds);
        buffer_append_text(out, " | ");
        append_cell(out, patterns[i].help);
        buffer_append_text(out, (patterns[i].flags & CONFIG_SECRET) != 0 ? " *Secret.*" : "");
        buffer_append_text(out, has_effect(patterns[i].flags) ? " |\n" : " *Without effect.* |\n");
    }
}

void config_append_markdown(struct buffer *out)
{
    buffer_append_text(
        out,
        "# Settings\n\n"
        "<!-- Made by: quintet config --markdown. Change shared/config/settings.def instead. "
        "-->\n\n"
        "A value comes from the environment; else from `./quintet.conf`; else from `./.env`; else "
        "it is\n"
        "the default. The file that `QUINTET_CONFIG` names stands in for both files. An empty "
        "value\n"
        "counts as unset. A value that cannot be used, and in `quintet.conf` a name that is no "
        "setting,\n"
        "keeps every program from starting: exit status 78 and one line that says where and why.\n"
        "`quintet config` shows what counts, `quintet check` whether it works.\n\n"
        "Lists are separated by commas or written as a JSON array. Sizes take `K`, `M` and `G`\n"
        "(powers of 1024). *Secret* values are masked wherever they are shown. *Live* ones change\n"
        "on SIGHUP, the others with a restart. `CONSOUL_<NAME>` means the same as `<NAME>` for\n"
        "every name here; an alias that ends in `_PER_MINUTE` takes a number. A setting and its\n"
        "alias in the same place must agree.\n\n"
        "*Without effect* means that the part is not in this version. The value is checked like "
        "any\n"
        "other, and where it asks for something every program says so when it starts (a line\n"
        "`setting_without_effect` in the log), and so does `quintet check`.\n");
    walk(out, begin_markdown_section, append_markdown_setting);
    append_markdown_patterns(out);
}
