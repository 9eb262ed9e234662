"""The `quintet` command: the real binary, each time in a directory of its own."""
import json
import os
import re
import socket
import stat
import subprocess
import time

import pytest

from place import CONFIG, GOOD_SECRET, QUINTET, UNAVAILABLE, USAGE, fields
from suite import BUILD, ROOT, free_port
from upstream_stub import UpstreamStub


# --- Words and usage ------------------------------------------------------------------------------

def test_version_is_one_line(place):
    assert re.fullmatch(r"quintet \d+\.\d+\.\d+\n", place.ok("version"))
    assert place.ok("--version") == place.ok("version")


def test_help_lists_every_command_and_explains_each(place):
    text = place.ok("help")
    names = re.findall(r"^  (\S+)", text, re.M)
    assert {"config", "check", "migrate", "user", "key", "bootstrap-admin", "version", "completion"} <= set(names)
    for name in names:
        assert place.ok("help", name).startswith(f"{name}: ")
        assert f"usage: quintet {name}" in place.ok("help", name)


@pytest.mark.parametrize("arguments", [
    [], ["frobnicate"], ["help", "frobnicate"], ["version", "x"], ["config", "x"], ["config", "--frob"],
    ["config", "--format"], ["config", "--format", "xml"], ["config", "--all=1"], ["config", "--sample", "--markdown"],
    ["check", "x"], ["migrate"], ["migrate", "sideways"], ["migrate", "down", "0"], ["migrate", "down", "x"],
    ["migrate", "up", "1"], ["user"], ["user", "create"], ["user", "create", "a@b", "c@d"], ["user", "list", "x"],
    ["user", "lock", "a@b", "--minutes", "0"], ["key"], ["key", "create"], ["key", "create", "a@b", "--days", "-1"],
    ["key", "revoke"], ["bootstrap-admin", "x"], ["completion"], ["completion", "tcsh"],
])
def test_wrong_usage_exits_64_and_touches_nothing(place, arguments):
    done = place.run(*arguments)
    assert done.returncode == USAGE, done
    assert done.stdout == "" and done.stderr != ""
    assert list(place.path.iterdir()) == []


# Of each command: how many operands it takes, and what one may look like.
OPERANDS = {
    ("bootstrap-admin",): (0, 0, "x"), ("check",): (0, 0, "x"), ("config",): (0, 0, "x"), ("version",): (0, 0, "x"),
    ("migrate", "up"): (0, 0, "1"), ("migrate", "down"): (0, 1, "1"), ("migrate", "status"): (0, 0, "1"),
    ("user", "create"): (1, 1, "a@b.example"), ("user", "list"): (0, 0, "a@b.example"),
    ("user", "promote"): (1, 1, "a@b.example"), ("user", "lock"): (1, 1, "a@b.example"),
    ("user", "unlock"): (1, 1, "a@b.example"), ("user", "password"): (1, 1, "a@b.example"),
    ("user", "delete"): (1, 1, "a@b.example"), ("user", "invite"): (0, 0, "x"),
    ("key", "create"): (1, 1, "a@b.example"), ("key", "list"): (0, 1, "a@b.example"), ("key", "revoke"): (1, 1, "k"),
}


@pytest.mark.parametrize("command", OPERANDS, ids=" ".join)
def test_every_command_refuses_options_and_operands_that_it_does_not_know(place, command):
    least, most, operand = OPERANDS[command]
    wrong = [[*command, *[operand] * (most + 1)], [*command, *[operand] * least, "--no-such-option"]]
    if least > 0:
        wrong.append([*command, *[operand] * (least - 1)])
    for arguments in wrong:
        done = place.run(*arguments)
        assert done.returncode == USAGE and done.stdout == "" and done.stderr != "", done
    assert list(place.path.iterdir()) == []


