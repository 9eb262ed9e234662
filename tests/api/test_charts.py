"""Charts through the whole suite: points in, pages out, nobody else's."""
import concurrent.futures
import csv
import http.client
import io
import json
import os
import pathlib
import signal
import sqlite3
import time
import uuid

import jwt
import pytest

from suite import wait_until

DATASETS = pathlib.Path(__file__).resolve().parents[1] / "data" / "node_modules" / "vega-datasets" / "data"
DAY = 86400


@pytest.fixture(scope="module")
def token(shared_suite):
    return shared_suite.token()


class Chart:
    """One chart of its own for a test, and the routes on it."""

    def __init__(self, suite, token, name=None):
        self.suite = suite
        self.token = token
        self.id = name or f"chart-{uuid.uuid4().hex}"
        self.path = f"/api/charts/{self.id}"

    def request(self, method, path="", body=None, **options):
        return self.suite.request(method, self.path + path, body, token=self.token, **options)

    def replace(self, data, series="s", series_type="line", **members):
        return self.request("POST", f"/data/{series}", {"series_type": series_type, "data": data, **members})

    def extend(self, data, series="s", **members):
        return self.request("PATCH", f"/data/{series}", {"data": data, **members})

    def series(self, series="s", pane=0, **options):
        return self.request("GET", f"/data/{pane}/{series}", **options)

    def history(self, query="", series="s", pane=0, **options):
        return self.request("GET", f"/history/{pane}/{series}?{query}", **options)


@pytest.fixture
def chart(suite, token):
    return Chart(suite, token)


def line(start, end):
    return [{"time": i, "value": i} for i in range(start, end)]


def candles(count):
    """Minutes of a market: two decimals, as feeds send them."""
    price = 10000
    for i in range(count):
        price += (i * 7919) % 201 - 100
        low, high = min(price, 9950) - i % 13, max(price, 9950) + i % 17
        yield {"time": 1500000000 + 60 * i, "open": price / 100, "high": high / 100, "low": low / 100,
               "close": 99.5, "volume": (i * 31) % 5000}


# --- Charts -------------------------------------------------------------------------------------

def test_creating_is_idempotent_and_the_stored_options_win(chart):
    first = chart.request("POST", body={"width": 800, "timeScale": {"visible": True}, "x": 1.0})
    assert first.status == 200
    options = {"width": 800, "timeScale": {"visible": True}, "time_scale": {"visible": True}, "x": 1.0}
    assert first.json == {"chartId": chart.id, "options": options}
    assert chart.request("POST", body={"width": 100}).json == first.json
    assert chart.request("PUT", body={"width": 200}).json == {"chartId": chart.id, "options": {"width": 200}}
    assert chart.request("GET").json == {"chartId": chart.id, "panes": [], "options": {"width": 200}}


def test_a_chart_needs_no_body(chart):
    assert chart.request("POST").json == {"chartId": chart.id, "options": {}}


def test_options_must_be_an_object(chart):
    for raw, status in ((b"[]", 422), (b"7", 422), (b"{", 400), (b'{"a":1,"a":2}', 400), (b'{"a":1e999}', 422)):
        answer = chart.request("POST", raw=raw, headers={"Content-Type": "application/json"})
        assert answer.status == status, (raw, answer)
    assert chart.request("POST", raw=b"{}", headers={"Content-Type": "text/plain"}).status == 415
    assert chart.request("GET").status == 404


def test_what_is_absent_is_named(chart):
    assert chart.request("GET").json["message"] == "Chart not found"
    for answer in (chart.series(), chart.history(), chart.extend(line(0, 1)), chart.request("DELETE")):
        assert answer.status == 404 and answer.json["detail"] == f"Chart '{chart.id}' not found"
    chart.request("POST")
    for answer in (chart.series(), chart.history(), chart.extend(line(0, 1)), chart.request("DELETE", "/data/0/s")):
        assert answer.status == 404
        assert answer.json["detail"] == f"Series 's' not found in pane 0 of chart '{chart.id}'"


def test_list_pages_through_own_charts(suite):
    token = suite.token()
    for i in range(7):
        assert suite.post(f"/api/charts/own-{i}", token=token).status == 200
    pages = [suite.get(f"/api/charts?page={number}&page_size=3", token=token).json for number in (1, 2, 3, 4)]
    assert [[chart["chartId"] for chart in page["items"]] for page in pages] == [
        ["own-0", "own-1", "own-2"], ["own-3", "own-4", "own-5"], ["own-6"], []]
    assert [page["total"] for page in pages] == [7] * 4


