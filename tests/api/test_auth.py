"""Logging in: what the auth program promises to people and to their programs."""
import concurrent.futures
import time

import jwt
import pytest
from suite import patient


def login(suite, person, password=None):
    return suite.post("/auth/login", {"email": person["email"], "password": password or person["password"]})


def test_register_answers_201_with_the_token_body(suite):
    body = suite.register(name="Ada", username=f"ada{time.time_ns()}")
    assert body["token_type"] == "bearer" and body["expires_in"] == 1800
    assert body["requires_2fa"] is False and body["companies"] == [] and body["permissions"] == []
    assert set(body["user"]) == {"id", "email", "username", "name", "is_active", "is_verified", "is_superuser",
                                 "two_factor_enabled", "current_company_id", "created_at"}
    claims = jwt.decode(body["access_token"], suite.jwt_secret, algorithms=["HS256"], audience="quintet")
    assert {"sub", "sid", "jti", "iss", "aud", "iat", "exp"} <= set(claims)
    assert jwt.get_unverified_header(body["access_token"])["typ"] == "at+jwt"


def test_duplicate_address_is_409_in_any_case(suite):
    person = suite.register()
    answer = suite.post("/auth/register", {"email": person["email"].upper(), "password": "another password"})
    assert answer.status == 409 and answer.json["code"] == "E400"


@pytest.mark.parametrize("password,status", [("1234567", 422), ("12345678", 201), ("x" * 1024, 201), ("x" * 1025, 422)])
def test_password_length_bounds(suite, password, status):
    answer = suite.post("/auth/register", {"email": f"len{time.time_ns()}@example.com", "password": password})
    assert answer.status == status


def test_login_by_email_or_username(suite):
    name = f"grace{time.time_ns()}"
    person = suite.register(username=name)
    assert login(suite, person).status == 200
    assert suite.post("/auth/login", {"username": name, "password": person["password"]}).status == 200
    assert suite.post("/auth/login", {"email": None, "username": name, "password": person["password"]}).status == 200


@pytest.mark.parametrize("address, status", [
    ("{}@example.com", 201), ("a.b+{}@sub.example.com", 201), ("jürgen{}@bücher.example", 201),
    ("{}@example", 422), ("{}@.example.com", 422), ("{}@a..example", 422), ("{}@example.com.", 422),
    ("{}@-a.example", 422), ("{}@a-.example", 422), (".{}@example.com", 422), ("{}.@example.com", 422),
    ("a..{}@example.com", 422), ("{}\u202e@example.com", 422), ("{}\u0085@example.com", 422),
    ("{}\u00a0@example.com", 422), ("{}\u200b@example.com", 422), ("{}\ufeff@example.com", 422), ("@example.com", 422)])
def test_an_address_is_one_that_mail_can_reach_and_people_can_see(suite, address, status):
    answer = suite.post("/auth/register", {"email": address.format(time.time_ns()), "password": "long enough"})
    assert answer.status == status, answer


def test_wrong_password_and_unknown_user_get_the_same_answer(suite):
    person = suite.register()
    wrong = login(suite, person, "wrong password")
    unknown = suite.post("/auth/login", {"email": "nobody@example.com", "password": "wrong password"})
    assert wrong.status == unknown.status == 401
    strip = lambda answer: {k: v for k, v in answer.json.items() if k not in ("correlation_id", "timestamp")}
    assert strip(wrong) == strip(unknown)
    assert wrong.headers["www-authenticate"] == "Bearer"


def test_five_wrong_passwords_lock_and_a_right_one_is_refused_then(suite):
    person = suite.register()
    for _ in range(5):
        assert login(suite, person, "wrong password").json["error"] == "invalid_credentials"
    answer = login(suite, person)
    assert answer.status == 401 and answer.json["error"] == "account_locked"
    assert 1700 < answer.json["retry_after"] <= 1800


def test_parallel_wrong_passwords_count_exactly(suite):
    private = suite.start({"LOCKOUT_THRESHOLD": "8"})
    person = private.register()
    guess = lambda _: patient(lambda: login(private, person, "wrong password"))
    with concurrent.futures.ThreadPoolExecutor(7) as pool:
        list(pool.map(guess, range(7)))
    assert login(private, person).status == 200
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(guess, range(8)))
    assert login(private, person).json["error"] == "account_locked"


