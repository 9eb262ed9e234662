/*
 * cli/account: making accounts, passwords and API keys, for the commands that do.
 */
#ifndef CLI_ACCOUNT_H
#define CLI_ACCOUNT_H

#include "base/arena.h"
#include "base/status.h"
#include "command.h"
#include "http/app.h"
#include "stores/accounts.h"
#include "stores/api_keys.h"

/* 20 characters and a NUL: 120 random bits. */
#define ACCOUNT_PASSWORD_SIZE 21

void account_make_password(char out[ACCOUNT_PASSWORD_SIZE]);

/* One line of standard input, without its end, at most PASSWORD_LENGTH_MAXIMUM bytes, NUL-ended in
 * the arena. STATUS_INVALID: nothing there, too long, not UTF-8, with a NUL in it, or too short for
 * a password. */
enum status account_read_password(struct arena *arena, const char **out) MUST_CHECK;

/* Normal forms as the auth program has them, in the session's arena; 0 or the exit status. */
int account_fold_email(struct command_session *session, const char *text, const char **out);
int account_fold_username(struct command_session *session, const char *text, const char **out);

/* The account of that e-mail address or username; 0 or the exit status. */
int account_find(struct command_session *session, const char *login, struct account *out);

/* Calls `visit` for every account; 0 or the exit status. `visit` returns the same and ends the walk
 * unless it returns 0. What is in the session's arena lives until the next page. */
int account_each(struct command_session *session,
                 int (*visit)(struct command_session *session, const struct account *account,
                              void *context),
                 void *context);

/* argon2id, bounded over the host together with the programs' hashes. */
enum status account_hash_password(struct app *app, struct arena *arena, const char *password,
                                  const char **hash) MUST_CHECK;

/* What a new key is given; each text may be "". */
struct account_key_options {
    const char *name;
    const char *scopes;
    const char *tier;
    int64_t expires_at; /* 0 = never */
};

/* Makes and stores a key; *text (in the arena) is the only place that ever holds it. */
enum status account_make_key(struct app *app, struct arena *arena, const char *user_id,
                             const struct account_key_options *options, const char **id,
                             const char **text) MUST_CHECK;

#endif
