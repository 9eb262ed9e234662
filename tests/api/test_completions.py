"""POST /v1/chat/completions and GET /v1/models: OpenAI's format against providers that behave and
providers that do not (upstream_stub.MODES)."""
import concurrent.futures
import http.client
import json
import os
import pathlib
import signal
import sys
import time

import pytest

from chat_help import (HELLO, KEY, RawClient, UPSTREAM_KEY, chat, complete, data_of,  # noqa: F401
                       environment_for, events_of, get, ledger, stub, text_of)
from suite import despite_lighttpd, wait_until
from upstream_stub import TEXT, USAGE

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "servers"))

import fastcgi_client  # noqa: E402

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def assert_openai_error(answer, status, code=None, kind=None):
    assert answer.status == status, answer
    error = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    if code:
        assert error["code"] == code
    if kind:
        assert error["type"] == kind
    assert answer.headers["x-request-id"]
    assert answer.headers["x-should-retry"] in ("true", "false")


# --- what goes to the provider

def test_the_request_is_passed_on_as_it_was_written(chat, stub):
    raw = (b' {"temperature" : 1.0E+0,"x_unknown": {"deep":[1,2.50, -0.0]} ,\n "messages":[ {"role"'
           b':"user","content":"caf\\u00e9 \xc3\xa9"} ],"model":"stub/ok", "seed":12345678901234567890}')
    answer = chat.request("POST", "/v1/chat/completions", raw=raw, token=KEY,
                          headers={"Content-Type": "application/json; charset=utf-8"})
    assert answer.status == 200
    assert stub.last("ok").body == raw.replace(b"stub/ok", b"ok")


def test_a_stream_differs_only_by_asking_for_usage(chat, stub):
    raw = b'{"model":"stub/ok","stream":true,"messages":[{"role":"user","content":"x"}],"top_p":0.10}'
    chat.request("POST", "/v1/chat/completions", raw=raw, token=KEY,
                 headers={"Content-Type": "application/json"})
    expected = raw.replace(b"stub/ok", b"ok")[:-1] + b',"stream_options":{"include_usage":true}}'
    assert stub.last("ok").body == expected


