-- Statements of stores/probes.

-- name: probe_insert
INSERT OR REPLACE INTO probe_results (service, probed_at, is_healthy, latency_us, message)
VALUES (?1, ?2, ?3, ?4, ?5);

-- name: probe_list_thinned
-- Every n-th, counted from the newest, so that at most ?3 are left.
SELECT probed_at, latency_us FROM (
    SELECT probed_at, latency_us, count(*) OVER () AS total,
        row_number() OVER (ORDER BY probed_at DESC) AS place
    FROM probe_results WHERE service = ?1 AND probed_at >= ?2 AND is_healthy = 1) AS found
WHERE (place - 1) % ((total + ?3 - 1) / ?3) = 0 ORDER BY probed_at;

-- name: probe_list_errors
SELECT probed_at, message FROM probe_results INDEXED BY probe_results_errors
WHERE service = ?1 AND is_healthy = 0 ORDER BY probed_at DESC LIMIT ?2;

-- name: probe_delete_before
DELETE FROM probe_results WHERE (service, probed_at) IN (
    SELECT service, probed_at FROM probe_results WHERE probed_at < ?1 ORDER BY probed_at LIMIT ?2);
