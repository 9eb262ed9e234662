"""Providers that misbehave on the wire, byte by byte: what clients of completions and of sessions
get, that nothing hangs or stays locked, and what the ledger says."""
import json
import time

import pytest

from chat_help import (HELLO, KEY, RawClient, chat, complete, data_of, environment_for,  # noqa: F401
                       events_of, ledger, rows, say, stub, text_of)
from suite import wait_until

WHOLE = json.dumps({
    "id": "c", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "héllo"},
                 "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}}).encode()


def answer(body=b"", status=b"200 OK", kind=b"application/json", lines=(), length=True):
    """The bytes of an answer. `length`: True = the right one, None = until the connection ends."""
    head = [b"HTTP/1.1 " + status, *lines]
    if kind:
        head.append(b"Content-Type: " + kind)
    if length is not None:
        head.append(b"Content-Length: %d" % (len(body) if length is True else length))
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def chunk(delta, finish_reason=None, index=0, **members):
    return json.dumps({
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish_reason}], **members},
        ensure_ascii=False).encode()


SAID = "héllo 😀"
EVENTS = [chunk({"role": "assistant", "content": "hé"}), chunk({"content": "llo 😀"}),
          chunk({}, "stop")]
FIRST, SECOND, LAST = EVENTS
DONE = b"data: [DONE]\n\n"


def frames(events=EVENTS, before=b"data: ", end=b"\n\n"):
    return b"".join(before + event + end for event in events)


def stream(body, **options):
    options = {"kind": b"text/event-stream", "length": None, **options}
    return answer(body, **options)


def post(suite, stub, name, pieces, path, is_streamed, request_id):
    """The answer to one request that the provider answers with `pieces`."""
    name = f"wire-{name}"  # not a mode of the stub's own
    stub.answers[name] = pieces
    headers = {"X-API-Key": KEY, "X-Request-ID": request_id}
    if path == "/chat":
        body = {"session_id": request_id, "message": "hi", "model": f"stub/{name}"}
        return suite.post("/chat/stream" if is_streamed else "/chat", body, headers=headers)
    body = {"model": f"stub/{name}", "messages": HELLO, "stream": is_streamed}
    return suite.post(path, body, headers=headers)


def assert_nothing_remains(suite, session):
    # The client has the end of a stream a moment before the program has forgotten it.
    assert wait_until(lambda: suite.metrics().get("chat_streams_active", 0) == 0)
    assert say(suite, session, "again", model="demo/echo").status == 200
    assert rows(suite, "SELECT * FROM conversations WHERE lock_token <> ''") == []


# --- what is no answer