def test_output_that_cannot_be_written_is_an_error(place):
    with open("/dev/full", "w") as full:
        done = subprocess.run([str(QUINTET), "config", "--sample"], cwd=place.path, env=place.environment,
                              stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 74 and done.stderr.startswith("quintet: cannot write")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command(place, shell):
    script = place.ok("completion", shell)
    for name in re.findall(r"^  (\S+)", place.ok("help"), re.M):
        assert name in script


def test_bash_completes_commands_and_their_words(place):
    script = place.ok("completion", "bash")
    probe = script + """
complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _quintet; echo "${COMPREPLY[@]}"; }
complete_words quintet mig
complete_words quintet user pro
complete_words quintet config --fo
complete_words quintet help ver
"""
    done = subprocess.run(["bash", "-c", probe], capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n")[:4] == ["migrate", "promote", "--format", "version"], done


# --- config ---------------------------------------------------------------------------------------

def test_config_shows_what_differs_from_the_default_and_its_source(place):
    (place.path / "quintet.conf").write_text("QUEUE_SIZE=33\n")
    assert place.ok("config", WORKERS="4", LOG_FILE="").splitlines() == [
        "WORKERS     4   environment",
        "QUEUE_SIZE  33  file",
    ]


def test_config_all_shows_every_setting(place):
    shown = json.loads(place.ok("config", "--all", "--format", "json"))
    assert shown["WORKERS"] == {"value": "8", "source": "default"}
    assert shown["RUNTIME_DIR"] == {"value": "./var/run", "source": "default"}
    documented = re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/settings.md").read_text(), re.M)
    assert list(shown) == documented and len(documented) > 50


def test_config_creates_nothing(place):
    place.ok("config", "--all", LOG_FILE="")
    assert list(place.path.iterdir()) == []


SECRETS = {"SECRET_KEY": "hunter2-a", "JWT_SECRET_KEY": "hunter2-b", "API_KEYS": "hunter2-c,hunter2-d",
           "METRICS_TOKEN": "hunter2-e", "API_KEY_TIERS": '{"hunter2-f":"premium"}', "OPENAI_API_KEY": "hunter2-g",
           "CONSOUL_GROQ": "x", "GROQ_BASE_URL": "https://u:hunter2-h@h/d",
           "HEALTH_SERVICES": "r=redis://:hunter2-i@h:1"}


@pytest.mark.parametrize("form", ["table", "env", "json"])
def test_config_masks_every_secret_unless_asked(place, form):
    masked = place.run("config", "--all", "--format", form, **SECRETS)
    assert masked.returncode == 0 and "hunter2" not in masked.stdout + masked.stderr
    assert masked.stdout.count("********") == 8
    revealed = place.ok("config", "--all", "--reveal", "--format", form, **SECRETS)
    assert all(f"hunter2-{letter}" in revealed for letter in "abcdefghi")


def test_config_as_env_loads_to_the_same_configuration(place):
    environment = {"APP_NAME": "it's \"ours\" \\ $5 # one", "CORS_ORIGINS": '["https://a.example","http://b.example:81"]',
                   "RATE_LIMIT_TIERS": '{"a": "1/minute",\n "b": "2/hour"}', "SECRET_KEY": " spaces \\n",
                   "MAX_BODY_SIZE": "2048K", "GROQ_API_KEY": "gsk'\"x", "HTTPS_REDIRECT": "yes"}
    before = place.ok("config", "--all", "--reveal", "--format", "env", **environment)
    (place.path / "quintet.conf").write_text(before)
    place.environment = {"PATH": os.environ["PATH"]}
    assert place.ok("config", "--all", "--reveal", "--format", "env") == before


def test_masked_env_output_sets_no_secret(place):
    (place.path / "quintet.conf").write_text(place.ok("config", "--format", "env", **SECRETS))
    shown = json.loads(place.ok("config", "--all", "--reveal", "--format", "json"))
    assert shown["SECRET_KEY"]["value"] == "" and shown["API_KEYS"]["value"] == "[]"


@pytest.mark.parametrize("environment,line", [
    ({"WORKERS": "many"}, 'quintet: WORKERS "many" is not a whole number (environment)'),
    ({"API_KEYS": '["hunter2"'}, "quintet: API_KEYS is not a valid JSON array (environment)"),
    ({"SESSION_TTL": "1", "CONSOUL_SESSION_TTL": "2"},
     "quintet: SESSION_TTL and CONSOUL_SESSION_TTL are both set but differ (environment)"),
    ({"QUINTET_CONFIG": "unmade/file"}, "quintet: unmade/file: the configuration file does not exist"),
])
def test_a_configuration_that_cannot_be_used_exits_78_with_one_line(place, environment, line):
    for arguments in (["config"], ["migrate", "status"], ["user", "list"], ["bootstrap-admin"]):
        done = place.run(*arguments, **environment)
        assert (done.returncode, done.stdout, done.stderr) == (CONFIG, "", line + "\n")


def test_the_file_is_the_one_of_quintet_config_else_quintet_conf_else_dot_env(place):
    def workers(**environment):
        return json.loads(place.ok("config", "--all", "--format", "json", **environment))["WORKERS"]["value"]

    (place.path / ".env").write_text("WORKERS=2\nSMTP_HOST=mail.example\n")
    assert workers() == "2"
    (place.path / "quintet.conf").write_text("WORKERS=3\n")
    assert workers() == "3"
    (place.path / "other").write_text("WORKERS=4\n")
    assert workers(QUINTET_CONFIG="other") == "4"
    assert workers(QUINTET_CONFIG="") == "3"


def test_a_file_that_may_not_be_read_is_named(place):
    (place.path / "quintet.conf").mkdir()
    done = place.run("config")
    assert done.returncode == CONFIG and done.stderr == "quintet: quintet.conf: the configuration file cannot be read\n"


@pytest.mark.parametrize("environment,problem", [
    ({}, "SECRET_KEY must be set"),
    ({"SECRET_KEY": "change-me"}, "SECRET_KEY is a sample"),
    ({"SECRET_KEY": "0f1e2d3c4b5a6978"}, "SECRET_KEY is shorter than 32 bytes"),
    ({"SECRET_KEY": GOOD_SECRET, "JWT_SECRET_KEY": GOOD_SECRET}, "JWT_SECRET_KEY must not equal SECRET_KEY"),
    ({"SECRET_KEY": GOOD_SECRET, "DEBUG": "true"}, "DEBUG must not be true"),
    ({"SECRET_KEY": GOOD_SECRET, "ENABLE_AUTH": "false"}, "ENABLE_AUTH may be false in development only"),
    ({"SECRET_KEY": GOOD_SECRET, "CORS_ORIGINS": "*", "CORS_ALLOW_CREDENTIALS": "true"}, "CORS_ORIGINS must not be *"),
])
def test_production_refuses_what_is_unsafe(place, environment, problem):
    done = place.run("user", "list", ENVIRONMENT="production", **environment)
    assert done.returncode == CONFIG and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"quintet: {problem}")
    assert GOOD_SECRET not in done.stderr and not (place.path / "var").exists()


# --- Pages made from the table --------------------------------------------------------------------

@pytest.mark.parametrize("option,file", [("--sample", "docs/quintet.conf.sample"), ("--markdown", "docs/settings.md")])
def test_the_committed_pages_are_those_of_the_table(place, option, file):
    assert place.ok("config", option) == (ROOT / file).read_text(), f"run: quintet config {option} >{file}"


def test_the_sample_with_every_line_in_force_is_the_default_configuration(place):
    sample = (ROOT / "docs/quintet.conf.sample").read_text()
    (place.path / "quintet.conf").write_text(re.sub(r"^#(?=[A-Z])", "", sample, flags=re.M))
    in_force = json.loads(place.ok("config", "--all", "--format", "json", LOG_FILE=""))
    (place.path / "quintet.conf").unlink()
    defaults = json.loads(place.ok("config", "--all", "--format", "json", LOG_FILE=""))
    assert {name: entry["value"] for name, entry in in_force.items()} == \
        {name: entry["value"] for name, entry in defaults.items()}
    assert any(entry["source"] == "file" for entry in in_force.values())


def test_manual_pages_name_every_command(place):
    page = (ROOT / "docs/man/quintet.1").read_text()
    for name in re.findall(r"^  (\S+)", place.ok("help"), re.M):
        assert re.search(rf"^\.(Cm|It Cm) {name}\b", page, re.M), name


# --- migrate --------------------------------------------------------------------------------------

def test_migrate_goes_up_and_down_and_says_where_it_is(place):
    first = place.ok("migrate", "up")
    latest = len(place.json("migrate", "status"))
    assert first == f"schema {latest} of {latest}\n"
    assert place.ok("migrate", "up") == f"schema {latest} of {latest}\n"
    assert all(step["applied_at"] for step in place.json("migrate", "status"))
    assert place.ok("migrate", "down", "--yes").endswith(f"\nschema {latest - 1} of {latest}\n")
    assert place.ok("migrate", "down", str(latest), "--yes").endswith(f"\nschema 0 of {latest}\n")
    assert place.ok("migrate", "down", "--yes") == f"schema 0 of {latest}\n"
    assert "pending" in place.ok("migrate", "status")
    assert place.ok("migrate", "up") == f"schema {latest} of {latest}\n"


def test_a_database_that_cannot_be_opened_exits_69(place):
    for arguments in (["migrate", "up"], ["user", "list"], ["bootstrap-admin"]):
        done = place.run(*arguments, DATABASE_URL="sqlite:/etc/passwd")
        assert done.returncode == UNAVAILABLE and "does not answer" in done.stderr, done


@pytest.mark.parametrize("arguments", [["user", "list"], ["user", "create", "a@b.de"], ["key", "list"]])
def test_a_schema_that_is_behind_is_named_with_its_cure(place, arguments):
    place.ok("migrate", "up")
    place.ok("migrate", "down", "99", "--yes")
    done = place.run(*arguments)
    assert done.returncode == 1 and "quintet: the database has schema 0, this program needs " in done.stderr
    assert done.stderr.endswith("(quintet migrate up)\n")


# --- user -----------------------------------------------------------------------------------------

def test_user_create_shows_the_password_it_made_once(migrated):
    made = fields(migrated.ok("user", "create", "ada@example.com"))
    assert made["e-mail"] == "ada@example.com" and re.fullmatch(r"[A-Za-z0-9_-]{20}", made["password"])
    assert made["password"] not in migrated.ok("user", "list")
    log = migrated.path / "log"
    assert made["password"] not in (log.read_text() if log.exists() else "")


def test_user_create_takes_a_password_from_standard_input_and_shows_none(migrated):
    done = migrated.json("user", "create", "ada@example.com", "--password-stdin", stdin="correct horse\n")
    assert set(done) == {"id", "email"}


@pytest.mark.parametrize("stdin", ["", "\n", "1234567\n", "x" * 1025 + "\n", "\udcff" * 10],
                         ids=["nothing", "empty line", "7 bytes", "1025 bytes", "not UTF-8"])
def test_user_create_refuses_a_password_that_is_none(migrated, stdin):
    done = subprocess.run([str(QUINTET), "user", "create", "ada@example.com", "--password-stdin"], cwd=migrated.path,
                          env=migrated.environment, input=stdin.encode(errors="surrogateescape"), capture_output=True,
                          timeout=60)
    assert done.returncode == 1 and b"a password is one line of 8 to 1024 bytes" in done.stderr
    assert migrated.json("user", "list") == []


@pytest.mark.parametrize("address", ["ada", "@example.com", "ada@", "a@b@c", "a b@c", "a@b\n", "a\u00ad@example.com", "a@b",
                                     pytest.param("x" * 250 + "@b.de", id="255 bytes")])
def test_user_create_refuses_what_is_no_address(migrated, address):
    done = migrated.run("user", "create", address)
    assert done.returncode == 1 and "not an e-mail address" in done.stderr
    assert migrated.json("user", "list") == []


def test_user_create_refuses_an_address_or_username_that_is_taken(migrated):
    migrated.ok("user", "create", "ada@example.com", "--username", "ada")
    for arguments in (["ADA@example.com"], ["eve@example.com", "--username", "Ada"]):
        done = migrated.run("user", "create", *arguments)
        assert done.returncode == 1 and done.stderr == "quintet: the e-mail address or the username is taken\n"


def test_user_list_shows_roles_and_states(migrated):
    migrated.ok("user", "create", "ada@example.com", "--admin", "--username", "ada", "--name", "Ada")
    migrated.ok("user", "create", "eve@example.com")
    migrated.ok("user", "lock", "eve@example.com", "--minutes", "5")
    listed = {user["email"]: user for user in migrated.json("user", "list")}
    assert listed["ada@example.com"]["is_superuser"] and listed["ada@example.com"]["username"] == "ada"
    assert not listed["ada@example.com"]["is_locked"] and listed["eve@example.com"]["is_locked"]
    assert "password" not in str(listed).lower() and "argon2" not in str(listed)
    assert re.search(r"^ada@example.com  ada  admin  active ", migrated.ok("user", "list"), re.M)
    assert re.search(r"^eve@example.com  -    user   locked ", migrated.ok("user", "list"), re.M)


def test_user_promote_lock_and_unlock_change_the_account(migrated):
    migrated.ok("user", "create", "ada@example.com", "--username", "ada")
    assert migrated.ok("user", "promote", "ada") == "ada@example.com is an administrator\n"
    assert migrated.ok("user", "lock", "ada") == "ada@example.com is locked\n"
    assert migrated.json("user", "list")[0]["is_locked"] and migrated.json("user", "list")[0]["is_superuser"]
    assert migrated.ok("user", "unlock", "ada@example.com") == "ada@example.com is not locked\n"
    assert not migrated.json("user", "list")[0]["is_locked"]


@pytest.mark.parametrize("arguments", [["promote", "eve"], ["lock", "eve"], ["unlock", "eve"], ["password", "eve"]])
def test_a_user_who_is_not_there_exits_1(migrated, arguments):
    done = migrated.run("user", *arguments)
    assert (done.returncode, done.stderr) == (1, "quintet: no such user: eve\n")


# --- key ------------------------------------------------------------------------------------------

def test_key_create_list_and_revoke(migrated):
    migrated.ok("user", "create", "ada@example.com")
    made = migrated.json("key", "create", "ada@example.com", "--name", "importer", "--scopes", "chart.read",
                         "--tier", "premium", "--days", "90")
    assert re.fullmatch(r"qk_[0-9a-f]{16}_\S+", made["api_key"]) and made["api_key"].split("_")[1] == made["id"]
    [listed] = migrated.json("key", "list", "ada@example.com")
    assert (listed["id"], listed["name"], listed["scopes"], listed["tier"], listed["state"]) == \
        (made["id"], "importer", "chart.read", "premium", "live")
    assert listed["expires_at"] > listed["created_at"]
    assert made["api_key"] not in migrated.ok("key", "list")
    assert migrated.ok("key", "revoke", made["id"]) == f"{made['id']} is revoked\n"
    assert migrated.json("key", "list")[0]["state"] == "revoked"
    done = migrated.run("key", "revoke", "0123456789abcdef")
    assert (done.returncode, done.stderr) == (1, "quintet: no such key: 0123456789abcdef\n")


def test_key_list_of_one_account_hides_the_others(migrated):
    for name in ("ada", "eve"):
        migrated.ok("user", "create", f"{name}@example.com")
        migrated.ok("key", "create", f"{name}@example.com", "--name", name)
    assert [key["name"] for key in migrated.json("key", "list", "eve@example.com")] == ["eve"]
    assert {key["name"] for key in migrated.json("key", "list")} == {"ada", "eve"}


# --- bootstrap-admin ------------------------------------------------------------------------------

def test_bootstrap_makes_an_administrator_and_a_key_once(place):
    made = fields(place.ok("bootstrap-admin"))
    assert set(made) == {"administrator", "password", "API key"} and made["API key"].startswith("qk_")
    [user] = place.json("user", "list")
    assert user["email"] == made["administrator"] and user["is_superuser"]
    assert place.ok("bootstrap-admin") == "" and len(place.json("user", "list")) == 1
    assert len(place.json("key", "list")) == 1


def test_bootstrap_does_nothing_where_there_is_an_account(migrated):
    migrated.ok("user", "create", "ada@example.com")
    assert migrated.ok("bootstrap-admin", "--json") == ""
    assert [user["email"] for user in migrated.json("user", "list")] == ["ada@example.com"]


def test_bootstraps_that_race_make_one_administrator(place):
    running = [place.start("bootstrap-admin", "--json") for _ in range(4)]
    outputs = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0] * 4, outputs
    assert sum(output != "" for output, _ in outputs) == 1
    assert len(place.json("user", "list")) == 1 and len(place.json("key", "list")) == 1


