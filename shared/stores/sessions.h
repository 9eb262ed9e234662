/*
 * stores/sessions: login sessions and their refresh tokens.
 *
 * A session (sid) is one login of one user; it is what "family" means in refresh rotation. Refresh
 * tokens are opaque random texts, stored as SHA-256 (the caller hashes). Each use marks the token
 * used and inserts its one child, in one transaction. The immediate parent is excused for
 * SESSION_REUSE_SECONDS and gets the same child again (stored encrypted under a key made from the
 * parent's text, so the database alone cannot show it); any other reuse revokes the session.
 */
#ifndef STORES_SESSIONS_H
#define STORES_SESSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "storage/storage.h"
#include "stores/accounts.h"

#define SESSION_REUSE_SECONDS     10
#define SESSION_TOKEN_HASH_SIZE   32
#define SESSION_SEALED_CHILD_SIZE 128 /* at most */

struct session {
    const char *id; /* sid, a UUID */
    const char *user_id;
    const char *user_agent; /* cut at 256 bytes; "" when unknown */
    const char *address;
    int64_t created_at;
    int64_t last_used_at;
    int64_t expires_at;
    int64_t revoked_at; /* 0 = live */
};

struct session_token {
    unsigned char hash[SESSION_TOKEN_HASH_SIZE];
    unsigned char sealed[SESSION_SEALED_CHILD_SIZE]; /* this token's text, sealed by its parent */
    size_t sealed_length;
    int64_t expires_at;
};

/* What a new session is made from. */
struct session_opening {
    const char *user_id;
    const char *password_hash; /* the user must still have it; NULL: any */
    const char *user_agent;    /* NULL allowed */
    const char *address;       /* NULL allowed */
    int64_t now;
    int64_t maximum;                       /* live sessions of the user; 0: any number */
    const struct lockout_attempt *attempt; /* whose count a success clears; NULL: none */
    const struct account *new_account;     /* made with it (account_prepare); NULL: it is there */
    const unsigned char *invitation;       /* used up with it; NULL: none */
};

/* New session with its first refresh token; *out is in the arena. All in one transaction, so that
 * neither a lock nor a changed password nor a removed account can be overtaken by a login. Sessions
 * beyond `maximum` end, those that were used longest ago first.
 * STATUS_BUSY, and nothing is stored: account_admit or lockout_clear says so. STATUS_CONFLICT: the
 * new account's e-mail address or username is taken. STATUS_DENIED: the invitation is no good. */
enum status session_create(struct storage *storage, struct arena *arena,
                           const struct session_opening *opening, const struct session_token *first,
                           struct session *out) MUST_CHECK;

enum session_rotation {
    SESSION_ROTATED,  /* `child` has been stored */
    SESSION_REPEATED, /* the parent was used within SESSION_REUSE_SECONDS: `child` is overwritten
                         with what was stored then */
    SESSION_REUSED,   /* an older token came back: the session has been revoked */
    SESSION_EXPIRED,
    SESSION_REVOKED,
    SESSION_UNKNOWN
};

/* A rotation moves the session's end to the child's. A parent is excused while now - used_at <=
 * SESSION_REUSE_SECONDS. An owner who is not active or locked counts as SESSION_REVOKED.
 *
 * One transaction; exact under concurrency (two uses of one token: one SESSION_ROTATED, the other
 * SESSION_REPEATED). `child` is the candidate on entry. *out is filled for the first two. */
enum status session_rotate(struct storage *storage, struct arena *arena,
                           const unsigned char token_hash[SESSION_TOKEN_HASH_SIZE], int64_t now,
                           struct session_token *child, enum session_rotation *rotation,
                           struct session *out) MUST_CHECK;

/* STATUS_NOT_FOUND when absent. */
enum status session_find(struct storage *storage, struct arena *arena, const char *id,
                         struct session *out) MUST_CHECK;

/* All of these are idempotent. `user_id` guards against revoking somebody else's. */
enum status session_revoke(struct storage *storage, const char *user_id, const char *id,
                           int64_t now) MUST_CHECK;
/* All of the user's but `except_id` (NULL: all). */
enum status session_revoke_all(struct storage *storage, const char *user_id, const char *except_id,
                               int64_t now) MUST_CHECK;
/* One page of a user's live sessions, the last used first; *total counts all. */
enum status session_list(struct storage *storage, struct arena *arena, const char *user_id,
                         int64_t now, int64_t limit, int64_t offset, struct session **out,
                         size_t *count, int64_t *total) MUST_CHECK;
/* Removes sessions that ended before `before`. */
enum status session_sweep(struct storage *storage, int64_t before, int64_t *removed) MUST_CHECK;

#endif
