"""Prices that nobody here has written, through the API: what is read is what was sent, every point
once, to the last digit. The data sets are those of tests/data."""
import csv
import datetime
import json

import pytest

from suite import ROOT

DATA = ROOT / "tests/data/node_modules/vega-datasets/data"
DAYS = 5105  # points of sp500-2000.csv

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="not there: npm ci in tests/data")


def seconds(date, spelling="%Y-%m-%d"):
    day = datetime.datetime.strptime(date, spelling).replace(tzinfo=datetime.timezone.utc)
    return int(day.timestamp())


def table(name):
    """Rows of a CSV file, each value spelled as in the file."""
    with (DATA / name).open(newline="") as file:
        return list(csv.DictReader(file))


def point(time, **members):
    """The JSON of a point. Members are JSON already: a float would lose the spelling."""
    return f'{{"time":{time}' + "".join(f',"{name}":{value}' for name, value in members.items()) + "}"


def index_days(time_of):
    """The S&P 500 as candles with two members of their own."""
    return [point(time_of(row["date"]), open=row["open"], high=row["high"], low=row["low"],
                  close=row["close"], adjclose=row["adjclose"], volume=row["volume"])
            for row in table("sp500-2000.csv")]


def stocks():
    """Symbol → its months."""
    series = {}
    for row in table("stocks.csv"):
        series.setdefault(row["symbol"], []).append(
            point(seconds(row["date"], "%b %d %Y"), value=row["price"]))
    return series


def as_text(points):
    return "[" + ",".join(points) + "]"


def data_of(answer):
    """The text of the member `data`, exactly as it was sent."""
    assert answer.status == 200, answer
    text = answer.body.decode()
    start = text.index('"data":') + len('"data":')
    _, end = json.JSONDecoder().raw_decode(text, start)
    return text[start:end]


class Client:
    """One person's charts."""

    def __init__(self, suite):
        self.suite = suite
        self.token = suite.token()

    def get(self, path):
        return self.suite.get(f"/api/charts/{path}", token=self.token)

    def store(self, chart, series, kind, points, pane=0):
        """Replaces the series; `points` are JSON texts, or one text of them all."""
        data = points if isinstance(points, str) else as_text(points)
        raw = f'{{"pane_id":{pane},"series_type":"{kind}","data":{data}}}'.encode()
        return self.suite.request("POST", f"/api/charts/{chart}/data/{series}", raw=raw,
                                  token=self.token, headers={"Content-Type": "application/json"})

    def history(self, chart, series, pane=0, **query):
        words = "&".join(f"{name}={value}" for name, value in query.items())
        return self.get(f"{chart}/history/{pane}/{series}?{words}")


@pytest.fixture
def client(suite):
    return Client(suite)


@pytest.fixture(scope="module")
def days(shared_suite):
    """A client with the S&P 500 as index/spx, and the points as they must come back."""
    client = Client(shared_suite)
    points = index_days(seconds)
    assert len(points) == DAYS and 'open":1469.250000,' in points[0]
    assert client.store("index", "spx", "candlestick", points).json["count"] == DAYS
    return client, points


# --- What comes back ------------------------------------------------------------------------------

@pytest.mark.parametrize("time_of", [seconds, lambda date: f'"{date}"',
                                     lambda date: seconds(date) * 1000],
                         ids=["seconds", "dates", "milliseconds"])
def test_numbers_come_back_as_they_were_spelled_and_times_as_seconds(client, time_of):
    answer = client.store("spelling", "spx", "candlestick", index_days(time_of))
    assert answer.status == 200, answer
    assert answer.json == {"seriesId": "spx", "seriesType": "candlestick", "count": DAYS}
    assert data_of(client.history("spelling", "spx", count=10000)) == as_text(index_days(seconds))


def test_members_of_a_candle_that_no_type_knows_are_kept(client):
    text = (DATA / "ohlc.json").read_text().replace('"date":', '"time":')
    candles = json.loads(text, parse_float=lambda spelled: f"={spelled}")
    assert client.store("vix", "vix", "candlestick", text).json["count"] == len(candles) == 44
    answer = client.get("vix/data/0/vix")
    received = json.loads(data_of(answer), parse_float=lambda spelled: f"={spelled}",
                          object_pairs_hook=list)
    assert received == [[(name, seconds(value) if name == "time" else value)
                         for name, value in candle.items()] for candle in candles]
    assert received[0][-1] == ("ret", "=-4.89396411092985") and answer.json["chunked"] is False


def test_a_long_series_is_read_as_its_newest_part(days):
    client, points = days
    answer = client.get("index/data/0/spx")
    assert data_of(answer) == as_text(points[-500:])
    body = answer.json
    assert (body["chunked"], body["hasMoreBefore"], body["hasMoreAfter"]) == (True, True, False)
    assert (body["totalCount"], body["chunkInfo"]["start_index"]) == (DAYS, DAYS - 500)


