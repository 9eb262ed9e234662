/*
 * Who is asking: every way in which a credential stops being good must be seen at the very next
 * request, and an outage of the database must never look like a wrong credential.
 */
#include "database_help.h"

#include <fcntl.h>

#include "auth/digest.h"
#include "auth/principal.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "log/log.h"
#include "stores/accounts.h"
#include "stores/api_keys.h"
#include "stores/sessions.h"

#define SECRET "an HS256 key of at least 32 bytes"

static const char *const key_texts[] = {"sk-premium-1", "sk-plain", "sk-premium-2"};

static const struct config good_config = {
    .jwt_secret_key = SECRET,
    .secret_key = "",
    .jwt_issuer = "quintet",
    .jwt_audience = "quintet",
    .api_keys = {.items = key_texts, .count = 3},
    .api_key_tiers = "{\"sk-premium-2\":\"gold\",\"sk-premium-*\":\"premium\",\"qk_*\":\"own\"}",
};

static struct arena arena;
static struct authenticator *authenticator;
static struct account user;
static struct session session;

static struct storage *storage_of(void **state)
{
    return ((struct database *)*state)->storage;
}

static int set_up(void **state)
{
    arena_init(&arena, 1 << 20);
    database_set_up(state);
    struct buffer problem;
    buffer_init(&problem, 1024);
    assert_int_equal(
        authenticator_create(&authenticator, &good_config, storage_of(state), &problem), STATUS_OK);
    buffer_release(&problem);
    struct account_new given = {.email = "user@example.org", .password_hash = "h"};
    assert_int_equal(account_create(storage_of(state), &arena, &given, &user), STATUS_OK);
    int64_t now = clock_wall_seconds();
    struct session_token first = {.expires_at = now + 3600};
    random_bytes(first.hash, sizeof(first.hash));
    assert_int_equal(session_create(storage_of(state), &arena,
                                    &(struct session_opening){.user_id = user.id, .now = now},
                                    &first, &session),
                     STATUS_OK);
    return 0;
}

static int tear_down(void **state)
{
    authenticator_release(authenticator);
    arena_destroy(&arena);
    return database_tear_down(state);
}

static struct token_claims claims_of_user(void)
{
    int64_t now = clock_wall_seconds();
    return (struct token_claims){.subject = user.id,
                                 .session_id = session.id,
                                 .token_id = "t1",
                                 .scope = "",
                                 .issued_at = now,
                                 .expires_at = now + 1800};
}

static struct slice issue(const struct token_claims *claims)
{
    const char *token;
    assert_int_equal(token_issue(authenticator_token_keys(authenticator), &arena, claims, &token),
                     STATUS_OK);
    return slice_of(token);
}

static enum status check_token(struct slice token, struct principal *out)
{
    return authenticator_check_token(authenticator, &arena, token, out);
}

static enum status check_claims(const struct token_claims *claims)
{
    struct principal principal;
    return check_token(issue(claims), &principal);
}

static enum status check_key(const char *text, struct principal *out)
{
    return authenticator_check_api_key(authenticator, &arena, slice_of(text), out);
}

static const char *user_name(void)
{
    return arena_format(&arena, "user:%s", user.id);
}

/* --- Access tokens ------------------------------------------------------------------------ */

static void a_token_stands_for_its_user(void **state)
{
    (void)state;
    struct token_claims claims = claims_of_user();
    struct principal principal;
    assert_int_equal(check_token(issue(&claims), &principal), STATUS_OK);
    assert_int_equal(principal.kind, PRINCIPAL_USER);
    assert_string_equal(principal.id, user_name());
    assert_string_equal(principal.owner, user_name());
    assert_string_equal(principal.user_id, user.id);
    assert_string_equal(principal.session_id, session.id);
    assert_null(principal.company_id);
    assert_null(principal.tier);
    assert_string_equal(principal.scope, "");
    assert_false(principal.is_superuser);
    assert_false(principal.has_chart_ids);
    assert_true(principal_may_use_chart(&principal, "any"));
}

