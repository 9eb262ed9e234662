"""A running suite for tests: the five programs behind a private lighttpd, started by
script/server on a free port with a state directory of its own."""
import contextlib
import functools
import http.client
import json
import os
import pathlib
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest.mock
import urllib.parse
import uuid

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("QUINTET_BUILD_DIR", ROOT / "build"))
JWT_SECRET = "0123456789abcdef0123456789abcdef-jwt-for-tests"
START_SECONDS = 60
STOP_SECONDS = 35
PROGRAMS = ("auth", "charts", "chat", "health", "metrics")
SANITIZER_OPTIONS = ("ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS")


# Held for as long as this process lives: the name of each port that it has given out.
_given_ports = []


def free_port():
    """A port nobody listens on, for a server that binds it later. No other call gets it, of this or of
    another test process: each port has an abstract Unix socket as its reservation, which ends with
    the process. It lies below the kernel's ephemeral ports, so that no client's end is bound there."""
    while True:
        port = random.randrange(16384, 32768)
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0quintet-test-port-{port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            continue
        _given_ports.append(reservation)
        return port


def wait_until(condition, seconds=10, every=0.02, trouble=None):
    """The first true value of `condition`; an AssertionError when there is none in time, which tells
    what `trouble()` says of it."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {trouble() if trouble else value!r}")
        time.sleep(every)


def sanitizer_environment():
    """What a program that is started with a clean environment must know of the sanitizers."""
    return {name: os.environ[name] for name in SANITIZER_OPTIONS if name in os.environ}


@contextlib.contextmanager
def sanitizer_reports():
    """What a sanitizer finds in any program that runs meanwhile fails the run. The web server would
    swallow it on stderr, so it goes to files. In a build without sanitizers nobody reads these
    settings."""
    with tempfile.TemporaryDirectory(prefix="sanitizer-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o777)  # for a web server that changes its user
        options = {}
        for option in SANITIZER_OPTIONS:
            given = os.environ.get(option)
            log_path = f"log_path={folder}/{option.split('_')[0].lower()}"
            options[option] = f"{given}:{log_path}" if given else log_path
        with unittest.mock.patch.dict(os.environ, options):
            yield
        reports = sorted(folder.iterdir())
        texts = [f"--- {path.name}\n{path.read_text(errors='replace')[:6000]}"
                 for path in reports[:5]]
        assert not reports, f"{len(reports)} reports\n" + "\n".join(texts)


@contextlib.contextmanager
def small_file_system(folder, size):
    """A memory file system of that many MiB at `folder`."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(folder)], check=False,
                      capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def despite_lighttpd(test):
    """Tries a test of leaving clients up to three times: lighttpd 1.4.69 does not watch a connection
    for its end if the next request was there before it had registered it (lighttpd/README.md), and
    a client cannot know whether that happened."""
    @functools.wraps(test)
    def patient(*arguments, **options):
        for attempt in range(3):
            try:
                return test(*arguments, **options)
            except AssertionError:
                if attempt == 2:
                    raise
    return patient


class Answer:
    """Status, headers (lower-case names) and body of one response."""

    def __init__(self, response, body):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.all_headers = [(name.lower(), value) for name, value in response.getheaders()]
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Suite:
    def __init__(self, environment=None, state=None):
        self.environment = environment or {}
        self.own_state = state is None
        self.state = pathlib.Path(state or tempfile.mkdtemp(prefix="quintet-test-"))
        self.port = free_port()
        self.metrics_port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.jwt_secret = JWT_SECRET
        self.process = None
        self.output = ""

    def start_process(self):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "QUINTET_BUILD_DIR": str(BUILD),
            "QUINTET_CONFIG": "/dev/null",
            "JWT_SECRET_KEY": self.jwt_secret,
            "METRICS_PORT": str(self.metrics_port),
            "RATE_LIMIT_ENABLED": "false",
            **sanitizer_environment(),
            **self.environment,
        }
        self.process = subprocess.Popen(
            [str(ROOT / "script/server"), "--no-build", "--port", str(self.port),
             "--state", str(self.state)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.output = ""
        deadline = time.monotonic() + START_SECONDS
        descriptor = self.process.stdout.fileno()
        while "ready http://" not in self.output:
            left = deadline - time.monotonic()
            readable = left > 0 and select.select([descriptor], [], [], left)[0]
            chunk = os.read(descriptor, 65536).decode(errors="replace") if readable else ""
            if not chunk:
                self.stop()
                raise RuntimeError(f"suite did not start:\n{self.output}\n{self.logs()}")
            self.output += chunk
        return self

    def logs(self):
        texts = []
        for path in sorted((self.state / "log").glob("*.log")):
            texts.append(f"--- {path.name}\n{path.read_text(errors='replace')[-4000:]}")
        return "\n".join(texts)

    def stderr_of_programs(self):
        path = self.state / "log" / "programs.log"
        return path.read_bytes() if path.exists() else b""

    def log_lines(self):
        path = self.state / "log" / "quintet.log"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def stop_process(self):
        """Ends the programs; the state directory stays."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.wait_for_programs()
            # gcc's UBSan ignores its log_path beside ASan: its reports are here instead.
            assert b": runtime error: " not in self.stderr_of_programs(), self.logs()
        if self.process:
            self.process.stdout.close()
            self.process = None

    def stop(self):
        self.stop_process()
        if self.own_state:
            shutil.rmtree(self.state, ignore_errors=True)

    def wait_for_programs(self):
        """lighttpd ends the programs and leaves without waiting; what a sanitizer has to say about
        one comes when it exits."""
        wait_until(lambda: not any(self.pids(program) for program in PROGRAMS), STOP_SECONDS,
                   trouble=lambda: f"a program does not end:\n{self.logs()}")

    def pids(self, program):
        """Process ids of one program of this suite, found by its path in /proc."""
        wanted = str(self.state / "run" / "programs" / f"{program}.fcgi")
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                if arguments and arguments[0].decode() == wanted:
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def request(self, method, path, body=None, headers=None, token=None, timeout=30, raw=None,
                port=None):
        """One request on a connection of its own. `body` is sent as JSON, `raw` as it is."""
        headers = dict(headers or {})
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            raw = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=timeout)
        try:
            connection.request(method, path, raw, headers)
            response = connection.getresponse()
            return Answer(response, response.read())
        finally:
            connection.close()

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body=None, **options):
        return self.request("POST", path, body, **options)

    def stream(self, path, body, token=None, headers=None, timeout=30):
        """An open streaming response: (connection, response); the caller closes."""
        headers = {"Content-Type": "application/json", **(headers or {})}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        connection.request("POST", path, json.dumps(body).encode(), headers)
        return connection, connection.getresponse()

    def register(self, **fields):
        body = {"email": f"{uuid.uuid4().hex}@example.com", "password": "correct horse battery",
                **fields}
        answer = self.post("/auth/register", body)
        assert answer.status == 201, answer
        return {**answer.json, "email": body["email"], "password": body["password"]}

    def admin_key(self):
        """The API key that the first start has printed."""
        return re.search(r"\bqk_\S+", self.output)[0]

    def token(self):
        return self.register()["access_token"]

    def metrics(self):
        """Samples of /metrics as {name{labels}: value}."""
        samples = {}
        for line in self.get("/metrics").body.decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples


def patient(ask):
    """The answer once there is room for it: few passwords are hashed at a time, and the others are told
    to come back."""
    for _ in range(3000):
        answer = ask()
        if answer.status != 503:
            return answer
        assert answer.headers["retry-after"] == "1" and answer.json["error"] == "service_overloaded"
    raise AssertionError("never a place")


def quote(text):
    return urllib.parse.quote(text, safe="")