# --- check ----------------------------------------------------------------------------------------

def results(done):
    return {line[6:].split(":")[0]: line[:4].strip() for line in done.stdout.splitlines()}


def test_check_passes_on_an_installation_that_is_ready(migrated):
    done = migrated.run("check")
    looked_at = results(done)
    assert len(looked_at) == len(done.stdout.splitlines()) == 7 and "state: STATE_DIR ./var, DATABASE_URL sqlite:./var/quintet.db" in done.stdout
    if BUILD.resolve().parent != ROOT.resolve():
        # a build elsewhere has no web server configuration beside it, and must say so
        assert looked_at.pop("web server configuration") == "fail" and done.returncode == 1
    else:
        assert done.returncode == 0, done
    assert set(looked_at.values()) == {"ok"}, done


def test_check_names_a_schema_that_is_behind(place):
    done = place.run("check")
    assert done.returncode == 1 and results(done)["migrations"] == "fail"
    assert "quintet migrate up" in done.stdout


@pytest.mark.parametrize("environment,subject,problem", [
    ({"WORKERS": "none"}, "configuration", "WORKERS"),
    ({"ENVIRONMENT": "production"}, "configuration", "SECRET_KEY"),
    ({"STATE_DIR": "/proc/nowhere"}, "migrations", "there is no database /proc/nowhere/quintet.db yet"),
    ({"RATE_LIMIT_CHAT": "plenty"}, "configuration", "RATE_LIMIT_CHAT"),
    ({"DATABASE_URL": "sqlite:/dev/null/q.db"}, "migrations", "there is no database /dev/null/q.db yet"),
    ({"DATABASE_URL": "sqlite:/etc/passwd"}, "database", "does not answer"),
])
def test_check_fails_with_what_is_wrong_and_goes_on(migrated, environment, subject, problem):
    done = migrated.run("check", **environment)
    assert done.returncode == 1, done
    assert results(done)[subject] == "fail" and problem in done.stdout
    assert "web server configuration" in results(done)


