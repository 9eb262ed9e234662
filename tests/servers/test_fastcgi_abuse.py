"""What web servers never send and hostile or broken peers do, against the transport alone.

The program is bench/hello/hello_transport: the transport with next to nothing above it. After each
test the same process still lives, answers a good request within a second and has as many
descriptors open as before.
"""
import os
import pathlib
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import threading
import time

import pytest

import fastcgi_client as fastcgi
from suite import BUILD, sanitizer_environment, wait_until
from web_servers import stop

PROGRAM = "bench/hello/hello_transport"


@pytest.fixture(scope="session")
def program():
    given = os.environ.get("HELLO_TRANSPORT")
    if given:
        return given
    made = subprocess.run(["make", "-s", "-C", str(BUILD), PROGRAM], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return str(BUILD / PROGRAM)


class Hello:
    """A running hello_transport."""

    def __init__(self, program, folder, **settings):
        self.socket = str(pathlib.Path(folder) / "hello.sock")
        environment = {"PATH": os.environ["PATH"], **sanitizer_environment()}
        environment.update({f"HELLO_{name.upper()}": str(value)
                            for name, value in settings.items()})
        self.process = subprocess.Popen([program, "--listen", self.socket], env=environment,
                                        stdin=subprocess.DEVNULL)
        wait_until(self.answers)

    def answers(self):
        assert self.process.poll() is None, "the program has ended"
        try:
            return fastcgi.ask(self.socket, "/", timeout=1).body == b"Hello\n"
        except OSError:
            return False

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def connect(self, timeout=5.0):
        return fastcgi.Connection(self.socket, timeout)

    def ask(self, path="/", **more):
        return fastcgi.ask(self.socket, path, **more)


@pytest.fixture(scope="module")
def shared_hello(program):
    with tempfile.TemporaryDirectory(prefix="hello-") as folder:
        hello = Hello(program, folder, request_timeout=2, write_timeout=2, idle_timeout=60,
                      body_limit=1 << 20)
        hello.ask("/stream/1/1")  # the pump comes with the first stream and has descriptors too
        yield hello
        assert stop(hello.process) == 0


@pytest.fixture
def hello(shared_hello):
    """The shared one, checked afterwards."""
    before = shared_hello.descriptors()
    yield shared_hello
    start = time.monotonic()
    assert shared_hello.ask("/").body == b"Hello\n"
    assert time.monotonic() - start < 1
    wait_until(lambda: shared_hello.descriptors() <= before, 10)


@pytest.fixture
def own_hello(program, tmp_path_factory):
    """A function that starts one with settings of its own."""
    started = []

    def start(**settings):
        folder = tempfile.mkdtemp(prefix="hello-")
        started.append((Hello(program, folder, **settings), folder))
        return started[-1][0]

    yield start
    for hello, folder in started:
        stop(hello.process)
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)


# --- what is not FastCGI ------------------------------------------------------------------------


@pytest.mark.parametrize("garbage", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\0" * 100,
    b"\xff" * 65536,
    b"\x02\x01\x00\x01\x00\x08\x00\x00" + b"\0" * 8,
    fastcgi.record(fastcgi.STDOUT, 1, b"ours to send"),
    fastcgi.record(fastcgi.BEGIN_REQUEST, 1, b"short"),
    fastcgi.record(fastcgi.BEGIN_REQUEST, 0, b"\0\1\0\0\0\0\0\0"),
    fastcgi.begin(1) + fastcgi.begin(1),
    fastcgi.begin(1) + fastcgi.record(fastcgi.STDIN, 1, b"before the parameters"),
])
def test_garbage_closes_the_connection_at_once(hello, garbage):
    with hello.connect() as connection:
        connection.send(garbage)
        assert connection.is_closed_within(1)


@pytest.mark.parametrize("beginning", [
    b"", b"\x01", fastcgi.begin(1)[:7], fastcgi.begin(1), fastcgi.request("/")[:-8],
    fastcgi.begin(1) + struct.pack("!BBHHBB", 1, fastcgi.PARAMS, 1, 65535, 255, 0),
])
def test_half_a_request_is_closed_at_the_deadline_without_costing_a_thread(hello, beginning):
    threads = hello.threads()
    connections = [hello.connect() for _ in range(20)]
    for connection in connections:
        connection.send(beginning)
    assert hello.ask("/").body == b"Hello\n"
    assert hello.threads() <= threads
    for connection in connections:
        assert connection.is_closed_within(5)
        connection.close()


