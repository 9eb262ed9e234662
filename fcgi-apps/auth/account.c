/*
 * auth/account: the person behind the credentials: me, validate, change-password.
 */
#include <string.h>

#include "auth.h"
#include "auth/names.h"
#include "base/clock.h"
#include "http/fields.h"

static void answer_user(struct request *request, const struct account *account)
{
    tokens_write_user(response_json(request, 200), account);
}

void auth_show_me(struct request *request)
{
    struct account account;
    if (request->principal.account != NULL) {
        answer_user(request, request->principal.account);
    } else if (tokens_load_account(request, &account)) {
        answer_user(request, &account);
    }
}

void auth_update_me(struct request *request)
{
    struct account account;
    const char *name = field_text(request, "name", FIELD_OPTIONAL, 1, ACCOUNT_NAME_MAXIMUM);
    const char *username = auth_username_field(request);
    const char *email = field_email(request, "email", FIELD_OPTIONAL);
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    /* Who may be reached under another address can become another: that is not for keys. */
    if ((email != NULL && !tokens_require_user(request)) ||
        !tokens_load_account(request, &account)) {
        return;
    }
    enum status status =
        account_update_profile(request->app->storage, account.id, name, username, email);
    if (status == STATUS_CONFLICT) {
        problem_answer(request, PROBLEM_CONFLICT, "This e-mail address or username is taken");
    } else if (status != STATUS_OK) {
        problem_answer_status(request, status);
    } else if (tokens_load_account(request, &account)) {
        answer_user(request, &account);
    }
}

void auth_validate(struct request *request)
{
    const char *token = field_text(request, "token", FIELD_REQUIRED, 1, 16384);
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    struct principal principal;
    enum status status = authenticator_check_token(request->app->authenticator, request->arena,
                                                   slice_of(token), &principal);
    bool is_valid = status == STATUS_OK;
    if (!is_valid && status != STATUS_INVALID && status != STATUS_EXPIRED) {
        problem_answer_status(request, status);
        return;
    }
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_boolean(json, "valid", is_valid);
    if (is_valid) {
        json_write_name(json, "user");
        tokens_write_user(json, principal.account);
    }
    json_write_object_end(json);
}

/* The current password proves that it is the person and not just a stolen token; wrong guesses
 * count towards the lock like those of a login. */
static bool check_current_password(struct request *request, const struct password_hasher *hasher,
                                   const struct account *account, const char *password,
                                   struct lockout_attempt *attempt)
{
    if (!attempt_begin(request, account->email, attempt)) {
        return false;
    }
    bool outdated;
    enum status status =
        password_verify(hasher, account->password_hash, slice_of(password), &outdated);
    if (status == STATUS_DENIED) {
        attempt_refuse(request, attempt, account);
    } else if (status != STATUS_OK) {
        problem_answer_status(request, status);
    }
    return status == STATUS_OK;
}

static void change_password(struct request *request, const struct account *account,
                            const struct lockout_attempt *attempt, const char *hash)
{
    unsigned char names[NAMES_OF_ACCOUNT][LOCKOUT_NAME_SIZE];
    struct account_password_change change = {
        .id = account->id,
        .old_hash = account->password_hash,
        .new_hash = hash,
        .kept_session = request->principal.session_id,
        .attempt = attempt,
        .names = (const unsigned char(*)[LOCKOUT_NAME_SIZE])names,
        .now = clock_wall_seconds(),
    };
    enum status status = names_digest_account(account, names, &change.name_count);
    if (status == STATUS_OK) {
        status = account_change_password(request->app->storage, &change);
    }
    if (status == STATUS_CONFLICT) {
        problem_answer(request, PROBLEM_CONFLICT, "The password was changed by another request");
    } else if (status == STATUS_BUSY) {
        attempt_answer_overtaken(request, attempt);
    } else if (status != STATUS_OK) {
        problem_answer_status(request, status);
    } else {
        struct json_writer *json = response_json(request, 200);
        json_write_object_begin(json);
        json_write_member_text(json, "message", "Password changed");
        json_write_object_end(json);
    }
}

void auth_change_password(struct request *request)
{
    if (!tokens_require_user(request) || !tokens_have_room(request)) {
        return;
    }
    const char *current =
        field_text(request, "current_password", FIELD_REQUIRED, 1, PASSWORD_LENGTH_MAXIMUM);
    const char *fresh = auth_password_field(request, "new_password");
    if (current != NULL && fresh != NULL && request->principal.must_change_password &&
        strcmp(current, fresh) == 0) {
        problem_add_field(request, "body", "new_password", "A one-time password cannot be kept",
                          "value_error");
    }
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    struct account account;
    struct lockout_attempt attempt;
    struct password_hasher hasher = tokens_hasher(request);
    if (!tokens_load_account(request, &account) ||
        !check_current_password(request, &hasher, &account, current, &attempt)) {
        return;
    }
    const char *hash = NULL;
    enum status status = password_hash(&hasher, request->arena, slice_of(fresh), &hash);
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    change_password(request, &account, &attempt, hash);
}
