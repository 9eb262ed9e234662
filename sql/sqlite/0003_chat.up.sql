-- Conversations with a language model, and what every call to one has cost.
-- Times are milliseconds since 1970 (a turn may take less than a second); 0 stands for "never".
-- A conversation belongs to a principal of an owner; its id is chosen by the client and means
-- nothing to anybody else. `number` is what messages refer to.

CREATE TABLE conversations (
    number INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    principal TEXT NOT NULL,
    id TEXT NOT NULL,
    model TEXT NOT NULL,
    title TEXT NOT NULL,
    message_count INTEGER NOT NULL DEFAULT 0,
    next_position INTEGER NOT NULL DEFAULT 1,
    version INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    lock_token TEXT NOT NULL DEFAULT '',
    lock_fence INTEGER NOT NULL DEFAULT 0,
    lock_expires_at INTEGER NOT NULL DEFAULT 0,
    UNIQUE (owner, principal, id)
) STRICT;

CREATE INDEX conversations_recent ON conversations (owner, principal, updated_at);
CREATE INDEX conversations_expiry ON conversations (expires_at);

CREATE TABLE messages (
    conversation INTEGER NOT NULL REFERENCES conversations (number) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    tool_calls TEXT,
    tool_call_id TEXT,
    tokens INTEGER NOT NULL DEFAULT 0,
    is_cut_off INTEGER NOT NULL DEFAULT 0 CHECK (is_cut_off IN (0, 1)),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (conversation, position)
) STRICT, WITHOUT ROWID;

-- Costs are whole billionths of a US dollar, so that sums are exact.
CREATE TABLE ledger (
    number INTEGER PRIMARY KEY,
    created_at INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    principal TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    operation TEXT NOT NULL,
    outcome TEXT NOT NULL,
    is_streamed INTEGER NOT NULL CHECK (is_streamed IN (0, 1)),
    is_estimated INTEGER NOT NULL CHECK (is_estimated IN (0, 1)),
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost_nanodollars INTEGER NOT NULL
) STRICT;

CREATE INDEX ledger_owner ON ledger (owner, created_at);
CREATE INDEX ledger_time ON ledger (created_at);