def test_body_that_stops_coming_is_answered_408(hello):
    with hello.connect() as connection:
        connection.send(fastcgi.begin(1)
                        + fastcgi.stream(fastcgi.PARAMS, 1, fastcgi.pairs(
                            fastcgi.environment("/body", "POST", CONTENT_LENGTH="100")))
                        + fastcgi.record(fastcgi.STDIN, 1, b"only this"))
        assert connection.read_answer().status == 408


def test_peer_that_leaves_in_the_middle_is_forgotten(hello):
    whole = fastcgi.request("/bytes/100000", body=b"x" * 1000)
    for cut in range(0, len(whole), 97):
        with hello.connect() as connection:
            connection.send(whole[:cut])


# --- sizes --------------------------------------------------------------------------------------


def test_parameters_of_70_kb_are_refused_with_431(hello):
    answer = hello.ask("/", LARGE="x" * 70000)
    assert answer.status == 431
    assert answer.body == b"/"  # what came first is known to the layer that answers
    assert answer.protocol_status == fastcgi.REQUEST_COMPLETE


def test_parameters_just_below_the_limit_are_accepted(hello):
    answer = hello.ask("/parameter/LARGE", LARGE="x" * 65000)
    assert answer.body == b"x" * 65000


@pytest.mark.parametrize("parameters", [
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xff\xff\xff\xfe\xff\xff\xff\xfeAB",
    b"\x7f\xff\xff\xff\xff",
    b"\x80",
    b"\x05\x05abc",
])
def test_huge_or_wrong_lengths_in_parameters_are_refused_with_400(hello, parameters):
    with hello.connect() as connection:
        connection.send(fastcgi.begin(1, keep=True)
                        + fastcgi.stream(fastcgi.PARAMS, 1, parameters)
                        + fastcgi.stream(fastcgi.STDIN, 1, b""))
        assert connection.read_answer().status == 400
        assert connection.ask("/").body == b"Hello\n"


def test_unread_body_reaches_no_handler_and_its_answer_reaches_the_client(hello):
    """5 MB where 1 MiB is allowed: the answer must arrive, not a reset connection."""
    assert hello.ask("/body", body=b"x" * 5_000_000).status == 413
    undeclared = hello.ask("/body", body=b"x" * 2_000_000, CONTENT_LENGTH="")
    assert undeclared.body == b"length 0 differs 0 too_large 1\n"
    with hello.connect() as connection:
        connection.send(fastcgi.request("/body", keep=True, body=b"x" * 2_000_000, CONTENT_LENGTH=""))
        assert connection.read_answer().body == b"length 0 differs 0 too_large 1\n"
        assert connection.ask("/body", body=b"abc").body == b"length 3 differs 0 too_large 0\n"


@pytest.mark.parametrize("declared, sent, expected", [
    ("", b"abc", b"length 3 differs 0 too_large 0\n"),
    ("3", b"abc", b"length 3 differs 0 too_large 0\n"),
    ("2", b"abc", b"length 0 differs 1 too_large 0\n"),
    ("5", b"x" * 79, b"length 0 differs 1 too_large 0\n"),
    ("5", b"x" * 300_000, b"length 0 differs 1 too_large 0\n"),
    ("100000", b"x" * 99_999, b"length 99999 differs 1 too_large 0\n"),
    ("100000", b"x" * 100_001, b"length 0 differs 1 too_large 0\n"),
    ("0", b"abc", b"length 0 differs 1 too_large 0\n"),
    ("4", b"abc", b"length 3 differs 1 too_large 0\n"),
    ("-1", b"abc", b"length 3 differs 0 too_large 0\n"),
    ("99999999999999999999999", b"abc", b"length 3 differs 0 too_large 0\n"),
    ("9223372036854775807", b"abc", b"/body"),
    ("0", b"", b"length 0 differs 0 too_large 0\n"),
])
def test_content_length_may_lie(hello, declared, sent, expected):
    assert hello.ask("/body", body=sent, CONTENT_LENGTH=declared).body == expected


