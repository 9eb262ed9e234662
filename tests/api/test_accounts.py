"""Accounts from their operator's side: locks, removal, invitations and one-time passwords, each seen by
running programs with the next request."""
import concurrent.futures
import json
import os
import re
import subprocess

from suite import BUILD, patient


def quintet(suite, *arguments):
    """The command on the state of a running suite."""
    done = subprocess.run([str(BUILD / "cli" / "quintet"), *arguments], capture_output=True, text=True, timeout=60,
                          env={"PATH": os.environ["PATH"], "STATE_DIR": str(suite.state), "QUINTET_CONFIG": "/dev/null",
                               "JWT_SECRET_KEY": suite.jwt_secret, "LOG_FILE": "/dev/null", **suite.environment})
    assert done.returncode == 0, done
    return done.stdout


def log_in(suite, email, password):
    return patient(lambda: suite.post("/auth/login", {"email": email, "password": password}))


class Holder:
    """Somebody with a session, a key, and a token in the session cache of every program."""

    def __init__(self, suite):
        self.suite = suite
        self.person = suite.register()
        self.token = self.person["access_token"]
        self.key = suite.post("/auth/api-keys", {"name": "k"}, token=self.token).json["key"]
        assert self.statuses() == {200}

    def statuses(self):
        paths = ["/auth/me", "/chat/sessions", "/api/charts", "/health/cost-tracking"]
        return {self.suite.get(path, **credentials).status for path in paths
                for credentials in ({"token": self.token}, {"token": self.key}, {"headers": {"X-API-Key": self.key}})}

    def refresh(self):
        return self.suite.post("/auth/refresh", {"refresh_token": self.person["refresh_token"]}).status


def test_a_lock_is_seen_by_the_next_request_of_every_program(suite):
    holder, other = Holder(suite), Holder(suite)
    quintet(suite, "user", "lock", holder.person["email"])
    assert holder.statuses() == {401}
    assert holder.refresh() == 401
    assert log_in(suite, holder.person["email"], holder.person["password"]).json["error"] == "account_locked"
    assert other.statuses() == {200}
    quintet(suite, "user", "unlock", holder.person["email"])
    assert suite.get("/auth/me", token=holder.key).status == 200
    assert suite.get("/auth/me", token=holder.token).status == 401


def test_removing_an_account_is_seen_by_the_next_request_of_every_program(suite):
    holder, other = Holder(suite), Holder(suite)
    assert quintet(suite, "user", "delete", holder.person["email"]) == f"{holder.person['email']} is deleted\n"
    assert holder.statuses() == {401}
    assert holder.refresh() == 401
    assert log_in(suite, holder.person["email"], holder.person["password"]).status == 401
    assert other.statuses() == {200}
    assert suite.post("/auth/register", {"email": holder.person["email"], "password": "another one"}).status == 201


def test_another_password_ends_keys_and_other_sessions(suite):
    holder = Holder(suite)
    answer = suite.post("/auth/change-password", {"current_password": holder.person["password"],
                                                  "new_password": "battery staple"}, token=holder.token)
    assert answer.status == 200
    assert suite.get("/api/charts", token=holder.token).status == 200
    assert suite.get("/api/charts", token=holder.key).status == 401
    again = Holder(suite)
    made = json.loads(quintet(suite, "user", "password", again.person["email"], "--json"))["password"]
    assert again.statuses() == {401}
    assert log_in(suite, again.person["email"], made).status == 200
    assert log_in(suite, again.person["email"], made).status == 401


def test_a_lock_beats_a_login_that_runs(suite):
    """However they meet: once the lock has been made, no session lives."""
    for _ in range(3):
        person = suite.register()
        with concurrent.futures.ThreadPoolExecutor(9) as pool:
            logins = [pool.submit(log_in, suite, person["email"], person["password"]) for _ in range(8)]
            pool.submit(quintet, suite, "user", "lock", person["email"]).result()
        tokens = [answer.json["access_token"] for answer in (done.result() for done in logins) if answer.status == 200]
        assert {suite.get("/auth/me", token=token).status for token in tokens} <= {401}


def test_the_first_administrators_password_works_once_and_must_be_changed(suite):
    private = suite.start()
    email, password = re.search(r"administrator:?\s+(\S+)\s+password:?\s+(\S+)", private.output).groups()
    session = log_in(private, email, password)
    assert session.status == 200
    token = session.json["access_token"]
    assert log_in(private, email, password).json["error"] == "invalid_credentials"
    for method, path in (("GET", "/auth/api-keys"), ("GET", "/api/charts"), ("GET", "/v1/models"),
                         ("PATCH", "/auth/me"), ("GET", "/chat/sessions")):
        answer = private.request(method, path, {} if method == "PATCH" else None, token=token)
        assert answer.status == 403 and b"one-time password" in answer.body, answer
    assert private.get("/auth/me", token=token).status == 200
    # A refreshed token may no more.
    refreshed = private.post("/auth/refresh", {"refresh_token": session.json["refresh_token"]}).json["access_token"]
    assert private.get("/api/charts", token=refreshed).status == 403
    answer = private.post("/auth/change-password", {"current_password": password, "new_password": "of my own choice"},
                          token=token)
    assert answer.status == 200
    assert private.get("/api/charts", token=token).status == 200
    # The key that was printed beside it goes on.
    assert private.get("/api/charts", token=private.admin_key()).status == 200
    for _ in range(2):
        assert log_in(private, email, "of my own choice").status == 200


def test_registration_by_invitation(suite):
    private = suite.start({"REGISTRATION": "invite"})
    body = {"email": "ada@example.com", "password": "correct horse"}
    assert private.post("/auth/register", body).json["error"] == "permission_denied"
    code = quintet(private, "user", "invite", "--days", "2").split()[-1]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        asked = [{**body, "email": f"ada{n}@example.com", "invite_code": code} for n in range(6)]
        answers = list(pool.map(lambda each: patient(lambda: private.post("/auth/register", each)), asked))
    assert sorted(answer.status for answer in answers) == [201, 403, 403, 403, 403, 403]
    assert quintet(private, "user", "list").count("@example.com") == 2
    stored = b"".join(path.read_bytes() for path in private.state.glob("quintet.db*"))
    assert code.encode() not in stored


def test_closed_registration_is_403(suite):
    private = suite.start({"REGISTRATION": "closed"})
    answer = private.post("/auth/register", {"email": "ada@example.com", "password": "correct horse"})
    assert answer.status == 403 and answer.json["error"] == "permission_denied"
    assert answer.json["message"] == "Registration is closed"


def test_a_storm_of_logins_is_refused_at_once_and_holds_nobody_up(suite):
    """Workers do not queue for a hash: what has no place is 503 with Retry-After, and other routes answer."""
    person = suite.register()
    with concurrent.futures.ThreadPoolExecutor(48) as pool:
        storm = [pool.submit(suite.post, "/auth/login", {"email": person["email"], "password": person["password"]})
                 for _ in range(300)]
        assert {suite.get("/auth/me", token=person["access_token"]).status for _ in range(50)} == {200}
        answers = [done.result() for done in storm]
    statuses = {answer.status for answer in answers}
    assert statuses == {200, 503}
    for answer in answers:
        if answer.status == 503:
            assert answer.json["error"] == "service_overloaded" and int(answer.headers["retry-after"]) >= 1
