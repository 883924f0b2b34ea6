"""What a peer says, in any form and any pieces: h11 is the oracle, and nothing may hang, leak or surprise."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
from collections.abc import Iterator
from typing import Any

import h11
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provider_router.providers.transport import Connection, Transport

# What h11 takes and llhttp does not, each on purpose: the forms in which requests are smuggled, and nonsense.
STRICTER = (
    "Content-Length",
    "Data after",
    "Duplicate",
    "Invalid HTTP version",
    "Invalid character",
    "Invalid header",
    "Invalid response status",
    "Missing expected",
    "Unexpected whitespace",
    "Transfer-Encoding can't",
    "illegal status line",
)
Seen = tuple[Any, ...]


class Wire(asyncio.Transport):
    """A transport that leads nowhere."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def write(self, data: bytes | bytearray | memoryview) -> None: ...
    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


def ours(pieces: list[bytes], method: str) -> Seen:
    """What a connection makes of an answer in these pieces and the connection's end."""
    loop = asyncio.new_event_loop()
    try:
        connection = Connection(loop)
        connection.connection_made(Wire())
        connection.ask(b"", bodiless=method == "HEAD", last=False)
        connection.sent()
        for piece in pieces:
            connection.data_received(piece)
        connection.eof_received()
        return loop.run_until_complete(told_by(connection))
    finally:
        loop.close()


async def told_by(connection: Connection) -> Seen:
    try:
        await connection.answered(1.0)
    except httpx.TransportError as error:
        return ("head", type(error).__name__, str(error))
    body = b""
    try:
        while piece := await connection.read(1.0):
            body += piece
    except httpx.TransportError as error:
        return ("body", type(error).__name__, str(error))
    answer = connection.answer
    # h11 writes the one coding that it takes in lower case.
    headers = [(n, v.lower() if n.lower() == b"transfer-encoding" else v) for n, v in answer.headers]
    return ("answer", answer.status, answer.reason, headers, body)


def h11s(pieces: list[bytes], method: str) -> Seen:
    """What h11 makes of it, asked as httpcore asks it."""
    theirs = h11.Connection(h11.CLIENT, max_incomplete_event_size=100 * 1024)
    theirs.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
    theirs.send(h11.EndOfMessage())
    events = h11_events(theirs, [*pieces, b""])
    phase = "head"
    try:
        head: Any = next(event for event in events if isinstance(event, h11.Response))
        phase = "body"
        body = b"".join(bytes(event.data) for event in events if isinstance(event, h11.Data))
    except h11.RemoteProtocolError as error:
        return (phase, "RemoteProtocolError", str(error))
    headers = [(bytes(name), bytes(value)) for name, value in head.headers.raw_items()]
    return ("answer", head.status_code, bytes(head.reason), headers, body)


def h11_events(theirs: h11.Connection, pieces: list[bytes]) -> Iterator[Any]:
    while True:
        event = theirs.next_event()
        if event is not h11.NEED_DATA:
            yield event
            if isinstance(event, h11.EndOfMessage) or event is h11.PAUSED:
                return
        elif not pieces[0] and theirs.their_state is h11.SEND_RESPONSE:
            raise h11.RemoteProtocolError("disconnected")
        else:
            theirs.receive_data(pieces.pop(0))


def parts(*usual: bytes, odd: tuple[bytes, ...] = ()) -> st.SearchStrategy[bytes]:
    """Mostly what is usual, at times what is odd."""
    return st.sampled_from(usual * 4 + odd)


SIZE_WITH_MANY_ZEROS = re.compile(rb"^0{20}", re.MULTILINE)

