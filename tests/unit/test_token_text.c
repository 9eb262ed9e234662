/*
 * The text of tokens: compact form, base64url, signature, length; and that what is issued is what
 * is verified.
 */
#include "token_help.h"

#include <pthread.h>

#include "base/memory.h"

/* --- The text ----------------------------------------------------------------------------- */

static struct slice copy_of(struct slice token)
{
    char *copy = arena_copy(&arena, token.data, token.length);
    assert_non_null(copy);
    return (struct slice){.data = copy, .length = token.length};
}

static void every_changed_character_is_noticed(void **state)
{
    (void)state;
    struct slice token = forge(HEADER, PAYLOAD);
    for (size_t i = 0; i < token.length; i++) {
        for (int replacement = 0; replacement < 3; replacement++) {
            struct slice copy = copy_of(token);
            char *at = (char *)(uintptr_t)copy.data + i;
            char other = "Az."[replacement];
            if (*at == other) {
                continue;
            }
            *at = other;
            assert_int_equal(verify(copy), STATUS_INVALID);
            arena_reset(&arena);
            token = forge(HEADER, PAYLOAD);
        }
    }
}

static void every_shorter_and_longer_text_is_refused(void **state)
{
    (void)state;
    struct slice token = forge(HEADER, PAYLOAD);
    for (size_t length = 0; length < token.length; length++) {
        assert_int_equal(verify((struct slice){.data = token.data, .length = length}),
                         STATUS_INVALID);
        assert_int_equal(
            verify((struct slice){.data = token.data + token.length - length, .length = length}),
            STATUS_INVALID);
    }
    static const char *const tails[] = {"=", "A", ".", ".x", " ", "\n", "\r\n", "==", "."};
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        char *longer = arena_format(&arena, "%s%s", token.data, tails[i]);
        assert_int_equal(verify(slice_of(longer)), STATUS_INVALID);
        longer = arena_format(&arena, "%s%s", tails[i], token.data);
        assert_int_equal(verify(slice_of(longer)), STATUS_INVALID);
    }
    /* A NUL and anything after it belong to the text too. */
    char *with_nul = arena_allocate(&arena, token.length + 2);
    memcpy(with_nul, token.data, token.length);
    assert_int_equal(verify((struct slice){.data = with_nul, .length = token.length + 1}),
                     STATUS_INVALID);
    assert_int_equal(verify((struct slice){0}), STATUS_INVALID);
}

/* A text of a kind that a lax base64 decoder would take, with its true signature. */
static struct slice sign_text(const char *header, const char *payload, const char *tail)
{
    char *text = arena_format(&arena, "%s.%s", header, payload);
    assert_non_null(text);
    unsigned char signature[DIGEST_SIZE];
    assert_int_equal(digest_hmac_sha256(slice_of(SECRET), slice_of(text), signature), STATUS_OK);
    char encoded[50];
    text_encode_base64url(signature, sizeof(signature), encoded);
    char *token = arena_format(&arena, "%s.%s%s", text, encoded, tail);
    assert_non_null(token);
    return slice_of(token);
}

