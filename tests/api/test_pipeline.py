"""What every program does with every request: ids, hosts, CORS, routes, bodies, errors, headers."""
import gzip
import http.client
import json
import re
import socket
import urllib.parse

import pytest

from suite import wait_until

UUID4 = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
PROGRAM_PATHS = ["/health", "/auth/me", "/v1/models", "/api/charts", "/metrics"]


@pytest.mark.parametrize("path", PROGRAM_PATHS)
def test_every_answer_carries_a_correlation_id_under_both_names(suite, path):
    answer = suite.get(path)
    assert UUID4.match(answer.headers["x-correlation-id"])
    assert answer.headers["x-request-id"] == answer.headers["x-correlation-id"]


@pytest.mark.parametrize("name", ["X-Correlation-ID", "X-Request-ID"])
def test_a_well_formed_inbound_id_is_kept(suite, name):
    answer = suite.get("/auth/me", headers={name: "Abc-1.2_3"})
    assert answer.headers["x-correlation-id"] == "Abc-1.2_3"
    assert answer.json["correlation_id"] == "Abc-1.2_3"


@pytest.mark.parametrize("bad", ["a" * 129, "has space", "semi;colon", "ümlaut".encode().decode("latin1")])
def test_a_malformed_inbound_id_is_replaced(suite, bad):
    assert UUID4.match(suite.get("/health", headers={"X-Correlation-ID": bad}).headers["x-correlation-id"])


@pytest.mark.parametrize("path", PROGRAM_PATHS + ["/auth/nothing-here"])
def test_security_headers_are_on_every_answer(suite, path):
    headers = suite.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["cache-control"] == "no-store"
    assert "strict-transport-security" not in headers
    assert "x-xss-protection" not in headers


@pytest.mark.parametrize("path", ["/auth/nothing", "/health/a/b/c/d", "/chat/nothing/here", "/api/charts/a/b/c/d/e/f"])
def test_unknown_path_is_404_in_the_documented_body(suite, path):
    answer = suite.get(path)
    assert answer.status == 404
    body = answer.json
    assert body["error"] == "not_found" and body["code"] == "E007"
    assert body["detail"] == body["message"]
    assert body["recoverable"] is False and body["retry_after"] is None
    assert re.match(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", body["timestamp"])


def test_wrong_method_is_405_with_allow(suite):
    answer = suite.request("PUT", "/auth/login", {})
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"
    assert answer.json["error"] == "method_not_allowed"


def test_head_answers_wherever_get_does_without_a_body(suite):
    answer = suite.request("HEAD", "/health")
    assert answer.status == 200 and answer.body == b""


def test_a_trailing_slash_is_accepted(suite):
    assert suite.get("/health/").status == 200


def test_every_route_answers_under_the_api_prefix(suite):
    assert suite.get("/api/v1/health").status == 200
    assert suite.get("/api/v1/auth/me").status == 401


def test_problem_json_is_answered_when_asked_for(suite):
    answer = suite.post("/auth/login", {}, headers={"Accept": "application/problem+json"})
    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json
    assert body["status"] == 422 and isinstance(body["detail"], str)
    assert {error["pointer"] for error in body["errors"]} == {"#/email", "#/password"}
    assert body["error"] == "missing_required_field"


@pytest.mark.parametrize("accept, kind", [
    ("Application/Problem+JSON", "problem"), ("application/problem+json;q=0", "plain"),
    ("application/problem+jsonx", "plain"), ("application/json, application/problem+json", "problem"),
    ("application/json, application/problem+json;q=0.5", "plain"),
    ("application/json;q=0.1, application/problem+json;q=0.9", "problem"),
    ("text/plain;x=\"application/problem+json\"", "plain"), ("*/*", "plain"), ("application/*", "plain")])
def test_accept_chooses_the_dialect_of_an_error(suite, accept, kind):
    answer = suite.get("/auth/me", headers={"Accept": accept})
    assert answer.headers["content-type"] == {"problem": "application/problem+json", "plain": "application/json"}[kind]
    assert ("status" in answer.json) == (kind == "problem")


def test_v1_errors_have_openai_shape(suite):
    answer = suite.get("/v1/models")
    assert answer.status == 401
    error = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert answer.headers["x-should-retry"] == "false"


def test_422_lists_fields_and_never_echoes_values(suite):
    answer = suite.post("/auth/register", {"email": "not-an-address-4711", "password": "short"})
    assert answer.status == 422
    assert b"4711" not in answer.body and b'"short"' not in answer.body
    located = {tuple(entry["loc"]) for entry in answer.json["detail"]}
    assert located == {("body", "email"), ("body", "password")}
    assert all(set(entry) == {"loc", "msg", "type"} for entry in answer.json["detail"])


# --- CORS ---------------------------------------------------------------------------------------

PREFLIGHT = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST",
             "Access-Control-Request-Headers": "authorization,content-type,x-evil"}


