"""What people make in chats belongs to their owner, whichever credential they come with; what it
costs is told to the owner, and the whole of it to an administrator."""
import concurrent.futures
import contextlib
import sqlite3

import pytest

from chat_help import (HELLO, KEY, OTHER_KEY, RawClient, chat, environment_for, get, ledger,  # noqa: F401
                       rows, say, stub)

COST = 11 * 0.5e-6 + 5 * 1.5e-6


def user_with_key(suite):
    token = suite.token()
    made = suite.post("/auth/api-keys", {"name": "of a user"}, token=token)
    assert made.status == 201, made
    return token, made.json["key"]


def test_a_user_and_the_users_keys_see_the_same_sessions(chat):
    token, key = user_with_key(chat)
    said = chat.post("/chat", {"session_id": "mine", "message": "by the user",
                               "model": "stub/ok"}, token=token)
    assert said.status == 200
    assert get(chat, "/chat/sessions/mine", key).json["messages"][0]["content"] == "by the user"
    assert [session["session_id"] for session in get(chat, "/chat/sessions", key).json["items"]] \
        == ["mine"]
    say(chat, "mine", "by the key", key=key, model="stub/ok")
    shown = chat.get("/chat/sessions/mine", token=token).json
    assert [message["content"] for message in shown["messages"]][::2] == ["by the user",
                                                                           "by the key"]
    assert chat.request("DELETE", "/chat/sessions/mine", headers={"X-API-Key": key}).status == 204
    assert chat.get("/chat/sessions/mine", token=token).status == 404


def test_the_ledger_knows_who_pays_and_which_credential_asked(chat):
    token, key = user_with_key(chat)
    by_user = chat.post("/chat", {"session_id": "l", "message": "x", "model": "stub/ok"},
                        token=token)
    by_key = chat.post("/v1/chat/completions",
                       {"model": "stub/ok", "messages": [{"role": "user", "content": "x"}]},
                       token=key)
    first, = ledger(chat, by_user.headers["x-request-id"])
    second, = ledger(chat, by_key.headers["x-request-id"])
    assert first["owner"] == second["owner"] and first["owner"].startswith("user:")
    assert first["principal"] == first["owner"]
    assert second["principal"].startswith("key:") and second["principal"] != second["owner"]
    assert first["operation"] == "chat" and second["operation"] == "completion"
    for credentials in ({"token": token}, {"headers": {"X-API-Key": key}}):
        told = chat.get("/health/cost-tracking", **credentials).json
        assert told["by_provider"] == {"stub": pytest.approx(2 * COST)}
        assert told["total_cost"] == told["cost_today"] == told["cost_this_month"] == \
            pytest.approx(2 * COST)


def test_an_administrator_sees_what_the_installation_costs(suite, stub):
    private = suite.start(environment_for(stub))
    admin = {"X-API-Key": private.admin_key()}
    assert private.get("/health/cost-tracking", headers=admin).json["total_cost"] == 0
    for key in (KEY, OTHER_KEY):
        assert say(private, "s", "x", key=key, model="stub/ok").status == 200
    whole = private.get("/health/cost-tracking", headers=admin).json
    assert whole["total_cost"] == whole["cost_today"] == pytest.approx(2 * COST)
    assert whole["by_provider"] == {"stub": pytest.approx(2 * COST)}
    assert get(private, "/health/cost-tracking").json["total_cost"] == pytest.approx(COST)


def test_costs_beyond_all_measure_are_told_and_not_an_error(suite, stub):
    private = suite.start(environment_for(stub, MODEL_PRICES='{"stub/rich":"1e6/1e6"}'))
    body = (b'{"choices":[{"index":0,"message":{"role":"assistant","content":"x"},'
            b'"finish_reason":"stop"}],"usage":{"prompt_tokens":1000000000000,'
            b'"completion_tokens":1000000000000}}')
    stub.answers["rich"] = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                            b"%d\r\n\r\n%s" % (len(body), body))
    for _ in range(3):
        assert private.post("/v1/chat/completions", {"model": "stub/rich", "messages": [
            {"role": "user", "content": "x"}]}, headers={"X-API-Key": KEY}).status == 200
    told = get(private, "/health/cost-tracking")
    assert told.status == 200 and told.json["total_cost"] == pytest.approx(3e6)