static void base64_must_be_canonical(void **state)
{
    (void)state;
    char header[100];
    char payload[400];
    /* Its last group is incomplete, so there are unused bits to set. */
    const char *header_text = HEADER " ";
    const char *payload_text = PAYLOAD;
    encode(header_text, strlen(header_text), header);
    encode(payload_text, strlen(payload_text), payload);
    assert_int_not_equal(strlen(header_text) % 3, 0);
    assert_int_equal(verify(sign_text(header, payload, "")), STATUS_OK);

    assert_int_equal(verify(sign_text(arena_format(&arena, "%s==", header), payload, "")),
                     STATUS_INVALID);
    assert_int_equal(verify(sign_text(arena_format(&arena, "%s\n", header), payload, "")),
                     STATUS_INVALID);
    assert_int_equal(verify(sign_text(arena_format(&arena, " %s", header), payload, "")),
                     STATUS_INVALID);
    assert_int_equal(verify(sign_text(header, arena_format(&arena, "%s=", payload), "")),
                     STATUS_INVALID);
    assert_int_equal(verify(sign_text(header, arena_format(&arena, "%sA", payload), "")),
                     STATUS_INVALID);
    /* unused bits set: the last character stands for the same bytes in a lax decoder */
    header[strlen(header) - 1]++;
    assert_int_equal(verify(sign_text(header, payload, "")), STATUS_INVALID);
    header[strlen(header) - 1]--;
    assert_int_equal(verify(sign_text(header, payload, "=")), STATUS_INVALID);

    /* the alphabet of plain base64 */
    const char *high = "{" REQUIRED "," TIMES ",\"x\":\"\xc3\xbf\xc3\xbf>>>???\"}";
    encode(high, strlen(high), payload);
    assert_true(strpbrk(payload, "-_") != NULL);
    assert_int_equal(verify(sign_text(header, payload, "")), STATUS_OK);
    *strpbrk(payload, "-_") = '+';
    assert_int_equal(verify(sign_text(header, payload, "")), STATUS_INVALID);

    /* unused bits in the signature */
    struct slice token = forge(HEADER, PAYLOAD);
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char *last = (char *)(uintptr_t)token.data + token.length - 1;
    *last = strchr(alphabet, *last)[1];
    assert_int_equal(verify(token), STATUS_INVALID);
}

static void a_token_has_three_parts(void **state)
{
    (void)state;
    char header[100];
    char payload[300];
    encode(HEADER, strlen(HEADER), header);
    encode(PAYLOAD, strlen(PAYLOAD), payload);
    const char *signature = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const char *texts[] = {
        "",
        ".",
        "..",
        "...",
        "....",
        header,
        arena_format(&arena, "%s.%s", header, payload),
        arena_format(&arena, "%s.%s.", header, payload),
        arena_format(&arena, "%s..%s", header, signature),
        arena_format(&arena, ".%s.%s", payload, signature),
        arena_format(&arena, "%s.%s.%s.%s", header, payload, signature, signature),
        /* JWE has five parts */
        arena_format(&arena, "%s.%s.%s.%s.%s", header, payload, signature, payload, signature),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_non_null(texts[i]);
        if (verify(slice_of(texts[i])) != STATUS_INVALID) {
            fail_msg("accepted: %s", texts[i]);
        }
    }
    /* JSON serialisation */
    assert_int_equal(verify(slice_of(arena_format(
                         &arena, "{\"payload\":\"%s\",\"protected\":\"%s\",\"signature\":\"%s\"}",
                         payload, header, signature))),
                     STATUS_INVALID);
}

static void unsigned_tokens_are_refused(void **state)
{
    (void)state;
    static const char *const algorithms[] = {"none", "None", "nOnE", "NONE", "HS256"};
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        char *header = arena_format(&arena, "{\"alg\":\"%s\",\"typ\":\"at+jwt\"}", algorithms[i]);
        struct slice token = forge(header, PAYLOAD);
        token.length -= 43;
        assert_int_equal(token.data[token.length - 1], '.');
        assert_int_equal(verify(token), STATUS_INVALID);
    }
}

static void a_token_has_at_most_8_kib(void **state)
{
    (void)state;
    /* The scope is stretched until the token has the wanted length. */
    for (int wanted = TOKEN_LENGTH_MAXIMUM - 1; wanted <= TOKEN_LENGTH_MAXIMUM + 2; wanted++) {
        struct slice token = {0};
        for (int length = 5800; (int)token.length < wanted && length < 6200; length++) {
            arena_reset(&arena);
            token =
                forge(HEADER, arena_format(&arena, "{" REQUIRED "," TIMES ",\"scope\":\"%0*d\"}",
                                           length, 0));
        }
        assert_in_range(token.length, wanted, wanted + 1);
        assert_int_equal(verify(token),
                         token.length <= TOKEN_LENGTH_MAXIMUM ? STATUS_OK : STATUS_INVALID);
    }
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    char payload[400] = "{" REQUIRED "," TIMES ",\"x\":";
    size_t length = strlen(payload);
    memset(payload + length, '[', 70);
    memset(payload + length + 70, ']', 70);
    payload[length + 140] = '}';
    payload[length + 141] = '\0';
    assert_int_equal(verify(forge(HEADER, payload)), STATUS_INVALID);
}