def test_delete_removes_series_and_charts(chart):
    chart.replace(line(0, 3))
    chart.replace(line(0, 3), series="t", pane_id=1)
    assert chart.request("DELETE", "/data/1/t").status == 204
    assert [pane["paneId"] for pane in chart.request("GET").json["panes"]] == [0]
    assert chart.request("DELETE").status == 204
    assert chart.request("GET").status == 404


def test_panes_as_list_and_as_map(chart):
    chart.replace([{"time": 1, "value": 2}], series="a", options={"color": "red"})
    chart.replace(line(0, 600), series="b", pane_id=3)
    panes = chart.request("GET").json["panes"]
    assert [(pane["paneId"], [s["seriesId"] for s in pane["series"]]) for pane in panes] == [(0, ["a"]), (3, ["b"])]
    assert panes[0]["series"][0] == chart.series("a").json
    assert panes[1]["series"][0] == chart.series("b", 3).json
    assert panes[1]["series"][0]["chunked"] is True
    mapped = chart.request("GET", "?panes=map").json["panes"]
    assert mapped == {"0": {"a": chart.series("a").json}, "3": {"b": chart.series("b", 3).json}}
    assert chart.request("GET", "?panes=list").json["panes"] == panes
    answer = chart.request("GET", "?panes=tree")
    assert answer.status == 422 and answer.json["detail"][0]["loc"] == ["query", "panes"]


# --- Ids ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("name,status", [
    ("x" * 128, 200), ("x" * 129, 422), ("A_z-0.9", 200), ("a..b", 400), ("a%20b", 400), ("abc%0A", 400),
    ("%C3%A9", 400), ("a%00b", 400), ("a%2Fb", 400), ("a$b", 400)])
def test_chart_ids(suite, token, name, status):
    assert suite.post(f"/api/charts/{name}", {}, token=token).status == status


@pytest.mark.parametrize("query", ["resolution=60", "max_points=5", "maxPoints=5", "method=lttb", "format=f64"])
def test_what_is_documented_and_not_built_is_refused(chart, query):
    """An answer without it would be taken for one with it."""
    chart.replace(line(0, 3))
    name, _, value = query.partition("=")
    member = {"pane_id": 0, "series_id": "s", name: value}
    for answer in (chart.history(query), chart.request("GET", f"/data/0/s?{query}"),
                   chart.request("POST", f"/history?{query}", {"pane_id": 0, "series_id": "s"}),
                   chart.request("POST", "/history", member)):
        assert answer.status == 400 and answer.json["error"] == "invalid_request"
    several = chart.request("POST", "/history", {"requests": [{"pane_id": 0, "series_id": "s"}, member]})
    assert [answer.get("error") for answer in several.json["results"]] == [None, "invalid_request"]
    assert chart.history("unknown=1").status == 200


@pytest.mark.parametrize("pane", ["101", "-1", "x", "1.5", "99999999999999999999"])
def test_panes_are_0_to_100(chart, pane):
    chart.replace(line(0, 3), pane_id=100)
    assert chart.series(pane=100).status == 200
    for answer in (chart.series(pane=pane), chart.history(pane=pane), chart.request("DELETE", f"/data/{pane}/s")):
        assert answer.status == 422 and answer.json["detail"][0]["loc"] == ["path", "pane_id"]
    assert chart.replace([], pane_id=101).status == 422
    assert chart.extend([], pane_id=500).status == 422


# --- Points in ----------------------------------------------------------------------------------

def test_points_come_back_as_they_were_sent(chart):
    raw = (b'{"series_type":"Line","data":[{"time":1,"value":1,"color":"#f00"},{"time":2.0,"value":1.0},'
           b'{"time":3,"value":1e3,"n":{"deep":[1, 2.50]}},{"time":4,"value":0.1000},{"time":5}]}')
    answer = chart.request("POST", "/data/s", raw=raw, headers={"Content-Type": "application/json; charset=utf-8"})
    assert answer.json == {"seriesId": "s", "seriesType": "Line", "count": 5}
    assert (b'"data":[{"time":1,"value":1,"color":"#f00"},{"time":2,"value":1.0},'
            b'{"time":3,"value":1e3,"n":{"deep":[1, 2.50]}},{"time":4,"value":0.1000},{"time":5}]'
            ) in chart.series().body


