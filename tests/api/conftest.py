"""Fixtures of the API tests. `suite` is shared by all tests of a run; `suite.start(...)` gives a
private one that ends with the test that asked for it."""
import os
import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from place import Place  # noqa: E402
from suite import Suite, sanitizer_reports  # noqa: E402

MEMORY = "/dev/shm"


@pytest.fixture(scope="session", autouse=True)
def no_sanitizer_reports():
    with sanitizer_reports():
        yield


@pytest.fixture(scope="session")
def shared_suite(no_sanitizer_reports):
    suite = Suite().start_process()
    yield suite
    suite.stop()


@pytest.fixture
def in_memory():
    """Settings of a suite that keeps charts in memory only; what it kept ends with the test."""
    if not os.access(MEMORY, os.W_OK):
        pytest.skip(f"no {MEMORY} to write to")
    folder = tempfile.mkdtemp(prefix="quintet-test-", dir=MEMORY)
    yield {"ENABLE_PERSISTENCE": "false", "RUNTIME_DIR": folder}
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def suite(shared_suite):
    private = []

    def start(environment=None, state=None):
        started = Suite(environment, state)
        private.append(started)
        return started.start_process()

    shared_suite.start = start
    yield shared_suite
    for started in private:
        started.stop()


@pytest.fixture
def place(tmp_path):
    """Where the command and the programs are run by hand: nothing is there yet."""
    return Place(tmp_path)


@pytest.fixture
def migrated(place):
    place.ok("migrate", "up")
    return place
