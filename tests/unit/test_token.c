/*
 * The table of RFC 8725 (JWT best current practices): headers and claims.
 */
#include "token_help.h"

/* --- The header --------------------------------------------------------------------------- */

static void headers_that_mean_the_same_are_accepted(void **state)
{
    (void)state;
    static const char *const headers[] = {
        HEADER,
        "{\"typ\":\"at+jwt\",\"alg\":\"HS256\"}",
        " { \"alg\" : \"HS256\" , \"typ\" : \"AT+JWT\" } ",
        "{\"alg\":\"HS256\",\"typ\":\"application/at+jwt\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"2024-01.a_B\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"x-unknown\":[1,{\"a\":null}]}",
        "{\"al\\u0067\":\"HS256\",\"typ\":\"at+jwt\"}",
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        if (verify(forge(headers[i], PAYLOAD)) != STATUS_OK) {
            fail_msg("refused: %s", headers[i]);
        }
    }
}

static void bad_headers_are_refused(void **state)
{
    (void)state;
    static const char *const headers[] = {
        /* algorithm */
        "{\"typ\":\"at+jwt\"}",
        "{\"alg\":\"none\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"None\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"nOnE\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"NONE\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"\",\"typ\":\"at+jwt\"}",
        "{\"alg\":null,\"typ\":\"at+jwt\"}",
        "{\"alg\":256,\"typ\":\"at+jwt\"}",
        "{\"alg\":[\"HS256\"],\"typ\":\"at+jwt\"}",
        "{\"alg\":\"hs256\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"HS384\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"HS512\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"RS256\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"ES256\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"PS256\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"HS256 \",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"HS256\\u0000none\",\"typ\":\"at+jwt\"}",
        "{\"ALG\":\"HS256\",\"typ\":\"at+jwt\"}",
        /* type */
        "{\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"typ\":\"JWT\"}",
        "{\"alg\":\"HS256\",\"typ\":\"jwt\"}",
        "{\"alg\":\"HS256\",\"typ\":\"\"}",
        "{\"alg\":\"HS256\",\"typ\":null}",
        "{\"alg\":\"HS256\",\"typ\":[\"at+jwt\"]}",
        "{\"alg\":\"HS256\",\"typ\":\"logout+jwt\"}",
        "{\"alg\":\"HS256\",\"typ\":\"text/at+jwt\"}",
        /* what would change the rules or the key */
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"crit\":[\"exp\"],\"exp\":1}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"crit\":[]}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"crit\":null}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"b64\":false}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"b64\":false,\"crit\":[\"b64\"]}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"b64\":true}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"}}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"jku\":\"https://evil.example/jwks\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"x5u\":\"https://evil.example/x\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"x5c\":[\"AAAA\"]}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"x5t\":\"AAAA\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"x5t#S256\":\"AAAA\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"zip\":\"DEF\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"enc\":\"A256GCM\"}",
        /* key id: a key to look up, never a path or SQL */
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"../../etc/passwd\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"' OR 1=1 --\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":1}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":null}",
        /* JSON */
        "{\"alg\":\"none\",\"alg\":\"HS256\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"HS256\",\"al\\u0067\":\"HS256\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}x",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}{}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"x\":\"\xff\"}",
        "{'alg':'HS256','typ':'at+jwt'}",
        "[\"HS256\",\"at+jwt\"]",
        "\"HS256\"",
        "null",
        "",
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        if (verify(forge(headers[i], PAYLOAD)) != STATUS_INVALID) {
            fail_msg("accepted: %s", headers[i]);
        }
    }
}

static void a_key_id_has_at_most_128_characters(void **state)
{
    (void)state;
    for (int length = 128; length <= 129; length++) {
        char id[130] = {0};
        char header[300];
        memset(id, 'k', (size_t)length);
        snprintf(header, sizeof(header), "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}",
                 id);
        assert_int_equal(verify(forge(header, PAYLOAD)),
                         length == 128 ? STATUS_OK : STATUS_INVALID);
    }
}

/* --- The claims --------------------------------------------------------------------------- */

struct claims_case {
    const char *payload;
    enum status status;
};

static void check_claims(const struct claims_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum status status = verify(forge(HEADER, cases[i].payload));
        if (status != cases[i].status) {
            fail_msg("%s: %s", status_text(status), cases[i].payload);
        }
    }
}