def test_times_become_utc_seconds(chart):
    times = ["1970-01-02", {"year": 1970, "month": 1, "day": 3}, 3 * DAY, (10 ** 8 + 1) * 1000.0, 1700000000123]
    chart.replace([{"time": time, "value": 1} for time in times])
    assert [point["time"] for point in chart.series().json["data"]] == [
        DAY, 2 * DAY, 3 * DAY, 10 ** 8 + 1, 1700000000.123]


@pytest.mark.parametrize("series_type,data,fragments", [
    ("line", [{"time": 3, "value": 1}, {"time": 1, "value": 1}], ["not monotonic", "at index 1"]),
    ("line", [{"time": 1, "value": 1}, {"time": 1, "value": 2}], ["Duplicate timestamp", "at index 1"]),
    ("line", [{"value": 1}], ["time", "at index 0"]),
    ("line", [{"time": None, "value": 1}], ["Timestamp", "numeric", "at index 0"]),
    ("line", [{"time": True, "value": 1}], ["at index 0"]),
    ("line", [{"time": "yesterday", "value": 1}], ["at index 0"]),
    ("line", [{"time": -62135596801, "value": 1}], ["at index 0"]),
    ("line", [{"time": 1e14, "value": 1}], ["at index 0"]),
    ("line", [{"time": 1, "color": "red"}], ["'value'", "required"]),
    ("line", [{"time": 1, "value": None}], ["'value'", "numeric"]),
    ("line", [{"time": 1, "value": 1}, {"time": 2, "value": "7771"}], ["'value'", "numeric", "at index 1"]),
    ("line", [{"time": 1, "value": True}], ["'value'", "numeric"]),
    ("no-such-type", [{"time": 1, "open": 1}], ["'value'"]),
    ("candlestick", [{"time": 1, "open": 1, "high": 1, "low": 2, "close": 1}], ["low", "high"]),
    ("bar", [{"time": 1, "open": 9, "high": 2, "low": 1, "close": 1}], ["high", "open"]),
    ("bar", [{"time": 1, "open": 1, "high": 2, "low": 1}], ["'close'"]),
    ("band", [{"time": 1, "upper": 1, "lower": 1}], ["'middle'"]),
    ("ribbon", [{"time": 1, "upper": 1}], ["'lower'"]),
    ("trend_fill", [{"time": 1, "trendLine": 1}], ["'baseLine'"]),
])
def test_bad_points_are_refused_with_their_index(chart, series_type, data, fragments):
    answer = chart.replace(data, series_type=series_type)
    assert answer.status == 422, answer
    [fault] = answer.json["detail"]
    assert fault["loc"][:3] == ["body", "data", len(data) - 1]
    assert all(fragment in fault["msg"] for fragment in fragments), answer
    assert b"7771" not in answer.body
    assert chart.request("GET").status == 404


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"01", b"+1", b".5", b"0x10"])
def test_numbers_that_are_none_never_get_in(chart, number):
    for member in (b"value", b"x"):
        raw = b'{"series_type":"line","data":[{"time":1,"value":1,"%s":%s}]}' % (member, number)
        raw = raw.replace(b'"value":1,"value"', b'"value"')
        answer = chart.request("POST", "/data/s", raw=raw, headers={"Content-Type": "application/json"})
        # 1e999 is a number of JSON's grammar.
        assert answer.status == (422 if number == b"1e999" else 400), (raw, answer)
    assert chart.request("GET").status == 404


def test_a_refused_write_changes_nothing(chart):
    chart.replace(line(0, 10))
    before = chart.series().body
    assert chart.replace([{"time": 2, "value": 1}, {"time": 1, "value": 1}]).status == 422
    assert chart.extend([{"time": 20, "value": 1}, {"time": 21, "value": "x"}]).status == 422
    assert chart.extend([{"time": 9, "value": 1}]).status == 400
    assert chart.extend([{"time": 1, "value": 1}, {"time": 2, "value": "x"}], mode="upsert").status == 422
    assert chart.series().body == before


