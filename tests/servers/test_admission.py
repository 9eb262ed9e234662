"""What is decided before a body is read, and what room bodies have: over the raw FastCGI socket.

Nothing here is a web server's doing: a request's parameters come, and then as much of its body as
the test sends.
"""
import concurrent.futures
import os
import resource
import subprocess
import tempfile
import time

import pytest

import fastcgi_client as fastcgi
from test_fastcgi_abuse import is_listening, own_hello, program  # noqa: F401 (fixtures)
from suite import sanitizer_environment, wait_until
from web_servers import stop

MEGABYTE = 1 << 20


@pytest.fixture
def spooling(own_hello, tmp_path):  # noqa: F811
    """A function that starts a program that takes large bodies in."""

    def start(**settings):
        return own_hello(**{"body_limit": 64 * MEGABYTE, "body_directory": str(tmp_path),
                            "body_room": 256 * MEGABYTE, **settings})

    return start


def counters(hello):
    words = hello.ask("/counters").body.split()
    return {words[i].decode(): int(words[i + 1]) for i in range(0, len(words), 2)}


def head_of(path, length, **parameters):
    """A request up to its body."""
    values = fastcgi.environment(path, "POST", **{"CONTENT_LENGTH": str(length), **parameters})
    return fastcgi.begin(1) + fastcgi.stream(fastcgi.PARAMS, 1, fastcgi.pairs(values))


def resident(hello):
    with open(f"/proc/{hello.process.pid}/statm") as file:
        fields = file.read().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")  # without files


def upload(hello, size, path="/sum", timeout=60, **parameters):
    """Repeats what is refused for want of room, as clients are told to."""
    body = b"\1" * size
    refusals = 0
    while True:
        answer = fastcgi.ask(hello.socket, path, timeout, body=body, **parameters)
        if answer.status != 503:
            return answer, refusals
        assert answer.head["retry-after"] == "1"
        refusals += 1
        time.sleep(0.1)


def test_refusal_comes_before_a_byte_of_a_large_body(spooling):
    hello = spooling()
    with hello.connect() as connection:
        connection.send(head_of("/sum", 44 * MEGABYTE, REFUSE="1"))
        assert connection.read_answer().status == 403
        connection.send(fastcgi.record(fastcgi.STDIN, 1, b"x" * 60000))  # not a broken pipe


def test_refusal_reaches_a_peer_that_sends_all_of_its_body_first(spooling):
    hello = spooling()
    answer = hello.ask("/sum", body=b"x" * 20 * MEGABYTE, REFUSE="1")
    assert (answer.status, answer.protocol_status) == (403, fastcgi.REQUEST_COMPLETE)


def test_incomplete_bodies_without_credentials_hold_nothing(spooling):
    hello = spooling()
    strangers = [hello.connect() for _ in range(16)]
    for connection in strangers:
        connection.send(head_of("/sum", 44 * MEGABYTE, REFUSE="1"))
        connection.send(fastcgi.record(fastcgi.STDIN, 1, b"x" * 60000))
    start = time.monotonic()
    answer, refusals = upload(hello, 39 * MEGABYTE)
    assert (answer.body, refusals) == (b"length %d sum %d\n" % ((39 * MEGABYTE,) * 2), 0)
    assert time.monotonic() - start < 20
    for connection in strangers:
        assert connection.read_answer().status == 403
        connection.close()


def test_what_has_begun_can_finish_and_what_cannot_begin_is_told_at_once(spooling):
    hello = spooling(body_room=100 * MEGABYTE)
    with hello.connect(20) as begun:
        begun.send(head_of("/sum", 60 * MEGABYTE))
        wait_until(lambda: counters(hello)["admissions"] >= 2)
        with hello.connect() as late:
            late.send(head_of("/sum", 60 * MEGABYTE))
            answer = late.read_answer()
            assert (answer.status, answer.head["retry-after"]) == (503, "1")
        begun.send(fastcgi.stream(fastcgi.STDIN, 1, b"\2" * 60 * MEGABYTE))
        assert begun.read_answer().body == b"length %d sum %d\n" % (60 * MEGABYTE, 120 * MEGABYTE)
    assert upload(hello, 60 * MEGABYTE)[1] == 0  # the room was given back


def test_one_owner_holds_no_more_than_half_of_the_room(spooling):
    hello = spooling(body_room=100 * MEGABYTE)
    held = hello.connect()
    held.send(head_of("/sum", 40 * MEGABYTE, OWNER="7"))
    wait_until(lambda: counters(hello)["admissions"] >= 2)
    with hello.connect() as same:
        same.send(head_of("/sum", 20 * MEGABYTE, OWNER="7"))
        assert same.read_answer().status == 503
    assert upload(hello, 20 * MEGABYTE, OWNER="8")[1] == 0
    held.close()
    wait_until(lambda: counters(hello)["drops"] == 1)
    assert upload(hello, 60 * MEGABYTE, OWNER="7")[1] == 0


