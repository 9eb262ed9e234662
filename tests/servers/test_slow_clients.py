"""Clients that are slow on purpose, by slowhttptest: whatever a thousand of them do, probes of
somebody else are answered. QUINTET_SLOW_CLIENTS says how many others than these to try."""
import http.client
import os
import subprocess
import time

import pytest

from suite import Suite
from web_servers import Apache, Nginx, tool

CLIENTS = int(os.environ.get("QUINTET_SLOW_CLIENTS", "1000"))
SECONDS = 5
ANSWER_SECONDS = 2

SERVERS = {"lighttpd": Suite, "nginx": Nginx, "apache": Apache}
# A byte of the head or of the body every second, overlapping ranges, answers read a byte at a time.
ATTACKS = {
    "headers": ["-H", "-i", "1", "-x", "2"],
    "body": ["-B", "-i", "1", "-x", "2", "-s", "8192", "-t", "POST"],
    "range": ["-R", "-a", "1", "-b", "500"],
    "read": ["-X", "-w", "1", "-y", "2", "-n", "1", "-z", "1", "-k", "3"],
}


def probe(port):
    """Seconds until /health/live was answered to somebody at another address."""
    start = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10,
                                            source_address=("127.0.0.2", 0))
    connection.request("GET", "/health/live")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 200
    return time.monotonic() - start


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("name", SERVERS)
def test_probes_are_answered_whatever_slow_clients_do(started, name, attack):
    server = started(SERVERS[name])
    path = "/auth/login" if attack == "body" else "/health"
    command = [tool("slowhttptest"), "-c", str(CLIENTS), "-r", str(CLIENTS), "-l", str(SECONDS),
               "-u", server.url + path, *ATTACKS[attack]]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as attackers:
        took = []
        while attackers.poll() is None:
            took.append(probe(server.port))
            time.sleep(0.1)  # between samples
        said = attackers.stdout.read().decode(errors="replace")
    assert attackers.returncode == 0, said
    assert len(took) >= 3 and max(took) < ANSWER_SECONDS, (sorted(took)[-5:], said[-800:])
    print(f"{name} {attack}: {len(took)} probes, slowest {max(took):.3f} s")
