"""What the web server in front refuses by itself is answered like everything else: in the documented
body, with the security headers and a correlation id."""
import os
import signal
import socket

import pytest

from test_pipeline import UUID4

JSON = b"Content-Type: application/json\r\n"
HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "x-frame-options": "DENY",
           "content-security-policy": "default-src 'none'; frame-ancestors 'none'", "cache-control": "no-store"}


def exchange(port, request, seconds=10):
    """Status, headers and body of what `request`, byte for byte, is answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(request)
        data = b""
        while chunk := connection.recv(65536):
            data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin1").split("\r\n")
    headers = dict(line.lower().split(": ", 1)[:1] + line.split(": ", 1)[1:] for line in lines[1:])
    return int(lines[0].split()[1]), headers, body


def head(method="GET", path="/health", more=b"", host=b"Host: x\r\n"):
    return f"{method} {path} HTTP/1.1\r\n".encode() + host + more + b"Connection: close\r\n\r\n"


REFUSED = {
    "no HTTP": (b"GARBAGE\r\n\r\n", 400, "invalid_request"),
    "no host": (head(host=b""), 400, "invalid_request"),
    "odd host": (head(host=b"Host: a b/<\r\n"), 400, "invalid_request"),
    "NUL in the path": (head(path="/health%00"), 400, "invalid_request"),
    "NUL in a header": (head(more=b"X-A: b\0c\r\n"), 400, "invalid_request"),
    "bare CR in a header": (head(more=b"X-Correlation-ID: a\rX-Evil: b\r\n"), 400, "invalid_request"),
    "path that is not UTF-8": (head(path="/auth/%ff"), 400, "invalid_request"),
    "unknown method": (head("FOO"), 400, "invalid_request"),
    "unknown version": (b"GET /health HTTP/9.9\r\n\r\n", 400, "invalid_request"),
    "headers of 17 KB": (head(more=b"X-A: " + b"a" * 17000 + b"\r\n"), 431, "request_header_too_large"),
    "length beyond all limits": (head("POST", "/auth/login", JSON + b"Content-Length: 200000000\r\n"),
                                 413, "request_too_large"),
    "two lengths": (head("POST", "/auth/login", JSON + b"Content-Length: 2\r\nContent-Length: 44\r\n") + b"{}",
                    400, "invalid_request"),
    "length and chunks": (head("POST", "/auth/login", JSON + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n")
                          + b"2\r\n{}\r\n0\r\n\r\n", 400, "invalid_request"),
    "unknown transfer coding": (head("POST", "/auth/login", JSON + b"Transfer-Encoding: xchunked\r\n")
                                + b"2\r\n{}\r\n0\r\n\r\n", 400, "invalid_request"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_web_server_refuses_has_the_documented_body_and_headers(suite, name):
    request, status, word = REFUSED[name]
    answered, headers, body = exchange(suite.port, request)
    assert answered == status, body
    assert f'"error":"{word}"'.encode() in body and b"<html" not in body
    assert UUID4.match(headers["x-correlation-id"]) and headers["x-request-id"] == headers["x-correlation-id"]
    assert {key: headers.get(key) for key in HEADERS} == HEADERS


def test_a_program_that_is_away_is_503_with_the_documented_body(suite):
    private = suite.start()
    (pid,) = private.pids("charts")
    os.kill(pid, signal.SIGSTOP)
    try:
        (private.state / "run" / "charts.sock-0").rename(private.state / "run" / "moved")
        answer = private.get("/api/charts")
        assert answer.status == 503 and answer.json["error"] == "service_overloaded"
        assert answer.headers["retry-after"] and UUID4.match(answer.headers["x-correlation-id"])
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_client_cannot_ask_for_a_refusal(suite):
    assert suite.get("/health", headers={"Redirect-Status": "403", "REDIRECT_STATUS": "403"}).status == 200


def test_an_upgrade_is_not_followed(suite):
    """Through a proxy that hands Upgrade on, requests on the upgraded connection would pass its rules."""
    upgrade = b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    with socket.create_connection(("127.0.0.1", suite.port), timeout=10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n" + upgrade + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_answers_are_whole_whatever_range_is_asked_for(suite):
    answer = suite.get("/health", headers={"Range": "bytes=0-3"})
    assert answer.status == 200 and answer.json["status"]


def test_the_metrics_port_answers_404_to_everything_else(suite):
    for path in ("/", "/health", "/auth/me", "/metricsx"):
        answer = suite.get(path, port=suite.metrics_port)
        assert answer.status == 404 and answer.json["error"] == "not_found", path
        assert UUID4.match(answer.headers["x-correlation-id"])
    assert suite.get("/metrics/", port=suite.metrics_port).status == 200


def test_lighttpd_routes_by_the_prefixes_and_the_metrics_path_of_the_settings(suite):
    private = suite.start({"METRICS_PATH": "/internal/prom", "API_PREFIXES": "/api/v2,/x.y"})
    for prefix in ("", "/api/v2", "/x.y"):
        for path, status in (("/auth/me", 401), ("/v1/models", 401), ("/api/charts", 401), ("/health", 200),
                             ("/internal/prom", 200), ("/internal/prom/", 200), ("/metrics", 404)):
            assert private.get(prefix + path).status == status, prefix + path
    for path in ("/api/v1/auth/me", "/xzy/auth/me", "/api/v2/api/v2/auth/me"):
        assert private.get(path).status == 404, path
    assert private.get("/internal/prom", port=private.metrics_port).status == 200
