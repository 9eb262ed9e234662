"""script/server as somebody meets it in the first hour: which files count, what is refused with which
words, when it is ready, and how it ends."""
import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from place import GOOD_SECRET
from suite import BUILD, ROOT, free_port, sanitizer_environment
from web_servers import program, tool

SECONDS = 90
KEY = "sk-" + "5d41402abc4b2a76b9719d911017c592"
SAFE = {"ENVIRONMENT": "production", "SECRET_KEY": GOOD_SECRET}


class Started:
    """script/server in a directory of its own, with nothing in the environment but what is given."""

    def __init__(self, directory, *arguments, environment=None, preexec=None, **options):
        self.directory = directory
        self.port = free_port()
        self.output = ""
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "PORT": str(self.port),
                            "METRICS_PORT": "0", "QUINTET_BUILD_DIR": str(BUILD), **sanitizer_environment(),
                            **(environment or {})}
        self.process = subprocess.Popen(
            [str(ROOT / "script/server"), "--no-build", *arguments], cwd=directory, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.output += line

    def wait_for(self, text):
        deadline = time.monotonic() + SECONDS
        while text not in self.output:
            assert self.process.poll() is None and time.monotonic() < deadline, self.output
            time.sleep(0.02)
        return self

    def ready(self):
        return self.wait_for("ready http://")

    def ended(self, signal_number=None):
        if signal_number is not None:
            self.process.send_signal(signal_number)
        status = self.process.wait(SECONDS)
        self.reader.join(SECONDS)
        return status

    def curl(self, path, *options):
        url = re.search(r"^ready (\S+)", self.output, re.M)[1]
        done = subprocess.run(["curl", "-sSg", "--noproxy", "*", "-m", "20", *options, url + path],
                              capture_output=True, text=True)
        assert done.returncode == 0, done
        return done.stdout

    def quintet(self, *arguments):
        return subprocess.run([str(BUILD / "cli/quintet"), *arguments], cwd=self.directory, text=True,
                              env=self.environment, capture_output=True, timeout=60)


@pytest.fixture
def start(tmp_path):
    tool("lighttpd")
    with contextlib.ExitStack() as stack:
        def begin(*arguments, directory=tmp_path, **options):
            started = Started(directory, *arguments, **options)
            stack.callback(end, started)
            return started

        def end(started):
            if started.process.poll() is None:
                started.ended(signal.SIGTERM)
            started.process.stdout.close()

        yield begin


def children(path):
    """Processes that were started by a path below that directory."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and str(path).encode() in open(f"/proc/{entry}/cmdline", "rb").read():
                found.append(int(entry))
    return found


# --- Files ----------------------------------------------------------------------------------------

def test_the_files_of_the_directory_count_for_the_programs_as_for_the_command(start, tmp_path):
    (tmp_path / ".env").write_text("APP_NAME=from-env\nexport API_KEYS='a-key-of-the-dot-env' # mine\n"
                                   "DATABASE_URL=sqlite+aiosqlite:///./charts.db\n")
    (tmp_path / "quintet.conf").write_text("APP_NAME=from-conf\n")
    server = start().ready()
    assert '"service":"from-conf"' in server.curl("/health")
    assert "demo/echo" in server.curl("/v1/models", "-H", "X-API-Key: a-key-of-the-dot-env")
    key = re.search(r"^API key +(\S+)", server.output, re.M)[1]
    assert "demo/echo" in server.curl("/v1/models", "-H", f"Authorization: Bearer {key}")
    assert "admin@example.com" in server.quintet("user", "list").stdout
    databases = sorted(path.name for path in tmp_path.rglob("*.db"))
    assert databases == ["charts.db"] and (tmp_path / "charts.db").exists()
    assert f"configuration  {tmp_path}/quintet.conf" in server.output


def test_a_configuration_named_by_a_relative_path_is_found(start, tmp_path):
    (tmp_path / "my.conf").write_text("APP_NAME=mine\nSTATE_DIR=state\n")
    server = start(environment={"QUINTET_CONFIG": "my.conf"}).ready()
    assert '"service":"mine"' in server.curl("/health")
    assert (tmp_path / "state/quintet.db").exists() and not (tmp_path / "var").exists()


def test_host_and_port_of_a_file_are_where_it_listens(start, tmp_path):
    port = free_port()
    (tmp_path / ".env").write_text(f"HOST=127.0.0.2\nPORT={port}\n")
    server = start(environment={"PORT": ""}).wait_for(f"ready http://127.0.0.2:{port}\n")
    assert "healthy" in server.curl("/health")


# --- Refusals -------------------------------------------------------------------------------------

REFUSED = {
    "provider": ({"DEFAULT_PROVIDER": "openai"}, "DEFAULT_PROVIDER names a provider that is not configured"),
    "prices": ({"MODEL_PRICES": '{"demo/echo":"cheap"}'}, "MODEL_PRICES has a price that is not IN/OUT"),
    "authorities": ({"UPSTREAM_CA_PATH": "/nope"}, "UPSTREAM_CA_PATH names no file and no directory"),
    "limit": ({"RATE_LIMIT_CHARTS": "10/fortnight"}, "RATE_LIMIT_CHARTS"),
    "service": ({"HEALTH_SERVICES": "live=http://h"}, "HEALTH_SERVICES: entry 1 has a name that is taken"),
    "file": ({"QUINTET_CONFIG": "absent.conf"}, "absent.conf: the configuration file does not exist"),
    "database": ({"DATABASE_URL": "postgresql://u:p@h/d"}, "DATABASE_URL names a postgresql database"),
    "secret": ({"ENVIRONMENT": "production"}, "SECRET_KEY must be set"),
    "sample": ({**SAFE, "SECRET_KEY": "generate-with-a-good-random-generator"}, "SECRET_KEY is a sample"),
    "keys": ({**SAFE, "API_KEYS": "your-key-one,your-key-two"}, "API_KEYS holds a key that is a sample"),
    "bypass": ({**SAFE, "AUTH_BYPASS_PATHS": "/*"}, "AUTH_BYPASS_PATHS opens protected routes"),
    "shell": ({"API_KEYS": "${API_KEYS}"}, "API_KEYS holds ${...} or $(...)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_program_refuses_everybody_says_in_its_words(start, tmp_path, name):
    environment, words = REFUSED[name]
    server = start(environment=environment)
    assert server.ended() == 78
    line = next(line for line in server.output.splitlines() if words in line)
    assert line.startswith("quintet: ") and "ready" not in server.output
    text = line.removeprefix("quintet: ") if name != "file" else words
    for arguments in (["config"], ["user", "list"]):
        done = server.quintet(*arguments)
        assert (done.returncode, text in done.stderr) == (78, True), done
    done = server.quintet("check")
    assert done.returncode == 1 and "fail  configuration: " in done.stdout and text in done.stdout
    for program_name in ("health", "charts"):
        done = subprocess.run([str(program(program_name)), "--listen", "s"], cwd=tmp_path, text=True,
                              env=server.environment, capture_output=True, timeout=30)
        assert (done.returncode, text in done.stderr) == (78, True), done
    assert sorted(path.name for path in tmp_path.iterdir()) == []


def test_all_faults_are_told_at_once(start):
    every = {key: value for environment, _ in (REFUSED[name] for name in ("provider", "prices", "authorities",
                                                                           "limit", "bypass"))
             for key, value in environment.items()}
    server = start(environment={**every, "WORKERS": "many", "SECRET_KEY": "changeme"})
    assert server.ended() == 78
    for word in ("WORKERS", "SECRET_KEY", "DEFAULT_PROVIDER", "MODEL_PRICES", "UPSTREAM_CA_PATH", "RATE_LIMIT_CHARTS",
                 "AUTH_BYPASS_PATHS"):
        assert f"quintet: {word} " in server.output, server.output


def test_a_misspelt_name_is_said_at_the_start(start, tmp_path):
    (tmp_path / ".env").write_text("ENVIROMENT=production\n")
    server = start().ready()
    assert "ENVIROMENT is no setting; did you mean ENVIRONMENT? (" in server.output


@pytest.mark.parametrize("arguments, status, words", [
    (["--help"], 0, "script/server [--port N]"), (["--port"], 64, "--port needs a value"),
    (["--state"], 64, "--state needs a value"), (["--port", "99999"], 78, 'PORT "99999" is not within 1..65535'),
    (["--port", "http"], 78, "is not a whole number"), (["--nonsense"], 64, "unknown argument: --nonsense"),
    (["--state", "/"], 64, "Name another one"), (["--state", "/proc/nowhere"], 1, "state directory /proc/nowhere"),
])
def test_wrong_words_are_told_and_nothing_is_made(start, tmp_path, arguments, status, words):
    server = start(*arguments)
    assert (server.ended(), words in server.output) == (status, True), server.output
    assert "Address already in use" not in server.output and list(tmp_path.iterdir()) == []


# --- Ready ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("environment, arguments", [
    ({"ALLOWED_HOSTS": "api.example.com"}, []), ({"ALLOWED_HOSTS": "*.example.com,other.example"}, []),
    ({}, ["--bind", "127.0.0.2"]), ({}, ["--bind", "::1"]), ({}, ["--bind", "0.0.0.0"]),
], ids=["host", "subdomains", "other address", "IPv6", "all"])
def test_it_is_ready_when_it_answers_as_configured(start, environment, arguments):
    if "::1" in arguments and not has_ipv6():
        pytest.skip("no IPv6 on this machine")
    start(*arguments, environment=environment).ready()


def has_ipv6():
    with socket.socket(socket.AF_INET6) as probe:
        with contextlib.suppress(OSError):
            probe.bind(("::1", 0))
            return True
    return False


@pytest.mark.parametrize("name", ["with two blanks", "a'quote$and\"more", "long" * 30])
def test_any_path_can_be_a_state_directory(start, tmp_path, name):
    before = children(tmp_path)
    server = start("--state", name).ready()
    assert "healthy" in server.curl("/health") and (tmp_path / name / "quintet.db").exists()
    assert server.ended(signal.SIGTERM) == 0 and children(tmp_path) == before


def test_a_port_that_is_taken_is_named(start):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        server = start("--port", port)
        assert server.ended() == 75
        assert f"port {port} of 127.0.0.1 is in use" in server.output and "ready" not in server.output
        server = start(environment={"METRICS_PORT": port})
        assert server.ended() == 75 and f"METRICS_PORT {port}" in server.output


def test_the_port_of_metrics_is_not_the_port_of_everything(start):
    port = str(free_port())
    server = start(environment={"PORT": port, "METRICS_PORT": port})
    assert server.ended() == 78 and f"METRICS_PORT and PORT are both {port}" in server.output


def test_what_keeps_it_from_being_ready_is_said_and_ends_it(start, tmp_path):
    (tmp_path / "var").mkdir()
    (tmp_path / "var/quintet.db").write_text("this is no database, and long enough to be looked at" * 40)
    server = start()
    assert server.ended() != 0
    assert "ready http://" not in server.output and "database" in server.output
    assert children(tmp_path) == []


# --- One server for a state directory -------------------------------------------------------------

def test_a_second_server_is_refused_and_the_first_goes_on(start, tmp_path):
    first = start().ready()
    second = start()
    assert second.ended() == 75
    assert f"{tmp_path}/var is in use: process {first.process.pid}, http://127.0.0.1:{first.port}" in second.output
    assert "healthy" in first.curl("/health")
    assert first.ended(signal.SIGTERM) == 0
    third = start().ready()
    assert "API key" not in third.output, "told once"


def test_what_a_killed_server_leaves_running_is_noticed(start):
    first = start().ready()
    first.process.kill()
    first.process.wait()
    second = start()
    assert second.ended() == 75 and "is in use" in second.output
    for pid in children(first.directory):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + SECONDS
    while children(first.directory):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    start().ready()


# --- Signals --------------------------------------------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_all_with_status_0(start, tmp_path, number):
    server = start().ready()
    assert server.ended(number) == 0
    assert children(tmp_path) == []


def begin_stream(server):
    """A client that has got the first words of a long answer."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS)
    body = json.dumps({"model": "demo/slow", "stream": True,
                       "messages": [{"role": "user", "content": "word " * 5000}]}).encode()
    client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                   b"X-API-Key: %s\r\nContent-Length: %d\r\n\r\n%s" % (KEY.encode(), len(body), body))
    got = b""
    while b"word" not in got:
        got += client.recv(65536)
    return client


