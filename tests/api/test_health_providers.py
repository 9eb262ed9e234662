"""Providers of language models under /health: what a probe makes of a stand-in that misbehaves in
every way there is, what it sends, and to whom it tells what it found."""
import concurrent.futures
import socket
import socketserver
import sqlite3
import struct
import subprocess
import threading
import time

import pytest

from suite import Suite, wait_until

KEY = "sk-upstream-secret-of-"
JSON = b"Content-Type: application/json\r\n"


def answer(status, body=b"", head=b""):
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status, head, len(body), body)


def endlessly(connection, text):
    """Until the other side has had enough."""
    sent = 0
    while sent < 50 << 20:
        connection.sendall(text)
        sent += len(text)


LIST = answer(b"200 OK", b'{"object":"list","data":[{"id":"m"}]}', JSON)

# name of provider: (what it answers, what an administrator is told; None: healthy)
PLAIN = {
    "good": (LIST, None),
    "array": (answer(b"200 OK", b" \n[]", JSON), None),
    "listless": (answer(b"404 Not Found", b"no such page"), None),
    "unlisted": (answer(b"405 Method Not Allowed"), None),
    "unbuilt": (answer(b"501 Not Implemented"), None),
    "keyless": (answer(b"401 Unauthorized", b"{}", JSON), "refuses the key, or wants one"),
    "barred": (answer(b"403 Forbidden", b"{}", JSON), "refuses the key, or wants one"),
    "unpaid": (answer(b"402 Payment Required", b"{}", JSON), "answers with an error status"),
    "busy": (answer(b"429 Too Many Requests", b"{}", JSON), "answers with an error status"),
    "broken": (answer(b"500 Internal Server Error", b"{}", JSON), "answers with an error status"),
    "moved": (answer(b"302 Found", head=b"Location: /good/models\r\n"), "answers with an error status"),
    "welcome": (answer(b"200 OK", b"<html>Welcome to nginx</html>"), "answers with something else than JSON"),
    "wordless": (answer(b"200 OK"), "answers with something else than JSON"),
    "noise": (b"\x00\xff\x01 this is not HTTP\r\n\r\n", "breaks off, or does not speak HTTP"),
    "mum": (b"", "breaks off, or does not speak HTTP"),
    "short": (b"HTTP/1.1 200 OK\r\nContent-Le", "breaks off, or does not speak HTTP"),
}


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang(connection):
    connection.recv(1)