def test_preflight_is_answered_before_authentication(suite):
    answer = suite.request("OPTIONS", "/auth/me", headers=PREFLIGHT)
    assert answer.status == 204 and answer.body == b""
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type"
    assert answer.headers["access-control-max-age"] == "600"


def test_preflight_of_a_foreign_origin_is_403(suite):
    answer = suite.request("OPTIONS", "/auth/me", headers={**PREFLIGHT, "Origin": "http://evil.example"})
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers


def test_foreign_origin_is_served_without_cors_headers(suite):
    answer = suite.get("/health", headers={"Origin": "http://evil.example"})
    assert answer.status == 200
    assert "access-control-allow-origin" not in answer.headers
    assert "Origin" in answer.headers["vary"]


def test_allowed_origin_is_echoed_on_errors_too(suite):
    answer = suite.get("/auth/me", headers={"Origin": "http://localhost:8501"})
    assert answer.status == 401
    assert answer.headers["access-control-allow-origin"] == "http://localhost:8501"
    assert "X-Correlation-ID" in answer.headers["access-control-expose-headers"]


# --- Bodies -------------------------------------------------------------------------------------

MALFORMED = [b"", b"{", b"{]", b"nul", b"{}x", b"{} {}", b'{"a":1,}', b'{"a":01}', b'{"a":NaN}', b'{"a":1e999}x',
             b'{"email":"a","email":"b"}', b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\x01"}', b"{'a':1}",
             b'{"a":"\\x"}', b"/* c */{}", b"\xef\xbb\xbf{}",
             b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", b"[" * 100000]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_json_is_400_and_stores_nothing(suite, body):
    answer = suite.request("POST", "/auth/register", raw=body, headers={"Content-Type": "application/json"})
    assert answer.status == 400, answer
    assert answer.json["code"] == "E001"


# A body that is accepted but for the one member that the case replaces.
TEXTS = [("POST", "/auth/register", {"email": "a@b.example", "password": "correct horse battery", "name": "Ada",
                                     "username": "ada_of_the_nulls"}),
         ("POST", "/auth/login", {"password": "correct horse battery"}),
         ("POST", "/auth/refresh", {"refresh_token": "x"}), ("POST", "/auth/validate", {"token": "x"}),
         ("PATCH", "/auth/me", {"name": "Ada", "username": "ada_of_the_nulls"}),
         ("POST", "/auth/change-password", {"current_password": "x", "new_password": "correct horse battery"}),
         ("POST", "/auth/api-keys", {"name": "a key", "scopes": "chart.read"}),
         ("POST", "/chat", {"session_id": "s", "message": "hello", "model": "demo/echo"}),
         ("POST", "/chat/stream", {"session_id": "s", "message": "hello", "model": "demo/echo"})]


@pytest.mark.parametrize("value", [None, "a\0b", 7, ["a"]], ids=["null", "nul", "number", "list"])
@pytest.mark.parametrize("method,path,body", TEXTS, ids=[path for _, path, _ in TEXTS])
def test_what_is_no_text_is_422_where_a_text_belongs(suite, method, path, body, value):
    token = suite.token()
    for name in body:
        answer = suite.request(method, path, {**body, name: value}, token=token)
        assert answer.status == 422, (name, answer)
        assert name in [error["loc"][-1] for error in answer.json["detail"]], (name, answer)


def test_a_coded_body_is_415(suite):
    answer = suite.request("POST", "/auth/login", raw=gzip.compress(b"{}"),
                           headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})
    assert answer.status == 415 and answer.json["code"] == "E009"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
def test_other_media_types_are_415(suite, kind):
    answer = suite.request("POST", "/auth/login", raw=b"{}", headers={"Content-Type": kind})
    assert answer.status == 415


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"])
def test_json_media_type_with_or_without_charset(suite, kind):
    assert suite.request("POST", "/auth/login", raw=b"{}", headers={"Content-Type": kind}).status == 422


def padded(size):
    return b'{"token":"' + b"a" * (size - 12) + b'"}'


def test_a_body_of_exactly_the_limit_is_accepted(suite):
    answer = suite.request("POST", "/auth/validate", raw=padded(1 << 20), headers={"Content-Type": "application/json"})
    assert answer.status == 422  # read and judged: the token is too long


def test_one_byte_more_is_413(suite):
    answer = suite.request("POST", "/auth/validate", raw=padded((1 << 20) + 1),
                           headers={"Content-Type": "application/json"})
    assert answer.status == 413 and answer.json["code"] == "E006"


def chunked(suite, body):
    connection = http.client.HTTPConnection("127.0.0.1", suite.port, timeout=30)
    pieces = (body[at:at + 65536] for at in range(0, len(body), 65536))
    connection.request("POST", "/auth/validate", pieces, {"Content-Type": "application/json"}, encode_chunked=True)
    response = connection.getresponse()
    answer = (response.status, response.read())
    connection.close()
    return answer


def test_chunked_bodies_have_the_same_limit(suite):
    assert chunked(suite, b'{"token":"x"}')[0] == 200
    assert chunked(suite, padded((1 << 20) + 1))[0] == 413


def test_a_content_length_that_lies_gets_no_answer_of_success(suite):
    with socket.create_connection(("127.0.0.1", suite.port), timeout=10) as raw:
        raw.sendall(b"POST /auth/validate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    b"Content-Length: 100\r\nConnection: close\r\n\r\n{\"token\":\"x\"}")
        raw.shutdown(socket.SHUT_WR)
        data = raw.recv(65536)
    assert not data.startswith(b"HTTP/1.1 2"), data
    assert suite.get("/health").status == 200


def test_a_query_that_is_not_utf8_is_400(suite):
    assert suite.get("/health/all?x=%ff").status == 400


# --- Hosts and HTTPS ----------------------------------------------------------------------------

def test_only_allowed_hosts_are_served(suite):
    private = suite.start({"ALLOWED_HOSTS": "127.0.0.1,*.example.com"})
    assert private.get("/auth/me", headers={"Host": "api.example.com:80"}).status == 401
    assert private.get("/auth/me", headers={"Host": "example.com"}).status == 400
    assert private.get("/auth/me", headers={"Host": "evil.example"}).status == 400


def test_probes_and_scrapers_need_neither_a_host_nor_https(suite):
    """An orchestrator probes by address and a scraper comes on the plain metrics port."""
    private = suite.start({"ALLOWED_HOSTS": "api.example.com,127.0.0.1", "HTTPS_REDIRECT": "true"})
    for path in ("/health", "/health/live", "/health/ready", "/ready", "/metrics", "/api/v1/health/live"):
        assert private.get(path, headers={"Host": "10.0.0.7:8000"}).status == 200, path
    assert private.get("/metrics", port=private.metrics_port, headers={"Host": "10.0.0.7"}).status == 200
    assert private.get("/nothing", port=private.metrics_port, headers={"Host": "10.0.0.7"}).status == 404
    assert private.get("/auth/me", headers={"Host": "10.0.0.7:8000"}).status == 400
    answer = private.get("/auth/me?a=b", headers={"Host": "api.example.com"})
    assert answer.status == 308 and answer.headers["location"] == "https://api.example.com/auth/me?a=b"


def test_forwarded_for_counts_only_from_a_trusted_proxy(suite):
    trusting = suite.start({"TRUSTED_PROXIES": "127.0.0.0/8,10.0.0.0/8"})
    trusting.get("/auth/me", headers={"X-Forwarded-For": "6.6.6.6, 203.0.113.9, 10.1.1.1",
                                      "X-Correlation-ID": "forwarded-1"})
    suite.get("/auth/me", headers={"X-Forwarded-For": "203.0.113.9", "X-Correlation-ID": "forwarded-2"})
    seen = {line["correlation_id"]: line["client"] for line in trusting.log_lines() + suite.log_lines()
            if (line.get("correlation_id") or "").startswith("forwarded-") and "client" in line}
    assert seen == {"forwarded-1": "203.0.113.9", "forwarded-2": "127.0.0.1"}


def test_https_headers_come_from_a_trusted_proxy_only(suite):
    trusting = suite.start({"TRUSTED_PROXIES": "127.0.0.1"})
    secure = {"X-Forwarded-Proto": "https"}
    assert "strict-transport-security" in trusting.get("/health", headers=secure).headers
    assert "strict-transport-security" not in suite.get("/health", headers=secure).headers


# --- Logs ---------------------------------------------------------------------------------------

def test_each_outcome_is_one_log_line_with_its_id(suite):
    suite.get("/auth/me", headers={"X-Correlation-ID": "logged-401"})
    suite.get("/auth/nope?api_key=secret-in-query", headers={"X-Correlation-ID": "logged-404"})

    def logged():
        found = {line["correlation_id"]: line for line in suite.log_lines()
                 if line.get("correlation_id") in ("logged-401", "logged-404")}
        return len(found) == 2 and found

    lines = wait_until(logged, 5)
    line = lines["logged-401"]
    assert line["message"] == "request_completed" and line["status_code"] == 401
    assert line["method"] == "GET" and line["path"] == "/auth/me" and line["duration_ms"] >= 0
    assert {"timestamp", "level", "logger", "client"} <= set(line)
    assert "secret-in-query" not in json.dumps(lines["logged-404"])


@pytest.mark.parametrize("byte", ['"', "\\", "a", "é"])
def test_no_path_hides_who_sent_it_from_the_log(suite, byte):
    marker = f"long-path-{ord(byte)}"
    path = urllib.parse.quote("/" + byte * (1200 if byte == "é" else 5000), safe='/"\\')
    status = 400 if byte == "\\" else 404
    assert suite.get(path, headers={"X-Correlation-ID": marker}).status == status
    line = next(line for line in suite.log_lines() if line.get("correlation_id") == marker)
    assert line["status_code"] == status and line["client"] == "127.0.0.1" and line["duration_ms"] >= 0
    assert line["path"].startswith("/" + byte * 500)


def test_secrets_never_reach_a_log(suite):
    person = suite.register(password="unlikely-password-4711")
    suite.post("/auth/login", {"email": person["email"], "password": "unlikely-password-4712"})
    suite.post("/auth/refresh", {"refresh_token": person["refresh_token"]})
    suite.get("/auth/me", token=person["access_token"])
    text = suite.logs() + "".join(json.dumps(line) for line in suite.log_lines())
    for secret in ["unlikely-password", person["refresh_token"], person["access_token"], suite.jwt_secret]:
        assert secret not in text
