"""What the programs promise behind every web server. A test module of a server has a class that
inherits these and a fixture `server`."""
import collections
import http.client
import json
import re
import socket
import time
import uuid

import yaml

from suite import ROOT, wait_until

LIMIT = 1 << 20
JSON = {"Content-Type": "application/json"}


def chat_stream(words, model="demo/slow"):
    """(path, body) of the two kinds of stream, of so many words and the demo's own, which `slow`
    says at ten a second."""
    text = " ".join(f"word{number}" for number in range(words))
    return {
        "chat": ("/chat/stream", {"session_id": "servers", "message": text, "model": model}),
        "completions": ("/v1/chat/completions",
                        {"model": model, "stream": True,
                         "messages": [{"role": "user", "content": text}]}),
    }


def events(response):
    """(seconds since the call, data) of each event, as they arrive."""
    start = time.monotonic()
    while line := response.readline():
        if line.startswith(b"data:"):
            yield time.monotonic() - start, line[5:].strip()


ODD_ENDS = ("%2F..", "/..", "/%2e%2e/x", "/.%2E", "//x", "%00", "/%ff", "%5c..", "/./x", "/%2E")


def routes():
    """Every path of docs/openapi.yaml with values in it, and some under a prefix."""
    paths = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())["paths"]
    found = [re.sub(r"\{\w+\}", "0", path) for path in paths]
    return found + ["/api/v1" + path for path in found[::5]]


def padded(size):
    """A body of exactly that size for /auth/validate, which says 422 when it has read it."""
    return b'{"token":"' + b"a" * (size - 12) + b'"}'


