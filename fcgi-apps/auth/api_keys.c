/*
 * auth/api_keys: keys that people make for their programs. The text is shown once, here. A key never
 * exceeds what made it: its scopes, charts and end are within those of the token.
 */
#include <string.h>

#include "auth.h"

#include "base/clock.h"
#include "base/memory.h"
#include "http/fields.h"
#include "http/live.h"
#include "stores/api_keys.h"
#include "json/write.h"

#define SECONDS_PER_DAY    86400
#define DAYS_MAXIMUM       3650
#define CHARTS_MAXIMUM     100
#define CHART_TEXT_MAXIMUM 16384

static void write_key(struct json_writer *json, const struct api_key *key, const char *text)
{
    json_write_object_begin(json);
    json_write_member_text(json, "id", key->id);
    if (text != NULL) {
        json_write_member_text(json, "key", text);
    }
    json_write_member_text(json, "name", key->name);
    json_write_member_text(json, "scopes", key->scopes);
    if (key->chart_ids == NULL) {
        json_write_member_null(json, "chart_ids");
    } else {
        json_write_name(json, "chart_ids");
        json_write_raw(json, slice_of(key->chart_ids));
    }
    json_write_member_text(json, "tier", key->tier[0] != '\0' ? key->tier : NULL);
    field_write_time(json, "created_at", key->created_at * 1000);
    field_write_time(json, "expires_at", key->expires_at * 1000);
    field_write_time(json, "revoked_at", key->revoked_at * 1000);
    json_write_object_end(json);
}

void auth_list_api_keys(struct request *request)
{
    struct api_key *keys = NULL;
    size_t count = 0;
    int64_t total = 0;
    if (!tokens_require_user(request)) {
        return;
    }
    struct field_page page = field_query_page(request);
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    enum status status =
        api_key_list(request->app->storage, request->arena, request->principal.user_id,
                     clock_wall_seconds(), page.size, page.offset, &keys, &count, &total);
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_name(json, "items");
    json_write_array_begin(json);
    for (size_t i = 0; i < count; i++) {
        write_key(json, &keys[i], NULL);
    }
    json_write_array_end(json);
    field_write_page(json, &page, total);
    json_write_object_end(json);
}

/* --- Making one ----------------------------------------------------------------------------- */

/* Nothing said: what the token itself is limited to. */
static const char *read_scopes(struct request *request)
{
    const char *own = request->principal.scope;
    const char *scopes = field_text(request, "scopes", FIELD_OPTIONAL, 0, API_KEY_SCOPES_MAXIMUM);
    if (scopes == NULL || scopes[strspn(scopes, " ")] == '\0') {
        return own;
    }
    if (!principal_scope_exists(scopes)) {
        problem_add_field(request, "body", "scopes",
                          "Scopes are words like chart.read, with spaces between", "value_error");
    }
    return scopes;
}

static int64_t read_end(struct request *request, int64_t now)
{
    int64_t days = field_integer(request, "expires_in_days", FIELD_OPTIONAL, 1, DAYS_MAXIMUM, 0);
    int64_t end = field_time(request, "expires_at", FIELD_OPTIONAL);
    if (end != 0 && days != 0) {
        problem_add_field(request, "body", "expires_at",
                          "Give expires_at or expires_in_days, not both", "value_error");
    } else if (end != 0 && (end <= now || end > now + DAYS_MAXIMUM * SECONDS_PER_DAY)) {
        problem_add_field(request, "body", "expires_at",
                          "Input should be a time within the next ten years", "value_error");
    }
    return days != 0 ? now + days * SECONDS_PER_DAY : end;
}

/* Empty in the database: no tier of its own. */
static const char *read_tier(struct request *request)
{
    const char *tier = field_text(request, "tier", FIELD_OPTIONAL, 1, API_KEY_TIER_MAXIMUM);
    if (tier != NULL && live_find_tier(request->live, tier) == NULL) {
        problem_add_field(request, "body", "tier", "There is no such tier", "value_error");
    }
    return tier == NULL ? "" : tier;
}

static bool is_text_list(const struct json_node *list)
{
    const char *text;
    if (json_node_kind(list) != JSON_ARRAY || json_count(list) > CHARTS_MAXIMUM) {
        return false;
    }
    for (const struct json_node *node = json_first(list); node != NULL; node = json_next(node)) {
        if (!json_get_text(node, &text) || text[0] == '\0') {
            return false;
        }
    }
    return true;
}

