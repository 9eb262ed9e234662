/*
 * config/settle: what must hold for all settings together, and what a first start makes.
 *
 * Made: STATE_DIR and RUNTIME_DIR (0750), and in development STATE_DIR/secrets (0700) with
 * secret_key and jwt_secret_key (0600), each 64 hex digits and a newline. A file is created whole
 * or not at all, so of several programs that start at once one makes it and the others read it.
 */
#include "config/internal.h"

#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"

#define SECRET_LENGTH_MINIMUM 32
#define SECRET_DISTINCT_BYTES 8
#define SECRET_FILE_MAXIMUM   4096
#define SECRET_RANDOM_BYTES   32

/* What gives away a secret from a sample file or a tutorial, in any case. */
static const char *const sample_marks[] = {
    "change-me", "change_me", "changeme", "change-this", "change_this", "changethis", "change-in-",
    "change_in_", "replace-me", "replace_me", "replace-with", "replace_with", "your-secret",
    "your_secret", "yoursecret", "your-super", "your_super", "my-secret", "my_secret",
    "super-secret", "super_secret", "supersecret", "dev-secret", "dev_secret", "secret-key",
    "secret_key", "secretkey", "jwt-secret", "jwt_secret", "test-secret", "test_secret",
    "not-secret", "not-so-secret", "insecure", "placeholder", "example", "password",
    "abcdefghijklm", "0123456789abcdef0123456789abcdef",
    /* the key of the FastAPI documentation */
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"};

static const struct config_entry *find_chosen(const struct config *config, const char *name)
{
    int index = config_find_setting(name);

    return index >= 0 ? config->values->chosen[index] : NULL;
}

static enum status refuse(const struct config *config, const char *name, const char *phrase,
                          struct buffer *problem)
{
    buffer_append_format(problem, "%s %s", name, phrase);
    config_append_origin(find_chosen(config, name), problem);
    return STATUS_INVALID;
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

static bool is_sample(const char *secret)
{
    for (size_t i = 0; i < sizeof sample_marks / sizeof sample_marks[0]; i++) {
        if (strcasestr(secret, sample_marks[i]) != NULL) {
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

static enum status check_secret(const struct config *config, const char *name, const char *secret,
                                struct buffer *problem)
{
    if (is_sample(secret)) {
        return refuse(config, name,
                      "is a sample; production needs a random one (openssl rand -hex 32)", problem);
    }
    if (strlen(secret) < SECRET_LENGTH_MINIMUM) {
        return refuse(config, name, "is shorter than 32 bytes, too short for production", problem);
    }
    if (count_distinct_bytes(secret) < SECRET_DISTINCT_BYTES) {
        return refuse(config, name, "repeats a few characters, too easy to guess for production",
                      problem);
    }
    return STATUS_OK;
}

static enum status check_production(const struct config *config, struct buffer *problem)
{
    enum status status;

    if (config->debug) {
        return refuse(config, "DEBUG", "must not be true in production", problem);
    }
    status = check_secret(config, "SECRET_KEY", config->secret_key, problem);
    if (status != STATUS_OK || config->jwt_secret_key[0] == '\0') {
        return status;
    }
    if (strcmp(config->secret_key, config->jwt_secret_key) == 0) {
        return refuse(config, "JWT_SECRET_KEY", "must not equal SECRET_KEY in production", problem);
    }
    return check_secret(config, "JWT_SECRET_KEY", config->jwt_secret_key, problem);
}

static enum status check_rules(const struct config *config, struct buffer *problem)
{
    enum status status = check_cors(config, problem);

    if (status != STATUS_OK || config->is_development) {
        return status;
    }
    if (!config->enable_auth) {
        return refuse(config, "ENABLE_AUTH", "may be false in development only", problem);
    }
    if (config->secret_key[0] == '\0') {
        return refuse(config, "SECRET_KEY",
                      "must be set unless ENVIRONMENT is development (openssl rand -hex 32)",
                      problem);
    }
    return config->is_production ? check_production(config, problem) : STATUS_OK;
}

/* --- Directories and secrets ---------------------------------------------------------------- */

static enum status make_directory(const struct config *config, const char *name, const char *path,
                                  mode_t mode, struct buffer *problem)
{
    enum status status = file_make_directory(path, mode);

    if (status == STATUS_OK || status == STATUS_NO_MEMORY) {
        return status;
    }
    (void)refuse(config, name,
                 status == STATUS_DENIED
                     ? "names a directory that cannot be made or used: permission denied"
                     : "names a directory that cannot be made",
                 problem);
    return status;
}

static enum status read_secret(struct config *config, const char *path, const char **out)
{
    struct buffer text;
    struct slice secret;
    enum status status;

    buffer_init(&text, SECRET_FILE_MAXIMUM);
    status = file_read(path, &text);
    if (status == STATUS_OK) {
        secret = slice_trim((struct slice){buffer_text(&text), text.length});
        if (secret.length < SECRET_LENGTH_MINIMUM || !config_is_plain_text(secret)) {
            status = STATUS_INVALID;
        } else {
            *out = arena_copy(&config->arena, secret.data, secret.length);
            status = *out != NULL ? STATUS_OK : STATUS_NO_MEMORY;
        }
    }
    config_release_secret(&text);
    return status;
}

static enum status create_secret(const char *path)
{
    unsigned char bytes[SECRET_RANDOM_BYTES];
    char text[2 * SECRET_RANDOM_BYTES + 1];
    enum status status;

    random_bytes(bytes, sizeof bytes);
    text_encode_hex(bytes, sizeof bytes, text);
    text[sizeof text - 1] = '\n';
    status = file_create(path, text, sizeof text, 0600);
    memory_wipe(bytes, sizeof bytes);
    memory_wipe(text, sizeof text);
    return status == STATUS_CONFLICT ? STATUS_OK : status;
}

static enum status settle_secret(struct config *config, const char *directory, const char *name,
                                 const char *file, const char **secret, struct buffer *problem)
{
    const char *path = arena_format(&config->arena, "%s/%s", directory, file);
    enum status status;

    if (path == NULL) {
        return STATUS_NO_MEMORY;
    }
    status = read_secret(config, path, secret);
    if (status == STATUS_NOT_FOUND) {
        status = create_secret(path);
        if (status == STATUS_OK) {
            status = read_secret(config, path, secret);
        }
    }
    if (status == STATUS_INVALID) {
        buffer_append_format(problem,
                             "%s is kept in %s/%s, which does not hold 32 bytes of plain text; "
                             "remove the file and a new one is made",
                             name, directory, file);
    } else if (status != STATUS_OK && status != STATUS_NO_MEMORY) {
        buffer_append_format(problem, "%s cannot be kept in %s/%s", name, directory, file);
    }
    return status;
}

static enum status settle_secrets(struct config *config, struct buffer *problem)
{
    const char *directory;
    enum status status;

    if (config->secret_key[0] != '\0' && config->jwt_secret_key[0] == '\0') {
        config->jwt_secret_key = config->secret_key;
    }
    if (config->secret_key[0] != '\0') {
        return STATUS_OK;
    }
    directory = arena_format(&config->arena, "%s/secrets", config->state_dir);
    if (directory == NULL) {
        return STATUS_NO_MEMORY;
    }
    status = make_directory(config, "STATE_DIR", directory, 0700, problem);
    if (status == STATUS_OK) {
        status = settle_secret(config, directory, "SECRET_KEY", "secret_key", &config->secret_key,
                               problem);
    }
    if (status == STATUS_OK && config->jwt_secret_key[0] == '\0') {
        status = settle_secret(config, directory, "JWT_SECRET_KEY", "jwt_secret_key",
                               &config->jwt_secret_key, problem);
    }
    return status;
}

enum status config_settle(struct config *config, struct buffer *problem)
{
    enum status status = check_rules(config, problem);

    if (status == STATUS_OK) {
        status = make_directory(config, "STATE_DIR", config->state_dir, 0750, problem);
    }
    if (status == STATUS_OK) {
        status = make_directory(config, "RUNTIME_DIR", config->runtime_dir, 0750, problem);
    }
    if (status == STATUS_OK) {
        status = settle_secrets(config, problem);
    }
    if (status == STATUS_NO_MEMORY) {
        buffer_append_text(problem, "the configuration needs more memory than there is");
    }
    return status;
}
