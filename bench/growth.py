"""Costs that must not grow with the installation: each line of `script/bench growth` is measured at
several sizes, and its cost must stay flat or grow like a logarithm.

A line is a function with @line(name, sizes): it gets a Place (a running suite without rate limits,
a user's token and owner, the database) and is a generator. For each size it fills the place up to
that size and yields what is to be timed, a function without arguments:

    @line("list of charts", (100, 10_000, 100_000))
    def list_of_charts(place):
        for size in place.sizes:
            place.sql_many("INSERT INTO charts …", rows(place.added(size)))
            yield lambda: place.get("/api/charts?limit=50")

Filling by SQL is quick; it may go on while the programs run. The median of REPEATS runs counts;
below FLOOR seconds nothing is told apart.
"""
import contextlib
import pathlib
import sqlite3
import statistics
import time

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
        costs = [measure(work) for work in function(place)]
        assert len(costs) == len(sizes), name
        growth = max(costs[-1], FLOOR) / max(costs[0], FLOOR)
        detail = ", ".join(f"{size:,}: {cost * 1e3:.1f} ms" for size, cost in zip(sizes, costs))
        row(name, f"{growth:.1f} x", f"<= {limit:g}", growth <= limit, detail)


# --- Charts ---------------------------------------------------------------------------------------

NOW = int(time.time() * 1000)


@line("list of charts, first page", (100, 10_000, 100_000))
def list_of_charts(place):
    for size in place.sizes:
        place.sql_many("INSERT INTO charts (owner, id, options, created_at, updated_at) "
                       f"VALUES ('{place.owner}', ?, '{{}}', {NOW}, {NOW})",
                       ((f"chart-{number:07}",) for number in place.added(size)))
        yield lambda: place.get("/api/charts?limit=50")


def fill_line(place, numbers, batch=200_000):
    numbers = list(numbers)
    for start in range(0, len(numbers), batch):
        points = ",".join(f'{{"time":{1_000_000_000 + 60 * number},"value":{number % 997}}}'
                          for number in numbers[start:start + batch])
        method = "POST" if numbers[start] == 0 else "PATCH"
        place.request(method, "/api/charts/c/data/s", timeout=120,
                      raw=f'{{"pane_id":0,"series_type":"line","data":[{points}]}}'.encode(),
                      headers={"Content-Type": "application/json"})


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
