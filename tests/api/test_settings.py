"""Settings as the programs and the command meet them: files, refusals, and what has no effect here."""
import json

import pytest

from place import CONFIG
from suite import PROGRAMS

WITHOUT_EFFECT = {
    "REDIS_URL": "redis://:hunter2@cache.example:6379/0", "RATE_LIMIT_ON_STORE_ERROR": "closed",
    "SMTP_PASSWORD": "hunter2", "CONSOUL_RATE_LIMIT_REDIS_URL": "redis://:hunter2@h", "ANTHROPIC_API_KEY": "hunter2",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example:4318", "OIDC_LAB_CLIENT_SECRET": "hunter2",
}
AT_DEFAULT = {"SMTP_PORT": "587", "TOOL_APPROVAL": "safe_only", "CACHE_ENABLED": "no", "SMTP_HOST": ""}


def warnings(place, message="setting_without_effect"):
    return [line for line in place.log_lines() if line["message"] == message]


# --- Settings without effect ----------------------------------------------------------------------

@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_warns_once_of_each_setting_without_effect(place, name):
    with place.serve(name, **WITHOUT_EFFECT, **AT_DEFAULT):
        pass
    said = warnings(place)
    assert sorted(line["setting"] for line in said) == sorted(WITHOUT_EFFECT)
    assert {(line["level"], line["source"]) for line in said} == {("WARNING", "environment")}
    assert "hunter2" not in (place.path / "log").read_text()


def test_nothing_is_said_where_nothing_is_asked_for(place):
    with place.serve("health", **AT_DEFAULT):
        pass
    assert [line for line in place.log_lines() if line["level"] not in ("INFO", "DEBUG")] == []


def test_a_warning_names_file_and_line(place):
    (place.path / "quintet.conf").write_text("# mail\nSMTP_HOST=mail.example\n")
    with place.serve("health"):
        pass
    assert [(line["setting"], line["source"]) for line in warnings(place)] == [("SMTP_HOST", "quintet.conf:2")]


def test_unknown_names_that_only_we_give_a_meaning_to_are_warned_of(place):
    (place.path / ".env").write_text("CONSOUL_SESION_TTL=1\nPROVIDER_LAB_API_KEY=hunter2\nFOO_API_KEY=hunter2\n")
    with place.serve("health"):
        pass
    assert [(line["setting"], line["source"]) for line in warnings(place, "setting_unknown")] == [
        ("CONSOUL_SESION_TTL", ".env:1"), ("PROVIDER_LAB_API_KEY", ".env:2")]
    assert "hunter2" not in (place.path / "log").read_text()


def test_a_reload_warns_of_what_it_finds(place):
    (place.path / "quintet.conf").write_text("")
    with place.serve("health") as served:
        assert warnings(place) == []
        (place.path / "quintet.conf").write_text("SMTP_HOST=mail.example\n")
        served.reload()
        place.wait_for_log("setting_without_effect")
    assert [line["setting"] for line in warnings(place)] == ["SMTP_HOST"]


def test_a_reload_warns_of_what_only_a_restart_changes(place):
    (place.path / "quintet.conf").write_text("WORKERS=2\nLOG_LEVEL=info\nMETRICS_TOKEN=hunter2\n")
    with place.serve("health") as served:
        (place.path / "quintet.conf").write_text("# more\nWORKERS=3\nLOG_LEVEL=debug\nMETRICS_TOKEN=hunter3\n"
                                                 "OPENAI_API_KEY=hunter4\n")
        served.reload()
        place.wait_for_log("setting_needs_restart")
    assert [(line["level"], line["setting"], line["source"]) for line in warnings(place, "setting_needs_restart")] == [
        ("WARNING", "WORKERS", "quintet.conf:2"), ("WARNING", "OPENAI_API_KEY", "quintet.conf:5")]
    assert "hunter" not in (place.path / "log").read_text()


def test_cgi_does_not_warn_with_every_request(place):
    request = {"GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/health",
               "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost"}
    done = place.run_program("health", **request, **WITHOUT_EFFECT)
    assert done.returncode == 0 and '"status":"healthy"' in done.stdout
    assert warnings(place) == []
    place.run_program("health", **request, **WITHOUT_EFFECT, LOG_LEVEL="debug")
    assert {line["level"] for line in warnings(place)} == {"DEBUG"}


