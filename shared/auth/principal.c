/*
 * auth/principal: from the text of a credential to who is asking.
 *
 * API keys of the configuration are kept as digests only. A key that is asked for is digested once
 * and compared with all of them, whichever matches, so the time taken tells nothing about any.
 * A key of the database is found by the id inside its text, which is no secret; then its digest
 * is compared.
 */
#include "auth/principal.h"

#include <string.h>

#include "auth/digest.h"
#include "auth/session_cache.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "log/log.h"
#include "stores/accounts.h"
#include "stores/api_keys.h"
#include "json/json.h"

#define SECRET_LENGTH_MINIMUM 32
#define TOKEN_PURPOSE         "quintet access tokens 1"
#define KEY_LENGTH_MAXIMUM    512
#define KEY_PREFIX            "qk_"
#define KEY_ID_BYTES          8
#define KEY_ID_LENGTH         (2 * KEY_ID_BYTES)
#define KEY_SECRET_BYTES      24
#define ARENA_MAXIMUM         (16 * 1024 * 1024)

struct static_key {
    unsigned char digest[DIGEST_SIZE];
    const char *id; /* "key:" and 16 hex digits of the digest */
    const char *tier;
};

struct tier_rule {
    const char *pattern;
    const char *tier;
};

struct authenticator {
    struct storage *storage;
    struct token_keys *token_keys;
    struct session_cache *sessions;
    struct static_key *keys;
    size_t key_count;
    struct tier_rule *rules; /* in the order given: the first match counts */
    size_t rule_count;
    struct arena arena; /* owns keys, rules and their texts */
};

/* --- Creation ----------------------------------------------------------------------------- */

static enum status create_token_keys(struct authenticator *authenticator,
                                     const struct config *config, struct buffer *problem)
{
    struct slice secret = slice_of(config->jwt_secret_key);
    bool is_derived = secret.length == 0 && config->secret_key[0] != '\0';
    /* HMAC fills a short key up with zeros itself (RFC 2104), so this changes no signature. */
    char padded[SECRET_LENGTH_MINIMUM] = {0};
    if (secret.length > 0 && secret.length < sizeof(padded) && !config->is_production) {
        log_write(LOG_WARNING, "jwt_secret_too_short", LOG_INTEGER("minimum", sizeof(padded)));
        memcpy(padded, secret.data, secret.length);
        secret = (struct slice){.data = padded, .length = sizeof(padded)};
    }
    enum status status =
        is_derived ? token_keys_derive(&authenticator->token_keys, slice_of(config->secret_key),
                                       TOKEN_PURPOSE, config->jwt_issuer, config->jwt_audience)
                   : token_keys_create(&authenticator->token_keys, secret, config->jwt_issuer,
                                       config->jwt_audience);
    if (status == STATUS_INVALID) {
        buffer_append_text(problem, !is_derived && secret.length < SECRET_LENGTH_MINIMUM
                                        ? "JWT_SECRET_KEY needs at least 32 bytes"
                                        : "JWT_ISSUER and JWT_AUDIENCE must not be empty");
    }
    memory_wipe(padded, sizeof(padded));
    return status;
}

static enum status read_tier_rules(struct authenticator *authenticator, const char *text,
                                   struct buffer *problem)
{
    if (text[0] == '\0') {
        return STATUS_OK;
    }
    const struct json_node *map;
    enum status status = json_parse(&authenticator->arena, slice_of(text), &map);
    if (status == STATUS_NO_MEMORY) {
        return status;
    }
    if (status != STATUS_OK || json_node_kind(map) != JSON_OBJECT) {
        buffer_append_text(problem, "API_KEY_TIERS is not a JSON object");
        return STATUS_INVALID;
    }
    size_t count = json_count(map);
    struct tier_rule *rule = arena_allocate(&authenticator->arena, count * sizeof(*rule));
    if (rule == NULL) {
        return STATUS_NO_MEMORY;
    }
    authenticator->rules = rule;
    authenticator->rule_count = count;
    for (const struct json_node *node = json_first(map); node != NULL; node = json_next(node)) {
        rule->pattern = json_name(node);
        if (!json_get_text(node, &rule->tier) || rule->tier[0] == '\0') {
            buffer_append_text(problem, "API_KEY_TIERS needs a tier's name for each pattern");
            return STATUS_INVALID;
        }
        rule++;
    }
    return STATUS_OK;
}

static const char *find_tier(const struct authenticator *authenticator, struct slice key)
{
    for (size_t i = 0; i < authenticator->rule_count; i++) {
        if (text_matches_glob(authenticator->rules[i].pattern, key)) {
            return authenticator->rules[i].tier;
        }
    }
    return NULL;
}