def test_replace_takes_away_what_was_there(chart):
    chart.replace(line(0, 2000), options={"a": 1})
    chart.replace([{"time": 5, "open": 1, "high": 1, "low": 1, "close": 1}], series_type="bar")
    answer = chart.series().json
    assert answer["seriesType"] == "bar" and answer["options"] == {} and answer["totalCount"] == 1


@pytest.mark.parametrize("body,status", [
    ({"series_type": "line"}, 422), ({"data": []}, 422), ({"series_type": "line", "data": "x"}, 422),
    ({"series_type": "line", "data": [1]}, 422), ({"series_type": "", "data": []}, 422),
    ({"series_type": "line", "data": [], "options": []}, 422), ({"series_type": "line", "data": [], "pane_id": "x"}, 422),
    ({"seriesType": "line", "data": [], "paneId": 1, "options": None}, 200), ([], 422)])
def test_the_form_of_a_write(chart, body, status):
    assert chart.request("POST", "/data/s", body).status == status


def test_append_continues_a_series(chart):
    chart.replace(line(0, 1000))
    answer = chart.extend(line(1000, 1300))
    assert answer.json == {"seriesId": "s", "seriesType": "line", "count": 1300}
    refused = chart.extend([{"time": 1299, "value": 1}])
    assert refused.status == 400 and "must be >" in refused.json["message"]
    assert chart.extend([]).json["count"] == 1300
    assert chart.history("count=2").json["data"] == line(1298, 1300)


def test_upsert_corrects_the_forming_bar_and_older_ones(chart):
    chart.replace(line(0, 1500))
    answer = chart.extend([{"time": 0, "value": -1}, {"time": 700.5, "value": -2}, {"time": 1499, "value": -3},
                           {"time": 1500, "value": -4}], mode="upsert")
    assert answer.json["count"] == 1502
    assert chart.history("to=0").json["data"] == [{"time": 0, "value": -1}]
    middle = chart.history("from=700&to=701").json
    assert [point["time"] for point in middle["data"]] == [700, 700.5, 701]
    assert middle["chunkInfo"]["start_index"] == 700
    newest = chart.history("count=2").json
    assert newest["data"] == [{"time": 1499, "value": -3}, {"time": 1500, "value": -4}]
    assert newest["chunkInfo"]["end_index"] == 1502
    assert chart.extend([], mode="other").status == 422


# --- Pages out ----------------------------------------------------------------------------------

@pytest.mark.parametrize("count", [0, 10, 499, 500, 501, 1000])
def test_a_long_series_is_sent_in_parts(chart, count):
    chart.replace(line(0, count), options={"color": "red"})
    answer = chart.series().json
    if count < 500:
        assert answer == {"seriesId": "s", "seriesType": "line", "data": line(0, count), "options": {"color": "red"},
                          "chunked": False, "totalCount": count}
        return
    info = {"start_index": count - 500, "end_index": count, "start_time": count - 500, "end_time": count - 1, "count": 500}
    assert info.items() <= answer["chunkInfo"].items()
    assert answer["chunkInfo"]["startIndex"] == count - 500 and answer["chunkInfo"]["endTime"] == count - 1
    assert answer["data"] == line(count - 500, count)
    assert answer["chunked"] is True and answer["totalCount"] == count
    assert answer["hasMoreBefore"] is (count > 500) and answer["hasMoreAfter"] is False


def test_scrolling_back_meets_every_point_once(chart):
    chart.replace(line(0, 2345))
    page = chart.series().json
    seen = page["data"]
    while page["hasMoreBefore"]:
        page = chart.history(f"before_time={page['data'][0]['time']}&count=333").json
        assert page["hasMoreAfter"] is True and page["totalCount"] == 2345
        seen = page["data"] + seen
    assert seen == line(0, 2345)


def test_scrolling_forward_meets_every_point_once(chart):
    chart.replace(line(0, 1200))
    page = chart.history("from=0&count=500").json
    seen = page["data"]
    while page["hasMoreAfter"]:
        page = chart.history(f"after_time={page['data'][-1]['time']}&count=500").json
        seen += page["data"]
    assert seen == line(0, 1200)