def test_body_of_exactly_the_limit_is_accepted(hello):
    assert hello.ask("/body", body=b"x" * (1 << 20)).body == \
        b"length 1048576 differs 0 too_large 0\n"
    assert hello.ask("/body", body=b"x" * (1 << 20), CONTENT_LENGTH="").body == \
        b"length 1048576 differs 0 too_large 0\n"
    assert hello.ask("/body", body=b"x" * ((1 << 20) + 1)).status == 413
    assert hello.ask("/body", body=b"x" * ((1 << 20) + 1), CONTENT_LENGTH="").body == \
        b"length 0 differs 0 too_large 1\n"


def test_binary_parameters_and_bodies_come_through(hello):
    value = bytes(range(1, 256)).decode("latin-1").encode("utf-8")
    assert hello.ask("/parameter/BINARY", BINARY=value).body == value
    assert hello.ask("/body", body=bytes(range(256)) * 100).body.startswith(b"length 25600 ")


# --- management and roles -----------------------------------------------------------------------


def test_get_values_four_times_is_answered_and_the_request_after_it_too(hello):
    question = fastcgi.record(fastcgi.GET_VALUES, 0, fastcgi.pair("FCGI_MPXS_CONNS", "") * 4
                              + fastcgi.pair("FCGI_MAX_CONNS", "") * 4)
    with hello.connect() as connection:
        connection.send(question)
        kind, request_id, content = connection.read_record()
        assert (kind, request_id) == (fastcgi.GET_VALUES_RESULT, 0)
        assert content == fastcgi.pair("FCGI_MAX_CONNS", "16384") + \
            fastcgi.pair("FCGI_MPXS_CONNS", "0")
        connection.send(question * 4)
        for _ in range(4):
            assert connection.read_record()[0] == fastcgi.GET_VALUES_RESULT
        assert connection.ask("/").body == b"Hello\n"


def test_unknown_management_type_is_answered_as_such(hello):
    with hello.connect() as connection:
        connection.send(fastcgi.record(200, 0, b"whatever"))
        assert connection.read_record() == (fastcgi.UNKNOWN_TYPE, 0, b"\xc8" + b"\0" * 7)


def test_peer_that_asks_for_ever_and_never_reads_is_closed(hello):
    with hello.connect() as connection:
        connection.socket.settimeout(10)
        with pytest.raises(OSError):
            for _ in range(1000):
                connection.send(fastcgi.record(200, 0) * 1000)


def test_other_roles_are_refused(hello):
    with hello.connect() as connection:
        connection.send(fastcgi.begin(1, role=fastcgi.AUTHORIZER, keep=True))
        assert connection.read_answer().protocol_status == fastcgi.UNKNOWN_ROLE
        assert connection.ask("/").body == b"Hello\n"


def test_second_request_id_is_refused_and_the_first_is_answered(hello):
    whole = fastcgi.request("/", request_id=1, keep=True)
    begin, rest = whole[:16], whole[16:]
    with hello.connect() as connection:
        connection.send(begin + fastcgi.begin(2, keep=True) + rest)
        kind, request_id, content = connection.read_record()
        assert (kind, request_id, content[4]) == \
            (fastcgi.END_REQUEST, 2, fastcgi.CANT_MPX_CONN)
        assert connection.read_answer(1).body == b"Hello\n"


# --- abort --------------------------------------------------------------------------------------


def test_abort_while_reading_ends_the_request(hello):
    with hello.connect() as connection:
        connection.send(fastcgi.begin(1, keep=True) + fastcgi.record(fastcgi.ABORT_REQUEST, 1))
        answer = connection.read_answer()
        assert (answer.out, answer.protocol_status) == (b"", fastcgi.REQUEST_COMPLETE)
        assert connection.ask("/").body == b"Hello\n"
    with hello.connect() as connection:
        connection.send(fastcgi.begin(1) + fastcgi.record(fastcgi.ABORT_REQUEST, 1))
        connection.read_answer()
        assert connection.is_closed_within(1)


