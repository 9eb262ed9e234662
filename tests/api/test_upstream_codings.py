"""Providers that code their answers although nobody asked: what was coded is read, and a bomb is
cut off before it fills the memory."""

import gzip
import zlib

import pytest

from chat_help import HELLO, KEY, chat, complete, data_of, stub, text_of  # noqa: F401
from test_completions_wire import DONE, EVENTS, SAID, WHOLE, answer

STREAM = b"".join(b"data: " + event + b"\n\n" for event in EVENTS) + DONE


def deflate(data):
    return zlib.compress(data)


@pytest.mark.parametrize("coding,encode", [(b"gzip", gzip.compress), (b"deflate", deflate),
                                           (b"GZIP", gzip.compress), (b"identity", bytes)])
def test_coded_answers_are_decoded(chat, stub, coding, encode):
    lines = [b"Content-Encoding: " + coding]
    stub.answers["coded"] = answer(encode(WHOLE), lines=lines)
    whole = complete(chat, "stub/coded")
    assert whole.status == 200
    assert whole.json["choices"][0]["message"]["content"] == "h\u00e9llo"
    assert whole.headers.get("content-encoding") is None
    stub.answers["coded"] = answer(encode(STREAM), kind=b"text/event-stream", lines=lines)
    streamed = complete(chat, "stub/coded", stream=True)
    assert text_of(data_of(streamed.body)) == SAID


@pytest.mark.parametrize("body,coding", [(WHOLE, b"gzip"), (gzip.compress(WHOLE)[:-20], b"gzip"),
                                         (WHOLE, b"rot13")])
def test_answer_that_cannot_be_decoded_is_unreadable(chat, stub, body, coding):
    stub.answers["coded"] = answer(body, lines=[b"Content-Encoding: " + coding])
    assert complete(chat, "stub/coded").status == 502


def peak(suite):
    """Kilobytes that the program has ever held."""
    [pid] = suite.pids("chat")
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_bomb_is_cut_off(chat, stub, kind):
    zeros = gzip.compress(b"0" * (400 << 20), 9)
    stub.answers["bomb"] = answer(zeros, kind=kind.encode(), lines=[b"Content-Encoding: gzip"])
    before = peak(chat)
    got = complete(chat, "stub/bomb", stream=kind != "application/json")
    assert got.status == 502
    assert peak(chat) - before < 100 << 10
