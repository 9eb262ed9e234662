/*
 * auth/libcrypto: OpenSSL's libcrypto, loaded when the first credential comes. Private to auth/, and
 * the only way to its functions.
 *
 * Loading and starting it takes longer than everything else a CGI run of health does, and a program
 * that is never shown a credential needs none of its memory.
 */
#ifndef AUTH_LIBCRYPTO_H
#define AUTH_LIBCRYPTO_H

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base/status.h"

#define LIBCRYPTO_FUNCTIONS(FUNCTION)                                                              \
    FUNCTION(EVP_CIPHER_CTX_ctrl)                                                                  \
    FUNCTION(EVP_CIPHER_CTX_free)                                                                  \
    FUNCTION(EVP_CIPHER_CTX_new)                                                                   \
    FUNCTION(EVP_CIPHER_fetch)                                                                     \
    FUNCTION(EVP_DecryptFinal_ex)                                                                  \
    FUNCTION(EVP_DecryptInit_ex2)                                                                  \
    FUNCTION(EVP_DecryptUpdate)                                                                    \
    FUNCTION(EVP_Digest)                                                                           \
    FUNCTION(EVP_EncryptFinal_ex)                                                                  \
    FUNCTION(EVP_EncryptInit_ex2)                                                                  \
    FUNCTION(EVP_EncryptUpdate)                                                                    \
    FUNCTION(EVP_KDF_CTX_free)                                                                     \
    FUNCTION(EVP_KDF_CTX_new)                                                                      \
    FUNCTION(EVP_KDF_derive)                                                                       \
    FUNCTION(EVP_KDF_fetch)                                                                        \
    FUNCTION(EVP_KDF_free)                                                                         \
    FUNCTION(EVP_MAC_CTX_dup)                                                                      \
    FUNCTION(EVP_MAC_CTX_free)                                                                     \
    FUNCTION(EVP_MAC_CTX_new)                                                                      \
    FUNCTION(EVP_MAC_fetch)                                                                        \
    FUNCTION(EVP_MAC_final)                                                                        \
    FUNCTION(EVP_MAC_free)                                                                         \
    FUNCTION(EVP_MAC_init)                                                                         \
    FUNCTION(EVP_MAC_update)                                                                       \
    FUNCTION(EVP_MD_fetch)                                                                         \
    FUNCTION(OSSL_PARAM_construct_end)                                                             \
    FUNCTION(OSSL_PARAM_construct_octet_string)                                                    \
    FUNCTION(OSSL_PARAM_construct_utf8_string)

struct libcrypto {
#define LIBCRYPTO_FIELD(name) __typeof__(name) *name;
    LIBCRYPTO_FUNCTIONS(LIBCRYPTO_FIELD)
#undef LIBCRYPTO_FIELD
};

/* Loads it, once for the process; from any thread. STATUS_UNAVAILABLE, each time and with a line in
 * the log the first time: it is not there. */
enum status libcrypto_load(void) MUST_CHECK;

/* After libcrypto_load has succeeded. */
const struct libcrypto *libcrypto(void);

#endif
