-- Statements of stores/charts and stores/series.

-- name: chart_find
SELECT number, id, options, created_at, updated_at,
    (SELECT count(*) FROM chart_series WHERE chart = charts.number)
FROM charts WHERE owner = ?1 AND id = ?2;

-- name: chart_list
SELECT number, id, options, created_at, updated_at,
    (SELECT count(*) FROM chart_series WHERE chart = charts.number)
FROM charts WHERE owner = ?1 ORDER BY id LIMIT ?2 OFFSET ?3;

-- name: chart_count
SELECT count(*) FROM charts WHERE owner = ?1;

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
SELECT s.number, s.chart, s.pane, s.id, s.type, s.options, s.point_count, s.has_fractions, s.version
FROM charts c JOIN chart_series s ON s.chart = c.number
WHERE c.owner = ?1 AND c.id = ?2 AND s.pane = ?3 AND s.id = ?4;

-- name: series_list
SELECT s.number, s.chart, s.pane, s.id, s.type, s.options, s.point_count, s.has_fractions, s.version
FROM charts c JOIN chart_series s ON s.chart = c.number
WHERE c.owner = ?1 AND c.id = ?2 ORDER BY s.pane, s.id;

-- name: series_replace
INSERT INTO chart_series (chart, pane, id, type, options, point_count, has_fractions, version)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1)
ON CONFLICT (chart, pane, id) DO UPDATE SET type = excluded.type, options = excluded.options,
    point_count = excluded.point_count, has_fractions = excluded.has_fractions,
    version = version + 1
RETURNING number;

-- name: series_change
UPDATE chart_series SET point_count = point_count + ?2, has_fractions = max(has_fractions, ?3),
    version = version + 1
WHERE number = ?1 RETURNING point_count;

-- name: series_delete
DELETE FROM chart_series WHERE number = ?1;

-- name: series_clear
DELETE FROM chart_blocks WHERE series = ?1;

-- name: series_read_before
SELECT s.number, s.chart, s.pane, s.id, s.type, s.options, s.point_count, s.has_fractions,
    s.version, b.first_index, b.point_count, b.times, b.starts, b.payload
FROM charts c JOIN chart_series s ON s.chart = c.number
LEFT JOIN chart_blocks b ON b.series = s.number AND b.first_time < ?5
WHERE c.owner = ?1 AND c.id = ?2 AND s.pane = ?3 AND s.id = ?4
ORDER BY b.first_time DESC;

-- name: series_read_from
SELECT s.number, s.chart, s.pane, s.id, s.type, s.options, s.point_count, s.has_fractions,
    s.version, b.first_index, b.point_count, b.times, b.starts, b.payload
FROM charts c JOIN chart_series s ON s.chart = c.number
LEFT JOIN chart_blocks b ON b.series = s.number AND b.first_time >= coalesce(
    (SELECT max(first_time) FROM chart_blocks WHERE series = s.number AND first_time <= ?5), 0)
WHERE c.owner = ?1 AND c.id = ?2 AND s.pane = ?3 AND s.id = ?4
ORDER BY b.first_time;

-- name: series_block_at
SELECT b.number, b.first_index, b.point_count,
    (SELECT min(first_time) FROM chart_blocks WHERE series = ?1 AND first_time > b.first_time),
    b.times, b.starts, b.payload
FROM chart_blocks b WHERE b.series = ?1 AND b.first_time <= ?2
ORDER BY b.first_time DESC LIMIT 1;

-- name: series_block_first
SELECT b.number, b.first_index, b.point_count,
    (SELECT min(first_time) FROM chart_blocks WHERE series = ?1 AND first_time > b.first_time),
    b.times, b.starts, b.payload
FROM chart_blocks b WHERE b.series = ?1
ORDER BY b.first_time LIMIT 1;

-- name: series_block_insert
INSERT INTO chart_blocks
    (series, first_time, last_time, first_index, point_count, times, starts, payload)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8);

-- name: series_block_update
UPDATE chart_blocks SET first_time = ?2, last_time = ?3, first_index = ?4, point_count = ?5,
    times = ?6, starts = ?7, payload = ?8
WHERE number = ?1;

-- name: series_shift
UPDATE chart_blocks SET first_index = first_index + ?2
WHERE series = ?1 AND first_time >= ?3 AND first_time < ?4;

-- name: series_last_time
SELECT last_time FROM chart_blocks WHERE series = ?1 ORDER BY first_time DESC LIMIT 1;

-- name: chart_note_read
UPDATE charts SET read_at = ?2 WHERE number = ?1 AND max(updated_at, read_at) < ?3;

-- name: chart_sweep
DELETE FROM charts WHERE number IN
    (SELECT number FROM charts WHERE max(updated_at, read_at) < ?1
     ORDER BY max(updated_at, read_at) LIMIT 20);

-- name: chart_ping
-- One row from each table, whichever comes first; NULLs while they are empty.
SELECT (SELECT updated_at FROM charts LIMIT 1), (SELECT version FROM chart_series LIMIT 1),
    (SELECT point_count FROM chart_blocks LIMIT 1);