def test_abort_of_a_stream_ends_it(hello):
    with hello.connect() as connection:
        connection.send(fastcgi.request("/stream/0/20"))
        connection.read_record()
        connection.send(fastcgi.record(fastcgi.ABORT_REQUEST, 1))
        assert connection.is_closed_within(1)


def test_client_that_leaves_a_silent_stream_is_noticed_at_once(hello):
    before = hello.descriptors()
    connection = hello.connect()
    connection.send(fastcgi.request("/idle"))
    connection.read_record()
    assert hello.descriptors() > before
    connection.close()
    wait_until(lambda: hello.descriptors() <= before, 1)


def test_half_closed_client_of_a_stream_counts_as_gone(hello):
    with hello.connect() as connection:
        connection.send(fastcgi.request("/idle"))
        connection.read_record()
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.is_closed_within(1)


# --- kept connections ---------------------------------------------------------------------------


def test_more_idle_kept_connections_than_workers_starve_nobody(hello):
    threads = hello.threads()
    kept = [hello.connect() for _ in range(50)]
    for connection in kept:
        assert connection.ask("/", keep=True).body == b"Hello\n"
    assert hello.ask("/").body == b"Hello\n"
    assert hello.threads() <= threads
    for connection in kept:
        assert connection.ask("/", keep=True).body == b"Hello\n"
        connection.close()


def test_pipelined_requests_are_all_answered_in_order(hello):
    with hello.connect() as connection:
        connection.send(b"".join(fastcgi.request(f"/parameter/N", keep=True, request_id=1 + i % 3,
                                                 N=str(i)) for i in range(200)))
        for i in range(200):
            assert connection.read_answer(1 + i % 3).body == str(i).encode()


def test_pipelined_request_behind_large_ones_is_not_lost(hello):
    body = b"x" * 300_000
    with hello.connect(10) as connection:
        sender = threading.Thread(target=connection.send, args=(
            fastcgi.request("/body", keep=True, body=body)
            + fastcgi.request("/bytes/2000000", keep=True)
            + fastcgi.request("/body", keep=True, body=body)
            + fastcgi.request("/"),))
        sender.start()
        assert connection.read_answer().body == b"length 300000 differs 0 too_large 0\n"
        assert len(connection.read_answer().body) == 2_000_000
        assert connection.read_answer().body == b"length 300000 differs 0 too_large 0\n"
        assert connection.read_answer().body == b"Hello\n"
        assert connection.is_closed_within(1)
        sender.join()


def test_second_request_on_a_stream_is_refused_and_a_later_one_served(hello):
    with hello.connect() as connection:
        connection.send(fastcgi.request("/stream/10/30", keep=True)
                        + fastcgi.request("/", request_id=2, keep=True))
        ended = {}
        while len(ended) < 2:
            kind, request_id, content = connection.read_record()
            if kind == fastcgi.END_REQUEST:
                ended[request_id] = content[4]
        assert ended == {1: fastcgi.REQUEST_COMPLETE, 2: fastcgi.CANT_MPX_CONN}
        assert connection.ask("/", request_id=3).body == b"Hello\n"


def test_request_without_keep_is_closed_after_its_answer(hello):
    with hello.connect() as connection:
        connection.ask("/")
        assert connection.is_closed_within(1)


# --- odd but allowed ----------------------------------------------------------------------------


def test_zero_length_records_and_padding_change_nothing(hello):
    with hello.connect() as connection:
        connection.send(fastcgi.record(fastcgi.STDIN, 9)
                        + fastcgi.request("/body", body=b"abc" * 1000, size=1, padding=255)
                        + fastcgi.record(fastcgi.STDIN, 1))
        assert connection.read_answer().body == b"length 3000 differs 0 too_large 0\n"


def test_request_may_come_byte_by_byte(hello):
    with hello.connect() as connection:
        for byte in fastcgi.request("/body", body=b"abc"):
            connection.send(bytes([byte]))
        assert connection.read_answer().body == b"length 3 differs 0 too_large 0\n"


def test_all_request_ids_are_echoed(hello):
    with hello.connect() as connection:
        for request_id in (1, 255, 256, 65535):
            assert connection.ask("/", request_id=request_id, keep=True).body == b"Hello\n"


