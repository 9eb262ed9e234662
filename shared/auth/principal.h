/*
 * auth/principal: who is asking, found from credentials.
 *
 * Knows nothing of HTTP: gets the texts of the credentials, answers with a principal. Access tokens
 * are verified, then their session and user are looked up (a deleted, inactive or logged-out user's
 * tokens die at once; session_cache.h says how that costs no read each time). API keys come from
 * API_KEYS (configuration) or the database; all comparisons are of SHA-256 digests in constant
 * time.
 */
#ifndef AUTH_PRINCIPAL_H
#define AUTH_PRINCIPAL_H

#include <stdbool.h>
#include <stddef.h>

#include "auth/token.h"
#include "base/arena.h"
#include "base/status.h"
#include "config/config.h"
#include "storage/storage.h"
#include "stores/accounts.h"

enum principal_kind {
    PRINCIPAL_NONE,      /* nobody: no credentials were needed or given */
    PRINCIPAL_ANONYMOUS, /* ENABLE_AUTH=false */
    PRINCIPAL_USER,      /* access token */
    PRINCIPAL_API_KEY
};

struct principal {
    enum principal_kind kind;
    const char *id;      /* stable and printable, for limits, ledger, logs: "user:<uuid>",
                               "key:<id>", "anonymous" */
    const char *owner;   /* who owns what it makes: "company:<id>" if it acts in a company, else
                               "user:<uuid>"; a static key owns as itself */
    const char *user_id; /* NULL for static keys and anonymous */
    const struct account *account; /* without the password's hash; NULL unless from an access
                                      token */
    const char *session_id;        /* NULL unless from an access token */
    const char *company_id;        /* NULL when none */
    const char *tier;              /* of RATE_LIMIT_TIERS; NULL when none */
    const char *scope;             /* "" = everything the user may do */
    bool is_superuser;             /* never with a scope: that limits what its owner may do */
    bool must_change_password;     /* logged in with a one-time password: may do nothing else */
    int64_t expires_at;            /* what it makes ends then as well; 0: no end of its own */
    bool has_chart_ids;            /* charts are limited to this list */
    const char *const *chart_ids;
    size_t chart_id_count;
};

struct authenticator;

/* Outside production a secret shorter than token_keys_create wants is accepted with a warning.
 * STATUS_INVALID with `problem` when there is no usable secret, or when API_KEYS or API_KEY_TIERS
 * cannot be used. `storage` must outlive the authenticator; `config` need not. */
enum status authenticator_create(struct authenticator **out, const struct config *config,
                                 struct storage *storage, struct buffer *problem) MUST_CHECK;
void authenticator_release(struct authenticator *authenticator);

struct token_keys *authenticator_token_keys(const struct authenticator *authenticator);

/* STATUS_OK; STATUS_INVALID (401 invalid_credentials), STATUS_EXPIRED (401 credential_expired),
 * STATUS_UNAVAILABLE (503). */
enum status authenticator_check_token(struct authenticator *authenticator, struct arena *arena,
                                      struct slice token, struct principal *out) MUST_CHECK;
enum status authenticator_check_api_key(struct authenticator *authenticator, struct arena *arena,
                                        struct slice key, struct principal *out) MUST_CHECK;

/* Makes a new key text and its row's id and hash. Both texts are in the arena; wipe *text after
 * showing. */
enum status authenticator_make_api_key(struct arena *arena, const char **text, const char **id,
                                       unsigned char hash[32]) MUST_CHECK;

/* True when all words of `scope` ("" = everything) are within what the principal itself may do. */
bool principal_may_grant(const struct principal *principal, const char *scope);

/* A list of permissions, "category.action" of the catalogue each, separated by single or more
 * spaces; "" is one. */
bool principal_scope_exists(const char *scope);

/* True when this principal may use that chart by its chart_ids claim. */
bool principal_may_use_chart(const struct principal *principal, const char *chart_id);

#endif
