/*
 * Digests against published vectors, and that a sealed text opens with its key and context alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "auth/digest.h"
#include "base/random.h"

static void assert_hex(const unsigned char *bytes, size_t length, const char *hex)
{
    char text[2 * DIGEST_SIZE + 1];
    text_encode_hex(bytes, length, text);
    assert_string_equal(text, hex);
}

/* FIPS 180-2, appendix B, and the empty text. */
static void sha256_gives_the_published_values(void **state)
{
    (void)state;
    unsigned char out[DIGEST_SIZE];
    assert_int_equal(digest_sha256(slice_of("abc"), out), STATUS_OK);
    assert_hex(out, sizeof(out),
               "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(
        digest_sha256(slice_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), out),
        STATUS_OK);
    assert_hex(out, sizeof(out),
               "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    assert_int_equal(digest_sha256((struct slice){0}, out), STATUS_OK);
    assert_hex(out, sizeof(out),
               "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* RFC 4231, test cases 1, 2 and 6. */
static void hmac_gives_the_published_values(void **state)
{
    (void)state;
    unsigned char out[DIGEST_SIZE];
    char key[131];
    memset(key, 0x0b, 20);
    assert_int_equal(
        digest_hmac_sha256((struct slice){.data = key, .length = 20}, slice_of("Hi There"), out),
        STATUS_OK);
    assert_hex(out, sizeof(out),
               "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    assert_int_equal(
        digest_hmac_sha256(slice_of("Jefe"), slice_of("what do ya want for nothing?"), out),
        STATUS_OK);
    assert_hex(out, sizeof(out),
               "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    assert_int_equal(
        digest_hmac_sha256((struct slice){.data = key, .length = sizeof(key)},
                           slice_of("Test Using Larger Than Block-Size Key - Hash Key First"), out),
        STATUS_OK);
    assert_hex(out, sizeof(out),
               "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static struct slice seal(const char *key, const char *context, struct slice plain,
                         unsigned char *out)
{
    size_t length = 0;
    assert_int_equal(digest_seal(slice_of(key), slice_of(context), plain, out, &length), STATUS_OK);
    assert_int_equal(length, plain.length + DIGEST_SEAL_OVERHEAD);
    return (struct slice){.data = (const char *)out, .length = length};
}

static void what_was_sealed_is_unsealed(void **state)
{
    (void)state;
    char plain[300];
    random_bytes(plain, sizeof(plain));
    for (size_t length = 0; length <= sizeof(plain); length++) {
        unsigned char sealed[sizeof(plain) + DIGEST_SEAL_OVERHEAD];
        unsigned char out[sizeof(sealed)];
        size_t out_length = 0;
        struct slice text =
            seal("key", "context", (struct slice){.data = plain, .length = length}, sealed);
        assert_int_equal(
            digest_unseal(slice_of("key"), slice_of("context"), text, out, &out_length), STATUS_OK);
        assert_int_equal(out_length, length);
        assert_memory_equal(out, plain, length);
    }
}

static void a_mebibyte_of_text_or_context_is_sealed_and_no_more(void **state)
{
    (void)state;
    const size_t size = DIGEST_SEAL_MAXIMUM + 1;
    char *large = calloc(1, size);
    unsigned char *sealed = malloc(size + DIGEST_SEAL_OVERHEAD);
    unsigned char *out = malloc(size + DIGEST_SEAL_OVERHEAD);
    assert_true(large != NULL && sealed != NULL && out != NULL);
    const struct slice key = slice_of("key");
    const struct slice most = {large, DIGEST_SEAL_MAXIMUM};
    const struct slice more = {large, DIGEST_SEAL_MAXIMUM + 1};
    size_t length = 0;
    assert_int_equal(digest_seal(key, most, most, sealed, &length), STATUS_OK);
    const struct slice text = {(char *)sealed, length};
    assert_int_equal(digest_unseal(key, most, text, out, &length), STATUS_OK);
    assert_int_equal(length, DIGEST_SEAL_MAXIMUM);
    assert_memory_equal(out, large, length);
    assert_int_equal(digest_seal(key, slice_of(""), more, out, &length), STATUS_TOO_LARGE);
    assert_int_equal(digest_seal(key, more, slice_of(""), out, &length), STATUS_TOO_LARGE);
    assert_int_equal(digest_unseal(key, more, text, out, &length), STATUS_INVALID);
    const struct slice longer = {(char *)sealed, text.length + 1};
    assert_int_equal(digest_unseal(key, most, longer, out, &length), STATUS_INVALID);
    free(large);
    free(sealed);
    free(out);
}

static void a_wrong_key_or_context_does_not_open(void **state)
{
    (void)state;
    unsigned char sealed[64];
    unsigned char out[64];
    size_t length;
    struct slice text = seal("key", "context", slice_of("secret text"), sealed);
    assert_int_equal(digest_unseal(slice_of("kez"), slice_of("context"), text, out, &length),
                     STATUS_INVALID);
    assert_int_equal(digest_unseal(slice_of(""), slice_of("context"), text, out, &length),
                     STATUS_INVALID);
    assert_int_equal(digest_unseal(slice_of("key"), slice_of("contexu"), text, out, &length),
                     STATUS_INVALID);
    assert_int_equal(digest_unseal(slice_of("key"), slice_of(""), text, out, &length),
                     STATUS_INVALID);
}

static void every_damaged_bit_and_every_cut_is_noticed(void **state)
{
    (void)state;
    unsigned char sealed[64];
    unsigned char out[64];
    size_t length;
    struct slice text = seal("key", "context", slice_of("secret text"), sealed);
    for (size_t i = 0; i < text.length * 8; i++) {
        sealed[i / 8] ^= (unsigned char)(1 << (i % 8));
        assert_int_equal(digest_unseal(slice_of("key"), slice_of("context"), text, out, &length),
                         STATUS_INVALID);
        sealed[i / 8] ^= (unsigned char)(1 << (i % 8));
    }
    for (size_t cut = 0; cut < text.length; cut++) {
        assert_int_equal(digest_unseal(slice_of("key"), slice_of("context"),
                                       (struct slice){.data = text.data, .length = cut}, out,
                                       &length),
                         STATUS_INVALID);
    }
}

static void sealing_twice_gives_different_texts(void **state)
{
    (void)state;
    unsigned char first[64];
    unsigned char second[64];
    struct slice text = seal("key", "context", slice_of("secret text"), first);
    seal("key", "context", slice_of("secret text"), second);
    assert_memory_not_equal(first, second, text.length);
}

/* The database holds SHA-256 of refresh tokens: that must not be the key of what they seal. By the
 * library itself, for digest_unseal would make another key of it. */
static void the_digest_of_the_key_text_is_not_the_key(void **state)
{
    (void)state;
    unsigned char sealed[64];
    unsigned char out[64];
    unsigned char stored[DIGEST_SIZE];
    int length;
    struct slice text = seal("refresh token", "", slice_of("its child"), sealed);
    int size = (int)text.length - DIGEST_SEAL_OVERHEAD;
    assert_int_equal(digest_sha256(slice_of("refresh token"), stored), STATUS_OK);
    EVP_CIPHER_CTX *thief = EVP_CIPHER_CTX_new();
    assert_int_equal(EVP_DecryptInit_ex(thief, EVP_aes_256_gcm(), NULL, stored, sealed), 1);
    assert_int_equal(EVP_DecryptUpdate(thief, out, &length, sealed + 12, size), 1);
    assert_memory_not_equal(out, "its child", strlen("its child"));
    EVP_CIPHER_CTX_free(thief);
}

static void *digest_often(void *context)
{
    unsigned char first[DIGEST_SIZE];
    unsigned char sealed[64];
    unsigned char out[64];
    size_t length;
    if (digest_sha256(slice_of("abc"), first) != STATUS_OK) {
        return NULL;
    }
    for (int i = 0; i < 500; i++) {
        unsigned char again[DIGEST_SIZE];
        if (digest_sha256(slice_of("abc"), again) != STATUS_OK ||
            memcmp(first, again, sizeof(first)) != 0 ||
            digest_seal(slice_of("key"), slice_of("x"), slice_of("plain"), sealed, &length) !=
                STATUS_OK ||
            digest_unseal(slice_of("key"), slice_of("x"),
                          (struct slice){.data = (char *)sealed, .length = length}, out,
                          &length) != STATUS_OK) {
            return NULL;
        }
    }
    return context;
}

static void digests_are_for_all_threads(void **state)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, digest_often, state), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *ok = NULL;
        assert_int_equal(pthread_join(threads[i], &ok), 0);
        assert_non_null(ok);
    }
}