# --- slow readers -------------------------------------------------------------------------------


def test_stalled_readers_cost_no_thread_and_are_closed(hello):
    stalled = [hello.connect(10) for _ in range(20)]
    for connection in stalled:
        connection.send(fastcgi.request("/bytes/5000000"))
    time.sleep(0.3)
    start = time.monotonic()
    assert hello.ask("/").body == b"Hello\n"
    assert time.monotonic() - start < 1
    time.sleep(3.5)  # their write timeout is 2 s
    for connection in stalled:
        with pytest.raises(fastcgi.Closed):
            connection.read_answer()
        connection.close()


def test_slow_reader_gets_everything(hello):
    with hello.connect() as connection:
        connection.send(fastcgi.request("/bytes/3000000"))
        received = b""
        while len(received) < 3_000_000:
            data = connection.socket.recv(200_000)
            assert data
            received += data
            time.sleep(0.05)  # its pace


def test_lagging_client_pauses_its_stream_and_then_gets_all_of_it(hello):
    with hello.connect() as connection:
        connection.send(fastcgi.request("/flood/3000"))
        time.sleep(0.5)  # the client lags
        answer = connection.read_answer()
        numbers = [int(event.split()[1]) for event in answer.body.decode().split("\n\n") if event]
        assert numbers == list(range(3000))


# --- load ---------------------------------------------------------------------------------------


def test_full_queue_is_answered_503_at_once(own_hello):
    hello = own_hello(workers=1, queue=1)
    busy = [hello.connect() for _ in range(2)]
    for connection in busy:
        connection.send(fastcgi.request("/sleep/1000"))
        time.sleep(0.1)
    start = time.monotonic()
    answer = hello.ask("/")
    assert (answer.status, answer.head["retry-after"]) == (503, "1")
    assert time.monotonic() - start < 0.5
    for connection in busy:
        assert connection.read_answer().body == b"slept\n"
        connection.close()


def test_connections_beyond_the_maximum_wait_and_are_served(own_hello):
    hello = own_hello(connections=4)
    kept = [hello.connect() for _ in range(4)]
    for connection in kept:
        assert connection.ask("/", keep=True).body == b"Hello\n"
    late = hello.connect()
    late.send(fastcgi.request("/"))
    with pytest.raises(TimeoutError):
        late.socket.settimeout(0.3)
        late.read_answer()
    late.socket.settimeout(1)
    kept.pop().close()
    assert late.read_answer().body == b"Hello\n"
    late.close()
    for connection in kept:
        connection.close()


def test_running_out_of_descriptors_pauses_accepting_only(own_hello):
    hello = own_hello()
    hello.ask("/")
    subprocess.run(["prlimit", f"--pid={hello.process.pid}",
                    f"--nofile={hello.descriptors() + 5}"], check=True)
    kept = [hello.connect() for _ in range(5)]
    for connection in kept:
        assert connection.ask("/", keep=True).body == b"Hello\n"
    late = hello.connect()
    late.send(fastcgi.request("/"))
    time.sleep(0.3)
    assert kept[0].ask("/", keep=True).body == b"Hello\n"
    for connection in kept:
        connection.close()
    assert late.read_answer().body == b"Hello\n"
    late.close()


def test_idle_kept_connection_is_closed_in_time(own_hello):
    hello = own_hello(idle_timeout=1)
    with hello.connect() as connection:
        assert connection.ask("/", keep=True).body == b"Hello\n"
        assert not connection.is_closed_within(0.5)
        assert connection.is_closed_within(3)


def test_many_clients_at_once_all_get_their_own_answer(hello):
    failures = []

    def client(number):
        try:
            with hello.connect() as connection:
                for turn in range(30):
                    value = f"{number}-{turn}"
                    if connection.ask("/parameter/N", keep=True, N=value).body != value.encode():
                        failures.append(value)
        except Exception as error:  # what goes wrong in a thread is told below
            failures.append(error)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(40)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    assert not failures


# --- signals and start --------------------------------------------------------------------------


