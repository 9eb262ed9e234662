-- Statements of stores/api_keys. Columns stand in the order read_key expects.

-- name: api_key_insert
INSERT INTO api_keys (id, user_id, name, scopes, tier, hash, created_at, expires_at, chart_ids)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9);

-- On every request with a key: its owner's state in the same read.
-- name: api_key_by_id
SELECT k.id, k.user_id, k.name, k.scopes, k.tier, k.hash, k.created_at, k.expires_at, k.revoked_at,
    u.is_active, u.is_superuser, u.company_id, k.chart_ids, u.locked_until
FROM api_keys AS k JOIN users AS u ON u.id = k.user_id WHERE k.id = ?1;

-- A user has few keys: dead ones beyond API_KEY_DEAD_MAXIMUM go when another is made.
-- name: api_key_list
SELECT k.id, k.user_id, k.name, k.scopes, k.tier, k.hash, k.created_at, k.expires_at, k.revoked_at,
    u.is_active, u.is_superuser, u.company_id, k.chart_ids, u.locked_until
FROM api_keys AS k JOIN users AS u ON u.id = k.user_id WHERE k.user_id = ?1
ORDER BY k.revoked_at > 0 OR (k.expires_at > 0 AND k.expires_at <= ?2), k.created_at DESC, k.id
LIMIT ?3 OFFSET ?4;

-- name: api_key_count
SELECT count(*), count(*) FILTER (WHERE revoked_at = 0 AND (expires_at = 0 OR expires_at > ?2))
FROM api_keys WHERE user_id = ?1;

-- name: api_key_revoke
UPDATE api_keys SET revoked_at = CASE WHEN revoked_at = 0 THEN ?3 ELSE revoked_at END
WHERE id = ?1 AND (?2 IS NULL OR user_id = ?2);

-- name: api_key_revoke_all
UPDATE api_keys SET revoked_at = ?2 WHERE user_id = ?1 AND revoked_at = 0;

-- Dead keys of a user beyond the newest ?3.
-- name: api_key_prune
DELETE FROM api_keys WHERE id IN (
    SELECT id FROM api_keys
    WHERE user_id = ?1 AND (revoked_at > 0 OR (expires_at > 0 AND expires_at <= ?2))
    ORDER BY created_at DESC, id LIMIT -1 OFFSET ?3);
