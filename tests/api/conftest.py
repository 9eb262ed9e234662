"""Fixtures of the API tests. `suite` is shared by all tests of a run; `suite.start(...)` gives a
private one that ends with the test that asked for it."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from suite import Suite  # noqa: E402


@pytest.fixture(scope="session")
def shared_suite():
    suite = Suite().start_process()
    yield suite
    suite.stop()


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