def test_sigterm_finishes_answers_ends_streams_and_closes_idle_connections(own_hello):
    hello = own_hello()
    sleeping, streaming, idle, fresh, reading = (hello.connect() for _ in range(5))
    assert idle.ask("/", keep=True).body == b"Hello\n"
    sleeping.send(fastcgi.request("/sleep/500", keep=True))
    streaming.send(fastcgi.request("/stream/0/20"))
    streaming.read_record()
    reading.send(fastcgi.request("/bytes/2000000"))
    time.sleep(0.2)
    start = time.monotonic()
    hello.process.send_signal(signal.SIGTERM)
    assert idle.is_closed_within(1)
    assert sleeping.read_answer().body == b"slept\n"
    assert streaming.read_answer().out.endswith(b"event: shutdown\ndata: {}\n\n")
    assert len(reading.read_answer().body) == 2_000_000
    assert fresh.is_closed_within(3)
    assert hello.process.wait(5) == 0
    assert time.monotonic() - start < 4
    assert not os.path.exists(hello.socket)


def test_request_that_is_on_its_way_when_sigterm_comes_is_answered(own_hello):
    hello = own_hello()
    whole = fastcgi.request("/body", body=b"abc")
    with hello.connect() as connection:
        connection.send(whole[:-8])
        time.sleep(0.1)
        hello.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.send(whole[-8:])
        assert connection.read_answer().body == b"length 3 differs 0 too_large 0\n"
    assert hello.process.wait(5) == 0


def test_signals_reach_their_owner_under_load_and_sighup_reloads(own_hello):
    hello = own_hello()
    ends = threading.Event()
    failures = []

    def client():
        while not ends.is_set():
            try:
                if hello.ask("/").body != b"Hello\n":
                    failures.append("wrong answer")
            except (OSError, fastcgi.Closed) as error:
                failures.append(error)

    clients = [threading.Thread(target=client) for _ in range(4)]
    for thread in clients:
        thread.start()
    for _ in range(20):
        hello.process.send_signal(signal.SIGHUP)
        time.sleep(0.02)  # signals that come at once are one
    ends.set()
    for thread in clients:
        thread.join()
    assert not failures
    assert int(hello.ask("/counters").body.split()[1]) >= 1


def test_background_runs_about_once_a_second(own_hello):
    hello = own_hello()
    first = int(hello.ask("/counters").body.split()[3])
    time.sleep(3)  # the measured time
    assert 2 <= int(hello.ask("/counters").body.split()[3]) - first <= 4


def test_socket_has_mode_0660_and_a_stale_one_is_replaced(own_hello, program):
    hello = own_hello()
    assert stat.S_IMODE(os.stat(hello.socket).st_mode) == 0o660
    second = subprocess.run([program, "--listen", hello.socket], capture_output=True, text=True)
    assert second.returncode == 73 and "cannot listen" in second.stderr
    hello.process.kill()
    hello.process.wait()
    third = subprocess.Popen([program, "--listen", hello.socket])
    try:
        wait_until(lambda: fastcgi.ask(hello.socket, "/").body == b"Hello\n"
                   if is_listening(hello.socket) else False)
    finally:
        assert stop(third) == 0


def is_listening(path):
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def test_file_that_is_not_a_socket_is_left_alone(program, tmp_path):
    file = tmp_path / "precious"
    file.write_text("data")
    result = subprocess.run([program, "--listen", str(file)], capture_output=True)
    assert result.returncode == 73
    assert file.read_text() == "data"


def start_with_socket(program, listener, systemd=False):
    """As lighttpd, spawn-fcgi (descriptor 0) or systemd (descriptor 3) do."""

    def prepare():
        os.dup2(listener.fileno(), 3 if systemd else 0)
        if systemd:
            os.environ["LISTEN_PID"] = str(os.getpid())

    shell = 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$0"' if systemd else 'exec "$0"'
    return subprocess.Popen(["sh", "-c", shell, program], preexec_fn=prepare, close_fds=False,
                            stdin=subprocess.DEVNULL if systemd else None)


