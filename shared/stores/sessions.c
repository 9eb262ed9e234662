/*
 * stores/sessions: the tables sessions and refresh_tokens.
 *
 * The refresh tokens of a session form one line: each that was used has its child's hash. Only
 * the newest is unused. That the immediate parent came back is therefore seen by its child still
 * being unused; everything older is a theft.
 */
#include "stores/sessions.h"

#include <string.h>

#include "base/random.h"
#include "stores/rows.h"

#define USER_AGENT_SIZE  257
#define SWEEP_BATCH      500
#define TOKEN_HASH(hash) ROW_BLOB((hash), SESSION_TOKEN_HASH_SIZE)

static enum status read_session(struct storage_statement *row, struct arena *arena, void *item)
{
    struct session *out = item;
    *out = (struct session){
        .id = storage_copy_text(row, 0, arena),
        .user_id = storage_copy_text(row, 1, arena),
        .user_agent = storage_copy_text(row, 2, arena),
        .address = storage_copy_text(row, 3, arena),
        .created_at = storage_integer(row, 4),
        .last_used_at = storage_integer(row, 5),
        .expires_at = storage_integer(row, 6),
        .revoked_at = storage_integer(row, 7),
    };
    return storage_status(row);
}

/* Cuts at a whole character, and keeps out what is no text: not every database would take it. */
static void cut_user_agent(const char *text, char out[USER_AGENT_SIZE])
{
    size_t length = text == NULL ? 0 : strnlen(text, USER_AGENT_SIZE);
    if (length == USER_AGENT_SIZE) {
        length--;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80) {
            length--;
        }
    }
    if (length > 0) {
        memcpy(out, text, length);
    }
    out[length] = '\0';
    if (!text_is_utf8(out, length)) {
        for (size_t i = 0; i < length; i++) {
            out[i] = (unsigned char)out[i] < 0x80 ? out[i] : '?';
        }
    }
}

static enum status insert_token(struct storage_connection *connection, const char *session_id,
                                const struct session_token *token)
{
    return rows_execute(connection, "refresh_token_insert", NULL, TOKEN_HASH(token->hash),
                        ROW_TEXT(session_id), ROW_BLOB(token->sealed, token->sealed_length),
                        ROW_INTEGER(token->expires_at));
}

struct creation {
    const struct account *account; /* to be made too; NULL: it is there */
    const char *password_hash;     /* the account must still have it; NULL: any */
    struct session session;
    const struct session_token *first;
};

/* A password that was changed while it was being checked must leave no session: the change has
 * ended only those that were there. */
static enum status check_password(struct storage_connection *connection, const char *user_id,
                                  const char *password_hash)
{
    struct storage_statement *row;
    enum status status = rows_prepare(connection, "account_has_password", &row, ROW_TEXT(user_id),
                                      ROW_TEXT(password_hash));
    if (status == STATUS_OK) {
        status = storage_step(row);
    }
    storage_finish(row);
    return status == STATUS_NOT_FOUND ? STATUS_BUSY : status;
}

static enum status create(struct storage_connection *connection, void *context)
{
    const struct creation *creation = context;
    const struct session *session = &creation->session;
    enum status status = STATUS_OK;
    if (creation->account != NULL) {
        status = account_insert(connection, creation->account);
    } else if (creation->password_hash != NULL) {
        status = check_password(connection, session->user_id, creation->password_hash);
    }
    if (status == STATUS_OK) {
        status = rows_execute(connection, "session_insert", NULL, ROW_TEXT(session->id),
                              ROW_TEXT(session->user_id), ROW_TEXT(session->user_agent),
                              ROW_TEXT(session->address), ROW_INTEGER(session->created_at),
                              ROW_INTEGER(session->expires_at));
    }
    return status == STATUS_OK ? insert_token(connection, session->id, creation->first) : status;
}

