-- Users, their login sessions with refresh tokens, and their API keys.
-- Times are seconds since 1970; 0 stands for "never" and "not". Truth values are 0 and 1.
-- Tables whose key is a text or a hash have no rowid: one search instead of two per read.

-- email and username are stored in their normal form (auth/names), so that equal ones are equal
-- bytes. password_state: 0 chosen by its owner, 1 one-time and not yet used, 2 one-time and used.
-- locked_until is an operator's lock; wrong passwords are counted in login_failures.
CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    username TEXT UNIQUE,
    name TEXT,
    password_hash TEXT NOT NULL,
    password_state INTEGER NOT NULL DEFAULT 0 CHECK (password_state IN (0, 1, 2)),
    is_active INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    is_verified INTEGER NOT NULL DEFAULT 0 CHECK (is_verified IN (0, 1)),
    is_superuser INTEGER NOT NULL DEFAULT 0 CHECK (is_superuser IN (0, 1)),
    two_factor_enabled INTEGER NOT NULL DEFAULT 0 CHECK (two_factor_enabled IN (0, 1)),
    locked_until INTEGER NOT NULL DEFAULT 0,
    token_epoch INTEGER NOT NULL DEFAULT 0,
    company_id TEXT,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX users_created ON users (created_at, id);

-- Wrong passwords by the name that was tried, whether or not an account has it, and the client's
-- network. name: SHA-256 of the normal form. network '': from anywhere.
CREATE TABLE login_failures (
    name BLOB NOT NULL CHECK (length(name) = 32),
    network TEXT NOT NULL,
    failures INTEGER NOT NULL,
    locked_until INTEGER NOT NULL,
    last_failed_at INTEGER NOT NULL,
    PRIMARY KEY (name, network)
) STRICT, WITHOUT ROWID;

CREATE INDEX login_failures_age ON login_failures (last_failed_at);

-- Codes that let one person register each; only SHA-256 of a code is stored.
CREATE TABLE invitations (
    hash BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX invitations_expiry ON invitations (expires_at);

CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    user_agent TEXT NOT NULL,
    address TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_user ON sessions (user_id, revoked_at, last_used_at, id);
CREATE INDEX sessions_expiry ON sessions (expires_at);
CREATE INDEX sessions_revoked ON sessions (revoked_at) WHERE revoked_at > 0;

-- A token's one child is found by child_hash; sealed is this token's text, encrypted under a key
-- made from its parent's text (empty for the first of a session).
CREATE TABLE refresh_tokens (
    hash BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    sealed BLOB NOT NULL CHECK (length(sealed) <= 128),
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    child_hash BLOB
) STRICT, WITHOUT ROWID;

CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

-- chart_ids: a JSON list that limits the key to these charts; NULL: no limit.
CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    chart_ids TEXT,
    tier TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX api_keys_user ON api_keys (user_id, created_at, id);