def test_check_asks_each_provider_and_service_and_goes_on(migrated):
    stub = UpstreamStub().start()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = migrated.run("check", **{
            "PROVIDER_STUB_BASE_URL": stub.url, "PROVIDER_STUB_API_KEY": "sk-hunter2",
            "PROVIDER_GONE_BASE_URL": f"http://127.0.0.1:{free_port()}/v1",
            "PROVIDER_SILENT_BASE_URL": f"http://127.0.0.1:{silent.getsockname()[1]}/v1",
            "HEALTH_SERVICES": f"wiki=tcp://127.0.0.1:{silent.getsockname()[1]},cache=redis://127.0.0.1:{free_port()}"})
    stub.stop()
    for line in ("ok    service stub", "warn  service gone: cannot connect",
                 "warn  service silent: no answer in time", "ok    service wiki",
                 "warn  service cache: cannot connect"):
        assert line + "\n" in done.stdout, done.stdout
    assert "hunter2" not in done.stdout and "fail  service" not in done.stdout


def test_services_are_asked_at_the_same_time_and_without_a_database(place):
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        names = [f"PROVIDER_S{number}_BASE_URL" for number in range(20)]
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        began = time.monotonic()
        done = place.run("check", **dict.fromkeys(names, url))
    assert done.stdout.count("no answer in time") == 20 and time.monotonic() - began < 10, done.stdout


