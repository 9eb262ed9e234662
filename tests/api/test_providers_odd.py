"""Providers that are odd, in passing trouble, or of another opinion: what their clients hear, how
often they are asked, and what is charged."""
import contextlib
import json
import os
import signal
import socket
import threading
import time

import pytest

from chat_help import (HELLO, KEY, RawClient, chat, complete, data_of, environment_for, ledger,  # noqa: F401
                       rows, say, stub, text_of)
from suite import despite_lighttpd, wait_until
from upstream_stub import TEXT, USAGE, error

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def http(body, status=b"200 OK", kind=b"application/json", lines=()):
    head = [b"HTTP/1.1 " + status, b"Content-Type: " + kind, b"Connection: close",
            b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def whole(text=TEXT):
    return http(json.dumps({
        "id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text},
             "finish_reason": "stop"}], "usage": USAGE}).encode())


class Turns(dict):
    """Answers for the stub: one after the other, the last one for ever."""

    def __init__(self, name, *answers):
        super().__init__()
        self.name, self.left = name, list(answers)
        self.lock = threading.Lock()

    def __contains__(self, name):
        return name == self.name

    def __getitem__(self, name):
        with self.lock:
            return self.left.pop(0) if len(self.left) > 1 else self.left[0]


def answer_in_turn(stub, name, *answers):
    stub.answers = Turns(name, *answers)
    return stub.count(name)


# --- trying again

PASSING = {
    "503": http(b"{}", b"503 S"),
    "500": http(b"<html>", b"500 E", b"text/html"),
    "502": http(b"", b"502 B"),
    "529": http(b'{"error":{"type":"overloaded_error","message":"Overloaded"}}', b"529 O"),
    "429": http(b"{}", b"429 T", lines=[b"Retry-After: 1"]),
}


@STREAMED
@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_tried_again_and_charged_once(chat, stub, name, stream):
    for path in ("/v1/chat/completions", "/chat"):
        before = answer_in_turn(stub, name, PASSING[name], whole())
        began = time.monotonic()
        if path == "/chat":
            answer = say(chat, f"retry-{name}-{stream}", "x", stream=stream, model=f"stub/{name}")
            assert TEXT in answer.body.decode()
        else:
            answer = complete(chat, f"stub/{name}", stream=stream)
            assert TEXT in (text_of(data_of(answer.body)) if stream else
                            answer.json["choices"][0]["message"]["content"])
        assert answer.status == 200
        assert stub.count(name) == before + 2
        # It rests as long as it was asked to, else for a moment.
        rested = time.monotonic() - began
        assert rested >= (1.0 if name == "429" else 0.18)
        row, = ledger(chat, answer.headers["x-request-id"])
        assert (row["outcome"], row["input_tokens"], row["output_tokens"]) == ("ok", 11, 5)


@STREAMED
@pytest.mark.parametrize("status,calls", [("400", 1), ("401", 1), ("403", 1), ("404", 1),
                                          ("413", 1), ("504", 1), ("500", 3), ("503", 3),
                                          ("429:1", 3), ("429:30", 1)])
def test_a_call_is_repeated_only_where_that_can_help(chat, stub, status, calls, stream):
    model = f"status-{status}"
    before = stub.count(model)
    answer = complete(chat, f"stub/{model}", stream=stream)
    assert answer.status >= 400 and answer.headers["x-should-retry"] == "false"
    assert stub.count(model) == before + calls
    assert ledger(chat, answer.headers["x-request-id"]) == []


@STREAMED
def test_what_may_have_cost_is_not_repeated(chat, stub, stream):
    for model in ("reset-early", "html", "garbage", "truncate-at-once"):
        before = stub.count(model)
        complete(chat, f"stub/{model}", stream=stream)
        assert stub.count(model) == before + 1, model


def test_the_first_byte_has_one_deadline_over_all_tries(suite, stub):
    private = suite.start(environment_for(stub, UPSTREAM_FIRST_BYTE_TIMEOUT="2",
                                          UPSTREAM_RETRIES="10"))
    answer_in_turn(stub, "slow-503", [1.3, PASSING["503"]])
    began = time.monotonic()
    answer = complete(private, "stub/slow-503")
    assert answer.status == 504 and time.monotonic() - began < 3.5
    none = suite.start(environment_for(stub, UPSTREAM_RETRIES="0"))
    before = stub.count("status-503")
    assert complete(none, "stub/status-503").status == 503
    assert stub.count("status-503") == before + 1


# --- words of refusals

