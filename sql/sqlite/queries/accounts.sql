-- Statements of stores/accounts. Columns of whole accounts stand in the order read_account expects.

-- name: account_insert
INSERT INTO users (id, email, username, name, password_hash, is_superuser, created_at,
    password_state)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8);

-- name: account_by_id
SELECT id, email, username, name, password_hash, is_active, is_verified, is_superuser,
    two_factor_enabled, password_state, locked_until, token_epoch, created_at, company_id
FROM users WHERE id = ?1;

-- On every request with an access token; the hash stays in the database.
-- name: account_by_session
SELECT u.id, u.email, u.username, u.name, NULL, u.is_active, u.is_verified, u.is_superuser,
    u.two_factor_enabled, u.password_state, u.locked_until, u.token_epoch, u.created_at,
    u.company_id, s.expires_at, s.revoked_at
FROM sessions AS s JOIN users AS u ON u.id = s.user_id WHERE s.id = ?1;

-- name: account_by_email
SELECT id, email, username, name, password_hash, is_active, is_verified, is_superuser,
    two_factor_enabled, password_state, locked_until, token_epoch, created_at, company_id
FROM users WHERE email = ?1;

-- name: account_by_username
SELECT id, email, username, name, password_hash, is_active, is_verified, is_superuser,
    two_factor_enabled, password_state, locked_until, token_epoch, created_at, company_id
FROM users WHERE username = ?1;

-- The page after the account that was made at ?2 with the id ?3.
-- name: account_list
SELECT id, email, username, name, password_hash, is_active, is_verified, is_superuser,
    two_factor_enabled, password_state, locked_until, token_epoch, created_at, company_id
FROM users WHERE (created_at, id) > (?2, ?3) ORDER BY created_at, id LIMIT ?1;

-- name: account_exists
SELECT 1 FROM users LIMIT 1;

-- What decides whether a login of this account may begin a session.
-- name: account_state
SELECT password_hash, password_state, is_active, locked_until FROM users WHERE id = ?1;

-- name: account_set_locked
UPDATE users SET locked_until = ?2 WHERE id = ?1;

-- name: account_use_one_time_password
UPDATE users SET password_state = 2 WHERE id = ?1 AND password_state = 1;

-- name: account_set_password
UPDATE users SET password_hash = ?3 WHERE id = ?1 AND password_hash = ?2;

-- Tokens that belong to no session and were issued before die with the old password.
-- name: account_change_password
UPDATE users SET password_hash = ?3, password_state = ?4, token_epoch = ?5
WHERE id = ?1 AND (?2 IS NULL OR password_hash = ?2);

-- name: account_set_active
UPDATE users SET is_active = ?2 WHERE id = ?1;

-- name: account_set_superuser
UPDATE users SET is_superuser = ?2 WHERE id = ?1;

-- name: account_set_profile
UPDATE users SET name = coalesce(?2, name), username = coalesce(?3, username),
    is_verified = CASE WHEN coalesce(?4, email) = email THEN is_verified ELSE 0 END,
    email = coalesce(?4, email)
WHERE id = ?1;

-- name: account_delete
DELETE FROM users WHERE id = ?1;
