"""The messages of the `quintet` command, word for word, and the bounds of its arguments."""
import datetime
import hashlib
import json
import os
import pty
import re
import sqlite3
import subprocess
import time

import pytest

from place import QUINTET, USAGE, fields

DAY = 86400


def database(place):
    return sqlite3.connect(place.path / "var" / "quintet.db", isolation_level=None, timeout=30)


def value(place, statement, *arguments):
    connection = database(place)
    row = connection.execute(statement, arguments).fetchone()
    connection.close()
    return row[0]


def change(place, statement, rows):
    connection = database(place)
    connection.executemany(statement, rows)
    connection.close()


def seconds(text):
    """A time as the command writes it: UTC, whole seconds."""
    return int(datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc).timestamp())


@pytest.fixture
def ada(migrated):
    migrated.ok("user", "create", "ada@example.com", "--username", "ada", "--name", "Ada L.")
    return migrated


# --- Help and completion --------------------------------------------------------------------------

def test_help_has_a_line_for_each_command(place):
    first, empty, *lines, gap, last = place.ok("help").splitlines()
    assert (first, empty, gap) == ("usage: quintet COMMAND [ARGUMENT ...]", "", "")
    assert last == "quintet help COMMAND says more; quintet(1) says all."
    assert [line[2:18].rstrip() for line in lines] == [
        "bootstrap-admin", "check", "completion", "config", "help", "key", "migrate", "user", "version"]
    for line in lines:
        name, summary = line[2:18].rstrip(), line[19:]
        usage = place.ok(name, "--help")
        assert place.ok("help", name) == f"{name}: {summary}\n\n{usage}"
        assert re.fullmatch(rf"usage: quintet {name}.*\n(       quintet {name} .*\n)*", usage)


def test_a_command_used_wrongly_says_its_whole_usage(place):
    for name in ("bootstrap-admin", "check", "completion", "config", "help", "key", "migrate", "user", "version"):
        assert place.run(name, "x", "y", "z").stderr == place.ok(name, "--help")
    assert place.run().stderr == place.ok("help")
    assert place.run("x").stderr == "quintet: no such command: x (quintet help lists them)\n"
    assert place.run("help", "x").stderr == "quintet: no such command: x\n"


def words_of(usage):
    """The subcommands and options that a usage names, and the words to choose from."""
    words = set(re.findall(r"--[a-z-]+", usage))
    for choice in re.findall(r"^.{7}quintet \S+ ([a-z|]+)", usage, re.M):
        words |= set(choice.split("|"))
    return words


def test_completion_offers_what_the_usage_names(place):
    bash, zsh, fish = (place.ok("completion", shell) for shell in ("bash", "zsh", "fish"))
    summaries = dict(re.findall(r"^  (\S+) +(.+)$", place.ok("help"), re.M))
    offered = dict(re.findall(r"^        (\S+)\) words='(.*)' ;;$", bash, re.M))
    assert offered.pop("help").split() == list(summaries)
    assert re.search(r"^        words='(.*)'$", bash, re.M)[1].split() == list(summaries)
    for name in offered:
        words = offered[name].split()
        assert set(words) == words_of(place.ok(name, "--help")) and len(words) == len(set(words)), name
    assert zsh.endswith("\n" + bash) and "autoload -U +X bashcompinit && bashcompinit" in zsh
    for name, summary in summaries.items():
        assert f"complete -c quintet -n __fish_use_subcommand -a {name} -d '{summary}'\n" in fish
        assert f"complete -c quintet -n '__fish_seen_subcommand_from {name}' -a '{offered.get(name, '')}'\n" in fish
    assert len(fish.splitlines()) == 2 + 2 * len(summaries)


@pytest.mark.parametrize("arguments,line", [
    (["config", "--all=1"], "--all takes no value"), (["config", "--format"], "--format needs a value"),
    (["config", "--frob=x"], "unknown option --frob"), (["config", "--form"], "unknown option --form"),
    (["migrate", "down", "0"], "N is a whole number from 1 to 10000"),
    (["migrate", "down", "10001"], "N is a whole number from 1 to 10000"),
    (["user", "lock", "ada", "--minutes", "0"], "--minutes is a whole number from 1 to 5256000"),
    (["user", "lock", "ada", "--minutes", "5256001"], "--minutes is a whole number from 1 to 5256000"),
    (["user", "invite", "--days", "0"], "--days is a whole number from 1 to 365"),
    (["user", "invite", "--days", "366"], "--days is a whole number from 1 to 365"),
    (["key", "create", "ada", "--days", "0"], "--days is a whole number from 1 to 36500"),
    (["key", "create", "ada", "--days", "36501"], "--days is a whole number from 1 to 36500"),
])
def test_what_is_wrong_with_an_option_or_a_number_is_said(place, arguments, line):
    done = place.run(*arguments)
    assert done.returncode == USAGE and done.stdout == ""
    assert done.stderr.startswith(f"quintet: {line}\n"), done.stderr


