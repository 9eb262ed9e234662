/*
 * stores/conversations: the tables conversations and messages.
 */
#include "stores/conversations.h"

#include <stdio.h>
#include <string.h>

#include "stores/rows.h"

#define HISTORY_MESSAGES_MAXIMUM 10000

/* --- Conversations -------------------------------------------------------------------------- */

/* Of conversation_find; the text lives until the statement is finished. */
struct lock_state {
    struct slice token;
    int64_t fence;
    int64_t expires_at;
};

static enum status read_conversation(struct storage_statement *row, int first, struct arena *arena,
                                     struct conversation *out)
{
    out->model = storage_copy_text(row, first, arena);
    out->title = storage_copy_text(row, first + 1, arena);
    out->message_count = storage_integer(row, first + 2);
    out->version = storage_integer(row, first + 3);
    out->created_at = storage_integer(row, first + 4);
    out->updated_at = storage_integer(row, first + 5);
    out->expires_at = storage_integer(row, first + 6);
    return storage_status(row);
}

static enum status find_row(struct storage_statement *row, struct arena *arena,
                            const struct conversation_key *key, struct conversation *out)
{
    out->number = storage_integer(row, 0);
    out->id = key->id;
    return read_conversation(row, 1, arena, out);
}

enum status conversation_find(struct storage *storage, struct arena *arena,
                              const struct conversation_key *key, int64_t now,
                              struct conversation *out)
{
    struct storage_statement *row;
    enum status status =
        rows_find(storage, "conversation_find", &row, ROW_TEXT(key->owner), ROW_TEXT(key->id));
    if (status == STATUS_OK) {
        status = find_row(row, arena, key, out);
    }
    storage_finish(row);
    if (status == STATUS_OK && out->expires_at <= now) {
        return STATUS_EXPIRED;
    }
    return status;
}

static enum status read_listed(struct storage_statement *row, struct arena *arena, void *item)
{
    struct conversation *out = item;
    out->id = storage_copy_text(row, 0, arena);
    out->number = storage_integer(row, 8);
    return read_conversation(row, 1, arena, out);
}

enum status conversation_list(struct storage *storage, struct arena *arena, const char *owner,
                              int64_t now, int64_t limit, int64_t offset, struct conversation **out,
                              size_t *count, int64_t *total)
{
    void *items = NULL;
    struct storage_statement *row;
    enum status status =
        rows_find(storage, "conversation_count", &row, ROW_TEXT(owner), ROW_INTEGER(now));
    *total = status == STATUS_OK ? storage_integer(row, 0) : 0;
    storage_finish(row);
    if (status == STATUS_OK) {
        status = rows_list(storage, "conversation_list", arena, read_listed,
                           sizeof(struct conversation), &items, count, ROW_TEXT(owner),
                           ROW_INTEGER(now), ROW_INTEGER(limit), ROW_INTEGER(offset));
    }
    *out = items;
    return status;
}

/* --- The lock ------------------------------------------------------------------------------- */

struct acquisition {
    struct arena *arena;
    const struct conversation_key *key;
    const struct conversation_claim *claim;
    struct conversation_lock *lock; /* NULL: only look whether it is free */
    struct conversation *out;
};

static bool is_held(const struct lock_state *state, const struct conversation_claim *claim)
{
    if (state->token.length == 0 || state->expires_at <= claim->now) {
        return false;
    }
    return claim->holder_is_dead == NULL ||
           !claim->holder_is_dead(state->token.data, claim->context);
}

/* The row, if it is there and nobody holds it. *fence is the last one used. */
static enum status find_free(struct storage_connection *connection, const struct acquisition *given,
                             int64_t *fence)
{
    const struct conversation_key *key = given->key;
    struct storage_statement *row;
    enum status status = rows_prepare(connection, "conversation_find", &row, ROW_TEXT(key->owner),
                                      ROW_TEXT(key->id));
    if (status == STATUS_OK) {
        status = storage_step(row);
    }
    if (status == STATUS_OK) {
        struct lock_state state = {.token = storage_text(row, 8),
                                   .fence = storage_integer(row, 9),
                                   .expires_at = storage_integer(row, 10)};
        *fence = state.fence;
        status = is_held(&state, given->claim) ? STATUS_BUSY
                                               : find_row(row, given->arena, key, given->out);
    }
    storage_finish(row);
    return status;
}

