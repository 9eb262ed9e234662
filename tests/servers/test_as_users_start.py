"""The programs as users start them: their settings come from a file of the directory they are started in,
a web server keeps its connections, and a second host serves from the same database."""
import json
import os

import pytest

import fastcgi_client as fastcgi
from suite import sanitizer_environment
from web_servers import NAMES, Programs, base_environment, write_settings

KEYS = ("sk-key-of-the-first-host", "sk-key-of-somebody-else")
# Of each program a path that needs credentials, and what it answers to a key of the configuration.
GUARDED = {"auth": ("/auth/me", 403), "charts": ("/api/charts", 200), "chat": ("/v1/models", 200),
           "health": ("/health/cost-tracking", 200), "metrics": ("/metrics", 200)}
TOKEN = "scrape-token-0000"


class FromFile(Programs):
    """The environment tells them nothing."""

    def __init__(self, state, file, names=NAMES):
        self.directory = state
        write_settings(state, base_environment(state, API_KEYS=",".join(KEYS), METRICS_TOKEN=TOKEN))
        if file != "quintet.conf":
            (state / "quintet.conf").rename(state / file)
        super().__init__(state, names)

    def start(self, name):
        self.environment = {"PATH": os.environ["PATH"], **sanitizer_environment()}
        super().start(name)


@pytest.fixture
def hosts():
    """Programs that end with the test."""
    started = []
    yield started
    assert all(set(programs.stop().values()) == {0} for programs in started)


@pytest.mark.parametrize("file", ["quintet.conf", ".env"])
def test_a_request_has_nothing_of_the_one_before_on_a_kept_connection(hosts, state, file):
    programs = FromFile(state, file)
    hosts.append(programs)
    for name, (path, status) in GUARDED.items():
        key = TOKEN if name == "metrics" else KEYS[0]
        given = {"HTTP_AUTHORIZATION": f"Bearer {key}"} if name == "metrics" else {"HTTP_X_API_KEY": key}
        with fastcgi.Connection(str(programs.socket(name)), 10) as connection:
            asked = [connection.ask(path, keep=True, HTTP_X_CORRELATION_ID=f"{name}-{turn}", **(given if turn % 2 else {}))
                     for turn in range(6)]
        assert [answer.status for answer in asked] == [401, status] * 3, (name, asked[1].out[:400])
        assert [answer.head["x-correlation-id"] for answer in asked] == [f"{name}-{turn}" for turn in range(6)]


def say(connection, session, key, model="demo/echo", path="/chat"):
    connection.send(fastcgi.request(
        path, keep=True, HTTP_X_API_KEY=key, CONTENT_TYPE="application/json",
        body=json.dumps({"session_id": session, "message": "x", "model": model}).encode()))


def test_a_second_host_does_not_take_a_turn_that_the_first_has_begun(hosts, state, tmp_path, stub):
    """They share the database and no memory."""
    settings = {"API_KEYS": ",".join(KEYS), "PROVIDER_STUB_BASE_URL": stub.url, "STUB_MODELS": "ok",
                "PROVIDER_STUB_API_KEY": "sk-upstream", "DEMO_ENABLED": "true", "SESSION_LOCK_WAIT": "1"}
    (tmp_path / "log").mkdir()
    first = Programs(state, ("chat",), **settings)
    hosts.append(first)
    second = Programs(tmp_path, ("chat",), DATABASE_URL=f"sqlite:{state}/quintet.db", **settings)
    hosts.append(second)
    assert first.environment["RUNTIME_DIR"] != second.environment["RUNTIME_DIR"]
    with fastcgi.Connection(str(second.socket("chat")), 20) as later:
        with fastcgi.Connection(str(first.socket("chat")), 20) as holder:
            say(holder, "shared", KEYS[0], "stub/drip", "/chat/stream")
            received = b""
            while b"event: token" not in received:
                received += holder.read_record()[2]
            say(later, "shared", KEYS[0])
            answer = later.read_answer()
            assert answer.status == 409 and json.loads(answer.body)["code"] == "E102", answer.out
            say(later, "shared", KEYS[1])  # another's session of that name
            assert later.read_answer().status == 200
        # The client of the first has left: its turn is kept as cut off.
        for _ in range(20):
            say(later, "shared", KEYS[0])
            answer = later.read_answer()
            if answer.status != 409:
                break
        assert answer.status == 200
        answer = later.ask("/chat/sessions/shared/messages", HTTP_X_API_KEY=KEYS[0])
        assert [message["cut_off"] for message in json.loads(answer.body)["messages"]] == [True, True, False, False]
