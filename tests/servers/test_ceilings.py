"""More streams than the suite takes: the program refuses them, below the ceiling of the web server, so
that probes and everything else go on. QUINTET_STREAMS says how many others than these to open; 5,000
need a hard limit of 20,000 descriptors."""
import asyncio
import json
import os
import subprocess

import pytest

from promises import chat_stream
from suite import BUILD, Suite, free_port, wait_until
from web_servers import stop

STREAMS = int(os.environ.get("QUINTET_STREAMS", "400"))
BEYOND = 20
AT_ONCE = 100  # connections that are being opened
ANSWER_SECONDS = 2


@pytest.fixture
def silent_provider():
    """One that sends a word every 20 seconds, and costs next to nothing."""
    subprocess.run(["make", "-C", str(BUILD), "bench/upstream/upstream_stub"], check=True,
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    port = free_port()
    with subprocess.Popen([str(BUILD / "bench/upstream/upstream_stub"), "--port", str(port),
                           "--events", "1000", "--interval", "20000"]) as process:
        yield f"http://127.0.0.1:{port}/v1"
        stop(process)


async def open_stream(port, token, gate):
    """(status, head, writer) of one more stream, which stays open."""
    _, body = chat_stream(1, "stub/any")["completions"]
    text = json.dumps(body)
    async with gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write((f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                      f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
                      f"Content-Length: {len(text)}\r\n\r\n{text}").encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    return int(head.split(b" ", 2)[1]), head.lower(), writer


async def open_streams(port, token, count):
    gate = asyncio.Semaphore(AT_ONCE)
    return await asyncio.gather(*(open_stream(port, token, gate) for _ in range(count)))


def overloads(server):
    return sum(value for name, value in server.metrics().items()
               if name.startswith("http_errors_total") and "service_overloaded" in name)


# Of 400 descriptors lighttpd makes 200 connections, and script/server leaves 150 of them for streams.
@pytest.mark.parametrize("settings, limit", [({"MAX_STREAMS": str(STREAMS)}, STREAMS),
                                             ({"LIGHTTPD_MAX_FDS": "400"}, 150)],
                         ids=["as set", "few descriptors"])
def test_streams_beyond_the_limit_are_refused_and_everything_else_goes_on(
        private, silent_provider, settings, limit):
    server = private(Suite, {**settings, "PROVIDER_STUB_BASE_URL": silent_provider})
    token = server.token()

    async def run():
        opened = await open_streams(server.port, token, limit)
        assert [head for status, head, _ in opened if status != 200] == []
        refused = await open_streams(server.port, token, BEYOND)
        for status, head, _ in refused:
            assert status == 503 and b"\r\nretry-after: " in head
        for path in ("/health/live", "/health/ready", "/auth/me", "/v1/models", "/metrics"):
            answer = await asyncio.to_thread(server.get, path, token=token, timeout=ANSWER_SECONDS)
            assert answer.status == 200, path
        before = overloads(server)
        for _, _, writer in opened + refused:
            writer.transport.abort()
        await asyncio.to_thread(wait_until, lambda: server.metrics()["chat_streams_active"] == 0, 20)
        return overloads(server) - before

    # That clients leave is no fault of ours, whoever they left.
    assert asyncio.run(run()) == 0