/* --- Keys and issuing --------------------------------------------------------------------- */

static void a_key_has_at_least_32_bytes(void **state)
{
    (void)state;
    struct token_keys *other;
    assert_int_equal(
        token_keys_create(&other, slice_of("31 bytes are one byte too few.."), "a", "b"),
        STATUS_INVALID);
    assert_null(other);
    assert_int_equal(token_keys_create(&other, (struct slice){0}, "a", "b"), STATUS_INVALID);
    assert_int_equal(token_keys_create(&other, slice_of(SECRET), "", "b"), STATUS_INVALID);
    assert_int_equal(token_keys_create(&other, slice_of(SECRET), "a", ""), STATUS_INVALID);
    assert_int_equal(
        token_keys_create(&other, slice_of("32 bytes are just what it needs."), "a", "b"),
        STATUS_OK);
    assert_int_equal(
        token_verify(other, &arena, forge(HEADER, PAYLOAD), NOW, &(struct token_claims){0}),
        STATUS_INVALID);
    token_keys_release(other);
    token_keys_release(NULL);
}

static const char *const charts[] = {"c1", "caf\xc3\xa9 \"2\""};

static const struct token_claims full = {.subject = "user-1",
                                         .session_id = "session-1",
                                         .token_id = "token-1",
                                         .company_id = "company-1",
                                         .scope = "chart.read user.read",
                                         .has_chart_ids = true,
                                         .chart_ids = charts,
                                         .chart_id_count = 2,
                                         .issued_at = NOW,
                                         .expires_at = NOW + 1800};

static void what_was_issued_is_verified(void **state)
{
    (void)state;
    const char *text;
    struct token_claims claims;
    assert_int_equal(token_issue(keys, &arena, &full, &text), STATUS_OK);
    assert_int_equal(token_verify(keys, &arena, slice_of(text), NOW, &claims), STATUS_OK);
    assert_string_equal(claims.subject, "user-1");
    assert_string_equal(claims.session_id, "session-1");
    assert_string_equal(claims.token_id, "token-1");
    assert_string_equal(claims.company_id, "company-1");
    assert_string_equal(claims.scope, "chart.read user.read");
    assert_true(claims.has_chart_ids);
    assert_int_equal(claims.chart_id_count, 2);
    assert_string_equal(claims.chart_ids[0], charts[0]);
    assert_string_equal(claims.chart_ids[1], charts[1]);
    assert_int_equal(claims.issued_at, NOW);
    assert_int_equal(claims.expires_at, NOW + 1800);
}

static void what_was_left_out_is_absent(void **state)
{
    (void)state;
    struct token_claims few = {
        .subject = "u", .token_id = "t", .issued_at = NOW, .expires_at = NOW + 1};
    const char *text;
    struct token_claims claims;
    assert_int_equal(token_issue(keys, &arena, &few, &text), STATUS_OK);
    assert_int_equal(token_verify(keys, &arena, slice_of(text), NOW, &claims), STATUS_OK);
    assert_null(claims.session_id);
    assert_null(claims.company_id);
    assert_string_equal(claims.scope, "");
    assert_false(claims.has_chart_ids);

    /* A list without charts allows none, and must not become "no list". */
    few.has_chart_ids = true;
    assert_int_equal(token_issue(keys, &arena, &few, &text), STATUS_OK);
    assert_int_equal(token_verify(keys, &arena, slice_of(text), NOW, &claims), STATUS_OK);
    assert_true(claims.has_chart_ids);
    assert_int_equal(claims.chart_id_count, 0);
}

