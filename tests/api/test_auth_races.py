"""What an account promises while many requests for it run at the same time."""
import concurrent.futures

from suite import patient

PASSWORD = "correct horse battery"


def login(suite, person, password=PASSWORD):
    return patient(lambda: suite.post("/auth/login", {"email": person["email"], "password": password}))


def test_parallel_guesses_learn_nothing_beyond_the_fifth(suite):
    """Who is refused by the lock is told so whether the password was right or wrong: otherwise the
    guesses that were already being checked when the lock came would tell them apart."""
    person = suite.register()
    guesses = [f"wrong password {number}" for number in range(24)]
    with concurrent.futures.ThreadPoolExecutor(len(guesses)) as pool:
        answers = list(pool.map(lambda guess: login(suite, person, guess), guesses))
    words = [answer.json["error"] for answer in answers]
    assert words.count("invalid_credentials") == 5 and words.count("account_locked") == 19
    assert all(answer.headers["retry-after"] for answer in answers if answer.json["error"] == "account_locked")


def test_no_session_of_the_old_password_outlives_its_change(suite):
    """Also not one whose password was being checked while the change was made."""
    for attempt in range(3):
        person = suite.register()
        with concurrent.futures.ThreadPoolExecutor(33) as pool:
            logins = [pool.submit(login, suite, person) for _ in range(12)]
            body = {"current_password": PASSWORD, "new_password": f"another password {attempt}"}
            change = pool.submit(patient, lambda: suite.post("/auth/change-password", body,
                                                             token=person["access_token"]))
            logins += [pool.submit(login, suite, person) for _ in range(20)]
        assert change.result().status == 200
        answers = [done.result() for done in logins]
        assert {answer.status for answer in answers} <= {200, 401}
        tokens = [answer.json["access_token"] for answer in answers if answer.status == 200]
        assert {suite.get("/auth/me", token=token).status for token in tokens} <= {401}
        assert suite.get("/auth/me", token=person["access_token"]).status == 200
