"""The health and metrics programs: probes, readiness, and text that scrapers accept."""
import gzip
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

from suite import wait_until


def test_health_touches_nothing_and_says_who_it_is(suite):
    for path in ("/health", "/health/live"):
        body = suite.get(path).json
        assert body["status"] == "healthy" and body["service"] == "quintet"
        assert set(body) == {"status", "service", "version", "environment", "timestamp"}


def test_ready_names_only_configured_dependencies(suite):
    for path in ("/ready", "/health/ready"):
        answer = suite.get(path)
        assert answer.status == 200
        assert answer.json["status"] == "ready"
        assert answer.json["checks"] == {"database": True, "datafeed": True, "disk": True, "demo": True}


def test_one_service_and_unknown_ones(suite):
    body = suite.get("/health/database").json
    assert body["status"] == "healthy" and body["latency_ms"] >= 0
    assert suite.get("/health/database/status").status == 200
    assert suite.get("/health/redis").json["status"] == "skipped"
    assert suite.get("/health/no-such-service").status == 404


@pytest.fixture(scope="module")
def outside():
    """A port that answers, a port that is closed, one that accepts and says nothing, a path."""
    listener = socket.create_server(("127.0.0.1", 0))
    silent = socket.create_server(("127.0.0.1", 0))
    closed = socket.create_server(("127.0.0.1", 0))
    closed_port = closed.getsockname()[1]
    closed.close()
    yield {"open": listener.getsockname()[1], "silent": silent.getsockname()[1], "closed": closed_port}
    listener.close()
    silent.close()


@pytest.fixture
def probing(suite, outside):
    return suite.start({
        "HEALTH_SERVICES": f"alive=tcp://127.0.0.1:{outside['open']},dead=tcp://127.0.0.1:{outside['closed']},"
                           f"mute=redis://127.0.0.1:{outside['silent']},page=http://127.0.0.1:{outside['silent']}/x",
        "HEALTH_PROBE_INTERVAL": "1", "API_KEYS": "sk-admin-00000000"})


def test_an_optional_failure_degrades_but_stays_200(probing):
    began = time.monotonic()
    answer = probing.get("/health/ready")
    assert time.monotonic() - began < 3
    assert answer.status == 200 and answer.json["status"] == "degraded"
    checks = answer.json["checks"]
    assert checks["alive"] is True and checks["dead"] is False and checks["mute"] is False and checks["page"] is False


def test_error_texts_are_for_administrators_only(probing):
    public = probing.get("/health/all")
    assert public.json["status"] == "degraded"
    assert "error" not in public.json["checks"]["dead"] and b"127.0.0.1" not in public.body
    private = probing.get("/health/all", headers={"X-API-Key": probing.admin_key()})
    assert private.json["checks"]["dead"]["error"] == "cannot connect"


def test_background_probes_leave_history_and_errors(probing):
    def told():
        history = probing.get("/health/latency-history/alive?hours=1").json
        errors = probing.get("/health/service-errors/dead?limit=5").json
        return len(history["latencies"]) >= 2 and len(errors) >= 2 and (history, errors)

    history, errors = wait_until(told, 15)
    assert len(history["timestamps"]) == len(history["latencies"]) >= 2
    assert set(errors[0]) == {"timestamp", "message", "service"} and len(errors) <= 5
    assert probing.get("/health/latency-history/alive?hours=0").status == 422
    assert probing.get("/health/service-errors/nothing").status == 404
    assert probing.metrics()['service_health_status{service_name="dead"}'] == 0
    assert probing.metrics()['service_health_status{service_name="alive"}'] == 1


def test_retest_is_for_administrators(probing):
    assert probing.post("/health/retest/alive").status == 401
    assert probing.post("/health/retest/alive", token=probing.token()).status == 403
    answer = probing.post("/health/retest/alive", headers={"X-API-Key": probing.admin_key()})
    assert answer.json["success"] is True and answer.json["latency"] >= 0


