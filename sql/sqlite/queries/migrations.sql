-- Statements of storage and its migrations.

-- name: storage_ping
SELECT 1 FROM sqlite_schema LIMIT 1;

-- name: migration_table_exists
SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations';

-- Asks for our table once more: another process may have made it since.
-- name: migration_foreign_table
SELECT 1 FROM sqlite_schema
WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_'
    AND NOT EXISTS (
        SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations') LIMIT 1;

-- name: migration_create_table
CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at INTEGER NOT NULL,
    checksum TEXT NOT NULL
) STRICT;

-- name: migration_list
SELECT version, applied_at, checksum FROM schema_migrations ORDER BY version;

-- name: migration_insert
INSERT INTO schema_migrations (version, name, applied_at, checksum) VALUES (?1, ?2, ?3, ?4);

-- name: migration_delete
DELETE FROM schema_migrations WHERE version = ?1;
