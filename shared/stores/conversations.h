/*
 * stores/conversations: chat sessions, their messages, and the lock that makes a turn one unit.
 *
 * A conversation belongs to an owner, whichever of the owner's credentials made it; the same id
 * under another owner is another conversation. Whatever is read of one is asked for by owner and
 * id in the same statement; numbers are given once. Positions of messages grow for ever, also over
 * conversation_clear, so a position is a stable cursor. Times are wall milliseconds.
 *
 * The lock: a turn is acquire (which makes the conversation if there is none), read the history,
 * ask the model, save. Acquiring writes a token, the end of the lease, and counts the fence up;
 * saving and releasing ask for exactly that token and fence, in the same transaction, so a holder
 * that was paused past its lease cannot overwrite what another wrote meanwhile. Nothing here
 * waits: who finds a conversation locked is told so at once and comes again.
 */
#ifndef STORES_CONVERSATIONS_H
#define STORES_CONVERSATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "storage/storage.h"
#include "stores/ledger.h"

#define CONVERSATION_TOKEN_MAXIMUM 80 /* bytes, without the NUL */

struct conversation_key {
    const char *owner;
    const char *id;
};

struct conversation {
    int64_t number; /* never given twice */
    const char *id;
    const char *model; /* "provider/model" of the last turn; "" before the first */
    const char *title; /* "" before the first turn */
    int64_t message_count;
    int64_t version; /* turns and clearings so far */
    int64_t created_at;
    int64_t updated_at;
    int64_t expires_at;
};

struct conversation_message {
    int64_t position;
    const char *role; /* "user", "assistant", "system", "tool" */
    const char *content;
    const char *tool_calls;   /* JSON array; NULL when none */
    const char *tool_call_id; /* NULL when none */
    int64_t tokens;           /* 0 when unknown */
    int64_t created_at;
    bool is_cut_off; /* the client left before the answer was complete */
};

/* Who asks, and when. */
struct conversation_claim {
    int64_t now;
    int64_t expires_at; /* of the conversation, if this use keeps it alive */
    /* Only for conversation_acquire: */
    int64_t count_maximum; /* conversations an owner may have, also expired ones; 0: any number */
    const char *token;
    int64_t lease_expires_at;
    /* Tells that the holder of a lock has died, so that its lease need not be waited for; NULL:
     * leases only. Called inside a transaction: must not touch the database. */
    bool (*holder_is_dead)(const char *token, void *context);
    void *context;
};

struct conversation_lock {
    int64_t number;
    int64_t fence;
    char token[CONVERSATION_TOKEN_MAXIMUM + 1];
};

/* Locks the conversation, making it if there is none; one that has expired begins anew, empty.
 * STATUS_BUSY: somebody else holds it. STATUS_TOO_LARGE: it would be one more than the owner may
 * have. */
enum status conversation_acquire(struct storage *storage, struct arena *arena,
                                 const struct conversation_key *key,
                                 const struct conversation_claim *claim,
                                 struct conversation_lock *lock,
                                 struct conversation *out) MUST_CHECK;

/* Moves the end of the lease. STATUS_CONFLICT: the lock is not ours any more. */
enum status conversation_renew(struct storage *storage, const struct conversation_lock *lock,
                               int64_t lease_expires_at) MUST_CHECK;

struct conversation_turn {
    const struct conversation_message *messages; /* positions are given here, not read */
    size_t message_count;
    const char *model;
    const char *title; /* taken if the conversation has none yet */
    int64_t now;
    int64_t expires_at;
    const struct ledger_entry *entry; /* written in the same transaction; NULL = none */
};

/* Appends the messages and releases the lock, all or nothing. STATUS_CONFLICT: the lock is not
 * ours any more, nothing was written. */
enum status conversation_save(struct storage *storage, const struct conversation_lock *lock,
                              const struct conversation_turn *turn) MUST_CHECK;

/* Releases without a turn; a conversation that never had one vanishes. `entry` as above. A lock
 * that was lost is fine. */
enum status conversation_release(struct storage *storage, const struct conversation_lock *lock,
                                 const struct ledger_entry *entry) MUST_CHECK;

/* The newest messages, oldest first, as many whole ones as fit into `bytes_maximum` of content;
 * it begins with a message of the user (a model refuses an answer to nothing). */
enum status conversation_history(struct storage *storage, struct arena *arena,
                                 const struct conversation_key *key, size_t bytes_maximum,
                                 struct conversation_message **out, size_t *count) MUST_CHECK;

/* STATUS_NOT_FOUND; STATUS_EXPIRED: it was there, and is not swept yet. */
enum status conversation_find(struct storage *storage, struct arena *arena,
                              const struct conversation_key *key, int64_t now,
                              struct conversation *out) MUST_CHECK;

/* At most `limit` of the owner's conversations, the most recently used first, after the first
 * `offset`; *total counts all of them that have not expired. */
enum status conversation_list(struct storage *storage, struct arena *arena, const char *owner,
                              int64_t now, int64_t limit, int64_t offset, struct conversation **out,
                              size_t *count, int64_t *total) MUST_CHECK;

/* A page of at most `limit` messages before a position (INT64_MAX: the newest), oldest first.
 * *has_more: there are older ones. */
enum status conversation_messages(struct storage *storage, struct arena *arena,
                                  const struct conversation_key *key, int64_t before, int64_t limit,
                                  struct conversation_message **out, size_t *count,
                                  bool *has_more) MUST_CHECK;

/* STATUS_NOT_FOUND, STATUS_EXPIRED as conversation_find; STATUS_BUSY as conversation_acquire. */
enum status conversation_clear(struct storage *storage, const struct conversation_key *key,
                               const struct conversation_claim *claim) MUST_CHECK;
enum status conversation_delete(struct storage *storage, const struct conversation_key *key,
                                const struct conversation_claim *claim) MUST_CHECK;

/* Removes at most `limit` rows of conversations that expired before `before`: messages first, then
 * the conversations that have none (left). *removed counts conversations, *has_more: there may be
 * more to do. */
enum status conversation_sweep(struct storage *storage, int64_t before, int64_t limit,
                               int64_t *removed, bool *has_more) MUST_CHECK;

#endif
