"""Fixtures of the API tests. `suite` is shared by all tests of a run; `suite.start(...)` gives a
private one that ends with the test that asked for it."""
import os
import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from suite import SANITIZER_OPTIONS, Suite  # noqa: E402

MEMORY = "/dev/shm"


@pytest.fixture(scope="session", autouse=True)
def sanitizer_reports(tmp_path_factory):
    """What a sanitizer finds in any program of a run fails the run. The web server would swallow it
    on stderr, so it goes to files. In a build without sanitizers nobody reads these settings."""
    folder = tmp_path_factory.mktemp("sanitizer")
    with pytest.MonkeyPatch.context() as patch:
        for name in SANITIZER_OPTIONS:
            given = os.environ.get(name)
            log_path = f"log_path={folder}/{name.split('_')[0].lower()}"
            patch.setenv(name, f"{given}:{log_path}" if given else log_path)
        yield folder
    reports = sorted(folder.iterdir())
    texts = [f"--- {path.name}\n{path.read_text(errors='replace')[:6000]}" for path in reports[:5]]
    assert not reports, f"{len(reports)} reports in {folder}\n" + "\n".join(texts)


@pytest.fixture(scope="session")
def shared_suite(sanitizer_reports):
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
