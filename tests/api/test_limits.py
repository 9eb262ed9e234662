"""Rate limits as clients see them, over all processes of a host."""
import concurrent.futures
import json
import os
import signal
import socket
import uuid

import pytest

from suite import wait_until

LIMITED = {"RATE_LIMIT_ENABLED": "true"}
WRONG = {"email": "nobody@example.com", "password": "wrong password"}


def test_the_eleventh_login_in_a_minute_is_429_with_the_documented_body(suite):
    private = suite.start(LIMITED)
    answers = [private.post("/auth/login", WRONG) for _ in range(11)]
    assert [answer.status for answer in answers] == [401] * 10 + [429]
    refused = answers[-1]
    body = refused.json
    assert body["error"] == "rate_limit_exceeded" and body["code"] == "E020" and body["recoverable"] is True
    assert body["message"] == "Rate limit exceeded: 10 per 1 minute" == body["detail"]
    # A request counts until its whole sub-bucket (a 59th of the window) has left the window.
    assert 1 <= body["retry_after"] <= 62 and refused.headers["retry-after"] == str(body["retry_after"])
    assert refused.headers["x-ratelimit-limit"] == "10" and refused.headers["x-ratelimit-remaining"] == "0"
    assert 1 <= int(refused.headers["x-ratelimit-reset"]) <= 62
    assert "q=10;w=60" in refused.headers["ratelimit-policy"] and "r=0;t=" in refused.headers["ratelimit"]


def test_successful_answers_count_down(suite):
    private = suite.start(LIMITED)
    token = private.token()
    left = [int(private.get("/auth/me", token=token).headers["x-ratelimit-remaining"]) for _ in range(3)]
    assert left == [9, 8, 7]


def test_health_and_metrics_are_exempt(suite):
    private = suite.start(LIMITED)
    for path in ("/health", "/health/live", "/health/ready", "/ready", "/metrics"):
        assert {private.get(path).status for _ in range(70)} == {200}


def test_people_behind_one_address_do_not_starve_each_other(suite):
    private = suite.start({**LIMITED, "RATE_LIMIT_CHARTS": "5/minute"})
    tokens = [private.token() for _ in range(3)]
    for token in tokens:
        statuses = [private.get("/api/charts", token=token).status for _ in range(6)]
        assert statuses == [200] * 5 + [429]


def test_a_guessed_key_buys_no_new_bucket(suite):
    private = suite.start({**LIMITED, "RATE_LIMIT_CHARTS": "5/minute"})
    statuses = [private.get("/api/charts", headers={"X-API-Key": uuid.uuid4().hex}).status for _ in range(7)]
    assert statuses == [401] * 5 + [429] * 2


def login_with(suite, *headers):
    body = json.dumps(WRONG).encode()
    lines = ["POST /auth/login HTTP/1.1", "Host: x", "Content-Type: application/json",
             f"Content-Length: {len(body)}", "Connection: close", *headers]
    with socket.create_connection(("127.0.0.1", suite.port), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return int(connection.recv(65536)[9:12])


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("name", ["X_Forwarded_For", "X.Forwarded.For", "x-forwarded_for", "X~Forwarded-For"])
def test_a_look_alike_of_the_forwarding_header_buys_no_new_bucket(suite, name, is_first):
    """Servers make one variable of "X-Forwarded-For" and its look-alikes; proxies set the first only."""
    private = suite.start({**LIMITED, "RATE_LIMIT_AUTH": "3/minute", "TRUSTED_PROXIES": "127.0.0.1"})
    statuses = []
    for number in range(6):
        headers = [f"{name}: 192.0.2.{number}", "X-Forwarded-For: 198.51.100.1"]
        statuses.append(login_with(private, *headers[:: 1 if is_first else -1]))
    assert statuses == [401] * 3 + [429] * 3
    # Whom nobody imitates has a budget of his own, in as many lines as it takes to name him.
    assert login_with(private, "X-Forwarded-For: 203.0.113.7", "X-Forwarded-For: 198.51.100.9") == 401


def test_parallel_requests_admit_exactly_the_limit(suite):
    private = suite.start({**LIMITED, "RATE_LIMIT_CHARTS": "60/minute"})
    token = private.token()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: private.get("/api/charts", token=token).status, range(120)))
    assert statuses.count(200) == 60 and statuses.count(429) == 60


def test_tiers_give_keys_their_own_limit(suite):
    private = suite.start({**LIMITED, "RATE_LIMIT_CHARTS": "2/minute", "API_KEYS": "sk-premium-aaaaaaaa,sk-basic-aaaaaaaaa",
                           "API_KEY_TIERS": '{"sk-premium-*":"premium"}', "RATE_LIMIT_TIERS": '{"premium":"6/minute"}'})
    count = lambda key: [private.get("/api/charts", headers={"X-API-Key": key}).status for _ in range(8)].count(200)
    assert count("sk-premium-aaaaaaaa") == 6
    assert count("sk-basic-aaaaaaaaa") == 2


@pytest.mark.parametrize("strategy", ["moving-window", "fixed-window", "gcra"])
def test_each_strategy_refuses_the_request_after_the_last(suite, strategy):
    private = suite.start({**LIMITED, "RATE_LIMIT_STRATEGY": strategy, "RATE_LIMIT_CHARTS": "4/hour;100/day"})
    token = private.token()
    assert [private.get("/api/charts", token=token).status for _ in range(5)] == [200] * 4 + [429]


def test_limits_survive_a_restart_of_the_program(suite):
    private = suite.start({**LIMITED, "RATE_LIMIT_CHARTS": "5/hour"})
    token = private.token()
    assert [private.get("/api/charts", token=token).status for _ in range(5)] == [200] * 5
    (pid,) = private.pids("charts")
    os.kill(pid, signal.SIGKILL)

    def is_limited():
        status = private.get("/api/charts", token=token).status
        assert status != 200
        return status == 429

    wait_until(is_limited)
