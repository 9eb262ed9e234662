/*
 * auth/login: register and login. An unknown user, a wrong password and an inactive account cost
 * the same work and get the same answer.
 */
#include <string.h>

#include "auth.h"
#include "base/clock.h"
#include "http/fields.h"
#include "log/log.h"

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
    const char *text = field_text(request, "username", FIELD_OPTIONAL, ACCOUNT_USERNAME_MINIMUM,
                                  ACCOUNT_USERNAME_MAXIMUM);
    if (text == NULL) {
        return NULL;
    }
    if (text[strspn(text, ACCOUNT_USERNAME_CHARACTERS)] != '\0') {
        problem_add_field(request, "body", "username",
                          "Username may hold letters, digits, dot, underscore and hyphen",
                          "value_error");
        return NULL;
    }
    return text;
}

void auth_register(struct request *request)
{
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
        tokens_answer_new_account(request, &account);
    }
}

void auth_answer_locked(struct request *request, int64_t locked_until)
{
    problem_set_retry_after(request, locked_until - clock_wall_seconds());
    problem_answer(request, PROBLEM_ACCOUNT_LOCKED, NULL);
}

void auth_answer_busy(struct request *request, const struct account *account)
{
    struct account present;
    enum status status =
        account_find_by_id(request->app->storage, request->arena, account->id, &present);
    if (status == STATUS_OK && present.locked_until > clock_wall_seconds()) {
        auth_answer_locked(request, present.locked_until);
    } else {
        problem_answer_status(request, status == STATUS_OK ? STATUS_BUSY : status);
    }
}

/* A wrong password: count it, and answer as for an unknown user. */
void auth_refuse_password(struct request *request, const struct account *account)
{
    const struct config *config = request->app->config;
    bool locked = false;
    enum status status =
        account_record_failure(request->app->storage, account->id, clock_wall_seconds(),
                               config->lockout_threshold, config->lockout_minutes * 60, &locked);
    if (status == STATUS_BUSY) {
        auth_answer_busy(request, account);
        return;
    }
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    if (locked) {
        log_write(LOG_WARNING, "account_locked", LOG_TEXT("user", account->id));
    }
    problem_answer(request, PROBLEM_INVALID_CREDENTIALS, "Invalid credentials");
}

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

void auth_login(struct request *request)
{
    bool by_name = !has_member(request->json, "email") && has_member(request->json, "username");
    const char *login = field_text(request, by_name ? "username" : "email", FIELD_REQUIRED, 1, 254);
    const char *password = field_text(request, "password", FIELD_REQUIRED, 1, 1024);
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    struct account account = {0};
    enum status status =
        account_find_by_login(request->app->storage, request->arena, login, &account);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        problem_answer_status(request, status);
        return;
    }
    bool is_known = status == STATUS_OK && account.is_active;
    if (is_known && account.locked_until > clock_wall_seconds()) {
        auth_answer_locked(request, account.locked_until);
        return;
    }
    struct password_hasher hasher = tokens_hasher(request);
    bool outdated = false;
    status = password_verify(&hasher, is_known ? account.password_hash : NULL, slice_of(password),
                             &outdated);
    if (status == STATUS_DENIED) {
        if (is_known) {
            auth_refuse_password(request, &account);
        } else {
            problem_answer(request, PROBLEM_INVALID_CREDENTIALS, "Invalid credentials");
        }
        return;
    }
    if (status == STATUS_OK) {
        status = account_record_success(request->app->storage, account.id, clock_wall_seconds());
    }
    if (status == STATUS_BUSY && account.id != NULL) {
        auth_answer_busy(request, &account);
        return;
    }
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    if (outdated) {
        rehash(request, &hasher, &account, slice_of(password));
    }
    tokens_answer_new_session(request, &account);
}
