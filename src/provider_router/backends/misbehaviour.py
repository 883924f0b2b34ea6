"""What a backend can do wrong once it has been asked: each function returns a reply that does it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final

from provider_router.backends.answer import Answer, ToolCall, answers
from provider_router.backends.voice import ErrorForm, voice_of
from provider_router.backends.wire import (
    CLOSE,
    LAST_CHUNK,
    RESET,
    STALL,
    End,
    Pause,
    Reply,
    Request,
    Step,
    Until,
    chunked,
    encode,
    head,
    response,
)

STORY: Final = answers("One pelican flew over the quiet harbour.")
"""The answer that the misbehaving backends would have given."""

BLOCK: Final = 65_536
"""What an answer without measure grows by, in bytes."""


def status(
    number: int,
    message: str = "Something is wrong here.",
    *,
    code: str | int | None = None,
    kind: str = "error",
    param: str | None = None,
    form: ErrorForm = "object",
    retry_after: float | timedelta | None = None,
    retry_after_ms: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Return a reply with an HTTP status that is an error.

    Args:
        number: The status.
        message: The text for people.
        code: The code for programs in the body.
        kind: OpenAI's second code for programs.
        param: The field at fault.
        form: How the body says it, as for `Voice.error`.
        retry_after: Seconds, sent as an integer or a decimal, or a timedelta, sent as the HTTP date that it leads to.
        retry_after_ms: Milliseconds, sent as `retry-after-ms`.
        headers: Further headers.
    """

    def reply(request: Request) -> Iterator[Step]:
        body = encode(voice_of(request).error(message, code=code, kind=kind, param=param, form=form))
        sent = dict(headers or {})
        if isinstance(retry_after, timedelta):
            sent["retry-after"] = format_datetime(datetime.now(UTC) + retry_after, usegmt=True)
        elif retry_after is not None:
            sent["retry-after"] = str(retry_after)
        if retry_after_ms is not None:
            sent["retry-after-ms"] = str(retry_after_ms)
        yield response(body, status=number, headers=sent)

    return reply


def says(body: bytes | object, *, content_type: str = "application/json") -> Reply:
    """Return a reply with status 200 and this body, whatever was asked; what is not bytes becomes JSON."""
    data = body if isinstance(body, bytes) else encode(body)
    return lambda request: [response(data, content_type=content_type)]


def says_error(message: str, *, code: str | int | None = None, form: ErrorForm = "object") -> Reply:
    """Return a reply with status 200 whose body is an error."""
    return lambda request: [response(encode(voice_of(request).error(message, code=code, form=form)))]


def does(*steps: Step) -> Reply:
    """Return a reply of these steps and nothing else, such as `does(RESET)`."""
    return lambda request: steps


def silent() -> Reply:
    """Return a reply that never comes."""
    return does(STALL)


def slow(reply: Reply, *, by: float | threading.Event) -> Reply:
    """Return a reply that begins so many seconds later, or when the event is set."""

    def later(request: Request) -> Iterator[Step]:
        yield Until(by) if isinstance(by, threading.Event) else Pause(by)
        yield from reply(request)

    return later


def dead_when_reused(reply: Reply = STORY, *, how: End = RESET) -> Reply:
    """Return a reply for the first request of each connection; a second one finds the connection dead."""
    return lambda request: reply(request) if request.turn == 1 else [how]


def streams(pieces: Callable[[Request], Iterable[Step]], *, plain: Reply = STORY) -> Reply:
    """Return a reply that streams these pieces; a request for a plain answer gets `plain`."""
    return lambda request: voice_of(request).stream(iter(pieces(request))) if request.streamed else plain(request)


def pings(*, count: int = 3, pace: float = 0.0) -> Reply:
    """Return a reply that streams comments and then nothing; a plain one never comes."""

    def pieces(request: Request) -> Iterator[Step]:
        for _ in range(count):
            yield Pause(pace)
            yield voice_of(request).ping
        yield STALL

    return streams(pieces, plain=silent())


def broken(*, after: int = 2, how: End = CLOSE, answer: Answer = STORY) -> Reply:
    """Return a reply that breaks off: a stream after so many deltas, a plain answer in the middle of its body."""

    def plain(request: Request) -> Iterator[Step]:
        yield without_end(response(answer.body(request)))
        yield how

    def pieces(request: Request) -> Iterator[Step]:
        yield answer.opening(request)
        yield from answer.pieces(request)[:after]
        yield how

    return streams(pieces, plain=plain)


def ended(*, after: int | None = None, by: Iterable[Step] = (), answer: Answer = STORY, done: bool = False) -> Reply:
    """Return a reply whose stream ends in order after so many deltas (None: all), with `by` for a finish_reason.

    Args:
        after: How many deltas come.
        by: What comes after them.
        answer: Whose deltas.
        done: Whether the mark of an end, such as `[DONE]`, comes then.
    """

    def pieces(request: Request) -> Iterator[Step]:
        yield from [answer.opening(request), *answer.pieces(request)[:after], *by]
        if done:
            yield voice_of(request).done

    return streams(pieces)


