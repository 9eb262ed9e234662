/*
 * stores/accounts: the table users.
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
        .password_state = (enum account_password)storage_integer(row, 9),
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

bool account_may_act(const struct account *account, int64_t now)
{
    return account->is_active && account->locked_until <= now;
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
    *out = (struct account){.is_active = true,
                            .is_superuser = given->is_superuser,
                            .password_state = given->is_one_time ? ACCOUNT_PASSWORD_ONE_TIME
                                                                 : ACCOUNT_PASSWORD_OWN,
                            .created_at = clock_wall_seconds()};
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
                        ROW_INTEGER(account->is_superuser), ROW_INTEGER(account->created_at),
                        ROW_INTEGER(account->password_state));
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

/* --- Changes ------------------------------------------------------------------------------ */

static enum status found_if_changed(enum status status, int64_t changes)
{
    return status == STATUS_OK && changes == 0 ? STATUS_NOT_FOUND : status;
}

enum status account_admit(struct storage_connection *connection, const char *id,
                          const char *password_hash, int64_t now)
{
    struct storage_statement *row;
    bool is_one_time = false;
    enum status status = rows_prepare(connection, "account_state", &row, ROW_TEXT(id));
    if (status == STATUS_OK) {
        status = storage_step(row);
    }
    if (status == STATUS_OK) {
        struct slice hash = storage_text(row, 0);
        int64_t state = storage_integer(row, 1);
        bool may_act = storage_integer(row, 2) != 0 && storage_integer(row, 3) <= now;
        is_one_time = state == ACCOUNT_PASSWORD_ONE_TIME;
        if (!may_act || state == ACCOUNT_PASSWORD_USED ||
            (password_hash != NULL && !slice_equals(hash, password_hash))) {
            status = STATUS_BUSY;
        }
    }
    storage_finish(row);
    if (status != STATUS_OK || !is_one_time) {
        return status == STATUS_NOT_FOUND ? STATUS_BUSY : status;
    }
    return rows_execute(connection, "account_use_one_time_password", NULL, ROW_TEXT(id));
}

static enum status forget_failures(struct storage_connection *connection,
                                   const unsigned char (*names)[LOCKOUT_NAME_SIZE], size_t count)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        status = lockout_forget(connection, names[i]);
    }
    return status;
}

static enum status read_password_state(struct storage_connection *connection, const char *id,
                                       int64_t *state)
{
    struct storage_statement *row;
    enum status status = rows_prepare(connection, "account_state", &row, ROW_TEXT(id));
    if (status == STATUS_OK) {
        status = storage_step(row);
    }
    *state = status == STATUS_OK ? storage_integer(row, 1) : 0;
    storage_finish(row);
    return status;
}

struct replacement {
    const char *id;
    const char *old_hash;
    const char *new_hash;
};

static enum status replace_password(struct storage_connection *connection, void *context)
{
    const struct replacement *given = context;
    int64_t changes;
    enum status status =
        rows_execute(connection, "account_set_password", &changes, ROW_TEXT(given->id),
                     ROW_TEXT(given->old_hash), ROW_TEXT(given->new_hash));
    if (status != STATUS_OK || changes > 0) {
        return status;
    }
    int64_t state;
    status = read_password_state(connection, given->id, &state);
    return status == STATUS_OK ? STATUS_CONFLICT : status;
}

enum status account_replace_password(struct storage *storage, const char *id, const char *old_hash,
                                     const char *new_hash)
{
    struct replacement given = {.id = id, .old_hash = old_hash, .new_hash = new_hash};
    return rows_transaction(storage, replace_password, &given);
}

