-- Statements of stores/charts and stores/series.

-- name: chart_find
SELECT number, id, options, created_at, updated_at, series_count
FROM charts WHERE owner = ?1 AND id = ?2;

-- name: chart_list
-- The charts before the page are skipped in the index alone, without reading their rows.
SELECT number, id, options, created_at, updated_at, series_count
FROM charts
WHERE owner = ?1 AND id >= (SELECT id FROM charts WHERE owner = ?1 ORDER BY id LIMIT 1 OFFSET ?3)
ORDER BY id LIMIT ?2;

-- name: chart_owner
SELECT chart_count, series_count, point_count FROM chart_owners WHERE owner = ?1;

-- name: chart_insert
INSERT INTO charts (owner, id, options, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)
ON CONFLICT (owner, id) DO NOTHING;

-- name: chart_set_options
UPDATE charts SET options = ?3, updated_at = ?4 WHERE owner = ?1 AND id = ?2;

-- name: chart_delete
DELETE FROM charts WHERE owner = ?1 AND id = ?2;

-- name: chart_ensure
INSERT INTO charts (owner, id, options, created_at, updated_at) VALUES (?1, ?2, '{}', ?3, ?3)
ON CONFLICT (owner, id) DO UPDATE SET updated_at = excluded.updated_at
RETURNING number;

-- name: chart_touch
UPDATE charts SET updated_at = ?2 WHERE number = ?1;

-- name: series_find
SELECT s.number, s.chart, s.pane, s.id, s.type, s.options, s.point_count, s.has_fractions,
    s.version, s.stamp, s.strip
FROM charts c JOIN chart_series s ON s.chart = c.number
WHERE c.owner = ?1 AND c.id = ?2 AND s.pane = ?3 AND s.id = ?4;

-- name: series_list
SELECT s.number, s.chart, s.pane, s.id, s.type, s.options, s.point_count, s.has_fractions,
    s.version, s.stamp, s.strip
FROM charts c JOIN chart_series s ON s.chart = c.number
WHERE c.owner = ?1 AND c.id = ?2 ORDER BY s.pane, s.id;

-- name: series_replace
INSERT INTO chart_series
    (chart, pane, id, type, options, point_count, has_fractions, version, stamp, strip)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8, ?9)
ON CONFLICT (chart, pane, id) DO UPDATE SET type = excluded.type, options = excluded.options,
    point_count = excluded.point_count, has_fractions = excluded.has_fractions,
    version = version + 1, stamp = excluded.stamp, strip = excluded.strip
RETURNING number;

-- name: series_change
UPDATE chart_series SET point_count = point_count + ?2, has_fractions = max(has_fractions, ?3),
    version = version + 1, stamp = ?4
WHERE number = ?1 RETURNING point_count;

-- name: series_delete
DELETE FROM chart_series WHERE number = ?1;

-- name: series_read_before
SELECT s.number, s.chart, s.pane, s.id, s.type, s.options, s.point_count, s.has_fractions,
    s.version, s.stamp, s.strip, b.first_index, b.point_count, p.times, p.starts, p.payload
FROM charts c JOIN chart_series s ON s.chart = c.number
LEFT JOIN chart_blocks b ON b.strip = s.strip AND b.first_time < ?5
LEFT JOIN chart_payloads p ON p.number = b.payload
WHERE c.owner = ?1 AND c.id = ?2 AND s.pane = ?3 AND s.id = ?4
ORDER BY b.first_time DESC;

-- name: series_read_from
SELECT s.number, s.chart, s.pane, s.id, s.type, s.options, s.point_count, s.has_fractions,
    s.version, s.stamp, s.strip, b.first_index, b.point_count, p.times, p.starts, p.payload
FROM charts c JOIN chart_series s ON s.chart = c.number
LEFT JOIN chart_blocks b ON b.strip = s.strip AND b.first_time >= coalesce(
    (SELECT max(first_time) FROM chart_blocks WHERE strip = s.strip AND first_time <= ?5), -1e15)
LEFT JOIN chart_payloads p ON p.number = b.payload
WHERE c.owner = ?1 AND c.id = ?2 AND s.pane = ?3 AND s.id = ?4
ORDER BY b.first_time;

