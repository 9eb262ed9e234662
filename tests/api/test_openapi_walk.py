"""Every operation of docs/openapi.yaml, asked with valid, nearly valid and hostile values.

What must hold of each answer: its status and body are documented, what the schema refuses is
refused, what it allows is not refused as malformed, one log line tells of it, and no program ends.
WALK_REQUESTS sets how many (2,000), WALK_SEED which (1).

No library serves: schemathesis and hypothesis-jsonschema are not in Debian 12.
"""
import base64
import http.client
import json
import os
import random
import string
import time
import urllib.parse
import uuid

import pytest

from openapi import OPERATIONS, is_valid, judge, resolve
from suite import PROGRAMS, Answer

REQUESTS = int(os.environ.get("WALK_REQUESTS", "2000"))
SEED = int(os.environ.get("WALK_SEED", "1"))

# What these do ends the credential that they are asked with.
ENDING = {"logout", "changePassword", "revokeLoginSession"}
# Whether they can do what is asked is not for a schema to say (a password, a token, an order).
BEYOND_SCHEMAS = {"login", "refresh", "changePassword", "register", "createApiKey",
                  "replaceSeries", "extendSeries"}

TEXTS = ["", "a", "0", "-1", "null", "a b", "ä", "\u202e", "\x00", "\ud800", "x" * 300, "x" * 70_000, "../..",
         "%2e%2e", "' OR 1=1 --", "${HOME}", "{}", "1e999", "NaN", "\ufeff", "a\nb", "<script>", "𝕏" * 40]
NUMBERS = [0, -1, 1, 1.5, 1e308, -1e308, 2 ** 31, 2 ** 53 + 1, 2 ** 63, 2 ** 64, 10 ** 400]
ANYTHING = [None, True, False, [], {}, [[]], {"": ""}, [None], "\x00", "", 0, -0.0, [0] * 200]
# What fits the patterns that letters and digits do not fit.
PATTERNS = {"^ *((user": ["", "chart.read", " chat.manage  chart.create"],
            "^[^\\x00-": ["demo/echo", "echo", "gpt-4o", "ä"]}
RAW = [b"", b" ", b"{", b"[]", b"null", b'{"a":1,"a":2}', b"\xff\xfe", b"\xef\xbb\xbf{}", b"{}x", b'{"a":NaN}',
       b"[" * 100, b'{"a":"\\ud800"}', b"// {}", b"{'a':1}", b'{"a":1,}', b'{"a":01}', b"0" * 70_000]
SEGMENTS = ["..", ".", "%2e%2e", "%2F", "%00", "%FF", "a%2Fb", "%5c", "a..b", "x" * 200, "%", "%zz", "a b", "ä", "0", "1",
            "-1", "101", "c1", "s", "echo", "demo", "database", "null", ";", "@", "a%0d%0aX: y", "*"]


