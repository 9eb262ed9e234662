-- Statements of stores/accounts. Columns of whole accounts stand in the order read_account expects.

-- name: account_insert
INSERT INTO users (id, email, username, name, password_hash, is_superuser, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- name: account_by_id
SELECT id, email, username, name, password_hash, is_active, is_verified, is_superuser,
    two_factor_enabled, failed_logins, locked_until, token_epoch, created_at, company_id
FROM users WHERE id = ?1;

-- On every request with an access token; the hash stays in the database.
-- name: account_by_session
SELECT u.id, u.email, u.username, u.name, NULL, u.is_active, u.is_verified, u.is_superuser,
    u.two_factor_enabled, u.failed_logins, u.locked_until, u.token_epoch, u.created_at,
    u.company_id, s.expires_at, s.revoked_at
FROM sessions AS s JOIN users AS u ON u.id = s.user_id WHERE s.id = ?1;

-- name: account_by_email
SELECT id, email, username, name, password_hash, is_active, is_verified, is_superuser,
    two_factor_enabled, failed_logins, locked_until, token_epoch, created_at, company_id
FROM users WHERE email = ?1;

-- name: account_by_username
SELECT id, email, username, name, password_hash, is_active, is_verified, is_superuser,
    two_factor_enabled, failed_logins, locked_until, token_epoch, created_at, company_id
FROM users WHERE username = ?1;

-- name: account_list
SELECT id, email, username, name, password_hash, is_active, is_verified, is_superuser,
    two_factor_enabled, failed_logins, locked_until, token_epoch, created_at, company_id
FROM users ORDER BY created_at, id LIMIT ?1 OFFSET ?2;

-- name: account_count
SELECT count(*) FROM users;

-- name: account_has_password
SELECT 1 FROM users WHERE id = ?1 AND password_hash = ?2;

-- name: account_lockout
SELECT failed_logins, locked_until FROM users WHERE id = ?1;

-- name: account_set_lockout
UPDATE users SET failed_logins = ?2, locked_until = ?3 WHERE id = ?1;

-- name: account_set_password
UPDATE users SET password_hash = ?3 WHERE id = ?1 AND (?2 IS NULL OR password_hash = ?2);

-- name: account_set_active
UPDATE users SET is_active = ?2 WHERE id = ?1;

-- name: account_set_superuser
UPDATE users SET is_superuser = ?2 WHERE id = ?1;

-- name: account_set_profile
UPDATE users SET name = coalesce(?2, name), username = coalesce(?3, username) WHERE id = ?1;