static void a_token_may_act_in_a_company_on_some_charts(void **state)
{
    (void)state;
    static const char *const charts[] = {"c1", "c2"};
    struct token_claims claims = claims_of_user();
    claims.company_id = "acme";
    claims.scope = "chart.read";
    claims.has_chart_ids = true;
    claims.chart_ids = charts;
    claims.chart_id_count = 2;
    struct principal principal;
    assert_int_equal(check_token(issue(&claims), &principal), STATUS_OK);
    assert_string_equal(principal.id, user_name());
    assert_string_equal(principal.owner, "company:acme");
    assert_string_equal(principal.company_id, "acme");
    assert_string_equal(principal.scope, "chart.read");
    assert_true(principal_may_use_chart(&principal, "c1"));
    assert_true(principal_may_use_chart(&principal, "c2"));
    assert_false(principal_may_use_chart(&principal, "c3"));
    assert_false(principal_may_use_chart(&principal, "c"));
    assert_false(principal_may_use_chart(&principal, "C1"));
    claims.chart_id_count = 0;
    assert_int_equal(check_token(issue(&claims), &principal), STATUS_OK);
    assert_false(principal_may_use_chart(&principal, "c1"));
}

static void the_database_tells_who_is_an_administrator(void **state)
{
    struct token_claims claims = claims_of_user();
    struct slice token = issue(&claims);
    claims.scope = "chart.read";
    struct slice limited = issue(&claims);
    struct principal principal;
    assert_int_equal(account_set_superuser(storage_of(state), user.id, true), STATUS_OK);
    assert_int_equal(check_token(token, &principal), STATUS_OK);
    assert_true(principal.is_superuser);
    /* A scope limits an administrator too. */
    assert_int_equal(check_token(limited, &principal), STATUS_OK);
    assert_false(principal.is_superuser);
    assert_int_equal(account_set_superuser(storage_of(state), user.id, false), STATUS_OK);
    assert_int_equal(check_token(token, &principal), STATUS_OK);
    assert_false(principal.is_superuser);
}

static void tokens_die_with_the_session(void **state)
{
    struct token_claims claims = claims_of_user();
    assert_int_equal(check_claims(&claims), STATUS_OK);
    assert_int_equal(session_revoke(storage_of(state), user.id, session.id, clock_wall_seconds()),
                     STATUS_OK);
    assert_int_equal(check_claims(&claims), STATUS_INVALID);
    claims.session_id = "no such session";
    assert_int_equal(check_claims(&claims), STATUS_INVALID);
}

static void tokens_end_with_the_session(void **state)
{
    int64_t now = clock_wall_seconds();
    struct session_token first = {.expires_at = now - 1};
    struct session over;
    assert_int_equal(session_create(storage_of(state), &arena,
                                    &(struct session_opening){.user_id = user.id, .now = now - 10},
                                    &first, &over),
                     STATUS_OK);
    struct token_claims claims = claims_of_user();
    claims.session_id = over.id;
    assert_int_equal(check_claims(&claims), STATUS_EXPIRED);
}

static void tokens_die_with_the_users_activity(void **state)
{
    struct token_claims claims = claims_of_user();
    struct token_claims without_session = claims;
    without_session.session_id = NULL;
    assert_int_equal(check_claims(&without_session), STATUS_OK);
    assert_int_equal(account_set_active(storage_of(state), user.id, false), STATUS_OK);
    assert_int_equal(check_claims(&claims), STATUS_INVALID);
    assert_int_equal(check_claims(&without_session), STATUS_INVALID);
    assert_int_equal(account_set_active(storage_of(state), user.id, true), STATUS_OK);
    assert_int_equal(check_claims(&claims), STATUS_OK);
    without_session.subject = "nobody";
    assert_int_equal(check_claims(&without_session), STATUS_INVALID);
}