BAD = {
    "moved": (answer(b"{}", b"301 Moved", lines=[b"Location: /elsewhere"]), 502, "E200"),
    "temporary-redirect": (answer(b"{}", b"307 T", lines=[b"Location: /elsewhere"]), 502, "E200"),
    "not-modified": (answer(status=b"304 Not Modified", kind=None, length=None), 502, "E200"),
    "server-error-in-html": (answer(b"<html>", b"500 E", b"text/html"), 503, "E200"),
    "server-error-without-body": (b"HTTP/1.1 500 E\r\n\r\n", 503, "E200"),
    "unknown-status": (answer(b"{}", b"999 X"), 503, "E200"),
    "limited": (answer(b"{}", b"429 T"), 429, "E202"),
    "empty": (answer(), 502, "E200"),
    "empty-without-type": (answer(kind=None), 502, "E200"),
    "empty-stream": (answer(kind=b"text/event-stream"), 502, "E200"),
    "no-content": (answer(status=b"204 N", kind=None, length=None), 502, "E200"),
    "invalid-json": (answer(b"{nope"), 502, "E200"),
    "array": (answer(b"[" + WHOLE + b"]"), 502, "E200"),
    "null": (answer(b"null"), 502, "E200"),
    "error-in-200": (answer(b'{"error":{"message":"sk-upstream-secret"}}'), 503, "E200"),
    "error-text-in-200": (answer(b'{"error":"sk-upstream-secret"}'), 503, "E200"),
    "no-choices": (answer(b'{"choices":[],"usage":{"prompt_tokens":1}}'), 502, "E200"),
    "bad-chunked-framing": (answer(b"zz\r\n" + WHOLE, lines=[b"Transfer-Encoding: chunked"],
                                   length=None), 502, "E200"),
    "another-protocol": (b"SSH-2.0-OpenSSH\r\n", 502, "E200"),
    "nothing": (b"", 502, "E200"),
    "half-a-head": (b"HTTP/1.1 200 OK\r\nContent-Ty", 502, "E200"),
    "huge-head": (answer(WHOLE, lines=[b"X: " + b"a" * 9999] * 40), 502, "E200"),
    "reset-at-once": ([None], 502, "E200"),
    "reset-behind-the-head": ([stream(b""), 0.05, None], 502, "E200"),
    "too-large": (stream(frames([chunk({"content": "x" * (10 << 20)}), LAST])), 502, "E200"),
    "too-large-whole": (answer(WHOLE.replace(b"h", b"h" * (9 << 20), 1)), 502, "E200"),
    "only-done": (stream(DONE), 502, "E200"),
    "no-chunk": (stream(frames([b"[]"]) + frames() + DONE), 502, "E200"),
}


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", BAD)
def test_what_is_no_answer_is_an_error_costs_nothing_and_locks_nothing(chat, stub, name,
                                                                       is_streamed):
    pieces, status, code = BAD[name]
    request_id = f"bad-{name}-{is_streamed}"
    got = post(chat, stub, name, pieces, "/v1/chat/completions", is_streamed, request_id)
    assert got.status == status, got
    assert set(got.json["error"]) == {"message", "type", "param", "code"}
    assert got.headers["x-should-retry"] == "false"
    assert b"sk-upstream" not in got.body
    turn = post(chat, stub, name, pieces, "/chat", is_streamed, request_id)
    assert (turn.status, turn.json["code"]) == (503, code), turn
    assert turn.headers["retry-after"] == "1"
    assert b"sk-upstream" not in turn.body
    for row in ledger(chat, request_id):
        assert (row["outcome"], row["input_tokens"], row["output_tokens"],
                row["cost_nanodollars"]) == ("failed", 0, 0, 0)
    assert all(request.path == "/v1/chat/completions" for request in stub.requests)
    assert_nothing_remains(chat, request_id)


@pytest.mark.parametrize("line,seconds", [
    (b"Retry-After: 61", "61"), (b"retry-after-ms: 1500", "2"), (b"Retry-After: 999999", "86400"),
    (b"Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: Sun, 06 Nov 1994 08:48:37 GMT", "60"),
    (b"Retry-After: Sunday, 06-Nov-94 08:49:37 GMT", "1"), (b"Retry-After: -5", "1"),
    (b"Retry-After: soon", "1")])
def test_the_wait_that_a_provider_asks_for_is_passed_on(chat, stub, line, seconds):
    for status, expected in ((b"429 T", 429), (b"503 S", 503)):
        pieces = answer(b"{}", status, lines=[line])
        got = post(chat, stub, "wait", pieces, "/v1/chat/completions", True, "wait")
        assert (got.status, got.headers["retry-after"]) == (expected, seconds)
        assert got.headers["retry-after-ms"] == seconds + "000"
        turn = post(chat, stub, "wait", pieces, "/chat", True, "wait")
        assert (turn.status, turn.headers["retry-after"]) == (503, seconds)
        assert turn.json["retry_after"] == int(seconds)


# --- streams spelled in every way that is allowed, or that is seen in the wild

