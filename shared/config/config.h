/*
 * config: every setting of the suite, from one table.
 *
 * config/settings.def is the only source of names, types, defaults, bounds, aliases and help; the
 * struct below, the loader, `quintet config`, the sample file and docs/settings.md are made from
 * it. Order of precedence: environment, then files, then defaults. The files are the one that
 * QUINTET_CONFIG names; else ./quintet.conf over ./.env; else the installation's
 * (SYSCONFDIR/quintet/quintet.conf). "." is the directory that the suite was started from:
 * QUINTET_DIRECTORY (for whatever starts programs in other directories), else the working
 * directory. A relative path in a file counts from that file, any other from that directory.
 *
 * An empty value counts as unset, and so do None, null and NULL, as other languages print it. A
 * malformed value, one that only a shell would expand, an unknown word for a choice, or an unknown
 * name in quintet.conf refuses to load (the program exits 78, EX_CONFIG). All faults are told
 * together, a line each, which names the setting, what is wrong and where it came from; secrets are
 * masked in it. A file whose name begins or ends with ".env" may hold names of other programs,
 * which are passed over; a name given twice there counts as given last.
 *
 * A name and its alias (or two aliases) in one source with different values refuse to load.
 * CONSOUL_<X> is an alias of every X. What depends on other settings is resolved while loading:
 * RUNTIME_DIR, DATABASE_URL ("sqlite:FILE"), LOG_LEVEL under DEBUG, HTTPS_REDIRECT ("true" or
 * "false", never "auto"), REGISTRATION (never "auto"), CHART_TTL_HOURS, and "*" in
 * CORS_ALLOW_HEADERS (the default list).
 *
 * The table also knows the settings of parts that this version does not have. They have no field
 * here; their values are checked like any other, and one that asks for something is a remark
 * (config_each_remark), so that nothing that somebody has set is passed over in silence.
 *
 * A loaded configuration is immutable and may be shared by threads. Reloading makes a new one.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"

/* sysexits.h: something was found in an unconfigured or misconfigured state */
#define CONFIG_EXIT_STATUS 78

/* stands for a secret wherever values are shown */
#define CONFIG_MASK "********"

struct config_list {
    const char *const *items;
    size_t count;
};

enum config_type {
    CONFIG_TEXT,    /* const char *; never NULL, "" when unset */
    CONFIG_INTEGER, /* int64_t within `bounds`; sizes (bounds with K, M, G) accept such suffixes */
    CONFIG_BOOLEAN, /* bool */
    CONFIG_LIST,    /* struct config_list; comma list or JSON array of strings */
    CONFIG_MAP,     /* const char *: text of a JSON object of strings, validated */
    CONFIG_CHOICE   /* const char *: one of the words in `bounds`, spelled as there */
};

enum config_flags {
    CONFIG_SECRET = 1,        /* masked wherever it is shown */
    CONFIG_LIVE = 2,          /* takes effect on SIGHUP; all others need a restart */
    CONFIG_WITHOUT_EFFECT = 4 /* known and checked, but nothing in this version reads it */
};

enum config_source { CONFIG_FROM_DEFAULT, CONFIG_FROM_FILE, CONFIG_FROM_ENVIRONMENT };

/* Field name = setting name in lower case: RATE_LIMIT_AUTH is config->rate_limit_auth. */
struct config {
#define CONFIG_FIELD_TEXT    const char *
#define CONFIG_FIELD_INTEGER int64_t
#define CONFIG_FIELD_BOOLEAN bool
#define CONFIG_FIELD_LIST    struct config_list
#define CONFIG_FIELD_MAP     const char *
#define CONFIG_FIELD_CHOICE  const char *
#define SETTING(field, name, type, default_text, bounds, aliases, flags, help)                     \
    CONFIG_FIELD_##type field;
#include "config/settings.def"
#undef SETTING
    bool is_production; /* ENVIRONMENT=production */
    bool is_development;
    struct config_values *values; /* every name=value read, for config_lookup */
    struct arena arena;           /* owns all of the above */
};

/* Loads from the process environment and the files. On STATUS_INVALID `problem` (an initialised
 * buffer) holds the faults, a line each without a break behind the last, and *out is a
 * configuration all the same, in which refused settings have their defaults: good for finding more
 * faults, and for nothing else. On any other failure *out is NULL. Release with config_release.
 * Creates nothing on disk: directories and secrets are made by config_settle. */
enum status config_examine(struct config **out, struct buffer *problem) MUST_CHECK;

/* The same from explicit parts, for tests; *out is NULL on each failure. `environment` is a
 * NULL-terminated array of NAME=value; `file_path` may be NULL. */
enum status config_load_from(struct config **out, const char *const *environment,
                             const char *file_path, struct buffer *problem) MUST_CHECK;

/* Rules across settings; looks only. Refused everywhere: CORS `*` with credentials. Refused outside
 * development: ENABLE_AUTH=false, a missing SECRET_KEY. Refused in production: DEBUG=true; secrets
 * and keys that are samples, placeholders, too short (32 bytes, keys 16) or monotonous; secrets that
 * are equal; AUTH_BYPASS_PATHS that open protected routes. STATUS_INVALID: the faults are appended
 * to `problem`. */