struct epoch {
    int64_t second;
};

static enum status set_epoch(struct storage_connection *connection, void *context)
{
    char text[80];
    snprintf(text, sizeof(text), "UPDATE users SET token_epoch = %lld",
             (long long)((struct epoch *)context)->second);
    return storage_run_script(connection, text);
}

static void tokens_without_a_session_from_before_the_epoch_are_dead(void **state)
{
    struct token_claims claims = claims_of_user();
    struct token_claims without_session = claims;
    without_session.session_id = NULL;
    struct storage_connection *connection;
    assert_int_equal(storage_connect(storage_of(state), &connection), STATUS_OK);
    struct epoch epoch = {.second = claims.issued_at};
    assert_int_equal(storage_transaction(connection, set_epoch, &epoch), STATUS_OK);
    assert_int_equal(check_claims(&claims), STATUS_OK);
    assert_int_equal(check_claims(&without_session), STATUS_OK);
    epoch.second++;
    assert_int_equal(storage_transaction(connection, set_epoch, &epoch), STATUS_OK);
    assert_int_equal(check_claims(&without_session), STATUS_INVALID);
    assert_int_equal(check_claims(&claims), STATUS_OK); /* its session says whether it lives */
}

static void a_session_serves_its_own_user_only(void **state)
{
    struct account_new given = {.email = "other@example.org", .password_hash = "h"};
    struct account other;
    assert_int_equal(account_create(storage_of(state), &arena, &given, &other), STATUS_OK);
    struct token_claims claims = claims_of_user();
    claims.subject = other.id;
    assert_int_equal(check_claims(&claims), STATUS_INVALID);
}

static void bad_and_expired_tokens_are_told_apart(void **state)
{
    (void)state;
    struct token_claims claims = claims_of_user();
    struct principal principal;
    claims.expires_at = clock_wall_seconds() - 3600;
    assert_int_equal(check_claims(&claims), STATUS_EXPIRED);
    assert_int_equal(check_token(slice_of("no.such.token"), &principal), STATUS_INVALID);
    assert_int_equal(check_token(slice_of(""), &principal), STATUS_INVALID);
}

/* --- API keys of the configuration -------------------------------------------------------- */

static void a_configured_key_owns_as_itself(void **state)
{
    (void)state;
    unsigned char digest[DIGEST_SIZE];
    char hex[2 * DIGEST_SIZE + 1];
    assert_int_equal(digest_sha256(slice_of("sk-plain"), digest), STATUS_OK);
    text_encode_hex(digest, sizeof(digest), hex);
    struct principal principal;
    assert_int_equal(check_key("sk-plain", &principal), STATUS_OK);
    assert_int_equal(principal.kind, PRINCIPAL_API_KEY);
    assert_int_equal(strlen(principal.id), strlen("key:") + 16);
    assert_int_equal(strncmp(principal.id, "key:", 4), 0);
    assert_int_equal(strncmp(principal.id + 4, hex, 16), 0);
    assert_string_equal(principal.owner, principal.id);
    assert_null(principal.user_id);
    assert_null(principal.session_id);
    assert_null(principal.company_id);
    assert_null(principal.tier);
    assert_string_equal(principal.scope, "");
    assert_false(principal.is_superuser);
}

static void the_first_matching_pattern_gives_the_tier(void **state)
{
    (void)state;
    struct principal principal;
    assert_int_equal(check_key("sk-premium-1", &principal), STATUS_OK);
    assert_string_equal(principal.tier, "premium");
    assert_int_equal(check_key("sk-premium-2", &principal), STATUS_OK);
    assert_string_equal(principal.tier, "gold");
}