def test_the_lock_survives_a_restart(suite):
    first = suite.start()
    first.own_state = False
    person = first.register()
    for _ in range(5):
        login(first, person, "wrong password")
    first.stop()
    second = suite.start(state=first.state)
    second.own_state = True
    assert login(second, person).json["error"] == "account_locked"


def refresh(suite, token):
    return suite.post("/auth/refresh", {"refresh_token": token})


def test_refresh_rotates_both_tokens(suite):
    person = suite.register()
    answer = refresh(suite, person["refresh_token"])
    assert answer.status == 200
    assert answer.json["refresh_token"] != person["refresh_token"]
    assert suite.get("/auth/me", token=answer.json["access_token"]).status == 200


def test_immediate_parent_gets_the_same_child_again(suite):
    person = suite.register()
    first = refresh(suite, person["refresh_token"]).json["refresh_token"]
    again = refresh(suite, person["refresh_token"])
    assert again.status == 200 and again.json["refresh_token"] == first


def test_refresh_reuse_revokes_family(suite):
    person = suite.register()
    child = refresh(suite, person["refresh_token"]).json
    grandchild = refresh(suite, child["refresh_token"]).json
    assert refresh(suite, person["refresh_token"]).status == 401
    assert refresh(suite, grandchild["refresh_token"]).status == 401
    assert suite.get("/auth/me", token=grandchild["access_token"]).status == 401


def test_parallel_refreshes_of_one_token_give_one_child(suite):
    person = suite.register()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: refresh(suite, person["refresh_token"]), range(16)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json["refresh_token"] for answer in answers}) == 1


@pytest.mark.parametrize("token,status", [("x", 401), ("", 422), ("a" * 513, 422), ("ümlaut", 401), (5, 422),
                                          (None, 422)])
def test_bad_refresh_tokens_are_refused(suite, token, status):
    assert refresh(suite, token).status == status


def test_logout_kills_the_access_token_and_the_family(suite):
    person = suite.register()
    assert suite.post("/auth/logout", token=person["access_token"]).status == 200
    assert suite.get("/auth/me", token=person["access_token"]).status == 401
    assert refresh(suite, person["refresh_token"]).status == 401


def test_logout_all_ends_every_session_of_that_user_only(suite):
    person, other = suite.register(), suite.register()
    second = login(suite, person).json
    assert suite.post("/auth/logout?all=true", token=second["access_token"]).status == 200
    assert suite.get("/auth/me", token=person["access_token"]).status == 401
    assert suite.get("/auth/me", token=other["access_token"]).status == 200


def test_change_password_revokes_other_sessions(suite):
    person = suite.register()
    other = login(suite, person).json
    body = {"current_password": person["password"], "new_password": "a much better one"}
    assert suite.post("/auth/change-password", body, token=person["access_token"]).status == 200
    assert suite.get("/auth/me", token=person["access_token"]).status == 200
    assert suite.get("/auth/me", token=other["access_token"]).status == 401
    assert login(suite, person).status == 401
    assert login(suite, person, "a much better one").status == 200


def test_change_password_needs_the_current_one(suite):
    person = suite.register()
    body = {"current_password": "not it at all", "new_password": "a much better one"}
    assert suite.post("/auth/change-password", body, token=person["access_token"]).status == 401
    assert login(suite, person).status == 200


def test_me_shows_and_changes_the_profile(suite):
    person = suite.register()
    name = f"user{time.time_ns()}"
    answer = suite.request("PATCH", "/auth/me", {"name": "Linus", "username": name}, token=person["access_token"])
    assert answer.status == 200 and answer.json["name"] == "Linus" and answer.json["username"] == name
    assert suite.get("/auth/me", token=person["access_token"]).json == answer.json
    other = suite.register()
    assert suite.request("PATCH", "/auth/me", {"username": name}, token=other["access_token"]).status == 409


def test_validate_tells_the_user_or_false(suite):
    person = suite.register()
    answer = suite.post("/auth/validate", {"token": person["access_token"]})
    assert answer.json["valid"] is True and answer.json["user"]["email"] == person["email"]
    assert suite.post("/auth/validate", {"token": "nonsense"}).json == {"valid": False}


