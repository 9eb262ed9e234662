/*
 * cli/command: messages, arguments, opening the suite, and tables; see command.h.
 */
#include "command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "log/log.h"

#define MESSAGE_MAXIMUM ((size_t)64 * 1024)
#define OUTPUT_MAXIMUM  ((size_t)64 * 1024 * 1024)
#define ARENA_MAXIMUM   ((size_t)64 * 1024 * 1024)

int command_dispatch(const char *name, const struct subcommand *table, size_t count, int argc,
                     char **argv)
{
    for (size_t i = 0; argc > 1 && i < count; i++) {
        if (strcmp(argv[1], table[i].name) == 0) {
            return table[i].run(argc - 1, argv + 1);
        }
    }
    return command_misused(name);
}

/* --- Messages ------------------------------------------------------------------------------- */

int command_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("quintet: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return COMMAND_FAILED;
}

void command_print_usage(const char *usage, FILE *out)
{
    struct slice rest = slice_of(usage);
    struct slice line;
    bool first = true;

    while (slice_split(&rest, '\n', &line)) {
        if (line.length > 0) {
            fprintf(out, "%s quintet %.*s\n", first ? "usage:" : "      ", (int)line.length,
                    line.data);
            first = false;
        }
    }
}

int command_misused(const char *name)
{
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            command_print_usage(commands[i].usage, stderr);
        }
    }
    return EX_USAGE;
}

int command_fail_storage(const char *what, enum status status)
{
    switch (status) {
    case STATUS_UNAVAILABLE:
    case STATUS_BUSY:
    case STATUS_TIMEOUT:
        (void)command_fail("%s: the database does not answer or is locked; the log may say more",
                           what);
        return EX_UNAVAILABLE;
    default:
        return command_fail("%s: %s", what, status_text(status));
    }
}

/* --- Arguments ------------------------------------------------------------------------------ */

/* Takes one option at argv[*at]; *at moves on to its last word. */
static bool take_option(int argc, char **argv, int *at, const struct command_option *options,
                        size_t count)
{
    const char *text = argv[*at] + 2;
    const char *equals = strchr(text, '=');
    size_t length = equals != NULL ? (size_t)(equals - text) : strlen(text);

    for (size_t i = 0; i < count; i++) {
        const struct command_option *option = &options[i];

        if (strlen(option->name) != length || strncmp(option->name, text, length) != 0) {
            continue;
        }
        if (option->flag != NULL) {
            *option->flag = true;
            if (equals != NULL) {
                (void)command_fail("--%s takes no value", option->name);
            }
            return equals == NULL;
        }
        if (equals == NULL && *at + 1 == argc) {
            (void)command_fail("--%s needs a value", option->name);
            return false;
        }
        *option->value = equals != NULL ? equals + 1 : argv[++*at];
        return true;
    }
    (void)command_fail("unknown option --%.*s", (int)length, text);
    return false;
}