static void what_could_not_be_verified_is_not_issued(void **state)
{
    (void)state;
    const char *text;
    struct token_claims claims = full;
    claims.subject = NULL;
    assert_int_equal(token_issue(keys, &arena, &claims, &text), STATUS_INVALID);
    claims.subject = "";
    assert_int_equal(token_issue(keys, &arena, &claims, &text), STATUS_INVALID);
    claims = full;
    claims.token_id = NULL;
    assert_int_equal(token_issue(keys, &arena, &claims, &text), STATUS_INVALID);
    claims = full;
    char *scope = arena_format(&arena, "%0*d", 7000, 0);
    claims.scope = scope;
    assert_int_equal(token_issue(keys, &arena, &claims, &text), STATUS_TOO_LARGE);
    assert_null(text);
    claims.scope = arena_format(&arena, "%0*d", 9000, 0);
    assert_int_equal(token_issue(keys, &arena, &claims, &text), STATUS_TOO_LARGE);
}

static void a_token_of_another_key_is_refused(void **state)
{
    (void)state;
    struct token_keys *other;
    const char *text;
    struct token_claims claims;
    assert_int_equal(
        token_keys_create(&other, slice_of("a different key of at least 32 bytes"), "us", "them"),
        STATUS_OK);
    assert_int_equal(token_issue(other, &arena, &full, &text), STATUS_OK);
    assert_int_equal(token_verify(keys, &arena, slice_of(text), NOW, &claims), STATUS_INVALID);
    token_keys_release(other);
    assert_int_equal(token_keys_create(&other, slice_of(SECRET), "us", "others"), STATUS_OK);
    assert_int_equal(token_issue(other, &arena, &full, &text), STATUS_OK);
    assert_int_equal(token_verify(keys, &arena, slice_of(text), NOW, &claims), STATUS_INVALID);
    token_keys_release(other);
}

static void *verify_often(void *context)
{
    struct arena own;
    arena_init(&own, 1 << 16);
    struct token_claims claims;
    bool ok = true;
    for (int i = 0; i < 2000 && ok; i++) {
        ok = token_verify(keys, &own, *(struct slice *)context, NOW, &claims) == STATUS_OK;
        arena_reset(&own);
    }
    arena_destroy(&own);
    return ok ? context : NULL;
}

static void keys_are_shared_by_threads(void **state)
{
    (void)state;
    struct slice token = forge(HEADER, PAYLOAD);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, verify_often, &token), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *ok = NULL;
        assert_int_equal(pthread_join(threads[i], &ok), 0);
        assert_non_null(ok);
    }
}

static void each_failing_allocation_is_survived(void **state)
{
    (void)state;
    bool is_through = false;
    for (unsigned long n = 1; n < 200 && !is_through; n++) {
        struct token_keys *own = NULL;
        struct arena scratch;
        struct token_claims claims;
        const char *text;
        arena_init(&scratch, 1 << 16);
        memory_fail_after(n);
        enum status status = token_keys_create(&own, slice_of(SECRET), "us", "them");
        if (status == STATUS_OK) {
            status = token_issue(own, &scratch, &full, &text);
        }
        if (status == STATUS_OK) {
            status = token_verify(own, &scratch, slice_of(text), NOW, &claims);
        }
        is_through = memory_failures_seen() == 0;
        memory_fail_after(0);
        assert_int_equal(status, is_through ? STATUS_OK : STATUS_NO_MEMORY);
        token_keys_release(own);
        arena_destroy(&scratch);
    }
    assert_true(is_through);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_changed_character_is_noticed),
        TEST(every_shorter_and_longer_text_is_refused),
        TEST(base64_must_be_canonical),
        TEST(a_token_has_three_parts),
        TEST(unsigned_tokens_are_refused),
        TEST(a_token_has_at_most_8_kib),
        TEST(deep_nesting_is_refused),
        TEST(a_key_has_at_least_32_bytes),
        TEST(what_was_issued_is_verified),
        TEST(what_was_left_out_is_absent),
        TEST(what_could_not_be_verified_is_not_issued),
        TEST(a_token_of_another_key_is_refused),
        TEST(keys_are_shared_by_threads),
        TEST(each_failing_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