@pytest.mark.parametrize("arguments", [["check"], ["user", "list"], ["key", "list"], ["migrate", "status"], ["config"]])
def test_what_only_reads_makes_nothing(place, arguments):
    done = place.run(*arguments, LOG_FILE="")
    assert list(place.path.iterdir()) == []
    assert (done.returncode, "there is no database ./var/quintet.db yet" in done.stdout + done.stderr) == (
        (0, False) if arguments == ["config"] else (1, True)), done


def test_a_list_says_which_database_it_is_of(migrated):
    for arguments in (["user", "list"], ["key", "list"], ["migrate", "status"]):
        assert migrated.run(*arguments).stderr == "quintet: database sqlite:./var/quintet.db\n"


@pytest.mark.parametrize("environment, name, words", [
    ({"ENVIRONMENT": "production", "SECRET_KEY": GOOD_SECRET}, "TRUSTED_PROXIES", "redirected for ever"),
    ({"API_KEY_QUERY": "key"}, "API_KEY_QUERY", "end up in logs"),
])
def test_check_warns_of_what_is_seldom_meant(migrated, environment, name, words):
    line = next(line for line in migrated.run("check", **environment).stdout.splitlines() if name in line)
    assert line.startswith(f"warn  {name}: ") and words in line
    assert f"warning: {name} " in migrated.run("config", "--remarks", **environment).stdout