-- name: block_at
SELECT b.payload, b.first_index, b.point_count,
    (SELECT min(first_time) FROM chart_blocks WHERE strip = ?1 AND first_time > b.first_time),
    p.times, p.starts, p.payload
FROM chart_blocks b JOIN chart_payloads p ON p.number = b.payload
WHERE b.strip = ?1 AND b.first_time <= ?2
ORDER BY b.first_time DESC LIMIT 1;

-- name: block_first
SELECT b.payload, b.first_index, b.point_count,
    (SELECT min(first_time) FROM chart_blocks WHERE strip = ?1 AND first_time > b.first_time),
    p.times, p.starts, p.payload
FROM chart_blocks b JOIN chart_payloads p ON p.number = b.payload
WHERE b.strip = ?1
ORDER BY b.first_time LIMIT 1;

-- name: block_last
SELECT last_time, point_count FROM chart_blocks WHERE strip = ?1
ORDER BY first_time DESC LIMIT 1;

-- name: series_last_block
SELECT b.last_time, b.point_count
FROM charts c JOIN chart_series s ON s.chart = c.number JOIN chart_blocks b ON b.strip = s.strip
WHERE c.owner = ?1 AND c.id = ?2 AND s.pane = ?3 AND s.id = ?4
ORDER BY b.first_time DESC LIMIT 1;

-- name: block_insert
INSERT INTO chart_blocks
    (strip, first_time, last_time, first_index, point_count, byte_count, payload)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- name: block_update
UPDATE chart_blocks SET first_time = ?2, last_time = ?3, first_index = ?4, point_count = ?5,
    byte_count = ?6, payload = ?7
WHERE strip = ?1 AND first_time = ?8;

-- name: block_shift
UPDATE chart_blocks SET first_index = first_index + ?2
WHERE strip = ?1 AND first_time >= ?3 AND first_time < ?4;

-- name: block_list
SELECT first_time, payload, byte_count FROM chart_blocks WHERE strip = ?1
ORDER BY first_time LIMIT 64;

-- name: block_delete
DELETE FROM chart_blocks WHERE strip = ?1 AND first_time = ?2;

-- name: payload_insert
INSERT INTO chart_payloads (times, starts, payload) VALUES (?1, ?2, ?3) RETURNING number;

-- name: payload_update
UPDATE chart_payloads SET times = ?1, starts = ?2, payload = ?3 WHERE number = ?4
RETURNING number;

-- name: payload_delete
DELETE FROM chart_payloads WHERE number = ?1;

-- name: strip_prepare
INSERT INTO chart_loose_strips (prepared_at) VALUES (?1) RETURNING number;

-- name: strip_adopt
DELETE FROM chart_loose_strips WHERE number = ?1 AND prepared_at <> 0;

-- name: strip_join
UPDATE chart_blocks SET strip = ?2, first_index = first_index + ?3 WHERE strip = ?1;

-- name: strip_abandon
UPDATE chart_loose_strips SET prepared_at = 0 WHERE number = ?1;

-- name: strip_to_remove
SELECT number FROM chart_loose_strips WHERE prepared_at < ?1 OR prepared_at > ?2 LIMIT 1;

-- name: strip_forget
DELETE FROM chart_loose_strips WHERE number = ?1;

-- name: chart_note_read
UPDATE charts SET read_at = ?2 WHERE number = ?1 AND max(updated_at, read_at) < ?3;

-- name: chart_sweep
DELETE FROM charts WHERE number IN
    (SELECT number FROM charts WHERE max(updated_at, read_at) < ?1
     ORDER BY max(updated_at, read_at) LIMIT 20);

-- name: chart_clock
SELECT trusted_at, boot_at FROM chart_clock;

-- name: chart_clock_set
INSERT INTO chart_clock (id, trusted_at, boot_at) VALUES (1, ?1, ?2)
ON CONFLICT (id) DO UPDATE SET trusted_at = max(trusted_at, excluded.trusted_at),
    boot_at = excluded.boot_at;

-- name: chart_ping
-- One row from each table, whichever comes first; NULLs while they are empty.
SELECT (SELECT updated_at FROM charts LIMIT 1), (SELECT version FROM chart_series LIMIT 1),
    (SELECT point_count FROM chart_blocks LIMIT 1), (SELECT number FROM chart_payloads LIMIT 1);
