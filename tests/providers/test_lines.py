"""What a provider type reads of a backend that answers in lines of JSON (NDJSON)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from typing import Any, ClassVar

import pytest

from provider_router.backends import EVERY_PATH, Backend, Pause, Reply, Request, Step
from provider_router.backends.wire import stream
from provider_router.plugin import Failure, HTTPProvider, ProviderError

BOUND = 1000  # bytes


class Liner(HTTPProvider):
    """A type whose backend answers in lines."""

    type: ClassVar[str] = "liner"


def lines(*pieces: bytes, endless: bytes = b"") -> Reply:
    """These bytes, each piece in an arrival of its own; then, if there are any, the endless ones again and again."""

    def said() -> Iterator[Step]:
        for piece in pieces:
            yield piece
            yield Pause(0.005)
        while endless:
            yield endless

    def reply(_: Request) -> Iterator[Step]:
        return stream(said(), content_type="application/x-ndjson")

    return reply


async def heard(reply: Reply) -> tuple[list[Any], ProviderError | None]:
    """What is read of a backend's lines, and how that ends."""
    said: list[Any] = []
    with Backend() as backend:
        backend.script(reply, path=EVERY_PATH)
        liner = Liner("liner", base_url=backend.base_url, max_answer_bytes=BOUND)
        try:
            async with aclosing(liner.lines("say", {})) as bursts:
                async for burst in bursts:
                    said += burst
        except ProviderError as error:
            return said, error
        finally:
            await liner.aclose()
    return said, None


@pytest.mark.parametrize(
    "pieces",
    [(b"1\n2\n3",), (b"1\n", b"2\n", b"3\n"), (b"1\n\n2", b"\n3")],
    ids=["at once", "one by one", "cut anywhere"],
)
async def test_lines_are_read_however_they_arrive(pieces: tuple[bytes, ...]) -> None:
    assert ([1, 2, 3], None) == await heard(lines(*pieces, b"\n"))


async def test_a_line_that_never_ends_is_malformed_and_what_came_before_it_is_heard() -> None:
    said, error = await heard(lines(b"1\n", endless=b" " * 100))
    assert [1] == said
    assert error is not None
    assert (Failure.MALFORMED, "a line beyond the bound") == (error.failure, error.detail)


@pytest.mark.parametrize("length", [BOUND, BOUND + 1])
async def test_the_bound_is_exact_in_whatever_pieces_a_line_arrives(length: int) -> None:
    text = b'"%s"' % (b"x" * (length - 2))
    for pieces in ((text + b"\n",), (text[:10], text[10:] + b"\n"), (text, b"\n")):
        said, error = await heard(lines(b"1\n", *pieces))
        assert ([1] if length > BOUND else [1, "x" * (length - 2)]) == said
        assert (error is not None) == (length > BOUND)


async def test_lines_together_may_be_longer_than_the_bound() -> None:
    said, error = await heard(lines(b"\n".join([b'"%s"' % (b"x" * 500)] * 10) + b"\n"))
    assert (10, None) == (len(said), error)