def test_the_provider_gets_our_key_and_nothing_of_the_client(chat, stub):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    chat.post("/v1/chat/completions", {"model": "stub/ok", "messages": HELLO}, token=KEY,
              headers={"Cookie": "session=1", "traceparent": trace, "OpenAI-Organization": "o",
                       "User-Agent": "OpenAI/JS"})
    headers = stub.last("ok").headers
    assert headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("quintet/")
    assert headers["traceparent"] == trace
    assert set(headers) == {"host", "authorization", "content-type", "user-agent", "accept",
                            "traceparent", "content-length", "accept-encoding"}
    assert headers["accept-encoding"] == "identity"
    assert stub.last("ok").path == "/v1/chat/completions"


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize("parent,state,expected", [
    (TRACE, "x=y", "x=y"),
    (TRACE, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
    (TRACE, "a=" + 510 * "b", "a=" + 510 * "b"),
    (TRACE, "a=" + 511 * "b", None),
    (TRACE, "a=\u00e9", None),
    (None, "x=y", None),
    ("00-nonsense", "x=y", None),
])
def test_trace_state_goes_on_with_its_parent_only(chat, stub, parent, state, expected):
    headers = {"tracestate": state} | ({"traceparent": parent} if parent else {})
    answer = chat.post("/v1/chat/completions", {"model": "stub/ok", "messages": HELLO}, token=KEY,
                       headers=headers)
    assert answer.status == 200
    assert stub.last("ok").headers.get("tracestate") == expected


@pytest.mark.parametrize("key", ["bearer", "header", "token"])
def test_every_kind_of_credential_is_accepted(chat, key):
    headers = {"X-API-Key": KEY} if key == "header" else {}
    token = {"bearer": KEY, "token": None, "header": None}[key]
    if key == "token":
        token = chat.token()
    answer = chat.post("/v1/chat/completions", {"model": "stub/ok", "messages": HELLO},
                       headers=headers, token=token)
    assert answer.status == 200


@pytest.mark.parametrize("token", [None, "sk-wrong", "a.b.c"])
def test_others_are_refused_in_openais_shape(chat, token):
    answer = chat.post("/v1/chat/completions", {"model": "stub/ok", "messages": HELLO}, token=token)
    assert_openai_error(answer, 401, kind="authentication_error")
    assert answer.headers["x-should-retry"] == "false"


# --- what comes back

def test_a_whole_answer_comes_back_unchanged(chat, stub):
    answer = complete(chat, "stub/ok")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["choices"][0]["message"]["content"] == TEXT
    assert answer.json["usage"] == USAGE
    # Python's own spelling of JSON has blanks; they are still there.
    assert b'"id": "chatcmpl-stub", "object"' in answer.body


def test_a_stream_comes_back_chunk_by_chunk(chat):
    answer = complete(chat, "stub/ok", stream=True)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "no-cache" in answer.headers["cache-control"]
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["x-request-id"]
    frames = data_of(answer.body)
    assert frames[-1] == "[DONE]" and frames.count("[DONE]") == 1
    assert text_of(frames) == TEXT
    assert frames[-2]["choices"][0]["finish_reason"] == "stop"
    assert not any("usage" in frame for frame in frames[:-1])
    assert len({frame["id"] for frame in frames[:-1]}) == 1


@pytest.mark.parametrize("options", [
    {}, {"stream_options": None}, {"stream_options": {}}, {"stream_options": {"x": 1}},
    {"stream_options": {"include_usage": False}}, {"stream_options": {"include_usage": True}}],
    ids=str)
@pytest.mark.parametrize("model", ["ok", "tools", "logprobs", "usage-first", "usage-unasked"])
def test_a_stream_is_what_the_provider_would_have_sent_to_the_client_itself(chat, stub, model,
                                                                            options):
    """Byte for byte, though we ask for usage on our own account."""
    body = {"model": model, "messages": HELLO, "stream": True, **options}
    provider = http.client.HTTPConnection("127.0.0.1", stub.port, timeout=10)
    provider.request("POST", "/v1/chat/completions", json.dumps(body).encode())
    expected = provider.getresponse().read()
    provider.close()
    request_id = f"own-{time.monotonic_ns()}"
    answer = chat.post("/v1/chat/completions", {**body, "model": f"stub/{model}"}, token=KEY,
                       headers={"X-Request-ID": request_id})
    asks = (options.get("stream_options") or {}).get("include_usage")
    if model == "usage-unasked" and not asks:
        # What a provider tells of usage to everybody cannot be told from what we asked it for.
        expected = expected.replace(b', "usage": ' + json.dumps(USAGE).encode(), b"")
    assert answer.body == expected
    assert stub.last(model).json["stream_options"]["include_usage"] is True
    row, = ledger(chat, request_id)
    assert (row["input_tokens"], row["output_tokens"], row["is_estimated"]) == (11, 5, 0)


def test_the_usage_of_a_stream_is_told_to_who_asked(chat):
    for model in ("stub/ok", "stub/whole", "demo/echo"):
        answer = complete(chat, model, stream=True, stream_options={"include_usage": True})
        frames = data_of(answer.body)
        assert frames[-1] == "[DONE]"
        assert frames[-2]["choices"] == [] and frames[-2]["usage"]["prompt_tokens"] > 0
        assert all(frame["choices"] and frame["usage"] is None for frame in frames[:-2])


@pytest.mark.parametrize("model", ["stub/ok", "stub/whole", "demo/echo"])
def test_the_usage_of_a_stream_is_told_to_nobody_else(chat, model):
    frames = data_of(complete(chat, model, stream=True).body)
    assert all(frame["choices"] and "usage" not in frame for frame in frames[:-1])
    assert frames[-1] == "[DONE]"


def test_a_provider_that_is_not_asked_for_usage_is_not_mended_for_it(suite, stub):
    """Mistral refuses stream_options and tells the usage with the last chunk."""
    private = suite.start(environment_for(stub, MISTRAL_API_KEY="sk-m", MISTRAL_BASE_URL=stub.url))
    frames = data_of(complete(private, "mistral/usage-unasked", stream=True).body)
    assert "stream_options" not in stub.last("usage-unasked").json
    assert frames[-2]["usage"] == USAGE and frames[-2]["choices"]


def test_chunks_arrive_one_by_one(chat):
    client = RawClient(chat, "/v1/chat/completions",
                       {"model": "stub/drip:0.2", "messages": HELLO, "stream": True})
    times = []
    for number in range(5):
        client.read_until(b'"content": "%d "' % number)
        times.append(time.monotonic())
    client.leave()
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    assert all(0.1 < gap < 0.5 for gap in gaps), gaps


@pytest.mark.parametrize("model", ["bytes", "no-role", "no-done", "two", "whole", "keep-open"])
def test_odd_but_complete_streams_are_complete(chat, model):
    began = time.monotonic()
    frames = data_of(complete(chat, f"stub/{model}", stream=True).body)
    assert frames[-1] == "[DONE]"
    assert time.monotonic() - began < 2
    first = next(frame for frame in frames if frame["choices"])
    assert first["choices"][0]["delta"]["role"] == "assistant"
    assert all(frame["object"] == "chat.completion.chunk" for frame in frames[:-1])


def test_a_tool_call_is_the_same_streamed_and_whole(chat):
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {}}}]
    whole = complete(chat, "stub/tools", tools=tools).json["choices"][0]
    calls = {}
    frames = data_of(complete(chat, "stub/tools", stream=True, tools=tools).body)
    for frame in frames[:-1]:
        for delta in frame["choices"][0]["delta"].get("tool_calls", []) if frame["choices"] else []:
            call = calls.setdefault(delta["index"], {"arguments": ""})
            call.update({name: value for name, value in delta.items() if name == "id"})
            function = delta.get("function", {})
            call["name"] = function.get("name", call.get("name"))
            call["arguments"] += function.get("arguments", "")
    assert [calls[index] for index in sorted(calls)] == [
        {"id": call["id"], "name": call["function"]["name"],
         "arguments": call["function"]["arguments"]}
        for call in whole["message"]["tool_calls"]]
    assert whole["finish_reason"] == "tool_calls"
    assert frames[-2]["choices"][0]["finish_reason"] == "tool_calls"


