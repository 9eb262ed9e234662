"""A program started by hand: what it says, and that it leaves no trace unless it serves."""
import os
import re
import subprocess

import pytest

from suite import ROOT
from web_servers import NAMES, program

VERSION = re.search(r"AC_INIT\(\[quintet\], \[([^]]+)\]", (ROOT / "configure.ac").read_text())[1]
WRONG = [["--nonsense"], ["help"], ["--help", "me"], ["--listen"], ["--listen", "a", "b"], ["--version", ""],
         ["", "--listen", "a"], ["-"]]


def start(directory, name, *arguments, **settings):
    """Run in an empty directory with nothing but a PATH: the defaults would make ./var."""
    return subprocess.run([str(program(name)), *arguments], cwd=directory, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=20, check=False,
                          env={"PATH": os.environ["PATH"], "HOME": str(directory), **settings})


@pytest.mark.parametrize("name", NAMES)
def test_help_and_version_are_printed_and_nothing_is_made(tmp_path, name):
    done = start(tmp_path, name, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(f"usage: {name}.fcgi --listen PATH\n")
    assert f"quintet-{name}(8)" in done.stdout
    done = start(tmp_path, name, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"quintet-{name} {VERSION}\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_without_a_server_it_says_how_it_is_started_and_makes_nothing(tmp_path, name):
    done = start(tmp_path, name)
    assert done.returncode == 64 and done.stdout == ""
    assert done.stderr.startswith(f"usage: {name}.fcgi --listen PATH\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_arguments_are_told_and_nothing_is_made(tmp_path, arguments):
    done = start(tmp_path, "auth", *arguments)
    assert done.returncode == 64 and done.stdout == ""
    assert done.stderr.startswith("usage: auth.fcgi --listen PATH\n")
    assert list(tmp_path.iterdir()) == []


def test_help_needs_no_valid_configuration(tmp_path):
    bad = {"HEALTH_SERVICES": "nonsense", "QUINTET_CONFIG": "/nowhere/at/all"}
    assert start(tmp_path, "health", "--help", **bad).returncode == 0
    assert start(tmp_path, "health", "--nonsense", **bad).returncode == 64