# --- user -----------------------------------------------------------------------------------------

def test_a_new_user_is_told_as_lines_or_as_json(migrated):
    made = migrated.ok("user", "create", "Ada@Example.com")
    assert re.fullmatch(r"e-mail    ada@example\.com\npassword  [A-Za-z0-9_-]{20}\n", made)
    made = migrated.ok("user", "create", "eve@example.com", "--password-stdin", stdin="correct horse\n")
    assert made == "e-mail    eve@example.com\n"
    made = migrated.json("user", "create", "bob@example.com")
    listed = {user["email"]: user["id"] for user in migrated.json("user", "list")}
    assert set(made) == {"id", "email", "password"} and listed["bob@example.com"] == made["id"]


def test_the_list_of_users_has_every_field(ada):
    ada.ok("user", "create", "eve@example.com", "--admin")
    change(ada, "UPDATE users SET created_at = ?, is_active = ? WHERE email = ?",
           [(1700000000, 1, "ada@example.com"), (1700000001, 0, "eve@example.com")])
    first, second = ada.json("user", "list")
    assert [first.pop("id"), second.pop("id")] == [
        value(ada, "SELECT id FROM users WHERE email = ?", email) for email in ("ada@example.com", "eve@example.com")]
    assert first == {"email": "ada@example.com", "username": "ada", "name": "Ada L.", "is_active": True,
                     "is_superuser": False, "is_locked": False, "created_at": "2023-11-14T22:13:20Z"}
    assert second == {"email": "eve@example.com", "username": None, "name": None, "is_active": False,
                      "is_superuser": True, "is_locked": False, "created_at": "2023-11-14T22:13:21Z"}
    assert ada.ok("user", "list") == ("ada@example.com  ada  user   active    2023-11-14T22:13:20Z\n"
                                      "eve@example.com  -    admin  inactive  2023-11-14T22:13:21Z\n")