static void nearly_a_key_is_no_key(void **state)
{
    (void)state;
    static const char *const texts[] = {"",          "sk-plai",   "sk-plain ",    " sk-plain",
                                        "sk-plainx", "SK-PLAIN",  "sk-premium-3", "sk-premium-*",
                                        "*",         "sk-plain\n"};
    struct principal principal;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(check_key(texts[i], &principal), STATUS_INVALID);
    }
    char *longest = arena_format(&arena, "%0*d", 600, 0);
    assert_int_equal(check_key(longest, &principal), STATUS_INVALID);
}

/* --- API keys of the database --------------------------------------------------------------- */

static const char *make_key(struct storage *storage, struct api_key *key)
{
    const char *text;
    assert_int_equal(authenticator_make_api_key(&arena, &text, &key->id, key->hash), STATUS_OK);
    key->user_id = user.id;
    key->name = "deploy";
    key->scopes = key->scopes == NULL ? "" : key->scopes;
    key->tier = key->tier == NULL ? "" : key->tier;
    key->created_at = clock_wall_seconds();
    assert_int_equal(api_key_create(storage, key, 20), STATUS_OK);
    return text;
}

static void a_made_key_names_its_row_and_hides_its_secret(void **state)
{
    (void)state;
    const char *text;
    const char *id;
    unsigned char hash[32];
    unsigned char expected[32];
    assert_int_equal(authenticator_make_api_key(&arena, &text, &id, hash), STATUS_OK);
    assert_int_equal(strlen(id), 16);
    assert_int_equal(strspn(id, "0123456789abcdef"), 16);
    assert_string_equal(arena_format(&arena, "qk_%s_", id), arena_format(&arena, "%.20s", text));
    assert_true(strlen(text) >= 20 + 32);
    assert_int_equal(digest_sha256(slice_of(text), expected), STATUS_OK);
    assert_memory_equal(hash, expected, sizeof(hash));
    const char *other;
    const char *other_id;
    assert_int_equal(authenticator_make_api_key(&arena, &other, &other_id, hash), STATUS_OK);
    assert_string_not_equal(other + 20, text + 20);
    assert_string_not_equal(other_id, id);
}

static void a_stored_key_acts_for_its_owner(void **state)
{
    struct api_key key = {.scopes = "chart.read", .tier = "premium"};
    const char *text = make_key(storage_of(state), &key);
    struct principal principal;
    assert_int_equal(check_key(text, &principal), STATUS_OK);
    assert_int_equal(principal.kind, PRINCIPAL_API_KEY);
    assert_string_equal(principal.id, arena_format(&arena, "key:%s", key.id));
    assert_string_equal(principal.owner, user_name());
    assert_string_equal(principal.user_id, user.id);
    assert_null(principal.session_id);
    assert_string_equal(principal.scope, "chart.read");
    assert_string_equal(principal.tier, "premium");
    /* Without a tier of its own it gets that of the patterns. */
    struct api_key plain = {0};
    assert_int_equal(check_key(make_key(storage_of(state), &plain), &principal), STATUS_OK);
    assert_string_equal(principal.tier, "own");
}

static void a_scope_takes_the_administrator_out_of_a_key(void **state)
{
    assert_int_equal(account_set_superuser(storage_of(state), user.id, true), STATUS_OK);
    struct api_key limited = {.scopes = "chart.read"};
    struct api_key full = {0};
    struct principal principal;
    assert_int_equal(check_key(make_key(storage_of(state), &limited), &principal), STATUS_OK);
    assert_false(principal.is_superuser);
    assert_int_equal(check_key(make_key(storage_of(state), &full), &principal), STATUS_OK);
    assert_true(principal.is_superuser);
}

static void a_stored_key_needs_its_whole_text(void **state)
{
    struct api_key key = {0};
    const char *text = make_key(storage_of(state), &key);
    struct principal principal;
    for (size_t length = 0; length < strlen(text); length++) {
        struct slice part = {.data = text, .length = length};
        assert_int_equal(authenticator_check_api_key(authenticator, &arena, part, &principal),
                         STATUS_INVALID);
    }
    for (size_t i = 0; i < strlen(text); i++) {
        char *copy = arena_copy(&arena, text, strlen(text));
        copy[i] = copy[i] == 'f' ? 'e' : 'f';
        assert_int_equal(check_key(copy, &principal), STATUS_INVALID);
    }
    assert_int_equal(check_key(arena_format(&arena, "%s0", text), &principal), STATUS_INVALID);
}