class Values:
    """Makes values of a schema; `spoil` makes one that is nearly of it."""

    def __init__(self, source):
        self.random = source

    def points(self):
        start = self.random.choice([1_600_000_000, 1_700_000_000, 0])
        fields = {"open": 2, "high": 3, "low": 1, "close": 2, "value": 1.5, "upper": 3, "middle": 2, "lower": 1,
                  "baseLine": 1, "trendLine": 2, "trendDirection": 1, "fillColor": "red", "base_line": 1,
                  "trend_line": 2}
        return [{"time": start + 60 * index, **fields} for index in range(self.random.randint(0, 5))]

    def text(self, schema):
        if schema.get("format") == "email":
            return f"{uuid.UUID(int=self.random.getrandbits(128)).hex}@example.com"
        if schema.get("format") == "date-time":
            return "2030-01-02T03:04:05Z"
        for beginning, examples in PATTERNS.items():
            if schema.get("pattern", "").startswith(beginning):
                return self.random.choice(examples)
        low, high = schema.get("minLength", 0), min(schema.get("maxLength", 20), 20)
        letters = string.ascii_letters + string.digits
        if "pattern" in schema:
            low, high = max(low, 3), max(high, 3)
        elif self.random.random() < 0.3 and low <= 5:
            return self.random.choice(["Ada ☂ Lovelace", "line\nbreak", "päss wörd", "天気天気"])[:schema.get("maxLength", 20)]
        return "".join(self.random.choice(letters) for _ in range(self.random.randint(low, max(low, high))))

    def make(self, schema):
        name = schema.get("$ref", "").rsplit("/", 1)[-1]
        if name == "Points":
            return self.points()
        if name == "Time":
            return self.random.choice([0, -86_400, 1_700_000_000, None])
        if name == "NewPassword":
            return self.random.choice(["correct horse battery", "pässwörd-0123", "12345678" * 4])
        schema = resolve(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        for word in ("oneOf", "anyOf"):
            if word in schema:
                rest = {key: value for key, value in schema.items() if key not in (word, "description", "examples")}
                chosen = resolve(self.random.choice(schema[word]))
                merged = {**rest, **chosen}
                merged["required"] = [*rest.get("required", []), *chosen.get("required", [])]
                merged["properties"] = {**rest.get("properties", {}), **chosen.get("properties", {})}
                return self.make(merged)
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = self.random.choice(kind)
        if kind == "object":
            required = schema.get("required", [])
            return {key: self.make(value) for key, value in schema.get("properties", {}).items()
                    if key in required or self.random.random() < 0.5}
        if kind == "array":
            low = schema.get("minItems", 0)
            count = self.random.randint(low, max(low, min(schema.get("maxItems", 3), 3)))
            return [self.make(schema.get("items", {"type": "string"})) for _ in range(count)]
        if kind == "integer":
            low = schema.get("minimum", 0)
            return self.random.choice([low, self.random.randint(low, min(schema.get("maximum", low + 50), low + 50))])
        if kind == "number":
            low = schema.get("minimum", 0)
            return self.random.choice([low, low + 1, low + 0.5])
        if kind == "boolean":
            return self.random.random() < 0.5
        return None if kind == "null" else self.text(schema)

    def anything(self):
        return self.random.choice([*TEXTS, *NUMBERS, *ANYTHING])

    def spoil(self, value):
        """The value with one place of it changed, left out or doubled."""
        if isinstance(value, dict) and value and self.random.random() < 0.9:
            key = self.random.choice(list(value))
            changed = dict(value)
            if self.random.random() < 0.2:
                del changed[key]
            elif self.random.random() < 0.1:
                changed[self.random.choice(TEXTS[:12])] = self.anything()
            else:
                changed[key] = self.spoil(value[key]) if self.random.random() < 0.5 else self.anything()
            return changed
        if isinstance(value, list) and value and self.random.random() < 0.7:
            at = self.random.randrange(len(value))
            return [*value[:at], self.spoil(value[at]), *value[at + 1:]]
        return self.anything()


class Walker:
    def __init__(self, suite, seed):
        self.suite = suite
        self.random = random.Random(seed)
        self.values = Values(self.random)
        self.connection = None
        self.faults = []
        self.asked = []       # (correlation id, methods it may be logged with, path)
        self.owner = suite.register()
        self.keys = [self.make_key(scopes) for scopes in ("", "chart.read", "chat.manage")]
        suite.post("/api/charts/c1/data/s", {"series_type": "line", "data": [{"time": 1, "value": 1}]},
                   token=self.owner["access_token"])

    def make_key(self, scopes):
        answer = self.suite.post("/auth/api-keys", {"name": "walk", "scopes": scopes}, token=self.owner["access_token"])
        assert answer.status == 201, answer
        return answer.json["key"]

    def credential(self, operation):
        """(headers, whether the operation takes it)."""
        if operation["operationId"] in ENDING:
            return {"Authorization": f"Bearer {self.suite.token()}"}, True
        if operation.get("security") == []:
            return {}, True
        kind = self.random.random()
        if kind < 0.75:
            return {"Authorization": f"Bearer {self.owner['access_token']}"}, True
        return self.random.choice([
            {"X-API-Key": self.keys[0]}, {"X-API-Key": self.keys[1]}, {"X-API-Key": self.keys[2]},
            {"X-API-Key": self.suite.admin_key()}, {"X-API-Key": "qk_unknown_secret"}, {},
            {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic " + base64.b64encode(b"a:b").decode()},
            {"Authorization": "Bearer " + "x" * 9000}]), False

    def target(self, path, parameters):
        """(path with query, whether all of it is of the schemas)."""
        valid = True
        query = []
        for parameter in parameters:
            schema = parameter["schema"]
            name = parameter["name"]
            if parameter["in"] == "path":
                known = {"chart_id": "c1", "series_id": "s", "pane_id": "0", "service": "database", "model": "echo",
                         "provider": "demo", "id": "walk"}
                chosen = self.random.random()
                if chosen < 0.6 and name in known:
                    text = known[name]
                elif chosen < 0.85:
                    value = str(self.values.make(schema)) or "x"
                    text, valid = urllib.parse.quote(value, safe=""), valid and value.isprintable()
                else:
                    text, valid = self.random.choice(SEGMENTS), False
                path = path.replace("{" + name + "}", text)
            elif parameter["in"] == "query":
                chosen = self.random.random()
                if chosen < 0.5:
                    continue
                if chosen < 0.85:
                    value = self.values.make(schema)
                    if value is None:
                        continue
                    text = json.dumps(value) if not isinstance(value, str) else value
                    valid = valid and text.isprintable()
                    query.append(f"{name}={urllib.parse.quote(text)}")
                else:
                    valid = False
                    text = str(self.values.anything())[:3000]
                    query.append(f"{name}={urllib.parse.quote(text.encode('utf-8', 'replace'))}")
        if self.random.random() < 0.05:
            query.append(self.random.choice(["=", "&&", "a=%", "%00=1", "a=%FF", "x=1&x=2", "limit", "unknown=1"]))
            valid = False
        path = urllib.parse.quote(path, safe="/%@;*{}~!$&'()+,:=-._")
        return path + ("?" + "&".join(query) if query else ""), valid

    def body(self, operation):
        """(bytes or None, content type, whether the schema allows it)."""
        if "requestBody" not in operation:
            if self.random.random() < 0.9:
                return None, None, True
            return self.random.choice(RAW), "application/json", None
        request = resolve(operation["requestBody"])
        schema = request["content"]["application/json"]["schema"]
        chosen = self.random.random()
        if chosen < 0.15:
            return self.random.choice(RAW), self.random.choice(["application/json", "text/plain", None]), None
        value = self.values.make(schema)
        if chosen < 0.55:
            value = self.values.spoil(value)
        try:
            raw = json.dumps(value).encode()
        except ValueError:
            return b"{", "application/json", None
        # A lone surrogate and U+0000 are no text of ours, whatever a schema says of strings.
        allowed = None if b"\\ud800" in raw or b"\\u0000" in raw else b"Infinity" not in raw and is_valid(schema, value)
        return raw, "application/json; charset=utf-8", allowed

    def send(self, method, path, raw, headers):
        for attempt in range(2):
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.suite.port, timeout=30)
            try:
                self.connection.putrequest(method, path, skip_accept_encoding=True)
                for name, value in headers.items():
                    self.connection.putheader(name, value)
                if raw is not None:
                    self.connection.putheader("Content-Length", str(len(raw)))
                self.connection.endheaders(raw)
                response = self.connection.getresponse()
                return Answer(response, response.read())
            except (http.client.HTTPException, ConnectionError):
                # A kept connection that the server has ended; not twice.
                self.connection.close()
                self.connection = None
                if attempt == 1:
                    raise
        return None

    def step(self, method, path, operation, parameters):
        target, valid_target = self.target(path, parameters)
        raw, kind, valid_body = self.body(operation)
        credential, accepted = self.credential(operation)
        correlation = f"walk-{len(self.asked)}"
        headers = {"X-Correlation-ID": correlation, **credential}
        if kind:
            headers["Content-Type"] = kind
        if self.random.random() < 0.2:
            headers["Accept"] = self.random.choice(["application/problem+json", "*/*", "text/html", "x" * 2000, ";q=,,"])
        answer = self.send(method, target, raw, headers)
        if answer.status == 431:
            return  # the web server has not read as far as to the id
        # What lighttpd cannot read it hands over as a GET: it has not looked at its settings yet, which
        # would tell the method.
        unread = answer.status == 400 and not valid_target
        self.asked.append((correlation, {method, "GET"} if unread else {method}, target))
        if answer.status == 405 and not valid_target:
            return  # what was put into the path has made another route of it
        plain = headers.get("Accept") not in ("application/problem+json",)
        try:
            judge(operation, answer)
            assert answer.headers["x-correlation-id"] == correlation, "another correlation id"
            no_such_model = answer.status == 503 and answer.json.get("code") == "E210"
            assert answer.status < 500 or no_such_model, "a fault of ours"
            if valid_body is False and answer.status < 300:
                raise AssertionError("the schema refuses this body")
            if valid_target and valid_body and accepted and operation["operationId"] not in BEYOND_SCHEMAS:
                assert answer.status not in (400, 422), "the schema allows this request"
        except Exception as fault:  # every fault of a walk is told at once
            self.faults.append(f"{method} {target[:200]} {headers.get('Content-Type')} {raw[:300] if raw else raw!r} "
                               f"{'' if plain else 'problem '}-> {answer}\n      {str(fault)[:300]}")

    def walk(self, count):
        operations = [(method, path, *rest) for (method, path), rest in OPERATIONS.items()]
        for index in range(count):
            self.step(*operations[index % len(operations)])

    def check_log(self):
        """One line of the end of each request, with its own method and path."""
        deadline = time.monotonic() + 10
        while True:
            ends = {}
            for line in self.suite.log_lines():
                if line["message"] in ("request_completed", "request_failed"):
                    ends.setdefault(line["correlation_id"], []).append(line)
            missing = [entry for entry in self.asked if len(ends.get(entry[0], [])) != 1]
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        self.faults += [f"{len(ends.get(entry[0], []))} log lines of {entry}"[:300] for entry in missing]
        for correlation, methods, target in self.asked:
            for line in ends.get(correlation, []):
                if line["method"] not in methods:
                    self.faults.append(f"{methods} {target[:100]}: logged as {line['method']} {line['path'][:100]}")


@pytest.mark.parametrize("seed", [SEED])
def test_every_operation_keeps_to_its_description_whatever_is_asked(suite, seed):
    walked = suite.start({"API_KEYS_PER_USER": "1000"})
    before = {program: walked.pids(program) for program in PROGRAMS}
    walker = Walker(walked, seed)
    walker.walk(REQUESTS)
    walker.check_log()
    assert {program: walked.pids(program) for program in PROGRAMS} == before
    assert not walker.faults, f"{len(walker.faults)} faults\n" + "\n".join(walker.faults[:40])