static enum status run_creation(struct storage *storage, struct arena *arena,
                                struct creation *creation, struct session *out)
{
    char id[RANDOM_UUID_SIZE];
    char agent[USER_AGENT_SIZE];
    struct session *session = &creation->session;
    random_uuid(id);
    cut_user_agent(session->user_agent, agent);
    const char *address = session->address == NULL ? "" : session->address;
    session->id = arena_copy(arena, id, strlen(id));
    session->user_id = arena_copy(arena, session->user_id, strlen(session->user_id));
    session->user_agent = arena_copy(arena, agent, strlen(agent));
    session->address = arena_copy(arena, address, strlen(address));
    session->last_used_at = session->created_at;
    session->expires_at = creation->first->expires_at;
    if (session->id == NULL || session->user_id == NULL || session->user_agent == NULL ||
        session->address == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = rows_transaction(storage, create, creation);
    if (status == STATUS_OK) {
        *out = *session;
    }
    return status;
}

enum status session_create(struct storage *storage, struct arena *arena, const char *user_id,
                           const char *password_hash, const char *user_agent, const char *address,
                           int64_t now, const struct session_token *first, struct session *out)
{
    struct creation creation = {.password_hash = password_hash,
                                .session = {.user_id = user_id,
                                            .user_agent = user_agent,
                                            .address = address,
                                            .created_at = now},
                                .first = first};
    return run_creation(storage, arena, &creation, out);
}

enum status session_create_with_account(struct storage *storage, struct arena *arena,
                                        const struct account *account, const char *user_agent,
                                        const char *address, int64_t now,
                                        const struct session_token *first, struct session *out)
{
    struct creation creation = {.account = account,
                                .session = {.user_id = account->id,
                                            .user_agent = user_agent,
                                            .address = address,
                                            .created_at = now},
                                .first = first};
    return run_creation(storage, arena, &creation, out);
}

/* --- Rotation ----------------------------------------------------------------------------- */

struct rotating {
    struct arena *arena;
    const unsigned char *hash;
    int64_t now;
    const struct session_token *candidate;
    struct session_token child;
    enum session_rotation result;
    struct session session;
};

/* A refresh token as it stands, with what matters of its session. */
struct token_state {
    const char *session_id;
    const char *user_id;
    bool is_used;
    int64_t used_at;
    unsigned char child_hash[SESSION_TOKEN_HASH_SIZE];
    bool is_expired;
    bool is_revoked;
};

static enum status read_token_state(struct storage_connection *connection,
                                    const struct rotating *rotating, struct token_state *out)
{
    struct storage_statement *row;
    enum status status =
        rows_prepare(connection, "refresh_token_with_session", &row, TOKEN_HASH(rotating->hash));
    if (status == STATUS_OK) {
        status = storage_step(row);
    }
    if (status != STATUS_OK) {
        goto out;
    }
    *out = (struct token_state){
        .session_id = storage_copy_text(row, 0, rotating->arena),
        .is_used = !storage_is_null(row, 2),
        .used_at = storage_integer(row, 2),
        .user_id = storage_copy_text(row, 4, rotating->arena),
        .is_expired = storage_integer(row, 1) <= rotating->now,
        /* A user who is no longer active has no session that could go on. */
        .is_revoked = storage_integer(row, 5) != 0 || storage_integer(row, 6) == 0,
    };
    struct slice child = storage_blob(row, 3);
    if (child.length == sizeof(out->child_hash)) {
        memcpy(out->child_hash, child.data, child.length);
    }
    status = storage_status(row);
out:
    storage_finish(row);
    return status;
}

/* STATUS_NOT_FOUND when the child has been used too, or swept away. */
static enum status read_unused_child(struct storage_connection *connection,
                                     const unsigned char *hash, struct session_token *out)
{
    struct storage_statement *row;
    enum status status = rows_prepare(connection, "refresh_token_unused", &row, TOKEN_HASH(hash));
    if (status == STATUS_OK) {
        status = storage_step(row);
    }
    if (status != STATUS_OK) {
        goto out;
    }
    struct slice sealed = storage_blob(row, 0);
    if (sealed.length > sizeof(out->sealed)) {
        status = STATUS_INTERNAL;
        goto out;
    }
    memcpy(out->hash, hash, sizeof(out->hash));
    memcpy(out->sealed, sealed.data, sealed.length);
    out->sealed_length = sealed.length;
    out->expires_at = storage_integer(row, 1);
out:
    storage_finish(row);
    return status;
}

static enum status judge_reuse(struct storage_connection *connection, struct rotating *rotating,
                               const struct token_state *token)
{
    if (rotating->now - token->used_at <= SESSION_REUSE_SECONDS) {
        enum status status = read_unused_child(connection, token->child_hash, &rotating->child);
        if (status != STATUS_NOT_FOUND) {
            rotating->result = SESSION_REPEATED;
            return status;
        }
    }
    rotating->result = SESSION_REUSED;
    return rows_execute(connection, "session_revoke", NULL, ROW_TEXT(token->session_id),
                        ROW_TEXT(token->user_id), ROW_INTEGER(rotating->now));
}

static enum status use_token(struct storage_connection *connection, struct rotating *rotating,
                             const struct token_state *token)
{
    const struct session_token *child = rotating->candidate;
    rotating->result = SESSION_ROTATED;
    rotating->child = *child;
    enum status status = insert_token(connection, token->session_id, child);
    if (status == STATUS_OK) {
        status = rows_execute(connection, "refresh_token_use", NULL, TOKEN_HASH(rotating->hash),
                              ROW_INTEGER(rotating->now), TOKEN_HASH(child->hash));
    }
    if (status == STATUS_OK) {
        status = rows_execute(connection, "session_touch", NULL, ROW_TEXT(token->session_id),
                              ROW_INTEGER(rotating->now), ROW_INTEGER(child->expires_at));
    }
    return status;
}

static enum status rotate(struct storage_connection *connection, void *context)
{
    struct rotating *rotating = context;
    struct token_state token;
    enum status status = read_token_state(connection, rotating, &token);
    if (status == STATUS_NOT_FOUND) {
        rotating->result = SESSION_UNKNOWN;
        return STATUS_OK;
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (token.is_revoked) {
        rotating->result = SESSION_REVOKED;
    } else if (token.is_used) {
        status = judge_reuse(connection, rotating, &token);
    } else if (token.is_expired) {
        rotating->result = SESSION_EXPIRED;
    } else {
        status = use_token(connection, rotating, &token);
    }
    if (status != STATUS_OK ||
        (rotating->result != SESSION_ROTATED && rotating->result != SESSION_REPEATED)) {
        return status;
    }
    struct storage_statement *row;
    status = rows_prepare(connection, "session_by_id", &row, ROW_TEXT(token.session_id));
    if (status == STATUS_OK) {
        status = storage_step(row);
    }
    if (status == STATUS_OK) {
        status = read_session(row, rotating->arena, &rotating->session);
    }
    storage_finish(row);
    return status;
}

enum status session_rotate(struct storage *storage, struct arena *arena,
                           const unsigned char token_hash[SESSION_TOKEN_HASH_SIZE], int64_t now,
                           struct session_token *child, enum session_rotation *rotation,
                           struct session *out)
{
    struct rotating rotating = {.arena = arena, .hash = token_hash, .now = now, .candidate = child};
    enum status status = rows_transaction(storage, rotate, &rotating);
    if (status != STATUS_OK) {
        return status;
    }
    *rotation = rotating.result;
    if (rotating.result == SESSION_ROTATED || rotating.result == SESSION_REPEATED) {
        *child = rotating.child;
        *out = rotating.session;
    }
    return STATUS_OK;
}

/* --- The rest ----------------------------------------------------------------------------- */

enum status session_find(struct storage *storage, struct arena *arena, const char *id,
                         struct session *out)
{
    struct storage_statement *row;
    enum status status = rows_find(storage, "session_by_id", &row, ROW_TEXT(id));
    if (status == STATUS_OK) {
        status = read_session(row, arena, out);
    }
    storage_finish(row);
    return status;
}

enum status session_revoke(struct storage *storage, const char *user_id, const char *id,
                           int64_t now)
{
    return rows_change(storage, "session_revoke", NULL, ROW_TEXT(id), ROW_TEXT(user_id),
                       ROW_INTEGER(now));
}

enum status session_revoke_all(struct storage *storage, const char *user_id, const char *except_id,
                               int64_t now)
{
    return rows_change(storage, "session_revoke_all", NULL, ROW_TEXT(user_id), ROW_TEXT(except_id),
                       ROW_INTEGER(now));
}

enum status session_list(struct storage *storage, struct arena *arena, const char *user_id,
                         int64_t now, struct session **out, size_t *count)
{
    void *items;
    enum status status = rows_list(storage, "session_list", arena, read_session, sizeof(**out),
                                   &items, count, ROW_TEXT(user_id), ROW_INTEGER(now));
    *out = items;
    return status;
}

/* In batches, so that nobody waits long for the write lock. */
static enum status sweep(struct storage *storage, const char *name, int64_t before,
                         int64_t *removed)
{
    int64_t changes;
    enum status status;
    do {
        status =
            rows_change(storage, name, &changes, ROW_INTEGER(before), ROW_INTEGER(SWEEP_BATCH));
        *removed += changes;
    } while (status == STATUS_OK && changes == SWEEP_BATCH);
    return status;
}

enum status session_sweep(struct storage *storage, int64_t before, int64_t *removed)
{
    *removed = 0;
    enum status status = sweep(storage, "session_sweep", before, removed);
    int64_t tokens = 0;
    return status == STATUS_OK ? sweep(storage, "refresh_token_sweep", before, &tokens) : status;
}