/* Whether the owner may have one more. */
static enum status check_count(struct storage_connection *connection,
                               const struct acquisition *given)
{
    int64_t maximum = given->claim->count_maximum;
    struct storage_statement *row;
    if (maximum == 0) {
        return STATUS_OK;
    }
    enum status status = rows_prepare(connection, "conversation_count_up_to", &row,
                                      ROW_TEXT(given->key->owner), ROW_INTEGER(maximum));
    if (status == STATUS_OK) {
        status = storage_step(row);
    }
    if (status == STATUS_OK && storage_integer(row, 0) >= maximum) {
        status = STATUS_TOO_LARGE;
    }
    storage_finish(row);
    return status;
}

static enum status insert_locked(struct storage_connection *connection,
                                 const struct acquisition *given)
{
    const struct conversation_claim *claim = given->claim;
    struct storage_statement *row = NULL;
    enum status status = check_count(connection, given);
    if (status == STATUS_OK) {
        status = rows_prepare(connection, "conversation_insert", &row, ROW_TEXT(given->key->owner),
                              ROW_TEXT(given->key->id), ROW_INTEGER(claim->now),
                              ROW_INTEGER(claim->expires_at), ROW_TEXT(claim->token),
                              ROW_INTEGER(claim->lease_expires_at));
    }
    if (status == STATUS_OK) {
        status = storage_step(row);
    }
    if (status == STATUS_OK) {
        *given->out = (struct conversation){.number = storage_integer(row, 0),
                                            .id = given->key->id,
                                            .model = "",
                                            .title = "",
                                            .created_at = claim->now,
                                            .updated_at = claim->now,
                                            .expires_at = claim->expires_at};
    }
    storage_finish(row);
    return status;
}

static enum status restart(struct storage_connection *connection, const struct acquisition *given)
{
    const struct conversation_claim *claim = given->claim;
    struct conversation *out = given->out;
    enum status status =
        rows_execute(connection, "message_delete_all", NULL, ROW_INTEGER(out->number));
    if (status == STATUS_OK) {
        status = rows_execute(connection, "conversation_restart", NULL, ROW_INTEGER(out->number),
                              ROW_INTEGER(claim->now), ROW_INTEGER(claim->expires_at));
    }
    *out = (struct conversation){.number = out->number,
                                 .id = out->id,
                                 .model = "",
                                 .title = "",
                                 .created_at = claim->now,
                                 .updated_at = claim->now,
                                 .expires_at = claim->expires_at};
    return status;
}

static enum status work_acquire(struct storage_connection *connection, void *context)
{
    struct acquisition *given = context;
    struct conversation_lock *lock = given->lock;
    int64_t fence = 0;
    enum status status = find_free(connection, given, &fence);
    if (status == STATUS_NOT_FOUND) {
        status = insert_locked(connection, given);
    } else if (status == STATUS_OK) {
        if (given->out->expires_at <= given->claim->now) {
            status = restart(connection, given);
        }
        if (status == STATUS_OK) {
            status = rows_execute(connection, "conversation_lock", NULL,
                                  ROW_INTEGER(given->out->number), ROW_TEXT(given->claim->token),
                                  ROW_INTEGER(given->claim->lease_expires_at));
        }
    }
    if (status == STATUS_OK) {
        lock->number = given->out->number;
        lock->fence = fence + 1;
        snprintf(lock->token, sizeof lock->token, "%s", given->claim->token);
    }
    return status;
}

enum status conversation_acquire(struct storage *storage, struct arena *arena,
                                 const struct conversation_key *key,
                                 const struct conversation_claim *claim,
                                 struct conversation_lock *lock, struct conversation *out)
{
    size_t length = strlen(claim->token);
    if (length == 0 || length > CONVERSATION_TOKEN_MAXIMUM) {
        return STATUS_INVALID;
    }
    struct acquisition given = {
        .arena = arena, .key = key, .claim = claim, .lock = lock, .out = out};
    return rows_transaction(storage, work_acquire, &given);
}

enum status conversation_renew(struct storage *storage, const struct conversation_lock *lock,
                               int64_t lease_expires_at)
{
    int64_t changes = 0;
    enum status status =
        rows_change(storage, "conversation_renew", &changes, ROW_INTEGER(lock->number),
                    ROW_INTEGER(lock->fence), ROW_TEXT(lock->token), ROW_INTEGER(lease_expires_at));
    return status == STATUS_OK && changes == 0 ? STATUS_CONFLICT : status;
}

struct ending {
    const struct conversation_lock *lock;
    const struct conversation_turn *turn; /* of conversation_save */
    const struct ledger_entry *entry;
};

static enum status insert_message(struct storage_connection *connection, int64_t number,
                                  int64_t position, const struct conversation_message *message)
{
    return rows_execute(connection, "message_insert", NULL, ROW_INTEGER(number),
                        ROW_INTEGER(position), ROW_TEXT(message->role), ROW_TEXT(message->content),
                        ROW_TEXT(message->tool_calls), ROW_TEXT(message->tool_call_id),
                        ROW_INTEGER(message->tokens), ROW_INTEGER(message->is_cut_off),
                        ROW_INTEGER(message->created_at));
}

