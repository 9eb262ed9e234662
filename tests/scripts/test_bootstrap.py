"""script/bootstrap is silent when everything is there, so a start needs neither root nor a network."""
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LISTED = re.compile(r"^(?:build|run|test|bench) (\S+)$", re.MULTILINE)


def names():
    return set(LISTED.findall((ROOT / "script/bootstrap").read_text()))


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="not a Debian system")
def test_no_package_is_only_a_name_that_another_provides():
    # dpkg never lists such a name as installed: it would be missing for ever.
    shown = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}\t${Provides}\t${Package}\n"],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                           check=True).stdout
    lines = [line.split("\t") for line in shown.splitlines()]
    installed = {package for status, _, package in lines if status == "installed"}
    provided = {entry.split()[0] for status, provides, _ in lines if status == "installed"
                for entry in provides.split(",") if entry.strip()}
    wanted = names()
    assert len(wanted) > 20 and "lighttpd" in wanted
    assert (wanted - installed) & provided - {"nodejs", "npm"} == set()