HISTORY = [
    ("", {}, 500, 1000), ("before_time=600&count=100", {"before_time": 600, "count": 100}, 500, 600),
    ("before_time=0", {"before_time": 0}, 0, 0), ("count=50.0", {"count": 50.0}, 950, 1000),
    ("before_time=600.0&count=1", {"beforeTime": 600.0, "count": 1}, 599, 600),
    ("count=10000", {"count": 10000}, 0, 1000), ("before_time=1&before_time=4", {"before_time": 4}, 0, 4),
    ("before_time=4102444800&count=1", {"before_time": 4102444800, "count": 1}, 999, 1000),
    ("after_time=10&count=5", {"after_time": 10, "count": 5}, 11, 16), ("from=10&to=20", {"from": 10, "to": 20}, 10, 21),
    ("unknown=1&count=3", {"unknown": 1, "count": 3}, 997, 1000),
]


@pytest.mark.parametrize("query,members,start,end", HISTORY)
def test_history_pages(chart, query, members, start, end):
    chart.replace(line(0, 1000))
    answer = chart.history(query)
    assert answer.status == 200
    info = answer.json.pop("chunkInfo")
    assert (info["start_index"], info["end_index"], info["count"]) == (start, end, end - start)
    assert (info["start_time"], info["end_time"]) == ((start, end - 1) if end > start else (0, 0))
    assert answer.json["data"] == line(start, end)
    assert set(answer.json) == {"seriesId", "data", "chunkInfo", "hasMoreBefore", "hasMoreAfter", "totalCount"}
    assert answer.json["hasMoreBefore"] is (start > 0) and answer.json["hasMoreAfter"] is (end < 1000)
    posted = chart.request("POST", "/history", {"pane_id": 0, "series_id": "s", **members})
    assert posted.body == answer.body


@pytest.mark.parametrize("name,value", [
    ("count", 0), ("count", -1), ("count", 10001), ("before_time", -62135596801), ("before_time", 4102444801),
    ("before_time", 1700000000000), ("beforeTime", 4102444801), ("afterTime", 4102444801), ("to", 5e9)])
def test_history_refuses_what_is_out_of_range(chart, name, value):
    chart.replace(line(0, 10))
    answer = chart.history(f"{name}={value}")
    assert answer.status == 400 and answer.json["message"].startswith(f"{name} ")
    answer = chart.request("POST", "/history", {"pane_id": 0, "series_id": "s", name: value})
    assert answer.status == 422 and answer.json["detail"][0]["loc"] == ["body", name]


@pytest.mark.parametrize("query,name,value", [
    ("count=50.5", "count", 50.5), ("count=abc", "count", "abc"), ("count=", "count", ""),
    ("before_time=50.5", "before_time", 50.5), ("beforeTime=50.5", "beforeTime", 50.5),
    ("before_time=invalid", "before_time", "invalid"), ("before_time=", "before_time", [])])
def test_history_refuses_what_is_no_whole_number(chart, query, name, value):
    chart.replace(line(0, 10))
    for source, answer in (("query", chart.history(query)),
                           ("body", chart.request("POST", "/history", {"pane_id": 0, "series_id": "s", name: value}))):
        assert answer.status == 422 and answer.json["detail"][0]["loc"] == [source, name]


def test_a_series_that_cannot_be_read_fails_all_that_were_asked_for_with_it(suite):
    """An outage fails the whole request: it is not told as the answer to one of its queries."""
    private = suite.start()
    chart = Chart(private, private.token())
    chart.replace(line(0, 3), series="whole")
    chart.replace(line(0, 3), series="damaged")
    with sqlite3.connect(private.state / "quintet.db") as database:
        database.execute("UPDATE chart_payloads SET starts = x'' WHERE number = (SELECT max(number) FROM chart_payloads)")
    whole, damaged = ({"pane_id": 0, "series_id": name} for name in ("whole", "damaged"))
    assert chart.request("POST", "/history", {"requests": [whole]}).status == 200
    answer = chart.request("POST", "/history", {"requests": [whole, damaged]})
    assert answer.status == 500 and answer.json["error"] == "internal_error"


def test_history_of_an_empty_series(chart):
    chart.replace([])
    answer = chart.history().json
    assert answer["data"] == [] and answer["totalCount"] == 0
    assert not any(answer["chunkInfo"].values()) and not answer["hasMoreBefore"] and not answer["hasMoreAfter"]


