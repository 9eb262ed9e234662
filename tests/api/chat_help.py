"""What the tests of the chat program share: a suite whose one provider is upstream_stub, a view of
its database, and a reader of event streams. Import the fixtures by name."""
import contextlib
import json
import socket
import sqlite3

import pytest

from suite import Suite
from upstream_stub import UpstreamStub

KEY = "sk-test-key-of-somebody"
OTHER_KEY = "sk-test-key-of-another"
UPSTREAM_KEY = "sk-upstream-secret"
HELLO = [{"role": "user", "content": "hello"}]


def environment_for(stub, **more):
    return {
        "PROVIDER_STUB_BASE_URL": stub.url,
        "PROVIDER_STUB_API_KEY": UPSTREAM_KEY,
        "STUB_MODELS": "ok,no-usage",
        "DEMO_ENABLED": "true",
        "MODEL_PRICES": '{"stub/ok":"0.5/1.5"}',
        "API_KEYS": f"{KEY},{OTHER_KEY}",
        **more,
    }


@pytest.fixture(scope="module")
def stub():
    started = UpstreamStub().start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def chat(stub):
    """A suite of the module's own."""
    suite = Suite(environment_for(stub)).start_process()
    yield suite
    suite.stop()


def complete(suite, model, stream=False, key=KEY, messages=None, **members):
    body = {"model": model, "messages": messages or HELLO, **members}
    if stream:
        body["stream"] = True
    return suite.post("/v1/chat/completions", body, token=key)


def say(suite, session, message, stream=False, key=KEY, **members):
    body = {"session_id": session, "message": message, **members}
    return suite.post("/chat/stream" if stream else "/chat", body, headers={"X-API-Key": key},
                      timeout=60)


def get(suite, path, key=KEY):
    return suite.get(path, headers={"X-API-Key": key})


def events_of(body):
    """The events of a whole stream as dicts of fields; comments as {"comment": text}."""
    assert body.endswith(b"\n\n"), body[-200:]
    events = []
    for block in body.decode().split("\n\n")[:-1]:
        event = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            event[name or "comment"] = value.removeprefix(" ")
        events.append(event)
    return events


def data_of(body):
    """The data of OpenAI's frames, parsed, without comments; [DONE] as it is."""
    frames = [event["data"] for event in events_of(body) if "data" in event]
    return [frame if frame == "[DONE]" else json.loads(frame) for frame in frames]


def text_of(frames):
    return "".join(choice["delta"].get("content") or ""
                   for frame in frames if frame != "[DONE]" for choice in frame.get("choices", []))


def rows(suite, sql, *parameters):
    """Rows of the suite's database, read from outside."""
    with contextlib.closing(sqlite3.connect(f"file:{suite.state}/quintet.db?mode=ro",
                                            uri=True)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(sql, parameters)]


def ledger(suite, request_id):
    return rows(suite, "SELECT * FROM ledger WHERE request_id = ?", request_id)


class RawClient:
    """A client that can leave in the middle, or read as slowly as it likes."""

    def __init__(self, suite, path, body, key=KEY, request_id="raw", receive_buffer=None):
        data = json.dumps(body).encode()
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", suite.port))
        self.socket.settimeout(20)
        self.received = b""
        # lighttpd 1.4.69 does not watch a new connection for its end if the whole request was there
        # when it was first read. This client lets it ask for the body, as large uploads do.
        self.socket.sendall(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nX-API-Key: {key}\r\nExpect: 100-continue\r\n"
            f"X-Request-ID: {request_id}\r\nContent-Length: {len(data)}\r\n\r\n".encode())
        assert self.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        self.socket.sendall(data)
        self.received = b""

    def read_until(self, text):
        while text not in self.received:
            data = self.socket.recv(65536)
            assert data, f"ended before {text!r}: {self.received[-300:]!r}"
            self.received += data
        return self.received

    def read_all(self):
        while data := self.socket.recv(65536):
            self.received += data
        return self.received

    def leave(self):
        self.socket.close()
