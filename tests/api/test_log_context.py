"""Each line of the log carries the id of its request, whichever thread wrote it, and whatever other requests
that thread worked on."""
import collections
import concurrent.futures

import pytest

from chat_help import HELLO, KEY, environment_for, stub  # noqa: F401 (a fixture)
from suite import Suite, wait_until

STREAMS = 200
# The model that each kind of stream asks for, and how many lines about a failure it must cause.
KINDS = {"stub/ok": 0, "stub/status-500": 1, "stub/status-503": 1, "stub/truncate": 1, "stub/no-such-model": 1,
         "demo/echo": 0}
TRIED_AGAIN = {"stub/status-500", "stub/status-503"}


@pytest.fixture(scope="module")
def chat(stub):  # noqa: F811
    suite = Suite(environment_for(stub, LOG_LEVEL="DEBUG", DATABASE_ECHO="true")).start_process()
    yield suite
    suite.stop()


def ask(suite, number):
    kind = list(KINDS)[number % len(KINDS)]
    correlation = f"{kind.replace('/', '.')}-{number:03}"
    path, body = (("/v1/chat/completions", {"model": kind, "messages": HELLO, "stream": True})
                  if number // len(KINDS) % 2 else
                  ("/chat/stream", {"session_id": f"s-{number}", "model": kind, "message": "hello"}))
    answer = suite.post(path, body, headers={"X-API-Key": KEY, "X-Correlation-ID": correlation}, timeout=60)
    assert answer.headers["x-correlation-id"] == correlation
    return correlation


def test_of_200_interleaved_streams_no_line_carries_anothers_id(chat):
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        asked = set(pool.map(lambda number: ask(chat, number), range(STREAMS)))
    wait_until(lambda: sum(line["message"].startswith("request_") and line["correlation_id"] in asked
                           for line in chat.log_lines()) == STREAMS)
    by_request = collections.defaultdict(list)
    for line in chat.log_lines():
        if line["correlation_id"] in asked:
            by_request[line["correlation_id"]].append(line)
        elif line["logger"].endswith("chat"):
            # Lines without an id are right only where no request was in hand.
            assert line["correlation_id"] is None and "model" not in line and "owner" not in line, line
    assert by_request.keys() == asked
    for correlation, lines in by_request.items():
        kind = correlation.rpartition("-")[0].replace(".", "/")
        words = collections.Counter(line["message"] for line in lines)
        assert words["incoming_request"] == 1, words
        assert words["provider_failed"] == KINDS[kind], (correlation, words)
        assert (words["provider_tried_again"] > 0) == (kind in TRIED_AGAIN), (correlation, words)
        is_session = any(line.get("session_id") for line in lines)
        assert words["statement_executed"] > 0 or not is_session, (correlation, words)
        assert {line["model"] for line in lines if "model" in line} <= {kind, kind.split("/")[1]}, lines