@STREAMED
def test_the_demo_calls_tools_and_reads_their_results(chat, stream):
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {}}}]
    messages = [{"role": "user", "content": 'call get_weather {"city":"Paris"}'}]
    answer = complete(chat, "demo/echo", stream=stream, messages=messages, tools=tools)
    if stream:
        deltas = [frame["choices"][0]["delta"] for frame in data_of(answer.body)[:-1]]
        calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
        name, arguments = calls[0]["function"]["name"], "".join(
            call["function"]["arguments"] for call in calls)
    else:
        function = answer.json["choices"][0]["message"]["tool_calls"][0]["function"]
        name, arguments = function["name"], function["arguments"]
    assert (name, arguments) == ("get_weather", '{"city":"Paris"}')


def test_large_answers_pass(chat):
    size = 4 << 20
    answer = complete(chat, f"stub/large:{size}")
    assert answer.status == 200
    assert len(answer.json["choices"][0]["message"]["content"]) == size


@pytest.mark.parametrize("model", ["one-event", "large"])
def test_one_large_event_passes(chat, model):
    """More than a client that is slow may be behind."""
    size = 7 << 20
    answer = complete(chat, f"stub/{model}:{size}", stream=True)
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert text_of(data_of(answer.body)) == "x" * size


# --- failures before the first frame

FAILURES = [
    # model, status, code, type, retry-after
    ("status-429:7", 429, "rate_limit_exceeded", "rate_limit_error", "7"),
    ("status-429", 429, "rate_limit_exceeded", "rate_limit_error", "1"),
    ("status-404", 404, "model_not_found", "invalid_request_error", None),
    ("status-401", 503, "llm_unavailable", "server_error", "1"),
    ("status-402", 503, "llm_unavailable", "server_error", "1"),
    ("status-403", 503, "llm_unavailable", "server_error", "1"),
    ("status-500", 503, "llm_unavailable", "server_error", "1"),
    ("status-503:30", 503, "llm_unavailable", "server_error", "30"),
    ("status-529:3", 503, "llm_unavailable", "server_error", "3"),
    ("status-504", 504, "llm_timeout", "server_error", None),
    ("status-302", 502, "llm_bad_answer", "server_error", None),
    ("status-418", 502, "llm_bad_answer", "server_error", None),
    ("error-plain", 400, None, "invalid_request_error", None),
    ("error-large", 400, None, "invalid_request_error", None),
    ("html", 502, "llm_bad_answer", "server_error", None),
    ("garbage", 502, "llm_bad_answer", "server_error", None),
    ("reset-early", 502, "llm_bad_answer", "server_error", None),
    ("error-first", 503, "llm_unavailable", "server_error", "1"),
]