def test_sessions_are_listed_and_ended_one_by_one(suite):
    person = suite.register()
    second = login(suite, person).json
    sessions = suite.get("/auth/sessions", token=person["access_token"]).json["items"]
    assert len(sessions) == 2 and sum(entry["is_current"] for entry in sessions) == 1
    other = next(entry["id"] for entry in sessions if not entry["is_current"])
    assert suite.request("DELETE", f"/auth/sessions/{other}", token=person["access_token"]).status == 204
    assert suite.get("/auth/me", token=second["access_token"]).status == 401
    stranger = suite.token()
    mine = next(entry["id"] for entry in sessions if entry["is_current"])
    assert suite.request("DELETE", f"/auth/sessions/{mine}", token=stranger).status == 404


# --- API keys -----------------------------------------------------------------------------------

def make_key(suite, token, **fields):
    answer = suite.post("/auth/api-keys", {"name": "test", **fields}, token=token)
    assert answer.status == 201, answer
    return answer.json


def test_api_key_is_shown_once_and_works_until_revoked(suite):
    token = suite.token()
    key = make_key(suite, token)
    assert key["key"].startswith(f"qk_{key['id']}_")
    assert suite.get("/auth/me", headers={"X-API-Key": key["key"]}).status == 200
    listed = suite.get("/auth/api-keys", token=token).json["items"]
    assert [entry["id"] for entry in listed] == [key["id"]] and "key" not in listed[0]
    assert suite.request("DELETE", f"/auth/api-keys/{key['id']}", token=token).status == 204
    answer = suite.get("/auth/me", headers={"X-API-Key": key["key"]})
    assert answer.status == 401 and answer.json["error"] == "invalid_api_key"


@pytest.mark.parametrize("path", ["/v1/models", "/auth/me", "/api/charts", "/api/v1/auth/me"])
def test_api_key_works_as_bearer_on_every_route(suite, path):
    key = make_key(suite, suite.token())["key"]
    assert suite.get(path, token=key).status == 200
    answer = suite.get(path, token=key[:-1] + ("0" if key[-1] != "0" else "1"))
    assert answer.status == 401


def test_a_key_of_the_configuration_works_as_bearer(suite):
    private = suite.start({"API_KEYS": "sk-test-one-000000"})
    assert private.get("/api/charts", token="sk-test-one-000000").status == 200
    assert private.get("/api/charts", token="sk-test-two-000000").status == 401


# What a key with these scopes may do, of: read me, change me, list charts, make a chart, ask for the
# history of one, delete one, list models, complete.
SCOPES = {
    "chart.read": "--r-h---", "chart.read chart.create": "--rch---", "chart.manage": "--rchd--",
    "chat.read": "------m-", "chat.create": "-------c", " chat.manage  user.read ": "i-----mc",
    "user.update": "-u------", "system.manage": "--------", "": "iurchdmc",
}


@pytest.mark.parametrize("scopes", ["chart", "chart.readx", "charts.read", "xchart.read", "CHART.READ", "*", ".manage",
                                    "chart.read nonsense", "chart.", "chart.read.write", "chart.read,chat.read"])
def test_a_scope_that_does_not_exist_is_422(suite, scopes):
    answer = suite.post("/auth/api-keys", {"name": "test", "scopes": scopes}, token=suite.token())
    assert answer.status == 422 and answer.json["detail"][0]["loc"] == ["body", "scopes"]


@pytest.mark.parametrize("scopes", SCOPES, ids=range(len(SCOPES)))
def test_a_key_may_do_what_its_scopes_name_and_nothing_else(suite, scopes):
    key = make_key(suite, suite.token(), scopes=scopes)["key"]
    chart = f"scoped-{time.time_ns()}"
    asked = [("i", "GET", "/auth/me", None), ("u", "PATCH", "/auth/me", {}), ("r", "GET", "/api/charts", None),
             ("c", "POST", f"/api/charts/{chart}", {}), ("h", "POST", f"/api/charts/{chart}/history", {}),
             ("d", "DELETE", f"/api/charts/{chart}", None), ("m", "GET", "/v1/models", None),
             ("c", "POST", "/v1/chat/completions", {})]
    done = ""
    for letter, method, path, body in asked:
        answer = suite.request(method, path, body, headers={"X-API-Key": key})
        assert answer.status != 401
        assert answer.status != 403 or b"permission_denied" in answer.body
        done += "-" if answer.status == 403 else letter
    assert done == SCOPES[scopes]


def test_a_scope_of_a_token_limits_it_as_well(suite):
    token = mint(suite, claims={"scope": "chart.read"})
    assert suite.get("/api/charts", token=token).status == 200
    assert suite.get("/auth/me", token=token).status == suite.get("/v1/models", token=token).status == 403