def test_every_user_is_listed_once_however_many_there_are(migrated):
    change(migrated, "INSERT INTO users (id, email, password_hash, created_at) VALUES (?, ?, 'x', ?)",
           [(f"id{number}", f"u{number}@example.com", 1700000000 + number // 3) for number in range(1001)])
    listed = [user["email"] for user in migrated.json("user", "list")]
    assert len(listed) == 1001 and set(listed) == {f"u{number}@example.com" for number in range(1001)}
    assert len(migrated.ok("user", "list").splitlines()) == 1001


def test_each_change_of_a_user_says_what_is_so_now(ada):
    for action, words in (("promote", "is an administrator"), ("lock", "is locked"), ("unlock", "is not locked"),
                          ("delete", "is deleted")):
        assert ada.ok("user", action, "ada") == f"ada@example.com {words}\n"
    assert ada.json("user", "list") == []
    assert ada.run("user", "delete", "ada").stderr == "quintet: no such user: ada\n"


@pytest.mark.parametrize("minutes", [1, 5, 5256000])
def test_a_lock_lasts_as_many_minutes_as_asked(ada, minutes):
    began = int(time.time())
    ada.ok("user", "lock", "ada", "--minutes", str(minutes))
    until = value(ada, "SELECT locked_until FROM users")
    assert began <= until - minutes * 60 <= time.time()


def test_a_lock_without_minutes_lasts_for_ever(ada):
    ada.ok("user", "lock", "ada")
    assert value(ada, "SELECT locked_until FROM users") == 253402300799  # the last second of year 9999
    ada.ok("user", "unlock", "ada")
    assert value(ada, "SELECT locked_until FROM users") == 0


@pytest.mark.parametrize("stdin", ["12345678\n", "12345678", "x" * 1024 + "\n", "x" * 1024 + "\r\n", "1234567é\n"])
def test_a_password_has_8_to_1024_bytes_and_a_line_may_end_as_it_likes(migrated, stdin):
    migrated.ok("user", "create", "ada@example.com", "--password-stdin", stdin=stdin)
    assert [user["email"] for user in migrated.json("user", "list")] == ["ada@example.com"]


@pytest.mark.parametrize("stdin", ["1234567\n", "1234567\r\n", "x" * 1025 + "\n", "x" * 1025 + "\r\n"])
def test_a_password_of_7_or_1025_bytes_is_none_however_its_line_ends(migrated, stdin):
    done = migrated.run("user", "create", "ada@example.com", "--password-stdin", stdin=stdin)
    assert (done.returncode, done.stderr) == (
        1, "quintet: a password is one line of 8 to 1024 bytes of UTF-8 without NUL\n")


def test_a_new_password_is_one_time_only_if_it_was_made_here(ada):
    made = ada.ok("user", "password", "ada")
    assert re.fullmatch(r"e-mail    ada@example\.com\npassword  [A-Za-z0-9_-]{20}\n", made)
    one_time = value(ada, "SELECT password_state FROM users")
    assert ada.ok("user", "password", "ada", "--password-stdin", stdin="correct horse\n") == "e-mail    ada@example.com\n"
    assert value(ada, "SELECT password_state FROM users") == 0 != one_time


@pytest.mark.parametrize("days,options", [(7, []), (1, ["--days", "1"]), (365, ["--days=365"])])
def test_an_invitation_is_good_for_the_days_asked_for_and_stored_as_a_hash(migrated, days, options):
    began = int(time.time())
    code = re.fullmatch(r"invite code  ([0-9a-f]{32})\n", migrated.ok("user", "invite", *options))[1]
    row = database(migrated).execute("SELECT hash, created_at, expires_at FROM invitations").fetchall()
    assert [bytes(found[0]) for found in row] == [hashlib.sha256(code.encode()).digest()]
    assert began <= row[0][1] <= time.time() and row[0][2] - row[0][1] == days * DAY


# Characters that a terminal must not get are refused before they are stored; no other ones are.
@pytest.mark.parametrize("name", ["~", "\u00a0", "\u07ff", "\u0800", "\uffff", "\U00010000", "\U0010ffff", "é" * 128, " "])
def test_a_name_may_hold_every_character_that_shows(migrated, name):
    migrated.ok("user", "create", "ada@example.com", "--name", name)
    assert migrated.json("user", "list")[0]["name"] == name


@pytest.mark.parametrize("name", ["a\x1f", "a\x7f", "\u0080", "\u009f", "a\x01b"])
def test_a_name_holds_no_control_character(migrated, name):
    done = migrated.run("user", "create", "ada@example.com", "--name", name)
    assert (done.returncode, done.stderr) == (1, "quintet: --name holds a control character or is not valid UTF-8\n")


# --- key ------------------------------------------------------------------------------------------

def test_a_new_key_is_told_as_lines_or_as_json(ada):
    made = fields(ada.ok("key", "create", "ada"))
    assert set(made) == {"id", "API key"} and made["API key"].startswith(f"qk_{made['id']}_")
    made = ada.json("key", "create", "ada")
    assert set(made) == {"id", "owner", "api_key"} and made["owner"] == "ada@example.com"


@pytest.mark.parametrize("days", [1, 36500])
def test_a_key_expires_after_the_days_asked_for(ada, days):
    began = int(time.time())
    ada.ok("key", "create", "ada", "--days", str(days))
    assert began <= value(ada, "SELECT expires_at FROM api_keys") - days * DAY <= time.time()


def test_the_list_of_keys_has_every_field(ada):
    made = [ada.json("key", "create", "ada", *options)["id"] for options in (
        ["--name", "importer", "--scopes", "chart.read", "--tier", "gold", "--days", "1"], [])]
    change(ada, "UPDATE api_keys SET created_at = ?, expires_at = ? WHERE id = ?",
           [(1700000000, 4102444800, made[0]), (1700000001, 0, made[1])])
    listed = {key["id"]: key for key in ada.json("key", "list")}
    assert listed[made[0]] == {"id": made[0], "owner": "ada@example.com", "name": "importer", "scopes": "chart.read",
                               "tier": "gold", "state": "live", "created_at": "2023-11-14T22:13:20Z",
                               "expires_at": "2100-01-01T00:00:00Z"}
    assert listed[made[1]] == {"id": made[1], "owner": "ada@example.com", "name": "", "scopes": "", "tier": "",
                               "state": "live", "created_at": "2023-11-14T22:13:21Z", "expires_at": None}
    assert set(ada.ok("key", "list", "ada").splitlines()) == {
        f"{made[0]}  ada@example.com  live  importer  gold  2023-11-14T22:13:20Z  2100-01-01T00:00:00Z",
        f"{made[1]}  ada@example.com  live  -         -     2023-11-14T22:13:21Z  never"}


def test_the_state_of_a_key_is_the_first_thing_that_keeps_it_from_use(ada):
    key = ada.json("key", "create", "ada")["id"]
    now = int(time.time())

    def state():
        [listed] = ada.json("key", "list")
        return listed["state"]

    assert state() == "live"
    for state_now, statement, number in (
            ("owner inactive", "UPDATE users SET is_active = ?", 0),
            ("owner inactive", "UPDATE users SET locked_until = ?", now - 1),
            ("owner locked", "UPDATE users SET locked_until = ?", now + 1000),
            ("owner locked", "UPDATE api_keys SET expires_at = ?", now + 1000),
            ("expired", "UPDATE api_keys SET expires_at = ?", now)):
        change(ada, statement, [(number,)])
        assert state() == state_now, statement
    assert ada.ok("key", "revoke", key) == f"{key} is revoked\n"
    assert state() == "revoked"


def test_every_key_is_listed_once_however_many_there_are(ada):
    owner = value(ada, "SELECT id FROM users")
    change(ada, "INSERT INTO api_keys (id, user_id, name, scopes, tier, hash, created_at, expires_at) "
                "VALUES (?, ?, '', '', '', zeroblob(32), 1700000000, 0)",
           [(f"{number:016x}", owner) for number in range(201)])
    listed = [key["id"] for key in ada.json("key", "list", "ada")]
    assert len(listed) == 201 and len(set(listed)) == 201


def test_as_many_keys_as_api_keys_per_user_allows(ada):
    for _ in range(2):
        ada.ok("key", "create", "ada", API_KEYS_PER_USER="2")
    done = ada.run("key", "create", "ada", API_KEYS_PER_USER="2")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "quintet: ada@example.com has as many live keys as API_KEYS_PER_USER allows\n"


def test_a_scope_that_there_is_not_is_refused(ada):
    done = ada.run("key", "create", "ada", "--scopes", "chart.read nonsense")
    assert (done.returncode, done.stderr) == (1, "quintet: --scopes: words like chart.read, with spaces between\n")
    assert ada.json("key", "list") == []
    ada.ok("key", "create", "ada", "--scopes", "chart.read chart.update")


@pytest.mark.parametrize("option", ["--name", "--scopes", "--tier"])
def test_a_text_that_is_too_long_is_said_with_its_maximum(ada, option):
    done = ada.run("key", "create", "ada", option, "x" * 2000)
    maximum = int(re.fullmatch(rf"quintet: {option} has more than (\d+) characters\n", done.stderr)[1])
    done = ada.run("key", "create", "ada", option, "x" * (maximum + 1))
    assert done.returncode == 1 and done.stderr == f"quintet: {option} has more than {maximum} characters\n"
    if option != "--scopes":
        ada.ok("key", "create", "ada", option, "é" * maximum)


@pytest.mark.parametrize("arguments", [
    ["user", "create", "a@b.de"], ["user", "list"], ["user", "promote", "a"], ["user", "lock", "a"],
    ["user", "unlock", "a"], ["user", "password", "a"], ["user", "delete", "a"], ["user", "invite"],
    ["key", "create", "a"], ["key", "list"], ["key", "revoke", "a"]])
def test_every_command_on_accounts_needs_the_schema_of_this_program(migrated, arguments):
    latest = len(migrated.json("migrate", "status"))
    migrated.ok("migrate", "down", "--yes")
    done = migrated.run(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(f"quintet: the database has schema {latest - 1}, this program needs {latest} "
                                "(quintet migrate up)\n")


def test_keys_of_a_user_who_is_not_there_exit_1(ada):
    for action in ("list", "create"):
        done = ada.run("key", action, "eve")
        assert (done.returncode, done.stdout) == (1, "") and done.stderr.endswith("quintet: no such user: eve\n")


# --- bootstrap-admin ------------------------------------------------------------------------------

def test_the_first_administrator_has_a_name_a_one_time_password_and_a_named_key(place):
    made = place.ok("bootstrap-admin")
    assert re.fullmatch(r"administrator  admin@example\.com\npassword       [A-Za-z0-9_-]{20}\n"
                        r"API key        qk_\S+\n", made)
    [user] = place.json("user", "list")
    assert (user["email"], user["username"], user["is_superuser"]) == ("admin@example.com", "admin", True)
    [key] = place.json("key", "list")
    assert (key["owner"], key["name"], key["scopes"], key["tier"], key["expires_at"], key["state"]) == (
        "admin@example.com", "first administrator", "", "", None, "live")
    assert value(place, "SELECT password_state FROM users") != 0


def test_bootstrap_takes_another_address(place):
    assert place.run("bootstrap-admin", "--email", "nobody").stderr == "quintet: not an e-mail address: nobody\n"
    made = place.json("bootstrap-admin", "--email", "Root@Example.org")
    assert set(made) == {"email", "password", "api_key"} and made["email"] == "root@example.org"


# --- migrate --------------------------------------------------------------------------------------

def test_status_has_every_field_of_every_step(migrated):
    names = ["accounts", "charts", "chat", "health"]
    steps = migrated.json("migrate", "status")
    assert [(step["version"], step["name"], step["known"]) for step in steps[:4]] == [
        (number + 1, name, True) for number, name in enumerate(names)]
    assert all(set(step) == {"version", "name", "known", "applied_at"} for step in steps)
    assert all(abs(seconds(step["applied_at"]) - time.time()) < 100 for step in steps)
    migrated.ok("migrate", "down", "--yes")
    steps = migrated.json("migrate", "status")
    assert [step["applied_at"] is None for step in steps] == [False] * (len(steps) - 1) + [True]
    lines = migrated.ok("migrate", "status").splitlines()
    assert re.fullmatch(r"0001  accounts  \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", lines[0])
    assert lines[-1] == f"{len(steps):04}  {steps[-1]['name']:8}  pending"


def test_the_log_tells_that_it_was_the_command(migrated):
    assert {line["logger"] for line in migrated.log_lines()} == {"quintet"}


@pytest.mark.parametrize("words,target", [([], -1), (["1"], -1), (["2"], -2), (["10000"], None)])
def test_going_down_says_from_where_to_where(migrated, words, target):
    latest = len(migrated.json("migrate", "status"))
    outer, inner = pty.openpty()
    os.write(outer, b"Y\n")
    done = subprocess.run([str(QUINTET), "migrate", "down", *words], cwd=migrated.path, env=migrated.environment,
                          text=True, stdin=inner, capture_output=True, timeout=60)
    os.close(outer)
    os.close(inner)
    reached = 0 if target is None else latest + target
    assert done.stderr == f"Take the schema back from {latest} to {reached}, with all that it holds? [y/N] "
    assert done.returncode == 0 and done.stdout.endswith(f"\nschema {reached} of {latest}\n")


def test_going_down_unasked_or_with_no_for_an_answer_says_so(migrated):
    assert migrated.run("migrate", "down").stderr == (
        "quintet: migrate down removes what only the newer schema can hold: say --yes\n")
    outer, inner = pty.openpty()
    os.write(outer, b"no\n")
    done = subprocess.run([str(QUINTET), "migrate", "down"], cwd=migrated.path, env=migrated.environment, text=True,
                          stdin=inner, capture_output=True, timeout=60)
    os.close(outer)
    os.close(inner)
    assert done.returncode == 1 and done.stderr.endswith("quintet: nothing was changed\n") and done.stdout == ""


def test_the_copy_is_named_after_the_time(migrated):
    began = int(time.time())
    copy = migrated.ok("migrate", "down", "--yes").splitlines()[0]
    when = re.fullmatch(r"copy \./var/quintet\.db\.before-migrate-down-(.{20})-\d+", copy)[1]
    assert began <= seconds(when) <= time.time()


# --- config ---------------------------------------------------------------------------------------

def test_config_quotes_as_little_as_it_must(place):
    def shown(text):
        return re.search(r"^APP_NAME=(.*)$", place.ok("config", "--format", "env", APP_NAME=text), re.M)[1]

    assert shown("aZ09_-./:,@%+=*") == "aZ09_-./:,@%+=*"
    assert shown("two words") == "'two words'" and shown('a"$\\') == "'a\"$\\'"
    assert shown("it's \"$\\") == '"it\'s \\"\\$\\\\"'
    for text in ("(a)", "a;b", "a#b", "a&b", "~"):
        assert shown(text) == f"'{text}'"


def test_config_says_where_each_value_comes_from(place):
    (place.path / "quintet.conf").write_text("WORKERS=4\n")
    shown = json.loads(place.ok("config", "--all", "--format", "json", QUEUE_SIZE="33"))
    assert shown["WORKERS"] == {"value": "4", "source": "file"}
    assert shown["QUEUE_SIZE"] == {"value": "33", "source": "environment"}
    assert shown["APP_NAME"]["source"] == "default"
    table = place.ok("config", "--all", QUEUE_SIZE="33")
    assert re.search(r"^WORKERS +4 +file$", table, re.M) and re.search(r"^APP_NAME +\S+ +default$", table, re.M)


@pytest.mark.parametrize("options,hidden", [([], True), (["--all"], False), (["--format", "json"], False)])
def test_config_says_at_a_terminal_how_much_it_leaves_out(place, options, hidden):
    outer, inner = pty.openpty()
    done = subprocess.run([str(QUINTET), "config", *options], cwd=place.path, env=place.environment, stderr=inner,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=60)
    os.close(inner)
    try:
        said = os.read(outer, 4096).decode()
    except OSError:  # nothing was written
        said = ""
    os.close(outer)
    count = len(json.loads(place.ok("config", "--all", "--format", "json"))) - len(place.ok("config").splitlines())
    assert done.returncode == 0
    assert said == (f"{count} settings have their default value; --all shows them too\r\n" if hidden else "")


def test_config_lists_the_files_that_were_read(place):
    assert place.ok("config", "--files") == ""
    for name in ("quintet.conf", ".env"):
        (place.path / name).write_text("")
    assert place.ok("config", "--files") == "quintet.conf\n.env\n"
    assert place.ok("config", "--files", QUINTET_CONFIG=".env") == ".env\n"


def test_config_shows_the_settings_of_providers_too(place):
    environment = {"PROVIDER_LAB_BASE_URL": "http://127.0.0.1:1/v1", "GROQ_API_KEY": "gsk", "NONSENSE_API_KEY": "x"}
    shown = json.loads(place.ok("config", "--format", "json", LOG_FILE="", **environment))
    assert shown == {"PROVIDER_LAB_BASE_URL": {"value": "http://127.0.0.1:1/v1", "source": "environment"},
                     "GROQ_API_KEY": {"value": "********", "source": "environment"}}


# --- check ----------------------------------------------------------------------------------------

def test_check_as_json_has_four_fields_for_each_thing(migrated):
    done = migrated.run("check", "--json", API_KEY_QUERY="key", HEALTH_SERVICES="cache=redis://127.0.0.1:1")
    entries = {entry["check"]: entry for entry in json.loads(done.stdout)}
    assert all(set(entry) == {"check", "ok", "result", "problem"} for entry in entries.values())
    assert entries["database"] == {"check": "database", "ok": True, "result": "ok", "problem": None}
    assert entries["service cache"] == {"check": "service cache", "ok": True, "result": "warn", "problem": "cannot connect"}
    assert entries["API_KEY_QUERY"]["result"] == "warn" and entries["API_KEY_QUERY"]["problem"].endswith("(environment)")
    assert set(entries) == {"configuration", "API_KEY_QUERY", "state", "service cache", "secrets and directories",
                            "log, limits, shared memory, keys", "database", "migrations", "web server configuration"}
    assert entries["state"]["problem"] == (
        "STATE_DIR ./var, DATABASE_URL sqlite:./var/quintet.db, no configuration file")


def test_check_says_each_fault_of_a_configuration_and_which_file_was_read(place):
    (place.path / "quintet.conf").write_text("WORKERS=none\nQUEUE_SIZE=none\n")
    done = place.run("check")
    assert done.returncode == 1 and re.findall(r"^fail  configuration: (\w+) ", done.stdout, re.M) == [
        "WORKERS", "QUEUE_SIZE"]
    (place.path / "quintet.conf").write_text("WORKERS=1\n")
    assert "DATABASE_URL sqlite:./var/quintet.db, quintet.conf\n" in place.run("check").stdout


def test_check_looks_at_the_charts_that_are_kept_in_memory(migrated, in_memory):
    done = migrated.run("check", **in_memory)
    assert "ok    charts in memory\n" in done.stdout
    assert "charts in memory" not in migrated.run("check").stdout