WHOLE_STREAM = stream(frames() + DONE)
SMILE = WHOLE_STREAM.index("😀".encode())
GOOD = {
    "crlf": stream(frames(end=b"\r\n\r\n") + DONE),
    "cr": stream(frames(end=b"\r\r") + b"data: [DONE]\r\r"),
    "bom": stream(b"\xef\xbb\xbf" + frames() + DONE),
    "comments": stream(b": hi\n\n:\n\n" + frames(end=b"\n: between\n\n") + DONE),
    "several-data-lines": stream(frames([event.replace(b", ", b",\ndata: ") for event in EVENTS])
                                 + DONE),
    "no-blank-behind-the-colon": stream(frames(before=b"data:") + b"data:[DONE]\n\n"),
    "other-fields": stream(frames(before=b"id: 7\nretry: 10\nx\nx: y\nevent: chunk\ndata: ")
                           + DONE),
    "keepalive-events": stream(b"data:\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n" + frames()
                               + DONE),
    "byte-by-byte": [WHOLE_STREAM[at:at + 1] for at in range(len(WHOLE_STREAM))],
    "cut-within-a-character": [WHOLE_STREAM[:SMILE + 2], 0.05, WHOLE_STREAM[SMILE + 2:]],
    "no-done": stream(frames()),
    "done-without-a-line-end": stream(frames() + b"data: [DONE]"),
    "events-behind-done": stream(frames() + DONE + frames([chunk({"content": "EVIL"}), b"junk"])),
    "reset-behind-the-finish": [stream(frames()), 0.1, None],
    "length-too-long": stream(frames() + DONE, length=len(frames() + DONE) + 9),
    "no-content-type": stream(frames() + DONE, kind=None),
    "odd-content-type": stream(frames() + DONE, kind=b"Text/Event-Stream;charset=UTF-8"),
    "interim-answers": b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" * 2 + WHOLE_STREAM,
    "empty-finish-reasons": stream(frames([FIRST.replace(b'"finish_reason": null',
                                                         b'"finish_reason": ""'), SECOND, LAST])),
    "error-null": stream(frames([event[:-1] + b',"error":null}' for event in EVENTS]) + DONE),
    "nonsense-as-usage": stream(frames(EVENTS + [
        b'{"choices":[],"usage":{"prompt_tokens":"many","completion_tokens":-3}}']) + DONE),
    "boundless-usage": stream(frames(EVENTS + [
        b'{"choices":[],"usage":{"prompt_tokens":9223372036854775807,"completion_tokens":1e99}}'])
        + DONE),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_stream_may_be_spelled_in_many_ways(chat, stub, name):
    request_id = f"good-{name}"
    got = data_of(post(chat, stub, name, GOOD[name], "/v1/chat/completions", True,
                       request_id).body)
    assert got[-1] == "[DONE]" and got.count("[DONE]") == 1
    assert text_of(got) == SAID
    assert not any("usage" in frame for frame in got[:-1])
    turn = events_of(post(chat, stub, name, GOOD[name], "/chat", True, request_id).body)
    assert [event["event"] for event in turn] == ["token", "token", "done"]
    assert "".join(json.loads(event["data"])["text"] for event in turn[:-1]) == SAID
    usage = json.loads(turn[-1]["data"])["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    for row in ledger(chat, request_id):
        assert (row["outcome"], row["is_estimated"], row["output_tokens"]) == ("ok", 1, 2)
    assert_nothing_remains(chat, request_id)


TRUNCATED = {
    "end-within-the-last-event": stream(frames()[:-4]),
    "length-too-short": stream(frames() + DONE, length=len(frames() + DONE) - 30),
    "reset-within-an-event": [stream(frames([FIRST, SECOND]) + b"data: {"), 0.1, None],
    "done-without-finish": stream(frames([FIRST, SECOND]) + DONE),
    "only-empty-finish-reasons": stream(frames([FIRST, SECOND, chunk({}, "")]) + DONE),
    "error-behind-text": stream(frames([FIRST, SECOND, b'{"error":"sk-upstream-secret"}']) + DONE),
    "error-beside-text": stream(frames([FIRST, SECOND, LAST[:-1] + b',"error":{"code":502}}'])
                                + DONE),
    "not-json": stream(frames([FIRST, SECOND, b"junk"]) + frames([LAST]) + DONE),
}


@pytest.mark.parametrize("name", TRUNCATED)
def test_a_truncated_stream_ends_with_one_error_and_is_charged(chat, stub, name):
    request_id = f"truncated-{name}"
    got = data_of(post(chat, stub, name, TRUNCATED[name], "/v1/chat/completions", True,
                       request_id).body)
    assert text_of(got[:-1]) == SAID
    assert set(got[-1]["error"]) == {"message", "type", "param", "code"}
    assert ["error" in frame for frame in got].count(True) == 1
    answers = [post(chat, stub, name, TRUNCATED[name], "/chat", is_streamed, request_id)
               for is_streamed in (True, False)]
    events = events_of(answers[0].body)
    assert [event["event"] for event in events] == ["token", "token", "error"]
    told = json.loads(events[-1]["data"])
    assert told == {member: answers[1].json[member] for member in told}
    assert (told["code"], told["retry_after"], answers[1].status) == ("E200", 1, 503)
    whole = post(chat, stub, name, TRUNCATED[name], "/v1/chat/completions", False, request_id)
    assert whole.status in (502, 503) and set(whole.json) == {"error"}
    charged = ledger(chat, request_id)
    assert len(charged) == 4
    assert {(row["outcome"], row["output_tokens"]) for row in charged} == {("failed", 2)}
    assert all(b"sk-upstream" not in one.body for one in [whole, *answers])
    assert_nothing_remains(chat, request_id)


# --- one answer in every form, whichever was asked for

COUNTED = b'{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":5,"total_tokens":16}}'
STREAMED = frames(EVENTS + [COUNTED]) + DONE
AT_ONCE = WHOLE.replace(b"h\\u00e9llo", SAID.encode())
LINES = b"\n".join(EVENTS + [COUNTED])
FORMS = {
    "stream": stream(STREAMED),
    "stream-called-json": stream(STREAMED, kind=b"application/json"),
    "stream-called-text": stream(STREAMED, kind=b"text/plain; charset=utf-8"),
    "stream-called-nothing": stream(STREAMED, kind=None),
    "stream-behind-blank-lines": stream(b"\r\n \n\n" + STREAMED),
    "stream-behind-a-mark": stream(b"\xef\xbb\xbf" + STREAMED, kind=b"application/json"),
    "stream-behind-comments": stream(b": wait\n\n" * 3 + STREAMED, kind=b"application/json"),
    "stream-without-done": stream(frames(EVENTS + [COUNTED])),
    "stream-without-blank-lines": stream(STREAMED.replace(b"\n\n", b"\n")),
    "stream-without-its-last-blank-line": stream(frames(EVENTS + [COUNTED]).removesuffix(b"\n")),
    "stream-without-its-last-line-end": stream(frames(EVENTS + [COUNTED]).removesuffix(b"\n\n")),
    "whole": answer(AT_ONCE),
    "whole-called-a-stream": answer(AT_ONCE, kind=b"text/event-stream"),
    "whole-called-text": answer(AT_ONCE, kind=b"text/html"),
    "whole-called-nothing": answer(AT_ONCE, kind=None),
    "whole-behind-blank-lines": answer(b"\n\r\n\n" + AT_ONCE),
    "whole-behind-a-mark": answer(b"\n\xef\xbb\xbf" + AT_ONCE, kind=b"text/event-stream"),
    "whole-over-lines": answer(AT_ONCE.replace(b", ", b",\n").replace(b"}", b"\n}") + b"\n\n"),
    "lines": stream(LINES + b"\n", kind=b"application/x-ndjson"),
    "lines-called-json": stream(LINES, kind=b"application/json"),
    "lines-called-a-stream": stream(LINES + b"\n[DONE]\n"),
    "values-without-lines": stream(LINES.replace(b"\n", b""), kind=b"application/json"),
}


@pytest.mark.parametrize("pieces", ["at-once", "byte-by-byte"])
@pytest.mark.parametrize("name", FORMS)
def test_an_answer_is_read_in_whatever_form_it_comes(chat, stub, name, pieces):
    sent = FORMS[name]
    sent = [sent[at:at + 1] for at in range(len(sent))] if pieces == "byte-by-byte" else sent
    request_id = f"form-{name}-{pieces}"

    def ask(path, is_streamed):
        got = post(chat, stub, name, sent, path, is_streamed, request_id)
        assert got.status == 200, got
        return got

    whole = ask("/v1/chat/completions", False)
    assert whole.headers["content-type"] == "application/json"
    assert (whole.json["object"], whole.json["id"]) == ("chat.completion", "c")
    choice, = whole.json["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    assert choice["message"] == {"role": "assistant", "content": SAID}
    assert whole.json["usage"] == {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
    got = data_of(ask("/v1/chat/completions", True).body)
    assert (text_of(got), got[-1], got.count("[DONE]")) == (SAID, "[DONE]", 1)
    assert ask("/chat", False).json["response"] == SAID
    events = [json.loads(event["data"]) for event in events_of(ask("/chat", True).body)]
    assert "".join(event["text"] for event in events[:-1]) == SAID
    charged = ledger(chat, request_id)
    assert len(charged) == 4
    for row in charged:
        assert (row["outcome"], row["input_tokens"], row["output_tokens"],
                row["is_estimated"]) == ("ok", 11, 5, 0)


def test_lines_are_passed_on_while_they_come(chat, stub):
    """Only a second value tells that there are several; from then on none is held back."""
    stub.answers["slow-lines"] = [stream(b"\n".join(EVENTS[:2]) + b"\n", kind=b"application/json"), 30]
    client = RawClient(chat, "/v1/chat/completions",
                       {"model": "stub/slow-lines", "messages": HELLO, "stream": True})
    client.read_until(SAID[2:].encode())
    client.leave()


MIDDLE = WHOLE.index(b"h\\u00e9llo") + len(b"h\\u00e9l")
CUT_OFF = {  # with the tokens of its output, and whether these are an estimate
    "length-too-long": (answer(WHOLE, length=len(WHOLE) + 9), 5, 0),
    "length-too-short": (answer(WHOLE, length=len(WHOLE) - 9), 5, 0),
    "within-the-text": (answer(WHOLE[:MIDDLE], length=len(WHOLE)), 1, 1),
    "within-an-escape": (answer(WHOLE[:MIDDLE - 3], length=len(WHOLE)), 1, 1),
    "before-the-usage": (answer(WHOLE[:WHOLE.index(b', "usage"')], length=len(WHOLE)), 2, 1),
    "reset-within-the-text": ([answer(WHOLE[:MIDDLE], length=len(WHOLE)), 0.1, None], 1, 1),
    # This one tells its usage before it says anything.
    "behind-the-usage": (answer(b'{"usage":{"prompt_tokens":11,"completion_tokens":5},"choices":[{"index":0,'
                                b'"message":{"content":"', length=len(WHOLE)), 5, 0),
    # Of this one, as much as fits into the largest answer that is read.
    "larger-than-may-be": (answer(WHOLE.replace(b"h\\u", b"h" * (9 << 20) + b"\\u")), 2 << 20, 1),
}


@pytest.mark.parametrize("name", CUT_OFF)
def test_what_has_come_of_a_whole_answer_that_was_cut_off_is_charged(chat, stub, name):
    pieces, output_tokens, is_estimated = CUT_OFF[name]
    for is_streamed in (False, True):
        request_id = f"cut-off-{name}-{is_streamed}"
        got = post(chat, stub, name, pieces, "/v1/chat/completions", is_streamed, request_id)
        assert (got.status, set(got.json)) == (502, {"error"})
        turn = post(chat, stub, name, pieces, "/chat", is_streamed, request_id)
        assert (turn.status, turn.json["code"]) == (503, "E200")
        completion, session = ledger(chat, request_id)
        inputs = (completion["input_tokens"], session["input_tokens"])
        assert inputs == ((2, 1) if is_estimated else (11, 11))
        for row in (completion, session):
            assert (row["outcome"], row["is_estimated"]) == ("failed", is_estimated)
            assert output_tokens * 0.98 <= row["output_tokens"] <= output_tokens
        assert_nothing_remains(chat, request_id)


def test_what_has_come_of_a_whole_answer_when_its_client_leaves_is_charged(chat, stub):
    stub.answers["half"] = [answer(WHOLE[:MIDDLE], length=len(WHOLE)), 30]
    client = RawClient(chat, "/v1/chat/completions", {"model": "stub/half", "messages": HELLO},
                       request_id="left-half")
    received = stub.last("half")
    assert wait_until(lambda: received.bytes_sent)
    time.sleep(0.2)  # the bytes that were sent have arrived by then
    client.leave()
    row, = wait_until(lambda: ledger(chat, "left-half"))
    assert (row["outcome"], row["input_tokens"], row["output_tokens"]) == ("cut_off", 2, 1)


def test_the_usage_that_was_told_counts_when_passing_the_answer_on_fails(chat, stub):
    """The whole answer is not too large, but the message of a session that it becomes is."""
    grows = AT_ONCE.replace(b"h\xc3\xa9", b"\x01" * (3 << 19))
    for is_streamed in (False, True):
        request_id = f"grows-{is_streamed}"
        got = post(chat, stub, "grows", answer(grows), "/chat", is_streamed, request_id)
        assert (got.status, got.json["code"]) == (503, "E200")
        row, = ledger(chat, request_id)
        assert (row["outcome"], row["input_tokens"], row["output_tokens"],
                row["is_estimated"]) == ("failed", 11, 5, 0)
        assert_nothing_remains(chat, request_id)


# --- what is passed on untouched

def call_delta(index, **call):
    return chunk({"tool_calls": [{"index": index, **call}]})


ODD = {
    "several-choices": [
        chunk({"role": "assistant", "content": "b"}, index=1),
        chunk({"role": "assistant", "content": "a"}), chunk({}, "stop"),
        chunk({}, "length", index=1)],
    "logprobs": [json.dumps({"choices": [{
        "index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": "stop",
        "logprobs": {"content": [{"token": "a", "logprob": -0.5, "bytes": [97],
                                  "top_logprobs": []}], "refusal": None}}]}).encode()],
    "refusal": [chunk({"role": "assistant", "content": None, "refusal": ""}),
                chunk({"refusal": "I cannot"}), chunk({"refusal": " do that"}), LAST],
    "reasoning": [chunk({"role": "assistant", "reasoning_content": "hm"}),
                  chunk({"reasoning": "so", "reasoning_content": "so"}), SECOND, LAST],
    "length": [FIRST, chunk({}, "length")],
    "content-filter": [FIRST, chunk({}, "content_filter")],
    "function-call": [chunk({"role": "assistant", "function_call": {"name": "f"}}),
                      chunk({"function_call": {"arguments": "{}"}}), chunk({}, "function_call")],
    "parallel-tool-calls": [
        chunk({"role": "assistant", "content": None}),
        call_delta(0, id="a", type="function", function={"name": "f", "arguments": ""}),
        call_delta(1, id="b", type="function", function={"name": "g", "arguments": ""}),
        call_delta(1, function={"arguments": '{"x"'}), call_delta(0, function={"arguments": "{}"}),
        call_delta(1, function={"arguments": ":1}"}), chunk({}, "tool_calls")],
    "a-chunk-of-no-choices": [b'{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}',
                              *EVENTS],
    "unknown-members": [FIRST[:-1] + b',"x_vendor":{"a":[1.50,-0.0,1E2]},"service_tier":null}',
                        LAST],
}


@pytest.mark.parametrize("name", ODD)
def test_chunks_are_passed_on_byte_for_byte(chat, stub, name):
    body = frames(ODD[name]) + DONE
    got = post(chat, stub, name, stream(body), "/v1/chat/completions", True, f"odd-{name}")
    assert got.body == body


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "stream"])
def test_a_refusal_is_what_a_session_answers(chat, stub, is_streamed):
    pieces = stream(frames(ODD["refusal"]) + DONE)
    got = post(chat, stub, "refusal", pieces, "/chat", is_streamed, f"refusal-{is_streamed}")
    said = got.json["response"] if not is_streamed else "".join(
        json.loads(event["data"])["text"] for event in events_of(got.body)[:-1])
    assert said == "I cannot do that"


def test_reasoning_that_is_not_told_as_usage_is_estimated_once(chat, stub):
    thought = [chunk({"role": "assistant", "reasoning": "x" * 40, "reasoning_content": "x" * 40}),
               SECOND, LAST]
    post(chat, stub, "thought", stream(frames(thought) + DONE), "/v1/chat/completions", True,
         "thought")
    row, = ledger(chat, "thought")
    assert (row["output_tokens"], row["is_estimated"]) == ((40 + len("llo 😀") + 3) // 4, 1)


# --- providers that fall silent

def test_silence_ends_in_its_time_wherever_it_begins(suite, stub):
    private = suite.start(environment_for(stub, UPSTREAM_FIRST_BYTE_TIMEOUT="1",
                                          UPSTREAM_IDLE_TIMEOUT="1"))
    for name, pieces in {"before-the-head": [60], "within-the-head": [b"HTTP/1.1 200 OK\r\nX:", 60],
                         "behind-the-head": [stream(b""), 60],
                         "within-the-body": [stream(frames([FIRST])), 60]}.items():
        for path in ("/v1/chat/completions", "/chat"):
            for is_streamed in (False, True):
                request_id = f"silent-{name}-{is_streamed}"
                began = time.monotonic()
                got = post(private, stub, name, pieces, path, is_streamed, request_id)
                assert time.monotonic() - began < 4
                if not is_streamed:
                    assert got.status == 504, (name, path, got)
                else:
                    last = json.loads(events_of(got.body)[-1]["data"]) if got.status == 200 else (
                        got.json)
                    word = last["error"]["code"] if path != "/chat" else last["error"]
                    assert word == "llm_timeout", (name, path, got)
        assert_nothing_remains(private, request_id)


def test_nobody_is_kept_waiting_by_a_provider_of_another(chat, stub):
    """Thirty calls that hang, and one that does not."""
    stub.answers["hangs"] = [stream(frames([FIRST])), 3]
    connections = [chat.stream("/v1/chat/completions",
                               {"model": "stub/hangs", "messages": HELLO, "stream": True},
                               token=KEY)[0] for _ in range(30)]
    began = time.monotonic()
    assert complete(chat, "stub/ok", stream=True).status == 200
    assert time.monotonic() - began < 1
    for connection in connections:
        connection.close()