ENDS = parts(b"\r\n", odd=(b"\n", b"\r"))
VERSIONS = parts(b"HTTP/1.1", odd=(b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b"RTSP/1.0", b""))
STATUSES = parts(b"200", b"404", odd=(b"204", b"304", b"100", b"103", b"101", b"099", b"99", b"1000", b"2x0"))
REASONS = parts(b" OK", odd=(b"", b" ", b" a\x00b", b" a\x0bb", b" \xff", b" \t x "))
LENGTHS = (b"0", b"5, 5", b"5, 6", b"+5", b"0x5", b"", b"9" * 20, b"0" * 25)
CODINGS = (b"Chunked ", b"gzip, chunked", b"identity", b"", b"chunked, chunked")
CONNECTIONS = (b"close", b"keep-alive", b"a, CLOSE", b"upgrade")
VALUES = (b"", b"b  ", b" \t b c\t", b" \x00", b" a\x01", b" \x0b", b" \x7f", b" \xff", b" x\ry")
SIZES = (b"05", b"5 ", b"5\t", b"+5", b"-5", b"0x5", b"g", b"", b"0" * 21 + b"5", b"5;\x00")
HEADERS = parts(
    b"Content-Length: 5",
    b"Transfer-Encoding: chunked",
    b"A: b",
    odd=(
        *(b"Content-Length: " + value for value in LENGTHS),
        *(b"Transfer-Encoding: " + value for value in CODINGS),
        *(b"Connection: " + value for value in CONNECTIONS),
        *(b"A:" + value for value in VALUES),
        *(b"Content-Length : 5", b" A: b", b": x", b"A\x80: b", b"(: x", b"Ab", b"A: b\r\n folded", b"Upgrade: h2c"),
    ),
)
CHUNKS = parts(
    b"5\r\nhello\r\n",
    b"a;x=y\r\n0123456789\r\n",
    odd=(
        *(size + b"\r\nhello\r\n" for size in SIZES),
        *(b"5\nhello\n", b"5\r\nhelloX\r\n", b"5\r\nhello\n", b"5\r\nhello\r", b"f" * 21 + b"\r\n"),
    ),
)
LAST = parts(b"0\r\n\r\n", odd=(b"0\r\nX: y\r\n\r\n", b"0\r\nX\r\n\r\n", b"0\n\n", b"0\r\n", b"", b"000\r\n\r\n"))
BODIES = st.one_of(
    parts(b"hello", odd=(b"", b"hel", b"hello more")),
    st.tuples(st.lists(CHUNKS, max_size=2), LAST).map(lambda said: b"".join([*said[0], said[1]])),
)
INTERIM = parts(b"", odd=(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 x\r\nA: b\r\n\r\n", b"\r\n"))
AFTER = parts(b"", odd=(b"extra", b"HTTP/1.1 200 OK\r\n\r\n", b"\r\n"))


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    end = draw(ENDS)
    lines = [draw(VERSIONS) + b" " + draw(STATUSES) + draw(REASONS), *draw(st.lists(HEADERS, max_size=3)), b""]
    said = draw(INTERIM) + b"".join(line + end for line in lines) + draw(BODIES) + draw(AFTER)
    if draw(st.integers(0, 9)) == 0:
        place = draw(st.integers(0, len(said)))
        said = said[:place] + draw(st.binary(max_size=2)) + said[place + draw(st.integers(0, 1)) :]
    return said


@st.composite
def in_pieces(draw: st.DrawFn, said: st.SearchStrategy[bytes]) -> list[bytes]:
    whole = draw(said)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    if draw(st.integers(0, 4)) == 0:
        cuts = list(range(len(whole)))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)]) if a < b]


def bears_with(one: Seen, other: Seen) -> bool:
    """Whether ours is as strict as h11 says, or stricter for a reason that we know."""
    if one[0] == other[0] == "answer" or one[0] != "answer" == other[0]:
        return one == other or (one[0] != "answer" and one[2].startswith(STRICTER))
    return one[:2] == other[:2] or (one[0] == "head" and one[2].startswith(STRICTER))


