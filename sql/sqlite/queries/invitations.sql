-- Statements of stores/invitations.

-- name: invitation_insert
INSERT INTO invitations (hash, created_at, expires_at) VALUES (?1, ?2, ?3);

-- name: invitation_live
SELECT 1 FROM invitations WHERE hash = ?1 AND expires_at > ?2;

-- name: invitation_use
DELETE FROM invitations WHERE hash = ?1 AND expires_at > ?2;

-- name: invitation_sweep
DELETE FROM invitations WHERE hash IN (
    SELECT hash FROM invitations WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2);
