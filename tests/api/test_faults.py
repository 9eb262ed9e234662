"""Programs are killed in the middle of their work; what they had acknowledged is there afterwards."""
import concurrent.futures
import http.client
import os
import random
import signal
import sqlite3
import threading
import time

import pytest

from suite import wait_until


class Killer(threading.Thread):
    """Kills one program of a suite with SIGKILL again and again until told to stop."""

    def __init__(self, suite, program, times):
        super().__init__()
        self.suite, self.program, self.times = suite, program, times
        self.killed = 0
        self.done = threading.Event()

    def run(self):
        chance = random.Random(4711)
        while self.killed < self.times and not self.done.wait(chance.uniform(0.05, 0.25)):
            for pid in self.suite.pids(self.program):
                os.kill(pid, signal.SIGKILL)
                self.killed += 1


def persistent_post(suite, path, body, token):
    """Posts once; None when the connection broke or the program was away (outcome unknown)."""
    try:
        answer = suite.request("POST", path, body, token=token, timeout=15)
    except (OSError, http.client.HTTPException):
        return None
    return answer if answer.status < 500 else None


def wait_until_served(suite, path, token):
    def is_served():
        try:
            return suite.get(path, token=token).status == 200
        except (OSError, http.client.HTTPException):
            return False

    wait_until(is_served, 20, trouble=lambda: f"{path} is not served again")


def integrity(suite):
    with sqlite3.connect(f"file:{suite.state}/quintet.db?mode=ro", uri=True) as database:
        return database.execute("PRAGMA integrity_check").fetchone()[0]


def test_acknowledged_chart_writes_survive_kill_9(suite):
    private = suite.start()
    token = private.token()
    killer = Killer(private, "charts", 6)
    killer.start()
    acknowledged = set()

    def write(number):
        body = {"series_type": "line", "data": [{"time": number + 1, "value": number}]}
        answer = persistent_post(private, f"/api/charts/fault{number}/data/s", body, token)
        if answer is not None:
            assert answer.status == 200, answer
            acknowledged.add(number)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(1000)))
    killer.done.set()
    killer.join()
    assert killer.killed >= 1 and len(acknowledged) > 20  # few where programs start slowly
    wait_until_served(private, "/api/charts", token)
    for number in sorted(acknowledged):
        answer = private.get(f"/api/charts/fault{number}/data/0/s", token=token)
        assert answer.status == 200 and answer.json["data"] == [{"time": number + 1, "value": number}], (number, answer)
    assert integrity(private) == "ok"


def test_acknowledged_chat_turns_survive_kill_9(suite):
    private = suite.start()
    token = private.token()
    killer = Killer(private, "chat", 4)
    killer.start()
    acknowledged = {session: [] for session in range(8)}

    def talk(session):
        for number in range(125):
            text = f"turn {number} of session {session}"
            answer = persistent_post(private, "/chat", {"session_id": f"fault-{session}", "message": text}, token)
            if answer is not None:
                assert answer.status in (200, 409), answer  # 409: the lock of a program that was killed
                if answer.status == 200:
                    acknowledged[session].append(text)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(talk, range(8)))
    killer.done.set()
    killer.join()
    assert killer.killed >= 1
    wait_until_served(private, "/chat/sessions", token)
    for session, texts in acknowledged.items():
        stored = []
        before = ""
        while True:
            page = private.get(f"/chat/sessions/fault-{session}/messages?limit=100{before}", token=token).json
            messages = page["messages"]
            stored = [entry["content"] for entry in messages if entry["role"] == "user"] + stored
            if not page.get("has_more"):
                break
            before = f"&before={messages[0]['position']}"
        missing = [text for text in texts if text not in stored]
        assert not missing, missing
    assert integrity(private) == "ok"


def test_limits_still_hold_after_kills(suite):
    private = suite.start({"RATE_LIMIT_ENABLED": "true", "RATE_LIMIT_CHARTS": "60/hour"})
    token = private.token()
    killer = Killer(private, "charts", 3)
    killer.start()
    passed = 0
    for _ in range(150):
        try:
            passed += private.get("/api/charts", token=token).status == 200
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.005)  # the requests are spread over the kills
    killer.done.set()
    killer.join()
    assert killer.killed >= 1 and passed <= 60


@pytest.mark.parametrize("program,path", [("auth", "/auth/me"), ("charts", "/api/charts"), ("chat", "/v1/models"),
                                          ("health", "/health"), ("metrics", "/metrics")])
def test_a_killed_program_is_back_and_leaves_no_descriptors_behind(suite, program, path):
    private = suite.start()
    token = private.token()
    wait_until_served(private, path, token)
    (pid,) = private.pids(program)
    os.kill(pid, signal.SIGKILL)
    wait_until_served(private, path, token)
    (pid,) = private.pids(program)
    start = len(os.listdir(f"/proc/{pid}/fd"))
    for _ in range(50):
        private.get(path, token=token)
    assert len(os.listdir(f"/proc/{pid}/fd")) <= start + 16


def test_the_suite_ends_cleanly_on_sigterm(suite):
    private = suite.start()
    pids = [pid for name in ("health", "auth", "chat", "charts", "metrics") for pid in private.pids(name)]
    assert len(pids) == 5
    private.process.send_signal(signal.SIGTERM)
    assert private.process.wait(35) == 0
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 35)