@STREAMED
@pytest.mark.parametrize("model,status,code,kind,retry_after", FAILURES)
def test_a_failure_before_the_first_frame_has_a_status(chat, stream, model, status, code, kind,
                                                       retry_after):
    answer = complete(chat, f"stub/{model}", stream=stream)
    assert_openai_error(answer, status, code, kind)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers.get("retry-after") == retry_after
    if retry_after:
        assert answer.headers["retry-after-ms"] == retry_after + "000"
    assert b"sk-upstream" not in answer.body
    assert b"127.0.0.1" not in answer.body


@STREAMED
@pytest.mark.parametrize("status,code", [(400, None), (413, None)])
def test_a_refusal_of_the_clients_request_is_told_in_the_providers_words(chat, stream, status, code):
    answer = complete(chat, "stub/error-shown" if status == 400 else "stub/status-413",
                      stream=stream)
    assert_openai_error(answer, status)
    if status == 400:
        assert answer.json["error"]["message"] == "temperature must be at most 2"
        assert answer.json["error"]["code"] == "invalid_value"


@pytest.mark.parametrize("model,status", [("cut", 502), ("huge", 502)])
def test_a_broken_whole_answer_is_a_bad_gateway(chat, model, status):
    assert_openai_error(complete(chat, f"stub/{model}"), status, "llm_bad_answer")


@pytest.mark.parametrize("model", ["truncate-at-once", "long-line"])
def test_a_stream_that_never_was_one_is_a_bad_gateway(chat, model):
    assert_openai_error(complete(chat, f"stub/{model}", stream=True), 502, "llm_bad_answer")


def test_a_provider_that_is_not_there(suite, stub):
    private = suite.start(environment_for(stub, PROVIDER_STUB_BASE_URL="http://127.0.0.1:9/v1"))
    for stream in (False, True):
        assert_openai_error(complete(private, "stub/ok", stream=stream), 503, "llm_unavailable")


# --- failures after the first frame

@pytest.mark.parametrize("model", ["truncate", "truncate-done", "cut", "reset", "error-frame",
                                   "error-event", "garbage-later"])
def test_a_failure_in_the_middle_is_one_error_frame_and_never_done(chat, model):
    answer = complete(chat, f"stub/{model}", stream=True)
    assert answer.status == 200
    frames = data_of(answer.body)
    assert "[DONE]" not in frames
    assert [index for index, frame in enumerate(frames) if "error" in frame] == [len(frames) - 1]
    assert set(frames[-1]["error"]) == {"message", "type", "param", "code"}
    assert text_of(frames[:-1]).startswith("Hello")
    assert b"sk-upstream" not in answer.body


def test_one_choice_without_an_end_is_an_error(chat):
    frames = data_of(complete(chat, "stub/two", stream=True, n=3).body)
    assert "error" in frames[-1]


def test_a_slow_provider_is_waited_for_without_a_word(chat):
    answer = complete(chat, "stub/late:2", stream=True)
    assert answer.status == 200 and b"ping" not in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")


def test_a_late_failure_has_its_status_too(chat):
    answer = complete(chat, "stub/late-failure:1.5", stream=True)
    assert_openai_error(answer, 503, "llm_unavailable")
    assert answer.headers["content-type"] == "application/json"


