/*
 * auth/token: JSON Web Tokens (RFC 7519, RFC 7515 compact form) under the rules of RFC 8725.
 *
 * HS256 by libcrypto. One algorithm per key; typ at+jwt; iss, aud, exp, iat, sub, jti checked;
 * leeway 60 s; at most 8 KiB; no jku, x5u, jwk, x5c, no unknown crit; strict base64url and strict
 * JSON. A few lines over libcrypto, because libjwt 1.10 does not pass that table (it ignores crit,
 * accepts duplicate members and trailing bytes).
 */
#ifndef AUTH_TOKEN_H
#define AUTH_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/text.h"

#define TOKEN_LENGTH_MAXIMUM 8192
#define TOKEN_LEEWAY_SECONDS 60

struct token_keys;

/* `secret` >= 32 bytes, else STATUS_INVALID. Thread-safe afterwards; copies all. libcrypto is first
 * used when a token is issued or verified. */
enum status token_keys_create(struct token_keys **out, struct slice secret, const char *issuer,
                              const char *audience) MUST_CHECK;
/* As token_keys_create, with the key that digest_derive makes for `purpose` (static text) from a
 * secret of any length. */
enum status token_keys_derive(struct token_keys **out, struct slice secret, const char *purpose,
                              const char *issuer, const char *audience) MUST_CHECK;
void token_keys_release(struct token_keys *keys);

struct token_claims {
    const char *subject;
    const char *session_id; /* sid; NULL when absent */
    const char *token_id;   /* jti */
    const char *company_id; /* NULL when absent */
    const char *scope;      /* space-separated; "" when absent */
    bool has_chart_ids;
    const char *const *chart_ids;
    size_t chart_id_count;
    int64_t issued_at;
    int64_t expires_at;
};

/* *token is NUL-terminated in the arena. */
enum status token_issue(struct token_keys *keys, struct arena *arena,
                        const struct token_claims *claims, const char **token) MUST_CHECK;

/* STATUS_OK; STATUS_EXPIRED: genuine but over; STATUS_INVALID: anything else. */
enum status token_verify(struct token_keys *keys, struct arena *arena, struct slice token,
                         int64_t now, struct token_claims *claims) MUST_CHECK;

#endif
