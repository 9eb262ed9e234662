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
#include "stores/invitations.h"
#include "stores/rows.h"

#define USER_AGENT_SIZE  257
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
    const struct session_opening *opening;
    struct session session;
    const struct session_token *first;
};

/* A session needs an account that may have one; a new account is made first. */
static enum status prepare_owner(struct storage_connection *connection,
                                 const struct session_opening *opening)
{
    enum status status = STATUS_OK;
    if (opening->invitation != NULL) {
        status = invitation_use(connection, opening->invitation, opening->now);
    }
    if (status == STATUS_OK && opening->attempt != NULL) {
        status = lockout_clear(connection, opening->attempt);
    }
    if (status != STATUS_OK) {
        return status;
    }
    return opening->new_account != NULL
               ? account_insert(connection, opening->new_account)
               : account_admit(connection, opening->user_id, opening->password_hash, opening->now);
}

static enum status create(struct storage_connection *connection, void *context)
{
    const struct creation *creation = context;
    const struct session *session = &creation->session;
    enum status status = prepare_owner(connection, creation->opening);
    if (status == STATUS_OK) {
        status = rows_execute(connection, "session_insert", NULL, ROW_TEXT(session->id),
                              ROW_TEXT(session->user_id), ROW_TEXT(session->user_agent),
                              ROW_TEXT(session->address), ROW_INTEGER(session->created_at),
                              ROW_INTEGER(session->expires_at));
    }
    if (status == STATUS_OK && creation->opening->maximum > 0) {
        status =
            rows_execute(connection, "session_revoke_oldest", NULL, ROW_TEXT(session->user_id),
                         ROW_INTEGER(session->created_at), ROW_INTEGER(creation->opening->maximum));
    }
    return status == STATUS_OK ? insert_token(connection, session->id, creation->first) : status;
}

enum status session_create(struct storage *storage, struct arena *arena,
                           const struct session_opening *opening, const struct session_token *first,
                           struct session *out)
{
    char id[RANDOM_UUID_SIZE];
    char agent[USER_AGENT_SIZE];
    const char *address = opening->address == NULL ? "" : opening->address;
    const char *user_id =
        opening->new_account != NULL ? opening->new_account->id : opening->user_id;
    random_uuid(id);
    cut_user_agent(opening->user_agent, agent);
    struct creation creation = {
        .opening = opening,
        .session = {.id = arena_copy(arena, id, strlen(id)),
                    .user_id = arena_copy(arena, user_id, strlen(user_id)),
                    .user_agent = arena_copy(arena, agent, strlen(agent)),
                    .address = arena_copy(arena, address, strlen(address)),
                    .created_at = opening->now,
                    .last_used_at = opening->now,
                    .expires_at = first->expires_at},
        .first = first,
    };
    if (creation.session.id == NULL || creation.session.user_id == NULL ||
        creation.session.user_agent == NULL || creation.session.address == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = rows_transaction(storage, create, &creation);
    if (status == STATUS_OK) {
        *out = creation.session;
    }
    return status;
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
        /* A user who is no longer active, or locked, has no session that could go on. */
        .is_revoked = storage_integer(row, 5) != 0 || storage_integer(row, 6) == 0 ||
                      storage_integer(row, 7) > rotating->now,
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
                         int64_t now, int64_t limit, int64_t offset, struct session **out,
                         size_t *count, int64_t *total)
{
    void *items = NULL;
    struct storage_statement *row;
    enum status status =
        rows_find(storage, "session_count", &row, ROW_TEXT(user_id), ROW_INTEGER(now));
    *total = status == STATUS_OK ? storage_integer(row, 0) : 0;
    storage_finish(row);
    if (status == STATUS_OK) {
        status =
            rows_list(storage, "session_list", arena, read_session, sizeof(**out), &items, count,
                      ROW_TEXT(user_id), ROW_INTEGER(now), ROW_INTEGER(limit), ROW_INTEGER(offset));
    }
    *out = items;
    return status;
}

enum status session_sweep(struct storage *storage, int64_t before, int64_t *removed)
{
    int64_t tokens = 0;
    *removed = 0;
    enum status status = rows_sweep(storage, "session_sweep_expired", removed, ROW_INTEGER(before),
                                    ROW_INTEGER(ROWS_SWEEP_BATCH));
    if (status == STATUS_OK) {
        status = rows_sweep(storage, "session_sweep_revoked", removed, ROW_INTEGER(before),
                            ROW_INTEGER(ROWS_SWEEP_BATCH));
    }
    return status != STATUS_OK ? status
                               : rows_sweep(storage, "refresh_token_sweep", &tokens,
                                            ROW_INTEGER(before), ROW_INTEGER(ROWS_SWEEP_BATCH));
}