def test_config_marks_what_has_no_effect(place):
    shown = json.loads(place.ok("config", "--format", "json", WORKERS="4", **WITHOUT_EFFECT))
    assert shown["REDIS_URL"] == {"value": "redis://:********@cache.example:6379/0", "source": "environment",
                                  "without_effect": True}
    assert shown["ANTHROPIC_API_KEY"]["without_effect"] and shown["OIDC_LAB_CLIENT_SECRET"]["without_effect"]
    assert "without_effect" not in shown["WORKERS"]
    table = place.ok("config", WORKERS="4", **WITHOUT_EFFECT).splitlines()
    assert [line for line in table if line.startswith("SMTP_PASSWORD ")][0].endswith("environment, without effect")
    assert [line for line in table if line.startswith("WORKERS ")][0].endswith(" environment")


def test_config_as_env_keeps_what_has_no_effect(place):
    before = place.ok("config", "--reveal", "--format", "env", LOG_FILE="", **WITHOUT_EFFECT)
    (place.path / "quintet.conf").write_text(before)
    assert place.ok("config", "--reveal", "--format", "env", LOG_FILE="") == before
    assert "REDIS_URL=redis://:hunter2@cache.example:6379/0 # without effect\n" in before


@pytest.mark.parametrize("echo", ["true", "false"])
def test_statements_are_logged_when_asked_for_without_their_values(suite, echo):
    private = suite.start({"DATABASE_ECHO": echo, "LOG_LEVEL": "debug"})
    person = private.register()
    lines = [line for line in private.log_lines() if line["message"] == "statement_executed"]
    assert (len(lines) > 0) == (echo == "true")
    assert {"account_insert", "session_insert"} <= {line["statement"] for line in lines} or echo == "false", lines[:5]
    assert person["email"] not in json.dumps(lines) and all(line["microseconds"] >= 0 for line in lines)


def test_check_warns_of_what_has_no_effect_and_passes(place):
    place.ok("migrate", "up")
    done = place.run("check", **WITHOUT_EFFECT, CONSOUL_NOTHING="1")
    assert "warn  REDIS_URL: has no effect in this version (environment)\n" in done.stdout
    assert "warn  CONSOUL_NOTHING: is no setting (environment)\n" in done.stdout
    assert "hunter2" not in done.stdout
    answer = json.loads(place.run("check", "--json", **WITHOUT_EFFECT).stdout)
    warned = [entry for entry in answer if entry["result"] == "warn"]
    assert {entry["check"] for entry in warned} == set(WITHOUT_EFFECT) and all(entry["ok"] for entry in warned)
    without = [line for line in done.stdout.splitlines() if not line.startswith("warn")]
    assert (done.returncode == 1) == any(line.startswith("fail") for line in without)


def test_the_pages_say_what_has_no_effect(place):
    assert "| `REDIS_URL` | Redis URL |" in place.ok("config", "--markdown")
    row = [line for line in place.ok("config", "--markdown").splitlines() if line.startswith("| `REDIS_URL`")][0]
    assert row.endswith("*Without effect.* |")
    sample = place.ok("config", "--sample")
    assert "without effect)\n#REDIS_URL=\n" in sample


# --- Refusals -------------------------------------------------------------------------------------

@pytest.mark.parametrize("url,dialect", [
    ("postgresql+asyncpg://u:hunter2@h:5432/d", "postgresql"), ("postgres://u:hunter2@h/d", "postgresql"),
    ("mysql+aiomysql://u:hunter2@h/d", "mysql"), ("mariadb://u:hunter2@h/d", "mysql")])
def test_a_database_without_a_driver_refuses_everywhere(place, url, dialect):
    line = f"DATABASE_URL names a {dialect} database, and this version has a driver for sqlite only (environment)\n"
    for name in PROGRAMS:
        done = place.run_program(name, "--listen", "socket", DATABASE_URL=url)
        assert (done.returncode, done.stderr) == (CONFIG, f"quintet-{name}: {line}")
    for arguments in (["migrate", "up"], ["migrate", "status"], ["user", "list"], ["bootstrap-admin"]):
        done = place.run(*arguments, DATABASE_URL=url)
        assert (done.returncode, done.stderr) == (CONFIG, f"quintet: {line}")
    assert line.strip() in place.run("check", DATABASE_URL=url).stdout
    assert not list(place.path.glob("**/*.db"))