/* RFC 5869, test case 3: neither salt nor info. */
static void derived_keys_are_the_published_values_and_differ_by_purpose(void **state)
{
    (void)state;
    static const unsigned char published[DIGEST_SIZE] = {
        0x8d, 0xa4, 0xe7, 0x75, 0xa5, 0x63, 0xc1, 0x8f, 0x71, 0x5f, 0x80,
        0x2a, 0x06, 0x3c, 0x5a, 0x31, 0xb8, 0xa1, 0x1f, 0x5c, 0x5e, 0xe1,
        0x87, 0x9e, 0xc3, 0x45, 0x4e, 0x5f, 0x3c, 0x73, 0x8d, 0x2d};
    static const char secret[] = "\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b"
                                 "\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b";
    unsigned char one[DIGEST_SIZE];
    unsigned char other[DIGEST_SIZE];
    assert_int_equal(digest_derive(slice_of(secret), "", one), STATUS_OK);
    assert_memory_equal(one, published, DIGEST_SIZE);
    assert_int_equal(digest_derive(slice_of(secret), "a", one), STATUS_OK);
    assert_int_equal(digest_derive(slice_of(secret), "b", other), STATUS_OK);
    assert_memory_not_equal(one, other, DIGEST_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_for_all_threads),
        cmocka_unit_test(sha256_gives_the_published_values),
        cmocka_unit_test(hmac_gives_the_published_values),
        cmocka_unit_test(derived_keys_are_the_published_values_and_differ_by_purpose),
        cmocka_unit_test(what_was_sealed_is_unsealed),
        cmocka_unit_test(a_mebibyte_of_text_or_context_is_sealed_and_no_more),
        cmocka_unit_test(a_wrong_key_or_context_does_not_open),
        cmocka_unit_test(every_damaged_bit_and_every_cut_is_noticed),
        cmocka_unit_test(sealing_twice_gives_different_texts),
        cmocka_unit_test(the_digest_of_the_key_text_is_not_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