def test_posted_history_needs_pane_and_series(chart):
    chart.replace(line(0, 3))
    for body in ({}, {"pane_id": 0}, {"series_id": "s"}, {"pane_id": 101, "series_id": "s"}):
        assert chart.request("POST", "/history", body).status == 422
    assert chart.request("POST", "/history", {"paneId": 0, "seriesId": "s"}).status == 200
    answer = chart.request("POST", "/history", {"pane_id": 0, "seriesId": "a..b"})
    assert answer.status == 422 and answer.json["detail"][0]["loc"] == ["body", "seriesId"]


def test_an_unchanged_series_is_not_sent_again(chart):
    chart.replace(line(0, 600))
    for read in (chart.series, chart.history):
        tag = read().headers["etag"]
        again = read(headers={"If-None-Match": tag})
        assert again.status == 304 and again.body == b"" and again.headers["etag"] == tag
        chart.extend([{"time": 3, "value": 9}], mode="upsert")
        assert read(headers={"If-None-Match": tag}).status == 200


def test_head_answers_like_get_without_body(chart):
    chart.replace(line(0, 3))
    answer = chart.request("HEAD", "/data/0/s")
    assert answer.status == 200 and answer.body == b""
    assert answer.headers["content-length"] == str(len(chart.series().body))


@pytest.mark.parametrize("path", ["/events", "/data", "/history/0", "/history/0/s/more"])
def test_there_are_no_other_routes(chart, path):
    assert chart.request("GET", path).status == 404


def test_every_route_answers_under_the_prefix(suite, token):
    prefixed = Chart(suite, token)
    prefixed.path = "/api/v1" + prefixed.path
    assert prefixed.replace(line(0, 3)).status == 200
    assert prefixed.history("count=1").json["data"] == line(2, 3)


# --- Real data ----------------------------------------------------------------------------------

def test_daily_candles_with_dates(chart):
    source = json.loads((DATASETS / "ohlc.json").read_text())
    data = [{"time" if name == "date" else name: value for name, value in row.items()} for row in source]
    assert chart.replace(data, series_type="candlestick").json["count"] == len(source)
    stored = chart.series().json["data"]
    assert [time.strftime("%Y-%m-%d", time.gmtime(point["time"])) for point in stored] == [row["date"] for row in source]
    assert [{**point, "time": row["date"]} for point, row in zip(stored, source)] == data


def test_four_years_of_weather(chart):
    rows = list(csv.DictReader(io.StringIO((DATASETS / "seattle-weather.csv").read_text())))
    data = [{"time": row["date"], "upper": float(row["temp_max"]), "lower": float(row["temp_min"])} for row in rows]
    assert chart.replace(data, series_type="ribbon").json["count"] == len(rows) > 1000
    page = chart.series().json
    seen = page["data"]
    while page["hasMoreBefore"]:
        page = chart.history(f"before_time={page['data'][0]['time']}").json
        seen = page["data"] + seen
    assert [(point["upper"], point["lower"]) for point in seen] == [(row["upper"], row["lower"]) for row in data]
    year = chart.history("from=1388534400&to=1420070399&count=1000").json["data"]
    assert len(year) == 365


# --- Size ---------------------------------------------------------------------------------------

def test_bulk_writes_may_exceed_the_limit_of_other_bodies(chart):
    data = list(candles(40000))
    body = json.dumps({"series_type": "candlestick", "data": data}).encode()
    assert len(body) > 3 << 20
    answer = chart.request("POST", "/data/s", raw=body, headers={"Content-Type": "application/json"})
    assert answer.json["count"] == 40000
    assert chart.history("count=10000").json["data"] == data[-10000:]
    assert chart.history(f"before_time={data[20000]['time']}&count=500").json["data"] == data[19500:20000]
    assert chart.request("POST", raw=b'{"a":"' + b"x" * (1 << 20) + b'"}',
                         headers={"Content-Type": "application/json"}).status == 413