def raw_exchange(port, request, seconds=10):
    """Everything a server answers to these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(request)
        answer = b""
        while data := connection.recv(65536):
            answer += data
        return answer


def check_silent_leave(server, stub):
    """A client leaves while there is nothing to send: its provider's work is cancelled at once.
    The heartbeat, which would notice it too, comes after 15 seconds."""
    path, body = chat_stream(1, "stub/stall")["completions"]
    connection, response = server.stream(path, body, token=server.token())
    seen = events(response)
    assert [b"Hello" in data for _, data in (next(seen), next(seen))] == [False, True]
    response.close()
    connection.close()
    left = time.monotonic()
    received = stub.last("stall")
    assert received.wait_for_client_gone(5) is not None
    assert received.client_gone_at - left < 2
    wait_until(lambda: server.metrics()["chat_streams_active"] == 0, 2)


def check_leave_of_a_whole_answer(server, stub):
    """The same for a client that waits for an answer in one piece, whose head it has not seen."""
    before = stub.count("silent")
    body = json.dumps({"model": "stub/silent", "messages": [{"role": "user", "content": "x"}]})
    headers = {**JSON, "Authorization": "Bearer " + server.token()}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", "/v1/chat/completions", body, headers)
    wait_until(lambda: stub.count("silent") > before, 5)
    left = time.monotonic()
    connection.close()
    received = stub.last("silent")
    assert received.wait_for_client_gone(5) is not None
    assert received.client_gone_at - left < 1


class Promises:
    leave_seconds = 2.0

    # --- Streams --------------------------------------------------------------------------------

    def check_arrival(self, server, kind):
        path, body = chat_stream(10)[kind]
        connection, response = server.stream(path, body, token=server.token())
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        arrived = [seconds for seconds, _ in events(response)]
        connection.close()
        pauses = [later - earlier for earlier, later in zip(arrived, arrived[1:])]
        assert len([pause for pause in pauses if pause > 0.05]) >= 5, arrived
        assert arrived[-1] - arrived[0] > 0.5

    def test_events_of_a_chat_stream_arrive_one_by_one(self, server):
        self.check_arrival(server, "chat")

    def test_chunks_of_a_streamed_completion_arrive_one_by_one(self, server):
        self.check_arrival(server, "completions")

    def test_a_stream_ends_with_its_last_event(self, server):
        token = server.token()
        for kind, last in (("chat", b"total_tokens"), ("completions", b"[DONE]")):
            path, body = chat_stream(3, "demo/echo")[kind]
            connection, response = server.stream(path, body, token=token)
            assert last in list(events(response))[-1][1]
            connection.close()

    def test_a_client_that_leaves_a_stream_is_noticed(self, server):
        token = server.token()
        for path, body in chat_stream(150).values():
            wait_until(lambda: server.metrics().get("chat_streams_active", 0) == 0)
            connection, response = server.stream(path, body, token=token)
            next(events(response))
            assert server.metrics()["chat_streams_active"] == 1
            response.close()
            connection.close()
            wait_until(lambda: server.metrics()["chat_streams_active"] == 0, self.leave_seconds)

    # --- What arrives ---------------------------------------------------------------------------

    def test_authorization_arrives(self, server):
        person = server.register()
        answer = server.get("/auth/me", token=person["access_token"])
        assert answer.status == 200 and answer.json["email"] == person["email"]
        assert server.get("/auth/me").status == 401

    def test_a_token_of_8_kilobytes_arrives(self, server):
        answer = server.get("/auth/me", token="x" * 8192)
        assert answer.status == 401 and answer.json["error"] == "invalid_credentials"

    def test_a_post_without_a_length_is_a_post_without_a_body(self, server):
        token = server.token()
        request = (f"POST /auth/logout HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                   f"Authorization: Bearer {token}\r\n\r\n").encode()
        assert raw_exchange(server.port, request).split(b" ", 2)[1] == b"200"
        assert raw_exchange(server.port, request).split(b" ", 2)[1] == b"401"
        assert server.get("/auth/me", token=token).status == 401

    def test_what_the_server_refuses_is_told_in_our_words_as_what_it_was(self, server):
        def refused(line, headers="", body=b""):
            mark = uuid.uuid4().hex
            answer = raw_exchange(server.port, (
                f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}"
                f"X-Correlation-ID: {mark}\r\n\r\n").encode() + body)
            head, _, text = answer.partition(b"\r\n\r\n")
            entries = [entry for entry in server.log_lines() if entry.get("correlation_id") == mark]
            return int(head.split(b" ")[1]), head.lower(), json.loads(text), entries[-1:]

        length = f"Content-Length: {200 << 20}\r\nContent-Type: application/json\r\n"
        status, head, body, logged = refused("PUT /auth/none", length)
        assert (status, body["error"]) in ((413, "request_too_large"), (404, "not_found"))
        assert b"x-content-type-options: nosniff" in head
        assert [(entry["method"], entry["path"]) for entry in logged] == [("PUT", "/auth/none")]
        status, head, body, logged = refused("POST /v1/chat/completions", length)
        assert (status, body["error"]["code"]) in ((413, "request_too_large"), (401, "auth_required"))
        assert [entry["path"] for entry in logged] == ["/v1/chat/completions"]

    def test_a_header_of_almost_4_kilobytes_arrives(self, server):
        token = server.token()
        assert server.get("/auth/me", token=token, headers={"X-Filler": "x" * 3900}).status == 200
        assert server.get("/auth/me", token="x" * 3900).status == 401

    def test_query_and_body_and_utf8_arrive(self, server):
        person = server.register(name="Ada ✓ Łovelace")
        assert person["user"]["name"] == "Ada ✓ Łovelace"
        answer = server.post("/auth/logout?all=perhaps", token=person["access_token"])
        assert answer.status == 422 and answer.json["detail"][0]["loc"] == ["query", "all"]
        assert server.post("/auth/logout?all=true", token=person["access_token"]).status == 200
        assert server.get("/auth/me", token=person["access_token"]).status == 401

    def test_every_route_answers_with_and_without_a_trailing_slash(self, server):
        for path in ("/health", "/health/live", "/ready", "/metrics"):
            assert server.get(path).status == 200, path
            assert server.get(path + "/").status == 200, path
        for path in ("/auth/me", "/v1/models", "/chat/models", "/api/charts"):
            assert server.get(path).status == 401, path
            assert server.get(path + "/").status == 401, path

    def test_an_encoded_slash_never_reaches_another_route_by_halves(self, server):
        assert server.get("/health%2Flive").status == 400
        answer = server.request("DELETE", "/auth/sessions/a%2Fb", token=server.token())
        assert answer.status == 400

    def test_an_encoded_nul_is_refused(self, server):
        assert server.get("/health%00").status == 400
        assert server.get("/health/live%00.txt").status == 400
        assert server.get("/health").status == 200

    def test_dot_segments_cannot_leave_a_prefix(self, server):
        request = b"GET /auth/../health/live HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"
        assert raw_exchange(server.port, request).split(b" ", 2)[1] == b"400"
        assert server.request("GET", "/health/%2e%2e/auth/me").status == 400

    def test_a_path_that_can_be_read_in_two_ways_is_400_on_every_route(self, server):
        """As the request line has it, whatever this server decodes, joins or takes out."""
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        statuses = collections.Counter()
        for route in routes():
            for odd in ODD_ENDS:
                connection.request("DELETE", route + odd)
                answer = connection.getresponse()
                body = answer.read()
                statuses[answer.status] += 1
                assert answer.status == 400 and b"invalid_request" in body, (route + odd, body)
                assert answer.headers["x-correlation-id"], route + odd
        connection.close()
        assert statuses[400] > 200

    # --- Bodies ---------------------------------------------------------------------------------

    def test_a_body_of_exactly_the_limit_arrives_and_one_byte_more_is_413(self, server):
        for size, status in ((LIMIT, 422), (LIMIT + 1, 413)):
            answer = server.request("POST", "/auth/validate", raw=padded(size), headers=JSON)
            assert answer.status == status, size
            assert answer.json["correlation_id"] == answer.headers["x-correlation-id"]

    def test_a_chunked_body_has_the_same_limit(self, server):
        def send(body):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            pieces = (body[at:at + 50000] for at in range(0, len(body), 50000))
            connection.request("POST", "/auth/validate", pieces, JSON, encode_chunked=True)
            response = connection.getresponse()
            answer = response.status, json.loads(response.read())
            connection.close()
            return answer

        assert send(b'{"token":"x"}') == (200, {"valid": False})
        assert send(padded(LIMIT))[0] == 422
        assert send(padded(LIMIT + 1))[0] == 413

    def test_an_empty_body_is_refused_by_the_program(self, server):
        answer = server.request("POST", "/auth/login", raw=b"", headers=JSON)
        assert answer.status == 400 and answer.json["code"] == "E001"

    # --- Answers --------------------------------------------------------------------------------

    def test_head_has_the_headers_of_get_and_no_body(self, server):
        got = server.get("/health")
        head = server.request("HEAD", "/health")
        assert head.status == 200 and head.body == b""
        assert head.headers["content-type"] == got.headers["content-type"]
        assert server.request("HEAD", "/auth/me").status == 401
        assert server.request("HEAD", "/health/nothing-here").status == 404

    def test_an_answer_without_a_body_is_whole(self, server):
        person = server.register()
        sessions = server.get("/auth/sessions", token=person["access_token"]).json["items"]
        answer = server.request("DELETE", f"/auth/sessions/{sessions[0]['id']}",
                                token=person["access_token"])
        assert answer.status == 204 and answer.body == b""

    def test_status_and_headers_of_a_refusal_pass_the_server(self, server):
        answer = server.get("/auth/me", headers={"X-Correlation-ID": "through-the-server"})
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["x-correlation-id"] == "through-the-server"
        answer = server.request("PATCH", "/auth/login", {})
        assert answer.status == 405 and answer.headers["allow"] == "POST"

    def test_the_largest_head_stays_below_4_kilobytes(self, server):
        answer = server.get("/auth/me", headers={"X-Correlation-ID": "c" * 128,
                                                 "Origin": "http://localhost:3000",
                                                 "Accept": "application/problem+json"})
        assert answer.headers["x-correlation-id"] == "c" * 128
        head = sum(len(name) + len(value) + 4 for name, value in answer.all_headers)
        assert head < 4096
