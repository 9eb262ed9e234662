-- Statements of stores/lockout. A network of '' stands for all networks together.

-- name: lockout_until
SELECT coalesce(max(locked_until), 0) FROM login_failures WHERE name = ?1 AND network IN (?2, '');

-- A lock that is over, and a count that nobody has added to for long, begin anew.
-- name: lockout_count
INSERT INTO login_failures AS f (name, network, failures, locked_until, last_failed_at)
VALUES (?1, ?2, 1, CASE WHEN ?4 <= 1 THEN ?5 ELSE 0 END, ?3)
ON CONFLICT (name, network) DO UPDATE SET
    failures = CASE WHEN f.locked_until > 0 OR f.last_failed_at < ?6 THEN 1
        ELSE f.failures + 1 END,
    locked_until = CASE WHEN ?4 <= CASE WHEN f.locked_until > 0 OR f.last_failed_at < ?6 THEN 1
        ELSE f.failures + 1 END THEN ?5 ELSE 0 END,
    last_failed_at = ?3;

-- name: lockout_clear
DELETE FROM login_failures WHERE name = ?1 AND network IN (?2, '');

-- name: lockout_forget
DELETE FROM login_failures WHERE name = ?1;

-- name: lockout_sweep
DELETE FROM login_failures WHERE (name, network) IN (
    SELECT name, network FROM login_failures
    WHERE last_failed_at < ?1 AND locked_until <= ?2 ORDER BY last_failed_at LIMIT ?3);

-- Beyond ?1 rows, the oldest.
-- name: lockout_shrink
DELETE FROM login_failures WHERE (name, network) IN (
    SELECT name, network FROM login_failures ORDER BY last_failed_at
    LIMIT max(0, min(?2, (SELECT count(*) FROM login_failures) - ?1)));