/* Visible ASCII: nothing else travels safely in a header. */
static bool is_usable_key(struct slice key)
{
    for (size_t i = 0; i < key.length; i++) {
        if (key.data[i] <= ' ' || key.data[i] > '~') {
            return false;
        }
    }
    return key.length > 0 && key.length <= KEY_LENGTH_MAXIMUM;
}

static enum status read_static_keys(struct authenticator *authenticator,
                                    const struct config_list *list, struct buffer *problem)
{
    authenticator->keys =
        arena_allocate(&authenticator->arena, list->count * sizeof(authenticator->keys[0]));
    if (authenticator->keys == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < list->count; i++) {
        struct static_key *key = &authenticator->keys[i];
        struct slice text = slice_of(list->items[i]);
        if (!is_usable_key(text)) {
            /* By its place, for the text is a secret. */
            buffer_append_format(problem,
                                 "API_KEYS: key number %zu is not 1 to %d visible ASCII "
                                 "characters",
                                 i + 1, KEY_LENGTH_MAXIMUM);
            return STATUS_INVALID;
        }
        enum status status = digest_sha256(text, key->digest);
        if (status != STATUS_OK) {
            return status;
        }
        char hex[2 * DIGEST_SIZE + 1];
        text_encode_hex(key->digest, sizeof(key->digest), hex);
        key->id = arena_format(&authenticator->arena, "key:%.*s", KEY_ID_LENGTH, hex);
        if (key->id == NULL) {
            return STATUS_NO_MEMORY;
        }
        key->tier = find_tier(authenticator, text);
        authenticator->key_count++;
    }
    return STATUS_OK;
}

enum status authenticator_create(struct authenticator **out, const struct config *config,
                                 struct storage *storage, struct buffer *problem)
{
    *out = NULL;
    struct authenticator *authenticator = memory_allocate(sizeof(*authenticator));
    if (authenticator == NULL) {
        return STATUS_NO_MEMORY;
    }
    authenticator->storage = storage;
    arena_init(&authenticator->arena, ARENA_MAXIMUM);
    enum status status = session_cache_create(&authenticator->sessions, storage);
    if (status == STATUS_OK) {
        status = create_token_keys(authenticator, config, problem);
    }
    if (status == STATUS_OK) {
        status = read_tier_rules(authenticator, config->api_key_tiers, problem);
    }
    if (status == STATUS_OK) {
        status = read_static_keys(authenticator, &config->api_keys, problem);
    }
    if (status != STATUS_OK) {
        authenticator_release(authenticator);
        return status;
    }
    *out = authenticator;
    return STATUS_OK;
}

void authenticator_release(struct authenticator *authenticator)
{
    if (authenticator == NULL) {
        return;
    }
    session_cache_release(authenticator->sessions);
    token_keys_release(authenticator->token_keys);
    arena_destroy(&authenticator->arena);
    memory_release(authenticator);
}

struct token_keys *authenticator_token_keys(const struct authenticator *authenticator)
{
    return authenticator->token_keys;
}

/* --- Principals --------------------------------------------------------------------------- */