def hang_after_head(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    connection.recv(1)


def huge(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n{")
    endlessly(connection, b'"x":1,' * 1000)


def flood(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    endlessly(connection, b"X-Flood: 1\r\n" * 1000)


ACTING = {
    "reset": (reset, "breaks off, or does not speak HTTP"),
    "hang": (hang, "no answer in time"),
    "stall": (hang_after_head, "no answer in time"),
    "huge": (huge, None),
}
AWAY = "cannot connect"
EXPECTED = {**{name: told for name, (_, told) in {**PLAIN, **ACTING}.items()}, "away": AWAY}


class StandIn(socketserver.ThreadingTCPServer):
    """Answers GET /<name>/models as PLAIN and ACTING say; `changed` goes before."""
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Conversation)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.requests = []
        self.changed = {}
        self.now_open = {}
        self.most_open = {}
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass

    def of(self, name):
        return [head for head in self.requests if head.split()[1] == f"/{name}/models"]


class Conversation(socketserver.BaseRequestHandler):
    def handle(self):
        stand_in, head = self.server, b""
        self.request.settimeout(20)
        while b"\r\n\r\n" not in head:
            data = self.request.recv(65536)
            if not data:
                return
            head += data
        text = head.decode()
        name = text.split()[1].split("/")[1]
        with stand_in.lock:
            stand_in.requests.append(text)
            stand_in.now_open[name] = stand_in.now_open.get(name, 0) + 1
            stand_in.most_open[name] = max(stand_in.most_open.get(name, 0), stand_in.now_open[name])
        try:
            if name in ACTING:
                ACTING[name][0](self.request)
            elif name == "flood":
                flood(self.request)
            elif name.startswith("idle"):
                hang(self.request)
            else:
                self.request.sendall(stand_in.changed.get(name) or PLAIN[name][0])
        finally:
            with stand_in.lock:
                stand_in.now_open[name] -= 1


@pytest.fixture(scope="module")
def stand_in():
    with StandIn() as server:
        yield server
        server.shutdown()


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def environment_for(stand_in, names):
    settings = {}
    for name in names:
        settings[f"PROVIDER_{name.upper()}_BASE_URL"] = f"{stand_in.url}/{name}"
        settings[f"PROVIDER_{name.upper()}_API_KEY"] = KEY + name
    return settings


@pytest.fixture(scope="module")
def probing(stand_in):
    suite = Suite({**environment_for(stand_in, [*PLAIN, *ACTING]), "GOOD_MODELS": "m",
                   "PROVIDER_AWAY_BASE_URL": f"http://127.0.0.1:{closed_port()}/v1",
                   "DEMO_ENABLED": "true", "HEALTH_PROBE_INTERVAL": "1"}).start_process()
    yield suite
    suite.stop()


def as_admin(suite, path, method="GET"):
    return suite.request(method, path, headers={"X-API-Key": suite.admin_key()})


# --- What a probe finds ---------------------------------------------------------------------------

def test_failing_providers_degrade_and_nothing_more(probing):
    began = time.monotonic()
    answered = probing.get("/health/ready")
    assert time.monotonic() - began < 2
    assert answered.status == 200 and answered.json["status"] == "degraded"
    checks = answered.json["checks"]
    assert {name: checks[name] for name in EXPECTED} == {name: told is None for name, told in EXPECTED.items()}
    own = {name: value for name, value in checks.items() if name not in EXPECTED}
    assert own == {"database": True, "datafeed": True, "disk": True, "demo": True}


def test_an_administrator_is_told_what_is_wrong(probing):
    body = as_admin(probing, "/health/all").json
    assert body["status"] == "degraded"
    assert {name: body["checks"][name].get("error") for name in EXPECTED} == EXPECTED
    for name in EXPECTED:
        assert 0 <= body["checks"][name]["latency_ms"] <= 1000
    assert body["checks"]["redis"] == body["checks"]["consul"] == {"status": "skipped"}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_provider_stands_alone_too(probing, name):
    for path in (f"/health/{name}", f"/health/{name}/status"):
        body = probing.get(path).json
        assert body["service"] == name and "error" not in body
        assert body["status"] == ("healthy" if EXPECTED[name] is None else "unhealthy")


def test_the_public_learns_names_and_states_only(probing, stand_in):
    paths = ["/health/all", "/ready", "/health/good", "/health/away", "/health/service-errors/keyless",
             "/health/service-errors/away", "/metrics"]
    assert wait_until(lambda: probing.get("/health/service-errors/away").json, 15)
    for path in paths:
        public = probing.get(path)
        assert public.status == 200
        for secret in ("sk-upstream", "127.0.0.1", "/models", "cannot connect", "refuses"):
            assert secret.encode() not in public.body, path
    messages = {entry["message"] for entry in probing.get("/health/service-errors/away?limit=3").json}
    assert messages == {"The probe failed"}
    messages = {entry["message"] for entry in as_admin(probing, "/health/service-errors/away").json}
    assert messages == {AWAY}


def test_history_and_metrics_know_providers(probing):
    def kept():
        history = probing.get("/health/latency-history/good?hours=1").json
        return len(history["latencies"]) > 1 and history

    history = wait_until(kept, 20)
    assert len(history["timestamps"]) == len(history["latencies"])
    assert probing.get("/health/latency-history/away").json == {"timestamps": [], "latencies": []}
    metrics = probing.metrics()
    for name, told in EXPECTED.items():
        assert metrics[f'service_health_status{{service_name="{name}"}}'] == (told is None)
    assert metrics['service_health_status{service_name="demo"}'] == 1
    assert metrics['service_health_status{service_name="datafeed"}'] == 1


def test_retest_asks_at_once(probing, stand_in):
    assert as_admin(probing, "/health/retest/good", "POST").json["message"] == "Service answers"
    before = len(stand_in.of("good"))
    found = as_admin(probing, "/health/retest/good", "POST").json
    assert found["success"] is True and found["latency"] >= 0
    assert len(stand_in.of("good")) > before
    assert as_admin(probing, "/health/retest/keyless", "POST").json["message"] == EXPECTED["keyless"]
    assert as_admin(probing, "/health/retest/demo", "POST").json["success"] is True
    assert as_admin(probing, "/health/retest/redis", "POST").status == 404
    assert as_admin(probing, "/health/retest/nobody", "POST").status == 404
    assert probing.post("/health/retest/good").status == 401


def test_a_provider_recovers(probing, stand_in):
    stand_in.changed["good"] = answer(b"503 Service Unavailable")
    try:
        assert wait_until(lambda: probing.get("/health/good").json["status"] == "unhealthy")
    finally:
        stand_in.changed.clear()
    assert wait_until(lambda: probing.get("/health/good").json["status"] == "healthy")


# --- What a probe sends ---------------------------------------------------------------------------

def test_a_probe_spends_no_tokens_and_shows_each_key_to_its_owner_only(probing, stand_in):
    assert probing.get("/ready").status == 200
    assert stand_in.requests
    for head in stand_in.requests:
        line, *fields = head.split("\r\n")
        name = line.split()[1].split("/")[1]
        assert line == f"GET /{name}/models HTTP/1.1"
        keys = [field for field in fields if "sk-" in field]
        assert keys == [f"Authorization: Bearer {KEY}{name}"]


def test_keys_and_addresses_reach_no_log(probing, stand_in):
    assert as_admin(probing, "/health/all").status == 200
    for path in sorted((probing.state / "log").glob("*.log")):
        text = path.read_bytes()
        assert b"sk-upstream" not in text and b"/models" not in text
        assert stand_in.url.encode() not in text


def test_results_are_shared_for_a_second(suite, stand_in):
    private = suite.start({**environment_for(stand_in, ["array"]), "HEALTH_PROBE_INTERVAL": "86400"})
    time.sleep(1.1)  # the background asks at the start, and that is shared for a second
    before = len(stand_in.of("array"))
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: private.get("/ready"), range(40)))
    seconds = time.monotonic() - began
    assert all(each.json["checks"]["array"] for each in answers)
    assert 1 <= len(stand_in.of("array")) - before <= 1 + seconds


def test_results_are_shared_by_all_processes(suite, stand_in):
    settings = {**environment_for(stand_in, ["array"]), "HEALTH_PROBE_INTERVAL": "86400"}
    private = suite.start(settings)
    program = private.state / "run" / "programs" / "health.fcgi"
    environment = {**settings, "STATE_DIR": str(private.state), "RUNTIME_DIR": str(private.state / "run"),
                   "QUINTET_CONFIG": "/dev/null", "GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET",
                   "SCRIPT_NAME": "", "PATH_INFO": "/ready"}

    def ask_both():
        """Whether it was within the second, so that it tells something."""
        time.sleep(1.1)  # a result is shared for a second
        before = len(stand_in.of("array"))
        began = time.monotonic()
        assert private.get("/ready").json["checks"]["array"] is True
        done = subprocess.run([program], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=20, check=True)
        was_quick = time.monotonic() - began < 0.9
        assert done.stdout.startswith(b"Status: 200") and b'"array":true' in done.stdout
        assert not was_quick or len(stand_in.of("array")) == before + 1
        return was_quick

    assert wait_until(ask_both, 20)


def threads_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("Threads:"))


