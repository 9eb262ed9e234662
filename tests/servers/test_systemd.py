"""deploy/systemd as `make install` puts it: complete, without a fault that systemd would name, and
strict. systemd itself need not run."""
import os
import pathlib
import subprocess

import pytest

from suite import BUILD
from web_servers import tool

EXPOSURE_MAXIMUM = 15  # tenths
UNITS = "lib/systemd/system"
SERVICES = ("quintet-lighttpd.service", "quintet-program@.service")


def make(target, **variables):
    subprocess.run(["make", "-C", str(BUILD), target, *(f"{key}={value}" for key, value in
                                                        variables.items())],
                   check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """An installation of its own."""
    folder = tmp_path_factory.mktemp("installed")
    make("install", prefix=folder, sysconfdir=folder / "etc")
    return folder


def analyze(prefix, *arguments):
    environment = {"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": f"{prefix / UNITS}:"}
    return subprocess.run([tool("systemd-analyze"), *map(str, arguments)], env=environment,
                          capture_output=True, text=True, timeout=60, check=False)


def test_the_units_have_no_fault(prefix):
    units = [prefix / UNITS / name for name in ("quintet.target", "quintet-lighttpd.service", *(
        f"quintet-program@{name}.{kind}" for name in ("health", "auth", "chat", "charts", "metrics")
        for kind in ("socket", "service")))]
    found = analyze(prefix, "verify", "--man=no", *units)
    lines = [line for line in (found.stdout + found.stderr).splitlines() if "quintet" in line]
    assert found.returncode == 0 and lines == []


@pytest.mark.parametrize("name", SERVICES)
def test_the_services_are_confined(prefix, name):
    found = analyze(prefix, "security", "--offline=true", f"--threshold={EXPOSURE_MAXIMUM}",
                    prefix / UNITS / name)
    assert found.returncode == 0, found.stdout.splitlines()[-1:]


def test_everything_named_in_what_is_installed_is_installed(prefix):
    named = 0
    for path in (*(prefix / UNITS).rglob("*.service"), *(prefix / "share/quintet").rglob("*.conf"),
                 prefix / "share/quintet/apache/htaccess"):
        text = path.read_text()
        assert "/usr/local" not in text, path
        for word in text.replace('"', " ").replace("=", " ").replace("$1", " ").split():
            if word.startswith(str(prefix)) and "%" not in word and "/etc/" not in word and "*" not in word:
                assert pathlib.Path(word).exists(), (path, word)
                named += 1
    assert named > 10
    assert (prefix / "etc/quintet/quintet.conf.sample").stat().st_size > 1000
    assert "quintet" in (prefix / "lib/sysusers.d/quintet.conf").read_text()
    assert "/run/quintet" in (prefix / "lib/tmpfiles.d/quintet.conf").read_text()


def test_an_installation_can_be_staged_and_taken_back(tmp_path):
    make("install", DESTDIR=tmp_path)
    assert (tmp_path / "usr/local" / UNITS / "quintet-program@.socket").exists()
    unit = (tmp_path / "usr/local" / UNITS / "quintet-program@.service").read_text()
    assert "ExecStart=/usr/local/libexec/quintet/%i.fcgi" in unit and str(tmp_path) not in unit
    make("uninstall", DESTDIR=tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