#define CHECK_CLAIMS(cases) check_claims((cases), sizeof(cases) / sizeof((cases)[0]))

static void every_required_claim_is_required(void **state)
{
    (void)state;
    static const struct claims_case cases[] = {
        {PAYLOAD, STATUS_OK},
        {"{\"aud\":\"them\",\"sub\":\"u1\",\"jti\":\"t1\"," TIMES "}", STATUS_INVALID},
        {"{\"iss\":\"us\",\"sub\":\"u1\",\"jti\":\"t1\"," TIMES "}", STATUS_INVALID},
        {"{\"iss\":\"us\",\"aud\":\"them\",\"jti\":\"t1\"," TIMES "}", STATUS_INVALID},
        {"{\"iss\":\"us\",\"aud\":\"them\",\"sub\":\"u1\"," TIMES "}", STATUS_INVALID},
        {"{" REQUIRED ",\"exp\":1700001800}", STATUS_INVALID},
        {"{" REQUIRED ",\"iat\":1700000000}", STATUS_INVALID},
        {"{}", STATUS_INVALID},
    };
    CHECK_CLAIMS(cases);
}

static void claims_of_a_wrong_kind_are_refused(void **state)
{
    (void)state;
    static const struct claims_case cases[] = {
        {"{\"iss\":1,\"aud\":\"them\",\"sub\":\"u1\",\"jti\":\"t1\"," TIMES "}", STATUS_INVALID},
        {"{\"iss\":[\"us\"],\"aud\":\"them\",\"sub\":\"u1\",\"jti\":\"t1\"," TIMES "}",
         STATUS_INVALID},
        {"{\"iss\":\"us\",\"aud\":\"them\",\"sub\":7,\"jti\":\"t1\"," TIMES "}", STATUS_INVALID},
        {"{\"iss\":\"us\",\"aud\":\"them\",\"sub\":null,\"jti\":\"t1\"," TIMES "}", STATUS_INVALID},
        {"{\"iss\":\"us\",\"aud\":\"them\",\"sub\":\"\",\"jti\":\"t1\"," TIMES "}", STATUS_INVALID},
        {"{\"iss\":\"us\",\"aud\":\"them\",\"sub\":\"u1\",\"jti\":\"\"," TIMES "}", STATUS_INVALID},
        {"{\"iss\":\"us\",\"aud\":\"them\",\"sub\":\"u1\",\"jti\":true," TIMES "}", STATUS_INVALID},
        {"{" REQUIRED ",\"iat\":\"1700000000\",\"exp\":1700001800}", STATUS_INVALID},
        {"{" REQUIRED ",\"iat\":1700000000,\"exp\":\"1700001800\"}", STATUS_INVALID},
        {"{" REQUIRED ",\"iat\":1700000000,\"exp\":null}", STATUS_INVALID},
        {"{" REQUIRED ",\"iat\":1700000000,\"exp\":true}", STATUS_INVALID},
        {"{" REQUIRED ",\"iat\":1700000000,\"exp\":1e999}", STATUS_INVALID},
        {"{" REQUIRED ",\"iat\":1700000000,\"exp\":99999999999999999999}", STATUS_INVALID},
        {"{" REQUIRED ",\"iat\":-1,\"exp\":1700001800}", STATUS_INVALID},
        {"{" REQUIRED ",\"iat\":\"1700000000.5\",\"exp\":1700001800}", STATUS_INVALID},
        {"{" REQUIRED "," TIMES ",\"nbf\":\"0\"}", STATUS_INVALID},
        {"{" REQUIRED "," TIMES ",\"sid\":5}", STATUS_INVALID},
        {"{" REQUIRED "," TIMES ",\"sid\":null}", STATUS_INVALID},
        {"{" REQUIRED "," TIMES ",\"sid\":\"\"}", STATUS_INVALID},
        {"{" REQUIRED "," TIMES ",\"company_id\":{}}", STATUS_INVALID},
        {"{" REQUIRED "," TIMES ",\"scope\":[\"a\"]}", STATUS_INVALID},
        {"{" REQUIRED "," TIMES ",\"scope\":null}", STATUS_INVALID},
        {"{" REQUIRED "," TIMES ",\"chart_ids\":\"c1\"}", STATUS_INVALID},
        {"{" REQUIRED "," TIMES ",\"chart_ids\":null}", STATUS_INVALID},
        {"{" REQUIRED "," TIMES ",\"chart_ids\":[1]}", STATUS_INVALID},
        {"{" REQUIRED "," TIMES ",\"chart_ids\":{\"c1\":1}}", STATUS_INVALID},
    };
    CHECK_CLAIMS(cases);
}

