"""Each line of the log carries the id of its request, whichever thread wrote it, and whatever other requests
that thread worked on."""
import collections
import concurrent.futures

import pytest

from chat_help import HELLO, KEY, environment_for, stub  # noqa: F401 (a fixture)
from suite import Suite, wait_until
from test_providers_odd import PASSING, Turns, whole

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


def test_a_turn_that_has_waited_for_another_is_its_own(chat, stub):  # noqa: F811
    """The end of the one begins the other."""
    def trace(digit):
        return f"00-{digit * 32}-{digit * 16}-01"

    def turn(correlation, model, digit):
        return chat.post("/chat", {"session_id": "shared", "model": f"stub/{model}", "message": "x"},
                         headers={"X-API-Key": KEY, "X-Correlation-ID": correlation, "traceparent": trace(digit)})

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(turn, "first-turn", "late:1", "1")
        assert stub.last("late:1").headers["traceparent"] == trace("1")
        second = pool.submit(turn, "second-turn", "no-usage", "2")
        assert (first.result().status, second.result().status) == (200, 200)
    assert stub.last("no-usage").headers["traceparent"] == trace("2")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/stream"])
def test_a_call_that_is_tried_again_keeps_the_id_of_its_request(stub, path):  # noqa: F811
    retrying = Suite(environment_for(stub, UPSTREAM_RETRIES="1")).start_process()
    try:
        for kind, expected in (("again", 200), ("never", 503)):
            correlation = kind + path.replace("/", "-")
            stub.answers = Turns(kind, PASSING["503"], whole() if kind == "again" else PASSING["503"])
            answer = retrying.post(path, {"session_id": kind, "model": f"stub/{kind}", "message": "x",
                                          "messages": HELLO, "stream": True},
                                   headers={"X-API-Key": KEY, "X-Correlation-ID": correlation})
            assert (answer.status, stub.count(kind)) == (expected, 2)
            assert answer.headers["x-correlation-id"] == answer.headers["x-request-id"] == correlation
            wait_until(lambda: any(line["message"].startswith("request_") and
                                   line["correlation_id"] == correlation  # noqa: B023
                                   for line in retrying.log_lines()))
            words = [(line["message"], line["correlation_id"]) for line in retrying.log_lines()
                     if line["message"].startswith("provider_") and line.get("model") in (kind, f"stub/{kind}")]
            assert words == [("provider_tried_again", correlation)] + (
                [] if kind == "again" else [("provider_failed", correlation)])
            stub.requests.clear()
    finally:
        retrying.stop()
