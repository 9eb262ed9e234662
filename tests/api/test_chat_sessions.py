"""POST /chat, POST /chat/stream and the routes of sessions."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import signal
import sqlite3
import threading
import time
import uuid

import pytest

from chat_help import (HELLO, KEY, OTHER_KEY, RawClient, UPSTREAM_KEY, chat,  # noqa: F401
                       complete, environment_for, events_of, get, ledger, rows, say, stub)
from suite import despite_lighttpd, wait_until
from upstream_stub import TEXT

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def new_id():
    return uuid.uuid4().hex


def messages_of(suite, session, key=KEY):
    answer = get(suite, f"/chat/sessions/{session}/messages?limit=200", key)
    assert answer.status == 200, answer
    return answer.json["messages"]


def text_of(events):
    return "".join(json.loads(event["data"])["text"] for event in events
                   if event.get("event") == "token")


def last_event(answer):
    event = events_of(answer.body)[-1]
    return event["event"], json.loads(event["data"])


# --- a turn

def test_a_turn_is_answered_and_kept(chat):
    session = new_id()
    answer = say(chat, session, "hello", model="stub/ok")
    assert answer.status == 200
    body = answer.json
    assert set(body) == {"session_id", "response", "model", "provider", "usage", "timestamp"}
    assert body["session_id"] == session and body["response"] == TEXT
    assert body["model"] == "stub/ok" and body["provider"] == "stub"
    assert body["usage"] == {"input_tokens": 11, "output_tokens": 5, "total_tokens": 16,
                             "estimated_cost": pytest.approx(11 * 0.5e-6 + 5 * 1.5e-6)}
    assert [(message["role"], message["content"], message["cut_off"])
            for message in messages_of(chat, session)] == [
                ("user", "hello", False), ("assistant", TEXT, False)]


def test_a_streamed_turn_has_tokens_and_one_end(chat):
    session = new_id()
    answer = say(chat, session, "hello", stream=True, model="stub/ok")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    events = events_of(answer.body)
    assert [event["event"] for event in events] == ["token"] * 5 + ["done"]
    assert text_of(events) == TEXT
    identifiers = [event["id"] for event in events]
    assert len(set(identifiers)) == len(identifiers)
    done = json.loads(events[-1]["data"])
    assert set(done) == {"session_id", "usage", "timestamp"}
    assert done["session_id"] == session and done["usage"]["total_tokens"] == 16
    assert [message["content"] for message in messages_of(chat, session)] == ["hello", TEXT]


@STREAMED
def test_the_model_gets_the_whole_conversation(chat, stub, stream):
    session = new_id()
    for message in ("one", "two", "three"):
        assert say(chat, session, message, stream=stream, model="stub/ok").status == 200
    sent = stub.last("ok").json
    assert sent["messages"] == [
        {"role": "user", "content": "one"}, {"role": "assistant", "content": TEXT},
        {"role": "user", "content": "two"}, {"role": "assistant", "content": TEXT},
        {"role": "user", "content": "three"}]
    assert sent["model"] == "ok" and sent["stream"] is True
    headers = stub.last("ok").headers
    assert headers["authorization"] == f"Bearer {UPSTREAM_KEY}" and "x-api-key" not in headers


def test_a_streamed_turn_is_remembered_by_the_next(chat):
    session = new_id()
    first = events_of(say(chat, session, "the first", stream=True, model="demo/echo").body)
    assert "first message" in text_of(first)
    second = say(chat, session, "the second").json
    assert second["provider"] == "demo"
    assert "you sent 1 message; the previous one was: the first" in second["response"]


def test_the_session_keeps_its_model(chat):
    session = new_id()
    assert say(chat, session, "a", model="demo/echo").json["provider"] == "demo"
    assert say(chat, session, "b").json["provider"] == "demo"
    assert say(chat, session, "c", model="stub/ok").json["provider"] == "stub"
    assert say(chat, session, "d").json["provider"] == "stub"
    assert say(chat, new_id(), "e").json["model"] == "stub/ok"


def test_odd_text_is_kept_exactly(chat):
    session = new_id()
    message = 'quote " backslash \\ newline \n tab \t é 😀 \u2028 </script>'
    body = say(chat, session, message, model="stub/echo").json
    assert json.loads(body["response"]) == [["user", message]]
    events = events_of(say(chat, new_id(), message, stream=True, model="stub/echo").body)
    assert json.loads(text_of(events)) == [["user", message]]
    assert messages_of(chat, session)[0]["content"] == message
    # U+0000 cannot be kept; everything beside it is.
    answer = say(chat, session, "x", model="stub/odd-text").json
    assert answer["response"] == 'ab\\u0000c\n"😀'
    assert messages_of(chat, session)[-1]["content"] == 'ab\\u0000c\n"😀'


@STREAMED
def test_a_provider_that_does_not_stream_serves_as_well(chat, stream):
    answer = say(chat, new_id(), "x", stream=stream, model="stub/whole")
    text = text_of(events_of(answer.body)) if stream else answer.json["response"]
    assert text == TEXT


# --- what is refused

@pytest.mark.parametrize("body,code,location", [
    ({}, "E002", ["body", "session_id"]),
    ({"message": "x"}, "E002", ["body", "session_id"]),
    ({"session_id": "s"}, "E002", ["body", "message"]),
    ({"session_id": "", "message": "x"}, "E004", ["body", "session_id"]),
    ({"session_id": "a b", "message": "x"}, "E004", ["body", "session_id"]),
    ({"session_id": "a/b", "message": "x"}, "E004", ["body", "session_id"]),
    ({"session_id": "é", "message": "x"}, "E004", ["body", "session_id"]),
    ({"session_id": " a", "message": "x"}, "E004", ["body", "session_id"]),
    ({"session_id": ".", "message": "x"}, "E004", ["body", "session_id"]),
    ({"session_id": "..", "message": "x"}, "E004", ["body", "session_id"]),
    ({"session_id": "a ", "message": "x"}, "E004", ["body", "session_id"]),
    ({"session_id": "/", "message": "x"}, "E004", ["body", "session_id"]),
    ({"session_id": "x" * 129, "message": "x"}, "E004", ["body", "session_id"]),
    ({"session_id": 7, "message": "x"}, "E003", ["body", "session_id"]),
    ({"session_id": "s", "message": ""}, "E003", ["body", "message"]),
    ({"session_id": "s", "message": 7}, "E003", ["body", "message"]),
    ({"session_id": "s", "message": "x" * 10001}, "E005", ["body", "message"]),
    ({"session_id": "s", "message": "x", "model": 7}, "E003", ["body", "model"]),
])
@pytest.mark.parametrize("path", ["/chat", "/chat/stream"])
def test_bad_fields_are_named_and_not_echoed(chat, path, body, code, location):
    answer = chat.post(path, body, headers={"X-API-Key": KEY})
    assert answer.status == 422, answer
    assert answer.json["code"] == code
    assert location in [error["loc"] for error in answer.json["detail"]]
    assert "x" * 50 not in answer.body.decode()


def test_the_bounds_themselves_are_fine(chat):
    assert say(chat, "x" * 128, "y", model="demo/echo").status == 200
    assert say(chat, "A-z_0.9:-", "é" * 10000, model="demo/echo").status == 200


@pytest.mark.parametrize("raw", [b"", b"{", b"[]x", b'{"session_id":"a","session_id":"b"}'])
def test_bodies_that_are_no_json_are_refused(chat, raw):
    answer = chat.request("POST", "/chat", raw=raw,
                          headers={"X-API-Key": KEY, "Content-Type": "application/json"})
    assert answer.status == 400 and answer.json["code"] == "E001"


def test_nobody_chats_without_credentials(chat):
    assert chat.post("/chat", {"session_id": "s", "message": "x"}).status == 401
    assert chat.get("/chat/sessions").status == 401


# --- failures

FAILURES = [
    ("status-429:9", 503, "E202", 9), ("status-404", 503, "E210", None),
    ("status-401", 503, "E200", None), ("status-500", 503, "E200", None),
    ("status-504", 504, "E201", None), ("too-long", 400, "E203", None),
    ("status-413", 400, "E203", None), ("error-shown", 502, "E200", None),
    ("html", 503, "E200", None), ("garbage", 503, "E200", None), ("filtered", 400, "E204", None),
    ("reset-early", 503, "E200", None), ("error-first", 503, "E200", None),
    ("truncate-at-once", 503, "E200", None),
]


@STREAMED
@pytest.mark.parametrize("model,status,code,retry_after", FAILURES)
def test_a_failed_turn_is_not_kept(chat, stream, model, status, code, retry_after):
    session = new_id()
    answer = say(chat, session, "x", stream=stream, model=f"stub/{model}")
    assert answer.status == status, answer
    assert answer.json["code"] == code
    if status == 503:
        assert answer.headers["retry-after"] == str(retry_after or 1)
    assert UPSTREAM_KEY.encode() not in answer.body
    assert get(chat, f"/chat/sessions/{session}").status == 404
    # The lock has been given back.
    assert say(chat, session, "y", model="demo/echo").status == 200


@pytest.mark.parametrize("model", ["truncate", "cut", "reset", "error-frame", "garbage-later"])
def test_a_failure_after_the_first_token_is_one_error_event(chat, model):
    session = new_id()
    answer = say(chat, session, "x", stream=True, model=f"stub/{model}")
    assert answer.status == 200
    events = [event["event"] for event in events_of(answer.body)]
    assert events[-1] == "error" and events.count("error") == 1 and "done" not in events
    error = last_event(answer)[1]
    assert set(error) == {"code", "error", "message", "recoverable", "retry_after"}
    assert error["code"] == "E200"
    assert get(chat, f"/chat/sessions/{session}").status == 404
    assert say(chat, session, "x", model=f"stub/{model}").status == 503


def test_a_slow_turn_is_waited_for_without_a_word(chat):
    answer = say(chat, new_id(), "x", stream=True, model="stub/late:2")
    assert answer.status == 200 and b"ping" not in answer.body and b"event: done" in answer.body


# --- clients that leave

@pytest.mark.parametrize("path", ["/chat", "/chat/stream"])
@pytest.mark.parametrize("model", ["drip", "silent"])
@despite_lighttpd
def test_when_the_client_leaves_the_turn_is_kept_as_cut_off(chat, stub, path, model):
    session = new_id()
    before = stub.count(model)
    client = RawClient(chat, path, {"session_id": session, "message": "count",
                                    "model": f"stub/{model}"}, request_id=f"gone-{session}")
    received = stub.last(model, after=before)
    if model == "drip" and path == "/chat/stream":
        client.read_until(b"event: token")
    elif model == "drip":
        wait_until(lambda: received.bytes_sent > 0)
    left = time.monotonic()
    client.leave()
    assert received.ended.wait(5) and received.client_gone_at - left < 1
    messages = wait_until(lambda: get(chat, f"/chat/sessions/{session}").status == 200
                        and messages_of(chat, session))
    assert [message["cut_off"] for message in messages] == [True, True]
    assert messages[0]["content"] == "count"
    assert messages[1]["content"].startswith("0 " if model == "drip" else "")
    row, = ledger(chat, f"gone-{session}")
    assert row["outcome"] == "cut_off" and row["is_estimated"] == 1 and row["input_tokens"] > 0
    # What was cut off is part of the conversation, and the session is free again.
    assert say(chat, session, "go on", model="stub/ok").status == 200
    sent = stub.last("ok").json["messages"]
    if model == "drip":
        assert [message["role"] for message in sent] == ["user", "assistant", "user"]
        assert sent[0]["content"] == "count" and sent[-1]["content"] == "go on"
    else:
        assert sent == [{"role": "user", "content": "count\n\ngo on"}]
    assert all(message["content"] for message in sent)


# --- one at a time

def test_fifty_posts_at_once_are_fifty_turns(chat):
    session = new_id()
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(
            lambda number: say(chat, session, f"number {number}", stream=number % 2 == 1,
                               model="demo/echo"), range(50)))
    assert [answer.status for answer in answers] == [200] * 50
    assert all(b"event: error" not in answer.body for answer in answers)
    messages = messages_of(chat, session)
    assert len(messages) == 100
    questions = messages[::2]
    assert sorted(int(message["content"].split()[1]) for message in questions) == list(range(50))
    # Each turn knew all turns before it.
    for place, (question, answer) in enumerate(zip(questions, messages[1::2])):
        assert answer["role"] == "assistant" and question["content"] in answer["content"]
        if place > 0:
            assert f"you sent {place} message" in answer["content"]
            assert answer["content"].endswith(questions[place - 1]["content"])


def test_two_programs_on_one_database_take_turns(suite, stub, chat, tmp_path):
    """Two suites, so two processes, share database and session."""
    state = tmp_path / "shared"
    environment = environment_for(stub)
    one = suite.start(environment, state)
    two = suite.start({**environment, "DATABASE_URL": f"sqlite:{state}/quintet.db"},
                      tmp_path / "second")
    session = new_id()

    def turn(number):
        return say((one, two)[number % 2], session, f"number {number}", model="demo/echo")

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(turn, range(40)))
    assert [answer.status for answer in answers] == [200] * 40
    messages = messages_of(one, session)
    assert len(messages) == 80
    for place, answer in enumerate(messages[3::2], 1):
        assert f"you sent {place} message" in answer["content"]


@STREAMED
def test_who_waits_too_long_for_the_session_is_told(suite, stub, stream):
    private = suite.start(environment_for(stub, SESSION_LOCK_WAIT="2"))
    session = new_id()
    holder = RawClient(private, "/chat/stream",
                       {"session_id": session, "message": "x", "model": "stub/drip"})
    holder.read_until(b"event: token")
    began = time.monotonic()
    answer = say(private, session, "y", stream=stream, model="stub/ok")
    assert 1.8 < time.monotonic() - began < 3.5
    assert answer.status == 409 and answer.json["code"] == "E102"
    for method, path in (("POST", f"/chat/sessions/{session}/clear"),
                         ("DELETE", f"/chat/sessions/{session}")):
        answer = private.request(method, path, headers={"X-API-Key": KEY})
        assert answer.status == 409 and answer.json["code"] == "E102"
    # Others are not in the way, nor in its way.
    assert say(private, new_id(), "z", model="stub/ok").status == 200
    holder.leave()
    assert say(private, session, "y", model="stub/ok").status == 200


def wakes_of(pid):
    """How often the threads of a process have slept and gone on so far."""
    return sum(int(line.split()[1]) for status in pathlib.Path(f"/proc/{pid}/task").glob("*/status")
               for line in status.read_text().splitlines()
               if line.startswith("voluntary_ctxt_switches"))


def test_a_turn_that_waits_sleeps_until_its_time_has_come(suite, stub):
    """A waiting turn does not look a thousand times a second whether the lock is free."""
    private = suite.start(environment_for(stub, SESSION_LOCK_WAIT="2"))
    session = new_id()
    before = stub.count("silent")
    holder = RawClient(private, "/chat/stream",
                       {"session_id": session, "message": "x", "model": "stub/silent"})
    stub.last("silent", after=before)
    pid, = private.pids("chat")
    wakes = wakes_of(pid)
    assert say(private, session, "y", model="stub/ok").status == 409
    assert wakes_of(pid) - wakes < 500
    holder.leave()


def test_waiting_holds_no_worker(suite, stub):
    private = suite.start(environment_for(stub, WORKERS="2"))
    session = new_id()
    holder = RawClient(private, "/chat/stream",
                       {"session_id": session, "message": "x", "model": "stub/drip"})
    holder.read_until(b"event: token")
    waiting = [RawClient(private, "/chat", {"session_id": session, "message": "y",
                                            "model": "stub/ok"}) for _ in range(30)]
    wait_until(lambda: private.metrics().get('http_requests_in_progress{method="POST",endpoint="/chat"}') == 30)
    began = time.monotonic()
    for _ in range(5):
        assert say(private, new_id(), "z", model="stub/ok").status == 200
    assert time.monotonic() - began < 1
    holder.leave()
    for client in waiting:
        assert b"HTTP/1.1 200" in client.read_all()
    assert len(messages_of(private, session)) == 62


@despite_lighttpd
def test_who_leaves_while_waiting_leaves_nothing(chat, stub):
    session = new_id()
    before = stub.count("ok")
    holder = RawClient(chat, "/chat/stream",
                       {"session_id": session, "message": "x", "model": "stub/drip"})
    holder.read_until(b"event: token")
    in_progress = 'http_requests_in_progress{method="POST",endpoint="/chat"}'
    waiting = RawClient(chat, "/chat", {"session_id": session, "message": "y", "model": "stub/ok"})
    assert wait_until(lambda: chat.metrics().get(in_progress) == 1)
    waiting.leave()
    assert wait_until(lambda: chat.metrics().get(in_progress) == 0)
    holder.leave()
    assert say(chat, session, "z", model="stub/ok").status == 200
    assert stub.count("ok") == before + 1
    assert [message["content"] for message in messages_of(chat, session)][::2] == ["x", "z"]


def test_a_long_turn_keeps_its_lock(suite, stub):
    """The lease is renewed: a turn of more than 30 s is not taken over."""
    private = suite.start(environment_for(stub))
    session = new_id()
    holder = RawClient(private, "/chat/stream",
                       {"session_id": session, "message": "x", "model": "stub/drip"})
    holder.read_until(b"event: token")

    def lease_end():
        row, = rows(private, "SELECT lock_expires_at FROM conversations WHERE id = ?", session)
        return row["lock_expires_at"]

    first = lease_end()
    assert wait_until(lambda: lease_end() > first, 15)
    holder.leave()
    assert wait_until(lambda: lease_end() == 0)


@STREAMED
def test_a_turn_that_cannot_be_saved_is_told_logged_charged_and_forgotten(suite, stub, stream):
    private = suite.start(environment_for(stub))
    session = new_id()
    assert say(private, session, "kept", model="stub/ok").status == 200
    before = stub.count("late:1")
    with concurrent.futures.ThreadPoolExecutor(1) as pool, \
            contextlib.closing(sqlite3.connect(f"{private.state}/quintet.db", isolation_level=None)) as writer:
        answer = pool.submit(say, private, session, "lost", model="stub/late:1", stream=stream)
        stub.last("late:1", after=before)
        writer.execute("BEGIN IMMEDIATE")
        answer = answer.result()
        writer.execute("ROLLBACK")
    if stream:
        name, said = last_event(answer)
        assert name == "error" and said["code"] == "E111", said
    else:
        assert answer.status == 503 and answer.json["code"] == "E111", answer
        assert int(answer.headers["retry-after"]) >= 1
    # The next one need not wait for the end of its lease.
    assert say(private, session, "next", model="stub/ok").status == 200
    assert wait_until(lambda: len(rows(private, "SELECT * FROM ledger")) == 3, 10)
    assert [line["error_type"] for line in private.log_lines() if line["message"] == "session_not_saved"]
    assert [message["content"] for message in messages_of(private, session)] == [
        "kept", TEXT, "next", TEXT]


def test_the_lock_of_a_turn_that_cannot_be_saved_is_given_back_to_others_as_well(suite, stub):
    """The lock goes to another program or host, which knows only what the database has."""
    private = suite.start(environment_for(stub))
    session = new_id()
    with concurrent.futures.ThreadPoolExecutor(1) as pool, \
            contextlib.closing(sqlite3.connect(f"{private.state}/quintet.db", isolation_level=None)) as writer:
        answer = pool.submit(say, private, session, "lost", model="stub/late:1")
        assert wait_until(lambda: rows(private, "SELECT * FROM conversations"))
        writer.execute("BEGIN IMMEDIATE")
        assert answer.result().json["code"] == "E111"
        writer.execute("ROLLBACK")
    # It never had a turn, so nothing of it stays.
    assert wait_until(lambda: rows(private, "SELECT * FROM conversations") == [], 5)


# --- death

def test_a_killed_program_loses_no_acknowledged_turn_and_no_lock(suite, stub):
    private = suite.start(environment_for(stub))
    session = new_id()
    acknowledged = []

    def talk():
        for number in range(90):  # one page of messages holds 100 turns
            try:
                answer = say(private, session, f"number {number}", model="demo/echo")
            except OSError:
                return
            if answer.status != 200:
                return
            acknowledged.append(number)

    thread = threading.Thread(target=talk)
    thread.start()
    assert wait_until(lambda: len(acknowledged) >= 20)
    pid, = private.pids("chat")
    os.kill(pid, signal.SIGKILL)
    thread.join(30)
    assert wait_until(lambda: set(private.pids("chat")) - {pid})
    # The dead holder's lease is not waited for.
    began = time.monotonic()
    assert wait_until(lambda: say(private, session, "afterwards", model="demo/echo").status == 200)
    assert time.monotonic() - began < 5
    contents = [message["content"] for message in messages_of(private, session)][::2]
    assert [f"number {number}" for number in acknowledged] == contents[:len(acknowledged)]
    assert contents[-1] == "afterwards" and len(contents) - len(acknowledged) in (1, 2)


def test_a_turn_in_the_middle_of_a_kill_frees_the_session(suite, stub):
    private = suite.start(environment_for(stub))
    session = new_id()
    holder = RawClient(private, "/chat/stream",
                       {"session_id": session, "message": "x", "model": "stub/drip"})
    holder.read_until(b"event: token")
    pid, = private.pids("chat")
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: set(private.pids("chat")) - {pid})
    began = time.monotonic()
    assert wait_until(lambda: say(private, session, "y", model="stub/ok").status == 200)
    assert time.monotonic() - began < 5
    assert [message["content"] for message in messages_of(private, session)] == ["y", TEXT]


def test_stopping_the_program_ends_turns_with_an_event(suite, stub):
    private = suite.start(environment_for(stub))
    client = RawClient(private, "/chat/stream",
                       {"session_id": "s", "message": "x", "model": "stub/drip"})
    client.read_until(b"event: token")
    pid, = private.pids("chat")
    os.kill(pid, signal.SIGTERM)
    body = client.read_all()
    assert b"event: error" in body and b"event: done" not in body


# --- the routes of sessions

def test_sessions_are_listed_shown_cleared_and_deleted(suite, stub):
    private = suite.start(environment_for(stub))
    nothing = {"items": [], "total": 0, "page": 1, "page_size": 20}
    assert get(private, "/chat/sessions").json == nothing
    for name in ("first", "second", "third"):
        say(private, name, f"hello {name}\nsecond line", model="stub/ok")
        time.sleep(0.005)  # sessions are told in the order of their milliseconds
    listed = get(private, "/chat/sessions").json
    assert [session["session_id"] for session in listed["items"]] == ["third", "second", "first"]
    pages = [get(private, f"/chat/sessions?page={number}&page_size=2").json for number in (1, 2, 3)]
    assert [[session["session_id"] for session in page["items"]] for page in pages] == [
        ["third", "second"], ["first"], []]
    assert [page["total"] for page in pages] == [3] * 3
    shown = get(private, "/chat/sessions/second").json
    assert shown["messages"] == messages_of(private, "second")
    assert shown["owner"] and shown["temperature"] is None
    assert {name: shown[name] for name in listed["items"][1]} == listed["items"][1]
    assert set(shown) - set(listed["items"][1]) == {"owner", "temperature", "messages"}
    assert shown["title"] == "hello second" and shown["message_count"] == 2
    assert shown["model"] == "stub/ok"
    assert shown["created_at"] <= shown["updated_at"] < shown["expires_at"]

    headers = {"X-API-Key": KEY}
    cleared = private.post("/chat/sessions/second/clear", headers=headers)
    assert cleared.status == 200 and cleared.json["message_count"] == 0
    assert messages_of(private, "second") == []
    say(private, "second", "again", model="stub/ok")
    assert stub.last("ok").json["messages"] == [{"role": "user", "content": "again"}]

    deleted = private.request("DELETE", "/chat/sessions/second", headers=headers)
    assert (deleted.status, deleted.body) == (204, b"")
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/clear"), ("GET", "/messages")):
        answer = private.request(method, f"/chat/sessions/second{path}", headers=headers)
        assert answer.status == 404 and answer.json["code"] == "E100", (method, path)
    assert rows(private, "SELECT count(*) AS n FROM messages")[0]["n"] == 4


def test_messages_come_in_pages(chat):
    session = new_id()
    for number in range(7):
        say(chat, session, f"number {number}", model="stub/ok")
    collected, before = [], ""
    while True:
        page = get(chat, f"/chat/sessions/{session}/messages?limit=4{before}").json
        assert page["session_id"] == session and len(page["messages"]) <= 4
        collected = page["messages"] + collected
        if not page["has_more"]:
            break
        before = f"&before={page['next_before']}"
    assert page["next_before"] is None
    assert [message["position"] for message in collected] == sorted(
        message["position"] for message in collected)
    assert [message["content"] for message in collected[::2]] == [
        f"number {number}" for number in range(7)]


@pytest.mark.parametrize("path", ["/chat/sessions/s/messages?before=0", "/chat/sessions/s/messages?limit=0",
                                  "/chat/sessions/s/messages?limit=201",
                                  "/chat/sessions/s/messages?limit=1.5"])
def test_bad_query_parameters_are_refused(chat, path):
    answer = get(chat, path)
    assert answer.status == 422 and answer.json["detail"][0]["loc"][0] == "query"


@pytest.mark.parametrize("identifier", ["a%20b", "x" * 129, "%C3%A9", "a%22", "%22a", "%20"])
def test_bad_ids_in_the_path_are_refused(chat, identifier):
    answer = get(chat, f"/chat/sessions/{identifier}")
    assert answer.status == 422 and answer.json["code"] == "E004"


def test_somebody_elses_session_is_not_found(chat):
    session = new_id()
    say(chat, session, "secret", model="demo/echo")
    headers = {"X-API-Key": OTHER_KEY}
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/clear"), ("GET", "/messages")):
        answer = chat.request(method, f"/chat/sessions/{session}{path}", headers=headers)
        assert answer.status == 404 and answer.json["code"] == "E100"
    assert session not in get(chat, "/chat/sessions?limit=200", OTHER_KEY).body.decode()
    # The same id is another session for another person.
    other = say(chat, session, "mine", key=OTHER_KEY, model="demo/echo").json
    assert "first message" in other["response"]
    user = chat.token()
    answer = chat.post("/chat", {"session_id": session, "message": "u", "model": "demo/echo"},
                       token=user)
    assert "first message" in answer.json["response"]
    assert [message["content"] for message in messages_of(chat, session)][0] == "secret"


def test_a_session_expires_when_it_is_not_used(suite, stub):
    private = suite.start(environment_for(stub, SESSION_TTL="2"))
    session = new_id()
    for _ in range(3):
        assert say(private, session, "x", model="demo/echo").status == 200
        time.sleep(1.2)  # within the two seconds after the last turn, and past those after the first
    assert len(messages_of(private, session)) == 6
    answer = wait_until(lambda: (got := get(private, f"/chat/sessions/{session}")).status != 200 and got)
    assert answer.status == 410 and answer.json["code"] == "E101"
    assert get(private, "/chat/sessions").json["items"] == []
    assert "first message" in say(private, session, "y", model="demo/echo").json["response"]
    assert len(messages_of(private, session)) == 2


def test_the_models_are_described(chat):
    body = get(chat, "/chat/models").json
    assert set(body) == {"models", "total_count", "routing_info"}
    assert body["total_count"] == len(body["models"]) == 4
    models = {model["id"]: model for model in body["models"]}
    for model in models.values():
        assert set(model) == {"id", "provider", "provider_name", "capabilities", "context_window",
                              "pricing"}
    assert models["stub/ok"]["pricing"]["input_per_million"] == 0.5
    assert models["demo/echo"]["pricing"] is None
    assert body["routing_info"]["default_provider"] == "stub"


# --- the rest

def test_only_newer_messages_are_sent_when_a_conversation_grows_long(chat, stub):
    session = new_id()
    for number in range(60):
        assert say(chat, session, f"{number} " + "x" * 9990, model="stub/ok").status == 200
    sent = stub.last("ok").json["messages"]
    size = sum(len(message["content"]) for message in sent)
    assert 380000 < size < 411000
    assert sent[0]["role"] == "user" and sent[-1]["content"].startswith("59 ")
    assert len(messages_of(chat, session)) == 120


def test_a_database_that_is_gone_is_503(suite, stub):
    private = suite.start(environment_for(stub))
    assert say(private, "s", "x", model="stub/ok").status == 200
    path = private.state / "quintet.db"
    for suffix in ("", "-wal", "-shm"):
        (private.state / f"quintet.db{suffix}").rename(private.state / f"moved{suffix}")
    path.mkdir()
    pid, = private.pids("chat")
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: set(private.pids("chat")) - {pid})
    answer = wait_until(lambda: (lambda got: got if got.status == 503 and got.headers.get(
        "content-type") == "application/json" else None)(say(private, "s", "y", model="stub/ok")))
    assert answer.json["code"] == "E110" and answer.headers["retry-after"]


def test_nothing_that_was_said_is_in_a_log(chat):
    secret = "wombat-in-a-session"
    for stream in (False, True):
        say(chat, new_id(), secret, stream=stream, model="stub/echo")
        say(chat, new_id(), secret, stream=stream, model="stub/error-frame")
    assert secret not in (chat.state / "log" / "quintet.log").read_text()
