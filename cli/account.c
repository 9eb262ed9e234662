/*
 * cli/account: passwords, hashes and keys made by the library's own means; see account.h.
 */
#include "account.h"

#include <stdio.h>
#include <string.h>

#include "auth/names.h"
#include "auth/password.h"
#include "auth/principal.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/text.h"

#define PAGE_SIZE             500
#define PASSWORD_RANDOM_BYTES 15
#define HASH_TIMEOUT          10000 /* milliseconds; a command can wait */
#define ACCOUNT_ID_SIZE       64

void account_make_password(char out[ACCOUNT_PASSWORD_SIZE])
{
    unsigned char bytes[PASSWORD_RANDOM_BYTES];

    random_bytes(bytes, sizeof bytes);
    (void)text_encode_base64url(bytes, sizeof bytes, out);
    memory_wipe(bytes, sizeof bytes);
}

enum status account_read_password(struct arena *arena, const char **out)
{
    char line[PASSWORD_LENGTH_MAXIMUM + 2]; /* one for CR, one to tell that it is too long */
    size_t length = 0;
    enum status status = STATUS_INVALID;

    for (int byte = getchar(); byte != EOF && byte != '\n' && length < sizeof line;
         byte = getchar()) {
        line[length++] = (char)byte;
    }
    if (length > 0 && line[length - 1] == '\r') {
        length--;
    }
    /* A NUL would end the password early for everybody who reads it as text. */
    if (length >= PASSWORD_LENGTH_MINIMUM && length <= PASSWORD_LENGTH_MAXIMUM &&
        text_is_utf8(line, length) && memchr(line, '\0', length) == NULL) {
        *out = arena_copy(arena, line, length);
        status = *out != NULL ? STATUS_OK : STATUS_NO_MEMORY;
    }
    memory_wipe(line, sizeof line);
    return status;
}

int account_fold_email(struct command_session *session, const char *text, const char **out)
{
    enum status status = names_fold_email(&session->arena, text, out);

    return status == STATUS_INVALID ? command_fail("not an e-mail address: %s", text)
           : status != STATUS_OK    ? command_fail("out of memory")
                                    : 0;
}

int account_fold_username(struct command_session *session, const char *text, const char **out)
{
    enum status status = names_fold_username(&session->arena, text, out);

    return status == STATUS_INVALID
               ? command_fail(
                     "a username has 3 to 64 letters, digits, dots, underscores and hyphens")
           : status != STATUS_OK ? command_fail("out of memory")
                                 : 0;
}

int account_find(struct command_session *session, const char *login, struct account *out)
{
    const char *name;
    enum status status = names_fold_login(&session->arena, login, &name);

    if (status == STATUS_OK) {
        status = account_find_by_login(session->app->storage, &session->arena, name, out);
    }
    if (status == STATUS_NOT_FOUND) {
        return command_fail("no such user: %s", login);
    }
    return status == STATUS_OK ? 0 : command_fail_storage(login, status);
}

int account_each(struct command_session *session,
                 int (*visit)(struct command_session *session, const struct account *account,
                              void *context),
                 void *context)
{
    char last_id[ACCOUNT_ID_SIZE];
    struct account last = {.id = last_id};
    bool has_last = false;
    size_t count;

    do {
        struct account *accounts;
        enum status status = account_list(session->app->storage, &session->arena, PAGE_SIZE,
                                          has_last ? &last : NULL, &accounts, &count);

        if (status != STATUS_OK) {
            return command_fail_storage("users", status);
        }
        for (size_t i = 0; i < count; i++) {
            int exit_status = visit(session, &accounts[i], context);

            if (exit_status != 0) {
                return exit_status;
            }
        }
        if (count > 0) {
            has_last = true;
            last.created_at = accounts[count - 1].created_at;
            (void)snprintf(last_id, sizeof last_id, "%s", accounts[count - 1].id);
        }
        arena_reset(&session->arena);
    } while (count == PAGE_SIZE);
    return 0;
}

enum status account_hash_password(struct app *app, struct arena *arena, const char *password,
                                  const char **hash)
{
    struct password_hasher hasher = {
        .segment = app->segment,
        .concurrency = (unsigned)app->config->password_hash_concurrency,
        .timeout_milliseconds = HASH_TIMEOUT,
    };

    return password_hash(&hasher, arena, slice_of(password), hash);
}

enum status account_make_key(struct app *app, struct arena *arena, const char *user_id,
                             const struct account_key_options *options, const char **id,
                             const char **text)
{
    struct api_key key = {
        .user_id = user_id,
        .name = options->name,
        .scopes = options->scopes,
        .tier = options->tier,
        .created_at = clock_wall_seconds(),
        .expires_at = options->expires_at,
    };
    enum status status = authenticator_make_api_key(arena, text, &key.id, key.hash);

    if (status == STATUS_OK) {
        status = api_key_create(app->storage, &key, app->config->api_keys_per_user);
        *id = key.id;
    }
    return status;
}
