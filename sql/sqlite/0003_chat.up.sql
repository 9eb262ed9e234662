-- Conversations with a language model, and what every call to one has cost.
-- Times are milliseconds since 1970 (a turn may take less than a second); 0 stands for "never".
-- A conversation belongs to an owner, whichever of the owner's credentials made it; its id is
-- chosen by the client and means nothing to anybody else. `number` is what messages refer to and
-- is never given twice.

CREATE TABLE conversations (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
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
    UNIQUE (owner, id)
) STRICT;

CREATE INDEX conversations_recent ON conversations (owner, updated_at, number);
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

-- What the ledger says of each day (days since 1970, UTC), so that nobody has to add up its rows.
-- Kept in the transactions that write the ledger. The owner '' is the whole installation. Sums stop
-- at the largest integer.
CREATE TABLE ledger_days (
    owner TEXT NOT NULL,
    day INTEGER NOT NULL,
    provider TEXT NOT NULL,
    calls INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost_nanodollars INTEGER NOT NULL,
    PRIMARY KEY (owner, day, provider)
) STRICT, WITHOUT ROWID;
