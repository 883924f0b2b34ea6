"""What is borne without a failure, and what a plain call gains by riding a stream, over real sockets."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import anyio.to_thread
import pytest

from provider_router import AsyncRouter
from provider_router.backends import DONE, FAULTS, STALL, Backend, Pause, answers, event, streams
from provider_router.backends.misbehaviour import STORY
from provider_router.errors import Failure, Unreachable

TEXT = str(STORY.text)
BORNE = [fault for fault in FAULTS.values() if fault.stream == "ok" and fault.available and fault.dialect == "openai"]


@pytest.mark.parametrize("fault", BORNE, ids=lambda fault: fault.name)
async def test_what_only_looks_wrong_costs_not_a_word_and_no_attempt(fault: Any, quick: Any) -> None:
    with fault.backend() as one:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url)]) as r, r.stream("hi", model="m") as stream:
            text = "".join([chunk.text async for chunk in stream])
        assert [attempt.failure for attempt in stream.attempts] == [None]
    assert text == stream.response.text == ("Grüße, 日本, 🦩" if fault.name == "byte-by-byte" else TEXT)


async def test_comments_count_towards_no_bound(quick: Any) -> None:
    """Neither by number nor by size: it may load for long."""
    hello = answers("Hello")

    def pieces(request: Any) -> Any:
        yield from [b": loading\n\n"] * 200
        yield from [b": " + b"x" * 60_000 + b"\n\n"] * 6
        yield from [hello.opening(request), *hello.pieces(request), *hello.closing(request)]

    with Backend(streams(pieces)) as one:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url)]) as r, r.stream("hi", model="m") as stream:
            assert "".join([chunk.text async for chunk in stream]) == "Hello"


async def test_a_name_that_does_not_resolve_costs_one_connect_and_opens_the_endpoint(quick: Any) -> None:
    lost = quick("lost", base_url="http://loft.invalid/v1", zone="lan")
    with Backend(answers("two")) as two:
        async with AsyncRouter(providers=[lost, quick("b", base_url=two.base_url)]) as r:
            answer = await r.chat("hi", model="m")
            assert [(a.provider, a.failure) for a in answer.attempts] == [("lost", Failure.CONNECT), ("b", None)]
            assert [step.state for step in await r.plan("m")] == ["ready", "open"]
            with pytest.raises(Unreachable):
                await r.chat("hi", model="m", provider="lost")


async def test_a_ride_lives_as_long_as_it_shows_life(quick: Any) -> None:
    """Its limit is the stream's silence, and not the time of a plain call."""
    with Backend(answers(TEXT, pace=0.15)) as one:
        riding = quick("a", base_url=one.base_url, upstream_stream=True, timeout=0.4, first_token_timeout=5.0)
        async with AsyncRouter(providers=[riding]) as r:
            answer = await r.chat("hi", model="m")
    assert answer.text == TEXT
    assert answer.attempts[0].duration > 0.4


async def test_who_leaves_a_ride_breaks_off_the_generation_at_once(quick: Any) -> None:
    begun = threading.Event()

    def pieces(request: Any) -> Any:
        yield STORY.opening(request)
        yield from STORY.pieces(request)[:2]
        yield Pause(0.01)
        begun.set()
        yield STALL

    with Backend(streams(pieces)) as one:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url, upstream_stream=True)]) as r:
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: r.chat("hi", model="m"))
                assert await anyio.to_thread.run_sync(begun.wait, 10)
                group.cancel_scope.cancel()
            assert r.registry.health.in_flight == {}
            assert await anyio.to_thread.run_sync(one.wait_until, lambda backend: backend.hang_ups == 1)


async def test_a_ride_of_two_choices_is_whole_when_both_have_ended(quick: Any) -> None:
    def pieces(ends: int) -> Any:
        for index in (0, 1):
            yield event({"choices": [{"index": index, "delta": {"content": "x"}, "finish_reason": None}]})
        for index in range(ends):
            yield event({"choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]})
        yield DONE

    with Backend(streams(lambda _: pieces(1)), streams(lambda _: pieces(2))) as one:
        riding = quick("a", base_url=one.base_url, upstream_stream=True)
        async with AsyncRouter(providers=[riding]) as r:
            answer = await r.chat("hi", model="m", n=2)
    assert [Failure.MALFORMED, None] == [attempt.failure for attempt in answer.attempts]
    assert ["x", "x"] == [choice["message"]["content"] for choice in answer.raw["choices"]]