bool command_parse_options(int *argc, char **argv, const struct command_option *options,
                           size_t count)
{
    int kept = 1;
    bool is_over = false;

    for (int i = 1; i < *argc; i++) {
        if (!is_over && strcmp(argv[i], "--") == 0) {
            is_over = true;
        } else if (!is_over && strncmp(argv[i], "--", 2) == 0) {
            if (!take_option(*argc, argv, &i, options, count)) {
                return false;
            }
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    return true;
}

bool command_parse_number(const char *what, const char *text, int64_t minimum, int64_t maximum,
                          int64_t *number)
{
    if (text_parse_integer(slice_of(text), number) == STATUS_OK && *number >= minimum &&
        *number <= maximum) {
        return true;
    }
    (void)command_fail("%s is a whole number from %lld to %lld", what, (long long)minimum,
                       (long long)maximum);
    return false;
}

/* The length of the character at the front of `text`, or 0 if a terminal must not see it: control
 * characters (also those of ISO 6429 that UTF-8 spells C2 80 to C2 9F) and what is no UTF-8. */
static size_t measure_printable(const char *text)
{
    unsigned char first = (unsigned char)text[0];
    size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (first < 0x20 || first == 0x7f || strnlen(text, length) < length ||
        !text_is_utf8(text, length)) {
        return 0;
    }
    return first == 0xc2 && (unsigned char)text[1] < 0xa0 ? 0 : length;
}

bool command_check_text(const char *what, const char *text, size_t maximum)
{
    size_t characters = 0;

    while (*text != '\0') {
        size_t length = measure_printable(text);

        if (length == 0) {
            (void)command_fail("%s holds a control character or is not valid UTF-8", what);
            return false;
        }
        text += length;
        characters++;
    }
    if (characters > maximum) {
        (void)command_fail("%s has more than %zu characters", what, maximum);
        return false;
    }
    return true;
}

/* --- The suite ------------------------------------------------------------------------------ */

static int exit_status_of(enum status status)
{
    return status == STATUS_NO_MEMORY ? EX_OSERR : CONFIG_EXIT_STATUS;
}

void command_print_faults(const struct buffer *problem)
{
    struct slice rest = {buffer_text(problem), problem->length};
    struct slice line;

    while (slice_split(&rest, '\n', &line)) {
        (void)command_fail("%.*s", (int)line.length, line.data);
    }
}

int command_load_config(struct config **out, bool settle)
{
    struct buffer problem;
    enum status status;

    buffer_init(&problem, MESSAGE_MAXIMUM);
    status = app_load_config(out, &problem);
    if (status == STATUS_OK && settle) {
        status = config_settle(*out, &problem);
        if (status != STATUS_OK) {
            config_release(*out);
            *out = NULL;
        }
    }
    if (status != STATUS_OK) {
        command_print_faults(&problem);
    }
    buffer_release(&problem);
    return status == STATUS_OK ? 0 : exit_status_of(status);
}

/* Everything a program has but its transport. */
static int open_suite(struct app **out)
{
    static const struct app_options options = {.program = "quintet"};
    struct config *config;
    struct buffer problem;
    enum status status;
    int exit_status = command_load_config(&config, true);

    if (exit_status != 0) {
        return exit_status;
    }
    buffer_init(&problem, MESSAGE_MAXIMUM);
    status = app_open(out, &options, config, &problem);
    if (status != STATUS_OK) {
        (void)command_fail("%s", problem.length > 0 ? buffer_text(&problem) : status_text(status));
        exit_status = exit_status_of(status);
    }
    buffer_release(&problem);
    return exit_status;
}

enum status command_check_schema(struct storage *storage, struct buffer *problem)
{
    struct migrate_status schema;
    enum status status = migrate_verify(storage, problem);

    if (status == STATUS_OK) {
        status = migrate_read_status(storage, &schema);
    }
    if (status == STATUS_OK && schema.version < schema.latest) {
        buffer_append_format(
            problem, "the database has schema %d, this program needs %d (quintet migrate up)",
            schema.version, schema.latest);
        status = STATUS_CONFLICT;
    }
    return status;
}

static int check_schema(struct app *app)
{
    struct buffer problem;
    enum status status;
    int exit_status = 0;

    buffer_init(&problem, MESSAGE_MAXIMUM);
    status = command_check_schema(app->storage, &problem);
    if (status != STATUS_OK) {
        exit_status = problem.length > 0 ? command_fail("%s", buffer_text(&problem))
                                         : command_fail_storage("schema", status);
    }
    buffer_release(&problem);
    return exit_status;
}

int command_begin(struct command_session *session, bool needs_schema)
{
    int exit_status;

    arena_init(&session->arena, ARENA_MAXIMUM);
    buffer_init(&session->out, OUTPUT_MAXIMUM);
    exit_status = open_suite(&session->app);
    if (exit_status == 0 && needs_schema) {
        exit_status = check_schema(session->app);
    }
    return exit_status;
}

/* The file of the database, or NULL where it is none or is there. */
static const char *find_missing_database(const struct config *config)
{
    static const char scheme[] = "sqlite:";
    const char *path = config->database_url + sizeof scheme - 1;

    return strncmp(config->database_url, scheme, sizeof scheme - 1) == 0 && access(path, F_OK) != 0
               ? path
               : NULL;
}

bool command_find_database(const struct config *config, const char **missing)
{
    *missing = find_missing_database(config);
    return *missing == NULL;
}

int command_begin_reading(struct command_session *session, bool needs_schema)
{
    struct config *config = NULL;
    const char *missing = NULL;
    int exit_status = command_load_config(&config, false);

    if (exit_status == 0 && !command_find_database(config, &missing)) {
        exit_status = command_fail("there is no database %s yet (quintet migrate up, or a start of "
                                   "the suite, makes it)",
                                   missing);
    } else if (exit_status == 0) {
        /* On standard error, so that what is listed stays what was asked for. */
        fprintf(stderr, "quintet: database %s\n", config->database_url);
    }
    if (exit_status == 0) {
        config_release(config);
        return command_begin(session, needs_schema);
    }
    config_release(config);
    arena_init(&session->arena, ARENA_MAXIMUM);
    buffer_init(&session->out, OUTPUT_MAXIMUM);
    return exit_status;
}

int command_end(struct command_session *session, int exit_status)
{
    if (exit_status == 0) {
        exit_status = command_print(&session->out);
    }
    buffer_release(&session->out);
    arena_destroy(&session->arena);
    app_close(session->app);
    return exit_status;
}

/* --- Output --------------------------------------------------------------------------------- */

int command_print(struct buffer *text)
{
    enum status status = buffer_status(text);

    if (status != STATUS_OK) {
        (void)command_fail("the answer does not fit in memory");
        return EX_OSERR;
    }
    if (fwrite(buffer_text(text), 1, text->length, stdout) != text->length || fflush(stdout) != 0) {
        (void)command_fail("cannot write: %s", strerror(errno));
        return EX_IOERR;
    }
    return 0;
}

void command_append_time(struct buffer *out, int64_t wall_seconds, const char *otherwise)
{
    char text[CLOCK_TIMESTAMP_SIZE];

    if (wall_seconds == 0) {
        buffer_append_text(out, otherwise);
        return;
    }
    clock_format_timestamp(wall_seconds * 1000, text);
    text[strlen("2026-01-02T03:04:05")] = 'Z'; /* whole seconds are enough here */
    buffer_append(out, text, strlen("2026-01-02T03:04:05Z"));
}

void command_table_start(struct command_table *table, size_t columns)
{
    table->columns = columns;
    buffer_init(&table->cells, OUTPUT_MAXIMUM);
}

void command_table_add(struct command_table *table, const char *cell)
{
    while (*cell != '\0') {
        size_t length = measure_printable(cell);

        buffer_append(&table->cells, length > 0 ? cell : "?", length > 0 ? length : 1);
        cell += length > 0 ? length : 1;
    }
    buffer_append_char(&table->cells, '\0');
}

void command_table_finish(struct command_table *table, struct buffer *out)
{
    const char *end = buffer_text(&table->cells) + table->cells.length;
    size_t widths[16] = {0};
    size_t column = 0;

    for (const char *cell = buffer_text(&table->cells); cell < end; cell += strlen(cell) + 1) {
        size_t width = text_count_characters(cell, strlen(cell));

        widths[column] = width > widths[column] ? width : widths[column];
        column = (column + 1) % table->columns;
    }
    for (const char *cell = buffer_text(&table->cells); cell < end; cell += strlen(cell) + 1) {
        bool is_last = column + 1 == table->columns;

        buffer_append_text(out, cell);
        for (size_t i = text_count_characters(cell, strlen(cell));
             !is_last && i < widths[column] + 2; i++) {
            buffer_append_char(out, ' ');
        }
        if (is_last) {
            while (out->length > 0 && out->data[out->length - 1] == ' ') {
                buffer_truncate(out, out->length - 1);
            }
            buffer_append_char(out, '\n');
        }
        column = (column + 1) % table->columns;
    }
    if (buffer_status(&table->cells) != STATUS_OK) {
        out->status = buffer_status(&table->cells);
    }
    buffer_release(&table->cells);
}
