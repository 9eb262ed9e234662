"""Providers over HTTP/2: connections are shared, and one that has died is left."""

import json

import pytest

from chat_help import HELLO, KEY, RawClient, UPSTREAM_KEY, complete
from h2_stub import TEXT, Http2Stub
from suite import Suite


@pytest.fixture(scope="module")
def http2():
    stub = Http2Stub().start()
    yield stub
    stub.stop()


@pytest.fixture(scope="module")
def chat(http2):
    suite = Suite({
        # The scheme counts in any case.
        "PROVIDER_STUB_BASE_URL": http2.url.replace("https", "HTTPS"),
        "PROVIDER_STUB_API_KEY": UPSTREAM_KEY,
        "UPSTREAM_CA_PATH": http2.certificate,
        "UPSTREAM_FIRST_BYTE_TIMEOUT": "1",
        "API_KEYS": KEY,
    }).start_process()
    yield suite
    suite.stop()


def used(http2):
    """The connections that completions were asked for on."""
    return {connection for connection, _ in http2.requests}


def text_of(answer):
    assert answer.status == 200, answer.body
    return json.loads(answer.body)["choices"][0]["message"]["content"]


def test_calls_share_one_connection(chat, http2):
    for _ in range(3):
        assert text_of(complete(chat, "stub/ok")) == TEXT
    assert len(http2.requests) == 3 and len(used(http2)) == 1


def test_connection_that_went_silent_is_left_and_streams_on_it_go_on(chat, http2):
    stream = RawClient(chat, "/v1/chat/completions",
                       {"model": "stub/drip", "messages": HELLO, "stream": True})
    stream.read_until(b'"0 "')
    before = used(http2)
    assert len(before) == 1
    http2.go_deaf()
    http2.requests.clear()
    assert complete(chat, "stub/ok").status == 504
    assert used(http2) == before
    http2.requests.clear()
    for _ in range(3):
        assert text_of(complete(chat, "stub/ok")) == TEXT
    assert len(used(http2)) == 1 and used(http2) != before
    stream.received = b""
    stream.read_until(b"data: {")
    stream.leave()


def test_request_is_sent_once_when_its_stream_is_refused(chat, http2):
    http2.requests.clear()
    assert complete(chat, "stub/refuse").status == 502
    assert [model for _, model in http2.requests] == ["refuse"]
    assert text_of(complete(chat, "stub/ok")) == TEXT
