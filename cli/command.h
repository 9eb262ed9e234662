/*
 * cli/command: what the subcommands of `quintet` share: their table, messages, configuration and
 * opening of the suite, and tables or JSON on standard output.
 *
 * A command returns the exit status of the program: 0, or one of
 *   1   the thing asked for was not done or is not so (no such user, a check failed)
 *   64  wrong usage            (EX_USAGE)
 *   69  database does not answer (EX_UNAVAILABLE)
 *   74  standard output cannot be written (EX_IOERR)
 *   78  wrong configuration    (EX_CONFIG)
 *   71  no memory              (EX_OSERR)
 * Messages go to standard error, one line each, "quintet: " before them.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sysexits.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "config/config.h"
#include "http/app.h"
#include "storage/migrate.h"

#define COMMAND_FAILED 1

struct command {
    const char *name;
    const char *summary; /* one line */
    const char *usage;   /* lines without "quintet " before them, each ended by \n */
    const char *words;   /* subcommands and options, space-separated, for completion */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

extern const struct command commands[];
extern const size_t command_count;

int config_command(int argc, char **argv);
int check_command(int argc, char **argv);
int migrate_command(int argc, char **argv);
int user_command(int argc, char **argv);
int key_command(int argc, char **argv);
int bootstrap_command(int argc, char **argv);
int completion_command(int argc, char **argv);

/* One word behind a command that has several ("user create"). */
struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is its name */
};

/* Runs the subcommand that argv[1] names. */
int command_dispatch(const char *name, const struct subcommand *table, size_t count, int argc,
                     char **argv);

/* --- Messages ------------------------------------------------------------------------------- */

/* Prints the message and returns COMMAND_FAILED. */
int command_fail(const char *format, ...) PRINTF_LIKE(1, 2);

/* Prints a command's usage. */
void command_print_usage(const char *usage, FILE *out);

/* Prints the usage of that command to standard error and returns EX_USAGE. */
int command_misused(const char *name);

/* What a status of the storage means to the user, with its exit status. */
int command_fail_storage(const char *what, enum status status);

/* --- Arguments ------------------------------------------------------------------------------ */

/* An option "--name" or "--name=VALUE" / "--name VALUE". */
struct command_option {
    const char *name;   /* without dashes */
    bool *flag;         /* set to true, or */
    const char **value; /* set to the value */
};

/* Takes the options out of argv[1…] and leaves the other words in order; *argc is their number
 * including argv[0]. "--" ends the options. False: unknown option, or a value is missing or not
 * wanted (the message has been printed). */
bool command_parse_options(int *argc, char **argv, const struct command_option *options,
                           size_t count);

/* A whole number within [minimum, maximum]; prints the message otherwise. */
bool command_parse_number(const char *what, const char *text, int64_t minimum, int64_t maximum,
                          int64_t *number);

/* Whether a text that is to be stored has no control characters, is UTF-8 and has at most
 * `maximum` characters; prints the message otherwise. */
bool command_check_text(const char *what, const char *text, size_t maximum);

/* --- The suite ------------------------------------------------------------------------------ */

/* Prints each line of `problem` as a message. */
void command_print_faults(const struct buffer *problem);

/* Loads (and settles, if asked) the configuration; 0 or the exit status. */
int command_load_config(struct config **out, bool settle);

/* What a command that works on the database holds from beginning to end. Start with {0}. */
struct command_session {
    struct app *app;
    struct arena arena;
    struct buffer out; /* printed at the end of a command that succeeds */
};

/* Opens the suite and, where `needs_schema`, sees to it that the database has the schema of this
 * program; 0 or the exit status. command_end is needed in any case. */
int command_begin(struct command_session *session, bool needs_schema);

/* Whether the file of the database is there, if it is one; else *missing is its path. */
bool command_find_database(const struct config *config, const char **missing);

/* The same for a command that only reads: nothing is made. Where there is no database yet it says so
 * and returns COMMAND_FAILED. Says on standard error which state it looks at. */
int command_begin_reading(struct command_session *session, bool needs_schema);

/* STATUS_OK if the database has exactly the schema of this program; STATUS_CONFLICT if not, with
 * what is wrong in `problem`. */
enum status command_check_schema(struct storage *storage, struct buffer *problem) MUST_CHECK;

/* Prints `out` if `exit_status` is 0, closes everything, returns the exit status. */
int command_end(struct command_session *session, int exit_status);

/* --- Output --------------------------------------------------------------------------------- */

/* Writes the buffer to standard output; 0, or the exit status when the buffer or the output has
 * failed. */
int command_print(struct buffer *text);

/* Appends a UTC time, or `otherwise` for 0. */
void command_append_time(struct buffer *out, int64_t wall_seconds, const char *otherwise);

/* A table whose columns are as wide as their widest cell. Cells are copied; what would steer a
 * terminal (control characters, bytes that are no UTF-8) becomes '?', for cells may come from
 * anybody who may call the API. */
struct command_table {
    size_t columns;
    struct buffer cells; /* each ended by NUL */
};

void command_table_start(struct command_table *table, size_t columns);
void command_table_add(struct command_table *table, const char *cell);
/* Appends the table to `out` and frees it. */
void command_table_finish(struct command_table *table, struct buffer *out);

#endif