def failing(message: str, *, code: str | int | None = None, after: int | None = None) -> Reply:
    """Return a reply whose stream has an error in it: after so many deltas, or in place of everything if None."""

    def pieces(request: Request) -> Iterator[Step]:
        voice = voice_of(request)
        if after is not None:
            yield from [STORY.opening(request), *STORY.pieces(request)[:after]]
        error = voice.error(message, code=code)
        yield voice.piece(error) if code else voice.error_piece(error)

    return streams(pieces)


def without_done() -> Reply:
    """Return a reply whose stream is whole, but for the mark of its end (`[DONE]`)."""
    return streams(lambda request: [STORY.opening(request), *STORY.pieces(request), *STORY.closing(request)])


def endless_preamble() -> Reply:
    """Return a reply whose stream names the role again and again."""

    def pieces(request: Request) -> Iterator[Step]:
        opening = STORY.opening(request)
        while True:
            yield opening

    return streams(pieces)


def cut_mid_body() -> Reply:
    """Return a reply whose plain body is chunked, and cut inside a chunk."""

    def plain(request: Request) -> Iterator[Step]:
        body = STORY.body(request)
        yield head(200, {"content-type": "application/json", "transfer-encoding": "chunked"})
        yield without_end(chunked(body))
        yield CLOSE

    return streams(lambda request: [*STORY.pieces(request)[:2], CLOSE], plain=plain)


def unframed(*, after: int = 2) -> Reply:
    """Return a reply with neither length nor chunks, whose end is the connection's, and comes too soon."""

    def reply(request: Request) -> Iterator[Step]:
        kind = voice_of(request).stream_type if request.streamed else "application/json"
        yield head(200, {"content-type": kind, "connection": "close"})
        if request.streamed:
            yield b"".join([STORY.opening(request), *STORY.pieces(request)[:after]])
        else:
            yield without_end(STORY.body(request))
        yield CLOSE

    return reply


def oversized(*, size: int) -> Reply:
    """Return a reply of at least so many bytes: a plain body, or one single event of a stream.

    It is made while it is read, so that a caller who stops at a bound of its own is all that limits its cost.
    """

    def reply(request: Request) -> Iterator[Step]:
        voice = voice_of(request)
        kind = voice.stream_type if request.streamed else "application/json"
        # A JSON text that is cut in two where its length goes, framed as one piece if it is one.
        begin, end = b'{"choices":[{"index":0,"delta":{"content":"', b'"}}]}'
        if request.streamed:
            framed, middle = voice.piece(begin + end), begin
            begin, end = framed[: framed.index(middle) + len(middle)], framed[framed.index(middle) + len(middle) :]
            end += voice.done
        yield head(200, {"content-type": kind, "transfer-encoding": "chunked"})
        yield chunked(begin)
        block = chunked(b"x" * BLOCK)
        for _ in range(-(-size // BLOCK)):
            yield block
        yield from [chunked(end), LAST_CHUNK]

    return reply


def with_event_in_the_middle(data: str) -> Reply:
    """Return a reply whose stream is whole, but for one event too many, with this data."""

    def pieces(request: Request) -> Iterator[Step]:
        first, *rest = STORY.pieces(request)
        voice = voice_of(request)
        broken_one = voice.piece(data.encode())
        yield from [STORY.opening(request), first, broken_one, *rest, *STORY.closing(request), voice.done]

    return streams(pieces)


def byte_by_byte(text: str = "Grüße, 日本, 🦩") -> Reply:
    """Return a reply whose stream is whole, but arrives in pieces that split lines and UTF-8 characters."""
    answer = answers(text)

    def pieces(request: Request) -> Iterator[Step]:
        for byte in b"".join(_whole_stream(answer, request)):
            yield bytes([byte])

    return streams(pieces, plain=answer)


def truncated_tool_call() -> Reply:
    """Return a reply whose stream ends inside the arguments of a tool call."""
    return ended(
        answer=Answer(tool_calls=[ToolCall(name="find_pelican", arguments='{"harbour": "the quiet one", "li')])
    )


def untyped() -> Reply:
    """Return a reply whose stream is whole, but calls itself JSON."""

    def reply(request: Request) -> Iterable[Step]:
        if not request.streamed:
            return STORY(request)
        return voice_of(request).stream(_whole_stream(STORY, request), content_type="application/json")

    return reply


def _whole_stream(answer: Answer, request: Request) -> list[bytes]:
    return [answer.opening(request), *answer.pieces(request), *answer.closing(request), voice_of(request).done]


def without_end(data: bytes) -> bytes:
    """Return the bytes without their last forty, or the first half of them if there are few."""
    return data[: max(len(data) - 40, len(data) // 2)]
