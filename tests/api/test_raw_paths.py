"""A path that could be read in two ways reaches no resource: it is 400, told from the request line
as it was sent."""
import pytest

from raw_paths import AMBIGUOUS, HARMLESS, example, is_name_of_a_model, send
from test_openapi import ROUTES

RANGE = range(1, 6)


@pytest.fixture(scope="module")
def owner(shared_suite):
    token = shared_suite.token()
    points = [{"time": 1700000000 + i, "value": i} for i in RANGE]
    assert shared_suite.post("/api/charts/v2/data/v2", {"paneId": 0, "seriesType": "line", "data": points},
                             token=token).status == 200
    return token


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_ambiguous_path_is_400_on_every_route(suite, owner, name):
    for method, template in ROUTES:
        target = AMBIGUOUS[name](example(template))
        status, answer = send(suite.port, method, target, [f"Authorization: Bearer {owner}"])
        if is_name_of_a_model(name, template):
            assert status == 404 and b'"model_not_found"' in answer, answer
            continue
        assert status == 400, (method, target, answer)
        assert b'"code":"E001"' in answer or (b"/v1" in target.encode() and b'"invalid_request"' in answer), answer
        assert b"correlation" in answer.lower(), answer
    chart = suite.get("/api/charts/v2", token=owner)
    assert chart.status == 200 and chart.json["panes"][0]["series"][0]["seriesId"] == "v2"
    assert [each["chartId"] for each in suite.get("/api/charts", token=owner).json["items"]] == ["v2"]


def test_a_deletion_never_takes_what_lies_above(suite, owner):
    for target in ("/api/charts/v2/data/0/..%2F..", "/api/charts/v2/data/0/%2e%2e/..",
                   "/api/v1/api/charts/v2/data/0/..%2F..", "/api/charts/v2/data/%2F..%2f"):
        for method in ("DELETE", "POST", "PUT", "PATCH"):
            status, answer = send(suite.port, method, target, [f"Authorization: Bearer {owner}"])
            assert status == 400, (method, target, answer)
    assert suite.get("/api/charts/v2", token=owner).status == 200


@pytest.mark.parametrize("name", HARMLESS)
def test_a_path_that_all_read_alike_is_served(suite, owner, name):
    for path in ("/health/live", "/auth/me", "/api/charts/v2", "/api/v1/chat/models", "/v1/models"):
        target = HARMLESS[name](path)
        status, answer = send(suite.port, "GET", target, [f"Authorization: Bearer {owner}"])
        assert status == 200, (target, answer)


def test_options_of_everything_is_answered(suite):
    status, answer = send(suite.port, "OPTIONS", "*")
    assert status == 200 and b"\r\nAllow: " in answer, answer