def test_the_largest_bulk_write(suite, token):
    private = suite.start({"MAX_INGEST_SIZE": "1M"})
    chart = Chart(private, private.token())
    room = (1 << 20) - len('{"series_type":"line","data":[]}')
    point = '{"time":%d}'
    data = [point % (10 ** 9 + i) for i in range(room // (len(point % 10 ** 9) + 1))]
    body = '{"series_type":"line","data":[' + ",".join(data) + "]}"
    for size, status in ((1 << 20, 200), ((1 << 20) + 1, 413)):
        answer = chart.request("POST", "/data/s", raw=body.ljust(size).encode(),
                               headers={"Content-Type": "application/json"})
        assert answer.status == status, answer
    assert chart.history("count=1").json["totalCount"] == len(data)


# --- Who may what -------------------------------------------------------------------------------

def test_nothing_without_credentials(chart):
    chart.token = None
    for answer in (chart.request("POST"), chart.request("GET"), chart.replace([]), chart.extend([]), chart.series(),
                   chart.history(), chart.request("DELETE"), chart.suite.get("/api/charts")):
        assert answer.status == 401


def test_tenants_never_meet(suite, chart):
    chart.request("POST", body={"mine": True})
    chart.replace(line(0, 3))
    other = Chart(suite, suite.token(), chart.id)
    for answer in (other.request("GET"), other.series(), other.history(), other.extend(line(5, 6)),
                   other.request("PUT", body={}), other.request("DELETE"), other.request("DELETE", "/data/0/s")):
        assert answer.status == 404
    assert chart.id not in [item["chartId"] for item in suite.get("/api/charts", token=other.token).json["items"]]
    assert other.request("POST", body={"mine": False}).json["options"] == {"mine": False}
    assert other.replace(line(0, 2)).status == 200
    assert chart.series().json["data"] == line(0, 3)
    assert other.request("DELETE").status == 204
    assert chart.series().json["data"] == line(0, 3)


def limited_token(suite, token, chart_ids):
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode({**claims, "chart_ids": chart_ids}, suite.jwt_secret, "HS256", headers={"typ": "at+jwt"})


def test_a_token_may_be_limited_to_charts(suite, token):
    allowed, denied, unmade = (Chart(suite, token) for _ in range(3))
    for chart in (allowed, denied):
        chart.replace(line(0, 3))
    limited = limited_token(suite, token, [allowed.id, unmade.id, "no-such-chart"])
    for chart in (allowed, denied, unmade):
        chart.token = limited
    assert allowed.series().status == 200 and allowed.extend(line(3, 4)).status == 200
    assert unmade.request("POST").status == 200
    for answer in (denied.request("GET"), denied.request("POST"), denied.series(), denied.history(),
                   denied.replace([]), denied.extend([]), denied.request("DELETE"), denied.request("PUT", body={}),
                   denied.request("POST", "/history", {"pane_id": 0, "series_id": "s"})):
        assert answer.status == 403 and answer.json["message"] == f"Access denied to chart: {denied.id}"
    listed = suite.get("/api/charts", token=limited).json
    assert [item["chartId"] for item in listed["items"]] == sorted([allowed.id, unmade.id])
    assert listed["total"] == 2
    pages = [suite.get(f"/api/charts?page={number}&page_size=1", token=limited).json for number in (1, 2, 3)]
    assert [[item["chartId"] for item in page["items"]] for page in pages] == [
        *([name] for name in sorted([allowed.id, unmade.id])), []]
    assert suite.get("/api/charts", token=limited_token(suite, token, [])).json["items"] == []


# --- Expiry -------------------------------------------------------------------------------------

def test_charts_that_are_read_outlive_those_that_are_not(suite):
    private = suite.start({"CHART_TTL_HOURS": "1"})
    token = private.token()
    read, unread = (Chart(private, token, name) for name in ("read", "unread"))
    for chart in (read, unread):
        assert chart.replace(line(0, 600)).status == 200
    with sqlite3.connect(private.state / "quintet.db") as database:
        assert database.execute("UPDATE charts SET updated_at = updated_at - 2 * 3600000").rowcount == 2
    assert read.history("before_time=100").status == 200
    for pid in private.pids("charts"):
        os.kill(pid, signal.SIGKILL)  # the next one sweeps as it starts
    def swept():
        answer = private.get("/api/charts", token=token)
        return answer.status == 200 and answer.json["total"] == 1 and answer

    answer = wait_until(swept, 30, trouble=private.logs)
    assert answer.json["items"][0]["chartId"] == "read"
    assert read.series().json["totalCount"] == 600


# --- Together -----------------------------------------------------------------------------------

def test_parallel_appends_come_one_after_the_other(chart):
    chart.replace(line(0, 1))
    batches = [[{"time": 1 + 10 * i + k, "value": i} for k in range(10)] for i in range(20)]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(chart.extend, batches))
    taken = [batch for batch, answer in zip(batches, answers) if answer.status == 200]
    for answer in answers:
        assert answer.status == 200 or answer.status == 400 and "must be >" in answer.json["message"], answer
    assert taken
    stored = chart.history("count=10000").json
    assert stored["totalCount"] == 1 + 10 * len(taken)
    assert stored["data"] == line(0, 1) + [point for batch in taken for point in batch]
    assert sorted(answer.json["count"] for answer in answers if answer.status == 200) == [
        11 + 10 * i for i in range(len(taken))]


def test_parallel_upserts_lose_nothing(chart):
    chart.replace(line(0, 1))
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda i: chart.extend([{"time": 1 + i + 20 * k, "value": i} for k in range(50)],
                                                       mode="upsert"), range(20)))
    assert all(answer.status == 200 for answer in answers)
    stored = chart.history("count=10000").json
    assert [point["time"] for point in stored["data"]] == list(range(1001))