SHAPES = {
    "openai": (b'{"error":{"message":"WORDS","type":"invalid_request_error","code":"odd"}}', True),
    "text": (b'{"error":"WORDS"}', True),
    "detail": (b'{"detail":[{"loc":["body"],"msg":"WORDS","type":"missing"}]}', True),
    "object": (b'{"object":"error","message":"WORDS","type":"BadRequestError","code":400}', True),
    "errors": (b'{"errors":[{"message":"WORDS"}]}', True),
    "list": (b'[{"error":{"code":400,"message":"WORDS"}}]', True),
    "plain": (b"WORDS", True),
    "long": (b'{"error":{"message":"WORDS ' + b"far too much " * 800 + b'"}}', True),
    "very-long": (b"WORDS " + b"and so on " * 20000, True),
    "markup": (b"<html><body>WORDS</body></html>", False),
}


@STREAMED
@pytest.mark.parametrize("shape", SHAPES)
def test_the_words_of_a_refusal_arrive_whatever_their_shape(chat, stub, shape, stream):
    words = "top_k is 7 but see https://inside.example/x with sk-upstream-secret"
    body, is_told = SHAPES[shape]
    for status in (b"400 B", b"422 U"):
        answer_in_turn(stub, shape, http(body.replace(b"WORDS", words.encode()), status))
        answer = complete(chat, f"stub/{shape}", stream=stream)
        told = answer.json["error"]
        assert answer.status == 400 and set(told) == {"message", "type", "param", "code"}
        assert told["message"].startswith("top_k is 7 but see […] with […]") == is_told, told
        assert len(told["message"]) <= 2100 and told["message"]
        assert b"inside.example" not in answer.body and b"sk-upstream" not in answer.body
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-should-retry"] == "false"


@STREAMED
@pytest.mark.parametrize("status", ["400 B", "413 T", "422 U", "500 E"])
def test_a_context_that_is_too_long_is_told_as_such_and_not_as_passing(chat, stub, status, stream):
    body = http(b'{"error":"the request exceeds the available context size"}', status.encode())
    before = answer_in_turn(stub, "context", body)
    answer = complete(chat, "stub/context", stream=stream)
    assert answer.status == 400 and answer.json["error"]["code"] == "context_length_exceeded"
    assert "context size" in answer.json["error"]["message"]
    turn = say(chat, f"context-{status[:3]}-{stream}", "x", stream=stream, model="stub/context")
    assert (turn.status, turn.json["code"], turn.json["recoverable"]) == (400, "E203", False)
    assert "retry-after" not in turn.headers
    assert stub.count("context") == before + 2


@STREAMED
def test_an_error_in_place_of_the_first_chunk_means_the_same(chat, stub, stream):
    error_text = json.dumps(error("maximum context length is 10 tokens", "x", 400))
    answer_in_turn(stub, "first", http(b"data: " + error_text.encode() + b"\n\n",
                                       kind=b"text/event-stream")
                   if stream else http(error_text.encode()))
    answer = complete(chat, "stub/first", stream=stream)
    assert answer.status == 400 and answer.json["error"]["code"] == "context_length_exceeded"


def test_a_refusal_that_repeating_cannot_heal_is_not_told_as_passing(chat, stub):
    answer_in_turn(stub, "refuses", http(b'{"error":"roles must alternate"}', b"400 B"))
    for stream in (False, True):
        turn = say(chat, f"refuses-{stream}", "x", stream=stream, model="stub/refuses")
        assert (turn.status, turn.json["error"], turn.json["recoverable"]) == (
            502, "llm_refused", False)
        assert "retry-after" not in turn.headers


# --- dialects

class StrictAboutOptions(dict):
    """Refuses `stream_options` as some servers do."""

    def __contains__(self, name):
        return name in ("strict", "strict-first")

    def __init__(self, stub):
        super().__init__()
        self.stub = stub

    def __getitem__(self, name):
        if "stream_options" in self.stub.last(name).json:
            return http(b'{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],'
                        b'"msg":"Extra inputs are not permitted"}]}', b"422 U")
        return whole()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/stream", "/chat"])
