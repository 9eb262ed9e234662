/*
 * stores/api_keys: keys that users make for their programs.
 *
 * The text is qk_<id>_<secret>; only SHA-256 of the whole text is stored, the text is shown once
 * by whoever made it. Scopes are a space-separated list ("" = all the owner may do).
 */
#ifndef STORES_API_KEYS_H
#define STORES_API_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "storage/storage.h"

#define API_KEY_HASH_SIZE 32

/* In characters. */
#define API_KEY_NAME_MAXIMUM   128
#define API_KEY_SCOPES_MAXIMUM 512
#define API_KEY_TIER_MAXIMUM   64

/* Revoked and expired keys that are kept of a user, to be looked at. */
#define API_KEY_DEAD_MAXIMUM 100

struct api_key {
    const char *id; /* 16 lower-case hex digits */
    const char *user_id;
    const char *name;
    const char *scopes;
    const char *tier;      /* "" when none */
    const char *chart_ids; /* JSON list of the charts it is limited to; NULL: not limited */
    unsigned char hash[API_KEY_HASH_SIZE];
    int64_t created_at;
    int64_t expires_at; /* 0 = never */
    int64_t revoked_at; /* 0 = live */
    /* of the owner, joined */
    bool owner_is_active;
    bool owner_is_superuser;
    int64_t owner_locked_until;
    const char *company_id; /* NULL when none */
};

/* STATUS_TOO_LARGE, and nothing is stored: the user has `maximum` live keys. Removes the oldest dead
 * ones beyond API_KEY_DEAD_MAXIMUM. */
enum status api_key_create(struct storage *storage, const struct api_key *key,
                           int64_t maximum) MUST_CHECK;
enum status api_key_find(struct storage *storage, struct arena *arena, const char *id,
                         struct api_key *out) MUST_CHECK;
/* One page of a user's keys, live ones first, then the newest; *total counts all. */
enum status api_key_list(struct storage *storage, struct arena *arena, const char *user_id,
                         int64_t now, int64_t limit, int64_t offset, struct api_key **out,
                         size_t *count, int64_t *total) MUST_CHECK;
/* STATUS_NOT_FOUND when it is not this user's (user_id NULL: anybody's). */
enum status api_key_revoke(struct storage *storage, const char *user_id, const char *id,
                           int64_t now) MUST_CHECK;

#endif