def check(pieces: list[bytes], method: str) -> None:
    whole = b"".join(pieces)
    # After a 1xx llhttp takes the first, and always the others: a chunk's size may have any number of leading zeros.
    if b"RTSP" in whole or b" ;" in whole or SIZE_WITH_MANY_ZEROS.search(whole):
        return
    one, other = ours(pieces, method), h11s(pieces, method)
    assert bears_with(one, other), (one, other)


@given(pieces=in_pieces(answers()), method=st.sampled_from(["GET", "GET", "HEAD"]))
@settings(max_examples=200)
def test_no_answer_is_taken_that_h11_refuses_and_the_others_are_taken_alike(pieces: list[bytes], method: str) -> None:
    check(pieces, method)


@pytest.mark.soak
@given(pieces=in_pieces(answers()), method=st.sampled_from(["GET", "GET", "HEAD"]))
@settings(max_examples=20_000)
def test_the_same_for_hours(pieces: list[bytes], method: str) -> None:
    check(pieces, method)


@given(pieces=in_pieces(st.binary(min_size=1)))
def test_any_bytes_are_refused_as_h11_refuses_them(pieces: list[bytes]) -> None:
    assert ours(pieces, "GET")[:2] == h11s(pieces, "GET")[:2]


ENDINGS = st.sampled_from(["end", "reset", "stall"])


@given(pieces=in_pieces(answers() | st.binary()), how=ENDINGS)
@settings(max_examples=12)
def test_over_a_socket_no_answer_hangs_leaks_or_raises_what_is_not_httpxs(pieces: list[bytes], how: str) -> None:
    asyncio.run(asked(pieces, how))
    gc.collect()  # an unclosed socket or a task that was never awaited is a warning, and a warning is an error


@pytest.mark.soak
@given(pieces=in_pieces(answers() | st.binary()), how=ENDINGS)
@settings(max_examples=1000)
def test_over_a_socket_the_same_for_long(pieces: list[bytes], how: str) -> None:
    asyncio.run(asked(pieces, how))
    gc.collect()


async def asked(pieces: list[bytes], how: str) -> None:
    served: list[asyncio.Task[Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(OSError, EOFError):  # on a slow machine the asker may have gone before it asked
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0)
            if how == "stall":
                await reader.read()
        if how == "reset":
            writer.transport.abort()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with httpx.AsyncClient(transport=Transport(verify=False), timeout=0.05) as client:
            for _ in range(2):
                with contextlib.suppress(httpx.TransportError, httpx.DecodingError):
                    await client.get(url)
        for task in served:
            await asyncio.wait_for(task, 5)
    ours_left = asyncio.all_tasks() - {asyncio.current_task()}
    assert set() == ours_left


@pytest.mark.parametrize("length", [99 * 1024, 101 * 1024])
def test_the_head_may_have_a_hundred_kilobytes(length: int) -> None:
    pieces = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: ", *[b"x" * 1024] * (length // 1024), b"\r\n\r\n"]
    assert ("answer" if length < 100 * 1024 else "head") == ours(pieces, "GET")[0]


def test_trailers_without_end_are_refused() -> None:
    trailers = [b"A: " + b"x" * 1000 + b"\r\n"] * 200
    pieces = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", *trailers, b"\r\n"]
    assert ("body", "RemoteProtocolError") == ours(pieces, "GET")[:2]


def test_a_body_that_nobody_reads_makes_the_peer_wait() -> None:
    paused: list[str] = []

    class Told(Wire):
        def pause_reading(self) -> None:
            paused.append("pause")

        def resume_reading(self) -> None:
            paused.append("resume")

    loop = asyncio.new_event_loop()
    connection = Connection(loop)
    connection.connection_made(Told())
    connection.ask(b"", bodiless=False, last=False)
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    for _ in range(3):
        connection.data_received(b"x" * 50_000)
    assert ["pause"] == paused
    assert 150_000 == len(loop.run_until_complete(connection.read(1.0)))
    assert ["pause", "resume"] == paused
    connection.close()
    loop.close()
