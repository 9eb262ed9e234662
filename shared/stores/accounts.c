/*
 * stores/accounts: the table users.
 *
 * The columns email and username compare without regard to ASCII case by their definition; what
 * is stored is what was given.
 */
#include "stores/accounts.h"

#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "stores/rows.h"

static enum status read_account(struct storage_statement *row, struct arena *arena, void *item)
{
    struct account *out = item;
    *out = (struct account){
        .id = storage_copy_text(row, 0, arena),
        .email = storage_copy_text(row, 1, arena),
        .username = storage_copy_text(row, 2, arena),
        .name = storage_copy_text(row, 3, arena),
        .password_hash = storage_copy_text(row, 4, arena),
        .is_active = storage_integer(row, 5) != 0,
        .is_verified = storage_integer(row, 6) != 0,
        .is_superuser = storage_integer(row, 7) != 0,
        .two_factor_enabled = storage_integer(row, 8) != 0,
        .failed_logins = storage_integer(row, 9),
        .locked_until = storage_integer(row, 10),
        .token_epoch = storage_integer(row, 11),
        .created_at = storage_integer(row, 12),
        .company_id = storage_copy_text(row, 13, arena),
    };
    return storage_status(row);
}

static enum status find_account(struct storage *storage, struct arena *arena, const char *name,
                                const char *key, struct account *out)
{
    struct storage_statement *row;
    enum status status = rows_find(storage, name, &row, ROW_TEXT(key));
    if (status == STATUS_OK) {
        status = read_account(row, arena, out);
    }
    storage_finish(row);
    return status;
}

static bool has_at_sign(const char *text)
{
    return strchr(text, '@') != NULL;
}

