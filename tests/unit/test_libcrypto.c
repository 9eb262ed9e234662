/*
 * Where libcrypto is missing, credentials cannot be judged, which is an outage and no refusal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/digest.h"
#include "auth/token.h"
#include "log/log.h"

#define SECRET "an HS256 key of at least 32 bytes"

static int looks;

/* Linked with -rdynamic: libc's is not called. */
void *dlopen(const char *name, int flags)
{
    (void)flags;
    assert_string_equal(name, "libcrypto.so.3");
    looks++;
    return NULL;
}

static void a_missing_library_is_an_outage_each_time(void **state)
{
    (void)state;
    char path[] = "/tmp/libcrypto-XXXXXX";
    char line[4096] = "";
    int log = mkstemp(path);
    assert_int_equal(log_open("test", LOG_INFO, path), STATUS_OK);
    for (int i = 0; i < 3; i++) {
        unsigned char out[DIGEST_SIZE + DIGEST_SEAL_OVERHEAD];
        size_t length;
        const struct slice text = slice_of("text");
        assert_int_equal(digest_sha256(text, out), STATUS_UNAVAILABLE);
        assert_int_equal(digest_hmac_sha256(text, text, out), STATUS_UNAVAILABLE);
        assert_int_equal(digest_derive(text, "purpose", out), STATUS_UNAVAILABLE);
        assert_int_equal(digest_seal(text, text, text, out, &length), STATUS_UNAVAILABLE);
        assert_int_equal(
            digest_unseal(text, text, (struct slice){(char *)out, sizeof out}, out, &length),
            STATUS_UNAVAILABLE);
    }
    assert_int_equal(looks, 1);
    /* It is said once. */
    assert_int_equal(log_open("test", LOG_INFO, NULL), STATUS_OK);
    assert_true(read(log, line, sizeof line - 1) > 0);
    assert_non_null(strstr(line, "\"level\":\"CRITICAL\""));
    assert_non_null(strstr(line, "\"message\":\"library_missing\""));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    close(log);
    unlink(path);
}

static void tokens_are_neither_made_nor_judged_without_it(void **state)
{
    (void)state;
    struct token_keys *keys[2];
    struct arena arena;
    arena_init(&arena, 1 << 16);
    assert_int_equal(token_keys_create(&keys[0], slice_of(SECRET), "us", "them"), STATUS_OK);
    assert_int_equal(token_keys_derive(&keys[1], slice_of("x"), "purpose", "us", "them"),
                     STATUS_OK);
    for (size_t i = 0; i < 2; i++) {
        const char *text;
        struct token_claims claims = {.subject = "u", .token_id = "t", .scope = ""};
        assert_int_equal(token_issue(keys[i], &arena, &claims, &text), STATUS_UNAVAILABLE);
        const struct slice given = slice_of("eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30."
                                            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        assert_int_equal(token_verify(keys[i], &arena, given, 1, &claims), STATUS_UNAVAILABLE);
        token_keys_release(keys[i]);
    }
    arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_library_is_an_outage_each_time),
        cmocka_unit_test(tokens_are_neither_made_nor_judged_without_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
