"""Providers behind TLS that need a connection for each call: how fast a crowd gets through, and
what counts as an authority."""

import concurrent.futures
import ssl
import subprocess
import threading
import time

import pytest

from chat_help import complete, environment_for
from h2_stub import Identity
from suite import Suite
from upstream_stub import UpstreamStub

HANDSHAKE = 0.5  # seconds: a provider at the other end of the world
CROWD = 40


class Handshakes:
    """Wraps the connections of a stub, and counts how many shake hands at a time."""

    def __init__(self, stub, context):
        self.context = context
        self.lock = threading.Lock()
        self.now = 0
        self.peak = 0
        self.delay = 0
        self.finish = stub.server.finish_request
        stub.server.finish_request = self.shake_hands

    def shake_hands(self, connection, address):
        with self.lock:
            self.now += 1
            self.peak = max(self.peak, self.now)
        try:
            time.sleep(self.delay)  # a slow handshake
            connection = self.context.wrap_socket(connection, server_side=True)
        except (OSError, ssl.SSLError):
            return
        finally:
            with self.lock:
                self.now -= 1
        self.finish(connection, address)


@pytest.fixture(scope="module")
def identity():
    made = Identity()
    yield made
    made.directory.cleanup()


@pytest.fixture(scope="module")
def provider(identity):
    stub = UpstreamStub().start()
    stub.handshakes = Handshakes(stub, identity.context("http/1.1"))
    stub.url = stub.url.replace("http:", "https:")
    yield stub
    stub.stop()


@pytest.fixture
def trusting(provider, identity):
    """A suite that trusts the provider."""
    suite = Suite(environment_for(provider, SSL_CERT_FILE=identity.certificate,
                                  RATE_LIMIT_CHAT="1000/minute")).start_process()
    yield suite
    suite.stop()


def test_crowd_does_not_queue_for_handshakes(trusting, provider):
    handshakes = provider.handshakes
    handshakes.delay = HANDSHAKE
    handshakes.peak = 0
    try:
        with concurrent.futures.ThreadPoolExecutor(CROWD) as pool:
            answers = pool.map(lambda _: complete(trusting, "stub/late:1"), range(CROWD))
            assert {answer.status for answer in answers} == {200}
    finally:
        handshakes.delay = 0
    assert handshakes.peak >= CROWD // 2


def test_directory_of_authorities_counts_too(provider, identity, tmp_path):
    (tmp_path / "authority.pem").write_text(open(identity.certificate, encoding="ascii").read())
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True, capture_output=True)
    suite = Suite(environment_for(provider, UPSTREAM_CA_PATH=str(tmp_path))).start_process()
    try:
        assert complete(suite, "stub/ok").status == 200
    finally:
        suite.stop()


def test_stranger_is_not_trusted(provider):
    suite = Suite(environment_for(provider)).start_process()
    try:
        before = provider.count("ok")
        assert complete(suite, "stub/ok").status == 503
        assert provider.count("ok") == before
    finally:
        suite.stop()