def test_a_key_cannot_make_or_list_keys(suite):
    key = make_key(suite, suite.token())["key"]
    assert suite.post("/auth/api-keys", {"name": "more"}, headers={"X-API-Key": key}).status == 403
    assert suite.get("/auth/api-keys", headers={"X-API-Key": key}).status == 403


def test_strangers_cannot_revoke_a_key(suite):
    key = make_key(suite, suite.token())
    assert suite.request("DELETE", f"/auth/api-keys/{key['id']}", token=suite.token()).status == 404
    assert suite.get("/auth/me", headers={"X-API-Key": key["key"]}).status == 200


@pytest.mark.parametrize("key", ["x", "qk_", "qk_0123456789abcdef_", "qk_" + "0" * 16 + "_" + "A" * 43, "a" * 9000])
def test_wrong_keys_are_401(suite, key):
    assert suite.get("/auth/me", headers={"X-API-Key": key}).status == 401


def test_keys_of_the_configuration(suite):
    private = suite.start({"API_KEYS": "sk-test-one-000000,sk-test-two-000000"})
    assert private.get("/v1/models", headers={"X-API-Key": "sk-test-two-000000"}).status == 200
    assert private.get("/v1/models", headers={"X-API-Key": "sk-test-three-0000"}).status == 401
    assert private.get("/auth/me", headers={"X-API-Key": "sk-test-two-000000"}).status == 403


# --- Access tokens ------------------------------------------------------------------------------

NO_KEY = object()


def mint(suite, claims=None, headers=None, secret=None, algorithm="HS256", drop=()):
    person = suite.register()
    body = jwt.decode(person["access_token"], options={"verify_signature": False})
    body.update(claims or {})
    for name in drop:
        del body[name]
    key = None if secret is NO_KEY else secret or suite.jwt_secret
    return jwt.encode(body, key, algorithm, headers={"typ": "at+jwt", **(headers or {})})


def test_a_token_minted_with_the_same_secret_is_accepted(suite):
    assert suite.get("/auth/me", token=mint(suite)).status == 200


def test_a_token_of_eight_kilobytes_fits(suite):
    token = mint(suite, claims={"padding": "x" * 5840})
    assert 8000 < len(token) <= 8192
    assert suite.get("/auth/me", token=token).status == 200
    assert suite.get("/auth/me", token=mint(suite, claims={"padding": "x" * 6000})).status == 401


@pytest.mark.parametrize("exp", [0.336, 0.5, 0.999999])
def test_a_date_of_a_token_may_have_a_fraction(suite, exp):
    now = int(time.time())
    assert suite.get("/auth/me", token=mint(suite, claims={"exp": now + 300 + exp, "iat": now - 2 + exp})).status == 200
    assert suite.get("/auth/me", token=mint(suite, claims={"exp": now - 300 + exp})).status == 401


BAD_TOKENS = {
    "wrong_secret": dict(secret="f" * 48), "wrong_type": dict(headers={"typ": "JWT"}),
    "other_algorithm": dict(algorithm="HS512"), "none_algorithm": dict(algorithm="none", secret=NO_KEY),
    "wrong_issuer": dict(claims={"iss": "somebody"}), "wrong_audience": dict(claims={"aud": "somebody"}),
    "expired": dict(claims={"exp": int(time.time()) - 3600}), "future": dict(claims={"iat": int(time.time()) + 3600}),
    "critical": dict(headers={"crit": ["x"], "x": 1}), "no_subject": dict(drop=["sub"]), "no_jti": dict(drop=["jti"]),
    "no_expiry": dict(drop=["exp"]), "unknown_user": dict(claims={"sub": "00000000-0000-4000-8000-000000000000"}),
    "unknown_session": dict(claims={"sid": "00000000-0000-4000-8000-000000000000"}),
    "embedded_key": dict(headers={"jwk": {"kty": "oct", "k": "AAAA"}}),
}


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_bad_access_tokens_are_401(suite, name):
    answer = suite.get("/auth/me", token=mint(suite, **BAD_TOKENS[name]))
    assert answer.status == 401
    assert answer.json["error"] == ("credential_expired" if name == "expired" else "invalid_credentials")


def test_auth_can_be_switched_off_in_development(suite):
    private = suite.start({"ENABLE_AUTH": "false"})
    assert private.get("/v1/models").status == 200
