-- Statements of stores/probes.

-- name: probe_insert
INSERT OR REPLACE INTO probe_results (service, probed_at, is_healthy, latency_us, message)
VALUES (?1, ?2, ?3, ?4, ?5);

-- name: probe_list_since
SELECT probed_at, latency_us FROM probe_results
WHERE service = ?1 AND probed_at >= ?2 AND is_healthy = 1 ORDER BY probed_at;

-- name: probe_list_errors
SELECT probed_at, message FROM probe_results
WHERE service = ?1 AND is_healthy = 0 ORDER BY probed_at DESC LIMIT ?2;

-- name: probe_delete_before
DELETE FROM probe_results WHERE probed_at < ?1;