static enum status change_password(struct storage_connection *connection, void *context)
{
    const struct account_password_change *change = context;
    int64_t state;
    int64_t changes = 0;
    enum status status = read_password_state(connection, change->id, &state);
    if (status == STATUS_OK && change->attempt != NULL) {
        status = lockout_clear(connection, change->attempt);
    }
    if (status == STATUS_OK) {
        status = rows_execute(connection, "account_change_password", &changes, ROW_TEXT(change->id),
                              ROW_TEXT(change->old_hash), ROW_TEXT(change->new_hash),
                              ROW_INTEGER(change->is_one_time), ROW_INTEGER(change->now + 1));
    }
    if (status != STATUS_OK || changes == 0) {
        return status == STATUS_OK ? STATUS_CONFLICT : status;
    }
    status = rows_execute(connection, "session_revoke_all", NULL, ROW_TEXT(change->id),
                          ROW_TEXT(change->kept_session), ROW_INTEGER(change->now));
    if (status == STATUS_OK && (state == ACCOUNT_PASSWORD_OWN || change->is_one_time)) {
        status = rows_execute(connection, "api_key_revoke_all", NULL, ROW_TEXT(change->id),
                              ROW_INTEGER(change->now));
    }
    return status == STATUS_OK ? forget_failures(connection, change->names, change->name_count)
                               : status;
}

enum status account_change_password(struct storage *storage,
                                    const struct account_password_change *change)
{
    struct account_password_change given = *change;
    return rows_transaction(storage, change_password, &given);
}

struct locking {
    const char *id;
    int64_t until;
    int64_t now;
    const unsigned char (*names)[LOCKOUT_NAME_SIZE];
    size_t name_count;
};

static enum status set_locked(struct storage_connection *connection, void *context)
{
    const struct locking *given = context;
    int64_t changes;
    enum status status = rows_execute(connection, "account_set_locked", &changes,
                                      ROW_TEXT(given->id), ROW_INTEGER(given->until));
    status = found_if_changed(status, changes);
    if (status == STATUS_OK && given->until > given->now) {
        return rows_execute(connection, "session_revoke_all", NULL, ROW_TEXT(given->id),
                            ROW_TEXT(NULL), ROW_INTEGER(given->now));
    }
    return status == STATUS_OK ? forget_failures(connection, given->names, given->name_count)
                               : status;
}

enum status account_set_locked(struct storage *storage, const char *id, int64_t locked_until,
                               int64_t now, const unsigned char (*names)[LOCKOUT_NAME_SIZE],
                               size_t name_count)
{
    struct locking given = {
        .id = id, .until = locked_until, .now = now, .names = names, .name_count = name_count};
    return rows_transaction(storage, set_locked, &given);
}

static enum status delete_account(struct storage_connection *connection, void *context)
{
    int64_t changes;
    enum status status =
        rows_execute(connection, "account_delete", &changes, ROW_TEXT((const char *)context));
    return found_if_changed(status, changes);
}

enum status account_delete(struct storage *storage, const char *id)
{
    return rows_transaction(storage, delete_account, (void *)(uintptr_t)id);
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
                                   const char *username, const char *email)
{
    if ((username != NULL && has_at_sign(username)) || (email != NULL && !has_at_sign(email))) {
        return STATUS_INVALID;
    }
    int64_t changes;
    enum status status = rows_change(storage, "account_set_profile", &changes, ROW_TEXT(id),
                                     ROW_TEXT(name), ROW_TEXT(username), ROW_TEXT(email));
    return found_if_changed(status, changes);
}

/* --- Lists -------------------------------------------------------------------------------- */

enum status account_exists_any(struct storage *storage)
{
    struct storage_statement *row;
    enum status status = rows_find_values(storage, "account_exists", &row, NULL, 0);
    storage_finish(row);
    return status;
}

enum status account_list(struct storage *storage, struct arena *arena, int64_t limit,
                         const struct account *last, struct account **out, size_t *count)
{
    void *items;
    enum status status =
        rows_list(storage, "account_list", arena, read_account, sizeof(**out), &items, count,
                  ROW_INTEGER(limit), ROW_INTEGER(last != NULL ? last->created_at : INT64_MIN),
                  ROW_TEXT(last != NULL ? last->id : ""));
    *out = items;
    return status;
}
