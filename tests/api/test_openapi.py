"""docs/openapi.yaml describes the routes there are, and what they really answer; docs/errors.md
lists the errors there are."""
import os
import re
import signal
import urllib.parse

import jsonschema
import pytest

from openapi import DOCUMENT, OPERATIONS, check, judge, resolve
from suite import ROOT, wait_until

ROW = re.compile(r'\{HTTP_(\w+),\s*"(/[^"]*)",\s*\w+,\s*FAMILY_\w+,\s*ACCESS_(\w+),\s*BODY_(\w+),')


def routes():
    """(METHOD, path) → (access, body), from the programs' route tables."""
    found = {}
    for source in sorted((ROOT / "fcgi-apps").glob("*/*.[ch]")):
        for method, path, access, body in ROW.findall(source.read_text()):
            assert (method, path) not in found, f"{method} {path} is in two tables"
            found[method, path] = access, body
    return found


ROUTES = routes()


def walk(node, place=""):
    """Every object of the document with its place."""
    if isinstance(node, dict):
        yield place, node
        for name, member in node.items():
            yield from walk(member, f"{place}/{name}")
    elif isinstance(node, list):
        for index, entry in enumerate(node):
            yield from walk(entry, f"{place}/{index}")


# --- The document ---------------------------------------------------------------------------------

def test_every_route_is_described_and_nothing_else():
    assert len(ROUTES) > 40, "the pattern that finds routes has become wrong"
    assert set(OPERATIONS) == set(ROUTES)


def test_version_is_the_packages():
    version = re.search(r"AC_INIT\(\[quintet\], \[([^]]+)\]", (ROOT / "configure.ac").read_text())[1]
    assert DOCUMENT["openapi"].startswith("3.1.") and DOCUMENT["info"]["version"] == version


def test_every_reference_leads_somewhere_and_every_component_is_used():
    used = set()
    for _, node in walk(DOCUMENT):
        if isinstance(node.get("$ref"), str):
            resolve(node)
            used.add(node["$ref"])
    for kind, components in DOCUMENT["components"].items():
        for name in components:
            assert kind == "securitySchemes" or f"#/components/{kind}/{name}" in used, name


def test_no_comma_has_cut_a_text_in_two():
    """In `{description: one, two}` YAML reads a member named `two` without a value."""
    for place, node in walk(DOCUMENT):
        assert not [name for name, value in node.items() if value is None and " " in name], place