def test_deadlines_and_heartbeats(suite, stub):
    private = suite.start(environment_for(
        stub, UPSTREAM_FIRST_BYTE_TIMEOUT="2", UPSTREAM_IDLE_TIMEOUT="3",
        STREAM_HEARTBEAT_SECONDS="1"))
    assert_openai_error(complete(private, "stub/silent"), 504, "llm_timeout")
    assert_openai_error(complete(private, "stub/silent", stream=True), 504, "llm_timeout")
    stalled = events_of(complete(private, "stub/stall", stream=True).body)
    assert sum(event == {"comment": "ping"} for event in stalled) >= 2
    assert json.loads(stalled[-1]["data"])["error"]["code"] == "llm_timeout"


# --- clients that leave, lag, or come in crowds

@pytest.mark.parametrize("model,stream", [("drip", True), ("stall", True), ("silent", True),
                                          ("silent", False)])
@despite_lighttpd
def test_when_the_client_leaves_the_provider_is_let_go(chat, stub, model, stream):
    request_id = f"gone-{model}-{stream}-{time.monotonic_ns()}"
    before = stub.count(model)
    client = RawClient(chat, "/v1/chat/completions",
                       {"model": f"stub/{model}", "messages": HELLO, "stream": stream},
                       request_id=request_id)
    received = stub.last(model, after=before)
    if stream and model != "silent":
        client.read_until(b"Hello" if model == "stall" else b'"0 "')
    left = time.monotonic()
    client.leave()
    assert received.ended.wait(5)
    assert received.client_gone_at is not None
    assert received.client_gone_at - left < 1
    row = wait_until(lambda: ledger(chat, request_id))[0]
    assert row["outcome"] == "cut_off" and row["is_estimated"] == 1
    assert row["input_tokens"] > 0
    assert (row["output_tokens"] > 0) == (stream and model != "silent")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/stream", "/api/v1/chat/stream"])
def test_a_client_that_does_not_read_holds_the_provider_back_and_is_missed(chat, stub, path):
    """Through the web server, which must not keep what the client does not take."""
    model = "flood:101"
    body = {"model": f"stub/{model}", "stream": True, "messages": HELLO}
    if "stream" in path:
        body = {"model": f"stub/{model}", "session_id": path.replace("/", "."), "message": "x"}
    before = stub.count(model)
    request_id = f"unread{path.replace('/', '.')}"
    client = RawClient(chat, path, body, request_id=request_id, receive_buffer=4096)
    received = stub.last(model, after=before)

    def has_stopped():
        sent = received.bytes_sent
        time.sleep(0.3)  # nothing moves in this time
        return received.bytes_sent == sent and sent

    sent = wait_until(has_stopped, 20)
    on_disk = sum(file.stat().st_size for file in (chat.state / "tmp").iterdir())
    left = time.monotonic()
    client.leave()
    assert sent and sent < 40 << 20, sent
    assert on_disk < 1 << 20, on_disk
    assert received.ended.wait(5)
    assert received.client_gone_at - left < 1
    row, = wait_until(lambda: ledger(chat, request_id))
    assert (row["outcome"], row["is_estimated"]) == ("cut_off", 1)
    # Of what was taken, some 200 tokens in each kilobyte, not of what would have come.
    assert 0 < row["output_tokens"] <= sent // 4


def test_a_slow_reader_holds_the_provider_back(chat, stub):
    """Without the web server: what the program itself promises."""
    megabytes = 24
    body = json.dumps({"model": f"stub/flood:{megabytes}", "messages": HELLO,
                       "stream": True}).encode()
    with fastcgi_client.Connection(str(chat.state / "run" / "chat.sock-0"), 20) as connection:
        connection.send(fastcgi_client.request(
            "/v1/chat/completions", body=body, CONTENT_TYPE="application/json",
            HTTP_X_API_KEY=KEY))
        received = stub.last(f"flood:{megabytes}")

        def has_stopped():
            before = received.bytes_sent
            time.sleep(0.3)  # nothing moves in this time
            return received.bytes_sent == before and before

        sent = wait_until(has_stopped, 10)
        assert sent and sent < (megabytes << 20) * 0.6, sent
        out = connection.read_answer().body
    assert out.count(b"data: [DONE]") == 1
    assert out.count(b"y" * 800) == megabytes << 10