static enum status copy_optional(struct arena *arena, const char *text, const char **out)
{
    *out = text == NULL ? NULL : arena_copy(arena, text, strlen(text));
    return text != NULL && *out == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

enum status account_prepare(struct arena *arena, const struct account_new *given,
                            struct account *out)
{
    if (!has_at_sign(given->email) || (given->username != NULL && has_at_sign(given->username))) {
        return STATUS_INVALID;
    }
    char id[RANDOM_UUID_SIZE];
    random_uuid(id);
    *out = (struct account){
        .is_active = true, .is_superuser = given->is_superuser, .created_at = clock_wall_seconds()};
    bool is_complete = copy_optional(arena, id, &out->id) == STATUS_OK &&
                       copy_optional(arena, given->email, &out->email) == STATUS_OK &&
                       copy_optional(arena, given->username, &out->username) == STATUS_OK &&
                       copy_optional(arena, given->name, &out->name) == STATUS_OK &&
                       copy_optional(arena, given->password_hash, &out->password_hash) == STATUS_OK;
    return is_complete ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status account_insert(struct storage_connection *connection, const struct account *account)
{
    return rows_execute(connection, "account_insert", NULL, ROW_TEXT(account->id),
                        ROW_TEXT(account->email), ROW_TEXT(account->username),
                        ROW_TEXT(account->name), ROW_TEXT(account->password_hash),
                        ROW_INTEGER(account->is_superuser), ROW_INTEGER(account->created_at));
}

static enum status insert(struct storage_connection *connection, void *context)
{
    return account_insert(connection, context);
}

enum status account_create(struct storage *storage, struct arena *arena,
                           const struct account_new *given, struct account *out)
{
    struct account account;
    enum status status = account_prepare(arena, given, &account);
    if (status == STATUS_OK) {
        status = rows_transaction(storage, insert, &account);
    }
    if (status == STATUS_OK) {
        *out = account;
    }
    return status;
}

enum status account_find_by_id(struct storage *storage, struct arena *arena, const char *id,
                               struct account *out)
{
    return find_account(storage, arena, "account_by_id", id, out);
}

enum status account_find_by_session(struct storage *storage, struct arena *arena,
                                    const char *session_id, struct account *out,
                                    struct account_session *session)
{
    struct storage_statement *row;
    enum status status = rows_find(storage, "account_by_session", &row, ROW_TEXT(session_id));
    if (status == STATUS_OK) {
        status = read_account(row, arena, out);
        *session = (struct account_session){.expires_at = storage_integer(row, 14),
                                            .revoked_at = storage_integer(row, 15)};
    }
    storage_finish(row);
    return status;
}

enum status account_find_by_login(struct storage *storage, struct arena *arena, const char *login,
                                  struct account *out)
{
    const char *name = has_at_sign(login) ? "account_by_email" : "account_by_username";
    return find_account(storage, arena, name, login, out);
}

/* --- Lockout ------------------------------------------------------------------------------ */

struct lockout {
    const char *id;
    int64_t now;
    int64_t threshold;
    int64_t lock_seconds;
    bool is_locked;
};

/* Inside the transaction that decides. */
static enum status read_lockout(struct storage_connection *connection, const char *id,
                                int64_t *failures, int64_t *until)
{
    struct storage_statement *row;
    enum status status = rows_prepare(connection, "account_lockout", &row, ROW_TEXT(id));
    if (status == STATUS_OK) {
        status = storage_step(row);
    }
    if (status == STATUS_OK) {
        *failures = storage_integer(row, 0);
        *until = storage_integer(row, 1);
    }
    storage_finish(row);
    return status;
}

static enum status count_failure(struct storage_connection *connection, void *context)
{
    struct lockout *lockout = context;
    int64_t failures;
    int64_t until;
    enum status status = read_lockout(connection, lockout->id, &failures, &until);
    if (status != STATUS_OK) {
        return status;
    }
    if (until > lockout->now) {
        return STATUS_BUSY;
    }
    /* A lock that is over has wiped the slate. */
    failures = until != 0 ? 1 : failures + 1;
    until = 0;
    if (lockout->threshold > 0 && failures >= lockout->threshold) {
        until = lockout->now + lockout->lock_seconds;
        lockout->is_locked = until > lockout->now;
    }
    return rows_execute(connection, "account_set_lockout", NULL, ROW_TEXT(lockout->id),
                        ROW_INTEGER(failures), ROW_INTEGER(until));
}

enum status account_record_failure(struct storage *storage, const char *id, int64_t now,
                                   int64_t threshold, int64_t lock_seconds, bool *locked)
{
    struct lockout lockout = {
        .id = id, .now = now, .threshold = threshold, .lock_seconds = lock_seconds};
    enum status status = rows_transaction(storage, count_failure, &lockout);
    *locked = status == STATUS_OK && lockout.is_locked;
    return status;
}

static enum status clear_failures(struct storage_connection *connection, void *context)
{
    struct lockout *lockout = context;
    int64_t failures;
    int64_t until;
    enum status status = read_lockout(connection, lockout->id, &failures, &until);
    if (status != STATUS_OK) {
        return status;
    }
    if (until > lockout->now) {
        return STATUS_BUSY;
    }
    return rows_execute(connection, "account_set_lockout", NULL, ROW_TEXT(lockout->id),
                        ROW_INTEGER(0), ROW_INTEGER(0));
}

enum status account_record_success(struct storage *storage, const char *id, int64_t now)
{
    /* The usual login has nothing to clear, and should not wait for the write lock for that. */
    struct storage_statement *row;
    enum status status = rows_find(storage, "account_lockout", &row, ROW_TEXT(id));
    bool is_clear =
        status == STATUS_OK && storage_integer(row, 0) == 0 && storage_integer(row, 1) == 0;
    storage_finish(row);
    if (status != STATUS_OK || is_clear) {
        return status;
    }
    struct lockout lockout = {.id = id, .now = now};
    return rows_transaction(storage, clear_failures, &lockout);
}

/* --- Changes ------------------------------------------------------------------------------ */

static enum status found_if_changed(enum status status, int64_t changes)
{
    return status == STATUS_OK && changes == 0 ? STATUS_NOT_FOUND : status;
}

struct replacement {
    const char *id;
    const char *old_hash;
    const char *new_hash;
    bool ends_sessions;
    const char *kept_session;
    int64_t now;
};

static enum status replace_password(struct storage_connection *connection, void *context)
{
    const struct replacement *given = context;
    int64_t changes;
    enum status status =
        rows_execute(connection, "account_set_password", &changes, ROW_TEXT(given->id),
                     ROW_TEXT(given->old_hash), ROW_TEXT(given->new_hash));
    if (status == STATUS_OK && changes > 0 && given->ends_sessions) {
        return rows_execute(connection, "session_revoke_all", NULL, ROW_TEXT(given->id),
                            ROW_TEXT(given->kept_session), ROW_INTEGER(given->now));
    }
    if (status != STATUS_OK || changes > 0) {
        return status;
    }
    int64_t failures;
    int64_t until;
    status = read_lockout(connection, given->id, &failures, &until);
    return status == STATUS_OK ? STATUS_CONFLICT : status;
}

enum status account_replace_password(struct storage *storage, const char *id, const char *old_hash,
                                     const char *new_hash)
{
    struct replacement given = {.id = id, .old_hash = old_hash, .new_hash = new_hash};
    return rows_transaction(storage, replace_password, &given);
}

enum status account_change_password(struct storage *storage, const char *id, const char *old_hash,
                                    const char *new_hash, const char *kept_session, int64_t now)
{
    struct replacement given = {.id = id,
                                .old_hash = old_hash,
                                .new_hash = new_hash,
                                .ends_sessions = true,
                                .kept_session = kept_session,
                                .now = now};
    return rows_transaction(storage, replace_password, &given);
}

enum status account_set_locked(struct storage *storage, const char *id, int64_t locked_until)
{
    int64_t changes;
    enum status status = rows_change(storage, "account_set_lockout", &changes, ROW_TEXT(id),
                                     ROW_INTEGER(0), ROW_INTEGER(locked_until));
    return found_if_changed(status, changes);
}

enum status account_set_active(struct storage *storage, const char *id, bool is_active)
{
    int64_t changes;
    enum status status =
        rows_change(storage, "account_set_active", &changes, ROW_TEXT(id), ROW_INTEGER(is_active));
    return found_if_changed(status, changes);
}

enum status account_set_superuser(struct storage *storage, const char *id, bool is_superuser)
{
    int64_t changes;
    enum status status = rows_change(storage, "account_set_superuser", &changes, ROW_TEXT(id),
                                     ROW_INTEGER(is_superuser));
    return found_if_changed(status, changes);
}

enum status account_update_profile(struct storage *storage, const char *id, const char *name,
                                   const char *username)
{
    if (username != NULL && has_at_sign(username)) {
        return STATUS_INVALID;
    }
    int64_t changes;
    enum status status = rows_change(storage, "account_set_profile", &changes, ROW_TEXT(id),
                                     ROW_TEXT(name), ROW_TEXT(username));
    return found_if_changed(status, changes);
}

/* --- Lists -------------------------------------------------------------------------------- */

enum status account_count(struct storage *storage, int64_t *count)
{
    struct storage_statement *row;
    enum status status = rows_find_values(storage, "account_count", &row, NULL, 0);
    *count = status == STATUS_OK ? storage_integer(row, 0) : 0;
    storage_finish(row);
    return status;
}

enum status account_list(struct storage *storage, struct arena *arena, int64_t limit,
                         int64_t offset, struct account **out, size_t *count)
{
    void *items;
    enum status status = rows_list(storage, "account_list", arena, read_account, sizeof(**out),
                                   &items, count, ROW_INTEGER(limit), ROW_INTEGER(offset));
    *out = items;
    return status;
}
