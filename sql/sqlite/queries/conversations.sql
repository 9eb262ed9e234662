-- Statements of stores/conversations.

-- name: conversation_find
SELECT number, model, title, message_count, version, created_at, updated_at, expires_at,
    lock_token, lock_fence, lock_expires_at
FROM conversations WHERE owner = ?1 AND id = ?2;

-- name: conversation_list
-- Of one owner, the most recently used first.
SELECT id, model, title, message_count, version, created_at, updated_at, expires_at, number
FROM conversations WHERE owner = ?1 AND expires_at > ?2
ORDER BY updated_at DESC, number DESC LIMIT ?3 OFFSET ?4;

-- name: conversation_count
SELECT count(*) FROM conversations WHERE owner = ?1 AND expires_at > ?2;

-- name: conversation_count_up_to
SELECT count(*) FROM (SELECT 1 FROM conversations WHERE owner = ?1 LIMIT ?2) AS found;

-- name: conversation_insert
INSERT INTO conversations (owner, id, model, title, created_at, updated_at, expires_at, lock_token,
    lock_fence, lock_expires_at)
VALUES (?1, ?2, '', '', ?3, ?3, ?4, ?5, 1, ?6)
RETURNING number;

-- name: conversation_lock
UPDATE conversations SET lock_token = ?2, lock_fence = lock_fence + 1, lock_expires_at = ?3
WHERE number = ?1;

-- name: conversation_renew
UPDATE conversations SET lock_expires_at = ?4
WHERE number = ?1 AND lock_fence = ?2 AND lock_token = ?3;

-- name: conversation_restart
UPDATE conversations SET model = '', title = '', message_count = 0, version = 0, created_at = ?2,
    updated_at = ?2, expires_at = ?3
WHERE number = ?1;

-- name: conversation_save
UPDATE conversations SET model = ?4, title = CASE WHEN title = '' THEN ?5 ELSE title END,
    message_count = message_count + ?6, next_position = next_position + ?6,
    version = version + 1, updated_at = ?7, expires_at = ?8, lock_token = '', lock_expires_at = 0
WHERE number = ?1 AND lock_fence = ?2 AND lock_token = ?3
RETURNING next_position;

-- name: conversation_release
UPDATE conversations SET lock_token = '', lock_expires_at = 0
WHERE number = ?1 AND lock_fence = ?2 AND lock_token = ?3;

-- name: conversation_drop_unused
DELETE FROM conversations
WHERE number = ?1 AND lock_fence = ?2 AND lock_token = ?3 AND version = 0;

-- name: conversation_clear
UPDATE conversations SET message_count = 0, title = '', version = version + 1, updated_at = ?2,
    expires_at = ?3, lock_token = '', lock_fence = lock_fence + 1, lock_expires_at = 0
WHERE number = ?1;

-- name: conversation_delete
DELETE FROM conversations WHERE number = ?1;

-- name: conversation_sweep
-- Those whose messages have gone.
DELETE FROM conversations WHERE number IN (
    SELECT number FROM conversations AS found
    WHERE expires_at < ?1 AND lock_expires_at < ?1
        AND NOT EXISTS (SELECT 1 FROM messages WHERE conversation = found.number)
    ORDER BY expires_at LIMIT ?2);

-- name: message_sweep
DELETE FROM messages WHERE (conversation, position) IN (
    SELECT conversation, position
    FROM conversations AS found JOIN messages ON conversation = found.number
    WHERE found.expires_at < ?1 AND found.lock_expires_at < ?1 LIMIT ?2);

-- name: message_insert
INSERT INTO messages (conversation, position, role, content, tool_calls, tool_call_id, tokens,
    is_cut_off, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9);

-- name: message_delete_all
DELETE FROM messages WHERE conversation = ?1;

-- name: message_list_before
SELECT position, role, content, tool_calls, tool_call_id, tokens, is_cut_off, messages.created_at
FROM conversations JOIN messages ON conversation = number
WHERE owner = ?1 AND id = ?2 AND position < ?3 ORDER BY position DESC LIMIT ?4;