def test_parallel_uploads_all_arrive_delay_nobody_and_leave_memory_flat(spooling):
    hello = spooling()
    upload(hello, 20 * MEGABYTE)
    before = resident(hello)
    delays = []
    most = before
    with concurrent.futures.ThreadPoolExecutor(18) as pool:
        uploads = [pool.submit(upload, hello, 20 * MEGABYTE, "/sum", 60,
                               **({"REFUSE": "1"} if number % 3 == 0 else {}))
                   for number in range(18)]
        while not all(task.done() for task in uploads):
            start = time.monotonic()
            assert hello.ask("/").body == b"Hello\n"
            delays.append(time.monotonic() - start)
            most = max(most, resident(hello))
            time.sleep(0.05)  # between samples
    for number, task in enumerate(uploads):
        assert task.result()[0].status == (403 if number % 3 == 0 else 200)
    assert sorted(delays)[len(delays) // 2] < 0.5
    assert most - before < 16 * MEGABYTE


def test_small_bodies_cost_no_second_turn_and_large_ones_one(spooling):
    hello = spooling()
    first = counters(hello)["admissions"]
    for size in (0, 1, 65536):
        assert hello.ask("/sum", body=b"\1" * size).body == b"length %d sum %d\n" % (size, size)
    assert counters(hello)["admissions"] == first + 4  # one each, and the question itself
    for declared in ("", "100000"):
        answer = hello.ask("/sum", body=b"\1" * 100_000, CONTENT_LENGTH=declared)
        assert answer.body == b"length 100000 sum 100000\n"


@pytest.mark.parametrize("size", [65537, MEGABYTE, MEGABYTE + 1, 3 * MEGABYTE, 4095 * 4096])
def test_bodies_in_memory_and_in_files_arrive_unchanged(spooling, tmp_path, size):
    hello = spooling()
    body = os.urandom(size)
    expected = b"length %d sum %d\n" % (size, sum(body))
    for declared in ("", str(size)):
        assert hello.ask("/sum", body=body, CONTENT_LENGTH=declared).body == expected
    assert not [name for name in os.listdir(tmp_path) if name.startswith("body")]


def test_client_that_leaves_within_its_body_gives_its_room_back(spooling):
    hello = spooling(body_room=64 * MEGABYTE)
    for turn in range(1, 4):
        with hello.connect() as connection:
            connection.send(head_of("/sum", 60 * MEGABYTE))
            connection.send(fastcgi.record(fastcgi.STDIN, 1, b"x" * 50000))
        wait_until(lambda: counters(hello)["drops"] == turn)
    assert upload(hello, 60 * MEGABYTE)[1] == 0


def test_pieces_of_a_slow_body_move_its_deadline(spooling):
    """Two seconds for a request, and one more for each 8 KiB of its body."""
    hello = spooling(request_timeout=2)
    with hello.connect(10) as connection:
        connection.send(head_of("/sum", 5 * 65000))
        for _ in range(5):
            connection.send(fastcgi.record(fastcgi.STDIN, 1, b"\1" * 65000))
            time.sleep(0.8)  # its pace
        connection.send(fastcgi.record(fastcgi.STDIN, 1))
        assert connection.read_answer().body == b"length 325000 sum 325000\n"
    with hello.connect(10) as connection:
        connection.send(head_of("/sum", 5 * 65000))
        assert connection.read_answer().status == 408


# --- kept connections ---------------------------------------------------------------------------


def test_each_request_on_a_kept_connection_has_its_own_clock(own_hello):  # noqa: F811
    hello = own_hello(request_timeout=2)
    with hello.connect(10) as connection:
        for pause in (0, 0.5, 2.5):
            time.sleep(pause)  # between requests, longer than one may take
            started = time.monotonic()
            past = int(connection.ask("/clock", keep=True).body)
            assert past <= (time.monotonic() - started) * 1000 + 1


def test_each_request_on_a_kept_connection_has_its_own_deadline(own_hello):  # noqa: F811
    hello = own_hello(request_timeout=2)
    with hello.connect(10) as connection:
        assert connection.ask("/", keep=True).body == b"Hello\n"
        time.sleep(1.5)  # of the two seconds that a request has
        whole = fastcgi.request("/sum", keep=True, body=b"\1" * 100)
        connection.send(whole[:-50])
        time.sleep(1)  # 2.5 s after the first, 1 s after the second
        connection.send(whole[-50:])
        assert connection.read_answer().body == b"length 100 sum 100\n"
        time.sleep(1)
        connection.send(whole[:-50])
        start = time.monotonic()
        assert connection.read_answer().status == 408
        assert 1 < time.monotonic() - start < 4


def test_nothing_of_a_request_stays_for_the_next(own_hello, tmp_path):  # noqa: F811
    hello = own_hello(body_limit=8 * MEGABYTE, body_directory=str(tmp_path))
    with hello.connect(10) as connection:
        for body, declared in ((b"\1" * 2_000_000, None), (b"abc", "5"), (b"abcdef", "5"), (b"", None),
                               (b"\1" * 100_000, ""), (b"\2" * 70_000, None), (b"x", "1")):
            more = {} if declared is None else {"CONTENT_LENGTH": declared}
            answer = connection.ask("/body", keep=True, body=body, **more)
            differs = int(declared not in (None, "", str(len(body))))
            length = 0 if differs and len(body) > int(declared) else len(body)
            assert answer.body == b"length %d differs %d too_large 0\n" % (length, differs)


def test_aborted_stream_is_ended_and_its_connection_serves_on(own_hello):  # noqa: F811
    hello = own_hello()
    with hello.connect() as connection:
        for _ in range(3):
            connection.send(fastcgi.request("/idle", keep=True))
            assert connection.read_record()[0] == fastcgi.STDOUT
            connection.send(fastcgi.record(fastcgi.ABORT_REQUEST, 1))
            assert connection.read_answer().protocol_status == fastcgi.REQUEST_COMPLETE
            connection.send(fastcgi.request("/idle", keep=True))
            assert connection.read_record()[0] == fastcgi.STDOUT
            # The next request comes with the abort.
            connection.send(fastcgi.record(fastcgi.ABORT_REQUEST, 1) + fastcgi.request("/", keep=True))
            connection.read_answer()
            assert connection.read_answer().body == b"Hello\n"


def test_request_aborted_within_its_body_is_ended_and_dropped(own_hello, tmp_path):  # noqa: F811
    hello = own_hello(body_limit=8 * MEGABYTE, body_directory=str(tmp_path))
    with hello.connect() as connection:
        for length in (10, 100_000, 5 * MEGABYTE):
            values = fastcgi.environment("/sum", "POST", CONTENT_LENGTH=str(length))
            connection.send(fastcgi.begin(1, True) + fastcgi.stream(fastcgi.PARAMS, 1, fastcgi.pairs(values)))
            connection.send(fastcgi.record(fastcgi.STDIN, 1, b"x" * 5))
            connection.send(fastcgi.record(fastcgi.ABORT_REQUEST, 1))
            assert connection.read_answer().protocol_status == fastcgi.REQUEST_COMPLETE
        assert connection.ask("/sum", keep=True, body=b"\1").body == b"length 1 sum 1\n"
    wait_until(lambda: counters(hello)["drops"] == 3)


# --- work that waits ----------------------------------------------------------------------------


def test_requests_that_wait_leave_workers_to_those_that_read(own_hello):  # noqa: F811
    hello = own_hello(workers=4)
    waiting = [hello.connect(10) for _ in range(12)]
    for connection in waiting:
        connection.send(fastcgi.request("/sleep/700", method="POST"))
    time.sleep(0.1)
    for _ in range(5):
        start = time.monotonic()
        assert hello.ask("/").body == b"Hello\n"
        assert time.monotonic() - start < 0.6
    for connection in waiting:
        assert connection.read_answer().body == b"slept\n"
        connection.close()


def test_client_that_left_while_its_request_waited_is_not_served(own_hello):  # noqa: F811
    hello = own_hello(workers=1)
    with hello.connect() as busy:
        busy.send(fastcgi.request("/sleep/600"))
        time.sleep(0.1)
        for _ in range(20):
            with hello.connect() as leaver:
                leaver.send(fastcgi.request("/sleep/500"))
        assert busy.read_answer().body == b"slept\n"
    start = time.monotonic()
    assert counters(hello)["drops"] == 20
    assert time.monotonic() - start < 3


# --- descriptors --------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [48, 64, 128])
def test_with_few_descriptors_connections_leave_some_to_the_rest(own_hello, program, limit):  # noqa: F811
    """What is open of a program is far from its limit however many connect; those beyond wait."""
    resource_before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource_before[1]))
    try:
        hello = own_hello()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, resource_before)
    with open(f"/proc/{hello.process.pid}/limits") as file:
        raised = [line.split()[3:5] for line in file if line.startswith("Max open files")]
    assert raised == [[str(resource_before[1])] * 2]  # the soft limit follows the hard one


@pytest.mark.parametrize("limit", [48, 64, 128])
def test_connections_stop_before_the_last_descriptor(program, limit):  # noqa: F811
    with tempfile.TemporaryDirectory(prefix="hello-") as folder:
        path = os.path.join(folder, "hello.sock")
        process = subprocess.Popen(["prlimit", f"--nofile={limit}:{limit}", program, "--listen", path],
                                   stdin=subprocess.DEVNULL, env=sanitizer_environment() | os.environ)
        connections = []
        try:
            wait_until(lambda: is_listening(path))
            for _ in range(limit):
                connections.append(fastcgi.Connection(path, 0.3))
            served = 0
            for connection in connections:
                try:
                    served += connection.ask("/", keep=True).body == b"Hello\n"
                except TimeoutError:
                    break
            used = len(os.listdir(f"/proc/{process.pid}/fd"))
            assert served >= 4 and used <= limit - limit // 4
            for connection in connections[:served]:
                connection.close()
            late = connections[served]
            late.socket.settimeout(5)
            assert late.read_answer().body == b"Hello\n"  # its turn has come
        finally:
            for connection in connections:
                connection.close()
            assert stop(process) == 0
