/*
 * auth/tokens: makes access and refresh tokens, and the body that carries them.
 */
#include <string.h>

#include "auth.h"
#include "auth/digest.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "http/fields.h"

#define SECONDS_PER_DAY 86400

/* Binds a sealed child to its purpose, so that no other sealed value can stand in for it. */
static const char seal_context[] = "refresh-child";

struct password_hasher tokens_hasher(const struct request *request)
{
    struct auth *auth = request->app->state;
    return (struct password_hasher){
        .segment = request->app->segment,
        .concurrency = auth->places,
        .timeout_milliseconds = 5000,
        .room = &auth->room,
    };
}

bool tokens_have_room(struct request *request)
{
    struct auth *auth = request->app->state;
    if (atomic_load(&auth->room.inside) < auth->room.maximum) {
        return true;
    }
    problem_answer_status(request, STATUS_BUSY);
    return false;
}

enum status tokens_make_refresh(struct request *request, const char *parent_text,
                                char text[REFRESH_TEXT_SIZE], struct session_token *out)
{
    unsigned char secret[32];
    random_bytes(secret, sizeof secret);
    text_encode_base64url(secret, sizeof secret, text);
    memory_wipe(secret, sizeof secret);
    *out = (struct session_token){.expires_at = clock_wall_seconds() +
                                                request->app->config->refresh_token_expire_days *
                                                    SECONDS_PER_DAY};
    enum status status = digest_sha256(slice_of(text), out->hash);
    if (status == STATUS_OK && parent_text != NULL) {
        status = digest_seal(slice_of(parent_text), slice_of(seal_context), slice_of(text),
                             out->sealed, &out->sealed_length);
    }
    return status;
}

enum status tokens_unseal_child(const char *parent_text, const struct session_token *child,
                                char text[REFRESH_TEXT_SIZE])
{
    unsigned char plain[SESSION_SEALED_CHILD_SIZE];
    size_t length = 0;
    enum status status = digest_unseal(
        slice_of(parent_text), slice_of(seal_context),
        (struct slice){(const char *)child->sealed, child->sealed_length}, plain, &length);
    if (status == STATUS_OK && length != REFRESH_TEXT_SIZE - 1) {
        status = STATUS_INTERNAL;
    }
    if (status == STATUS_OK) {
        memcpy(text, plain, length);
        text[length] = '\0';
    }
    memory_wipe(plain, sizeof plain);
    return status;
}

void tokens_write_user(struct json_writer *json, const struct account *account)
{
    json_write_object_begin(json);
    json_write_member_text(json, "id", account->id);
    json_write_member_text(json, "email", account->email);
    json_write_member_text(json, "username", account->username);
    json_write_member_text(json, "name", account->name);
    json_write_member_boolean(json, "is_active", account->is_active);
    json_write_member_boolean(json, "is_verified", account->is_verified);
    json_write_member_boolean(json, "is_superuser", account->is_superuser);
    json_write_member_boolean(json, "two_factor_enabled", account->two_factor_enabled);
    json_write_member_text(json, "current_company_id", account->company_id);
    field_write_time(json, "created_at", account->created_at * 1000);
    json_write_object_end(json);
}

void tokens_answer(struct request *request, const struct account *account, const char *session_id,
                   const char *refresh_text, int http_status)
{
    char token_id[RANDOM_UUID_SIZE];
    random_uuid(token_id);
    int64_t now = clock_wall_seconds();
    int64_t lifetime = request->app->config->access_token_expire_minutes * 60;
    struct token_claims claims = {
        .subject = account->id,
        .session_id = session_id,
        .token_id = token_id,
        .company_id = account->company_id,
        .scope = "",
        .issued_at = now,
        .expires_at = now + lifetime,
    };
    const char *access = NULL;
    enum status status = token_issue(authenticator_token_keys(request->app->authenticator),
                                     request->arena, &claims, &access);
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    struct json_writer *json = response_json(request, http_status);
    json_write_object_begin(json);
    json_write_member_text(json, "access_token", access);
    json_write_member_text(json, "refresh_token", refresh_text);
    json_write_member_text(json, "token_type", "bearer");
    json_write_member_integer(json, "expires_in", lifetime);
    json_write_name(json, "user");
    tokens_write_user(json, account);
    json_write_name(json, "companies");
    json_write_array_begin(json);
    json_write_array_end(json);
    json_write_name(json, "permissions");
    json_write_array_begin(json);
    json_write_array_end(json);
    json_write_member_boolean(json, "requires_2fa", false);
    json_write_object_end(json);
}

/* `opening` says whose; the rest is the request's. */
static void answer_first_tokens(struct request *request, const struct account *account,
                                struct session_opening opening)
{
    char refresh_text[REFRESH_TEXT_SIZE];
    struct session_token first;
    struct session session;
    struct slice header = request_header(request, "User-Agent");
    bool is_new = opening.new_account != NULL;
    opening.user_agent = header.length > 0 ? header.data : "";
    opening.address = request->client_address;
    opening.now = clock_wall_seconds();
    opening.maximum = request->app->config->sessions_per_user;
    enum status status = tokens_make_refresh(request, NULL, refresh_text, &first);
    if (status == STATUS_OK) {
        status = session_create(request->app->storage, request->arena, &opening, &first, &session);
    }
    if (status == STATUS_CONFLICT && is_new) {
        problem_answer(request, PROBLEM_CONFLICT, "This e-mail address or username is taken");
    } else if (status == STATUS_DENIED && is_new) {
        problem_answer(request, PROBLEM_PERMISSION_DENIED,
                       "Registration needs a valid invite_code");
    } else if (status == STATUS_BUSY && opening.attempt != NULL) {
        attempt_answer_overtaken(request, opening.attempt);
    } else if (status != STATUS_OK) {
        problem_answer_status(request, status);
    } else {
        tokens_answer(request, account, session.id, refresh_text, is_new ? 201 : 200);
    }
    memory_wipe(refresh_text, sizeof refresh_text);
}

void tokens_answer_new_session(struct request *request, const struct account *account,
                               const struct lockout_attempt *attempt)
{
    answer_first_tokens(request, account,
                        (struct session_opening){.user_id = account->id,
                                                 .password_hash = account->password_hash,
                                                 .attempt = attempt});
}

void tokens_answer_new_account(struct request *request, const struct account *account,
                               const unsigned char *invitation)
{
    answer_first_tokens(request, account,
                        (struct session_opening){.new_account = account, .invitation = invitation});
}

bool tokens_require_user(struct request *request)
{
    if (request->principal.kind == PRINCIPAL_USER) {
        return true;
    }
    problem_answer(request, PROBLEM_PERMISSION_DENIED, "Log in with a password to do this");
    return false;
}

bool tokens_load_account(struct request *request, struct account *account)
{
    if (request->principal.user_id == NULL) {
        problem_answer(request, PROBLEM_PERMISSION_DENIED, "This credential belongs to no user");
        return false;
    }
    enum status status = account_find_by_id(request->app->storage, request->arena,
                                            request->principal.user_id, account);
    if (status == STATUS_NOT_FOUND) {
        problem_answer(request, PROBLEM_INVALID_CREDENTIALS, NULL);
        return false;
    }
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return false;
    }
    return true;
}