@pytest.mark.parametrize("environment,line", [
    ({"SMTP_PORT": "mail"}, 'SMTP_PORT "mail" is not a whole number (environment)'),
    ({"REDIS_URL": "http://:hunter2@h"}, 'REDIS_URL "http://:********@h" is not a redis, rediss or unix URL (environment)'),
    ({"RATE_LIMIT_CHAT": "lots"}, 'RATE_LIMIT_CHAT "lots" is not a rate limit such as 10/minute (environment)'),
    ({"RATE_LIMIT_TIERS": '{"a":"lots"}'}, 'RATE_LIMIT_TIERS "lots" is not a rate limit such as 10/minute (environment)'),
    ({"LOG_FILE": "unmade/log"}, "LOG_FILE cannot be opened (environment)"),
    ({"GROQ_API_KEY": "hunter2", "PROVIDER_GROQ_API_KEY": "hunter3"},
     "GROQ_API_KEY and PROVIDER_GROQ_API_KEY are both set but differ (environment)"),
])
def test_refusals_name_setting_problem_and_place(place, environment, line):
    done = place.run_program("chat", "--listen", "socket", **environment)
    assert (done.returncode, done.stderr) == (CONFIG, f"quintet-chat: {line}\n")


@pytest.mark.parametrize("content,problem", [
    (b"\xff\xfeW\0O\0", ":1: "), (b"WORKERS=2\nA=\0\n", ":2: the line holds a NUL byte"),
    (b"APP_NAME=\xc3\x28\n", ":1: the line is not valid UTF-8"),
    (b"APP_NAME=" + b"x" * (1 << 20) + b"\n", "larger than 1 MiB"),
    (b"APP_NAME=" + b"x" * (1 << 19) + b"\n", ":1: the line is longer than 65536 bytes"),
])
def test_files_that_are_no_text_are_refused(place, content, problem):
    for name in ("quintet.conf", ".env"):
        (place.path / name).write_bytes(content)
        done = place.run("config")
        assert done.returncode == CONFIG and problem in done.stderr and len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith(f"quintet: {name}:")
        (place.path / name).unlink()


def test_a_byte_order_mark_and_windows_lines_are_read(place):
    for name in ("quintet.conf", ".env"):
        (place.path / name).write_bytes(b"\xef\xbb\xbfWORKERS=3\r\nAPP_NAME=\"a b\"\r\n")
        shown = json.loads(place.ok("config", "--format", "json", LOG_FILE=""))
        assert {setting: entry["value"] for setting, entry in shown.items()} == {"WORKERS": "3", "APP_NAME": "a b"}
        (place.path / name).unlink()


# --- Files ----------------------------------------------------------------------------------------

def test_environment_beats_quintet_conf_beats_dot_env(place):
    (place.path / ".env").write_text("WORKERS=2\nQUEUE_SIZE=22\nSESSION_TTL=222\nVITE_MOCK=1\n")
    (place.path / "quintet.conf").write_text("WORKERS=3\nQUEUE_SIZE=33\n")

    def values(**environment):
        shown = json.loads(place.ok("config", "--all", "--format", "json", **environment))
        return [shown[name]["value"] for name in ("WORKERS", "QUEUE_SIZE", "SESSION_TTL", "LOCKOUT_MINUTES")]

    assert values(WORKERS="4") == ["4", "33", "222", "30"]
    assert values(QUINTET_CONFIG="/dev/null") == ["8", "1024", "3600", "30"], "it stands in for both files"
    assert values(QUINTET_CONFIG=".env") == ["2", "22", "222", "30"]


# --- The replaced systems' own files ----------------------------------------------------------------

