-- Results of probes of services: latency history and errors of the health program.
CREATE TABLE probe_results (
    service    TEXT    NOT NULL,
    probed_at  INTEGER NOT NULL, -- wall milliseconds
    is_healthy INTEGER NOT NULL,
    latency_us INTEGER NOT NULL,
    message    TEXT    NOT NULL,
    PRIMARY KEY (service, probed_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX probe_results_by_time ON probe_results (probed_at);
CREATE INDEX probe_results_errors ON probe_results (service, probed_at) WHERE is_healthy = 0;