def test_the_shares_of_a_file_are_series_of_one_chart(client):
    series = stocks()
    assert {symbol: len(points) for symbol, points in series.items()} == {
        "MSFT": 123, "AMZN": 123, "IBM": 123, "GOOG": 68, "AAPL": 123}
    panes = {symbol: 1 if symbol == "GOOG" else 0 for symbol in series}
    for symbol, points in series.items():
        answer = client.store("stocks", symbol, "line", points, panes[symbol])
        assert answer.json["count"] == len(points), answer
    chart = client.get("stocks").json
    assert {(pane["paneId"], each["seriesId"]): each["totalCount"]
            for pane in chart["panes"] for each in pane["series"]} == {
                (panes[symbol], symbol): len(points) for symbol, points in series.items()}
    for symbol, points in series.items():
        assert data_of(client.get(f"stocks/data/{panes[symbol]}/{symbol}")) == as_text(points)


# --- Paging ---------------------------------------------------------------------------------------

# 512 is the size of a stored block, which no page may let show.
@pytest.mark.parametrize("count", [97, 500, 511, 512, 513, 5104, 5105, 5106, 10000])
def test_pages_to_the_beginning_hold_every_point_once(days, count):
    client, points = days
    pages, query, end = [], {}, DAYS
    while True:
        answer = client.history("index", "spx", count=count, **query)
        page, info = data_of(answer), answer.json["chunkInfo"]
        assert (info["start_index"], info["end_index"]) == (max(end - count, 0), end)
        assert answer.json["hasMoreAfter"] == (end < DAYS)
        pages.insert(0, page[1:-1])
        end = info["start_index"]
        if not answer.json["hasMoreBefore"]:
            break
        assert end > 0, "more is promised before the first point"
        query = {"before_time": info["start_time"]}
    assert end == 0 and as_text(pages) == as_text(points)


@pytest.mark.parametrize("count", [500, 512, 5105])
def test_pages_to_the_end_hold_every_point_once(days, count):
    client, points = days
    pages, query, start = [], {"from": 0}, 0
    while True:
        answer = client.history("index", "spx", count=count, **query)
        page, info = data_of(answer), answer.json["chunkInfo"]
        assert (info["start_index"], info["end_index"]) == (start, min(start + count, DAYS))
        pages.append(page[1:-1])
        start = info["end_index"]
        if not answer.json["hasMoreAfter"]:
            break
        assert start < DAYS, "more is promised after the last point"
        query = {"after_time": info["end_time"]}
    assert start == DAYS and as_text(pages) == as_text(points)


# 1 January and 31 December of 2011 are Saturdays: no points. The inner two are the year's first
# and last point, which a range holds.
@pytest.mark.parametrize("first, last", [("2011-01-01", "2011-12-31"), ("2011-01-03", "2011-12-30")])
def test_a_range_holds_the_days_of_its_bounds_and_between(days, first, last):
    client, points = days
    dates = [row["date"] for row in table("sp500-2000.csv")]
    year = [points[index] for index, date in enumerate(dates) if date.startswith("2011-")]
    answer = client.history("index", "spx", count=1000, to=seconds(last), **{"from": seconds(first)})
    assert len(year) == 252 and data_of(answer) == as_text(year)
    assert answer.json["hasMoreBefore"] and answer.json["hasMoreAfter"]


# --- What stays -----------------------------------------------------------------------------------

def test_a_series_that_grew_day_by_day_is_the_one_sent_at_once(days):
    client, points = days
    client.store("index", "grown", "candlestick", points[:5000])
    for start in range(5000, DAYS, 7):
        raw = f'{{"data":{as_text(points[start:start + 7])}}}'.encode()
        answer = client.suite.request("PATCH", "/api/charts/index/data/grown", raw=raw,
                                      token=client.token,
                                      headers={"Content-Type": "application/json"})
        assert answer.status == 200 and answer.json["count"] == start + 7, answer
    assert data_of(client.history("index", "grown", count=10000)) == as_text(points)


def test_a_point_out_of_order_refuses_the_file_and_changes_nothing(client):
    points = index_days(seconds)
    client.store("order", "spx", "candlestick", points)
    answer = client.store("order", "spx", "candlestick", [*points[:4000], points[3999]])
    assert answer.status == 422 and answer.json["detail"][0]["loc"] == ["body", "data", 4000, "time"], answer
    assert data_of(client.history("order", "spx", count=10000)) == as_text(points)


def test_a_restart_keeps_every_series(suite, tmp_path):
    first = suite.start(state=tmp_path)
    client = Client(first)
    client.store("index", "spx", "candlestick", index_days(seconds))
    for symbol, points in stocks().items():
        client.store("stocks", symbol, "line", points)
    paths = ["index/data/0/spx", "index/history/0/spx?count=10000", "index", "stocks",
             "stocks?panes=map"]
    before = [client.get(path) for path in paths]
    first.stop()
    client.suite = suite.start(state=tmp_path)
    after = [client.get(path) for path in paths]
    assert [answer.status for answer in before] == [200] * len(paths)
    assert [answer.body for answer in after] == [answer.body for answer in before]
    assert data_of(after[1]) == as_text(index_days(seconds))