static enum status work_save(struct storage_connection *connection, void *context)
{
    const struct ending *given = context;
    const struct conversation_lock *lock = given->lock;
    const struct conversation_turn *turn = given->turn;
    int64_t count = (int64_t)turn->message_count;
    struct storage_statement *row;
    enum status status = rows_prepare(
        connection, "conversation_save", &row, ROW_INTEGER(lock->number), ROW_INTEGER(lock->fence),
        ROW_TEXT(lock->token), ROW_TEXT(turn->model), ROW_TEXT(turn->title), ROW_INTEGER(count),
        ROW_INTEGER(turn->now), ROW_INTEGER(turn->expires_at));
    if (status == STATUS_OK) {
        status = storage_step(row);
    }
    int64_t position = status == STATUS_OK ? storage_integer(row, 0) - count : 0;
    storage_finish(row);
    if (status == STATUS_NOT_FOUND) {
        return STATUS_CONFLICT;
    }
    for (size_t i = 0; status == STATUS_OK && i < turn->message_count; i++) {
        status =
            insert_message(connection, lock->number, position + (int64_t)i, &turn->messages[i]);
    }
    if (status == STATUS_OK && turn->entry != NULL) {
        status = ledger_insert_within(connection, turn->entry);
    }
    return status;
}

enum status conversation_save(struct storage *storage, const struct conversation_lock *lock,
                              const struct conversation_turn *turn)
{
    struct ending given = {.lock = lock, .turn = turn};
    return rows_transaction(storage, work_save, &given);
}

static enum status work_release(struct storage_connection *connection, void *context)
{
    const struct ending *given = context;
    const struct conversation_lock *lock = given->lock;
    int64_t dropped = 0;
    enum status status =
        rows_execute(connection, "conversation_drop_unused", &dropped, ROW_INTEGER(lock->number),
                     ROW_INTEGER(lock->fence), ROW_TEXT(lock->token));
    if (status == STATUS_OK && dropped == 0) {
        status = rows_execute(connection, "conversation_release", NULL, ROW_INTEGER(lock->number),
                              ROW_INTEGER(lock->fence), ROW_TEXT(lock->token));
    }
    if (status == STATUS_OK && given->entry != NULL) {
        status = ledger_insert_within(connection, given->entry);
    }
    return status;
}

enum status conversation_release(struct storage *storage, const struct conversation_lock *lock,
                                 const struct ledger_entry *entry)
{
    struct ending given = {.lock = lock, .entry = entry};
    return rows_transaction(storage, work_release, &given);
}

/* --- Clearing and removing ------------------------------------------------------------------ */

static enum status find_usable(struct storage_connection *connection,
                               const struct acquisition *given)
{
    int64_t fence = 0;
    enum status status = find_free(connection, given, &fence);
    if (status == STATUS_OK && given->out->expires_at <= given->claim->now) {
        return STATUS_EXPIRED;
    }
    return status;
}

static enum status work_clear(struct storage_connection *connection, void *context)
{
    const struct acquisition *given = context;
    enum status status = find_usable(connection, given);
    if (status == STATUS_OK) {
        status =
            rows_execute(connection, "message_delete_all", NULL, ROW_INTEGER(given->out->number));
    }
    if (status == STATUS_OK) {
        status =
            rows_execute(connection, "conversation_clear", NULL, ROW_INTEGER(given->out->number),
                         ROW_INTEGER(given->claim->now), ROW_INTEGER(given->claim->expires_at));
    }
    return status;
}

static enum status work_delete(struct storage_connection *connection, void *context)
{
    const struct acquisition *given = context;
    enum status status = find_usable(connection, given);
    if (status == STATUS_OK) {
        status =
            rows_execute(connection, "conversation_delete", NULL, ROW_INTEGER(given->out->number));
    }
    return status;
}

static enum status change_free(struct storage *storage, const struct conversation_key *key,
                               const struct conversation_claim *claim, storage_work *work)
{
    struct arena arena;
    arena_init(&arena, 64u << 10);
    struct conversation found;
    struct acquisition given = {.arena = &arena, .key = key, .claim = claim, .out = &found};
    enum status status = rows_transaction(storage, work, &given);
    arena_destroy(&arena);
    return status;
}

enum status conversation_clear(struct storage *storage, const struct conversation_key *key,
                               const struct conversation_claim *claim)
{
    return change_free(storage, key, claim, work_clear);
}

