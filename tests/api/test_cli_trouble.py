"""The `quintet` command in bad company: wrong words, lost descriptors, a database of another program's
making, a locked one, and death in the middle of a migration."""
import contextlib
import json
import os
import pty
import random
import re
import resource
import signal
import sqlite3
import subprocess
import time

import pytest

from place import CONFIG, QUINTET, UNAVAILABLE, USAGE
from suite import ROOT
from test_cli import ask_auth

OUTPUT_FAILED = 74
LATEST = len(list((ROOT / "sql/sqlite").glob("*.up.sql")))


def database(place):
    return sqlite3.connect(place.path / "var" / "quintet.db", isolation_level=None, timeout=30)


def complaint(done):
    """What a command says is wrong, without the line that names the database it reads."""
    return re.sub(r"^quintet: database .*\n", "", done.stderr)


# --- Help and output ------------------------------------------------------------------------------

COMMANDS = ("bootstrap-admin", "check", "completion", "config", "help", "key", "migrate", "user", "version")


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("words", [
    *([name] for name in COMMANDS), ["migrate", "up"], ["migrate", "down", "2"], ["migrate", "status"],
    ["user", "create", "a@b.de"], ["user", "list", "--json"], ["key", "create"], ["key", "revoke", "x"],
    ["config", "--format", "json"], ["config", "--nonsense"],
], ids=" ".join)
def test_every_command_explains_itself_and_does_nothing(place, words, option):
    done = place.run(*words, option)
    assert done.returncode == 0 and done.stderr == "", done
    assert done.stdout.startswith(f"usage: quintet {words[0]}")
    assert list(place.path.iterdir()) == []


def test_behind_two_dashes_nothing_is_an_option(migrated):
    done = migrated.run("user", "create", "--", "--help")
    assert (done.returncode, done.stderr) == (1, "quintet: not an e-mail address: --help\n")


@pytest.mark.parametrize("arguments", [["help", "config", "x"], ["--help", "config", "x"], ["-x"], [""], ["migrate", ""],
                                       ["migrate", "-x"], ["migrate", "down", "1", "2"], ["migrate", "down", "+1"],
                                       ["migrate", "down", " 1"], ["migrate", "down", "99999999999999999999"],
                                       ["migrate", "down", "--", "-1"], ["config", "--format="], ["config", "--="]])
def test_wrong_words_exit_64(place, arguments):
    done = place.run(*arguments)
    assert done.returncode == USAGE and done.stdout == "" and done.stderr != "", done
    assert list(place.path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["help"], ["help", "config"], ["config", "--help"], ["version"],
                                       ["completion", "bash"], ["config"], ["check"], ["migrate", "status"]])
