"""A stand-in for a language model provider in OpenAI's format, which misbehaves on demand.

What it does is said by the name of the model: `stub/truncate` makes it end a stream before its
time. See MODES. It remembers what it received and whether the client went away:

    stub = UpstreamStub().start()
    ... PROVIDER_STUB_BASE_URL = stub.url ...
    stub.last("truncate").body
    stub.stop()

By itself: python3 upstream_stub.py [--port N]
"""

import argparse
import json
import select
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = ["Hello", " from", " the", " stub", "."]
TEXT = "".join(WORDS)
USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}


class ClientHasGone(Exception):
    pass


class Received:
    """One request: what came, and how it ended."""

    def __init__(self, path, headers, body):
        self.path = path
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body
        try:
            self.json = json.loads(body)
        except ValueError:
            self.json = {}
        self.model = self.json.get("model", "") if isinstance(self.json, dict) else ""
        self.began = time.monotonic()
        self.ended = threading.Event()
        self.client_gone_at = None
        self.bytes_sent = 0

    def wait_for_client_gone(self, timeout):
        """Seconds from the beginning until the client was seen to have gone, or None."""
        self.ended.wait(timeout)
        return None if self.client_gone_at is None else self.client_gone_at - self.began


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.received = Received(self.path, self.headers, b"")
        self.is_chunked = False
        self.send_json(200, {"object": "list", "data": []})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.received = Received(self.path, self.headers, body)
        self.server.stub.remember(self.received)
        self.is_chunked = False
        try:
            self.answer()
        except (ClientHasGone, BrokenPipeError, ConnectionResetError):
            self.received.client_gone_at = time.monotonic()
            self.close_connection = True
        finally:
            self.received.ended.set()

    def answer(self):
        name, _, argument = self.received.model.partition(":")
        if not self.path.endswith("/chat/completions"):
            self.send_json(404, error("no such path", "invalid_request_error", None))
        elif name.startswith("status-"):
            self.answer_status(int(name[len("status-"):]), argument)
        elif name in MODES:
            MODES[name](self, argument)
        elif name in self.server.stub.answers:
            self.answer_raw(self.server.stub.answers[name])
        else:
            self.send_json(404, error("The model does not exist", "invalid_request_error",
                                      "model_not_found"))

    # --- building blocks

    @property
    def is_streamed(self):
        return self.received.json.get("stream") is True

    @property
    def tells_usage(self):
        return bool((self.received.json.get("stream_options") or {}).get("include_usage"))

    def write(self, data):
        if self.is_chunked:
            data = b"%x\r\n%s\r\n" % (len(data), data)
        self.wfile.write(data)
        self.received.bytes_sent += len(data)

    def head(self, status, content_type, extra=(), length=None):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        for header, value in extra:
            self.send_header(header, value)
        if length is None:
            self.send_header("Transfer-Encoding", "chunked")
            self.is_chunked = True
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def finish_body(self):
        if self.is_chunked:
            self.is_chunked = False
            self.wfile.write(b"0\r\n\r\n")

    def send_bytes(self, status, content_type, data, extra=()):
        self.head(status, content_type, extra, len(data))
        self.write(data)

    def send_json(self, status, value, extra=()):
        self.send_bytes(status, "application/json", json.dumps(value).encode(), extra)

    def stream_head(self, content_type="text/event-stream"):
        self.head(200, content_type)

    def event(self, value):
        text = value if isinstance(value, str) else json.dumps(value)
        self.write(b"data: " + text.encode() + b"\n\n")

    def chunk(self, delta=None, finish_reason=None, index=0, **members):
        value = {
            "id": "chatcmpl-stub",
            "object": "chat.completion.chunk",
            "created": 1700000000,
            "model": self.received.model,
            "choices": [{"index": index, "delta": delta or {}, "finish_reason": finish_reason}],
        }
        if self.tells_usage:
            value["usage"] = None
        value.update(members)
        self.event(value)

    def words(self, count=None, pause=0.0):
        self.chunk({"role": "assistant", "content": ""})
        for word in WORDS[:count]:
            if pause:
                self.sleep(pause)
            self.chunk({"content": word})

    def usage_chunk(self):
        if self.tells_usage:
            self.event({"id": "chatcmpl-stub", "object": "chat.completion.chunk",
                        "created": 1700000000, "model": self.received.model, "choices": [],
                        "usage": USAGE})

    def end_of_stream(self, finish_reason="stop"):
        self.chunk({}, finish_reason)
        self.usage_chunk()
        self.event("[DONE]")
        self.finish_body()

    def completion(self, message=None, finish_reason="stop", **members):
        value = {
            "id": "chatcmpl-stub",
            "object": "chat.completion",
            "created": 1700000000,
            "model": self.received.model,
            "choices": [{"index": 0,
                         "message": message or {"role": "assistant", "content": TEXT},
                         "finish_reason": finish_reason, "logprobs": None}],
            "usage": USAGE,
        }
        value.update(members)
        return value

    def sleep(self, seconds):
        """Sleeps, and notices a client that leaves meanwhile."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if left <= 0:
                return
            readable, _, _ = select.select([self.connection], [], [], left)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                raise ClientHasGone()

    def reset(self):
        """Closes so that the client sees ECONNRESET."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RD)
        self.connection.close()
        self.close_connection = True
        self.wfile = open("/dev/null", "wb")

    def abandon(self):
        """Closes without the end that the framing of HTTP demands."""
        self.is_chunked = False
        self.close_connection = True

    def answer_raw(self, pieces):
        """Bytes as they are: a number among them is a pause in seconds, None a reset."""
        self.close_connection = True
        for piece in [pieces] if isinstance(pieces, bytes) else pieces:
            if piece is None:
                self.reset()
            elif isinstance(piece, bytes):
                self.write(piece)
            else:
                self.sleep(piece)

    # --- modes

    def answer_status(self, status, argument):
        extra = []
        if argument:
            extra.append(("Retry-After", argument))
        kind = {400: "invalid_request_error", 429: "rate_limit_error"}.get(status, "server_error")
        self.send_json(status, error(f"upstream says {status}: key sk-upstream-secret", kind,
                                     {404: "model_not_found"}.get(status)), extra)

    def mode_ok(self, _):
        if self.is_streamed:
            self.stream_head()
            self.words()
            self.end_of_stream()
        else:
            self.send_json(200, self.completion())

    def mode_echo(self, _):
        """Says what it was sent, so that a test can see it."""
        text = json.dumps([[message.get("role"), message.get("content")]
                           for message in self.received.json.get("messages", [])])
        if self.is_streamed:
            self.stream_head()
            self.chunk({"role": "assistant", "content": text})
            self.end_of_stream()
        else:
            self.send_json(200, self.completion({"role": "assistant", "content": text}))

    def mode_no_usage(self, _):
        if self.is_streamed:
            self.stream_head()
            self.words()
            self.chunk({}, "stop")
            self.event("[DONE]")
            self.finish_body()
        else:
            answer = self.completion()
            del answer["usage"]
            self.send_json(200, answer)

    def mode_late(self, argument):
        self.sleep(float(argument or 2))
        self.mode_ok("")

    def mode_late_failure(self, argument):
        self.sleep(float(argument or 2))
        self.answer_status(500, "")

    def mode_silent(self, _):
        self.sleep(60)

    def mode_stall(self, _):
        """The head, two words, then nothing."""
        self.stream_head()
        self.words(2)
        self.sleep(60)

    def mode_drip(self, argument):
        """Ten words a second (or as told) until the client leaves."""
        self.stream_head()
        self.chunk({"role": "assistant", "content": ""})
        for number in range(3000):
            self.chunk({"content": f"{number} "})
            self.sleep(float(argument or 0.1))
        self.end_of_stream()

    def mode_bytes(self, _):
        """Every byte by itself, CRLF, comments, no blank behind the colon."""
        self.stream_head()
        text = ": hello\r\n\r\n"
        for delta, finish in (({"role": "assistant", "content": "one"}, None),
                              ({"content": " two"}, None), ({}, "stop")):
            value = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "bytes",
                     "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
            text += "data:" + json.dumps(value) + "\r\n\r\n"
        text += "data:[DONE]\r\n\r\n"
        for byte in text.encode():
            self.write(bytes([byte]))
        self.finish_body()

    def mode_truncate(self, _):
        self.stream_head()
        self.words(3)
        self.finish_body()

    def mode_truncate_done(self, _):
        self.stream_head()
        self.words(3)
        self.event("[DONE]")
        self.finish_body()

    def mode_truncate_at_once(self, _):
        self.stream_head()
        self.finish_body()

    def mode_cut(self, _):
        """The connection is closed in the middle of the body."""
        if self.is_streamed:
            self.stream_head()
            self.words(3)
        else:
            data = json.dumps(self.completion()).encode()
            self.head(200, "application/json", length=len(data))
            self.write(data[:-20])
        self.abandon()

    def mode_no_done(self, _):
        self.stream_head()
        self.words()
        self.chunk({}, "stop")
        self.finish_body()

    def mode_reset(self, _):
        self.stream_head()
        self.words(3)
        self.wfile.flush()
        time.sleep(0.05)  # what was sent arrives before the reset, which would discard it
        self.reset()

    def mode_reset_early(self, _):
        self.reset()

    def mode_error_frame(self, _):
        self.stream_head()
        self.words(2)
        self.event(error("overloaded: sk-upstream-secret", "server_error", "overloaded"))
        self.finish_body()

    def mode_error_first(self, _):
        if self.is_streamed:
            self.stream_head()
            self.event(error("overloaded", "server_error", "overloaded"))
            self.finish_body()
        else:
            self.send_json(200, error("overloaded", "server_error", "overloaded"))

    def mode_error_event(self, _):
        self.stream_head()
        self.words(2)
        self.write(b"event: error\ndata: {\"message\":\"broken\"}\n\n")
        self.finish_body()

    def mode_html(self, _):
        self.send_bytes(200, "text/html", b"<html>Welcome to nginx</html>")

    def mode_garbage(self, _):
        if self.is_streamed:
            self.stream_head()
            self.event("{\"choices\":[{")
            self.finish_body()
        else:
            self.send_bytes(200, "application/json", b"{\"choices\":[{")

    def mode_garbage_later(self, _):
        self.stream_head()
        self.words(2)
        self.event("not json")
        self.end_of_stream()

    def mode_whole(self, _):
        """Does not stream, whatever it is asked."""
        self.send_json(200, self.completion())

    def mode_huge(self, _):
        message = {"role": "assistant", "content": "x" * (9 << 20)}
        self.send_json(200, self.completion(message))

    def mode_large(self, argument):
        message = {"role": "assistant", "content": "x" * int(argument or 1 << 20)}
        self.send_json(200, self.completion(message))

    def mode_long_line(self, _):
        """An event that is larger than any event may be."""
        self.stream_head()
        self.chunk({"role": "assistant", "content": "x" * (9 << 20)})
        self.end_of_stream()

    def mode_one_event(self, argument):
        self.stream_head()
        self.chunk({"role": "assistant", "content": "x" * int(argument)})
        self.end_of_stream()

    def mode_flood(self, argument):
        """Megabytes as fast as they are taken."""
        self.stream_head()
        self.chunk({"role": "assistant", "content": ""})
        for _ in range(int(argument or 20) << 10):
            self.chunk({"content": "y" * 800})
        self.end_of_stream()

    def mode_tiny(self, argument):
        """Megabytes of the smallest events there are."""
        self.stream_head()
        self.chunk({"role": "assistant", "content": "x"})
        tiny = b'data: {"choices":[]}\n\n' * 3000
        for _ in range((int(argument or 1) << 20) // len(tiny) + 1):
            self.write(tiny)
        self.end_of_stream()

    def mode_keep_open(self, _):
        self.stream_head()
        self.words()
        self.chunk({}, "stop")
        self.event("[DONE]")
        self.sleep(5)

    def mode_no_role(self, _):
        self.stream_head()
        for word in WORDS:
            self.chunk({"content": word})
        self.end_of_stream()

    def mode_two(self, _):
        self.stream_head()
        for index in (0, 1):
            self.chunk({"role": "assistant", "content": f"choice {index}"}, index=index)
        self.chunk({}, "stop", index=1)
        if self.received.json.get("n") != 3:
            self.chunk({}, "stop", index=0)
        self.event("[DONE]")
        self.finish_body()

    def mode_logprobs(self, _):
        """Members of a choice and of a chunk that nobody here reads, and odd numbers."""
        self.stream_head()
        usage = ', "usage" : null' if self.tells_usage else ""
        for delta, finish in (('"role":"assistant","content":"","refusal":null', "null"),
                              ('"content":"a","reasoning_content":"b", "usage":1.50', "null"),
                              ('"refusal":"no"', '"length"')):
            self.event('{"id":"c","object":"chat.completion.chunk","created":1.0E+0,"model":"m",'
                       '"choices":[ {"index":0,"delta":{%s},"logprobs":{"content":[{"token":"a",'
                       '"logprob":-0.10,"bytes":[97],"top_logprobs":[]}]},"finish_reason":%s} ]%s,'
                       '"system_fingerprint":"fp","service_tier":null,"obfuscation":"x"}'
                       % (delta, finish, usage))
        self.usage_chunk()
        self.event("[DONE]")
        self.finish_body()

    def mode_usage_first(self, _):
        """The usage of a chunk stands before everything else."""
        self.stream_head()
        usage = '"usage":null,  ' if self.tells_usage else ""
        for delta, finish in (('"role":"assistant","content":"a"', "null"), ("", '"stop"')):
            self.event('{%s"choices":[{"index":0,"delta":{%s},"finish_reason":%s}]}'
                       % (usage, delta, finish))
        self.usage_chunk()
        self.event("[DONE]")
        self.finish_body()

    def mode_usage_unasked(self, _):
        """The usage with the last choice, whether it was asked for or not."""
        self.stream_head()
        self.event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}}]})
        self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
                    "usage": USAGE})
        self.event("[DONE]")
        self.finish_body()

    def mode_filtered(self, _):
        self.stream_head()
        self.chunk({"role": "assistant", "content": ""})
        self.end_of_stream("content_filter")

    def mode_odd_text(self, _):
        """Escapes, a NUL, and a backslash before u0000."""
        self.stream_head()
        self.event('{"choices":[{"index":0,"delta":{"role":"assistant",'
                   '"content":"a\\u0000b\\\\u0000c\\n\\"\\ud83d\\ude00"},"finish_reason":null}]}')
        self.end_of_stream()

    def mode_tools(self, _):
        calls = [("call_a", "get_weather", '{"city":"Paris"}'), ("call_b", "get_time", "{}")]
        if not self.is_streamed:
            self.send_json(200, self.completion(
                {"role": "assistant", "content": None, "tool_calls": [
                    {"id": identifier, "type": "function",
                     "function": {"name": name, "arguments": arguments}}
                    for identifier, name, arguments in calls]}, "tool_calls"))
            return
        self.stream_head()
        self.chunk({"role": "assistant", "content": None})
        for index, (identifier, name, arguments) in enumerate(calls):
            self.chunk({"tool_calls": [{"index": index, "id": identifier, "type": "function",
                                        "function": {"name": name, "arguments": ""}}]})
            for start in range(0, len(arguments), 6):
                self.chunk({"tool_calls": [{"index": index, "function": {
                    "arguments": arguments[start:start + 6]}}]})
        self.end_of_stream("tool_calls")

    def mode_error_large(self, _):
        self.send_json(400, error("x" * 5000, "invalid_request_error", "bad"))

    def mode_error_plain(self, _):
        self.send_bytes(400, "text/plain", b"Bad Request: sk-upstream-secret")

    def mode_error_shown(self, _):
        self.send_json(400, error("temperature must be at most 2", "invalid_request_error",
                                  "invalid_value"))

    def mode_too_long(self, _):
        self.send_json(400, error("maximum context length is 8192 tokens",
                                  "invalid_request_error", "context_length_exceeded"))


def error(message, kind, code):
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


MODES = {name[len("mode_"):].replace("_", "-"): function
         for name, function in vars(Handler).items() if name.startswith("mode_")}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request, client_address):
        pass


class UpstreamStub:
    def __init__(self, port=0):
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.stub = self
        self.lock = threading.Condition()
        self.requests = []
        self.answers = {}  # for models of a test's own: what Handler.answer_raw takes
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def start(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def remember(self, received):
        with self.lock:
            self.requests.append(received)
            self.lock.notify_all()

    def count(self, model):
        with self.lock:
            return sum(1 for request in self.requests if request.model == model)

    def last(self, model, timeout=5, after=0):
        """The newest request for that model; waits until there are more than `after` of them."""
        def found():
            return [request for request in self.requests if request.model == model]

        with self.lock:
            self.lock.wait_for(lambda: len(found()) > after, timeout)
            requests = found()
        assert len(requests) > after, f"no request for {model} arrived"
        return requests[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8901)
    stub = UpstreamStub(parser.parse_args().port)
    print(stub.url, flush=True)
    stub.server.serve_forever()


if __name__ == "__main__":
    main()