static void a_stored_key_dies_by_revocation_expiry_and_owner(void **state)
{
    struct storage *storage = storage_of(state);
    struct principal principal;
    struct api_key expired = {.expires_at = clock_wall_seconds() - 1};
    struct api_key lasting = {.expires_at = clock_wall_seconds() + 3600};
    const char *expired_text = make_key(storage, &expired);
    const char *text = make_key(storage, &lasting);
    assert_int_equal(check_key(expired_text, &principal), STATUS_EXPIRED);
    assert_int_equal(check_key(text, &principal), STATUS_OK);
    assert_int_equal(account_set_active(storage, user.id, false), STATUS_OK);
    assert_int_equal(check_key(text, &principal), STATUS_INVALID);
    assert_int_equal(account_set_active(storage, user.id, true), STATUS_OK);
    assert_int_equal(check_key(text, &principal), STATUS_OK);
    assert_int_equal(api_key_revoke(storage, user.id, lasting.id, clock_wall_seconds()), STATUS_OK);
    assert_int_equal(check_key(text, &principal), STATUS_INVALID);
    /* Who does not have the whole key learns nothing of its end. */
    char *guess = arena_copy(&arena, expired_text, strlen(expired_text));
    guess[strlen(guess) - 1] ^= 1;
    assert_int_equal(check_key(guess, &principal), STATUS_INVALID);
}

/* --- Outages ------------------------------------------------------------------------------ */

static void an_outage_is_never_a_wrong_credential(void **state)
{
    struct database *database = *state;
    struct token_claims claims = claims_of_user();
    struct slice token = issue(&claims);
    struct api_key key = {0};
    const char *text = make_key(database->storage, &key);
    storage_close(database->storage);
    int descriptor = open(database_path(database), O_WRONLY | O_TRUNC);
    assert_int_equal(write(descriptor, "this is no database, and it never was one", 41), 41);
    close(descriptor);

    authenticator_release(authenticator);
    struct storage_options options = {.url = database->url};
    assert_int_equal(storage_open(&database->storage, &options), STATUS_OK);
    struct buffer problem;
    buffer_init(&problem, 1024);
    assert_int_equal(
        authenticator_create(&authenticator, &good_config, database->storage, &problem), STATUS_OK);
    buffer_release(&problem);
    struct principal principal;
    assert_int_equal(check_token(token, &principal), STATUS_UNAVAILABLE);
    claims.session_id = NULL;
    assert_int_equal(check_claims(&claims), STATUS_UNAVAILABLE);
    assert_int_equal(check_key(text, &principal), STATUS_UNAVAILABLE);
    /* What needs no database goes on. */
    assert_int_equal(check_key("sk-plain", &principal), STATUS_OK);
    assert_int_equal(check_key("sk-wrong", &principal), STATUS_INVALID);
}

/* --- Configuration ------------------------------------------------------------------------ */

static enum status create_with(const struct config *config, char *text, size_t size)
{
    struct authenticator *other = NULL;
    struct buffer problem;
    buffer_init(&problem, 1024);
    enum status status = authenticator_create(&other, config, NULL, &problem);
    snprintf(text, size, "%s", buffer_text(&problem));
    buffer_release(&problem);
    assert_true((status == STATUS_OK) == (other != NULL));
    authenticator_release(other);
    return status;
}

