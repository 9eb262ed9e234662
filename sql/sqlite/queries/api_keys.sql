-- Statements of stores/api_keys. Columns stand in the order read_key expects.

-- name: api_key_insert
INSERT INTO api_keys (id, user_id, name, scopes, tier, hash, created_at, expires_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8);

-- name: api_key_by_id
SELECT k.id, k.user_id, k.name, k.scopes, k.tier, k.hash, k.created_at, k.expires_at, k.revoked_at,
    u.is_active, u.is_superuser, u.company_id
FROM api_keys AS k JOIN users AS u ON u.id = k.user_id WHERE k.id = ?1;

-- name: api_key_list
SELECT k.id, k.user_id, k.name, k.scopes, k.tier, k.hash, k.created_at, k.expires_at, k.revoked_at,
    u.is_active, u.is_superuser, u.company_id
FROM api_keys AS k JOIN users AS u ON u.id = k.user_id WHERE k.user_id = ?1
ORDER BY k.created_at DESC, k.id LIMIT 500;

-- name: api_key_revoke
UPDATE api_keys SET revoked_at = CASE WHEN revoked_at = 0 THEN ?3 ELSE revoked_at END
WHERE id = ?1 AND (?2 IS NULL OR user_id = ?2);
