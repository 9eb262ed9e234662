/*
 * stores/accounts: users, their passwords' hashes, lockout, and who is an administrator.
 *
 * E-mail addresses and usernames are compared in lower case (ASCII); ids are UUIDs. Hashing is
 * not done here: callers hash before and outside the transaction. All results live in the arena
 * given. Times are wall seconds.
 */
#ifndef STORES_ACCOUNTS_H
#define STORES_ACCOUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "storage/storage.h"

/* What may be a username, and how long it and a name may be (in characters). */
#define ACCOUNT_USERNAME_CHARACTERS                                                                \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define ACCOUNT_USERNAME_MINIMUM 3
#define ACCOUNT_USERNAME_MAXIMUM 64
#define ACCOUNT_NAME_MAXIMUM     128

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
    int64_t failed_logins;
    int64_t locked_until; /* 0 = not locked */
    int64_t token_epoch;  /* access tokens issued before this second are dead */
    int64_t created_at;
    const char *company_id; /* current company, NULL when none */
};

struct account_new {
    const char *email;
    const char *username; /* NULL allowed */
    const char *name;     /* NULL allowed */
    const char *password_hash;
    bool is_superuser;
};

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

/* Counts a wrong password, atomically with the decision to lock: at `threshold` wrong ones in a
 * row the account is locked until now + lock_seconds, and *locked is true. STATUS_BUSY when it has
 * been locked before: nothing is counted. */
enum status account_record_failure(struct storage *storage, const char *id, int64_t now,
                                   int64_t threshold, int64_t lock_seconds,
                                   bool *locked) MUST_CHECK;
/* Clears the count; STATUS_BUSY when the account has been locked meanwhile. */
enum status account_record_success(struct storage *storage, const char *id, int64_t now) MUST_CHECK;

/* Replaces the hash if it still is `old_hash` (NULL: whatever it is); STATUS_CONFLICT if not. */
enum status account_replace_password(struct storage *storage, const char *id, const char *old_hash,
                                     const char *new_hash) MUST_CHECK;
/* The same for another password: ends all sessions but `kept_session` (NULL: all) with it. */
enum status account_change_password(struct storage *storage, const char *id, const char *old_hash,
                                    const char *new_hash, const char *kept_session,
                                    int64_t now) MUST_CHECK;

/* The same, and all sessions of the account but `kept_session` (NULL: all) end, as one. */
enum status account_change_password(struct storage *storage, const char *id, const char *old_hash,
                                    const char *new_hash, const char *kept_session,
                                    int64_t now) MUST_CHECK;

enum status account_set_locked(struct storage *storage, const char *id,
                               int64_t locked_until) MUST_CHECK;
enum status account_set_active(struct storage *storage, const char *id, bool is_active) MUST_CHECK;
enum status account_set_superuser(struct storage *storage, const char *id,
                                  bool is_superuser) MUST_CHECK;
/* name / username: NULL leaves as it is. STATUS_CONFLICT: username taken;
 * STATUS_INVALID: it has an '@'. */
enum status account_update_profile(struct storage *storage, const char *id, const char *name,
                                   const char *username) MUST_CHECK;

enum status account_count(struct storage *storage, int64_t *count) MUST_CHECK;
enum status account_list(struct storage *storage, struct arena *arena, int64_t limit,
                         int64_t offset, struct account **out, size_t *count) MUST_CHECK;

#endif
