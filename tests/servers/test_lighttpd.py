"""The suite behind lighttpd, as script/server starts it."""
import concurrent.futures
import os
import signal

import pytest

from promises import Promises, chat_stream, check_silent_leave, events
from suite import Suite, despite_lighttpd, wait_until


@pytest.fixture
def server(started):
    return started(Suite)


class TestLighttpd(Promises):
    pass


@despite_lighttpd
def test_a_client_that_leaves_a_silent_stream_is_noticed_at_once(private, stub):
    check_silent_leave(private(Suite, {"PROVIDER_STUB_BASE_URL": stub.url}), stub)


def register_while(server, stop):
    """Calls `stop` while 3 registrations run, one after the other; all must be answered."""
    in_progress = 'http_requests_in_progress{method="POST",endpoint="/auth/register"}'
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(server.register) for _ in range(3)]
        wait_until(lambda: server.metrics().get(in_progress, 0) >= 2)
        stop()
        for answer in answers:
            assert answer.result()["access_token"]


def test_sigterm_of_a_program_lets_running_requests_finish(private):
    server = private(Suite, {"PASSWORD_HASH_CONCURRENCY": "1"})
    [process] = server.pids("auth")
    register_while(server, lambda: os.kill(process, signal.SIGTERM))
    wait_until(lambda: process not in server.pids("auth"), 5)


def test_sigterm_of_the_whole_suite_lets_running_requests_finish(private):
    server = private(Suite, {"PASSWORD_HASH_CONCURRENCY": "1"})
    register_while(server, server.process.terminate)
    assert server.process.wait(30) == 0


def test_a_program_that_was_stopped_is_started_again(private):
    server = private(Suite)
    person = server.register()
    [process] = server.pids("auth")
    os.kill(process, signal.SIGTERM)
    wait_until(lambda: server.pids("auth") not in ([], [process]), 10)
    wait_until(lambda: server.get("/auth/me", token=person["access_token"]).status == 200, 10)


@pytest.mark.parametrize("kind", ["chat", "completions"])
def test_sigterm_ends_a_stream_with_an_event_and_not_in_the_middle(private, kind):
    server = private(Suite)
    path, body = chat_stream(150)[kind]
    connection, response = server.stream(path, body, token=server.token())
    seen = events(response)
    next(seen)
    [process] = server.pids("chat")
    os.kill(process, signal.SIGTERM)
    rest = list(seen)
    connection.close()
    assert b"error" in rest[-1][1] or b"usage" in rest[-1][1], rest[-1]
    assert rest[-1][0] < 10
    wait_until(lambda: process not in server.pids("chat"), 5)


def test_the_metrics_port_serves_metrics_and_nothing_else(server):
    answer = server.get("/metrics", port=server.metrics_port)
    assert answer.status == 200 and b"http_requests_total" in answer.body
    assert server.get("/health", port=server.metrics_port).status == 404
    assert server.get("/auth/me", port=server.metrics_port).status == 404


def test_no_descriptor_is_left_behind(private):
    server = private(Suite)
    token = server.token()

    def descriptors(name):
        [process] = server.pids(name)
        return len(os.listdir(f"/proc/{process}/fd"))

    def use():
        for path, body in chat_stream(1, "demo/echo").values():
            for leaves in (True, False):
                connection, response = server.stream(path, body, token=token)
                next(events(response)) if leaves else response.read()
                response.close()
                connection.close()
        for path in ("/health/all", "/auth/me", "/chat/models", "/api/charts", "/auth/none") * 4:
            server.get(path, token=token)
        wait_until(lambda: server.metrics()["chat_streams_active"] == 0)

    use()  # opens what stays open: the database, the pump
    before = {name: descriptors(name) for name in ("health", "auth", "chat", "charts")}
    for _ in range(10):
        use()
    for name, count in before.items():
        # Each of 8 workers may have opened a connection to the database, which is three files; what
        # leaks would be 40 or more.
        wait_until(lambda: descriptors(name) <= count + 24, 5)
