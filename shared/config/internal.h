/*
 * config/internal: what the files of this folder share. Nobody else includes it.
 *
 * The way of a value: sources.c finds the files; env_file.c splits a file into names and texts;
 * load.c decides which text counts; values.c makes a typed value of it, with the rules of kinds.c;
 * derive.c fills in what depends on others; rules.c looks at all values together; settle.c makes what
 * a start needs; describe.c shows them; remarks.c finds what is set and does nothing. Names of
 * providers go through patterns.c instead of the table.
 */
#ifndef CONFIG_INTERNAL_H
#define CONFIG_INTERNAL_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "base/text.h"
#include "config/config.h"

/* --- settings.c ----------------------------------------------------------------------------- */

/* With it every name and alias is an alias. */
#define CONFIG_ALIAS_PREFIX "CONSOUL_"

/* Position in the table of a setting's name, alias, CONSOUL_<name> or CONSOUL_<alias>; -1 if it is
 * none. */
int config_find_setting(const char *name);

/* Where the value of that setting lives: in `config`, or among its values if it has no effect. */
void *config_field(struct config *config, size_t index);
const void *config_read_field(const struct config *config, size_t index);

/* The setting whose name is most like `name`, or NULL when none is near. */
const char *config_suggest_name(const char *name);

/* --- env_file.c ----------------------------------------------------------------------------- */

#define CONFIG_LINE_MAXIMUM ((size_t)64 * 1024)

struct config_file_parser {
    struct slice rest;
    int line;            /* of the assignment or the error, from 1 */
    const char *problem; /* what is wrong, a fixed text */
};

/* One assignment: `name` and `value` are NUL-terminated copies in the arena. */
struct config_assignment {
    const char *name;
    const char *value;
    bool is_unexpanded; /* a shell would have put something in the place of "${" or "$(" in it */
};

void config_file_start(struct config_file_parser *parser, struct slice text);

/* STATUS_OK; STATUS_NOT_FOUND at the end; STATUS_INVALID with parser->line and ->problem;
 * STATUS_NO_MEMORY. */
enum status config_file_next(struct config_file_parser *parser, struct arena *arena,
                             struct config_assignment *out) MUST_CHECK;

/* What is wrong with a value: `phrase` follows the setting's name or the culprit in the message
 * ("is not a whole number"); `culprit` is the part that breaks the rule, shown only where that
 * betrays no secret. */
struct config_problem {
    struct slice culprit;
    const char *phrase;
};

/* Sets *problem; returns STATUS_INVALID. */
static inline enum status config_blame(struct config_problem *problem, struct slice culprit,
                                       const char *phrase)
{
    *problem = (struct config_problem){culprit, phrase};
    return STATUS_INVALID;
}

/* --- kinds.c -------------------------------------------------------------------------------- */

/* Checks one text against `bounds` ("<kind>" or "a|b|c"; "" allows all) and gives its normal form
 * in the arena. STATUS_INVALID sets *problem. */
enum status config_check_text(const char *bounds, struct arena *arena, struct slice text,
                              const char **out, struct config_problem *problem) MUST_CHECK;

/* Printable text without line breaks; UTF-8. */
bool config_is_plain_text(struct slice text);

/* --- values.c ------------------------------------------------------------------------------- */

union config_value {
    const char *text; /* TEXT, MAP, CHOICE */
    int64_t integer;
    bool boolean;
    struct config_list list;
};

/* Makes a value of `text`. STATUS_INVALID sets *problem. */
enum status config_parse_value(const struct config_setting *setting, struct arena *arena,
                               struct slice text, union config_value *out,
                               struct config_problem *problem) MUST_CHECK;

/* Reads a JSON array of strings that are not empty once trimmed. */
enum status config_parse_array(struct arena *arena, struct slice text, struct config_list *out,
                               struct config_problem *problem) MUST_CHECK;

/* Copies between a value and the field at `field`, by the setting's type. */
void config_store_value(const struct config_setting *setting, const union config_value *value,
                        void *field);
union config_value config_fetch_value(const struct config_setting *setting, const void *field);

/* Appends text that parses to the same value; equal values give equal texts. */
enum status config_print_value(const struct config_setting *setting,
                               const union config_value *value, struct buffer *out) MUST_CHECK;

/* --- load.c --------------------------------------------------------------------------------- */

/* The environment and at most two files. */
#define CONFIG_ORIGIN_MAXIMUM 3

struct config_origin {
    const char *path; /* NULL: the environment */
    size_t rank;      /* 0 counts first */
    bool is_strict;   /* a file of ours alone: unknown names in it are refused */
};

struct config_entry {
    const char *name;        /* as given */
    const char *known_as;    /* config_plain_name of it: without CONSOUL_ and aliases */
    const char *compared_as; /* config_compared_name of known_as */
    const char *value;
    const struct config_origin *origin;
    int line; /* in the file; 0 for the environment */
    bool is_unexpanded;
};

