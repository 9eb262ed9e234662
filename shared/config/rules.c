/*
 * config/rules: what must hold for all settings together. Looks only; makes nothing on disk.
 *
 * Every rule is a row or a loop that tells its fault and goes on, so that one start tells them all.
 * A setting whose text was refused already is not judged again: its default stands there.
 */
#include "config/internal.h"

#include <string.h>
#include <strings.h>

#define SECRET_LENGTH_MINIMUM 32
#define SECRET_DISTINCT_BYTES 8
#define KEY_LENGTH_MINIMUM    16
#define KEY_DISTINCT_BYTES    5
#define GLOB_FAMILY_MAXIMUM   32

/* What gives away a secret from a sample file or a tutorial, in any case. At least five letters
 * each, so that none stands in a random secret by chance. */
static const char *const sample_marks[] = {
    "change-me", "change_me", "changeme", "change-this", "change_this", "changethis", "change-in-",
    "change_in_", "replace-me", "replace_me", "replace-with", "replace_with", "your-", "your_",
    "yoursecret", "my-secret", "my_secret", "super-secret", "super_secret", "supersecret",
    "dev-secret", "dev_secret", "secret-key", "secret_key", "secretkey", "jwt-secret", "jwt_secret",
    "test-secret", "test_secret", "not-secret", "not-so-secret", "insecure", "placeholder",
    "example", "password", "generate-", "generate_", "generated-", "generated_", "-key-here",
    "_key_here", "-here>", "insert-", "insert_", "enter-your", "...", "dummy", "xxxxxx",
    "abcdefghijklm", "0123456789abcdef0123456789abcdef",
    /* the key of the FastAPI documentation */
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"};

/* Globs of what is protected, and paths in there that are open anyway. */
static const char *const protected_globs[] = {
    "/auth",   "/auth/*",       "/v1",          "/v1/*",    "/chat",
    "/chat/*", "/api/charts",   "/api/charts*", "/users*",  "/companies*",
    "/roles*", "/permissions*", "/admin",       "/admin/*", "/settings*"};
static const char *const open_paths[] = {
    "/auth/login",          "/auth/register",     "/auth/refresh",
    "/auth/validate",       "/auth/logout",       "/auth/forgot-password",
    "/auth/reset-password", "/auth/verify-email", "/auth/resend-verification",
    "/auth/oauth/*"};

enum status config_refuse(const struct config *config, const char *name, const char *phrase,
                          struct buffer *problem)
{
    config_begin_fault(problem);
    buffer_append_format(problem, "%s %s (", name, phrase);
    config_append_place(config, name, problem);
    buffer_append_char(problem, ')');
    return STATUS_INVALID;
}

/* The same, but STATUS_OK where the setting's own text has been refused already. */
static enum status refuse(const struct config *config, const char *name, const char *phrase,
                          struct buffer *problem)
{
    return config->values->is_refused[config_find_setting(name)]
               ? STATUS_OK
               : config_refuse(config, name, phrase, problem);
}

static void keep(enum status *kept, enum status status)
{
    *kept = *kept == STATUS_OK ? status : *kept;
}

/* --- Shapes of secrets ---------------------------------------------------------------------- */

/* "<generate me>", "${NAME}", "$(command)" or words of a sample. */
static bool is_placeholder(const char *text)
{
    size_t length = strlen(text);

    if (length > 1 && text[0] == '<' && text[length - 1] == '>') {
        return true;
    }
    if (strstr(text, "${") != NULL || strstr(text, "$(") != NULL) {
        return true;
    }
    for (size_t i = 0; i < sizeof sample_marks / sizeof sample_marks[0]; i++) {
        if (strcasestr(text, sample_marks[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static size_t count_distinct_bytes(const char *text)
{
    bool seen[256] = {false};
    size_t count = 0;

    for (; *text != '\0'; text++) {
        count += seen[(unsigned char)*text] ? 0 : 1;
        seen[(unsigned char)*text] = true;
    }
    return count;
}

/* Whether the text is one shorter text twice or more. */
static bool is_periodic(const char *text)
{
    size_t length = strlen(text);

    for (size_t period = 1; period <= length / 2; period++) {
        if (memcmp(text, text + period, length - period) == 0) {
            return true;
        }
    }
    return false;
}

/* "12345678", "qwertyqwerty" is caught elsewhere: two of three steps go to a neighbour. */
static bool is_stepwise(const char *text)
{
    size_t length = strlen(text);
    size_t steps = 0;

    for (size_t i = 1; i < length; i++) {
        int step = text[i] - text[i - 1];

        steps += step >= -1 && step <= 1 ? 1 : 0;
    }
    return length > 3 && steps * 3 > (length - 1) * 2;
}

static bool is_monotonous(const char *text, size_t distinct_minimum)
{
    return count_distinct_bytes(text) < distinct_minimum || is_periodic(text) || is_stepwise(text);
}

/* What is wrong with a secret of production, or NULL. */
static const char *judge_secret(const char *secret)
{
    return is_placeholder(secret)
               ? "is a sample; production needs a random one (openssl rand -hex 32)"
           : strlen(secret) < SECRET_LENGTH_MINIMUM
               ? "is shorter than 32 bytes, too short for production"
           : is_monotonous(secret, SECRET_DISTINCT_BYTES)
               ? "repeats a few characters, too easy to guess for production"
               : NULL;
}

static const char *judge_key(const char *key)
{
    return is_placeholder(key) ? "holds a key that is a sample; production needs random ones "
                                 "(openssl rand -hex 32)"
           : strlen(key) < KEY_LENGTH_MINIMUM
               ? "holds a key that is shorter than 16 bytes, too short for production"
           : is_monotonous(key, KEY_DISTINCT_BYTES)
               ? "holds a key that repeats a few characters, too easy to guess for production"
               : NULL;
}

/* --- Paths ---------------------------------------------------------------------------------- */

/* Whether some text matches both globs ('*' is any text, '?' any byte). `family` is one of ours. */
static bool globs_meet(const char *glob, const char *family)
{
    /* row[j]: what is left of `glob` meets family + j */
    size_t length = strlen(family);
    bool row[GLOB_FAMILY_MAXIMUM + 1];
    size_t i = strlen(glob);

    row[length] = true;
    for (size_t j = length; j-- > 0;) {
        row[j] = family[j] == '*' && row[j + 1];
    }
    while (i-- > 0) {
        bool below = row[length]; /* the row of glob + i + 1, one to the right */

        row[length] = glob[i] == '*' && row[length];
        for (size_t j = length; j-- > 0;) {
            bool diagonal = below;
            bool same = glob[i] == family[j] || glob[i] == '?';

            below = row[j];
            row[j] = glob[i] == '*' || family[j] == '*' ? row[j] || row[j + 1] : same && diagonal;
        }
    }
    return row[0];
}

static bool opens_protected(const char *pattern)
{
    for (size_t i = 0; i < sizeof open_paths / sizeof open_paths[0]; i++) {
        if (strcmp(pattern, open_paths[i]) == 0) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof protected_globs / sizeof protected_globs[0]; i++) {
        if (globs_meet(pattern, protected_globs[i])) {
            return true;
        }
    }
    return false;
}

/* --- Rules ---------------------------------------------------------------------------------- */

static enum status check_cors(const struct config *config, struct buffer *problem)
{
    for (size_t i = 0; config->cors_allow_credentials && i < config->cors_origins.count; i++) {
        if (strcmp(config->cors_origins.items[i], "*") == 0) {
            return refuse(config, "CORS_ORIGINS",
                          "must not be * while CORS_ALLOW_CREDENTIALS is true", problem);
        }
    }
    return STATUS_OK;
}

static enum status check_keys(const struct config *config, struct buffer *problem)
{
    for (size_t i = 0; i < config->api_keys.count; i++) {
        const char *fault = judge_key(config->api_keys.items[i]);

        if (fault != NULL) {
            return refuse(config, "API_KEYS", fault, problem);
        }
    }
    return STATUS_OK;
}

static enum status check_bypass_paths(const struct config *config, struct buffer *problem)
{
    for (size_t i = 0; i < config->auth_bypass_paths.count; i++) {
        if (opens_protected(config->auth_bypass_paths.items[i])) {
            const char *phrase =
                arena_format((struct arena *)(uintptr_t)&config->arena,
                             "opens protected routes to everybody in production: \"%s\"",
                             config->auth_bypass_paths.items[i]);

            return phrase != NULL ? refuse(config, "AUTH_BYPASS_PATHS", phrase, problem)
                                  : STATUS_NO_MEMORY;
        }
    }
    return STATUS_OK;
}

/* Keys of providers: no length of ours, but a sample of a key answers nobody. */
struct provider_keys {
    const struct config *config;
    struct buffer *problem;
    enum status status;
};

static void check_provider_key(const char *name, const char *value, void *context)
{
    struct provider_keys *keys = context;
    const struct config_pattern *pattern = config_find_pattern(keys->config, name);
    const struct config_entry *entry = config_find_entry(keys->config->values, name);

    if (pattern != NULL && entry != NULL && !entry->is_unexpanded &&
        (pattern->flags & CONFIG_SECRET) != 0 && config_has_effect(keys->config, name) &&
        is_placeholder(value)) {
        keep(&keys->status,
             config_refuse_entry(entry, "is a sample, not the key of a provider", keys->problem));
    }
}

static enum status check_secrets(const struct config *config, struct buffer *problem)
{
    const char *fault = config->secret_key[0] != '\0' ? judge_secret(config->secret_key) : NULL;
    struct provider_keys keys = {config, problem, STATUS_OK};
    enum status status = STATUS_OK;

    if (fault != NULL) {
        keep(&status, refuse(config, "SECRET_KEY", fault, problem));
    }
    fault = config->jwt_secret_key[0] == '\0' ? NULL
            : strcmp(config->secret_key, config->jwt_secret_key) == 0
                ? "must not equal SECRET_KEY in production"
                : judge_secret(config->jwt_secret_key);
    if (fault != NULL) {
        keep(&status, refuse(config, "JWT_SECRET_KEY", fault, problem));
    }
    if (is_placeholder(config->metrics_token)) {
        keep(&status, refuse(config, "METRICS_TOKEN", "is a sample; production needs a random one",
                             problem));
    }
    keep(&status, check_keys(config, problem));
    config_each(config, "", "_API_KEY", check_provider_key, &keys);
    keep(&status, keys.status);
    return status;
}

static enum status check_production(const struct config *config, struct buffer *problem)
{
    enum status status = check_secrets(config, problem);

    if (config->debug) {
        keep(&status, refuse(config, "DEBUG", "must not be true in production", problem));
    }
    keep(&status, check_bypass_paths(config, problem));
    return status;
}

enum status config_check(const struct config *config, struct buffer *problem)
{
    enum status status = check_cors(config, problem);

    if (config->is_development) {
        return status;
    }
    if (!config->enable_auth) {
        keep(&status, refuse(config, "ENABLE_AUTH", "may be false in development only", problem));
    }
    if (config->secret_key[0] == '\0') {
        keep(&status, refuse(config, "SECRET_KEY",
                             "must be set unless ENVIRONMENT is development (openssl rand -hex 32)",
                             problem));
    }
    if (config->is_production) {
        keep(&status, check_production(config, problem));
    }
    return status;
}
