/*
 * config/settle: what a first start makes.
 *
 * Made: STATE_DIR and RUNTIME_DIR (0750); in each a .htaccess, so that Apache shows nothing of it
 * should it ever lie below a document root; and in development STATE_DIR/secrets (0700) with
 * secret_key (0600), 64 hex digits and a newline. The file is created whole or not at all, so of
 * several programs that start at once one makes it and the others read it.
 */
#include "config/internal.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"

#define SECRET_LENGTH_MINIMUM 32
#define SECRET_FILE_MAXIMUM   4096
#define SECRET_RANDOM_BYTES   32

/* --- Directories and secrets ---------------------------------------------------------------- */

static enum status make_directory(const struct config *config, const char *name, const char *path,
                                  mode_t mode, struct buffer *problem)
{
    enum status status = file_make_directory(path, mode);

    if (status == STATUS_OK || status == STATUS_NO_MEMORY) {
        return status;
    }
    (void)config_refuse(config, name,
                        status == STATUS_DENIED
                            ? "names a directory that cannot be made or used: permission denied"
                            : "names a directory that cannot be made",
                        problem);
    return status;
}

static enum status deny_directory(const struct config *config, const char *path)
{
    static const char text[] = "<IfModule mod_authz_core.c>\n"
                               "    Require all denied\n"
                               "</IfModule>\n"
                               "<IfModule !mod_authz_core.c>\n"
                               "    Deny from all\n"
                               "</IfModule>\n";
    const char *name =
        arena_format((struct arena *)(uintptr_t)&config->arena, "%s/.htaccess", path);
    enum status status = name != NULL ? STATUS_OK : STATUS_NO_MEMORY;

    /* Asked first, because a file is made whole, by way of another, and a CGI program starts often. */
    if (status == STATUS_OK && access(name, F_OK) != 0) {
        status = file_create(name, text, sizeof text - 1, 0644);
    }
    /* There already, or a disk that is full or read-only: what needs to write will say so. */
    return status == STATUS_NO_MEMORY ? status : STATUS_OK;
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
        config_begin_fault(problem);
        buffer_append_format(problem,
                             "%s is kept in %s/%s, which does not hold 32 bytes of plain text; "
                             "remove the file and a new one is made",
                             name, directory, file);
    } else if (status != STATUS_OK && status != STATUS_NO_MEMORY) {
        config_begin_fault(problem);
        buffer_append_format(problem, "%s cannot be kept in %s/%s", name, directory, file);
    }
    return status;
}

static enum status settle_secrets(struct config *config, struct buffer *problem)
{
    const char *directory;
    enum status status;

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
    return status;
}

enum status config_settle(struct config *config, struct buffer *problem)
{
    enum status status = config_check(config, problem);

    if (status == STATUS_OK) {
        status = make_directory(config, "STATE_DIR", config->state_dir, 0750, problem);
    }
    if (status == STATUS_OK) {
        status = deny_directory(config, config->state_dir);
    }
    if (status == STATUS_OK) {
        status = make_directory(config, "RUNTIME_DIR", config->runtime_dir, 0750, problem);
    }
    if (status == STATUS_OK) {
        status = deny_directory(config, config->runtime_dir);
    }
    if (status == STATUS_OK) {
        status = settle_secrets(config, problem);
    }
    if (status == STATUS_NO_MEMORY) {
        config_begin_fault(problem);
        buffer_append_text(problem, "the configuration needs more memory than there is");
    }
    return status;
}