static void unusable_settings_are_told_without_their_secrets(void **state)
{
    (void)state;
    char problem[300];
    struct config config = good_config;
    config.jwt_secret_key = "";
    assert_int_equal(create_with(&config, problem, sizeof(problem)), STATUS_INVALID);
    assert_string_equal(problem, "JWT_SECRET_KEY needs at least 32 bytes");
    config.jwt_secret_key = "a secret of only thirty-one byte";
    config.is_production = true;
    assert_int_equal(create_with(&config, problem, sizeof(problem)), STATUS_OK);
    config.jwt_secret_key = "a secret of only thirty-one byt";
    assert_int_equal(create_with(&config, problem, sizeof(problem)), STATUS_INVALID);
    assert_string_equal(problem, "JWT_SECRET_KEY needs at least 32 bytes");
    config = good_config;
    config.jwt_issuer = "";
    assert_int_equal(create_with(&config, problem, sizeof(problem)), STATUS_INVALID);
    assert_string_equal(problem, "JWT_ISSUER and JWT_AUDIENCE must not be empty");

    static const char *const tiers[] = {
        "x", "[]", "{\"a\":1}", "{\"a\":\"\"}", "{\"a\":\"b\"", "{\"a\":\"b\",\"a\":\"c\"}"};
    for (size_t i = 0; i < sizeof(tiers) / sizeof(tiers[0]); i++) {
        config = good_config;
        config.api_key_tiers = tiers[i];
        assert_int_equal(create_with(&config, problem, sizeof(problem)), STATUS_INVALID);
        assert_string_equal(problem, i == 2 || i == 3
                                         ? "API_KEY_TIERS needs a tier's name for each pattern"
                                         : "API_KEY_TIERS is not a JSON object");
    }
    static const char *const keys[] = {"", "with space", "tab\t", "caf\xc3\xa9", "\x7f"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *const list[] = {"good-key", keys[i]};
        config = good_config;
        config.api_keys = (struct config_list){.items = list, .count = 2};
        assert_int_equal(create_with(&config, problem, sizeof(problem)), STATUS_INVALID);
        assert_string_equal(problem,
                            "API_KEYS: key number 2 is not 1 to 512 visible ASCII characters");
    }
    char *longest = arena_format(&arena, "%0*d", 513, 0);
    const char *const list[] = {longest};
    config.api_keys = (struct config_list){.items = list, .count = 1};
    assert_int_equal(create_with(&config, problem, sizeof(problem)), STATUS_INVALID);
    longest[512] = '\0';
    assert_int_equal(create_with(&config, problem, sizeof(problem)), STATUS_OK);
}

static void settings_may_be_absent(void **state)
{
    (void)state;
    char problem[300];
    struct config config = good_config;
    config.api_keys = (struct config_list){0};
    config.api_key_tiers = "";
    assert_int_equal(create_with(&config, problem, sizeof(problem)), STATUS_OK);
    config.api_key_tiers = "{}";
    assert_int_equal(create_with(&config, problem, sizeof(problem)), STATUS_OK);
    config.jwt_secret_key = "";
    config.secret_key = SECRET;
    assert_int_equal(create_with(&config, problem, sizeof(problem)), STATUS_OK);
}

static void reopen_with(void **state, const struct config *config)
{
    struct buffer problem;
    buffer_init(&problem, 1024);
    authenticator_release(authenticator);
    assert_int_equal(authenticator_create(&authenticator, config, storage_of(state), &problem),
                     STATUS_OK);
    buffer_release(&problem);
}

static bool is_signed_by(struct slice token, struct slice key)
{
    struct slice signed_text = token;
    signed_text.length -= 44;
    unsigned char signature[DIGEST_SIZE];
    char encoded[44];
    assert_int_equal(digest_hmac_sha256(key, signed_text, signature), STATUS_OK);
    text_encode_base64url(signature, sizeof(signature), encoded);
    return strcmp(token.data + token.length - 43, encoded) == 0;
}