def test_thirty_hanging_providers_cost_a_second_and_thirty_threads(suite, stand_in):
    names = [f"idle{number}" for number in range(30)]
    private = suite.start({**environment_for(stand_in, names), "HEALTH_PROBE_INTERVAL": "86400"})
    (pid,) = private.pids("health")
    idle = wait_until(lambda: threads_of(pid) < 20 and threads_of(pid))
    slowest, most = [], 0

    def ask(_):
        began = time.monotonic()
        answered = private.get("/ready")
        slowest.append(time.monotonic() - began)
        return answered

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        futures = [pool.submit(ask, number) for number in range(48)]
        while not all(future.done() for future in futures):
            most = max(most, threads_of(pid))
            time.sleep(0.02)  # between samples
    for future in futures:
        body = future.result().json
        assert body["status"] == "degraded" and body["checks"]["database"] is True
        assert not any(body["checks"][name] for name in names)
    assert min(slowest) < 1.5
    # One for each provider and the three of ours; libcurl may have one more each for names.
    assert most <= idle + 2 * 33
    assert set(stand_in.most_open[name] for name in names) <= {1, 2}
    assert wait_until(lambda: threads_of(pid) <= idle)


def test_a_flood_of_headers_ends_within_the_second(suite, stand_in):
    private = suite.start(environment_for(stand_in, ["flood"]))
    began = time.monotonic()
    assert private.get("/health/flood").json["status"] == "unhealthy"
    assert time.monotonic() - began < 2


# --- Charts ---------------------------------------------------------------------------------------

def test_charts_that_cannot_be_read_are_not_ready(suite):
    private = suite.start()
    with sqlite3.connect(private.state / "quintet.db") as database:
        database.execute("DROP TABLE chart_blocks")
    answered = wait_until(lambda: (got := private.get("/ready")).status == 503 and got)
    assert answered.json["status"] == "not_ready" and answered.headers["retry-after"] == "1"
    assert answered.json["checks"] == {"database": True, "datafeed": False, "disk": True, "demo": True}
    assert private.get("/health/all").json["status"] == "unhealthy"
    assert as_admin(private, "/health/datafeed").json["error"] == "charts cannot be read"


# --- Settings -------------------------------------------------------------------------------------

@pytest.mark.parametrize("settings,named", [
    ({"PROVIDER_DATABASE_BASE_URL": "http://127.0.0.1:1/v1"}, "provider database"),
    ({"PROVIDER_DISK_BASE_URL": "http://127.0.0.1:1/v1"}, "provider disk"),
    ({"PROVIDER_ALL_BASE_URL": "http://127.0.0.1:1/v1"}, "provider all"),
    ({"GROQ_API_KEY": "k", "HEALTH_SERVICES": "groq=tcp://127.0.0.1:1"}, "HEALTH_SERVICES"),
    ({"DEFAULT_PROVIDER": "nobody"}, "DEFAULT_PROVIDER"),
])
def test_a_name_that_means_two_things_refuses_to_start(suite, settings, named):
    program = suite.state / "run" / "programs" / "health.fcgi"
    done = subprocess.run([program], env={**settings, "STATE_DIR": str(suite.state), "QUINTET_CONFIG": "/dev/null",
                                          "GATEWAY_INTERFACE": "CGI/1.1"}, capture_output=True, text=True, timeout=20)
    assert done.returncode == 78
    assert done.stderr.count("\n") == 1 and named in done.stderr and "127.0.0.1" not in done.stderr
