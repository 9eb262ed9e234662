"""ENABLE_PERSISTENCE=false: charts live in memory that all programs of the host share, and nowhere
else. Everything else is kept as ever."""
import json
import os
import pathlib
import signal
import subprocess

import pytest

from suite import BUILD, small_file_system, wait_until

MARK = "a-text-that-no-other-file-has"


@pytest.fixture
def memory_suite(suite, in_memory):
    return suite.start(in_memory)


def fill(suite, token, chart="c", **members):
    data = [{"time": i, "value": i, "mark": MARK} for i in range(700)]
    return suite.post(f"/api/charts/{chart}/data/s", {"series_type": "line", "data": data, **members}, token=token)


def count(suite, token, chart="c"):
    answer = suite.get(f"/api/charts/{chart}/data/0/s", token=token)
    return answer.json["totalCount"] if answer.status == 200 else answer.status


def program(name, settings, *arguments, stdin=b"", **variables):
    """One run of a program with the settings of a suite."""
    environment = {"PATH": os.environ["PATH"], "QUINTET_CONFIG": "/dev/null", "LOG_FILE": "/dev/null",
                   **settings, **variables}
    return subprocess.run([str(BUILD / name), *arguments], env=environment, input=stdin,
                          capture_output=True, timeout=30, check=False)


def settings_of(suite):
    return {"STATE_DIR": str(suite.state), "JWT_SECRET_KEY": suite.jwt_secret, **suite.environment}


def place_of(folder):
    [place] = pathlib.Path(folder).glob("quintet-*")
    return place


def test_points_are_on_no_disk(memory_suite):
    token = memory_suite.token()
    assert fill(memory_suite, token).status == 200
    place = place_of(memory_suite.environment["RUNTIME_DIR"])
    assert place.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in place.iterdir()} == {"charts.db", "charts.db-wal", "charts.db-shm"}
    assert any(MARK.encode() in path.read_bytes() for path in place.iterdir())
    for path in memory_suite.state.rglob("*"):
        if path.is_file():
            assert MARK.encode() not in path.read_bytes(), path


def test_charts_outlive_every_program_and_accounts_the_memory(memory_suite, suite):
    person = memory_suite.register()
    assert fill(memory_suite, person["access_token"]).status == 200
    for pid in memory_suite.pids("charts"):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: count(memory_suite, person["access_token"]) == 700, 20, trouble=memory_suite.logs)
    memory_suite.stop_process()
    again = suite.start(memory_suite.environment, memory_suite.state)
    assert count(again, person["access_token"]) == 700
    again.stop_process()
    for path in place_of(memory_suite.environment["RUNTIME_DIR"]).iterdir():
        path.unlink()  # what the end of the machine does
    again = suite.start(memory_suite.environment, memory_suite.state)
    assert again.post("/auth/login", {"email": person["email"], "password": person["password"]}).status == 200
    assert count(again, person["access_token"]) == 404


def test_another_installation_has_other_charts(memory_suite, suite):
    other = suite.start(memory_suite.environment)
    tokens = memory_suite.token(), other.token()
    assert fill(memory_suite, tokens[0]).status == 200
    assert fill(other, tokens[1], series_type="area").status == 200
    assert len(list(pathlib.Path(memory_suite.environment["RUNTIME_DIR"]).glob("quintet-*"))) == 2
    assert other.request("DELETE", "/api/charts/c", token=tokens[1]).status == 204
    assert count(memory_suite, tokens[0]) == 700


def test_programs_of_one_host_share_the_charts(memory_suite):
    """A CGI run reads what the FastCGI program has written, and the other way round."""
    token = memory_suite.token()
    assert fill(memory_suite, token).status == 200

    def cgi(method, path, body=b""):
        done = program("fcgi-apps/charts/charts.fcgi", settings_of(memory_suite), stdin=body,
                       GATEWAY_INTERFACE="CGI/1.1", SERVER_PROTOCOL="HTTP/1.1", REQUEST_METHOD=method,
                       PATH_INFO=path, REMOTE_ADDR="127.0.0.1", HTTP_AUTHORIZATION=f"Bearer {token}",
                       CONTENT_TYPE="application/json", CONTENT_LENGTH=str(len(body)))
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        assert head.startswith(b"Status: 200"), done
        return json.loads(body)

    assert cgi("GET", "/api/charts/c/data/0/s")["totalCount"] == 700
    assert cgi("PATCH", "/api/charts/c/data/s", b'{"data":[{"time":700,"value":1}]}')["count"] == 701
    assert count(memory_suite, token) == 701


def test_health_watches_the_memory(memory_suite):
    assert memory_suite.get("/health/ready").json["checks"]["datafeed"] is True
    assert memory_suite.get("/health/datafeed").json["status"] == "healthy"
    file = place_of(memory_suite.environment["RUNTIME_DIR"]) / "charts.db"
    file.rename(file.with_name("gone.db"))
    file.mkdir()
    wait_until(lambda: memory_suite.get("/health/ready").status == 503, 20)


@pytest.mark.parametrize("name", ["charts", "health"])
def test_a_foreign_place_refuses_to_start(memory_suite, name):
    memory_suite.stop_process()
    place = place_of(memory_suite.environment["RUNTIME_DIR"])
    place.chmod(0o755)
    done = program(f"fcgi-apps/{name}/{name}.fcgi", settings_of(memory_suite), GATEWAY_INTERFACE="CGI/1.1",
                   REQUEST_METHOD="GET", PATH_INFO="/health")
    assert done.returncode == 78
    [line] = done.stderr.decode().splitlines()
    assert str(place) in line and "not a directory of our own" in line and "ENABLE_PERSISTENCE" in line


def test_check_looks_at_the_memory(memory_suite):
    memory_suite.stop_process()
    done = program("cli/quintet", settings_of(memory_suite), "check")
    assert b"ok    charts in memory\n" in done.stdout
    place_of(memory_suite.environment["RUNTIME_DIR"]).chmod(0o755)
    done = program("cli/quintet", settings_of(memory_suite), "check")
    assert done.returncode == 1 and b"not a directory of our own" in done.stdout


def test_full_memory_is_an_outage_of_writing_only(suite, tmp_path):
    with small_file_system(tmp_path / "small", 24) as folder:
        small = suite.start({"ENABLE_PERSISTENCE": "false", "RUNTIME_DIR": str(folder)})
        token = small.token()
        for _ in range(3):
            written = 0
            while (answer := fill(small, token, f"c{written}")).status == 200:
                written += 1
                assert written < 200
            assert answer.status == 503 and answer.json["error"] == "storage_unavailable"
            assert int(answer.headers["retry-after"]) > 0
            assert written > 10
            assert all(count(small, token, f"c{i}") == 700 for i in range(written))
            assert small.get("/health/ready").status == 200
            for i in range(written):
                assert small.request("DELETE", f"/api/charts/c{i}", token=token).status == 204
        small.stop_process()
