/*
 * config/env_file: the format of .env and quintet.conf, as a pure function of a text.
 *
 * One assignment per line, as in the files that shells and other programs read:
 *
 *   # comment
 *   NAME=value            spaces around name and value are dropped; " #" begins a comment
 *   export NAME=value     "export" is passed over
 *   NAME='a # b'          single quotes: everything as it stands
 *   NAME="a\tb \"c\""     double quotes: \n \r \t \" \\ \$ ; any other backslash stands for itself
 *
 * A name is a letter or underscore, then letters, digits, underscores. Nothing is expanded: a value
 * with "${NAME" or "$(" in it that a shell would expand (not in single quotes, no backslash before
 * it) is marked, so that a setting can refuse it. No value goes beyond its line. Lines end in LF or
 * CRLF; a byte-order mark at the start is passed over. Refused: NUL, text that is not UTF-8, lines
 * longer than CONFIG_LINE_MAXIMUM, a line that is no assignment, a quote that is not closed, and
 * anything but a comment behind a closing quote.
 *
 * Own code because no library at hand reads this format.
 */
#include "config/internal.h"

#include <string.h>

void config_file_start(struct config_file_parser *parser, struct slice text)
{
    static const char mark[] = "\xEF\xBB\xBF";

    if (slice_starts_with(text, mark)) {
        text.data += sizeof mark - 1;
        text.length -= sizeof mark - 1;
    }
    *parser = (struct config_file_parser){.rest = text};
}

static enum status refuse(struct config_file_parser *parser, const char *problem)
{
    parser->problem = problem;
    return STATUS_INVALID;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void skip_blanks(struct slice *text)
{
    while (text->length > 0 && is_blank(text->data[0])) {
        text->data++;
        text->length--;
    }
}

static bool is_name_byte(char c, bool first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

static struct slice take_name(struct slice *text)
{
    struct slice name = {text->data, 0};

    while (name.length < text->length && is_name_byte(text->data[name.length], name.length == 0)) {
        name.length++;
    }
    text->data += name.length;
    text->length -= name.length;
    return name;
}

/* Takes the next line, without its end, off the rest. */
static enum status take_line(struct config_file_parser *parser, struct slice *line)
{
    const char *end;

    if (parser->rest.length == 0) {
        return STATUS_NOT_FOUND;
    }
    parser->line++;
    end = memchr(parser->rest.data, '\n', parser->rest.length);
    *line = parser->rest;
    if (end != NULL) {
        line->length = (size_t)(end - line->data);
        parser->rest.data = end + 1;
        parser->rest.length -= line->length + 1;
    } else {
        parser->rest.data += parser->rest.length;
        parser->rest.length = 0;
    }
    if (line->length > 0 && line->data[line->length - 1] == '\r') {
        line->length--;
    }
    if (line->length > CONFIG_LINE_MAXIMUM) {
        return refuse(parser, "the line is longer than 65536 bytes");
    }
    if (memchr(line->data, '\0', line->length) != NULL) {
        return refuse(parser, "the line holds a NUL byte");
    }
    if (!text_is_utf8(line->data, line->length)) {
        return refuse(parser, "the line is not valid UTF-8");
    }
    return STATUS_OK;
}

/* A value without quotes ends where blanks and a '#' begin a comment. */
static struct slice cut_comment(struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] == '#' && (i == 0 || is_blank(text.data[i - 1]))) {
            text.length = i;
            break;
        }
    }
    return slice_trim(text);
}

/* The byte that a backslash and `c` stand for inside double quotes, or NUL for none. */
static char unescape(char c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case '"':
    case '\\':
    case '$':
        return c;
    default:
        return '\0';
    }
}

/* Whether a shell would put something else in the place of what begins at `at`. */
static bool is_expansion(struct slice text, size_t at)
{
    return text.data[at] == '$' && at + 1 < text.length &&
           (text.data[at + 1] == '(' || (text.data[at + 1] == '{' && at + 2 < text.length &&
                                         is_name_byte(text.data[at + 2], true)));
}

/* `text` begins with its quote. */
static enum status parse_quoted(struct config_file_parser *parser, struct arena *arena,
                                struct slice text, struct config_assignment *out)
{
    char quote = text.data[0];
    char *value = arena_allocate(arena, text.length);
    size_t length = 0;
    size_t i = 1;

    if (value == NULL) {
        return STATUS_NO_MEMORY;
    }
    while (i < text.length && text.data[i] != quote) {
        char escaped = '\0';

        if (quote == '"' && text.data[i] == '\\' && i + 1 < text.length) {
            escaped = unescape(text.data[i + 1]);
        }
        if (quote == '"' && escaped == '\0' && is_expansion(text, i)) {
            out->is_unexpanded = true;
        }
        value[length++] = escaped != '\0' ? escaped : text.data[i];
        i += escaped != '\0' ? 2 : 1;
    }
    if (i == text.length) {
        return refuse(parser, "a quote is not closed");
    }
    text.data += i + 1;
    text.length -= i + 1;
    skip_blanks(&text);
    if (text.length > 0 && text.data[0] != '#') {
        return refuse(parser, "there is text behind the closing quote");
    }
    value[length] = '\0';
    out->value = value;
    return STATUS_OK;
}

static enum status parse_line(struct config_file_parser *parser, struct arena *arena,
                              struct slice line, struct config_assignment *out)
{
    struct slice name = take_name(&line);

    if (slice_equals(name, "export") && line.length > 0 && is_blank(line.data[0])) {
        skip_blanks(&line);
        name = take_name(&line);
    }
    if (name.length == 0) {
        return refuse(parser, "the line does not begin with a name");
    }
    skip_blanks(&line);
    if (line.length == 0 || line.data[0] != '=') {
        return refuse(parser, "there is no '=' behind the name");
    }
    line.data++;
    line.length--;
    skip_blanks(&line);
    out->is_unexpanded = false;
    out->name = arena_copy(arena, name.data, name.length);
    if (out->name == NULL) {
        return STATUS_NO_MEMORY;
    }
    if (line.length > 0 && (line.data[0] == '"' || line.data[0] == '\'')) {
        return parse_quoted(parser, arena, line, out);
    }
    line = cut_comment(line);
    for (size_t i = 0; i < line.length; i++) {
        bool is_escaped = i > 0 && line.data[i - 1] == '\\';

        out->is_unexpanded = out->is_unexpanded || (is_expansion(line, i) && !is_escaped);
    }
    out->value = arena_copy(arena, line.data, line.length);
    return out->value != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status config_file_next(struct config_file_parser *parser, struct arena *arena,
                             struct config_assignment *out)
{
    struct slice line;
    enum status status = take_line(parser, &line);

    while (status == STATUS_OK) {
        skip_blanks(&line);
        if (line.length > 0 && line.data[0] != '#') {
            return parse_line(parser, arena, line, out);
        }
        status = take_line(parser, &line);
    }
    return status;
}