static void issuer_and_audience_must_be_ours(void **state)
{
    (void)state;
    static const struct claims_case cases[] = {
        {"{\"iss\":\"US\",\"aud\":\"them\",\"sub\":\"u1\",\"jti\":\"t1\"," TIMES "}",
         STATUS_INVALID},
        {"{\"iss\":\"us \",\"aud\":\"them\",\"sub\":\"u1\",\"jti\":\"t1\"," TIMES "}",
         STATUS_INVALID},
        {"{\"iss\":\"us\",\"aud\":\"us\",\"sub\":\"u1\",\"jti\":\"t1\"," TIMES "}", STATUS_INVALID},
        {"{\"iss\":\"us\",\"aud\":\"\",\"sub\":\"u1\",\"jti\":\"t1\"," TIMES "}", STATUS_INVALID},
        {"{\"iss\":\"us\",\"aud\":[\"them\"],\"sub\":\"u1\",\"jti\":\"t1\"," TIMES "}", STATUS_OK},
        {"{\"iss\":\"us\",\"aud\":[\"x\",\"them\"],\"sub\":\"u1\",\"jti\":\"t1\"," TIMES "}",
         STATUS_OK},
        {"{\"iss\":\"us\",\"aud\":[\"x\",\"y\"],\"sub\":\"u1\",\"jti\":\"t1\"," TIMES "}",
         STATUS_INVALID},
        {"{\"iss\":\"us\",\"aud\":[],\"sub\":\"u1\",\"jti\":\"t1\"," TIMES "}", STATUS_INVALID},
        {"{\"iss\":\"us\",\"aud\":[\"them\",1],\"sub\":\"u1\",\"jti\":\"t1\"," TIMES "}",
         STATUS_INVALID},
        {"{\"iss\":\"us\",\"aud\":{\"them\":1},\"sub\":\"u1\",\"jti\":\"t1\"," TIMES "}",
         STATUS_INVALID},
        {"{\"iss\":\"us\",\"aud\":null,\"sub\":\"u1\",\"jti\":\"t1\"," TIMES "}", STATUS_INVALID},
        {"{\"iss\":\"us\",\"aud\":[[\"them\"]],\"sub\":\"u1\",\"jti\":\"t1\"," TIMES "}",
         STATUS_INVALID},
    };
    CHECK_CLAIMS(cases);
}

static void payloads_that_are_not_strict_json_are_refused(void **state)
{
    (void)state;
    static const struct claims_case cases[] = {
        {"{" REQUIRED "," TIMES ",\"sub\":\"u2\"}", STATUS_INVALID},
        {"{" REQUIRED "," TIMES ",\"s\\u0075b\":\"u2\"}", STATUS_INVALID},
        {"{" REQUIRED "," TIMES ",\"x\":{\"a\":1,\"a\":2}}", STATUS_INVALID},
        {PAYLOAD "x", STATUS_INVALID},
        {PAYLOAD PAYLOAD, STATUS_INVALID},
        {"{" REQUIRED "," TIMES ",\"x\":\"\xc3\"}", STATUS_INVALID},
        {"{" REQUIRED "," TIMES ",\"x\":\"\xed\xa0\x80\"}", STATUS_INVALID},
        {"{\"iss\":\"us\",\"aud\":\"them\",\"sub\":\"u1\\u0000\",\"jti\":\"t1\"," TIMES "}",
         STATUS_INVALID},
        {"{" REQUIRED "," TIMES ",}", STATUS_INVALID},
        {"{" REQUIRED "," TIMES ",\"x\":NaN}", STATUS_INVALID},
        {"\xef\xbb\xbf" PAYLOAD, STATUS_INVALID},
        {"[" PAYLOAD "]", STATUS_INVALID},
        {"", STATUS_INVALID},
    };
    CHECK_CLAIMS(cases);
    const char with_nul[] = PAYLOAD "\0";
    assert_int_equal(verify(forge_bytes(HEADER, with_nul, sizeof(with_nul), SECRET)),
                     STATUS_INVALID);
}