/* Development only; the signature is the one that other programs make with the same secret. */
static void a_short_secret_signs_as_it_is(void **state)
{
    struct config config = good_config;
    char path[] = "/tmp/principal-XXXXXX";
    char line[4096] = "";
    int log = mkstemp(path);
    config.jwt_secret_key = "short";
    assert_int_equal(log_open("test", LOG_WARNING, path), STATUS_OK);
    reopen_with(state, &config);
    assert_int_equal(log_open("test", LOG_CRITICAL, NULL), STATUS_OK);
    assert_true(read(log, line, sizeof(line) - 1) > 0);
    assert_non_null(strstr(line, "\"message\":\"jwt_secret_too_short\""));
    assert_non_null(strstr(line, "\"minimum\":32"));
    close(log);
    unlink(path);
    struct token_claims claims = claims_of_user();
    assert_true(is_signed_by(issue(&claims), slice_of("short")));
}

/* Who knows one of the two keys does not know the other. */
static void tokens_without_a_secret_of_their_own_are_signed_by_a_derived_one(void **state)
{
    struct config config = good_config;
    config.jwt_secret_key = "";
    config.secret_key = SECRET;
    reopen_with(state, &config);
    struct token_claims claims = claims_of_user();
    struct slice token = issue(&claims);
    unsigned char key[DIGEST_SIZE];
    assert_int_equal(digest_derive(slice_of(SECRET), "quintet access tokens 1", key), STATUS_OK);
    assert_false(is_signed_by(token, slice_of(SECRET)));
    assert_true(is_signed_by(token, (struct slice){(const char *)key, sizeof(key)}));
}

static void each_failing_allocation_is_survived(void **state)
{
    struct token_claims claims = claims_of_user();
    struct slice token = issue(&claims);
    struct api_key key = {0};
    const char *text = make_key(storage_of(state), &key);
    bool is_through = false;
    for (unsigned long n = 1; n < 200 && !is_through; n++) {
        struct authenticator *other = NULL;
        struct arena scratch;
        struct principal principal;
        struct buffer problem;
        buffer_init(&problem, 1024);
        arena_init(&scratch, 1 << 16);
        memory_fail_after(n);
        enum status status =
            authenticator_create(&other, &good_config, storage_of(state), &problem);
        if (status == STATUS_OK) {
            status = authenticator_check_token(other, &scratch, token, &principal);
        }
        if (status == STATUS_OK) {
            status = authenticator_check_api_key(other, &scratch, slice_of(text), &principal);
        }
        is_through = memory_failures_seen() == 0;
        memory_fail_after(0);
        assert_int_equal(status, is_through ? STATUS_OK : STATUS_NO_MEMORY);
        authenticator_release(other);
        arena_destroy(&scratch);
        buffer_release(&problem);
    }
    assert_true(is_through);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_stands_for_its_user),
        TEST(a_token_may_act_in_a_company_on_some_charts),
        TEST(the_database_tells_who_is_an_administrator),
        TEST(tokens_die_with_the_session),
        TEST(tokens_end_with_the_session),
        TEST(tokens_die_with_the_users_activity),
        TEST(tokens_without_a_session_from_before_the_epoch_are_dead),
        TEST(a_session_serves_its_own_user_only),
        TEST(bad_and_expired_tokens_are_told_apart),
        TEST(a_configured_key_owns_as_itself),
        TEST(the_first_matching_pattern_gives_the_tier),
        TEST(nearly_a_key_is_no_key),
        TEST(a_made_key_names_its_row_and_hides_its_secret),
        TEST(a_stored_key_acts_for_its_owner),
        TEST(a_scope_takes_the_administrator_out_of_a_key),
        TEST(a_stored_key_needs_its_whole_text),
        TEST(a_stored_key_dies_by_revocation_expiry_and_owner),
        TEST(an_outage_is_never_a_wrong_credential),
        TEST(unusable_settings_are_told_without_their_secrets),
        TEST(settings_may_be_absent),
        TEST(a_short_secret_signs_as_it_is),
        TEST(tokens_without_a_secret_of_their_own_are_signed_by_a_derived_one),
        TEST(each_failing_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
