"""Fixtures of the tests behind real web servers. The stand-in for a provider and the suite behind
lighttpd are those of tests/api."""
import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "api"))

from suite import sanitizer_reports  # noqa: E402
from upstream_stub import UpstreamStub  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def no_sanitizer_reports():
    with sanitizer_reports():
        yield


@pytest.fixture(scope="session")
def started(no_sanitizer_reports):
    """Starts a server once for all tests that ask for its class."""
    servers = {}

    def start(kind):
        if kind not in servers:
            servers[kind] = kind().start_process()
        return servers[kind]

    yield start
    for server in servers.values():
        server.stop()


@pytest.fixture
def private():
    """Starts a server that ends with the test."""
    servers = []

    def start(kind, environment=None):
        server = kind(environment)
        servers.append(server)
        return server.start_process()

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def stub():
    """A provider that misbehaves on demand."""
    started = UpstreamStub().start()
    yield started
    started.stop()


@pytest.fixture
def state():
    """An empty STATE_DIR, as base_environment expects it."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="quintet-test-"))
    (path / "log").mkdir()
    yield path
    shutil.rmtree(path, ignore_errors=True)
