"""A FastCGI client that can also misbehave.

Records are put together by hand, so that a test can send what no web server would: half of one,
too long a one, two requests at once. Nothing here waits without a timeout.
"""

import socket
import struct
import time

BEGIN_REQUEST = 1
ABORT_REQUEST = 2
END_REQUEST = 3
PARAMS = 4
STDIN = 5
STDOUT = 6
STDERR = 7
GET_VALUES = 9
GET_VALUES_RESULT = 10
UNKNOWN_TYPE = 11

RESPONDER = 1
AUTHORIZER = 2

REQUEST_COMPLETE = 0
CANT_MPX_CONN = 1
OVERLOADED = 2
UNKNOWN_ROLE = 3


def record(kind, request_id, content=b"", padding=0, version=1):
    head = struct.pack("!BBHHBB", version, kind, request_id, len(content), padding, 0)
    return head + content + b"\0" * padding


def begin(request_id=1, keep=False, role=RESPONDER, padding=0):
    return record(BEGIN_REQUEST, request_id, struct.pack("!HB5x", role, 1 if keep else 0), padding)


def length(number):
    return bytes([number]) if number < 128 else struct.pack("!I", number | 0x80000000)


def pair(name, value):
    name = name.encode() if isinstance(name, str) else name
    value = value.encode() if isinstance(value, str) else value
    return length(len(name)) + length(len(value)) + name + value


def pairs(values):
    return b"".join(pair(name, value) for name, value in values.items())


def stream(kind, request_id, content, size=65535, padding=0, end=True):
    """A stream of records, closed by an empty one."""
    parts = [record(kind, request_id, content[at : at + size], padding)
             for at in range(0, len(content), size)]
    return b"".join(parts + ([record(kind, request_id, b"", padding)] if end else []))


def environment(path="/", method="GET", body=None, **more):
    values = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REQUEST_METHOD": method,
        "REQUEST_URI": path,
        "SCRIPT_NAME": path,
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
    }
    if body is not None:
        values["CONTENT_LENGTH"] = str(len(body))
    values.update(more)
    return values


def request(path="/", request_id=1, keep=False, body=b"", method=None, size=65535, padding=0,
            **more):
    """A whole request as bytes. The keywords that are left become parameters."""
    method = method or ("POST" if body else "GET")
    values = environment(path, method, body, **more)
    return (
        begin(request_id, keep, padding=padding)
        + stream(PARAMS, request_id, pairs(values), size, padding)
        + stream(STDIN, request_id, body, size, padding)
    )


class Answer:
    """What came for one request id."""

    def __init__(self):
        self.out = b""
        self.protocol_status = None
        self.arrived = []  # (seconds since the start of reading, bytes) of each STDOUT record

    @property
    def head(self):
        head = {}
        for line in self.out.partition(b"\r\n\r\n")[0].decode().split("\r\n"):
            name, _, value = line.partition(":")
            head[name.strip().lower()] = value.strip()
        return head

    @property
    def status(self):
        return int(self.head.get("status", "200").split()[0])

    @property
    def body(self):
        return self.out.partition(b"\r\n\r\n")[2]


class Closed(Exception):
    """The program closed the connection."""


class Connection:
    def __init__(self, path, timeout=5.0):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _receive(self, count):
        while len(self.buffer) < count:
            try:
                data = self.socket.recv(262144)
            except ConnectionResetError as error:
                raise Closed("reset") from error
            if not data:
                raise Closed("end")
            self.buffer += data
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def read_record(self):
        """(type, id, content); Closed at the end, TimeoutError when nothing comes."""
        version, kind, request_id, size, padding, _ = struct.unpack("!BBHHBB", self._receive(8))
        assert version == 1
        content = self._receive(size + padding)[:size]
        return kind, request_id, content

    def read_answer(self, request_id=1):
        """Until END_REQUEST of this id; records of others are an error."""
        answer = Answer()
        out = bytearray()
        start = time.monotonic()
        while answer.protocol_status is None:
            kind, got_id, content = self.read_record()
            assert got_id == request_id, f"record {kind} of request {got_id}"
            if kind == STDOUT:
                out += content
                if content:
                    answer.arrived.append((time.monotonic() - start, content))
            elif kind == END_REQUEST:
                answer.protocol_status = content[4]
        answer.out = bytes(out)
        return answer

    def is_closed_within(self, seconds):
        """Reads and throws away until the program closes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.socket.settimeout(max(0.001, end - time.monotonic()))
            try:
                if not self.socket.recv(65536):
                    return True
            except TimeoutError:
                return False
            except OSError:
                return True
        return False

    def ask(self, path="/", **more):
        self.send(request(path, **more))
        return self.read_answer(more.get("request_id", 1))


def ask(socket_path, path="/", timeout=5.0, **more):
    """One request on a connection of its own."""
    with Connection(socket_path, timeout) as connection:
        return connection.ask(path, **more)