/* The member chart_ids, NULL when it is not there (or null) or wrong. */
static const struct json_node *read_chart_ids(struct request *request)
{
    const struct json_node *list = json_member(request->json, "chart_ids");
    if (list == NULL || json_node_kind(list) == JSON_NULL) {
        return NULL;
    }
    if (!is_text_list(list)) {
        problem_add_field(request, "body", "chart_ids",
                          "Input should be a list of at most 100 ids of charts", "list_type");
        return NULL;
    }
    return list;
}

/* *text is the list as JSON in the arena: the one asked for, else that of the token, else NULL.
 * STATUS_DENIED: it asks for a chart that the token may not use. */
static enum status write_chart_ids(struct request *request, const struct json_node *list,
                                   const char **text)
{
    const struct principal *principal = &request->principal;
    struct buffer out;
    struct json_writer writer;
    enum status status = STATUS_OK;
    *text = NULL;
    if (list == NULL && !principal->has_chart_ids) {
        return STATUS_OK;
    }
    buffer_init(&out, CHART_TEXT_MAXIMUM);
    json_write_start(&writer, &out);
    json_write_array_begin(&writer);
    for (size_t i = 0; list == NULL && i < principal->chart_id_count; i++) {
        json_write_text(&writer, principal->chart_ids[i]);
    }
    for (const struct json_node *node = json_first(list); node != NULL; node = json_next(node)) {
        const char *id = NULL;
        if (!json_get_text(node, &id) || !principal_may_use_chart(principal, id)) {
            status = STATUS_DENIED;
            goto out;
        }
        json_write_text(&writer, id);
    }
    json_write_array_end(&writer);
    status = buffer_status(&out);
    if (status == STATUS_OK) {
        *text = arena_copy(request->arena, buffer_text(&out), out.length);
        status = *text == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    }
out:
    buffer_release(&out);
    return status;
}

/* The key within what the principal itself may do. STATUS_DENIED: more was asked for. */
static enum status limit_key(struct request *request, const struct json_node *charts,
                             struct api_key *key)
{
    const struct principal *principal = &request->principal;
    /* A tier may be wider than what everybody has: that is not for everybody to take. */
    if (!principal_may_grant(principal, key->scopes) ||
        (key->tier[0] != '\0' && !principal->is_superuser)) {
        return STATUS_DENIED;
    }
    if (principal->expires_at != 0) {
        if (key->expires_at > principal->expires_at) {
            return STATUS_DENIED;
        }
        key->expires_at = key->expires_at == 0 ? principal->expires_at : key->expires_at;
    }
    return write_chart_ids(request, charts, &key->chart_ids);
}

static void answer_refusal(struct request *request, enum status status)
{
    if (status == STATUS_DENIED) {
        problem_answer(request, PROBLEM_PERMISSION_DENIED,
                       "A key cannot do more than the token that makes it");
    } else if (status == STATUS_TOO_LARGE) {
        problem_answer(request, PROBLEM_CONFLICT,
                       "You have as many API keys as one user may have; revoke one first");
    } else {
        problem_answer_status(request, status);
    }
}

void auth_create_api_key(struct request *request)
{
    if (!tokens_require_user(request)) {
        return;
    }
    int64_t now = clock_wall_seconds();
    struct api_key key = {
        .user_id = request->principal.user_id,
        .name = field_text(request, "name", FIELD_REQUIRED, 1, API_KEY_NAME_MAXIMUM),
        .scopes = read_scopes(request),
        .tier = read_tier(request),
        .created_at = now,
        .expires_at = read_end(request, now),
    };
    const struct json_node *charts = read_chart_ids(request);
    if (problem_has_fields(request)) {
        problem_answer_fields(request, PROBLEM_COUNT);
        return;
    }
    const char *text = NULL;
    enum status status = limit_key(request, charts, &key);
    if (status == STATUS_OK) {
        status = authenticator_make_api_key(request->arena, &text, &key.id, key.hash);
    }
    if (status == STATUS_OK) {
        status =
            api_key_create(request->app->storage, &key, request->app->config->api_keys_per_user);
    }
    if (status != STATUS_OK) {
        answer_refusal(request, status);
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
