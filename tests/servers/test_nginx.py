"""The programs on sockets of their own behind nginx, with kept connections and its buffering on,
configured by nginx/nginx.conf."""
import asyncio
import os
import signal
import subprocess
import time

import pytest

import fastcgi_client
from promises import (Promises, chat_stream, check_leave_of_a_whole_answer, check_silent_leave,
                      events)
from suite import wait_until
from web_servers import Nginx, base_environment, listens_on, program, stop, tool

CLIENTS = 64
REQUESTS = 2000


@pytest.fixture
def server(started):
    return started(Nginx)


class TestNginx(Promises):
    pass


def test_a_client_that_leaves_a_silent_stream_is_noticed_at_once(private, stub):
    check_silent_leave(private(Nginx, {"PROVIDER_STUB_BASE_URL": stub.url}), stub)


def test_a_client_that_leaves_while_it_waits_cancels_the_providers_work(private, stub):
    check_leave_of_a_whole_answer(private(Nginx, {"PROVIDER_STUB_BASE_URL": stub.url}), stub)


async def client(port, count, took):
    """That many requests on one kept connection; every answer must be 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(count):
        start = time.monotonic()
        writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert head.startswith(b"HTTP/1.1 200 "), head
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        await reader.readexactly(int(lengths[0].split(b":")[1]))
        took.append(time.monotonic() - start)
    writer.close()


async def clients(port, took):
    await asyncio.gather(*(client(port, REQUESTS // CLIENTS + 1, took) for _ in range(CLIENTS)))


def open_sockets(process):
    folder = f"/proc/{process}/fd"
    return sum(os.readlink(f"{folder}/{name}").startswith("socket:") for name in os.listdir(folder))


def test_more_kept_connections_than_workers_starve_nobody(private):
    server = private(Nginx, {"WORKERS": "8"})
    [process] = server.pids("health")
    before = open_sockets(process)
    took = []
    asyncio.run(clients(server.port, took))
    assert len(took) >= REQUESTS
    assert max(took) < 2
    # That they were kept is what was tested: many stand idle now, and a new one is served at once.
    assert open_sockets(process) > before + 8
    start = time.monotonic()
    assert server.get("/health").status == 200
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("path", ["/nothing", "/api/v1", "/index.php", "/metricsx"])
def test_a_path_that_belongs_to_nobody_is_answered_like_everything_else(server, path):
    answer = server.get(path)
    assert answer.status == 404 and answer.json["error"] == "not_found"
    assert answer.headers["x-correlation-id"] and answer.headers["x-content-type-options"] == "nosniff"


def test_kept_connections_survive_refusals_and_unread_bodies(server):
    """What one request leaves on a connection must not become part of the next."""
    token = server.token()
    for _ in range(40):
        assert server.request("POST", "/auth/none", raw=b"x" * 5000).status == 404
        assert server.request("POST", "/auth/validate", raw=b"y" * (1 << 20) + b"z").status == 413
        assert server.get("/auth/me", token=token).status == 200


def test_sigterm_ends_kept_connections_at_once_and_takes_the_socket_away(private):
    server = private(Nginx)
    for _ in range(20):
        server.get("/health")
    process = server.programs.processes["health"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(3) == 0
    assert not server.programs.socket("health").exists()


def test_spawn_fcgi_starts_a_program_on_a_socket_of_its_own(state):
    path = state / "health.sock"
    process = subprocess.Popen(
        [tool("spawn-fcgi"), "-n", "-s", str(path), "-M", "0660", "--", str(program("health"))],
        env=base_environment(state), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens_on(path))
        answer = fastcgi_client.ask(str(path), "/health", timeout=10)
        assert answer.status == 200 and b'"healthy"' in answer.body
        assert path.stat().st_mode & 0o777 == 0o660
    finally:
        assert stop(process) == 0


def test_a_program_that_starts_again_is_found_again(private):
    server = private(Nginx)
    process = server.programs.processes["health"]
    process.kill()
    process.wait()
    answer = server.get("/health")
    assert answer.status == 503 and answer.json["error"] == "service_overloaded"
    assert answer.headers["retry-after"] == "5"
    assert answer.json["correlation_id"] == answer.headers["x-correlation-id"]
    server.programs.start("health")  # on the socket file that the killed one left behind
    wait_until(lambda: server.get("/health").status == 200, 15)


def test_sigterm_ends_a_stream_with_an_event_and_not_in_the_middle(private):
    server = private(Nginx)
    path, body = chat_stream(150)["chat"]
    connection, response = server.stream(path, body, token=server.token())
    seen = events(response)
    next(seen)
    process = server.programs.processes["chat"]
    process.send_signal(signal.SIGTERM)
    rest = list(seen)
    connection.close()
    assert b"error" in rest[-1][1] or b"usage" in rest[-1][1], rest[-1]
    assert process.wait(10) == 0


def test_sighup_opens_the_log_anew(server):
    log = server.state / "log" / "quintet.log"
    moved = log.with_suffix(".1")
    log.rename(moved)
    server.programs.processes["auth"].send_signal(signal.SIGHUP)
    wait_until(log.exists, 5)
    server.get("/auth/me", headers={"X-Correlation-ID": "after-the-rotation"})
    wait_until(lambda: "after-the-rotation" in log.read_text(), 5)
    assert "after-the-rotation" not in moved.read_text()


def test_an_answer_of_many_megabytes_is_whole(server):
    """Larger than every buffer on the way, and read slowly."""
    token = server.token()
    data = [{"time": 1_600_000_000 + 60 * index, "value": index} for index in range(100_000)]
    for start in range(0, len(data), 10_000):
        method = "POST" if start == 0 else "PATCH"
        body = {"pane_id": 0, "series_type": "line", "data": data[start:start + 10_000]}
        answer = server.request(method, "/api/charts/large/data/s", body, token=token)
        assert answer.status == 200, answer
    answer = server.get("/api/charts/large/history/0/s?count=10000", token=token)
    assert answer.status == 200 and answer.json["totalCount"] == 100_000
    assert [point["value"] for point in answer.json["data"]] == list(range(90_000, 100_000))
