"""The commands and files that the documents tell people to type or to copy, run as they are written. Only
places change: addresses become those of the test's server, paths those of the test's directory."""
import getpass
import grp
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import fastcgi_client as fastcgi
from suite import BUILD, ROOT, Suite, sanitizer_environment, wait_until
from web_servers import base_environment, listens_on, stop, tool

DOCUMENTS = ("README.md", *sorted(str(path.relative_to(ROOT)) for folder in ("docs", "deploy", "lighttpd", "nginx", "apache")
                                  for path in (ROOT / folder).rglob("*.md")))
INSTALLED = "/usr/local"
# The first line of each block, without its indentation, and the test that runs it unless that is below.
ELSEWHERE = {
    "script/server            # from": "test_script_server.py and the run of all tests",
    "fcgi-apps/   one folder": "test_the_map_of_the_readme_names_every_folder_of_the_code, below",
    '"detail": [{"loc"': "tests/api/test_openapi.py, every answer against its schema",
    '"errors": [{"detail"': "tests/api/test_openapi.py, every answer against its schema",
}


def blocks(document):
    """Each fenced block of a document: its language and its text."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / document).read_text(), re.M | re.S)


def block(document, beginning):
    """The one block of a document that begins so."""
    [text] = [text for _, text in blocks(document) if text.startswith(beginning)]
    TAKEN.add((document, beginning))
    return text


TAKEN = set()


def shell(text, cwd, **environment):
    """bash, which stops at the first command that fails."""
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=cwd, stdin=subprocess.DEVNULL,
                          env={"PATH": os.environ["PATH"], **sanitizer_environment(), **environment},
                          capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """The installation that the README's lines make; bootstrap is left out."""
    folder = tmp_path_factory.mktemp("installed")
    text = block("README.md", "script/bootstrap build run && script/build && make -C build install")
    last = text.split("&&")[-1].split("#")[0].replace("-C build", f"-C {BUILD}")
    shell(f"{last} prefix={folder} sysconfdir={folder}/etc", ROOT)
    return folder


def test_the_tour_of_the_readme_gives_what_it_says(private):
    server = private(Suite)
    tour = block("README.md", "base=http://127.0.0.1:8080\n")
    said = shell(tour.replace("http://127.0.0.1:8080", server.url), server.state)
    assert '"error"' not in said, said
    assert "data: [DONE]" in said and "event: done" in said
    assert "My name is Ada." in said.split("event: done")[1], "the second turn does not know the first"
    assert '"close":2' in said and "http_requests_total{" in said.splitlines()[-1]


def test_the_map_of_the_readme_names_every_folder_of_the_code():
    text = block("README.md", "fcgi-apps/   one folder")
    order = re.search(r"folder includes only folders before it:\n(.*?)\ncli/", text, re.S)[1].split()
    assert sorted(order) == sorted(path.name for path in (ROOT / "shared").iterdir() if path.is_dir())
    tops = set(re.findall(r"([a-z-]+)/(?=\s)", text))
    tracked = subprocess.run(["git", "-C", str(ROOT), "ls-tree", "-d", "--name-only", "HEAD"], check=True,
                             capture_output=True, text=True, timeout=60).stdout.split()
    assert {name for name in tracked if not name.startswith(".")} <= tops


def test_a_backup_as_documented_holds_what_was_there(private, tmp_path):
    server = private(Suite)
    person = server.register()
    shell(block("docs/operating.md", "sqlite3 "), tmp_path, STATE_DIR=str(server.state), BACKUP_DIR=str(tmp_path))
    server.stop_process()
    # To restore: move the three files away, put the copy in the place of the first, start.
    for path in server.state.glob("quintet.db*"):
        path.unlink()
    shutil.copy(tmp_path / "quintet.db", server.state / "quintet.db")
    server.start_process()
    assert server.post("/auth/login", {"email": person["email"], "password": person["password"]}).status == 200


def test_logrotate_understands_its_lines(tmp_path):
    logs = tmp_path / "log"
    logs.mkdir(mode=0o755)
    (logs / "quintet.log").write_text("{}\n")
    text = block("docs/operating.md", "/var/log/quintet/*.log {").replace("/var/log/quintet", str(logs))
    told = tmp_path / "told"
    # There is no systemd to ask here.
    text = text.replace("systemctl kill", f"echo kill >{told}; : systemctl kill")
    (tmp_path / "rules").write_text(text)
    (tmp_path / "rules").chmod(0o644)
    subprocess.run([tool("logrotate"), "--force", "--state", str(tmp_path / "state"), str(tmp_path / "rules")],
                   check=True, capture_output=True, timeout=60)
    assert told.exists() and (logs / "quintet.log.1").read_text() == "{}\n"