def test_an_owner_has_as_many_sessions_as_allowed(suite, stub):
    private = suite.start(environment_for(stub, SESSIONS_PER_OWNER="2"))
    for name, stream in (("a", False), ("b", True)):
        assert say(private, name, "x", stream=stream, model="stub/ok").status == 200
    calls = stub.count("ok")
    for stream in (False, True):
        refused = say(private, "c", "x", stream=stream, model="stub/ok")
        assert refused.status == 409 and refused.json["error"] == "session_quota_reached"
        assert refused.json["recoverable"] is False
    assert stub.count("ok") == calls
    assert say(private, "a", "again", model="stub/ok").status == 200
    assert say(private, "c", "x", key=OTHER_KEY, model="stub/ok").status == 200
    private.request("DELETE", "/chat/sessions/b", headers={"X-API-Key": KEY})
    assert say(private, "c", "x", model="stub/ok").status == 200
    assert len(rows(private, "SELECT * FROM conversations")) == 3


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat", "/chat/stream"])
def test_a_new_user_spends_no_more_than_the_budget(suite, stub, path):
    """Many at once, with the user's token and key; each call is estimated at 1.54 and costs 0.013."""
    private = suite.start(environment_for(stub, MODEL_PRICES='{"stub/ok":"500/1500"}',
                                          BUDGET_NEW_USER="4/day;100/month"))
    token, key = user_with_key(private)

    def ask(number):
        body = {"model": "stub/ok", "messages": [{"role": "user", "content": "x"}]}
        if path != "/v1/chat/completions":
            body = {"model": "stub/ok", "session_id": f"s{number}", "message": "x"}
        return private.post(path, body, token=token if number % 2 else None,
                            headers=None if number % 2 else {"X-API-Key": key}, timeout=60)

    answers = [ask(number) for number in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers += list(pool.map(ask, range(8, 16)))
    refused = [answer for answer in answers if answer.status != 200]
    assert all(answer.status == 429 for answer in refused)
    for answer in refused:
        told = answer.json["error"]
        assert (told["code"] if path.startswith("/v1") else told) == "budget_exhausted"
        assert answer.headers["x-should-retry"] == "false"
        assert 0 < int(answer.headers["retry-after"]) <= 86400
    spent = rows(private, "SELECT sum(cost_nanodollars) AS n FROM ledger")[0]["n"]
    assert spent == 13_000_000 * (len(answers) - len(refused)) and spent <= 4e9
    # Somebody else has a budget of their own, and the operator's keys have none.
    other = private.token()
    for credentials in ({"token": other}, {"headers": {"X-API-Key": KEY}}):
        assert private.post("/v1/chat/completions", {"model": "stub/ok", "messages": [
            {"role": "user", "content": "x"}]}, **credentials).status == 200


def test_a_budget_counts_every_choice_and_the_larger_maximum(suite, stub):
    """A thousand tokens of output fit the budget once, however they are asked for."""
    private = suite.start(environment_for(stub, MODEL_PRICES='{"stub/ok":"0/1000"}',
                                          BUDGET_NEW_USER="1.5/day"))
    before = stub.count("ok")
    for members in ({"max_tokens": 1600}, {"max_tokens": 20, "n": 100}, {"n": 2}, {"n": "2"},
                    {"max_tokens": 1600, "max_completion_tokens": 1},
                    {"max_tokens": 1, "max_completion_tokens": 1600}):
        body = {"model": "stub/ok", "messages": [{"role": "user", "content": "x"}], **members}
        answer = private.post("/v1/chat/completions", body, token=private.token())
        assert answer.status == 429 and answer.json["error"]["code"] == "budget_exhausted", members
    assert stub.count("ok") == before
    assert private.post("/v1/chat/completions", {**body, "max_tokens": 100, "n": 10,
                                                 "max_completion_tokens": None},
                        token=private.token()).status == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/stream"])
def test_what_a_stream_has_used_beyond_its_estimate_counts_while_it_runs(suite, stub, path):
    """1024 tokens are reserved for the stream, as for the next call; it has used 2000 and still runs."""
    private = suite.start(environment_for(stub, MODEL_PRICES='{"stub/long":"0/1000"}',
                                          BUDGET_NEW_USER="3/day"))
    _, key = user_with_key(private)
    text = "x" * 8000
    stub.answers["long"] = [
        b'HTTP/1.1 200 OK\r\n\r\ndata: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n'
        % text.encode(), 30]

    def body(session):
        return {"model": "stub/long", "messages": HELLO, "stream": True} if path.startswith("/v1") else {
            "model": "stub/long", "message": "x", "session_id": session}

    client = RawClient(private, path, body("a"), key=key)
    client.read_until(text.encode())
    answer = private.post(path, body("b"), headers={"X-API-Key": key})
    assert answer.status == 429, answer
    client.leave()


def test_a_budget_that_is_spent_refuses_until_the_day_is_over(suite, stub):
    private = suite.start(environment_for(stub, MODEL_PRICES='{"stub/ok":"500/1500"}',
                                          BUDGET_NEW_USER="0.04/day"))
    token = private.token()
    body = {"model": "stub/ok", "messages": [{"role": "user", "content": "x"}], "max_tokens": 5}
    answers = [private.post("/v1/chat/completions", body, token=token) for _ in range(6)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429, 429]
    assert stub.last("ok").json["max_tokens"] == 5


def test_a_budget_counts_what_a_locked_database_has_not_taken(suite, stub):
    private = suite.start(environment_for(stub, MODEL_PRICES='{"stub/ok":"500/1500"}',
                                          BUDGET_NEW_USER="0.04/day"))
    token = private.token()
    body = {"model": "stub/ok", "messages": [{"role": "user", "content": "x"}], "max_tokens": 5}
    assert private.post("/v1/chat/completions", body, token=token).status == 200
    path = f"{private.state}/quintet.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        answers = [private.post("/v1/chat/completions", body, token=token, timeout=60)
                   for _ in range(4)]
        assert len(rows(private, "SELECT * FROM ledger")) == 1
        writer.execute("ROLLBACK")
    assert [answer.status for answer in answers] == [200, 200, 429, 429]
