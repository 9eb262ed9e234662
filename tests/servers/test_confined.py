"""The programs do their work under the restrictions of deploy/systemd: what a filter of system calls
would stop is noticed here, and not by the first who enables the units."""
import os
import signal
import subprocess
import sys

import pytest

from promises import chat_stream, events
from suite import ROOT, SANITIZER_OPTIONS, wait_until
from web_servers import Nginx, Programs

UNIT = ROOT / "deploy/systemd/quintet-.service.d/hardening.conf"
LAUNCHER = (sys.executable, str(ROOT / "tests/servers/confined.py"), str(UNIT))


class Confined(Nginx):
    class Programs(Programs):
        launcher = LAUNCHER


@pytest.fixture
def server(private, stub):
    return private(Confined, {"PROVIDER_STUB_BASE_URL": stub.url, "LOG_LEVEL": "DEBUG"})


def test_the_restrictions_are_there():
    """A thread that changes its scheduling, a socket of another family, code that is written."""
    attempts = ("import os; os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))",
                "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
                "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)",
                "import os; os.chroot('/')")
    for attempt in attempts:
        done = subprocess.run([*LAUNCHER, sys.executable, "-c", attempt], capture_output=True,
                              text=True, timeout=60, check=False)
        assert done.returncode == 1 and "PermissionError" in done.stderr, (attempt, done.stderr)


@pytest.mark.skipif(any("detect_leaks" in os.environ.get(name, "") for name in SANITIZER_OPTIONS),
                    reason="sanitizers need calls of their own")
def test_every_program_works_confined_and_ends_well(server):
    token = server.token()
    assert server.get("/auth/me", token=token).status == 200
    assert server.get("/health/all").status == 200
    points = {"pane_id": 0, "series_type": "line", "data": [{"time": 1_600_000_000, "value": 1}]}
    assert server.post("/api/charts/one/data/s", points, token=token).status == 200
    assert server.get("/api/charts/one/history/0/s", token=token).json["totalCount"] == 1
    path, body = chat_stream(3, "stub/ok")["completions"]
    connection, response = server.stream(path, body, token=token)
    assert response.status == 200, response.read()
    assert b"[DONE]" in list(events(response))[-1][1]
    connection.close()
    assert server.get("/metrics").status == 200
    processes = server.programs.processes
    for process in processes.values():
        process.send_signal(signal.SIGHUP)
    assert server.get("/auth/me", token=token).status == 200
    for process in processes.values():
        process.send_signal(signal.SIGTERM)
    for name, process in processes.items():
        assert process.wait(10) == 0, name
    entries = wait_until(server.log_lines)
    assert [entry for entry in entries if entry["level"] in ("ERROR", "CRITICAL")] == []
