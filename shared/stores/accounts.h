/*
 * stores/accounts: users, their passwords' hashes, operators' locks, and who is an administrator.
 *
 * E-mail addresses and usernames come in their normal form (auth/names) and are compared as bytes;
 * ids are UUIDs. Hashing is not done here: callers hash before and outside the transaction. All
 * results live in the arena given. Times are wall seconds.
 */
#ifndef STORES_ACCOUNTS_H
#define STORES_ACCOUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "storage/storage.h"
#include "stores/lockout.h"

/* What may be a username, and how long it and a name may be (in characters). */
#define ACCOUNT_USERNAME_CHARACTERS                                                                \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define ACCOUNT_USERNAME_MINIMUM 3
#define ACCOUNT_USERNAME_MAXIMUM 64
#define ACCOUNT_NAME_MAXIMUM     128

enum account_password {
    ACCOUNT_PASSWORD_OWN,
    ACCOUNT_PASSWORD_ONE_TIME, /* works for one login, which may only change it */
    ACCOUNT_PASSWORD_USED      /* that login has taken place */
};

struct account {
    const char *id;
    const char *email;
    const char *username;      /* NULL when none */
    const char *name;          /* NULL when none */
    const char *password_hash; /* NULL where a function says so */
    bool is_active;
    bool is_verified;
    bool is_superuser;
    bool two_factor_enabled;
    enum account_password password_state;
    int64_t locked_until; /* by an operator; 0 = not locked */
    int64_t token_epoch;  /* access tokens without a session, issued before this second, are dead */
    int64_t created_at;
    const char *company_id; /* current company, NULL when none */
};

struct account_new {
    const char *email;
    const char *username; /* NULL allowed */
    const char *name;     /* NULL allowed */
    const char *password_hash;
    bool is_superuser;
    bool is_one_time; /* the password must be changed at the first login */
};

/* What every credential of an account needs, whatever its kind: it is there, active, not locked. */
bool account_may_act(const struct account *account, int64_t now);

/* Fills *out, in the arena and with a new id, so that inserting it cannot fail for lack of memory of
 * ours. STATUS_INVALID: an e-mail address without '@' or a username with one (logins tell them apart
 * by it). */
enum status account_prepare(struct arena *arena, const struct account_new *given,
                            struct account *out) MUST_CHECK;
/* What account_prepare has made, inside a transaction. STATUS_CONFLICT: e-mail or username taken. */
enum status account_insert(struct storage_connection *connection,
                           const struct account *account) MUST_CHECK;
/* Both; the new account is returned. */
enum status account_create(struct storage *storage, struct arena *arena,
                           const struct account_new *given, struct account *out) MUST_CHECK;

enum status account_find_by_id(struct storage *storage, struct arena *arena, const char *id,
                               struct account *out) MUST_CHECK;

/* What decides whether the access tokens of a login session live. */
struct account_session {
    int64_t expires_at;
    int64_t revoked_at; /* 0 = live */
};

/* The owner of a login session (without the password's hash) and the session's state, in one read.
 * STATUS_NOT_FOUND: there is no such session. */
enum status account_find_by_session(struct storage *storage, struct arena *arena,
                                    const char *session_id, struct account *out,
                                    struct account_session *session) MUST_CHECK;

/* By e-mail address or, if there is no '@', by username. */
enum status account_find_by_login(struct storage *storage, struct arena *arena, const char *login,
                                  struct account *out) MUST_CHECK;

/* Inside the transaction that a right password brings about, what may have changed since the account
 * was read: STATUS_BUSY when the password's hash is another one than `password_hash` (NULL: any),
 * when the account is not active or locked, or when its one-time password has been used. Uses a
 * one-time password up. */
enum status account_admit(struct storage_connection *connection, const char *id,
                          const char *password_hash, int64_t now) MUST_CHECK;

/* Replaces the hash of the same password if it still is `old_hash`; STATUS_CONFLICT if not. */
enum status account_replace_password(struct storage *storage, const char *id, const char *old_hash,
                                     const char *new_hash) MUST_CHECK;

/* Another password, and all that goes with it, as one: sessions but `kept_session` (NULL: all) end,
 * tokens without a session die, API keys are revoked (not by the change of a one-time password: that
 * is the end of setting up), wrong guesses at `names` are forgotten. STATUS_CONFLICT: the hash is not
 * `old_hash` any more (NULL: whatever it is). STATUS_BUSY: `attempt` (NULL: none) is locked. */
struct account_password_change {
    const char *id;
    const char *old_hash;
    const char *new_hash;
    bool is_one_time;
    const char *kept_session;
    const struct lockout_attempt *attempt;
    const unsigned char (*names)[LOCKOUT_NAME_SIZE];
    size_t name_count;
    int64_t now;
};
enum status account_change_password(struct storage *storage,
                                    const struct account_password_change *change) MUST_CHECK;

/* A lock ends all sessions with it, as one. Unlocking (locked_until 0) forgets wrong guesses at
 * `names`. */
enum status account_set_locked(struct storage *storage, const char *id, int64_t locked_until,
                               int64_t now, const unsigned char (*names)[LOCKOUT_NAME_SIZE],
                               size_t name_count) MUST_CHECK;
/* Removes the account with its sessions, refresh tokens and API keys. */
enum status account_delete(struct storage *storage, const char *id) MUST_CHECK;
enum status account_set_active(struct storage *storage, const char *id, bool is_active) MUST_CHECK;
enum status account_set_superuser(struct storage *storage, const char *id,
                                  bool is_superuser) MUST_CHECK;
/* NULL leaves as it is; another e-mail address is not verified. STATUS_CONFLICT: e-mail or username
 * taken; STATUS_INVALID: as account_prepare. */
enum status account_update_profile(struct storage *storage, const char *id, const char *name,
                                   const char *username, const char *email) MUST_CHECK;

/* STATUS_NOT_FOUND: there is none. */
enum status account_exists_any(struct storage *storage) MUST_CHECK;

/* The next `limit` accounts in order of their making, after `last` (NULL: from the first). */
enum status account_list(struct storage *storage, struct arena *arena, int64_t limit,
                         const struct account *last, struct account **out,
                         size_t *count) MUST_CHECK;

#endif