static void times_have_a_minute_of_leeway(void **state)
{
    (void)state;
    static const struct {
        int64_t issued_at, not_before, expires_at;
        enum status status;
    } cases[] = {
        {NOW, NOW, NOW + 1, STATUS_OK},
        {NOW - 100, NOW - 100, NOW - 59, STATUS_OK},
        {NOW - 100, NOW - 100, NOW - 60, STATUS_EXPIRED},
        {NOW - 100, NOW - 100, NOW - 61, STATUS_EXPIRED},
        {0, 0, 0, STATUS_EXPIRED},
        {NOW + 60, 0, NOW + 90, STATUS_OK},
        {NOW + 61, 0, NOW + 90, STATUS_INVALID},
        {NOW, NOW + 60, NOW + 90, STATUS_OK},
        {NOW, NOW + 61, NOW + 90, STATUS_INVALID},
        {NOW + 61, 0, NOW - 90, STATUS_INVALID},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char payload[300];
        snprintf(payload, sizeof(payload), "{" REQUIRED ",\"iat\":%lld,\"nbf\":%lld,\"exp\":%lld}",
                 (long long)cases[i].issued_at, (long long)cases[i].not_before,
                 (long long)cases[i].expires_at);
        if (verify(forge(HEADER, payload)) != cases[i].status) {
            fail_msg("%s", payload);
        }
    }
}

/* NumericDate, RFC 7519 section 2: the fraction is cut off. */
static void times_may_have_a_fraction(void **state)
{
    (void)state;
    static const struct {
        const char *issued_at;
        const char *expires_at;
        enum status status;
    } cases[] = {
        {"0.0", "1700000000.5", STATUS_OK},
        {"0.5", "1699999941.0", STATUS_OK},
        {"1700000060.9", "1700000090", STATUS_OK},
        {"1700000061.0", "1700000090", STATUS_INVALID},
        {"0", "1699999940.9", STATUS_EXPIRED},
        {"0", "1.7e9", STATUS_OK},
        {"0", "9007199254740991.0", STATUS_OK},
        {"0", "9007199254740992.0", STATUS_INVALID},
        {"0", "1e300", STATUS_INVALID},
        {"-0.5", "1700000090", STATUS_INVALID},
        {"-1", "1700000090", STATUS_INVALID},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char payload[300];
        snprintf(payload, sizeof(payload), "{" REQUIRED ",\"iat\":%s,\"exp\":%s}",
                 cases[i].issued_at, cases[i].expires_at);
        if (verify(forge(HEADER, payload)) != cases[i].status) {
            fail_msg("%s: %s", payload, status_text(verify(forge(HEADER, payload))));
        }
    }
}

static void an_expired_token_is_expired_only_if_all_else_is_right(void **state)
{
    (void)state;
    int64_t later = NOW + 86400;
    assert_int_equal(verify_at(forge(HEADER, PAYLOAD), later), STATUS_EXPIRED);
    assert_int_equal(verify_at(forge_bytes(HEADER, PAYLOAD, strlen(PAYLOAD),
                                           "a different key of at least 32 bytes"),
                               later),
                     STATUS_INVALID);
    assert_int_equal(verify_at(forge("{\"alg\":\"HS256\",\"typ\":\"JWT\"}", PAYLOAD), later),
                     STATUS_INVALID);
    assert_int_equal(
        verify_at(
            forge(HEADER, "{\"iss\":\"us\",\"aud\":\"x\",\"sub\":\"u1\",\"jti\":\"t1\"," TIMES "}"),
            later),
        STATUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(headers_that_mean_the_same_are_accepted),
        TEST(bad_headers_are_refused),
        TEST(a_key_id_has_at_most_128_characters),
        TEST(every_required_claim_is_required),
        TEST(claims_of_a_wrong_kind_are_refused),
        TEST(issuer_and_audience_must_be_ours),
        TEST(payloads_that_are_not_strict_json_are_refused),
        TEST(times_have_a_minute_of_leeway),
        TEST(times_may_have_a_fraction),
        TEST(an_expired_token_is_expired_only_if_all_else_is_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
