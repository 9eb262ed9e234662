"""Every list of the suite has one shape and is walked in one way."""
import pytest

from openapi import OPERATIONS

LISTS = ["/auth/api-keys", "/auth/sessions", "/api/charts", "/chat/sessions"]


@pytest.fixture(scope="module")
def token(shared_suite):
    """Of a user who has two things in each list."""
    person = shared_suite.register()
    shared_suite.post("/auth/login", {"email": person["email"], "password": person["password"]})
    token = person["access_token"]
    for name in ("a", "b"):
        assert shared_suite.post("/auth/api-keys", {"name": name}, token=token).status == 201
        assert shared_suite.post(f"/api/charts/{name}", {}, token=token).status == 200
        turn = {"session_id": name, "message": "Hello!", "model": "demo/echo"}
        assert shared_suite.post("/chat", turn, token=token).status == 200
    return token


def test_what_answers_with_items_is_a_list():
    """New lists must be added to this test."""
    described = [path for (method, path), (_, parameters) in OPERATIONS.items()
                 if method == "GET" and "page" in [parameter["name"] for parameter in parameters]]
    assert sorted(described) == sorted(LISTS)


@pytest.mark.parametrize("path", LISTS)
def test_lists_are_walked_by_page_and_page_size(shared_suite, token, path):
    whole = shared_suite.get(path, token=token).json
    assert set(whole) == {"items", "total", "page", "page_size"}
    assert (whole["total"], whole["page"], whole["page_size"]) == (2, 1, 20)
    for number, items in ((1, whole["items"][:1]), (2, whole["items"][1:]), (3, [])):
        page = shared_suite.get(f"{path}?page={number}&page_size=1", token=token).json
        assert page == {"items": items, "total": 2, "page": number, "page_size": 1}
    assert shared_suite.get(f"{path}?page=1000000&page_size=100", token=token).json["items"] == []


@pytest.mark.parametrize("query", ["page=0", "page=-1", "page=1000001", "page=x", "page=1.5", "page=", "page_size=0",
                                   "page_size=101", "page_size=x"])
@pytest.mark.parametrize("path", LISTS)
def test_a_page_that_cannot_be_is_refused(shared_suite, token, path, query):
    answer = shared_suite.get(f"{path}?{query}", token=token)
    assert answer.status == 422 and answer.json["detail"][0]["loc"] == ["query", query.partition("=")[0]]


@pytest.mark.parametrize("word", ["limit", "offset", "after", "before", "cursor"])
@pytest.mark.parametrize("path", LISTS)
def test_a_list_is_not_walked_otherwise(shared_suite, token, path, word):
    """If they were ignored, every request would get the first page."""
    answer = shared_suite.get(f"{path}?page=1&{word}=1", token=token)
    assert answer.status == 400 and answer.json["error"] == "invalid_request"
    assert "page_size" in answer.json["message"]


@pytest.mark.parametrize("path", LISTS)
def test_what_has_nothing_to_do_with_pages_is_ignored(shared_suite, token, path):
    assert shared_suite.get(f"{path}?_=1700000000", token=token).status == 200


@pytest.mark.parametrize("query", ["page=2", "page_size=1"])
def test_messages_are_walked_by_before_and_limit(shared_suite, token, query):
    path = "/chat/sessions/a/messages"
    assert len(shared_suite.get(f"{path}?limit=1", token=token).json["messages"]) == 1
    assert shared_suite.get(f"{path}?{query}", token=token).status == 400