def test_cgi_below_the_document_root_is_refused(migrated, tmp_path):
    request = {"GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/health",
               "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost"}
    (tmp_path / "docs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    for root in (tmp_path, tmp_path / "link", tmp_path / "var"):
        done = migrated.run_program("health", **request, DOCUMENT_ROOT=str(root))
        assert done.returncode == CONFIG and "STATE_DIR lies below the document root" in done.stderr, root
        assert '"status":"healthy"' not in done.stdout
    done = migrated.run_program("health", **request, DOCUMENT_ROOT=str(tmp_path / "docs"), LOG_FILE="")
    assert done.returncode == 0 and '"status":"healthy"' in done.stdout, done
    (tmp_path / "docs/inner").symlink_to(tmp_path / "var")
    done = migrated.run_program("health", **request, DOCUMENT_ROOT=str(tmp_path / "docs"), LOG_FILE="",
                                DATABASE_URL=f"sqlite:{tmp_path}/docs/quintet.db")
    assert done.returncode == CONFIG and "DATABASE_URL lies below the document root" in done.stderr
    (tmp_path / "docs/q.conf").write_text("")
    done = migrated.run_program("health", **request, DOCUMENT_ROOT=str(tmp_path / "docs"), LOG_FILE="",
                                QUINTET_CONFIG=str(tmp_path / "docs/q.conf"))
    assert done.returncode == CONFIG and "q.conf lies below the document root" in done.stderr
    (tmp_path / "docs/q.conf").chmod(0o600)
    done = migrated.run_program("health", **request, DOCUMENT_ROOT=str(tmp_path / "docs"), LOG_FILE="",
                                QUINTET_CONFIG=str(tmp_path / "docs/q.conf"))
    assert done.returncode == 0 and '"status":"healthy"' in done.stdout, done


def test_check_as_json_says_the_same(place):
    done = place.run("check", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 1 and {entry["check"]: entry["ok"] for entry in answer}["migrations"] is False


# --- Secrets on disk ------------------------------------------------------------------------------

def test_secrets_are_made_once_for_all_and_private(place):
    """Commands that start at the same moment agree on one secret each."""
    running = [place.start("migrate", "up") for _ in range(6)]
    for process in running:
        output = process.communicate(timeout=60)
        assert process.returncode == 0, output
    directory = place.path / "var" / "secrets"
    names = sorted(path.name for path in directory.iterdir())
    assert names == ["secret_key"]
    before = {name: (directory / name).read_text() for name in names}
    assert all(re.fullmatch(r"[0-9a-f]{64}\n", text) for text in before.values())
    assert all(stat.S_IMODE((directory / name).stat().st_mode) == 0o600 for name in names)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    place.ok("migrate", "status")
    assert {name: (directory / name).read_text() for name in names} == before


# --- What the command makes is good for the programs ----------------------------------------------

def ask_auth(place, method, path, body=None, **headers):
    """One request to the auth program, run as CGI in the same place: (status, JSON)."""
    raw = b"" if body is None else json.dumps(body).encode()
    variables = {"GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path,
                 "QUERY_STRING": "", "REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1",
                 "HTTP_HOST": "localhost", "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(raw)),
                 "RATE_LIMIT_ENABLED": "false", **headers}
    done = subprocess.run([str(BUILD / "fcgi-apps" / "auth" / "auth.fcgi")], cwd=place.path, input=raw,
                          env={**place.environment, **variables}, capture_output=True, timeout=60)
    head, answer = done.stdout.replace(b"\r\n", b"\n").split(b"\n\n", 1)
    status = re.search(rb"^Status: (\d+)", head, re.M)
    return int(status.group(1)) if status else 200, json.loads(answer)


def log_in(place, email, password):
    return ask_auth(place, "POST", "/auth/login", {"email": email, "password": password})


def test_the_first_administrator_logs_in_and_the_key_is_good(place):
    made = json.loads(place.ok("bootstrap-admin", "--json"))
    status, answer = log_in(place, made["email"], made["password"])
    assert status == 200 and answer["user"]["is_superuser"]
    status, answer = ask_auth(place, "GET", "/auth/me", HTTP_X_API_KEY=made["api_key"])
    assert status == 200 and answer["email"] == made["email"]


def test_a_password_from_standard_input_logs_in(migrated):
    migrated.ok("user", "create", "ada@example.com", "--password-stdin", stdin="correct horse battery\n")
    assert log_in(migrated, "ada@example.com", "correct horse battery")[0] == 200
    assert log_in(migrated, "ada@example.com", "correct horse battery\n")[0] == 401


def test_a_new_password_replaces_the_old_one_and_ends_sessions(migrated):
    old = migrated.json("user", "create", "ada@example.com")["password"]
    token = log_in(migrated, "ada@example.com", old)[1]["access_token"]
    assert ask_auth(migrated, "GET", "/auth/me", HTTP_AUTHORIZATION=f"Bearer {token}")[0] == 200
    new = migrated.json("user", "password", "ada@example.com")["password"]
    assert ask_auth(migrated, "GET", "/auth/me", HTTP_AUTHORIZATION=f"Bearer {token}")[0] == 401
    assert log_in(migrated, "ada@example.com", old)[0] == 401
    assert log_in(migrated, "ada@example.com", new)[0] == 200


def test_a_locked_account_is_shut_out_until_it_is_unlocked(migrated):
    password = migrated.json("user", "create", "ada@example.com")["password"]
    token = log_in(migrated, "ada@example.com", password)[1]["access_token"]
    migrated.ok("user", "lock", "ada@example.com")
    assert log_in(migrated, "ada@example.com", password)[0] == 401
    assert ask_auth(migrated, "GET", "/auth/me", HTTP_AUTHORIZATION=f"Bearer {token}")[0] == 401
    migrated.ok("user", "unlock", "ada@example.com")
    assert log_in(migrated, "ada@example.com", password)[0] == 200


def test_unlock_undoes_the_lock_after_too_many_wrong_passwords(migrated):
    password = migrated.json("user", "create", "ada@example.com")["password"]
    for _ in range(5):
        assert log_in(migrated, "ada@example.com", "wrong password")[0] == 401
    assert log_in(migrated, "ada@example.com", password)[0] == 401
    migrated.ok("user", "unlock", "ada@example.com")
    assert log_in(migrated, "ada@example.com", "wrong password")[0] == 401
    assert log_in(migrated, "ada@example.com", password)[0] == 200


def test_a_revoked_key_is_refused_at_once(migrated):
    migrated.ok("user", "create", "ada@example.com")
    made = migrated.json("key", "create", "ada@example.com")
    assert ask_auth(migrated, "GET", "/auth/me", HTTP_X_API_KEY=made["api_key"])[0] == 200
    migrated.ok("key", "revoke", made["id"])
    assert ask_auth(migrated, "GET", "/auth/me", HTTP_X_API_KEY=made["api_key"])[0] == 401


@pytest.mark.parametrize("environment,line", [
    ({"WORKERS": "many"}, 'WORKERS "many" is not a whole number (environment)'),
    ({"ENVIRONMENT": "production"}, "SECRET_KEY must be set unless ENVIRONMENT is development"),
])
@pytest.mark.parametrize("program", sorted(path.parent.name for path in (ROOT / "fcgi-apps").glob("*/main.c")))
def test_programs_refuse_the_same_configuration_with_the_same_line(place, program, environment, line):
    executable = BUILD / "fcgi-apps" / program / f"{program}.fcgi"
    done = subprocess.run([str(executable), "--listen", "never.sock"], cwd=place.path, timeout=60,
                          env={**place.environment, **environment}, capture_output=True, text=True)
    assert done.returncode == CONFIG and len(done.stderr.splitlines()) == 1
    assert line in done.stderr and line in place.run("migrate", "status", **environment).stderr