def test_a_stop_ends_streams_with_an_event(start, tmp_path):
    server = start(environment={"API_KEYS": KEY}).ready()
    with begin_stream(server) as client:
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        rest = b""
        while piece := client.recv(65536):
            rest += piece
        assert b'"error"' in rest and b"[DONE]" not in rest, rest[-500:]
    assert server.ended() == 0 and time.monotonic() - began < 15
    assert children(tmp_path) == []


def test_a_web_server_that_ends_by_itself_is_no_success(start, tmp_path):
    server = start().ready()
    lighttpd = next(pid for pid in children(tmp_path) if b"lighttpd.conf" in open(f"/proc/{pid}/cmdline", "rb").read())
    os.kill(lighttpd, signal.SIGKILL)
    assert server.ended() == 1 and "lighttpd has ended by itself" in server.output
    assert children(tmp_path) == []


def test_hangup_reloads_the_programs(start, tmp_path):
    (tmp_path / "quintet.conf").write_text("ALLOWED_HOSTS=*\n")
    server = start().ready()
    (tmp_path / "quintet.conf").write_text("ALLOWED_HOSTS=only.example\n")
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + SECONDS
    while "400" != server.curl("/", "-o", "/dev/null", "-w", "%{http_code}"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert server.process.poll() is None


def test_a_terminal_that_is_closed_ends_everything(tmp_path):
    tool("lighttpd")
    port = free_port()
    environment = {"PATH": os.environ["PATH"], "PORT": str(port), "METRICS_PORT": "0", "QUINTET_BUILD_DIR": str(BUILD),
                   **sanitizer_environment()}
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execve(str(ROOT / "script/server"), ["script/server", "--no-build"], environment)
    output = b""
    while b"ready http://" not in output:
        output += os.read(terminal, 4096)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert children(tmp_path) == []