def test_the_kernel_understands_its_rule(tmp_path):
    rules = tmp_path / "nftables.conf"
    rules.write_text(block("docs/deploying.md", "table inet quintet {"))
    command = ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*command, "true"], capture_output=True, timeout=60, check=False).returncode != 0:
        pytest.skip("no network namespace for this user")
    done = subprocess.run([*command, tool("nft"), "--check", "--file", str(rules)], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_program_under_spawn_fcgi_answers(state):
    text = block("docs/deploying.md", "umask 027\nspawn-fcgi")
    text = text.replace("/run/quintet/chat.sock", f"{state}/chat.sock")
    text = text.replace(f"{INSTALLED}/libexec/quintet/chat.fcgi", str(BUILD / "fcgi-apps/chat/chat.fcgi"))
    # Users of an installation that is not there.
    text = text.replace("-u quintet -g www-data", f"-u {getpass.getuser()} -g {grp.getgrgid(os.getgid()).gr_name}"
                        if os.geteuid() else "")
    process = subprocess.Popen(["bash", "-c", text],
                               env=base_environment(state, API_KEYS="sk-key-of-the-documents"))
    try:
        wait_until(lambda: process.poll() is not None or listens_on(state / "chat.sock"), 20)
        with fastcgi.Connection(str(state / "chat.sock"), 10) as connection:
            assert connection.ask("/v1/models", HTTP_X_API_KEY="sk-key-of-the-documents").status == 200
        assert (state / "chat.sock").stat().st_mode & 0o777 == 0o660
    finally:
        assert stop(process) == 0


def test_the_errors_are_shaped_like_the_examples(private):
    server = private(Suite, {"RATE_LIMIT_ENABLED": "true", "RATE_LIMIT_AUTH": "1/minute", "RATE_LIMIT_CHAT": "1/minute"})
    for document, beginning, path in (("docs/errors.md", '{"error": "rate_limit_exceeded"', "/auth/login"),
                                      ("docs/errors.md", '{"error": {"message"', "/v1/chat/completions")):
        example = json.loads(block(document, beginning))
        answers = [server.post(path, {}) for _ in range(3)]
        [*_, last] = answers
        assert last.status == 429, answers
        assert shape(last.json) == shape(example)


def shape(value):
    """The names in a value and the kinds of what they hold."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    return type(value).__name__


def test_the_account_of_a_shared_host_is_set_up_by_its_lines(prefix, tmp_path):
    text = block("apache/README.md", "mkdir -p ~/public_html/api")
    shell(text.replace(INSTALLED, str(prefix)), tmp_path, HOME=str(tmp_path))
    folder = tmp_path / "public_html/api"
    assert (folder / "quintet.conf").stat().st_mode & 0o777 == 0o600 and (folder / ".htaccess").exists()
    # As Apache runs it after a rewrite of that file.
    done = subprocess.run([str(folder / "health.fcgi")], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60, check=False,
                          env={"PATH": os.environ["PATH"], "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_PROTOCOL": "HTTP/1.1",
                               "REQUEST_METHOD": "GET", "REQUEST_URI": "/api/health/live", "PATH_INFO": "/health/live",
                               "SCRIPT_NAME": "/api/health.fcgi", "DOCUMENT_ROOT": str(tmp_path / "public_html"),
                               "REMOTE_ADDR": "127.0.0.1", **sanitizer_environment()})
    assert done.stdout.startswith("Status: 200"), done.stdout + done.stderr
    assert (tmp_path / "quintet-state").is_dir() and not list((tmp_path / "public_html").rglob("*.db"))


def test_the_first_administrator_under_systemd_is_made_by_its_lines(prefix, tmp_path):
    """Only the lines that need no systemd: those of the configuration, and of the account."""
    setup = block("deploy/systemd/README.md", "systemd-sysusers\n")
    account = block("deploy/systemd/README.md", "cd /\nrunuser")
    configuration = prefix / "etc/quintet/quintet.conf"
    lines = [line for line in setup.splitlines() if not line.startswith("systemd-") and not line.startswith("systemctl ")]
    assert len(lines) == 2, lines
    shell("\n".join(lines).replace("/etc/quintet", str(configuration.parent)).replace("-g quintet ", ""), tmp_path)
    assert re.search(r"^SECRET_KEY=[0-9a-f]{64}$", configuration.read_text(), re.M)
    text = account.replace("runuser -u quintet -- ", "").replace(INSTALLED, str(prefix))
    for place in ("/var/lib/quintet", "/run/quintet/shared"):
        folder = tmp_path / place[1:]
        folder.mkdir(parents=True)
        text = text.replace(place, str(folder))
    # Where the configuration stands is compiled in, for the places of the build. The programs that systemd
    # has started by now have made the database.
    migrate = text.replace("user create you@example.com --admin", "migrate up")
    said = shell(f"{migrate}\n{text}", tmp_path, QUINTET_CONFIG=str(configuration))
    assert "you@example.com" in said and (tmp_path / "var/lib/quintet/quintet.db").exists()


def test_each_block_of_each_document_is_run():
    """Must stand last: a block that no test has taken so far is run by nobody."""
    run = {beginning for _, beginning in TAKEN} | set(ELSEWHERE)
    if len(TAKEN) < 5:
        pytest.skip("needs all tests of this file beside it")
    left = [(document, text.splitlines()[0]) for document in DOCUMENTS for _, text in blocks(document)
            if not text.startswith(tuple(run))]
    assert left == []
