"""A state directory on a full disk: writes are answered 503, nothing is half written, reads and probes
go on, and what was refused works when there is room again."""
import contextlib
import pathlib

import pytest

from suite import Suite, small_file_system


@pytest.fixture
def small(tmp_path):
    """A suite whose state directory is a file system of 64 MiB."""
    with small_file_system(tmp_path / "small", 64) as folder:
        suite = Suite({}, state=folder)
        try:
            yield suite.start_process()
        finally:
            suite.stop_process()


def fill_disk(suite):
    """Takes what is free. Also what the database has in its log for further writes: a log that cannot
    be folded into a file that cannot grow is used up soon."""
    ballast = pathlib.Path(suite.state) / "ballast"
    with contextlib.suppress(OSError), open(ballast, "ab", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    return ballast


def points(start, count):
    return [{"time": time, "value": 1, "text": "x" * 400} for time in range(start, start + count)]


def assert_refused(answer):
    assert answer.status == 503 and int(answer.headers["retry-after"]) > 0, answer
    assert answer.json["error"] in ("storage_unavailable", "service_overloaded")


def test_a_full_disk_refuses_writes_whole_and_recovers(small):
    ada = small.register()
    token = ada["access_token"]
    chart = "/api/charts/c"
    assert small.post(f"{chart}/data/s", {"series_type": "line", "data": points(0, 700)}, token=token).status == 200
    key = small.post("/auth/api-keys", {"name": "old"}, token=token).json
    before = small.post(chart, {}, token=token).json

    ballast = fill_disk(small)
    # Some appends find room in the log; the first that does not is the end of it.
    appended = 700
    while (answer := small.request("PATCH", f"{chart}/data/s", {"data": points(appended, 40)},
                                   token=token)).status == 200:
        appended += 40
        assert appended < 100_000
        fill_disk(small)
    assert_refused(answer)
    writes = [
        ("POST", f"{chart}/data/s", {"series_type": "area", "data": points(5, 3000)}),
        ("POST", f"{chart}/data/t", {"series_type": "line", "data": points(5, 3000)}),
        ("PATCH", f"{chart}/data/s", {"mode": "upsert", "data": points(0, 2000)}),
        ("PATCH", f"{chart}/data/s", {"data": points(appended, 3000)}),
        ("POST", "/api/charts/d", {"text": "x" * 200_000}),
        ("PUT", chart, {"text": "x" * 200_000}),
    ]
    for method, path, body in writes:
        assert_refused(small.request(method, path, body, token=token))
    series = small.get(f"{chart}/history/0/s?count=1", token=token).json
    assert series["totalCount"] == appended and series["chunkInfo"]["end_time"] == appended - 1
    # Answers of more than 64 KiB lighttpd would keep on that disk; this one is short and writes nothing.
    assert small.post(chart, {}, token=token).json == before
    assert small.get(f"{chart}/data/0/t", token=token).status == 404
    assert small.get("/api/charts/d", token=token).status == 404
    assert small.get("/health/live").status == 200
    # Accounts: whatever is answered holds, before and after.
    made = small.post("/auth/register", {"email": "eve@example.com", "password": "correct horse battery"})
    named = small.post("/auth/api-keys", {"name": "n" * 60}, token=token)
    for answer in (made, named):
        if answer.status != 201:
            assert_refused(answer)

    ballast.unlink()
    listed = {item["name"] for item in small.get("/auth/api-keys", token=token).json["items"]}
    assert ("n" * 60 in listed) == (named.status == 201)
    again = small.post("/auth/login", {"email": "eve@example.com", "password": "correct horse battery"})
    assert again.status == (200 if made.status == 201 else 401)
    for method, path, body in writes:
        if body.get("data", [{}])[0].get("time") == appended:
            continue  # the first of them has made another series of "s"
        answer = small.request(method, path, body, token=token)
        assert answer.status == 200, answer
    assert small.get(f"{chart}/data/0/t", token=token).json["totalCount"] == 3000
    assert small.get("/api/charts", headers={"X-API-Key": key["key"]}).status == 200
    assert small.request("DELETE", chart, token=token).status == 204
