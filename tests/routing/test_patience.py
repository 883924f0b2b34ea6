"""A slow backend that lives gets its time, with limits in the proportions of the defaults.

All times are a hundredth of what they stand for: a model that needs 90 s to its first byte takes 0.9 s here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest

from provider_router import AsyncRouter, Router
from provider_router.backends import CHAT, MODELS, Backend, Reply, Request, Step, answers, silent, slow
from provider_router.limits import CHECK_SILENCE, DEFAULT_LIMITS, FIRST_TOKEN_LOCAL
from provider_router.plugin import Limits, OpenAICompatibleProvider

SCALE = 100
STORY = "One pelican flew over the quiet harbour."


def scaled(seconds: float | None) -> float:
    assert seconds is not None
    return seconds / SCALE


class Local(OpenAICompatibleProvider):
    """As a type whose backend may load a model or prefill a long prompt, and whose check costs nothing.

    Nobody is slow to connect here, or between two words, so those limits stay as they are.
    """

    type = "local"
    free_check: ClassVar[bool] = True
    limits: ClassVar[Limits] = Limits(
        timeout=scaled(DEFAULT_LIMITS.timeout),
        first_token=scaled(FIRST_TOKEN_LOCAL),
        check_after=scaled(DEFAULT_LIMITS.check_after),
    )


class Unchecked(Local):
    """The same without a check."""

    type = "unchecked"
    free_check: ClassVar[bool] = False


TYPES = pytest.mark.parametrize("cls", [Local, Unchecked])


@contextmanager
def pair(
    cls: type[OpenAICompatibleProvider], reply: Reply, *, checked: bool = False
) -> Iterator[tuple[list[Any], Backend, Backend]]:
    """A slow one, and somebody else who would answer at once; where it is `checked`, it is so before it answers."""
    asked = threading.Event()

    def listing(request: Request) -> Iterable[Step]:
        asked.set()
        return late.listing(request)

    with Backend(slow(reply, by=asked) if checked else reply) as late, Backend(answers("from elsewhere")) as other:
        late.script(listing, path=MODELS)
        yield [cls("slow", base_url=late.base_url), cls("other", base_url=other.base_url)], late, other


def paths(backend: Backend) -> list[str]:
    return [request.path for request in backend.requests]


@TYPES
async def test_a_stream_gets_ninety_seconds_to_its_first_byte(cls: type[OpenAICompatibleProvider]) -> None:
    with pair(cls, slow(answers(STORY), by=0.9), checked=cls.free_check) as (providers, late, other):
        async with AsyncRouter(providers=providers) as router, router.stream("hi", model="m") as stream:
            assert "".join([chunk.text async for chunk in stream]) == STORY
        assert [(attempt.provider, attempt.failure) for attempt in stream.attempts] == [("slow", None)]
        assert 0.85 < stream.attempts[0].duration
        assert paths(late).count(CHAT) == 1
        assert bool(paths(late).count(MODELS)) is cls.free_check
        assert paths(other) == []


@TYPES
async def test_a_plain_call_gets_a_hundred_and_fifty_seconds(cls: type[OpenAICompatibleProvider]) -> None:
    with pair(cls, slow(answers(STORY), by=1.5), checked=cls.free_check) as (providers, late, other):
        async with AsyncRouter(providers=providers) as router:
            answer = await router.chat("hi", model="m")
            assert {state.state for state in await router.health()} == {"ready"}
        assert (answer.text, answer.provider) == (STORY, "slow")
        assert [attempt.failure for attempt in answer.attempts] == [None]
        assert paths(late).count(CHAT) == 1
        assert bool(paths(late).count(MODELS)) is cls.free_check
        assert paths(other) == []


@TYPES
def test_the_blocking_face_waits_as_long(cls: type[OpenAICompatibleProvider]) -> None:
    with pair(cls, slow(answers(STORY), by=1.5)) as (providers, late, other), Router(providers=providers) as router:
        assert router.chat("hi", model="m").provider == "slow"
        with router.stream("hi", model="m") as stream:
            assert "".join(chunk.text for chunk in stream) == STORY
        assert paths(late).count(CHAT) == 2
        assert paths(other) == []


@pytest.mark.soak
async def test_a_backend_that_does_one_thing_at_a_time_gets_its_time_too() -> None:
    """It answers no check while it works, for longer than a check may be silent."""
    with pair(Local, slow(answers(STORY), by=CHECK_SILENCE + 1.0)) as (providers, late, other):
        late.script(silent(), path=MODELS)
        async with AsyncRouter(providers=providers) as router:
            answer = await router.chat("hi", model="m")
        assert (answer.provider, len(answer.attempts)) == ("slow", 1)
        assert MODELS in paths(late)
        assert paths(other) == []


async def test_a_total_given_to_the_call_is_what_shortens_it() -> None:
    """The one who is silent for longer than its share loses its turn; with a check that answers it keeps it."""
    with pair(Unchecked, slow(answers(STORY), by=5.0)) as (providers, _, other):
        async with AsyncRouter(providers=providers) as router:
            answer = await router.chat("hi", model="m", timeout=3.0)
    assert [(attempt.provider, str(attempt.failure or "ok")) for attempt in answer.attempts] == [
        ("slow", "timeout"),
        ("other", "ok"),
    ]
    assert paths(other) == [CHAT]
    with pair(Local, slow(answers(STORY), by=1.5)) as (providers, _, other):
        async with AsyncRouter(providers=providers) as router:
            answer = await router.chat("hi", model="m", timeout=2.9)
    assert [attempt.provider for attempt in answer.attempts] == ["slow"]
    assert paths(other) == []
