/*
 * auth/api_keys: keys that people make for their programs. The text is shown once, here.
 */
#include "stores/api_keys.h"
#include "auth.h"
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "http/fields.h"

#define SECONDS_PER_DAY 86400

static void write_key(struct json_writer *json, const struct api_key *key, const char *text)
{
    json_write_object_begin(json);
    json_write_member_text(json, "id", key->id);
    if (text != NULL) {
        json_write_member_text(json, "key", text);
    }
    json_write_member_text(json, "name", key->name);
    json_write_member_text(json, "scopes", key->scopes);
    field_write_time(json, "created_at", key->created_at * 1000);
    field_write_time(json, "expires_at", key->expires_at * 1000);
    field_write_time(json, "revoked_at", key->revoked_at * 1000);
    json_write_object_end(json);
}

void auth_list_api_keys(struct request *request)
{
    struct api_key *keys = NULL;
    size_t count = 0;
    if (!tokens_require_user(request)) {
        return;
    }
    enum status status = api_key_list(request->app->storage, request->arena,
                                      request->principal.user_id, &keys, &count);
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_name(json, "api_keys");
    json_write_array_begin(json);
    for (size_t i = 0; i < count; i++) {
        write_key(json, &keys[i], NULL);
    }
    json_write_array_end(json);
    json_write_object_end(json);
}

void auth_create_api_key(struct request *request)
{
    if (!tokens_require_user(request)) {
        return;
    }
    const char *name = field_text(request, "name", FIELD_REQUIRED, 1, API_KEY_NAME_MAXIMUM);
    const char *scopes = field_text(request, "scopes", FIELD_OPTIONAL, 0, API_KEY_SCOPES_MAXIMUM);
    int64_t days = field_integer(request, "expires_in_days", FIELD_OPTIONAL, 1, 3650, 0);
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    int64_t now = clock_wall_seconds();
    struct api_key key = {
        .user_id = request->principal.user_id,
        .name = name,
        .scopes = scopes ? scopes : "",
        .tier = "",
        .created_at = now,
        .expires_at = days > 0 ? now + days * SECONDS_PER_DAY : 0,
    };
    const char *text = NULL;
    enum status status = authenticator_make_api_key(request->arena, &text, &key.id, key.hash);
    if (status == STATUS_OK) {
        status = api_key_create(request->app->storage, &key);
    }
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    write_key(response_json(request, 201), &key, text);
    memory_wipe((char *)text, strlen(text));
}

void auth_revoke_api_key(struct request *request)
{
    if (!tokens_require_user(request)) {
        return;
    }
    enum status status = api_key_revoke(request->app->storage, request->principal.user_id,
                                        request_path_value(request, "id"), clock_wall_seconds());
    if (status == STATUS_NOT_FOUND) {
        problem_answer(request, PROBLEM_NOT_FOUND, NULL);
    } else if (status != STATUS_OK) {
        problem_answer_status(request, status);
    } else {
        response_empty(request, 204);
    }
}