@pytest.mark.parametrize("systemd", [False, True])
def test_listening_socket_may_be_given(program, tmp_path, systemd):
    path = str(tmp_path / "given.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(100)
        first = start_with_socket(program, listener, systemd)
        second = start_with_socket(program, listener, systemd)
        try:
            for _ in range(50):
                assert fastcgi.ask(path, "/").body == b"Hello\n"
            assert stop(first) == 0
            for _ in range(10):
                assert fastcgi.ask(path, "/").body == b"Hello\n"
        finally:
            stop(first)
            assert stop(second) == 0
    assert os.path.exists(path)  # not ours to remove


def test_without_socket_and_environment_it_says_how_it_is_started(program):
    result = subprocess.run([program], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            env=sanitizer_environment())
    assert result.returncode == 64
    assert "--listen" in result.stderr


# --- CGI ----------------------------------------------------------------------------------------


def cgi_environment(*arguments, **more):
    return {**sanitizer_environment(), **fastcgi.environment(*arguments, **more)}


def run_cgi(program, path, body=b"", arguments=(), output=subprocess.PIPE, **more):
    environment = cgi_environment(path, "POST" if body else "GET", body if body else None, **more)
    return subprocess.run([program, *arguments], env=environment, input=body, stdout=output,
                          timeout=20)


def test_cgi_answers_one_request_and_ends(program):
    result = run_cgi(program, "/body", b"x" * 200_000)
    assert result.returncode == 0
    assert result.stdout.endswith(b"length 200000 differs 0 too_large 0\n")
    assert run_cgi(program, "/").stdout.endswith(b"\r\n\r\nHello\n")
    assert len(run_cgi(program, "/bytes/3000000").stdout) > 3_000_000


def test_cgi_ignores_arguments_a_client_chose(program, tmp_path):
    path = tmp_path / "injected.sock"
    result = run_cgi(program, "/", arguments=("--listen", str(path)))
    assert result.stdout.endswith(b"Hello\n")
    assert not path.exists()


def test_cgi_reads_no_further_than_content_length(program):
    environment = cgi_environment("/body", "POST", CONTENT_LENGTH="3")
    process = subprocess.Popen([program], env=environment, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    process.stdin.write(b"abc")
    process.stdin.flush()
    assert process.stdout.read().endswith(b"length 3 differs 0 too_large 0\n")
    assert process.wait(5) == 0
    process.stdin.close()


def test_cgi_body_limits_hold(program):
    assert b"Status: 413" in run_cgi(program, "/body", b"x" * 2_000_000).stdout
    result = run_cgi(program, "/body", b"x" * 2_000_000, CONTENT_LENGTH="")
    assert result.stdout.endswith(b"length 0 differs 0 too_large 1\n")
    result = run_cgi(program, "/body", b"abc", CONTENT_LENGTH="5")
    assert result.stdout.endswith(b"length 3 differs 1 too_large 0\n")
    result = run_cgi(program, "/body", b"abc", CONTENT_LENGTH="")
    assert result.stdout.endswith(b"length 3 differs 0 too_large 0\n")


@pytest.mark.parametrize("kind", ["pipe", "file", "socket"])
def test_cgi_streams_in_the_foreground_to_anything(program, tmp_path, kind):
    expected = b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    if kind == "pipe":
        assert run_cgi(program, "/stream/3/50").stdout.endswith(expected)
    elif kind == "file":
        with open(tmp_path / "out", "wb") as file:
            run_cgi(program, "/stream/3/50", output=file)
        assert (tmp_path / "out").read_bytes().endswith(expected)
    else:
        ours, theirs = socket.socketpair()
        ours.shutdown(socket.SHUT_WR)  # as servers do after the body
        run_cgi(program, "/stream/3/50", output=theirs)
        theirs.close()
        received = b""
        while chunk := ours.recv(65536):
            received += chunk
        ours.close()
        assert received.endswith(expected)


def test_cgi_stream_ends_when_its_reader_leaves(program):
    process = subprocess.Popen([program], env=cgi_environment("/idle"),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout.read(10)
    process.stdout.close()
    assert process.wait(2) == 0


def test_cgi_flood_into_a_slow_pipe_arrives_whole(program):
    process = subprocess.Popen([program], env=cgi_environment("/flood/2000"),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    time.sleep(0.3)  # the reader lags
    body = process.stdout.read().partition(b"\r\n\r\n")[2]
    assert process.wait(5) == 0
    assert body.count(b"data: ") == 2000
