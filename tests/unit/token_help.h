/*
 * tests/unit/token_help: tokens with any header and payload, signed with the right key, so that
 * only what a test names can be the reason for a refusal.
 */
#ifndef TESTS_TOKEN_HELP_H
#define TESTS_TOKEN_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "auth/digest.h"
#include "auth/token.h"

#define NOW      1700000000
#define SECRET   "an HS256 key of at least 32 bytes"
#define HEADER   "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}"
#define REQUIRED "\"iss\":\"us\",\"aud\":\"them\",\"sub\":\"u1\",\"jti\":\"t1\""
#define TIMES    "\"iat\":1700000000,\"exp\":1700001800"
#define PAYLOAD  "{" REQUIRED "," TIMES "}"

static struct token_keys *keys;
static struct arena arena;

static inline int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    return token_keys_create(&keys, slice_of(SECRET), "us", "them") == STATUS_OK ? 0 : -1;
}

static inline int tear_down(void **state)
{
    (void)state;
    token_keys_release(keys);
    arena_destroy(&arena);
    return 0;
}

static inline size_t encode(const char *text, size_t length, char *out)
{
    return text_encode_base64url(text, length, out);
}

/* base64url(header).base64url(payload).signature by `secret` */
static inline struct slice forge_bytes(const char *header, const char *payload,
                                       size_t payload_length, const char *secret)
{
    char *token = arena_allocate(&arena, 2 * (strlen(header) + payload_length) + 100);
    assert_non_null(token);
    size_t length = encode(header, strlen(header), token);
    token[length++] = '.';
    length += encode(payload, payload_length, token + length);
    unsigned char signature[DIGEST_SIZE];
    assert_int_equal(digest_hmac_sha256(slice_of(secret),
                                        (struct slice){.data = token, .length = length}, signature),
                     STATUS_OK);
    token[length++] = '.';
    length += text_encode_base64url(signature, sizeof(signature), token + length);
    return (struct slice){.data = token, .length = length};
}

static inline struct slice forge(const char *header, const char *payload)
{
    return forge_bytes(header, payload, strlen(payload), SECRET);
}

static inline enum status verify_at(struct slice token, int64_t now)
{
    struct token_claims claims;
    return token_verify(keys, &arena, token, now, &claims);
}

static inline enum status verify(struct slice token)
{
    return verify_at(token, NOW);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