enum status conversation_delete(struct storage *storage, const struct conversation_key *key,
                                const struct conversation_claim *claim)
{
    return change_free(storage, key, claim, work_delete);
}

struct sweeping {
    int64_t before;
    int64_t limit;
    int64_t messages;
    int64_t conversations;
};

static enum status work_sweep(struct storage_connection *connection, void *context)
{
    struct sweeping *sweeping = context;
    enum status status = rows_execute(connection, "message_sweep", &sweeping->messages,
                                      ROW_INTEGER(sweeping->before), ROW_INTEGER(sweeping->limit));
    sweeping->conversations = 0;
    if (status == STATUS_OK && sweeping->messages < sweeping->limit) {
        status = rows_execute(connection, "conversation_sweep", &sweeping->conversations,
                              ROW_INTEGER(sweeping->before),
                              ROW_INTEGER(sweeping->limit - sweeping->messages));
    }
    return status;
}

enum status conversation_sweep(struct storage *storage, int64_t before, int64_t limit,
                               int64_t *removed, bool *has_more)
{
    struct sweeping sweeping = {.before = before, .limit = limit};
    enum status status = rows_transaction(storage, work_sweep, &sweeping);
    *removed = sweeping.conversations;
    *has_more = sweeping.messages + sweeping.conversations >= limit;
    return status;
}

/* --- Messages ------------------------------------------------------------------------------- */

static enum status read_message(struct storage_statement *row, struct arena *arena, void *item)
{
    struct conversation_message *out = item;
    out->position = storage_integer(row, 0);
    out->role = storage_copy_text(row, 1, arena);
    out->content = storage_copy_text(row, 2, arena);
    out->tool_calls = storage_copy_text(row, 3, arena);
    out->tool_call_id = storage_copy_text(row, 4, arena);
    out->tokens = storage_integer(row, 5);
    out->is_cut_off = storage_integer(row, 6) != 0;
    out->created_at = storage_integer(row, 7);
    return storage_status(row);
}

static void reverse(struct conversation_message *messages, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        struct conversation_message saved = messages[i];
        messages[i] = messages[count - 1 - i];
        messages[count - 1 - i] = saved;
    }
}

/* One more than asked for is read, only to know that it is there. */
static bool drop_beyond(size_t *count, int64_t limit)
{
    bool has_more = *count > (size_t)limit;
    if (has_more) {
        *count = (size_t)limit;
    }
    return has_more;
}

enum status conversation_messages(struct storage *storage, struct arena *arena,
                                  const struct conversation_key *key, int64_t before, int64_t limit,
                                  struct conversation_message **out, size_t *count, bool *has_more)
{
    void *items = NULL;
    enum status status =
        rows_list(storage, "message_list_before", arena, read_message,
                  sizeof(struct conversation_message), &items, count, ROW_TEXT(key->owner),
                  ROW_TEXT(key->id), ROW_INTEGER(before), ROW_INTEGER(limit + 1));
    *out = items;
    *has_more = drop_beyond(count, limit);
    reverse(*out, *count);
    return status;
}

enum status conversation_history(struct storage *storage, struct arena *arena,
                                 const struct conversation_key *key, size_t bytes_maximum,
                                 struct conversation_message **out, size_t *count)
{
    struct storage_statement *row;
    enum status status =
        rows_find(storage, "message_list_before", &row, ROW_TEXT(key->owner), ROW_TEXT(key->id),
                  ROW_INTEGER(INT64_MAX), ROW_INTEGER(HISTORY_MESSAGES_MAXIMUM));
    struct conversation_message *messages = NULL;
    size_t capacity = 0;
    size_t bytes = 0;
    *count = 0;
    while (status == STATUS_OK) {
        bytes += storage_text(row, 2).length;
        if (bytes > bytes_maximum) {
            break;
        }
        if (*count == capacity) {
            capacity = capacity == 0 ? 16 : 2 * capacity;
            struct conversation_message *larger =
                arena_allocate(arena, capacity * sizeof *messages);
            if (larger == NULL) {
                status = STATUS_NO_MEMORY;
                break;
            }
            if (*count > 0) {
                memcpy(larger, messages, *count * sizeof *messages);
            }
            messages = larger;
        }
        status = read_message(row, arena, &messages[*count]);
        if (status == STATUS_OK) {
            ++*count;
            status = storage_step(row);
        }
    }
    storage_finish(row);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        return status;
    }
    while (*count > 0 && strcmp(messages[*count - 1].role, "user") != 0) {
        --*count;
    }
    reverse(messages, *count);
    *out = messages;
    return STATUS_OK;
}
