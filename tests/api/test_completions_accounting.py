"""The traces of a completion: its entry in the ledger, its metrics, and nothing secret in the log."""
import json
import re

import pytest

from chat_help import (HELLO, KEY, RawClient, UPSTREAM_KEY, chat, complete, ledger,  # noqa: F401
                       stub)
from suite import wait_until
from upstream_stub import TEXT

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@STREAMED
def test_usage_and_cost_are_in_the_ledger_before_the_answer_ends(chat, stream):
    request_id = f"ledger-{stream}"
    answer = chat.post("/v1/chat/completions",
                       {"model": "stub/ok", "messages": HELLO, "stream": stream}, token=KEY,
                       headers={"X-Request-ID": request_id})
    assert answer.headers["x-request-id"] == request_id
    row, = ledger(chat, request_id)
    assert (row["provider"], row["model"], row["operation"], row["outcome"]) == (
        "stub", "ok", "completion", "ok")
    assert (row["input_tokens"], row["output_tokens"]) == (11, 5)
    assert row["is_streamed"] == stream and row["is_estimated"] == 0
    # 0.5 and 1.5 dollars a million: 500 and 1500 billionths a token.
    assert row["cost_nanodollars"] == 11 * 500 + 5 * 1500


@STREAMED
def test_usage_that_is_not_told_is_estimated(chat, stream):
    request_id = f"estimate-{stream}"
    chat.post("/v1/chat/completions",
              {"model": "stub/no-usage", "messages": [{"role": "user", "content": "x" * 40}],
               "stream": stream}, token=KEY, headers={"X-Request-ID": request_id})
    row, = ledger(chat, request_id)
    assert (row["input_tokens"], row["output_tokens"], row["is_estimated"]) == (
        10, (len(TEXT) + 3) // 4, 1)


@STREAMED
@pytest.mark.parametrize("told,tokens", [
    ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (2, (len(TEXT) + 3) // 4)),
    ({"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7}, (7, (len(TEXT) + 3) // 4)),
], ids=["both", "output"])
def test_no_output_told_beside_a_text_makes_it_not_free(chat, stub, told, tokens, stream):
    """`told` stands in a whole answer, or in the first chunk of a stream."""
    name, request_id = "delta" if stream else "message", f"zeros-{sum(told.values())}-{stream}"
    body = json.dumps({"usage": told, "choices": [
        {"index": 0, name: {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}]})
    stub.answers["zeros"] = (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        + (f"data: {body}\n\ndata: [DONE]\n\n" if stream else body).encode())
    answer = chat.post("/v1/chat/completions",
                       {"model": "stub/zeros", "messages": HELLO, "stream": stream}, token=KEY,
                       headers={"X-Request-ID": request_id})
    assert answer.status == 200, answer
    row, = ledger(chat, request_id)
    assert ((row["input_tokens"], row["output_tokens"]), row["is_estimated"]) == (tokens, 1)


def test_what_fails_in_the_middle_is_charged_and_what_never_began_is_not(chat):
    for model, count in (("truncate", 1), ("status-500", 0)):
        request_id = f"charged-{model}"
        chat.post("/v1/chat/completions",
                  {"model": f"stub/{model}", "messages": HELLO, "stream": True}, token=KEY,
                  headers={"X-Request-ID": request_id})
        found = ledger(chat, request_id)
        assert len(found) == count
        assert all(row["outcome"] == "failed" for row in found)


def test_metrics_count_what_happens(chat):
    before = chat.metrics()
    complete(chat, "stub/ok")
    complete(chat, "stub/ok", stream=True)
    complete(chat, "stub/status-500")
    after = chat.metrics()

    def gain(name):
        return after.get(name, 0) - before.get(name, 0)

    assert gain('chat_completions_total{provider="stub",model="ok"}') == 2
    assert gain('chat_completion_tokens_total{provider="stub",model="ok",token_type="prompt"}') == 22
    assert gain('chat_completion_tokens_total{provider="stub",model="ok",token_type="completion"}') == 10
    assert gain('chat_completion_errors_total{provider="stub",error_type="unavailable"}') == 1
    assert gain('provider_latency_seconds_count{provider="stub",operation="chat_completion"}') == 4
    assert gain('provider_latency_seconds_count{provider="stub",operation="chat_completion_stream"}') == 1
    assert gain('chat_time_to_first_token_seconds_count{provider="stub"}') == 1
    client = RawClient(chat, "/v1/chat/completions",
                       {"model": "stub/stall", "messages": HELLO, "stream": True})
    client.read_until(b"data: ")
    assert chat.metrics()["chat_streams_active"] == 1
    client.leave()
    assert wait_until(lambda: chat.metrics()["chat_streams_active"] == 0)


def test_prompts_answers_and_keys_are_in_no_log(chat):
    secret = "wombat-prompt-text"
    for stream in (False, True):
        complete(chat, "stub/echo", stream=stream, messages=[{"role": "user", "content": secret}])
        complete(chat, "stub/error-frame", stream=stream,
                 messages=[{"role": "user", "content": secret}])
    complete(chat, "stub/status-401")
    text = (chat.state / "log" / "quintet.log").read_text()
    assert secret not in text
    assert UPSTREAM_KEY not in text and KEY not in text
    assert "provider_failed" in text and re.search(r'"provider_status":401', text)