struct config_values {
    struct config_origin origins[CONFIG_ORIGIN_MAXIMUM]; /* by rank */
    size_t origin_count;
    struct config_entry *entries;
    size_t count;
    const struct config_entry **chosen; /* by setting; NULL = default */
    union config_value *unread;         /* by setting; of those without effect */
    bool *is_wanted;                    /* by setting without effect: not at its default */
    bool *is_refused;                   /* by setting: its text was no value, the default stands */
};

/* config_load_from with several files, the one that counts first in front. */
enum status config_load_layers(struct config **out, const char *const *environment,
                               const char *const *file_paths, size_t file_count,
                               struct buffer *problem) MUST_CHECK;

#define CONFIG_UNEXPANDED                                                                          \
    "holds ${...} or $(...), which only a shell replaces: write the value itself"

/* Appends "A and B are both set but differ (origin)"; STATUS_INVALID. */
enum status config_refuse_pair(const struct config_entry *first, const struct config_entry *second,
                               struct buffer *out);

/* Appends "NAME phrase (origin)"; STATUS_INVALID. */
enum status config_refuse_entry(const struct config_entry *entry, const char *phrase,
                                struct buffer *out);

/* --- sources.c ------------------------------------------------------------------------------ */

/* The value that getenv would find in `environment`, or "". */
const char *config_find_variable(const char *const *environment, const char *name);

#define CONFIG_FILES_MAXIMUM 2

/* Paths of the files that count, the one that counts first in front. */
struct config_files {
    char texts[CONFIG_FILES_MAXIMUM][PATH_MAX];
    const char *names[CONFIG_FILES_MAXIMUM + 1]; /* into `texts` */
    size_t count;
};

/* The file `named` (QUINTET_CONFIG; "": none), else quintet.conf over .env of `directory`, from which
 * the suite was started ("": the working directory), else the file of the installation. A path that
 * is too long names no file. */
void config_find_files(struct config_files *files, const char *directory, const char *named);

/* The entry that counts for that name or an equivalent one, with a value, or NULL. */
const struct config_entry *config_find_entry(const struct config_values *values, const char *name);

enum config_source config_source_of(const struct config_entry *entry);

/* --- remarks.c ------------------------------------------------------------------------------ */

/* Appends that the entry's name is no setting, and which one may be meant; STATUS_INVALID. */
enum status config_refuse_unknown(const struct config_entry *entry, struct buffer *out);

/* --- patterns.c ----------------------------------------------------------------------------- */

/* The name that a name made from a pattern stands for: CONSOUL_ taken off, aliases of patterns.def
 * replaced. Points into `name` or to a constant. */
const char *config_plain_name(const char *name);

/* A plain name in the form in which names are compared: the same text for both names of one setting,
 * such as PROVIDER_GROQ_API_KEY and GROQ_API_KEY. Points into `name`. */
const char *config_compared_name(const char *name);

/* Whether it looks like the name of a provider's setting (PROVIDER_X_API_KEY), of any provider. */
bool config_is_provider_name(const char *name);

/* `name` is a plain one. */
const struct config_pattern *config_match_pattern(const struct config_values *values,
                                                  const char *name);

/* Checks the values of all pattern names and gives each its normal form; names of one setting must
 * agree within a source. Faults are told in `lines` and set *has_faults. */
enum status config_settle_patterns(struct config_values *values, struct arena *arena,
                                   struct buffer *lines, bool *has_faults) MUST_CHECK;

/* --- derive.c ------------------------------------------------------------------------------- */

#define STATE_DIR_REFERENCE "{STATE_DIR}"

/* `text` with {STATE_DIR} replaced, in the arena; NULL: no memory. */
const char *config_expand_default(struct arena *arena, const char *text, const char *state_dir);

/* Settles defaults that depend on other settings. */
enum status config_derive(struct config *config) MUST_CHECK;

/* --- describe.c ----------------------------------------------------------------------------- */

/* Appends with every control character replaced, so that a message stays one line. */
void config_append_on_one_line(struct buffer *out, const char *text);

/* Appends " (environment)", " (FILE:12)", or " (default)" when `entry` is NULL. */
void config_append_origin(const struct config_entry *entry, struct buffer *out);

/* Appends the line "NAME (SETTING) "culprit" phrase (origin)": SETTING only if `entry` gives it
 * under another name, the culprit only if it is short, printable and no secret. */
void config_append_refusal(const struct config_entry *entry, const char *setting_name,
                           unsigned flags, const struct config_problem *problem,
                           struct buffer *out);

/* Overwrites what the buffer holds, then frees it. */
void config_release_secret(struct buffer *buffer);

/* Appends `text` with the passwords of URLs in it ("scheme://user:password@", "?password=")
 * masked. */
void config_append_masked(struct buffer *out, struct slice text);

#endif