def test_readers_see_one_moment_while_a_series_is_replaced(chart):
    """Every state of the series has its own value in all points and its own length."""
    def replace(i):
        return chart.replace([{"time": t, "value": i} for t in range(1000 + i)])

    replace(0)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(lambda i=i: replace(i).status) for i in range(1, 25)]
        while not all(job.done() for job in writing):
            page = chart.history("count=10000").json
            values = {point["value"] for point in page["data"]}
            assert len(values) == 1
            assert page["totalCount"] == len(page["data"]) == 1000 + values.pop()
    assert {job.result() for job in writing} == {200}


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "in_memory"])
def test_acknowledged_points_survive_a_killed_program(suite, kept, request):
    private = suite.start() if kept else suite.start(request.getfixturevalue("in_memory"))
    chart = Chart(private, private.token())
    chart.replace(line(0, 1))
    told, kills, deadline = 0, 0, time.monotonic() + 60
    while told < 150:
        assert time.monotonic() < deadline, private.logs()
        if told >= 40 * (kills + 1):
            kills += 1
            for pid in private.pids("charts"):
                os.kill(pid, signal.SIGKILL)
        try:
            answer = chart.extend(line(told + 1, told + 2))
        except (OSError, http.client.HTTPException):
            continue
        if answer.status == 200 or answer.status == 400 and "must be >" in answer.json["message"]:
            told += 1  # 400: it was written, and the answer got lost
        else:
            assert answer.status in (500, 502, 503), answer  # lighttpd's word for a program that is away
    assert kills == 3
    assert chart.history("count=10000").json["data"] == line(0, told + 1)


# --- Memory -------------------------------------------------------------------------------------

def resident_kilobytes(suite):
    (pid,) = suite.pids("charts")
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def test_large_reads_are_bounded_and_their_memory_is_given_back(suite, token):
    """10,000 points of 8 KB in one page, sixteen times at once."""
    chart = Chart(suite, token)
    text = "x" * 8000
    for start in range(0, 10000, 2500):
        points = [{"time": time, "value": 1, "text": text} for time in range(start, start + 2500)]
        answer = chart.extend(points) if start else chart.replace(points)
        assert answer.status == 200
    before = resident_kilobytes(suite)
    peaks = []
    with concurrent.futures.ThreadPoolExecutor(17) as pool:
        reads = [pool.submit(chart.history, "count=10000", timeout=120) for _ in range(16)]
        while not all(read.done() for read in reads):
            peaks.append(resident_kilobytes(suite))
            concurrent.futures.wait(reads, timeout=0.02)
    for read in reads:
        answer = read.result()
        assert answer.status == 200 and len(answer.body) < 4.2 * 1024 * 1024
        page = answer.json
        assert page["hasMoreBefore"] and not page["hasMoreAfter"] and page["totalCount"] == 10000
        assert page["data"][-1]["time"] == 9999
    assert max(peaks, default=before) - before < 300_000
    deadline = time.monotonic() + 20
    while resident_kilobytes(suite) - before > 30_000:
        assert time.monotonic() < deadline, (before, max(peaks), resident_kilobytes(suite))
        time.sleep(0.1)
    assert chart.request("DELETE").status == 204
