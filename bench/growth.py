"""Costs that must not grow with the installation: each line of `script/bench growth` is measured at
several sizes, and its cost must stay flat or grow like a logarithm.

A line is a function with @line(name, sizes): it gets a Place (a running suite without rate limits,
a user's token and owner, the database) and is a generator. For each size it fills the place up to
that size and yields what is to be timed, a function without arguments:

    @line("list of charts", (100, 10_000, 100_000))
    def list_of_charts(place):
        for size in place.sizes:
            place.sql_many("INSERT INTO charts …", rows(place.added(size)))
            yield lambda: place.get("/api/charts?page_size=50")

A line that measures by itself yields seconds instead. Filling by SQL is quick; it may go on while the programs run. The median of REPEATS runs counts;
below FLOOR seconds nothing is told apart.
"""
import contextlib
import itertools
import os
import pathlib
import sqlite3
import statistics
import subprocess
import threading
import time

from measure import BUILD

REPEATS = 7
FLOOR = 0.002
GROWTH_MAXIMUM = 3.0
LINES = []


def line(name, sizes, limit=GROWTH_MAXIMUM):
    def add(function):
        LINES.append((name, sizes, limit, function))
        return function
    return add


class Place:
    """One suite that a line fills."""

    def __init__(self, suite, sizes):
        self.suite = suite
        self.sizes = sizes
        self.filled = 0
        self.token = suite.token()
        self.database = pathlib.Path(suite.state) / "quintet.db"
        (number,), = self.sql("SELECT max(id) FROM users")
        self.owner = f"user:{number}"
        self.user = number

    def added(self, size):
        """The numbers of what is still missing up to `size`."""
        numbers = range(self.filled, size)
        self.filled = size
        return numbers

    def sql(self, statement, values=()):
        with contextlib.closing(sqlite3.connect(self.database, timeout=30)) as database:
            rows = database.execute(statement, values).fetchall()
            database.commit()
            return rows

    def sql_many(self, statement, rows):
        with contextlib.closing(sqlite3.connect(self.database, timeout=30)) as database:
            database.executemany(statement, rows)
            database.commit()

    def request(self, method, path, body=None, **options):
        answer = self.suite.request(method, path, body, token=self.token, **options)
        assert answer.status < 300, answer
        return answer

    def get(self, path):
        return self.request("GET", path)

    def command(self, *arguments):
        """The `quintet` command on this place."""
        subprocess.run([BUILD / "cli" / "quintet", *arguments], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "STATE_DIR": str(self.suite.state), "QUINTET_CONFIG": "/dev/null",
                            "JWT_SECRET_KEY": self.suite.jwt_secret, "LOG_FILE": "/dev/null"})


def measure(work):
    work()  # statements are prepared, pages are read
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def run(shop, row, environment, words):
    """All lines, or those whose name contains one of the words."""
    for name, sizes, limit, function in LINES:
        if words and not any(word in name for word in words):
            continue
        place = Place(shop.suite(**environment), sizes)
        costs = [work if isinstance(work, float) else measure(work) for work in function(place)]
        assert len(costs) == len(sizes), name
        growth = max(costs[-1], FLOOR) / max(costs[0], FLOOR)
        detail = ", ".join(f"{size:,}: {cost * 1e3:.1f} ms" for size, cost in zip(sizes, costs))
        row(name, f"{growth:.1f} x", f"<= {limit:g}", growth <= limit, detail)


# --- Charts ---------------------------------------------------------------------------------------

NOW = int(time.time() * 1000)


def fill_charts(place, size):
    place.sql_many("INSERT INTO charts (owner, id, options, created_at, updated_at) "
                   f"VALUES ('{place.owner}', ?, '{{}}', {NOW}, {NOW})",
                   ((f"chart-{number:07}",) for number in place.added(size)))


@line("list of charts, first page", (100, 10_000, 100_000))
def list_of_charts(place):
    for size in place.sizes:
        fill_charts(place, size)
        yield lambda: place.get("/api/charts?page_size=50")


@line("list of charts, last page", (100, 1_000, 10_000))
def end_of_the_list_of_charts(place):
    """The rows before a page are skipped one by one: with as many charts as CHARTS_PER_OWNER allows, that must not show."""
    for size in place.sizes:
        fill_charts(place, size)
        yield lambda: place.get(f"/api/charts?page={size // 50}&page_size=50")


def line_body(numbers):
    points = ",".join(f'{{"time":{1_000_000_000 + 60 * number},"value":{number % 997}}}' for number in numbers)
    return f'{{"pane_id":0,"series_type":"line","data":[{points}]}}'.encode()


def write_line(place, method, body):
    place.request(method, "/api/charts/c/data/s", timeout=120, raw=body, headers={"Content-Type": "application/json"})


def fill_line(place, numbers, batch=200_000):
    numbers = list(numbers)
    for start in range(0, len(numbers), batch):
        write_line(place, "POST" if numbers[start] == 0 else "PATCH", line_body(numbers[start:start + batch]))