CHARTS = """APP_NAME=Charts Backend
ENVIRONMENT=development  # Options: development, staging, production
DEBUG=false
LOG_LEVEL=INFO  # Options: DEBUG, INFO, WARNING, ERROR, CRITICAL
HOST=0.0.0.0
PORT=8000
CORS_ORIGINS=http://localhost:3000,http://localhost:8501
SECRET_KEY=dev-secret-key-change-in-production
ALGORITHM=HS256
ACCESS_TOKEN_EXPIRE_MINUTES=30
ENABLE_AUTH=false
API_KEY_HEADER=X-API-Key
ENABLE_RATE_LIMITING=true
RATE_LIMIT_PER_MINUTE=60
RATE_LIMIT_HISTORY_PER_MINUTE=30
DATABASE_URL=sqlite+aiosqlite:///./charts.db
DATABASE_ECHO=false  # SQL in the logs
ENABLE_PERSISTENCE=false
CHART_TTL_HOURS=24
CLEANUP_INTERVAL_MINUTES=60
WEBSOCKET_TIMEOUT_SECONDS=300
WEBSOCKET_PING_INTERVAL_SECONDS=30
ENABLE_METRICS=true
METRICS_PATH=/metrics
"""
CHAT = """ANTHROPIC_API_KEY=sk-ant-1
OPENAI_API_KEY=sk-1
GOOGLE_API_KEY=AIza1
OLLAMA_API_BASE=http://localhost:11434
CONSOUL_API_KEYS=key-one,key-two
CONSOUL_BYPASS_PATHS=/health,/ready,/docs,/openapi.json
CONSOUL_ENABLED=true
CONSOUL_DEFAULT_LIMITS="30/minute;500/hour"
CONSOUL_RATE_LIMIT_REDIS_URL=redis://localhost:6379/1
CONSOUL_STRATEGY=moving-window
CONSOUL_SESSION_REDIS_URL=redis://localhost:6379/2
CONSOUL_SESSION_TTL=7200
CONSOUL_SESSION_KEY_PREFIX=consoul:session:
CONSOUL_CORS_ORIGINS=https://app.example.com
CONSOUL_CORS_ALLOW_CREDENTIALS=true
CONSOUL_OBSERVABILITY_PROMETHEUS_ENABLED=true
CONSOUL_OBSERVABILITY_METRICS_PORT=9090
CONSOUL_OBSERVABILITY_OTEL_ENABLED=false
CONSOUL_HOST=0.0.0.0
CONSOUL_PORT=8000
CONSOUL_RELOAD=false
"""
ASSISTANT = """SECRET_KEY=replace_with_long_random_secret
ALGORITHM=HS256
ACCESS_TOKEN_EXPIRE_MINUTES=30
REDIS_URL=redis://localhost:6379/0
SENTRY_DSN=
ENVIRONMENT=development
ANTHROPIC_API_KEY=
GROQ_API_KEY=gsk-1
GOOGLE_AI_API_KEY=
AZURE_API_VERSION=2024-05-01-preview
SMTP_HOST=
SMTP_PORT=587
SMTP_USERNAME=
SMTP_PASSWORD=
POSTGRES_PASSWORD=hunter2
"""
FULL_STACK = """BACKEND_CORS_ORIGINS=["http://localhost","http://localhost:5173"]
RATELIMIT_ENABLED=true
POSTGRES_SERVER=localhost
POSTGRES_PORT=5432
POSTGRES_DB=app
POSTGRES_USER=postgres
POSTGRES_PASSWORD=hunter2
DB_POOL_SIZE=10
DB_MAX_OVERFLOW=20
DB_POOL_TIMEOUT=30
DB_POOL_RECYCLE=1800
CACHE_ENABLED=true
CACHE_DEFAULT_TTL=300
GOOGLE_CLIENT_ID=1.apps.example.com
GOOGLE_CLIENT_SECRET=hunter2
GOOGLE_REDIRECT_URI=http://localhost:8000/auth/google/callback
SMTP_TLS=True
SMTP_PORT=587
"""
DISCOVERY = """CONSUL_HOST=localhost
CONSUL_PORT=8500
CONSUL_TOKEN=hunter2
CONSUL_DATACENTER=dc1
SERVICE_NAME=chat-api
SERVICE_HOST=0.0.0.0
SERVICE_PORT=8000
SERVICE_TAGS=api,chat
HEALTH_CHECK_INTERVAL=30s
HEALTH_CHECK_TIMEOUT=10s
HEALTH_CHECK_DEREGISTER_AFTER=60s
"""


@pytest.mark.parametrize("text,without_effect", [
    (CHARTS, set()),
    (CHAT, {"ANTHROPIC_API_KEY", "OLLAMA_API_BASE", "CONSOUL_RATE_LIMIT_REDIS_URL", "CONSOUL_SESSION_REDIS_URL",
            "CONSOUL_SESSION_KEY_PREFIX"}),
    (ASSISTANT, {"REDIS_URL", "POSTGRES_PASSWORD"}),
    (FULL_STACK, {"POSTGRES_SERVER", "POSTGRES_DB", "POSTGRES_USER", "POSTGRES_PASSWORD", "DB_POOL_SIZE",
                  "DB_MAX_OVERFLOW", "DB_POOL_RECYCLE", "CACHE_ENABLED", "CACHE_DEFAULT_TTL", "GOOGLE_CLIENT_ID",
                  "GOOGLE_CLIENT_SECRET", "GOOGLE_REDIRECT_URI"}),
    (DISCOVERY, {"CONSUL_HOST", "CONSUL_TOKEN", "CONSUL_DATACENTER", "SERVICE_NAME", "SERVICE_HOST", "SERVICE_PORT",
                 "SERVICE_TAGS"}),
], ids=["charts", "chat", "assistant", "full-stack", "discovery"])
def test_the_files_of_the_replaced_systems_load_unchanged(place, text, without_effect):
    (place.path / ".env").write_text(text)
    with place.serve("health"):
        pass
    assert {line["setting"] for line in warnings(place)} == without_effect
    assert warnings(place, "setting_unknown") == []
    assert "hunter2" not in (place.path / "log").read_text() + place.ok("config", "--all")
