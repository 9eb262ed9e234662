"""script/demo does what it says, on a suite as anybody starts it, and notices when it does not."""
import os
import pathlib
import shutil
import subprocess

import pytest

from chat_help import rows
from suite import ROOT, Suite, free_port, wait_until

DATA = ROOT / "tests/data/node_modules/vega-datasets/data"
LIMITED = {"RATE_LIMIT_ENABLED": "true"}
DONE = "Everything was as it is promised."


def demo(*arguments, script=ROOT / "script/demo"):
    # Proxies of the machine have no business here.
    environment = {name: value for name, value in os.environ.items()
                   if not name.lower().endswith("_proxy")}
    return subprocess.run([str(script), *arguments], env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120)


@pytest.fixture
def without_data(tmp_path):
    """The script where tests/data is not installed."""
    (tmp_path / "script").mkdir()
    return pathlib.Path(shutil.copy2(ROOT / "script/demo", tmp_path / "script"))


@pytest.mark.skipif(not DATA.exists(), reason="not there: npm ci in tests/data")
def test_every_step_gives_what_it_says(private):
    result = demo("--url", private(Suite, LIMITED).url)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.endswith(f"\n{DONE}\n") and result.stderr == "", result.stderr
    assert "stored 5105 points" in result.stdout and '"signal":"short"' in result.stdout
    statuses = [line.split() for line in result.stdout.splitlines() if line[2:5] in ("401", "429")]
    # Registering and logging in were two of the ten a minute; five wrong passwords lock.
    assert statuses == ([["401", "invalid_credentials"]] * 5 + [["401", "account_locked"]] * 3
                        + [["429", "rate_limit_exceeded"]] * 3)


def test_it_needs_no_data_but_its_own(private, without_data):
    result = demo("--url", private(Suite, LIMITED).url + "/", script=without_data)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "invented prices" in result.stderr and result.stdout.endswith(f"\n{DONE}\n")


def test_it_deletes_what_it_made_but_the_account(private):
    server = private(Suite, LIMITED)
    assert demo("--url", server.url).returncode == 0
    for table in ("charts", "chart_series", "chart_blocks", "conversations", "messages"):
        # Points go in parts, so that nobody else's write waits; the last of them a little later.
        wait_until(lambda name=table: rows(server, f"SELECT * FROM {name}") == [], 30)


@pytest.mark.parametrize("environment, fault", [
    ({}, "status 401 instead of 429"),
    ({**LIMITED, "RATE_LIMIT_AUTH": "1/minute"}, "status 429 instead of 200"),
    ({**LIMITED, "RATE_LIMIT_HISTORY": "3/minute"}, "status 429 instead of 200"),
    ({**LIMITED, "METRICS_PATH": "/elsewhere"}, "the request that was just made is not counted"),
], ids=["no limits", "login", "paging", "metrics"])
def test_what_is_not_as_promised_ends_it_with_the_answer(private, environment, fault):
    result = demo("--url", private(Suite, environment).url)
    assert result.returncode == 1 and DONE not in result.stdout
    assert f"FAILED: {fault}" in result.stderr and '{"error":"' in result.stderr


def test_a_server_that_is_not_there_is_named():
    url = f"http://127.0.0.1:{free_port()}"
    result = demo("--url", url)
    assert result.returncode == 1 and f"no answer from {url}/health/ready" in result.stderr


def test_an_unknown_argument_is_refused():
    result = demo("--port", "8080")
    assert result.returncode == 64 and result.stderr.startswith("usage: script/demo")
