"""A stand-in for a language model provider that speaks HTTP/2 over TLS, as the real ones do.

    stub = Http2Stub().start()
    ... PROVIDER_STUB_BASE_URL = stub.url, UPSTREAM_CA_PATH = stub.certificate ...
    stub.go_deaf()          # connections open now read on and answer nothing new
    stub.stop()

The name of the model says what it does: `drip` sends a word every 50 ms until the client leaves,
`refuse` answers with RST_STREAM REFUSED_STREAM, anything else is answered. `requests` holds the
connection and the model of each completion asked for.
"""

import json
import pathlib
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

TEXT = "Hello over HTTP/2."


class Connection(threading.Thread):
    def __init__(self, stub, plain):
        super().__init__(daemon=True)
        self.stub = stub
        self.plain = plain
        self.is_deaf = False
        self.bodies = {}
        self.drips = set()
        self.lock = threading.Lock()
        self.session = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))

    def run(self):
        try:
            self.socket = self.stub.context.wrap_socket(self.plain, server_side=True)
            self.stub.connections.append(self)
            self.session.initiate_connection()
            self.flush()
            while data := self.socket.recv(65536):
                with self.lock:
                    for event in self.session.receive_data(data):
                        self.take(event)
                self.flush()
        except OSError:
            pass
        finally:
            self.drips.clear()
            self.plain.close()

    def flush(self):
        with self.lock:
            data = self.session.data_to_send()
            if data:
                self.socket.sendall(data)

    def take(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.bodies[event.stream_id] = b""
        elif isinstance(event, h2.events.DataReceived):
            self.bodies[event.stream_id] += event.data
            self.session.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.drips.discard(event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.answer(event.stream_id)

    def answer(self, stream):
        asked = json.loads(self.bodies.pop(stream) or "{}")
        model = asked.get("model", "")
        if model:  # not the question for the list of models, which `health` asks
            self.stub.requests.append((self, model))
        if self.is_deaf:
            return
        if model == "refuse":
            self.session.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
        elif model == "drip":
            self.head(stream, "text/event-stream")
            self.drips.add(stream)
            threading.Thread(target=self.drip, args=(stream,), daemon=True).start()
        else:
            self.head(stream, "application/json")
            message = {"role": "assistant", "content": TEXT}
            self.session.send_data(stream, json.dumps({
                "id": "c", "object": "chat.completion", "created": 1, "model": model,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            }).encode(), end_stream=True)

    def head(self, stream, content_type):
        self.session.send_headers(stream, [(":status", "200"), ("content-type", content_type)])

    def drip(self, stream):
        number = 0
        while stream in self.drips:
            chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "drip",
                     "choices": [{"index": 0, "delta": {"content": f"{number} "},
                                  "finish_reason": None}]}
            number += 1
            try:
                with self.lock:
                    self.session.send_data(stream, b"data: " + json.dumps(chunk).encode() + b"\n\n")
                self.flush()
            except (OSError, h2.exceptions.ProtocolError):
                return
            time.sleep(0.05)  # its pace


class Identity:
    """A certificate for 127.0.0.1 that is its own authority, in a directory of its own."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="quintet-tls-")
        self.certificate = str(pathlib.Path(self.directory.name) / "certificate.pem")
        self.key = str(pathlib.Path(self.directory.name) / "key.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", self.key, "-out", self.certificate, "-days", "2", "-subj",
             "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
            check=True, capture_output=True)

    def context(self, protocol):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        context.set_alpn_protocols([protocol])
        return context


class Http2Stub:
    def __init__(self):
        self.identity = Identity()
        self.certificate = self.identity.certificate
        self.context = self.identity.context("h2")
        self.connections = []
        self.requests = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}/v1"

    def start(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def accept(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            Connection(self, plain).start()

    def go_deaf(self):
        for connection in self.connections:
            connection.is_deaf = True

    def stop(self):
        self.listener.close()
        for connection in self.connections:
            connection.drips.clear()
            connection.plain.close()
        self.identity.directory.cleanup()