def test_a_flood_arrives_whole(chat):
    answer = complete(chat, "stub/flood:8", stream=True)
    assert answer.body.count(b"y" * 800) == 8 << 10
    assert answer.body.endswith(b"data: [DONE]\n\n")


def test_many_streams_at_once_do_not_mix(chat):
    def one(number):
        messages = [{"role": "user", "content": f"number {number} " * 20}]
        return number, complete(chat, "demo/echo", stream=True, messages=messages)

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        for number, answer in pool.map(one, range(100)):
            frames = data_of(answer.body)
            assert frames[-1] == "[DONE]"
            assert text_of(frames).count(f"number {number} ") == 20


def test_stopping_the_program_ends_streams_with_an_error(suite, stub):
    private = suite.start(environment_for(stub))
    client = RawClient(private, "/v1/chat/completions",
                       {"model": "stub/drip", "messages": HELLO, "stream": True})
    client.read_until(b"data: ")
    pid, = private.pids("chat")
    os.kill(pid, signal.SIGTERM)
    body = client.read_all()
    assert b'"error"' in body and b"[DONE]" not in body


def test_who_has_got_nothing_yet_when_the_program_stops_shall_try_again(suite, stub):
    private = suite.start(environment_for(stub))
    before = stub.count("silent")
    client = RawClient(private, "/v1/chat/completions",
                       {"model": "stub/silent", "messages": HELLO, "stream": True})
    stub.last("silent", after=before)
    pid, = private.pids("chat")
    os.kill(pid, signal.SIGTERM)
    head = client.read_all().lower()
    assert head.startswith(b"http/1.1 503")
    assert b"\r\nx-should-retry: true\r\n" in head and b"\r\nretry-after: 1\r\n" in head


# --- bad requests

BAD = [
    ({"messages": HELLO}, "model"),
    ({"model": "", "messages": HELLO}, "model"),
    ({"model": 7, "messages": HELLO}, "model"),
    ({"model": "stub/ok"}, "messages"),
    ({"model": "stub/ok", "messages": []}, "messages"),
    ({"model": "stub/ok", "messages": [{}]}, "messages[0].role"),
    ({"model": "stub/ok", "messages": HELLO, "stream": "true"}, "stream"),
    ({"model": "stub/ok", "messages": HELLO, "stream": 1}, "stream"),
    ({"model": "stub/ok", "messages": HELLO, "stream_options": True}, "stream_options"),
    ({"model": "stub/ok", "messages": HELLO, "stream_options": {"include_usage": "yes"}},
     "stream_options.include_usage"),
    ({"model": "stub/a b", "messages": HELLO}, "model"),
    ({"model": "x" * 257, "messages": HELLO}, "model"),
    ({"model": "stub/ok", "messages": "hi"}, "messages"),
    ({"model": "stub/ok", "messages": [None]}, "messages[0]"),
    ({"model": "stub/ok", "messages": HELLO + [{"role": 7}]}, "messages[1].role"),
    ([], None),
]


@pytest.mark.parametrize("body,param", BAD)
def test_a_bad_request_names_its_member(chat, body, param):
    answer = chat.post("/v1/chat/completions", body, token=KEY)
    assert_openai_error(answer, 400, kind="invalid_request_error")
    assert answer.json["error"]["param"] == param
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("members", [
    '"n":0', '"n":2,"logprobs":true,"top_logprobs":-1', '"temperature":"hot","top_p":[]',
    '"max_tokens":-1,"max_completion_tokens":1e400', '"stop":{"a":[1,2]},"seed":null',
    '"tools":[],"tool_choice":"odd","parallel_tool_calls":"no"', '"stream":null', '"stream":false',
    '"response_format":{"type":"json_schema"},"x_vendor":[1.50,-0.0]', '"usage":null'])
@pytest.mark.parametrize("messages", [
    '[{"role":"alien","content":7,"x":{}}]', '[{"role":"user"}]',
    '[{"role":"user","content":[]},{"role":"user","content":[null,7,{"type":"text","text":1}]}]',
    '[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":'
    '{"url":"data:image/png;base64,AAAA","detail":"low"}},{"type":"input_audio"}]}]',
    '[{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":'
    '{"name":"f","arguments":"{"}}]},{"role":"tool","tool_call_id":"a","content":"4"}]'])