def test_cost_tracking_needs_credentials_and_tells_the_callers_costs(suite):
    assert suite.get("/health/cost-tracking").status == 401
    body = suite.get("/health/cost-tracking", token=suite.token()).json
    assert body == {"total_cost": 0, "cost_today": 0, "cost_this_month": 0, "by_provider": {}}


@pytest.mark.parametrize("value", ["x", "a=ftp://x", "a=tcp://", "=tcp://a:1", "ready=tcp://a:1", "a=tcp://a:1,a=tcp://b:1"])
def test_a_bad_service_list_refuses_to_start(suite, value):
    program = suite.state / "run" / "programs" / "health.fcgi"
    done = subprocess.run([program], env={"HEALTH_SERVICES": value, "STATE_DIR": str(suite.state), "QUINTET_CONFIG": "/dev/null",
                                          "GATEWAY_INTERFACE": "CGI/1.1"}, capture_output=True, text=True, timeout=20)
    assert done.returncode == 78
    assert done.stderr.count("\n") == 1 and "HEALTH_SERVICES" in done.stderr


# --- Metrics ------------------------------------------------------------------------------------

def test_promtool_accepts_the_text(suite):
    suite.get("/auth/me")
    promtool = shutil.which("promtool")
    assert promtool, "promtool is part of script/bootstrap"
    done = subprocess.run([promtool, "check", "metrics"], input=suite.get("/metrics").body, capture_output=True)
    assert done.returncode == 0, done


def test_the_openmetrics_parser_accepts_the_other_format(suite):
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
    answer = suite.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    text = answer.body.decode()
    assert text.endswith("# EOF\n")
    families = {family.name for family in text_string_to_metric_families(text)}
    assert {"http_requests", "http_request_duration_seconds", "process_resident_memory_bytes"} <= families


def test_gzip_when_asked(suite):
    answer = suite.get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert b"http_requests_total" in gzip.decompress(answer.body)


def test_no_series_appears_twice(suite):
    lines = [line.rsplit(" ", 1)[0] for line in suite.get("/metrics").body.decode().splitlines() if not line.startswith("#")]
    assert len(lines) == len(set(lines))


def test_ten_thousand_random_paths_add_nothing(suite):
    suite.get("/auth/none")
    before = len(suite.metrics())
    for number in range(300):
        assert suite.get(f"/auth/random/{number}/{number}/{number}").status == 404
    assert len(suite.metrics()) <= before + 3


def test_metrics_stand_alone_on_their_own_port(suite):
    assert suite.get("/metrics", port=suite.metrics_port).status == 200
    assert suite.get("/auth/me", port=suite.metrics_port).status == 404
    assert suite.get("/health", port=suite.metrics_port).status == 404


def test_a_token_guards_metrics_when_set(suite):
    private = suite.start({"METRICS_TOKEN": "scrape-token-0000"})
    assert private.get("/metrics").status == 401
    for wrong in ("wrong", "scrape-token-0001", "scrape-token-000", "scrape-token-00000", "SCRAPE-TOKEN-0000"):
        assert private.get("/metrics", token=wrong).status == 401, wrong
    assert private.get("/metrics", token="scrape-token-0000").status == 200


def test_counters_do_not_fall_when_a_program_is_killed(suite):
    private = suite.start()
    for _ in range(20):
        private.get("/auth/me")
    name = 'http_requests_total{method="GET",endpoint="/auth/me",status_code="401"}'
    before = private.metrics()[name]
    assert before == 20
    (pid,) = private.pids("auth")
    os.kill(pid, signal.SIGKILL)
    assert private.metrics()[name] >= before
    wait_until(lambda: private.get("/auth/me").status == 401)
    assert private.metrics()[name] >= before + 1
    assert private.metrics()['http_requests_in_progress{method="GET",endpoint="/auth/me"}'] == 0