def test_a_provider_that_refuses_stream_options_is_asked_without_from_then_on(suite, stub, path):
    private = suite.start(environment_for(stub))
    stub.answers = StrictAboutOptions(stub)
    counts = []
    for number in range(2):
        before = stub.count("strict")
        body = {"model": "stub/strict", "messages": HELLO, "stream": True}
        if path != "/v1/chat/completions":
            body = {"model": "stub/strict", "session_id": f"s{number}", "message": "x"}
        answer = private.post(path, body, headers={"X-API-Key": KEY})
        assert answer.status == 200, answer
        counts.append(stub.count("strict") - before)
    assert counts == [2, 1]
    sent = stub.last("strict").json
    assert "stream_options" not in sent and sent["stream"] is True and sent["messages"]
    # Who asks for it is told that this provider does not take it.
    answer = complete(private, "stub/strict", stream=True, stream_options={"include_usage": True})
    assert answer.status == 400 and "not permitted" in answer.json["error"]["message"]


def test_a_session_with_an_empty_turn_goes_on_as_templates_want_it(chat, stub):
    session = "alternating"
    sent = []

    class Strict(dict):
        def __contains__(self, name):
            return name == "alternate"

        def __getitem__(self, name):
            messages = stub.last(name).json["messages"]
            sent.append(messages)
            roles = [message["role"] for message in messages]
            if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
                return http(b'{"error":"Conversation roles must alternate"}', b"400 B")
            return http(b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"%s"},'
                        b'"finish_reason":"stop"}]}\n\n' % (b"" if len(sent) < 3 else b"said"),
                        kind=b"text/event-stream")

    stub.answers = Strict()
    for number in range(5):
        answer = say(chat, session, f"question {number}", model="stub/alternate")
        assert answer.status == 200, answer
    assert sent[2] == [{"role": "user", "content": "question 0\n\nquestion 1\n\nquestion 2"}]
    assert [message["role"] for message in sent[4]] == ["user", "assistant"] * 2 + ["user"]


@STREAMED
def test_odd_answers_are_mended_for_clients(chat, stub, stream):
    name = "message" if not stream else "delta"
    odd = ('\ufeff{"Choices":[{"index":null,"%s":{"role":null,"content":[{"type":"text","text":"a"},'
           '{"type":"text","text":"b"}]},"finish_reason":"STOP"}],"error":"","id":"1","id":"2"}' % name)
    frames = f": hello\n\ndata: null\n\ndata: {{}}\n\ndata: {odd}\n\ndata: [done]\n\n"
    answer_in_turn(stub, "odd", http(frames.encode(), kind=b"Text/Event-Stream") if stream else
                   http(odd.encode()))
    answer = complete(chat, "stub/odd", stream=stream)
    assert answer.status == 200, answer
    if stream:
        frames = data_of(answer.body)
        assert len(frames) == 2 and frames[1] == "[DONE]"
    choice, = (frames[0] if stream else answer.json)["choices"]
    assert choice == {"index": 0, name: {"role": "assistant", "content": "ab"},
                      "finish_reason": "stop"}
    assert say(chat, f"odd-{stream}", "x", stream=stream,
               model="stub/odd").status == 200


# --- money

def test_a_call_under_way_when_the_program_stops_is_in_the_ledger(suite, stub):
    private = suite.start(environment_for(stub))
    done = {}

    def ask():
        done["answer"] = private.post("/v1/chat/completions", {
            "model": "stub/late:40", "messages": HELLO},
            headers={"X-API-Key": KEY, "X-Request-ID": "stopped"}, timeout=60)

    thread = threading.Thread(target=ask)
    thread.start()
    stub.last("late:40")
    pid, = private.pids("chat")
    os.kill(pid, signal.SIGTERM)
    thread.join(40)
    row, = wait_until(lambda: ledger(private, "stopped"))
    assert row["outcome"] == "cut_off" and row["is_estimated"] and row["input_tokens"] > 0
    assert done["answer"].status == 503 and "retry-after" in done["answer"].headers


REFUSALS = {
    "503": PASSING["503"],
    "stream-options": http(b'{"error":{"message":"Unknown parameter: stream_options"}}', b"400 B"),
}


@despite_lighttpd
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/stream"])
@pytest.mark.parametrize("refusal", REFUSALS)
def test_an_earlier_refusal_hides_no_call_from_the_ledger(suite, stub, refusal, path):
    """The first try is refused, the second is under way when the client leaves."""
    private = suite.start(environment_for(stub))
    name = request_id = f"twice-{refusal}"
    before = answer_in_turn(stub, name, REFUSALS[refusal], [60])
    body = {"model": f"stub/{name}", "messages": HELLO, "stream": True}
    if path == "/chat/stream":
        body = {"model": f"stub/{name}", "message": "hello", "session_id": "twice"}
    client = RawClient(private, path, body, request_id=request_id)
    second = stub.last(name, after=before + 1)
    client.leave()
    assert second.ended.wait(5) and stub.count(name) == before + 2
    row, = wait_until(lambda: ledger(private, request_id))
    assert row["outcome"] == "cut_off"
    assert row["is_estimated"] and row["input_tokens"] > 0


