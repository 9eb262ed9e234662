"""A key in the query (API_KEY_QUERY) reaches no file, whatever happens to the request: the program that
has it dies, or is not there."""
import os
import secrets
import signal
import threading

import pytest

from suite import Suite
from web_servers import Apache, Nginx

KEY = "sk-" + secrets.token_hex(32)
SETTINGS = {"API_KEYS": KEY, "API_KEY_QUERY": "api_key", "LOG_LEVEL": "DEBUG"}
SERVERS = {"lighttpd": Suite, "nginx": Nginx, "apache": Apache}


def pids_of(server):
    if isinstance(server, Apache):
        found = []
        for entry in os.listdir("/proc"):
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    if file.read().startswith(str(server.programs / "chat.fcgi").encode()):
                        found.append(int(entry))
            except OSError:
                continue
        return found
    return server.pids("chat")


@pytest.mark.parametrize("name", SERVERS)
def test_a_key_in_the_query_is_in_no_log_when_its_program_dies(private, name):
    server = private(SERVERS[name], SETTINGS)
    path = f"/v1/models?api_key={KEY}"
    assert server.get(path).status == 200
    [process] = pids_of(server)
    os.kill(process, signal.SIGSTOP)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(server.get(path, timeout=30)))
    asking.start()
    asking.join(0.5)  # it is with the stopped program
    assert asking.is_alive()
    os.kill(process, signal.SIGKILL)
    asking.join(30)
    assert answers[0].status >= 500 and b"service_overloaded" in answers[0].body
    server.get(path)  # perhaps nobody is there yet
    files = [path for path in server.state.rglob("*") if path.is_file() and ".conf" not in path.name]
    if name == "lighttpd":
        assert "/v1/models?-" in (server.state / "log/lighttpd.log").read_text()
    logs = [path for path in files if path.suffix == ".log"]
    assert len(logs) >= 2
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