/* Names of a principal that stands for a user, alone or in a company. */
static enum status name_user(struct arena *arena, struct principal *principal)
{
    principal->owner = principal->company_id != NULL
                           ? arena_format(arena, "company:%s", principal->company_id)
                           : arena_format(arena, "user:%s", principal->user_id);
    if (principal->id == NULL) {
        principal->id = arena_format(arena, "user:%s", principal->user_id);
    }
    return principal->owner == NULL || principal->id == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

/* The user's present state, through the session if the token has one. */
static enum status read_owner(struct authenticator *authenticator, struct arena *arena,
                              const struct token_claims *claims, int64_t now, struct account *owner)
{
    struct account_session session = {.expires_at = INT64_MAX};
    enum status status =
        claims->session_id == NULL
            ? account_find_by_id(authenticator->storage, arena, claims->subject, owner)
            : session_cache_find(authenticator->sessions, arena, claims->session_id, owner,
                                 &session);
    if (status != STATUS_OK) {
        return status == STATUS_NOT_FOUND ? STATUS_INVALID : status;
    }
    if (session.revoked_at != 0 || strcmp(owner->id, claims->subject) != 0 ||
        !account_may_act(owner, now) ||
        (claims->session_id == NULL && claims->issued_at < owner->token_epoch)) {
        return STATUS_INVALID;
    }
    return session.expires_at <= now ? STATUS_EXPIRED : STATUS_OK;
}

enum status authenticator_check_token(struct authenticator *authenticator, struct arena *arena,
                                      struct slice token, struct principal *out)
{
    int64_t now = clock_wall_seconds();
    struct token_claims claims;
    enum status status = token_verify(authenticator->token_keys, arena, token, now, &claims);
    if (status != STATUS_OK) {
        return status;
    }
    struct account *owner = arena_allocate(arena, sizeof(*owner));
    if (owner == NULL) {
        return STATUS_NO_MEMORY;
    }
    status = read_owner(authenticator, arena, &claims, now, owner);
    if (status != STATUS_OK) {
        return status;
    }
    /* A token of a login stands for the person. One that is limited, or that was made by hand, is
     * all that its holder was given. */
    bool is_lent = claims.session_id == NULL || claims.scope[0] != '\0' || claims.has_chart_ids;
    *out = (struct principal){
        .kind = PRINCIPAL_USER,
        .user_id = claims.subject,
        .account = owner,
        .session_id = claims.session_id,
        .company_id = claims.company_id,
        .scope = claims.scope,
        .is_superuser = owner->is_superuser && claims.scope[0] == '\0',
        .must_change_password = owner->password_state != ACCOUNT_PASSWORD_OWN,
        .expires_at = is_lent ? claims.expires_at : 0,
        .has_chart_ids = claims.has_chart_ids,
        .chart_ids = claims.chart_ids,
        .chart_id_count = claims.chart_id_count,
    };
    return name_user(arena, out);
}

/* Looks at all of them whatever is found. */
static const struct static_key *find_static_key(const struct authenticator *authenticator,
                                                const unsigned char digest[DIGEST_SIZE])
{
    const struct static_key *found = NULL;
    for (size_t i = 0; i < authenticator->key_count; i++) {
        if (text_equals_in_constant_time(authenticator->keys[i].digest, digest, DIGEST_SIZE)) {
            found = &authenticator->keys[i];
        }
    }
    return found;
}

/* qk_<16 hex digits>_<secret>: copies the id. */
static bool find_key_id(struct slice key, char id[KEY_ID_LENGTH + 1])
{
    static const char digits[] = "0123456789abcdef";
    const size_t prefix = strlen(KEY_PREFIX);
    if (!slice_starts_with(key, KEY_PREFIX) || key.length < prefix + KEY_ID_LENGTH + 2 ||
        key.data[prefix + KEY_ID_LENGTH] != '_') {
        return false;
    }
    memcpy(id, key.data + prefix, KEY_ID_LENGTH);
    id[KEY_ID_LENGTH] = '\0';
    return strspn(id, digits) == KEY_ID_LENGTH;
}

/* A list that we have written; anything else is damage, and must not widen the key. */
static enum status read_chart_ids(struct arena *arena, const char *text, struct principal *out)
{
    const struct json_node *list;
    enum status status = json_parse(arena, slice_of(text), &list);
    if (status != STATUS_OK || json_node_kind(list) != JSON_ARRAY) {
        return status == STATUS_NO_MEMORY ? status : STATUS_INTERNAL;
    }
    const char **ids = arena_allocate(arena, (json_count(list) + 1) * sizeof(ids[0]));
    if (ids == NULL) {
        return STATUS_NO_MEMORY;
    }
    out->has_chart_ids = true;
    out->chart_ids = ids;
    for (const struct json_node *node = json_first(list); node != NULL; node = json_next(node)) {
        if (!json_get_text(node, &ids[out->chart_id_count++])) {
            return STATUS_INTERNAL;
        }
    }
    return STATUS_OK;
}

static enum status check_stored_key(const struct authenticator *authenticator, struct arena *arena,
                                    struct slice text, const unsigned char digest[DIGEST_SIZE],
                                    struct principal *out)
{
    char id[KEY_ID_LENGTH + 1];
    struct api_key key;
    if (!find_key_id(text, id)) {
        return STATUS_INVALID;
    }
    enum status status = api_key_find(authenticator->storage, arena, id, &key);
    if (status != STATUS_OK) {
        return status == STATUS_NOT_FOUND ? STATUS_INVALID : status;
    }
    int64_t now = clock_wall_seconds();
    const struct account owner = {.is_active = key.owner_is_active,
                                  .locked_until = key.owner_locked_until};
    if (!text_equals_in_constant_time(key.hash, digest, DIGEST_SIZE) || key.revoked_at != 0 ||
        !account_may_act(&owner, now)) {
        return STATUS_INVALID;
    }
    if (key.expires_at != 0 && key.expires_at <= now) {
        return STATUS_EXPIRED;
    }
    *out = (struct principal){
        .kind = PRINCIPAL_API_KEY,
        .id = arena_format(arena, "key:%s", key.id),
        .user_id = key.user_id,
        .company_id = key.company_id,
        .tier = key.tier[0] != '\0' ? key.tier : find_tier(authenticator, text),
        .scope = key.scopes,
        .is_superuser = key.owner_is_superuser && key.scopes[0] == '\0',
        .expires_at = key.expires_at,
    };
    if (out->id == NULL) {
        return STATUS_NO_MEMORY;
    }
    status = key.chart_ids == NULL ? STATUS_OK : read_chart_ids(arena, key.chart_ids, out);
    return status == STATUS_OK ? name_user(arena, out) : status;
}

enum status authenticator_check_api_key(struct authenticator *authenticator, struct arena *arena,
                                        struct slice key, struct principal *out)
{
    unsigned char digest[DIGEST_SIZE];
    if (key.length == 0 || key.length > KEY_LENGTH_MAXIMUM) {
        return STATUS_INVALID;
    }
    enum status status = digest_sha256(key, digest);
    if (status != STATUS_OK) {
        return status;
    }
    const struct static_key *found = find_static_key(authenticator, digest);
    if (found == NULL) {
        return check_stored_key(authenticator, arena, key, digest, out);
    }
    *out = (struct principal){
        .kind = PRINCIPAL_API_KEY,
        .id = found->id,
        .owner = found->id,
        .tier = found->tier,
        .scope = "",
    };
    return STATUS_OK;
}

enum status authenticator_make_api_key(struct arena *arena, const char **text, const char **id,
                                       unsigned char hash[32])
{
    unsigned char id_bytes[KEY_ID_BYTES];
    unsigned char secret_bytes[KEY_SECRET_BYTES];
    char id_hex[KEY_ID_LENGTH + 1];
    char secret_hex[2 * KEY_SECRET_BYTES + 1];
    random_bytes(id_bytes, sizeof(id_bytes));
    random_bytes(secret_bytes, sizeof(secret_bytes));
    text_encode_hex(id_bytes, sizeof(id_bytes), id_hex);
    text_encode_hex(secret_bytes, sizeof(secret_bytes), secret_hex);
    *id = arena_copy(arena, id_hex, KEY_ID_LENGTH);
    *text = arena_format(arena, KEY_PREFIX "%s_%s", id_hex, secret_hex);
    memory_wipe(secret_bytes, sizeof(secret_bytes));
    memory_wipe(secret_hex, sizeof(secret_hex));
    if (*id == NULL || *text == NULL) {
        return STATUS_NO_MEMORY;
    }
    return digest_sha256(slice_of(*text), hash);
}

/* --- Scopes ------------------------------------------------------------------------------- */

static bool is_word_of(struct slice word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_equals(word, words[i])) {
            return true;
        }
    }
    return false;
}