@pytest.fixture
def full_port():
    """A port where no connection is ever made: its queue is full, so the kernel drops what asks for one."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@despite_lighttpd
@STREAMED
def test_what_was_never_sent_costs_nothing(suite, stub, full_port, stream):
    """The provider's address takes no connection; the client leaves."""
    private = suite.start(environment_for(
        stub, PROVIDER_FAR_BASE_URL=f"http://127.0.0.1:{full_port}/v1", UPSTREAM_CONNECT_TIMEOUT="30"))
    body = {"model": "far/x", "stream": stream,
            "messages": [{"role": "user", "content": "x" * 40000}]}

    def are_in_progress(count):
        name = 'http_requests_in_progress{method="POST",endpoint="/v1/chat/completions"}'
        return lambda: private.metrics().get(name) == count

    client = RawClient(private, "/v1/chat/completions", body, request_id="never")
    wait_until(are_in_progress(1))
    client.socket.close()
    wait_until(are_in_progress(0))
    assert ledger(private, "never") == []
    assert complete(private, "stub/ok").status == 200
    assert len(rows(private, "SELECT * FROM ledger")) == 1


def test_zeros_told_early_are_not_believed(chat, stub):
    frames = (b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"%s"},'
              b'"finish_reason":"stop"}],"usage":{"prompt_tokens":0,"completion_tokens":0}}\n\n'
              % (b"x" * 400))
    answer_in_turn(stub, "zeros", http(frames, kind=b"text/event-stream"))
    answer = complete(chat, "stub/zeros", stream=True)
    row, = ledger(chat, answer.headers["x-request-id"])
    assert row["is_estimated"] == 1 and row["output_tokens"] == 100 and row["input_tokens"] == 2


@STREAMED
@pytest.mark.parametrize("usage, input_tokens, output_tokens, is_estimated", [
    ({"prompt_tokens": None, "completion_tokens": 3}, 10, 3, 1),
    ({"prompt_tokens": -5, "completion_tokens": 3}, 10, 3, 1),
    ({"completion_tokens": 3, "total_tokens": 10}, 7, 3, 0),
    ({"prompt_tokens": 7}, 7, 100, 1),
    ({"prompt_tokens": 7.0, "completion_tokens": "3"}, 7, 3, 0),
    ({"prompt_tokens": 0, "completion_tokens": 3}, 0, 3, 0)], ids=str)
def test_half_a_usage_is_no_gift(chat, stub, stream, usage, input_tokens, output_tokens, is_estimated):
    name = "delta" if stream else "message"
    text = json.dumps({"choices": [{"index": 0, "finish_reason": "stop", name: {
        "role": "assistant", "content": "x" * 400}}], "usage": usage})
    answer_in_turn(stub, "half", http(f"data: {text}\n\ndata: [DONE]\n\n".encode(),
                                      kind=b"text/event-stream") if stream else http(text.encode()))
    answer = complete(chat, "stub/half", stream=stream,
                      messages=[{"role": "user", "content": "y" * 40}])
    row, = ledger(chat, answer.headers["x-request-id"])
    assert (row["input_tokens"], row["output_tokens"]) == (input_tokens, output_tokens)
    assert row["is_estimated"] == is_estimated


def test_invented_models_add_nothing_to_the_metrics(suite, stub):
    private = suite.start(environment_for(stub))
    for number in range(5):
        assert complete(private, f"stub/large:{number + 10}").status == 200
    counted = {name: value for name, value in private.metrics().items()
               if name.startswith("chat_completions_total")}
    assert counted == {'chat_completions_total{provider="stub",model="other"}': 5}


def test_costs_are_rounded_and_never_cut(suite, stub):
    private = suite.start(environment_for(stub, MODEL_PRICES='{"stub/ok":"0.00005/0.0002"}'))
    answer = complete(private, "stub/ok")
    row, = ledger(private, answer.headers["x-request-id"])
    assert row["cost_nanodollars"] == 2  # 11 * 0.05 + 5 * 0.2 = 1.55


def test_a_refused_key_is_said_in_the_log(chat):
    complete(chat, "stub/status-401")
    lines = [line for line in chat.log_lines() if line.get("message") == "provider_refused_our_key"]
    assert lines and lines[-1]["level"] == "ERROR"
    assert lines[-1]["provider"] == "stub" and lines[-1]["provider_status"] == 401