def test_what_only_the_provider_can_judge_is_passed_on_as_it_is(chat, stub, members, messages):
    raw = '{"model":"stub/ok","messages":%s,%s}' % (messages, members)
    answer = chat.request("POST", "/v1/chat/completions", raw=raw.encode(), token=KEY,
                          headers={"Content-Type": "application/json"})
    assert answer.status == 200, answer
    assert stub.last("ok").body == raw.replace("stub/ok", "ok").encode()


@pytest.mark.parametrize("raw", [b"", b"{", b'{"model":"a","model":"b"}', b"\xff"])
def test_what_is_no_json_is_refused(chat, raw):
    answer = chat.request("POST", "/v1/chat/completions", raw=raw, token=KEY,
                          headers={"Content-Type": "application/json"})
    assert_openai_error(answer, 400)


def test_other_content_types_are_refused(chat):
    answer = chat.request("POST", "/v1/chat/completions", raw=b"{}", token=KEY,
                          headers={"Content-Type": "text/plain"})
    assert_openai_error(answer, 415)


def test_a_body_of_exactly_the_limit_is_taken(chat, stub):
    limit = 1 << 20
    frame = b'{"model":"stub/ok","messages":[{"role":"user","content":"%s"}]}'
    for extra, status in ((0, 200), (1, 413)):
        raw = frame % (b"x" * (limit + extra - len(frame) + 2))
        assert len(raw) == limit + extra
        answer = chat.request("POST", "/v1/chat/completions", raw=raw, token=KEY,
                              headers={"Content-Type": "application/json"})
        assert answer.status == status, answer


def test_a_model_nobody_has_is_not_found(suite):
    private = suite.start({"API_KEYS": KEY})
    for stream in (False, True):
        for model in ("no-such-model", "demo/no", "demo/", "/echo", "demo/echo/", "a/b/c", "DEMO/echo",
                      "x" * 256, "\u00e9"):
            answer = complete(private, model, stream=stream)
            assert_openai_error(answer, 404, "model_not_found")
        assert answer.json["error"]["param"] == "model"
    # With no provider configured the demo is there.
    assert "demo" in complete(private, "demo/echo").json["choices"][0]["message"]["content"]
    assert [model["id"] for model in get(private, "/v1/models").json["data"]][0] == "demo/echo"


@pytest.mark.parametrize("route", [
    "POST /v1/messages", "POST /v1/embeddings", "POST /chat/batch", "POST /chat/completions",
    "POST /chat/sessions/{id}/approvals/{call_id}", "WS /ws/chat/{session_id}", "GET /settings",
    "PUT /settings", "POST /settings/test-connection"])
def test_what_is_not_there_is_not_found_and_said_to_be_missing(chat, route):
    readme = (pathlib.Path(__file__).resolve().parents[2] / "README.md").read_text()
    row, = [line for line in readme.splitlines() if line.startswith("| chat | `POST")]
    assert f"`{route}`" in row.split("|")[3]
    method, path = route.replace("WS", "GET").split()
    body = None if method == "GET" else {}
    for prefix in ("", "/api/v1"):
        answer = chat.request(method, prefix + path.replace("{", "").replace("}", ""), body,
                              headers={"X-API-Key": KEY})
        assert answer.status == 404, answer


# --- models

def test_models_are_listed_and_found(chat):
    answer = get(chat, "/v1/models")
    assert answer.json["object"] == "list"
    listed = {model["id"]: model for model in answer.json["data"]}
    assert {"stub/ok", "demo/echo"} <= set(listed)
    for model in listed.values():
        assert model["object"] == "model" and isinstance(model["created"], int)
        assert model["owned_by"]
    for path in ("stub/ok", "stub%2Fok", "ok"):
        assert get(chat, f"/v1/models/{path}").json == listed["stub/ok"]
    for path in ("nope", "stub/nope", "a/b/c", "a%2Fb%2Fc"):
        assert_openai_error(get(chat, f"/v1/models/{path}"), 404, "model_not_found")
    assert chat.get("/api/v1/v1/models", token=KEY).status == 200
