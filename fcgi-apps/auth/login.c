/*
 * auth/login: register and login. An unknown user, a wrong password and an inactive account cost
 * the same work and get the same answer.
 */
#include <string.h>

#include "auth.h"
#include "auth/digest.h"
#include "auth/names.h"
#include "base/clock.h"
#include "http/fields.h"
#include "log/log.h"
#include "stores/invitations.h"

#define INVITE_CODE_MAXIMUM 128

/* argon2id limits bytes, not characters. */
const char *auth_password_field(struct request *request, const char *name)
{
    const char *text = field_text(request, name, FIELD_REQUIRED, 0, PASSWORD_LENGTH_MAXIMUM);
    size_t length = text ? strlen(text) : 0;
    if (text != NULL && (length < PASSWORD_LENGTH_MINIMUM || length > PASSWORD_LENGTH_MAXIMUM)) {
        problem_add_field(request, "body", name, "Password should have 8 to 1024 bytes",
                          length < PASSWORD_LENGTH_MINIMUM ? "string_too_short"
                                                           : "string_too_long");
        return NULL;
    }
    return text;
}

/* Usernames are what login tells from e-mail addresses by the missing '@'. */
const char *auth_username_field(struct request *request)
{
    const char *folded = NULL;
    const char *text = field_text(request, "username", FIELD_OPTIONAL, ACCOUNT_USERNAME_MINIMUM,
                                  ACCOUNT_USERNAME_MAXIMUM);
    if (text != NULL && names_fold_username(request->arena, text, &folded) != STATUS_OK) {
        problem_add_field(request, "body", "username",
                          "Username may hold letters, digits, dot, underscore and hyphen",
                          "value_error");
    }
    return folded;
}

/* --- Registering ---------------------------------------------------------------------------- */

/* Whether REGISTRATION lets this request go on; *invitation is the code's hash in the arena, or NULL
 * where none is needed. A code that cannot be right costs no hash of a password. */
static bool check_registration(struct request *request, const unsigned char **invitation)
{
    const char *registration = request->app->config->registration;
    const char *code = field_text(request, "invite_code", FIELD_OPTIONAL, 1, INVITE_CODE_MAXIMUM);
    *invitation = NULL;
    if (strcmp(registration, "open") == 0) {
        return true;
    }
    if (strcmp(registration, "invite") != 0) {
        problem_answer(request, PROBLEM_PERMISSION_DENIED, "Registration is closed");
        return false;
    }
    unsigned char *hash = arena_allocate(request->arena, INVITATION_HASH_SIZE);
    enum status status = hash == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    if (status == STATUS_OK) {
        status = code == NULL ? STATUS_NOT_FOUND : digest_sha256(slice_of(code), hash);
    }
    if (status == STATUS_OK) {
        status = invitation_find(request->app->storage, hash, clock_wall_seconds());
    }
    if (status == STATUS_NOT_FOUND) {
        problem_answer(request, PROBLEM_PERMISSION_DENIED,
                       "Registration needs a valid invite_code");
    } else if (status != STATUS_OK) {
        problem_answer_status(request, status);
    }
    *invitation = hash;
    return status == STATUS_OK;
}

void auth_register(struct request *request)
{
    const unsigned char *invitation;
    if (!tokens_have_room(request) || !check_registration(request, &invitation)) {
        return;
    }
    struct account_new given = {
        .email = field_email(request, "email", FIELD_REQUIRED),
        .username = auth_username_field(request),
        .name = field_text(request, "name", FIELD_OPTIONAL, 1, ACCOUNT_NAME_MAXIMUM),
    };
    const char *password = auth_password_field(request, "password");
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    struct password_hasher hasher = tokens_hasher(request);
    enum status status =
        password_hash(&hasher, request->arena, slice_of(password), &given.password_hash);
    struct account account;
    if (status == STATUS_OK) {
        status = account_prepare(request->arena, &given, &account);
    }
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
    } else {
        tokens_answer_new_account(request, &account, invitation);
    }
}

/* --- Logging in ----------------------------------------------------------------------------- */

/* Parameters have risen since this hash was made. Failing to store the new one is no reason to
 * refuse a login: the next one tries again. */
static void rehash(struct request *request, const struct password_hasher *hasher,
                   struct account *account, struct slice password)
{
    const char *fresh = NULL;
    if (password_hash(hasher, request->arena, password, &fresh) != STATUS_OK ||
        account_replace_password(request->app->storage, account->id, account->password_hash,
                                 fresh) != STATUS_OK) {
        log_write(LOG_WARNING, "rehash_failed", LOG_TEXT("user", account->id));
        return;
    }
    account->password_hash = fresh;
}

/* A client may send null for the one it does not use. */
static bool has_member(const struct json_node *object, const char *name)
{
    const struct json_node *node = json_member(object, name);
    return node != NULL && json_node_kind(node) != JSON_NULL;
}

/* The account that this name stands for; false when answered. An account that nobody may log in to
 * is none. */
static bool find_account(struct request *request, const char *name, struct account *account,
                         bool *is_known)
{
    enum status status =
        account_find_by_login(request->app->storage, request->arena, name, account);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        problem_answer_status(request, status);
        return false;
    }
    *is_known = status == STATUS_OK && account->is_active;
    return true;
}

/* What only the holder of the right password is told; false when answered. */
static bool check_state(struct request *request, const struct account *account)
{
    if (account->locked_until > clock_wall_seconds()) {
        attempt_answer_locked(request, account->locked_until);
        return false;
    }
    if (account->password_state == ACCOUNT_PASSWORD_USED) {
        problem_answer(request, PROBLEM_INVALID_CREDENTIALS,
                       "This one-time password has been used; quintet user password makes another");
        return false;
    }
    return true;
}

void auth_login(struct request *request)
{
    if (!tokens_have_room(request)) {
        return;
    }
    bool by_name = !has_member(request->json, "email") && has_member(request->json, "username");
    const char *email = field_text(request, "email", by_name ? FIELD_NULLABLE : FIELD_REQUIRED, 1,
                                   NAMES_EMAIL_MAXIMUM);
    const char *username = field_text(request, "username", FIELD_NULLABLE, 1, NAMES_EMAIL_MAXIMUM);
    const char *password =
        field_text(request, "password", FIELD_REQUIRED, 1, PASSWORD_LENGTH_MAXIMUM);
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    const char *name;
    struct account account = {0};
    struct lockout_attempt attempt;
    bool is_known;
    enum status status = names_fold_login(request->arena, by_name ? username : email, &name);
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    if (!attempt_begin(request, name, &attempt) ||
        !find_account(request, name, &account, &is_known)) {
        return;
    }
    struct password_hasher hasher = tokens_hasher(request);
    bool outdated = false;
    status = password_verify(&hasher, is_known ? account.password_hash : NULL, slice_of(password),
                             &outdated);
    if (status == STATUS_DENIED) {
        attempt_refuse(request, &attempt, is_known ? &account : NULL);
        return;
    }
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    if (!check_state(request, &account)) {
        return;
    }
    if (outdated) {
        rehash(request, &hasher, &account, slice_of(password));
    }
    tokens_answer_new_session(request, &account, &attempt);
}
