/*
 * auth: the program that logs people in and gives programs their keys.
 *
 * routes in routes.h; auth.c (what the program holds and clears away), login.c (register, login),
 * attempts.c (wrong passwords), sessions.c (refresh, logout, list, revoke), account.c (me, validate,
 * change-password), api_keys.c; tokens.c makes tokens and the body that carries them.
 */
#ifndef AUTH_PROGRAM_H
#define AUTH_PROGRAM_H

#include "auth/password.h"
#include "http/app.h"
#include "http/request.h"
#include "stores/accounts.h"
#include "stores/lockout.h"
#include "stores/sessions.h"

/* What the program holds (app->state). */
struct auth {
    struct password_room room;
    unsigned places; /* hashes at a time on this host */
};

/* auth.c: for app_options */
enum status auth_start(struct app *app, struct buffer *problem);
void auth_stop(struct app *app);
void auth_sweep(struct app *app);

/* login.c */
void auth_register(struct request *request);
void auth_login(struct request *request);
/* Fields of a body that more than one route has; NULL after adding a field error (or absent). */
const char *auth_password_field(struct request *request, const char *name);
const char *auth_username_field(struct request *request);

/* --- attempts.c ----------------------------------------------------------------------------- */

/* Begins a try to prove a password for this name (its normal form). False when it has been
 * answered: the name is locked for the client's network. */
bool attempt_begin(struct request *request, const char *name, struct lockout_attempt *out);
/* A wrong password: counts it and answers. The answer is the same whether the name is an account's
 * or nobody's; `account` NULL: nobody's. */
void attempt_refuse(struct request *request, const struct lockout_attempt *attempt,
                    const struct account *account);
/* STATUS_BUSY has come although the password was right: meanwhile the name or the account was
 * locked, or the password changed. Answers without telling that it was right. */
void attempt_answer_overtaken(struct request *request, const struct lockout_attempt *attempt);
/* 401 account_locked with Retry-After. */
void attempt_answer_locked(struct request *request, int64_t locked_until);

/* sessions.c */
void auth_refresh(struct request *request);
void auth_logout(struct request *request);
void auth_list_sessions(struct request *request);
void auth_revoke_session(struct request *request);

/* account.c */
void auth_show_me(struct request *request);
void auth_update_me(struct request *request);
void auth_validate(struct request *request);
void auth_change_password(struct request *request);

/* api_keys.c */
void auth_list_api_keys(struct request *request);
void auth_create_api_key(struct request *request);
void auth_revoke_api_key(struct request *request);

/* --- tokens.c ------------------------------------------------------------------------------- */

/* A refresh token: 256 random bits as base64url. */
#define REFRESH_TEXT_SIZE 44

/* Makes a token's text and its row; sealed under `parent_text` (NULL for the first of a session). */
enum status tokens_make_refresh(struct request *request, const char *parent_text,
                                char text[REFRESH_TEXT_SIZE], struct session_token *out) MUST_CHECK;

/* Answers with a new session of this account, for a right password: token body, 200. */
void tokens_answer_new_session(struct request *request, const struct account *account,
                               const struct lockout_attempt *attempt);
/* The same for an account that is stored with it (account_prepare): 201, or 409 if it is taken.
 * `invitation` (NULL: none) is used up. */
void tokens_answer_new_account(struct request *request, const struct account *account,
                               const unsigned char *invitation);

/* Answers with the token body for an existing session and this refresh token. */
void tokens_answer(struct request *request, const struct account *account, const char *session_id,
                   const char *refresh_text, int http_status);

/* Text of the child that was stored when its parent was used before; see SESSION_REPEATED. */
enum status tokens_unseal_child(const char *parent_text, const struct session_token *child,
                                char text[REFRESH_TEXT_SIZE]) MUST_CHECK;

/* The user object as docs/openapi.yaml describes it, as the value of the next member. */
void tokens_write_user(struct json_writer *json, const struct account *account);

/* Asked before anything else of a request that will need a hash, because in a storm of them a
 * refusal must cost next to nothing. False when 503 has been answered; true promises no place. */
bool tokens_have_room(struct request *request);

/* The hasher with this program's settings. */
struct password_hasher tokens_hasher(const struct request *request);

/* Only a person who has logged in may go on, not a key: a key that could make keys would outlive
 * its own revocation. False when 403 has been answered. */
bool tokens_require_user(struct request *request);

/* The user behind the principal; false when answered (keys of configuration have none: 403). */
bool tokens_load_account(struct request *request, struct account *account);

#endif
