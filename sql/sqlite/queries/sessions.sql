-- Statements of stores/sessions.

-- name: session_insert
INSERT INTO sessions (id, user_id, user_agent, address, created_at, last_used_at, expires_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6);

-- name: session_by_id
SELECT id, user_id, user_agent, address, created_at, last_used_at, expires_at, revoked_at
FROM sessions WHERE id = ?1;

-- name: session_list
SELECT id, user_id, user_agent, address, created_at, last_used_at, expires_at, revoked_at
FROM sessions WHERE user_id = ?1 AND revoked_at = 0 AND expires_at > ?2
ORDER BY last_used_at DESC, id DESC LIMIT ?3 OFFSET ?4;

-- name: session_count
SELECT count(*) FROM sessions WHERE user_id = ?1 AND revoked_at = 0 AND expires_at > ?2;

-- All but the ?3 that were used last.
-- name: session_revoke_oldest
UPDATE sessions SET revoked_at = ?2 WHERE id IN (
    SELECT id FROM sessions WHERE user_id = ?1 AND revoked_at = 0
    ORDER BY last_used_at DESC, id DESC LIMIT -1 OFFSET ?3);

-- name: session_touch
UPDATE sessions SET last_used_at = ?2, expires_at = ?3 WHERE id = ?1;

-- name: session_revoke
UPDATE sessions SET revoked_at = ?3 WHERE id = ?1 AND user_id = ?2 AND revoked_at = 0;

-- name: session_revoke_all
UPDATE sessions SET revoked_at = ?3
WHERE user_id = ?1 AND revoked_at = 0 AND (?2 IS NULL OR id <> ?2);

-- name: session_sweep_expired
DELETE FROM sessions WHERE id IN (
    SELECT id FROM sessions WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2);

-- name: session_sweep_revoked
DELETE FROM sessions WHERE id IN (
    SELECT id FROM sessions WHERE revoked_at > 0 AND revoked_at < ?1
    ORDER BY revoked_at LIMIT ?2);

-- name: refresh_token_insert
INSERT INTO refresh_tokens (hash, session_id, sealed, expires_at) VALUES (?1, ?2, ?3, ?4);

-- name: refresh_token_with_session
SELECT t.session_id, t.expires_at, t.used_at, t.child_hash, s.user_id, s.revoked_at, u.is_active,
    u.locked_until
FROM refresh_tokens AS t JOIN sessions AS s ON s.id = t.session_id
    JOIN users AS u ON u.id = s.user_id
WHERE t.hash = ?1;

-- name: refresh_token_unused
SELECT sealed, expires_at FROM refresh_tokens WHERE hash = ?1 AND used_at IS NULL;

-- name: refresh_token_use
UPDATE refresh_tokens SET used_at = ?2, child_hash = ?3 WHERE hash = ?1 AND used_at IS NULL;

-- Once it has expired, a token that comes back tells nothing any more.
-- name: refresh_token_sweep
DELETE FROM refresh_tokens WHERE hash IN (
    SELECT hash FROM refresh_tokens WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2);