def test_operation_ids_are_unique():
    ids = [operation["operationId"] for operation, _ in OPERATIONS.values()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("method,path", OPERATIONS)
def test_an_operation_fits_its_row_in_the_route_table(method, path):
    operation, parameters = OPERATIONS[method, path]
    access, body = ROUTES[method, path]
    in_path = {each["name"] for each in parameters if each["in"] == "path"}
    assert in_path == set(re.findall(r"\{(\w+)\}", path))
    security = operation.get("security", DOCUMENT["security"])
    if path == "/metrics":
        assert security == [{}, {"bearer": []}]  # a token of its own, if there is one
    else:
        assert {"PUBLIC": security == [], "OPTIONAL": {} in security,
                "PRINCIPAL": security and {} not in security,
                "ADMIN": security and {} not in security}[access]
    request = resolve(operation.get("requestBody", {}))
    assert bool(request) == (body != "NONE") or path == "/auth/logout"
    assert request.get("required", False) == (body in ("JSON", "JSON_TEXT", "RAW"))


def test_every_schema_is_one_and_every_example_fits_its_schema():
    count = 0
    for place, node in walk(DOCUMENT):
        schema = node if "/schemas/" in place and place.count("/") == 3 else node.get("schema")
        if isinstance(schema, dict):
            jsonschema.Draft202012Validator.check_schema(schema)
        if isinstance(schema, dict) and "example" in node:
            check(schema, node["example"])
            count += 1
    assert count > 20


# --- Live answers ---------------------------------------------------------------------------------

class Checked:
    """Asks a suite, and holds each answer against what the document says about its operation."""

    def __init__(self, suite, token=None):
        self.suite = suite
        self.token = token
        self.seen = set()

    def __call__(self, method, path, body=None, query="", token="", headers=None, **values):
        operation, _ = OPERATIONS[method, path]
        target = path
        for name, value in values.items():
            target = target.replace("{" + name + "}", urllib.parse.quote(str(value), safe=""))
        assert "{" not in target
        answer = self.suite.request(method, target + query, body, headers=headers,
                                    token=self.token if token == "" else token)
        judge(operation, answer)
        if answer.status < 300:
            self.seen.add((method, path))
        return answer


@pytest.fixture
def ask(shared_suite):
    """The shared suite, asked by a user of the test's own."""
    person = shared_suite.register()
    asked = Checked(shared_suite, person["access_token"])
    asked.person = person
    return asked


def ask_health(ask):
    service = {"service": "database"}
    for path in ("/", "/health", "/health/live", "/health/ready", "/ready", "/metrics"):
        ask("GET", path, token=None)
    ask("GET", "/health/all", token=None)
    ask("GET", "/health/cost-tracking")
    ask("GET", "/health/{service}", **service)
    ask("GET", "/health/{service}", service="redis")
    ask("GET", "/health/{service}/status", **service)
    ask("GET", "/health/latency-history/{service}", **service)
    ask("GET", "/health/service-errors/{service}", **service)
    ask("POST", "/health/retest/{service}", token=None,
        headers={"X-API-Key": ask.suite.admin_key()}, **service)


def ask_accounts(ask):
    login = {"email": ask.person["email"], "password": ask.person["password"]}
    ask("POST", "/auth/register", {"email": "x" + login["email"], "password": "correct horse",
                                   "name": "Ada", "username": "u" + login["email"][:20]}, token=None)
    second = ask("POST", "/auth/login", login, token=None).json
    second = ask("POST", "/auth/refresh", {"refresh_token": second["refresh_token"]}).json
    ask("POST", "/auth/validate", {"token": "none"}, token=None)
    ask("POST", "/auth/validate", {"token": second["access_token"]}, token=None)
    ask("GET", "/auth/me")
    ask("PATCH", "/auth/me", {"name": "Ada Lovelace"})
    sessions = ask("GET", "/auth/sessions").json["items"]
    [other] = [session["id"] for session in sessions if not session["is_current"]]
    ask("DELETE", "/auth/sessions/{id}", id=other)
    ask("POST", "/auth/api-keys", {"name": "for ever"})
    key = ask("POST", "/auth/api-keys", {"name": "importer", "expires_in_days": 1}).json
    ask("DELETE", "/auth/api-keys/{id}", id=key["id"])
    assert len(ask("GET", "/auth/api-keys").json["items"]) == 2
    ask("POST", "/auth/change-password", {"current_password": login["password"],
                                          "new_password": "battery staple"})
    ask("POST", "/auth/logout", query="?all=true")


def ask_chat(ask):
    messages = [{"role": "user", "content": "Hello!"}]
    completion = {"model": "demo/echo", "messages": messages}
    ask("POST", "/v1/chat/completions", completion)
    ask("POST", "/v1/chat/completions", {**completion, "stream": True})
    models = ask("GET", "/v1/models").json["data"]
    ask("GET", "/v1/models/{provider}/{model}", provider="demo", model="echo")
    assert "demo/echo" in [model["id"] for model in models]
    ask("GET", "/v1/models/{model}", model="echo")
    ask("GET", "/chat/models")
    turn = {"session_id": "described", "message": "Hello!"}
    ask("POST", "/chat", turn)
    ask("POST", "/chat/stream", turn)
    assert len(ask("GET", "/chat/sessions").json["items"]) == 1
    ask("GET", "/chat/sessions/{id}", id="described")
    ask("GET", "/chat/sessions/{id}/messages", id="described")
    ask("GET", "/chat/sessions/{id}/messages", query="?limit=1", id="described")
    ask("POST", "/chat/sessions/{id}/clear", id="described")
    ask("DELETE", "/chat/sessions/{id}", id="described")


def ask_charts(ask):
    chart, series = {"chart_id": "c1"}, {"chart_id": "c1", "series_id": "s"}
    place = {**series, "pane_id": 0}
    ask("POST", "/api/charts/{chart_id}", **chart)
    ask("PUT", "/api/charts/{chart_id}", {"height": 400}, **chart)
    for count in (3, 600):
        points = [{"time": 1_700_000_000 + index, "value": index} for index in range(count)]
        ask("POST", "/api/charts/{chart_id}/data/{series_id}",
            {"series_type": "line", "data": points}, **series)
        ask("GET", "/api/charts/{chart_id}/data/{pane_id}/{series_id}", **place)
    ask("PATCH", "/api/charts/{chart_id}/data/{series_id}",
        {"data": [{"time": 1_800_000_000, "value": 1}]}, **series)
    ask("GET", "/api/charts/{chart_id}", **chart)
    ask("GET", "/api/charts/{chart_id}", query="?panes=map", **chart)
    page = "/api/charts/{chart_id}/history/{pane_id}/{series_id}"
    query = "?count=2&before_time=1700000100"
    tag = ask("GET", page, query=query, **place).headers["etag"]
    assert ask("GET", page, query=query, headers={"If-None-Match": tag}, **place).status == 304
    ask("POST", "/api/charts/{chart_id}/history", {"pane_id": 0, "series_id": "s"}, **chart)
    ask("POST", "/api/charts/{chart_id}/history",
        {"requests": [{"pane_id": 0, "series_id": "s"}, {"pane_id": 1, "series_id": "s"}, {"pane_id": 0}]}, **chart)
    assert ask("GET", "/api/charts").json["total"] == 1
    ask("DELETE", "/api/charts/{chart_id}/data/{pane_id}/{series_id}", **place)
    ask("DELETE", "/api/charts/{chart_id}", **chart)


# A model whose id holds a slash needs a provider that has one; the demo has none.
NEEDS_A_PROVIDER = {("GET", "/v1/models/{provider}/{maker}/{model}")}


def test_every_operation_answers_what_its_schema_says(ask):
    ask_health(ask)
    ask_chat(ask)
    ask_charts(ask)
    ask_accounts(ask)
    assert set(OPERATIONS) - ask.seen == NEEDS_A_PROVIDER


@pytest.mark.parametrize("accept", ["application/json", "application/problem+json"])
def test_errors_are_what_their_schemas_say(ask, accept):
    """Each is checked by what the operation documents for the status that came."""
    def refuses(status, method, path, body=None, **more):
        headers = {"Accept": accept, **more.pop("headers", {})}
        answer = ask(method, path, body, headers=headers, **more)
        assert answer.status == status
        if not path.startswith("/v1/"):
            assert answer.headers["content-type"] == accept

    refuses(401, "GET", "/auth/me", token=None)
    refuses(401, "GET", "/auth/me", token="nonsense")
    refuses(401, "GET", "/v1/models", token=None)
    refuses(401, "POST", "/auth/login", {"email": "a@b.example", "password": "wrong"}, token=None)
    refuses(403, "POST", "/health/retest/{service}", service="database")
    refuses(404, "GET", "/health/{service}", service="nothing")
    refuses(404, "GET", "/chat/sessions/{id}", id="nothing")
    refuses(404, "GET", "/api/charts/{chart_id}", chart_id="nothing")
    refuses(404, "GET", "/v1/models/{model}", model="nothing")
    refuses(409, "POST", "/auth/register", {"email": ask.person["email"], "password": "12345678"})
    refuses(413, "POST", "/auth/validate", {"token": "x" * (1 << 20)})
    refuses(415, "POST", "/auth/login", {}, headers={"Content-Type": "text/plain"})
    refuses(415, "POST", "/v1/chat/completions", {}, headers={"Content-Type": "text/plain"})
    refuses(400, "POST", "/v1/chat/completions", {})
    refuses(400, "GET", "/api/charts/{chart_id}", chart_id="a..b")
    refuses(422, "POST", "/auth/register", {"email": 1})
    refuses(422, "POST", "/chat", {"session_id": "not an id", "message": ""})
    refuses(422, "GET", "/health/latency-history/{service}", query="?hours=x", service="database")


def test_refusals_by_a_limit_are_what_their_schemas_say(suite):
    limited = suite.start({"RATE_LIMIT_ENABLED": "true", "RATE_LIMIT_AUTH": "1/hour",
                           "RATE_LIMIT_CHAT": "1/hour"})
    ask = Checked(limited)
    for path, body in (("/auth/login", {}), ("/v1/chat/completions", {})):
        ask("POST", path, body, token=None)
        assert ask("POST", path, body, token=None).status == 429


def test_a_database_that_is_gone_is_described(suite):
    broken = suite.start()
    for path in broken.state.glob("quintet.db*"):
        path.rename(path.with_name("moved-" + path.name))
    (broken.state / "quintet.db").mkdir()
    for pid in broken.pids("health"):
        os.kill(pid, signal.SIGTERM)
    ask = Checked(broken)
    wait_until(lambda: (answer := broken.get("/ready")).status == 503 and answer.body.startswith(b"{"), 20)
    assert ask("GET", "/ready", token=None).json["status"] == "not_ready"


# --- docs/errors.md -------------------------------------------------------------------------------

def test_the_list_of_errors_is_the_catalogue():
    source = (ROOT / "shared/http/errors.h").read_text().replace("\\\n", " ")
    catalogue = re.findall(r'PROBLEM\(\s*\w+,\s*"(E\d+)",\s*"(\w+)",\s*(\d+),\s*(true|false),'
                           r'\s*"([^"]*)"\s*\)', source)
    assert len(catalogue) == len(re.findall(r"PROBLEM\(\s*[A-Z_]+,\s*\"E", source)) > 30
    page = (ROOT / "docs/errors.md").read_text()
    rows = re.findall(r"^\| (E\d+) \| `(\w+)` \| (\d+) \| (yes|no) \| (.*) \|$", page, re.M)
    assert rows == sorted(((code, word, status, "yes" if recoverable == "true" else "no", message)
                           for code, word, status, recoverable, message in catalogue),
                          key=lambda row: row[0])
