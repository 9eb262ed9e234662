"""MAX_STREAMS: what is refused beyond it, and what is not."""

import pytest

from chat_help import HELLO, KEY, RawClient, complete, environment_for, stub  # noqa: F401
from suite import Suite, wait_until

MAXIMUM = 3


@pytest.fixture(scope="module")
def chat(stub):  # noqa: F811
    suite = Suite(environment_for(stub, MAX_STREAMS=str(MAXIMUM))).start_process()
    yield suite
    suite.stop()


def test_streams_beyond_the_maximum_are_refused_before_a_provider_is_asked(chat, stub):  # noqa: F811
    streams = [RawClient(chat, "/v1/chat/completions",
                         {"model": "stub/drip", "messages": HELLO, "stream": True})
               for _ in range(MAXIMUM)]
    try:
        for stream in streams:
            stream.read_until(b"data: ")
        before = stub.count("ok")
        for streamed in (True, False):
            refused = complete(chat, "stub/ok", stream=streamed)
            assert refused.status == 503
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.json["error"]["code"] == "service_overloaded", refused.body
        assert stub.count("ok") == before
        assert chat.get("/health/live").status == 200
        assert chat.get("/v1/models", token=KEY).status == 200
        streams.pop().leave()
        assert wait_until(lambda: complete(chat, "stub/ok").status == 200)
    finally:
        for stream in streams:
            stream.leave()