enum status config_check(const struct config *config, struct buffer *problem) MUST_CHECK;

/* config_check, and then makes what a first start needs: STATE_DIR and RUNTIME_DIR if absent, and in
 * development the secrets that are missing, once, in STATE_DIR/secrets (0600; two programs racing
 * agree on one). Without JWT_SECRET_KEY, SECRET_KEY signs tokens too. */
enum status config_settle(struct config *config, struct buffer *problem) MUST_CHECK;

/* Whether somebody has set it, in environment or file. */
bool config_is_set(const struct config *config, const char *name);

/* Appends "NAME phrase (place)" as the next line of `problem`; STATUS_INVALID. */
enum status config_refuse(const struct config *config, const char *name, const char *phrase,
                          struct buffer *problem);

/* Begins the next line of `problem`, which may be empty. */
void config_begin_fault(struct buffer *problem);

void config_release(struct config *config);

/* The value of a setting whose name is made from a pattern (GROQ_API_KEY; see patterns.def), from
 * environment or file, in its normal form ("true" or "false", words as in the bounds); NULL when
 * it is not set. PROVIDER_GROQ_API_KEY and its other aliases are the same setting, whichever is
 * asked for. Other names give the text as it stands. */
const char *config_lookup(const struct config *config, const char *name);

/* Calls `visit` once for each environment or file name that starts with `prefix` and ends with
 * `suffix` (either may be ""), aliases under the name they stand for. */
void config_each(const struct config *config, const char *prefix, const char *suffix,
                 void (*visit)(const char *name, const char *value, void *context), void *context);

/* Metadata, for the CLI and the generated pages. */
struct config_setting {
    const char *name;
    enum config_type type;
    const char *default_text; /* may hold {STATE_DIR} */
    const char *bounds;       /* "1..1024", "a|b|c", "<kind>" or ""; see settings.def */
    const char *aliases;      /* space-separated; without the CONSOUL_ ones */
    unsigned flags;
    const char *help;
};
const struct config_setting *config_settings(size_t *count);

/* Groups of the table, in its order: `first` is the index of the group's first setting. */
struct config_section {
    size_t first;
    const char *title;
};
const struct config_section *config_sections(size_t *count);

/* Names that hold a provider's name: before + NAME + after. */
struct config_pattern {
    const char *before;
    const char *after;
    const char *bounds;
    unsigned flags;
    const char *help;
};
const struct config_pattern *config_patterns(size_t *count);

/* The providers that need no PROVIDER_<NAME>_BASE_URL, in capitals. */
const char *const *config_known_providers(size_t *count);

/* Those whose names are known though this version cannot speak with them. */
const char *const *config_absent_providers(size_t *count);

/* Other names for names that hold a provider's name. */
struct config_alias {
    const char *name;
    const char *meaning;
};
const struct config_alias *config_pattern_aliases(size_t *count);

/* False for a setting of a part that this version does not have, and for a name that is none. */
bool config_has_effect(const struct config *config, const char *name);

/* What a "<kind>" of bounds is, for people ("address or network"); NULL when it is none. */
const char *config_kind_text(const char *bounds);

/* Something that is set and yet does nothing, or does harm. */
struct config_remark {
    const char *event; /* "setting_without_effect": its part is not in this version;
                          "setting_unknown": almost a name of ours, but none;
                          "setting_risky": allowed, but seldom what is wanted */
    const char *name;  /* as it was given: perhaps an alias */
    const char *text;  /* for people: follows the name in a sentence */
};

/* Calls `visit` for each of them, in the order of the table. */
void config_each_remark(const struct config *config,
                        void (*visit)(const struct config_remark *remark, void *context),
                        void *context);

/* Calls `visit` with "setting_needs_restart" for each setting that a reload finds changed but
 * cannot change in a running program: `running` is what it started with, `loaded` what the reload
 * has found. Best effort: what memory does not suffice for is passed over. */
void config_each_stale(const struct config *running, const struct config *loaded,
                       void (*visit)(const struct config_remark *remark, void *context),
                       void *context);

/* Appends where the value of that name (a setting, an alias, or any name that was given) comes
 * from: "environment", "FILE:12" or "default". */
void config_append_place(const struct config *config, const char *name, struct buffer *out);

/* The pattern that makes `name` a setting of ours in this configuration, or NULL. */
const struct config_pattern *config_find_pattern(const struct config *config, const char *name);

/* The files that were read, the one that counts first at index 0; NULL behind the last. */
const char *config_file(const struct config *config, size_t index);

/* Appends the effective value of a setting or pattern name as text that would load to the same
 * value, and tells its source. Unless `reveal`, a secret that is set is shown as eight asterisks,
 * and so are passwords inside URLs. STATUS_NOT_FOUND: no such setting, or a pattern name that is
 * not set. */
enum status config_describe(const struct config *config, const char *name, bool reveal,
                            struct buffer *out, enum config_source *source) MUST_CHECK;

#endif