@line("a page of history in the middle of a series", (1_000, 100_000, 1_000_000))
def history_page(place):
    for size in place.sizes:
        fill_line(place, place.added(size))
        middle = 1_000_000_000 + 60 * (size // 2)
        yield lambda: place.get(f"/api/charts/c/history/0/s?count=500&before_time={middle}")


@line("a point inserted into the past of a series", (1_000, 100_000, 1_000_000))
def point_in_the_past(place):
    times = iter(range(1_000_000_001, 2_000_000_000, 60))
    for size in place.sizes:
        fill_line(place, place.added(size))
        yield lambda: place.request("PATCH", "/api/charts/c/data/s",
                                    {"mode": "upsert", "data": [{"time": next(times), "value": 1}]})


def worst_meanwhile(place, work):
    """The slowest of somebody else's appends while the work is done, in seconds."""
    times = itertools.count(1)
    place.request("POST", "/api/charts/other/data/o", {"series_type": "line", "data": []})
    worst = 0.0
    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        began = time.perf_counter()
        place.request("PATCH", "/api/charts/other/data/o", {"data": [{"time": next(times), "value": 1}]})
        worst = max(worst, time.perf_counter() - began)
    thread.join()
    return worst


@line("another's write while a series is replaced and deleted", (1_000, 100_000, 500_000), limit=100)
def others_writes(place):
    """Not how long it takes, but how long others wait: `yield` is given seconds, not work."""
    for size in place.sizes:
        body = line_body(range(size))  # before, for this interpreter runs one thread at a time

        def work():
            write_line(place, "POST", body)
            write_line(place, "POST", body)
            place.request("DELETE", "/api/charts/c")

        yield worst_meanwhile(place, work)


# --- Accounts ---------------------------------------------------------------------------------------

SECONDS = int(time.time())


def add_users(place, size):
    numbers = place.added(size)
    place.sql_many("INSERT INTO users (id, email, password_hash, created_at) VALUES (?, ?, 'none', ?)",
                   ((f"user-{number:07}", f"user{number}@example.org", SECONDS + number // 100) for number in numbers))
    return numbers


@line("quintet user list, all users (linear)", (1_000, 10_000, 100_000), limit=200)
def user_list(place):
    for size in place.sizes:
        add_users(place, size)
        yield lambda: place.command("user", "list", "--json")


@line("own sessions, among others'", (1_000, 10_000, 100_000))
def own_sessions(place):
    for size in place.sizes:
        add_sessions(place, size, SECONDS + 86400)
        yield lambda: place.get("/auth/sessions")


def add_sessions(place, size, end):
    numbers = add_users(place, size)
    place.sql_many("INSERT INTO sessions (id, user_id, user_agent, address, created_at, last_used_at, expires_at) "
                   f"VALUES (?, ?, '', '', 0, 0, {end})",
                   ((f"session-{number}", f"user-{number:07}") for number in numbers))
    place.sql_many("INSERT INTO refresh_tokens (hash, session_id, sealed, expires_at) "
                   f"VALUES (?, ?, x'', {end})",
                   ((number.to_bytes(32, "big"), f"session-{number}") for number in numbers))


@line("own API keys, among others'", (1_000, 10_000, 100_000))
def own_keys(place):
    for size in place.sizes:
        place.sql_many("INSERT INTO api_keys (id, user_id, name, scopes, tier, hash, created_at, expires_at) "
                       "VALUES (?, ?, 'k', '', '', ?, 0, 0)",
                       ((f"{number:016x}", f"user-{number:07}", number.to_bytes(32, "big"))
                        for number in add_users(place, size)))
        yield lambda: place.get("/auth/api-keys")


@line("one batch of the session sweep", (1_000, 10_000, 100_000))
def session_sweep(place):
    """The statements of the sweep themselves, on what is not to be swept."""
    statements = sweep_statements()
    for size in place.sizes:
        add_sessions(place, size, SECONDS + 86400)
        yield lambda: [place.sql(statement, (SECONDS, 500)) for statement in statements]


def sweep_statements():
    text = (pathlib.Path(__file__).resolve().parents[1] / "sql/sqlite/queries/sessions.sql").read_text()
    parts = dict(part.split("\n", 1) for part in text.split("-- name: ")[1:])
    return [parts[name] for name in ("session_sweep_expired", "session_sweep_revoked", "refresh_token_sweep")]


@line("a wrong password, among counted names", (1_000, 10_000, 100_000))
def wrong_password(place):
    names = itertools.count()
    for size in place.sizes:
        place.sql_many("INSERT INTO login_failures (name, network, failures, locked_until, last_failed_at) "
                       f"VALUES (?, '192.0.2.1', 1, 0, {SECONDS})",
                       ((number.to_bytes(32, "big"),) for number in place.added(size)))
        yield lambda: place.suite.post("/auth/login", {"email": f"{next(names)}@example.org", "password": "wrong"})
