/*
 * auth/sessions: what happens to a session after login: refresh, logout, list, end.
 */
#include <string.h>

#include "auth.h"
#include "auth/digest.h"
#include "base/clock.h"
#include "base/memory.h"
#include "http/fields.h"
#include "log/log.h"

static void refuse_refresh(struct request *request, enum session_rotation rotation)
{
    if (rotation == SESSION_REUSED) {
        /* Somebody has a copy of an old token: the owner or a thief, so neither may go on. */
        log_write(LOG_WARNING, "refresh_token_reused", LOG_TEXT("client", request->client_address));
    }
    if (rotation == SESSION_EXPIRED) {
        problem_answer(request, PROBLEM_CREDENTIAL_EXPIRED, "The refresh token has expired");
    } else {
        problem_answer(request, PROBLEM_INVALID_CREDENTIALS, "Invalid refresh token");
    }
}

void auth_refresh(struct request *request)
{
    const char *text = field_text(request, "refresh_token", FIELD_REQUIRED, 1, 512);
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    unsigned char hash[SESSION_TOKEN_HASH_SIZE];
    char child_text[REFRESH_TEXT_SIZE];
    struct session_token child;
    struct session session;
    enum session_rotation rotation = SESSION_UNKNOWN;
    enum status status = digest_sha256(slice_of(text), hash);
    if (status == STATUS_OK) {
        status = tokens_make_refresh(request, text, child_text, &child);
    }
    if (status == STATUS_OK) {
        status = session_rotate(request->app->storage, request->arena, hash, clock_wall_seconds(),
                                &child, &rotation, &session);
    }
    if (status == STATUS_OK && rotation == SESSION_REPEATED) {
        status = tokens_unseal_child(text, &child, child_text);
    }
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    if (rotation != SESSION_ROTATED && rotation != SESSION_REPEATED) {
        refuse_refresh(request, rotation);
        return;
    }
    struct account account;
    status = account_find_by_id(request->app->storage, request->arena, session.user_id, &account);
    if (status == STATUS_NOT_FOUND ||
        (status == STATUS_OK && !account_may_act(&account, clock_wall_seconds()))) {
        refuse_refresh(request, SESSION_REVOKED);
    } else if (status != STATUS_OK) {
        problem_answer_status(request, status);
    } else {
        tokens_answer(request, &account, session.id, child_text, 200);
    }
    memory_wipe(child_text, sizeof child_text);
}

static void answer_message(struct request *request, const char *message)
{
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_text(json, "message", message);
    json_write_object_end(json);
}

void auth_logout(struct request *request)
{
    if (!tokens_require_user(request)) {
        return;
    }
    struct slice value;
    bool all = false;
    if (request_query(request, "all", &value) && text_parse_boolean(value, &all) != STATUS_OK) {
        problem_add_field(request, "query", "all", "Input should be a valid boolean",
                          "bool_parsing");
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    const struct principal *principal = &request->principal;
    if (!all && principal->session_id == NULL) {
        problem_answer(request, PROBLEM_INVALID_REQUEST, "This token belongs to no session");
        return;
    }
    int64_t now = clock_wall_seconds();
    enum status status =
        all ? session_revoke_all(request->app->storage, principal->user_id, NULL, now)
            : session_revoke(request->app->storage, principal->user_id, principal->session_id, now);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        problem_answer_status(request, status);
        return;
    }
    answer_message(request, "Logged out");
}

static void write_session(struct json_writer *json, const struct session *session,
                          const char *current_id)
{
    json_write_object_begin(json);
    json_write_member_text(json, "id", session->id);
    json_write_member_text(json, "device", session->user_agent);
    json_write_member_text(json, "address", session->address);
    field_write_time(json, "created_at", session->created_at * 1000);
    field_write_time(json, "last_used_at", session->last_used_at * 1000);
    field_write_time(json, "expires_at", session->expires_at * 1000);
    json_write_member_boolean(json, "is_current",
                              current_id != NULL && strcmp(session->id, current_id) == 0);
    json_write_object_end(json);
}

void auth_list_sessions(struct request *request)
{
    if (!tokens_require_user(request)) {
        return;
    }
    struct field_page page = field_query_page(request);
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    struct session *sessions = NULL;
    size_t count = 0;
    int64_t total = 0;
    enum status status =
        session_list(request->app->storage, request->arena, request->principal.user_id,
                     clock_wall_seconds(), page.size, page.offset, &sessions, &count, &total);
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_name(json, "items");
    json_write_array_begin(json);
    for (size_t i = 0; i < count; i++) {
        write_session(json, &sessions[i], request->principal.session_id);
    }
    json_write_array_end(json);
    field_write_page(json, &page, total);
    json_write_object_end(json);
}

void auth_revoke_session(struct request *request)
{
    if (!tokens_require_user(request)) {
        return;
    }
    const char *id = request_path_value(request, "id");
    const char *user_id = request->principal.user_id;
    struct session session;
    enum status status = session_find(request->app->storage, request->arena, id, &session);
    if (status == STATUS_OK && strcmp(session.user_id, user_id) != 0) {
        status = STATUS_NOT_FOUND;
    }
    if (status == STATUS_OK) {
        status = session_revoke(request->app->storage, user_id, id, clock_wall_seconds());
    }
    if (status == STATUS_NOT_FOUND) {
        problem_answer(request, PROBLEM_SESSION_NOT_FOUND, NULL);
    } else if (status != STATUS_OK) {
        problem_answer_status(request, status);
    } else {
        response_empty(request, 204);
    }
}