static bool permission_exists(struct slice permission)
{
    static const char *const categories[] = {"user",  "company", "role",  "permission",
                                             "chart", "chat",    "system"};
    static const char *const actions[] = {"create", "read", "update", "delete", "manage"};
    struct slice category;
    return slice_split(&permission, '.', &category) &&
           is_word_of(category, categories, sizeof(categories) / sizeof(categories[0])) &&
           is_word_of(permission, actions, sizeof(actions) / sizeof(actions[0]));
}

bool principal_scope_exists(const char *scope)
{
    struct slice rest = slice_of(scope);
    struct slice word;
    while (slice_split(&rest, ' ', &word)) {
        if (word.length > 0 && !permission_exists(word)) {
            return false;
        }
    }
    return true;
}

/* Whether `scope` names this permission, or .manage of its category. */
static bool scope_has(const char *scope, struct slice permission)
{
    struct slice rest = slice_of(scope);
    struct slice word;
    struct slice action = permission;
    struct slice category;
    if (!slice_split(&action, '.', &category)) {
        return false;
    }
    while (slice_split(&rest, ' ', &word)) {
        struct slice held = word;
        struct slice held_category;
        if (slice_split(&held, '.', &held_category) && held_category.length == category.length &&
            memcmp(held_category.data, category.data, category.length) == 0 &&
            (slice_equals(held, "manage") ||
             (held.length == action.length && memcmp(held.data, action.data, held.length) == 0))) {
            return true;
        }
    }
    return false;
}

bool principal_may_grant(const struct principal *principal, const char *scope)
{
    struct slice rest = slice_of(scope);
    struct slice word;
    bool has_word = false;
    if (principal->scope[0] == '\0') {
        return true;
    }
    while (slice_split(&rest, ' ', &word)) {
        if (word.length > 0 && !scope_has(principal->scope, word)) {
            return false;
        }
        has_word = has_word || word.length > 0;
    }
    return has_word; /* none would be everything */
}

bool principal_may_use_chart(const struct principal *principal, const char *chart_id)
{
    if (!principal->has_chart_ids) {
        return true;
    }
    for (size_t i = 0; i < principal->chart_id_count; i++) {
        if (strcmp(principal->chart_ids[i], chart_id) == 0) {
            return true;
        }
    }
    return false;
}
