/*
 * auth/digest: SHA-256, HMAC-SHA-256, HKDF and sealing (AES-256-GCM) by libcrypto.
 *
 * Algorithms are fetched once per process; thread-safe. Each function also returns STATUS_NO_MEMORY,
 * or STATUS_UNAVAILABLE where libcrypto is missing.
 */
#ifndef AUTH_DIGEST_H
#define AUTH_DIGEST_H

#include <stddef.h>

#include "base/status.h"
#include "base/text.h"

#define DIGEST_SIZE          32
#define DIGEST_SEAL_OVERHEAD 28 /* nonce 12, tag 16 */
#define DIGEST_SEAL_MAXIMUM  (1 << 20)

enum status digest_sha256(struct slice bytes, unsigned char out[DIGEST_SIZE]) MUST_CHECK;
enum status digest_hmac_sha256(struct slice key, struct slice bytes,
                               unsigned char out[DIGEST_SIZE]) MUST_CHECK;

/* A key for one purpose from a secret that serves several: HKDF-SHA-256 (RFC 5869) without salt,
 * `purpose` as its info. */
enum status digest_derive(struct slice secret, const char *purpose,
                          unsigned char out[DIGEST_SIZE]) MUST_CHECK;

/* Encrypts under HMAC-SHA-256(key_text, a fixed label): never under SHA-256(key_text), because
 * that is what the database stores of a refresh token, and whoever reads the database must not be
 * able to unseal. `key_text` must be unguessable. out has room for length + DIGEST_SEAL_OVERHEAD;
 * *out_length is set. `context` is authenticated, not stored. STATUS_TOO_LARGE: more than
 * DIGEST_SEAL_MAXIMUM bytes of either. */
enum status digest_seal(struct slice key_text, struct slice context, struct slice plain,
                        unsigned char *out, size_t *out_length) MUST_CHECK;
/* STATUS_INVALID: wrong key, context or damaged bytes. `out` has room for sealed.length. */
enum status digest_unseal(struct slice key_text, struct slice context, struct slice sealed,
                          unsigned char *out, size_t *out_length) MUST_CHECK;

#endif
