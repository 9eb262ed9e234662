/*
 * auth/digest: SHA-256, HMAC, HKDF and AES-256-GCM by OpenSSL's EVP interface.
 *
 * Layout of a sealed text: nonce (12 bytes, random), ciphertext, tag (16 bytes).
 *
 * Process-wide state: the fetched algorithms. Fetching takes locks and microseconds, and the
 * result never changes; it lives until the process ends. What could not be fetched is tried again.
 *
 * With arguments that are right, these calls of OpenSSL fail for lack of memory only.
 */
#include "auth/digest.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "auth/libcrypto.h"
#include "base/memory.h"
#include "base/random.h"

#define NONCE_SIZE 12
#define TAG_SIZE   16
#define SEAL_LABEL "quintet seal 1"

static struct {
    atomic_bool are_there;
    pthread_mutex_t lock;
    EVP_MD *sha256;
    EVP_MAC *hmac;
    EVP_CIPHER *aes_256_gcm;
} algorithms = {.lock = PTHREAD_MUTEX_INITIALIZER};

static enum status fetch_algorithms(void)
{
    if (libcrypto_load() != STATUS_OK) {
        return STATUS_UNAVAILABLE;
    }
    pthread_mutex_lock(&algorithms.lock);
    if (algorithms.sha256 == NULL) {
        algorithms.sha256 = libcrypto()->EVP_MD_fetch(NULL, "SHA256", NULL);
    }
    if (algorithms.hmac == NULL) {
        algorithms.hmac = libcrypto()->EVP_MAC_fetch(NULL, "HMAC", NULL);
    }
    if (algorithms.aes_256_gcm == NULL) {
        algorithms.aes_256_gcm = libcrypto()->EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    }
    bool are_there =
        algorithms.sha256 != NULL && algorithms.hmac != NULL && algorithms.aes_256_gcm != NULL;
    atomic_store_explicit(&algorithms.are_there, are_there, memory_order_release);
    pthread_mutex_unlock(&algorithms.lock);
    return are_there ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status need_algorithms(void)
{
    return atomic_load_explicit(&algorithms.are_there, memory_order_acquire) ? STATUS_OK
                                                                             : fetch_algorithms();
}

/* OpenSSL does not take NULL for an empty text everywhere. */
static const unsigned char *bytes_of(struct slice slice)
{
    return (const unsigned char *)(slice.length > 0 ? slice.data : "");
}

enum status digest_sha256(struct slice bytes, unsigned char out[DIGEST_SIZE])
{
    enum status status = need_algorithms();
    if (status == STATUS_OK && libcrypto()->EVP_Digest(bytes_of(bytes), bytes.length, out, NULL,
                                                       algorithms.sha256, NULL) != 1) {
        status = STATUS_NO_MEMORY;
    }
    return status;
}

enum status digest_hmac_sha256(struct slice key, struct slice bytes, unsigned char out[DIGEST_SIZE])
{
    enum status status = need_algorithms();
    if (status != STATUS_OK) {
        return status;
    }
    EVP_MAC_CTX *context = libcrypto()->EVP_MAC_CTX_new(algorithms.hmac);
    if (context == NULL) {
        return STATUS_NO_MEMORY;
    }
    char digest[] = "SHA256";
    const OSSL_PARAM parameters[] = {
        libcrypto()->OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        libcrypto()->OSSL_PARAM_construct_end(),
    };
    size_t length;
    bool ok = libcrypto()->EVP_MAC_init(context, bytes_of(key), key.length, parameters) == 1 &&
              libcrypto()->EVP_MAC_update(context, bytes_of(bytes), bytes.length) == 1 &&
              libcrypto()->EVP_MAC_final(context, out, &length, DIGEST_SIZE) == 1;
    libcrypto()->EVP_MAC_CTX_free(context);
    return ok ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status digest_derive(struct slice secret, const char *purpose, unsigned char out[DIGEST_SIZE])
{
    if (libcrypto_load() != STATUS_OK) {
        return STATUS_UNAVAILABLE;
    }
    EVP_KDF *hkdf = libcrypto()->EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = hkdf != NULL ? libcrypto()->EVP_KDF_CTX_new(hkdf) : NULL;
    char digest[] = "SHA256";
    const OSSL_PARAM parameters[] = {
        libcrypto()->OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        libcrypto()->OSSL_PARAM_construct_octet_string(
            OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret.data, secret.length),
        libcrypto()->OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO,
                                                       (void *)(uintptr_t)purpose, strlen(purpose)),
        libcrypto()->OSSL_PARAM_construct_end(),
    };
    bool ok =
        context != NULL && libcrypto()->EVP_KDF_derive(context, out, DIGEST_SIZE, parameters) == 1;
    libcrypto()->EVP_KDF_CTX_free(context);
    libcrypto()->EVP_KDF_free(hkdf);
    return ok ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status make_seal_key(struct slice key_text, unsigned char key[DIGEST_SIZE])
{
    return digest_hmac_sha256(key_text, slice_of(SEAL_LABEL), key);
}

enum status digest_seal(struct slice key_text, struct slice context, struct slice plain,
                        unsigned char *out, size_t *out_length)
{
    if (plain.length > DIGEST_SEAL_MAXIMUM || context.length > DIGEST_SEAL_MAXIMUM) {
        return STATUS_TOO_LARGE;
    }
    unsigned char key[DIGEST_SIZE];
    enum status status = make_seal_key(key_text, key);
    if (status != STATUS_OK) {
        return status;
    }
    unsigned char *nonce = out;
    unsigned char *cipher = nonce + NONCE_SIZE;
    random_bytes(nonce, NONCE_SIZE);
    EVP_CIPHER_CTX *state = libcrypto()->EVP_CIPHER_CTX_new();
    if (state == NULL) {
        status = STATUS_NO_MEMORY;
        goto out;
    }
    int length;
    if (libcrypto()->EVP_EncryptInit_ex2(state, algorithms.aes_256_gcm, key, nonce, NULL) != 1 ||
        libcrypto()->EVP_EncryptUpdate(state, NULL, &length, bytes_of(context),
                                       (int)context.length) != 1 ||
        libcrypto()->EVP_EncryptUpdate(state, cipher, &length, bytes_of(plain),
                                       (int)plain.length) != 1 ||
        libcrypto()->EVP_EncryptFinal_ex(state, cipher + plain.length, &length) != 1 ||
        libcrypto()->EVP_CIPHER_CTX_ctrl(state, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE,
                                         cipher + plain.length) != 1) {
        status = STATUS_NO_MEMORY;
        goto out;
    }
    *out_length = plain.length + DIGEST_SEAL_OVERHEAD;
out:
    libcrypto()->EVP_CIPHER_CTX_free(state);
    memory_wipe(key, sizeof(key));
    return status;
}

enum status digest_unseal(struct slice key_text, struct slice context, struct slice sealed,
                          unsigned char *out, size_t *out_length)
{
    if (sealed.length < DIGEST_SEAL_OVERHEAD || context.length > DIGEST_SEAL_MAXIMUM ||
        sealed.length > DIGEST_SEAL_MAXIMUM + DIGEST_SEAL_OVERHEAD) {
        return STATUS_INVALID;
    }
    unsigned char key[DIGEST_SIZE];
    enum status status = make_seal_key(key_text, key);
    if (status != STATUS_OK) {
        return status;
    }
    const unsigned char *nonce = bytes_of(sealed);
    const unsigned char *cipher = nonce + NONCE_SIZE;
    size_t size = sealed.length - DIGEST_SEAL_OVERHEAD;
    unsigned char tag[TAG_SIZE]; /* the call to set it takes a pointer to what is not const */
    for (size_t i = 0; i < TAG_SIZE; i++) {
        tag[i] = cipher[size + i];
    }
    EVP_CIPHER_CTX *state = libcrypto()->EVP_CIPHER_CTX_new();
    if (state == NULL) {
        status = STATUS_NO_MEMORY;
        goto out;
    }
    int length;
    if (libcrypto()->EVP_DecryptInit_ex2(state, algorithms.aes_256_gcm, key, nonce, NULL) != 1 ||
        libcrypto()->EVP_DecryptUpdate(state, NULL, &length, bytes_of(context),
                                       (int)context.length) != 1 ||
        libcrypto()->EVP_DecryptUpdate(state, out, &length, cipher, (int)size) != 1 ||
        libcrypto()->EVP_CIPHER_CTX_ctrl(state, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) != 1) {
        status = STATUS_NO_MEMORY;
        goto out;
    }
    if (libcrypto()->EVP_DecryptFinal_ex(state, out + size, &length) != 1) {
        memory_wipe(out, size); /* what failed authentication must not be used by mistake */
        status = STATUS_INVALID;
        goto out;
    }
    *out_length = size;
out:
    libcrypto()->EVP_CIPHER_CTX_free(state);
    memory_wipe(key, sizeof(key));
    return status;
}
