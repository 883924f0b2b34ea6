"""Events are the same however their bytes are cut, and the same as another implementation's."""

from __future__ import annotations

import itertools
import time

import httpx
import httpx_sse
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_router.dialects.sse import COMMENT, Event, EventParser, write_comment, write_event

_cuts = st.lists(st.integers(0, 400), max_size=12)
# What the grammar turns on, and what other line splitters stumble over.
_odd = st.sampled_from(
    ["data:", "data: ", "data", ":", "event:", "id:", "\n", "\r", "\r\n", " ", "\ufeff", "\u2028", "\x85", "\x0c", "\0"]
)
streams = st.lists(st.one_of(_odd, st.text(max_size=6)), max_size=25).map(lambda parts: "".join(parts).encode())


def _parsed(*pieces: bytes) -> list[Event]:
    parser = EventParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    events += parser.close()
    assert 0 == parser.pending
    return events


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


@given(streams, _cuts)
def test_any_cutting_of_the_bytes_gives_the_same_events(data: bytes, cuts: list[int]) -> None:
    assert _parsed(data) == _parsed(*_cut(data, cuts)) == _parsed(*(data[i : i + 1] for i in range(len(data))))


_line = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)
_name = _line.map(lambda text: text.replace("\0", "").strip()).filter(bool)
_block = st.fixed_dictionaries(
    {"data": st.lists(_line, min_size=1, max_size=3)}, optional={"event": _name, "id": _name, "comment": _line}
)
_end = st.sampled_from(["\n", "\r\n", "\r"])


@given(st.lists(_block, max_size=5), _end, _cuts, st.sampled_from(["", " "]))
def test_well_formed_streams_are_read_as_httpx_sse_reads_them(
    blocks: list[dict[str, object]], end: str, cuts: list[int], space: str
) -> None:
    lines: list[str] = []
    for block in blocks:
        for field, value in block.items():
            prefix = "" if field == "comment" else field
            lines += [f"{prefix}:{space}{text}" for text in (value if isinstance(value, list) else [value])]
        lines.append("")
    data = "".join(line + end for line in lines).encode()
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=data)
    oracle = [(event.data, event.event, event.id) for event in httpx_sse.EventSource(response).iter_sse()]
    ours = [event for event in _parsed(*_cut(data, cuts)) if event.event != COMMENT]
    assert oracle == [(event.data.decode(), event.event, event.id) for event in ours]


@given(st.binary(max_size=60), st.one_of(st.just(""), _name), _cuts)
def test_what_is_written_is_read_again(data: bytes, event: str, cuts: list[int]) -> None:
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert [Event(lines, event or "message")] == _parsed(*_cut(write_event(data, event=event), cuts))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_comment_is_one_line_and_no_event(text: str) -> None:
    events = _parsed(write_comment(text), write_event(b"x", event=text))
    assert [COMMENT] == [event.event for event in events if event.data != b"x"]
    assert 1 == len([event for event in events if event.event != COMMENT])


@pytest.mark.parametrize(
    "data, expected",
    [
        (b"data: a\n\n", [b"a"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data\n\n", [b""]),
        (b"data:\n\n", [b""]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data: a\n\n\n\ndata: b\n\n", [b"a", b"b"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        ("data: a\u2028b\x85c\x0cd\n\n".encode(), ["a\u2028b\x85c\x0cd".encode()]),
        (b"event: ping\n\ndata: a\n\n", [b"a"]),
        (b"retry: 5\nfoo: bar\nfoo\ndata: a\n\n", [b"a"]),
        (b"data: a", [b"a"]),
        (b"data: a\n", [b"a"]),
        (b"data: a\r", [b"a"]),
        (b"", []),
        (b"\n\n", []),
    ],
)
def test_lines_end_at_cr_lf_and_crlf_only_and_the_end_ends_an_event(data: bytes, expected: list[bytes]) -> None:
    assert [Event(text) for text in expected] == _parsed(data)


def test_a_crlf_may_be_split_between_two_pieces() -> None:
    assert [Event(b"a"), Event(b"b")] == _parsed(b"data: a\r", b"\n", b"\r", b"\ndata: b\r", b"\n\r", b"\n")
    assert [Event(b"a\nb")] == _parsed(b"data: a\r", b"\r"[:0], b"\ndata: b\r\n\r\n")


def test_an_event_is_given_out_at_its_own_blank_line() -> None:
    parser = EventParser()
    assert [Event(b"a")] == parser.feed(b"data: a\r\n\r")
    assert [] == parser.feed(b"\ndata: b")
    assert [Event(b"b")] == parser.close()


def test_comments_are_seen_and_marked() -> None:
    assert [Event(b" ping", COMMENT), Event(b"a"), Event(b"", COMMENT)] == _parsed(b": ping\n\ndata: a\n\n:\n\n")
    assert b": ping\n\n" == write_comment()


def test_no_event_can_be_taken_for_a_comment() -> None:
    assert COMMENT not in {event.event for event in _parsed(b"event: comment\ndata: a\n\nevent: :\ndata: b\n\n")}


def test_type_and_id_are_read() -> None:
    events = _parsed(b"event: error\nid: 7\ndata: a\n\ndata: b\n\nid: 8\0\nid\ndata: c\n\n")
    assert [Event(b"a", "error", "7"), Event(b"b", "message", "7"), Event(b"c", "message", "")] == events


def test_what_is_held_back_is_counted_lines_without_content_too() -> None:
    parser = EventParser()
    parser.feed(b"data: abc")
    assert 9 == parser.pending
    parser.feed(b"\n")
    assert 4 == parser.pending
    parser.feed(b"data\n" * 1000)
    assert 1004 == parser.pending
    parser.feed(b"\n")
    assert 0 == parser.pending


def _seconds(size: int) -> float:
    """CPU to parse one event and one line of `size` bytes in small pieces, the bound looked at after each."""
    parser = EventParser()
    pieces = [b"data: ", *[b"x" * 20] * (size // 20), b"\n", *[b"data: y\n"] * (size // 20), b"\n"]
    begun = time.process_time()
    for piece in pieces:
        parser.feed(piece)
        assert parser.pending < 10 * size
    return time.process_time() - begun


def test_the_time_grows_with_the_input_and_no_faster() -> None:
    small = min(_seconds(100_000) for _ in range(3))
    large = min(_seconds(1_600_000) for _ in range(2))
    assert large < small * 16 * 5
