"""What an account promises while many requests for it run at the same time."""
import concurrent.futures

PASSWORD = "correct horse battery"


def login(suite, person, password=PASSWORD):
    return suite.post("/auth/login", {"email": person["email"], "password": password})


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