def test_output_that_is_lost_exits_74(migrated, arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run([str(QUINTET), *arguments], cwd=migrated.path, env=migrated.environment, stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == OUTPUT_FAILED and complaint(done).startswith("quintet: cannot write"), done


@pytest.mark.parametrize("closed", [(0,), (1,), (0, 1, 2)])
def test_closed_standard_descriptors_harm_nothing(migrated, closed):
    def close():
        for descriptor in closed:
            os.close(descriptor)

    process = subprocess.Popen([str(QUINTET), "user", "create", "a@b.de", "--password-stdin"], cwd=migrated.path,
                               env={**migrated.environment, "LOG_FILE": ""}, preexec_fn=close, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.communicate(b"correct horse\n", timeout=60)
    assert process.returncode == (1 if 0 in closed else OUTPUT_FAILED)
    assert database(migrated).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    for path in (migrated.path / "var" / "run").iterdir():
        content = path.read_bytes()
        assert b"quintet: " not in content and b"correct horse" not in content
    assert len(migrated.json("user", "list")) == (0 if 0 in closed else 1)


# --- A database of another program's making ---------------------------------------------------------

NEWER = "the database has migration 9999, this program knows only {}: install a newer release"


@pytest.fixture
def newer(migrated):
    database(migrated).execute("INSERT INTO schema_migrations VALUES (9999, 'from the future', 1, 'x')")
    return migrated


def count_migrations(place):
    return sum(step["known"] for step in place.json("migrate", "status"))


def test_a_database_that_is_newer_is_refused_by_everybody(newer):
    line = NEWER.format(count_migrations(newer))
    for arguments in (["migrate", "up"], ["migrate", "down", "--yes"], ["user", "list"], ["user", "create", "a@b.de"],
                      ["key", "list"], ["bootstrap-admin"]):
        done = newer.run(*arguments)
        assert (done.returncode, done.stdout, complaint(done)) == (1, "", f"quintet: {line}\n")
    done = newer.run("check")
    assert done.returncode == 1 and f"fail  migrations: {line}\n" in done.stdout


def test_status_shows_what_a_newer_program_has_done(newer):
    last = newer.json("migrate", "status")[-1]
    assert (last["version"], last["name"], last["known"]) == (9999, None, False) and last["applied_at"]
    assert re.search(r"^9999  \(unknown to this program\)  1970-", newer.ok("migrate", "status"), re.M)


def test_a_program_does_not_start_on_a_newer_database(newer):
    done = newer.run_program("auth", "--listen", "socket")
    assert done.returncode == CONFIG
    assert done.stderr == f"quintet-auth: {NEWER.format(count_migrations(newer))}\n"


def test_a_migration_that_was_changed_is_refused_by_everybody(migrated):
    database(migrated).execute("UPDATE schema_migrations SET checksum = 'x' WHERE version = 1")
    line = "migration 1 (accounts) was changed after it had been applied"
    for arguments in (["migrate", "up"], ["migrate", "down", "--yes"], ["user", "list"], ["bootstrap-admin"]):
        done = migrated.run(*arguments)
        assert (done.returncode, complaint(done)) == (1, f"quintet: {line}\n")
    assert f"fail  migrations: {line}\n" in migrated.run("check").stdout


def test_a_file_that_is_no_database_exits_69(place):
    (place.path / "var").mkdir()
    (place.path / "var" / "quintet.db").write_bytes(b"this is not a database, it is only a text" * 100)
    for arguments in (["migrate", "up"], ["migrate", "status"], ["user", "list"]):
        done = place.run(*arguments)
        assert done.returncode == UNAVAILABLE and "does not answer" in done.stderr, done
    assert "fail  database: " in place.run("check").stdout


@pytest.mark.parametrize("setting,status,words", [
    ("STATE_DIR", CONFIG, "STATE_DIR names a directory that cannot be made or used: permission denied (environment)"),
    ("RUNTIME_DIR", CONFIG, "RUNTIME_DIR names a directory that cannot be made or used: permission denied (environment)"),
    ("LOG_FILE", CONFIG, "LOG_FILE cannot be opened (environment)"),
])
def test_a_place_that_may_not_be_written_is_named(place, setting, status, words):
    done = place.run("migrate", "up", **{setting: "/sys/quintet/x" if setting == "LOG_FILE" else "/sys/quintet"})
    assert (done.returncode, done.stderr) == (status, f"quintet: {words}\n")


# --- A database that others use ---------------------------------------------------------------------

def test_a_locked_database_exits_69_in_time_and_can_be_read(migrated):
    migrated.ok("user", "create", "ada@example.com")
    holder = database(migrated)
    holder.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    waiting = [migrated.start(*arguments) for arguments in (["migrate", "down", "--yes"], ["user", "create", "eve@example.com"],
                                                            ["user", "promote", "ada@example.com"])]
    assert [user["email"] for user in migrated.json("user", "list")] == ["ada@example.com"]
    migrated.ok("migrate", "up")
    assert migrated.ok("bootstrap-admin") == ""
    for process in waiting:
        output, problem = process.communicate(timeout=60)
        assert process.returncode == UNAVAILABLE and output == "", problem
        assert problem.endswith("the database does not answer or is locked; the log may say more\n")
    assert time.monotonic() - began < 30
    holder.execute("ROLLBACK")
    assert all(step["applied_at"] for step in migrated.json("migrate", "status"))
    assert [user["is_superuser"] for user in migrated.json("user", "list")] == [False]


@pytest.mark.parametrize("command,table,words", [(["user", "list"], "users", "users"),
                                                 (["user", "list", "--json"], "users", "users"),
                                                 (["key", "list"], "api_keys", "keys")])
def test_what_cannot_be_listed_is_named_and_nothing_is_listed(migrated, command, table, words):
    migrated.ok("user", "create", "ada@example.com")
    with contextlib.closing(database(migrated)) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
    done = migrated.run(*command)
    assert done.returncode != 0 and "ada@" not in done.stdout
    assert complaint(done).startswith(f"quintet: {words}: "), done


def test_what_the_command_does_is_logged_as_its_own(migrated):
    """In the same file as the lines of the programs."""
    lines = [line for line in migrated.log_lines() if line["message"] == "migration_applied"]
    assert len(lines) == LATEST and {line["logger"] for line in lines} == {"quintet"}


def test_a_lock_that_ends_is_waited_for(migrated):
    holder = database(migrated)
    holder.execute("BEGIN IMMEDIATE")
    process = migrated.start("user", "create", "ada@example.com")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    holder.execute("ROLLBACK")
    process.communicate(timeout=60)
    assert process.returncode == 0 and len(migrated.json("user", "list")) == 1


def test_the_schema_is_not_taken_from_under_a_running_suite(suite, place):
    running = suite.start()
    place.environment.update(STATE_DIR=str(running.state), QUINTET_CONFIG="/dev/null", JWT_SECRET_KEY=running.jwt_secret)
    before = place.json("migrate", "status")
    for arguments in (["10000", "--yes"], ["--yes"], []):
        done = place.run("migrate", "down", *arguments)
        assert done.returncode == 1 and done.stdout == "", done
        assert re.fullmatch(r"quintet: \w+ \(process \d+\) is running: stop the suite first\n", done.stderr), done
    place.ok("migrate", "up")
    assert place.json("migrate", "status") == before
    answer = running.post("/auth/login", {"email": "nobody@example.com", "password": "correct horse"})
    assert answer.status == 401
    running.stop_process()
    place.ok("migrate", "down", "--yes")


def copies(place):
    return list((place.path / "var").glob("quintet.db.before-migrate-down-*"))


def test_going_down_asks_first(migrated):
    before = migrated.json("migrate", "status")
    done = migrated.run("migrate", "down")
    assert done.returncode == 1 and "--yes" in done.stderr and done.stdout == ""
    assert migrated.json("migrate", "status") == before and copies(migrated) == []


@pytest.mark.parametrize("answer,goes", [("y\n", True), ("n\n", False), ("\n", False)])
def test_going_down_asks_at_a_terminal(migrated, answer, goes):
    before = migrated.json("migrate", "status")
    outer, inner = pty.openpty()
    os.write(outer, answer.encode())
    done = subprocess.run([str(QUINTET), "migrate", "down"], cwd=migrated.path, env=migrated.environment, text=True,
                          stdin=inner, capture_output=True, timeout=60)
    os.close(outer)
    os.close(inner)
    assert (done.returncode == 0) == goes and "[y/N]" in done.stderr, done
    assert (migrated.json("migrate", "status") == before) == (not goes)


def test_going_down_copies_the_database_first(migrated):
    migrated.ok("user", "create", "ada@example.com")
    steps = str(len(migrated.json("migrate", "status")))
    told, schema, _ = migrated.ok("migrate", "down", steps, "--yes").split("\n")
    (copy,) = copies(migrated)
    assert migrated.path / told.removeprefix("copy ") == copy and schema.startswith("schema 0 of ")
    assert copy.stat().st_mode & 0o777 == 0o600
    database(migrated).close()
    for path in (migrated.path / "var").glob("quintet.db-*"):
        path.unlink()
    copy.rename(migrated.path / "var" / "quintet.db")
    assert [user["email"] for user in migrated.json("user", "list")] == ["ada@example.com"]


def test_a_database_of_something_else_is_left_alone(place):
    (place.path / "var").mkdir()
    foreign = sqlite3.connect(place.path / "var" / "quintet.db")
    foreign.execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, secret TEXT)")
    foreign.commit()
    line = "the database holds tables of something else and is left alone"
    for arguments in (["migrate", "up"], ["migrate", "down", "--yes"], ["user", "list"], ["bootstrap-admin"]):
        done = place.run(*arguments)
        assert (done.returncode, complaint(done)) == (1, f"quintet: {line}\n"), done
    done = place.run_program("auth", "--listen", "socket")
    assert done.returncode == CONFIG and line in done.stderr
    assert [row[0] for row in foreign.execute("SELECT name FROM sqlite_schema")] == ["accounts"]


def test_migrations_that_race_apply_each_step_once(place):
    running = [place.start("migrate", "up") for _ in range(6)]
    for process in running:
        output = process.communicate(timeout=60)
        assert process.returncode == 0, output
    applied = [line["version"] for line in place.log_lines() if line["message"] == "migration_applied"]
    assert sorted(applied) == [step["version"] for step in place.json("migrate", "status")]


# --- Death in the middle ----------------------------------------------------------------------------

def assert_sound(place, latest):
    """Whatever was left behind, the next run goes on and ends at the newest schema."""
    connection = database(place)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    recorded = []
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_migrations'").fetchone():
        recorded = [version for version, in connection.execute("SELECT version FROM schema_migrations ORDER BY version")]
    connection.close()
    assert recorded == list(range(1, len(recorded) + 1))
    assert place.ok("migrate", "up") == f"schema {latest} of {latest}\n"
    return len(recorded)


def tables(place):
    connection = database(place)
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
    connection.close()
    return rows


def forget_database(place):
    for path in (place.path / "var").glob("quintet.db*"):
        path.unlink()


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_migration_that_dies_at_any_write_is_gone_on_with(place, direction):
    """The file size limit kills at the write that would cross it: at each page of the database and of
    its write-ahead log in turn."""
    latest = LATEST
    place.ok("migrate", "up")
    whole = tables(place)
    arguments = ["migrate", "up"] if direction == "up" else ["migrate", "down", str(latest), "--yes"]
    deaths, depths = 0, set()
    for limit in range(0, 400 * 1024, 8 * 1024):
        if direction == "up":
            forget_database(place)
        done = subprocess.run([str(QUINTET), *arguments], cwd=place.path, capture_output=True, timeout=60,
                              env={**place.environment, "LOG_FILE": ""},
                              preexec_fn=lambda size=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
        assert done.returncode in (0, -signal.SIGXFSZ), done
        deaths += done.returncode != 0
        depths.add(assert_sound(place, latest))
        assert tables(place) == whole
        if done.returncode == 0 and limit > 300 * 1024:
            break
    assert deaths >= 3 and len(depths) >= 2, (deaths, depths)


def test_a_migration_that_is_killed_at_any_moment_is_gone_on_with(place):
    latest = LATEST
    dice = random.Random(7)
    began = time.monotonic()
    place.ok("migrate", "up")
    span = time.monotonic() - began
    for turn in range(30):
        process = place.start("migrate", *(["down", str(latest), "--yes"] if turn % 2 else ["up"]))
        time.sleep(dice.uniform(0, span))  # a random moment is the point
        process.kill()
        process.communicate(timeout=60)
        if turn % 2:
            assert_sound(place, latest)
        else:
            place.ok("migrate", "down", str(latest), "--yes")


def test_a_disk_that_is_full_is_told_and_recovered_from(migrated):
    place, latest = migrated, LATEST
    forget_database(place)  # what stands beside it fits no limit of a disk

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16 * 1024, 16 * 1024))

    # "restore_signals" would undo what limit() does
    done = subprocess.run([str(QUINTET), "migrate", "up"], cwd=place.path, env={**place.environment, "LOG_FILE": ""},
                          capture_output=True, text=True, preexec_fn=limit, restore_signals=False, timeout=60)
    assert done.returncode in (1, UNAVAILABLE) and "quintet: " in done.stderr, done
    assert_sound(place, latest)


# --- Texts ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments,problem", [
    (["--name", "a\nb"], "--name holds a control character"), (["--name", "\x1b[2J"], "--name holds a control character"),
    (["--name", "\u009b2J"], "--name holds a control character"), (["--name", "\udcff"], "--name holds a control character"),
    (["--name", "é" * 129], "--name has more than 128 characters"), (["--username", ""], "a username has 3 to 64"),
    (["--username", "a b"], "a username has 3 to 64"), (["--username", "ad"], "a username has 3 to 64"),
    (["--username", "x" * 65], "a username has 3 to 64"), (["--username", "a@b"], "a username has 3 to 64"),
])
def test_user_create_takes_the_names_that_the_api_takes(migrated, arguments, problem):
    done = subprocess.run([str(QUINTET).encode(), b"user", b"create", b"ada@example.com",
                           *(word.encode(errors="surrogateescape") for word in arguments)],
                          cwd=migrated.path, env=migrated.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.startswith(f"quintet: {problem}"), done
    assert migrated.json("user", "list") == []
    migrated.ok("user", "create", "ada@example.com", "--username", "a-d_a.1", "--name", "é" * 128)


@pytest.mark.parametrize("option", ["--name", "--scopes", "--tier"])
@pytest.mark.parametrize("text", ["a\x1b]0;x\x07", "a\tb", "x" * 513])
def test_key_create_refuses_texts_that_are_none(migrated, option, text):
    migrated.ok("user", "create", "ada@example.com")
    done = migrated.run("key", "create", "ada@example.com", option, text)
    assert done.returncode == 1 and done.stderr.startswith(f"quintet: {option} h"), done
    assert migrated.json("key", "list") == []


def test_what_callers_of_the_api_write_does_not_steer_a_terminal(migrated):
    password = migrated.json("user", "create", "ada@example.com")["password"]
    token = ask_auth(migrated, "POST", "/auth/login", {"email": "ada@example.com", "password": password})[1]["access_token"]
    name = "\x1b[2J\x9b31m\nroot"
    status, _ = ask_auth(migrated, "POST", "/auth/api-keys", {"name": name}, HTTP_AUTHORIZATION=f"Bearer {token}")
    assert status == 201
    [line] = migrated.ok("key", "list").splitlines()
    assert "  ?[2J??31m?root  " in line
    assert json.loads(migrated.ok("key", "list", "--json"))[0]["name"] == name


@pytest.mark.parametrize("line", [b"12345678\0garbage\n", b"pass\0word1234567\n", b"\0" * 12 + b"\n"])
def test_a_password_with_a_nul_in_it_is_none(migrated, line):
    done = subprocess.run([str(QUINTET), "user", "create", "ada@example.com", "--password-stdin"], cwd=migrated.path,
                          env=migrated.environment, input=line, capture_output=True, timeout=60)
    assert done.returncode == 1 and b"a password is one line of 8 to 1024 bytes" in done.stderr
    assert migrated.json("user", "list") == []


def test_the_manual_page_lists_the_exit_statuses_that_exist():
    page = (ROOT / "docs/man/quintet.1").read_text()
    listed = re.findall(r"^\.It (\d+)$", page.split(".Sh EXIT STATUS")[1].split(".Sh ")[0], re.M)
    assert listed == ["0", "1", "64", "69", "71", "74", "78"]
