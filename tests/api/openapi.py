"""docs/openapi.yaml as the tests read it: its operations, and what it says of an answer."""
import jsonschema
import yaml

from suite import ROOT

METHODS = ("get", "post", "put", "patch", "delete")
DOCUMENT = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())


def resolve(node):
    while "$ref" in node:
        target = DOCUMENT
        assert node["$ref"].startswith("#/"), node
        for part in node["$ref"][2:].split("/"):
            target = target[part]
        node = target
    return node


def operations():
    """(METHOD, path) → (operation, parameters of path and operation)."""
    found = {}
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                parameters = item.get("parameters", []) + item[method].get("parameters", [])
                found[method.upper(), path] = item[method], [resolve(each) for each in parameters]
    return found


OPERATIONS = operations()


def validator(schema):
    return jsonschema.Draft202012Validator(
        schema, resolver=jsonschema.RefResolver("", DOCUMENT),
        format_checker=jsonschema.FormatChecker(["date", "email"]))


def check(schema, value):
    validator(schema).validate(value)


def is_valid(schema, value):
    return validator(schema).is_valid(value)


def judge(operation, answer):
    """Holds an answer against what the document says about its operation."""
    responses = operation["responses"]
    assert str(answer.status) in responses, f"{operation['operationId']}: {answer}"
    response = resolve(responses[str(answer.status)])
    for name, header in response.get("headers", {}).items():
        value = answer.headers[name.lower()]
        schema = resolve(header)["schema"]
        is_number = schema.get("type") == "integer" or schema.get("const") == 0
        check(schema, int(value) if is_number else value)
    if "content" not in response:
        assert answer.body == b""
        return
    kind = answer.headers["content-type"].split(";")[0]
    schema = response["content"][kind]["schema"]
    check(schema, answer.json if kind.endswith("json") else answer.body.decode())
