"""One rule for every body of every program: text that is not JSON is 400, JSON that does not fit is 422.

Under /v1 it is 400 for both, which is what OpenAI's client libraries know. What fits is read from docs/openapi.yaml.
"""
import json
import re

import pytest

from openapi import OPERATIONS, is_valid, resolve

NO_JSON = [b"{", b"{}x", b"{} {}", b"[1,", b"{'a':1}", b'{"a":1,}', b'{"a":1,"a":2}', b'{"a":{"b":1,"\\u0062":2}}',
           b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":01}', b'{"a":+1}', b'{"a":"\xff"}', b'{"a":"\\ud800"}', b'{"a":"\x01"}',
           b"\xef\xbb\xbf{}", b"// \n{}", b'{"a":' + b"[" * 70 + b"]" * 70 + b"}"]
NO_OBJECT = [b"[]", b"[{}]", b"7", b"null", b"true", b'"{}"']
# A value of each JSON type, and texts and numbers at the bounds of members.
VALUES = [None, True, 0, -1, 1.5, 101, 10001, 10 ** 15, "", "a b..", "x" * 129, "x" * 16385, [], [1], [[]], {}, {"a": 1}]
# Texts that no schema can judge: they are compared with something stored, or with other members.
BEYOND_SCHEMAS = {"refresh_token", "token", "current_password", "email", "username", "password", "chart_ids", "model"}
PLACES = {"chart_id": "bodies", "series_id": "spx"}


def operations():
    """(method, path, schema, a body that fits)."""
    found = []
    for (method, path), (operation, _) in OPERATIONS.items():
        if "requestBody" in operation:
            content = resolve(operation["requestBody"])["content"]["application/json"]
            schema = resolve(content["schema"])
            if "examples" in content:
                [schema] = [resolve(each) for each in schema["oneOf"] if "series_id" in resolve(each)["properties"]]
            body = content["example"] if "example" in content else content["examples"]["one"]["value"]
            found.append(pytest.param(method, path, schema, body, id=f"{method} {path}"))
    assert len(found) > 12
    return found


@pytest.fixture(scope="module")
def ask(shared_suite):
    token = shared_suite.token()
    line = {"series_type": "line", "data": [{"time": 1, "value": 1}]}
    assert shared_suite.post("/api/charts/bodies/data/spx", line, token=token).status == 200

    def asked(method, path, raw):
        return shared_suite.request(method, path.format(**PLACES), raw=raw, token=token,
                                    headers={"Content-Type": "application/json"})
    return asked


@pytest.mark.parametrize("method,path,schema,body", operations())
def test_what_is_no_json_is_400(ask, method, path, schema, body):
    for raw in NO_JSON:
        answer = ask(method, path, raw)
        assert answer.status == 400, (raw, answer)
        if not path.startswith("/v1/"):
            assert answer.json["error"] == "invalid_request_body", (raw, answer)


@pytest.mark.parametrize("method,path,schema,body", operations())
def test_what_is_no_object_is_422(ask, method, path, schema, body):
    for raw in NO_OBJECT:
        answer = ask(method, path, raw)
        assert answer.status == (400 if path.startswith("/v1/") else 422), (raw, answer)
        if not path.startswith("/v1/"):
            assert answer.json["detail"][0]["loc"] == ["body"], (raw, answer)


@pytest.mark.parametrize("method,path,schema,body", operations())
def test_a_member_that_is_missing_is_422_and_named(ask, method, path, schema, body):
    for name in schema.get("required", []):
        answer = ask(method, path, json.dumps({key: value for key, value in body.items() if key != name}).encode())
        if path.startswith("/v1/"):
            assert answer.status == 400 and answer.json["error"]["param"] == name, answer
        else:
            assert answer.status == 422 and answer.json["error"] == "missing_required_field", (name, answer)
            assert [each["loc"] for each in answer.json["detail"]] == [["body", name]], (name, answer)


@pytest.mark.parametrize("method,path,schema,body", operations())
def test_a_value_that_does_not_fit_is_422_and_named(ask, method, path, schema, body):
    for name, member in schema["properties"].items():
        for value in VALUES:
            if is_valid(member, value) or name in BEYOND_SCHEMAS and value in ("a b..", "x" * 129):
                continue
            answer = ask(method, path, json.dumps({**body, name: value}).encode())
            if path.startswith("/v1/"):
                assert answer.status == 400 and re.split(r"[.[]", answer.json["error"]["param"])[0] == name, (name, value, answer)
            else:
                assert answer.status == 422, (name, value, answer)
                assert [each["loc"][:2] for each in answer.json["detail"]] == [["body", name]], (name, value, answer)
                assert answer.json["error"] != "missing_required_field" or name == "data", (name, value, answer)


@pytest.mark.parametrize("method,path,schema,body", operations())
def test_a_number_that_no_double_holds_is_422(ask, method, path, schema, body):
    for name, member in schema["properties"].items():
        if not path.startswith("/v1/"):
            raw = json.dumps({**body, name: "huge"}).replace('"huge"', "1e999").encode()
            answer = ask(method, path, raw)
            assert answer.status == 422, (name, answer)
            assert ["body", name] in [each["loc"][:2] for each in answer.json["detail"]], (name, answer)


@pytest.mark.parametrize("method,path,schema,body", operations())
def test_a_name_that_holds_nul_is_one_that_nobody_knows(ask, method, path, schema, body):
    """U+0000 is valid JSON."""
    if path.startswith("/auth/"):
        body = {**body, next(iter(schema["properties"])): 7}  # a body that fits can be sent only once
    asked, plain = (ask(method, path, json.dumps({**body, name: 1}).encode()) for name in ("a\0b", "ab"))
    assert asked.status == plain.status, (asked, plain)
