"""Every fault of a backend, over real sockets: its class, who answers instead, and what health remembers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from provider_router import AsyncRouter, ProviderError, StreamInterrupted
from provider_router.backends import FAULTS, Backend, Fault, answers
from provider_router.errors import Failure
from provider_router.routing.table import TABLE

FOR_ALL = [fault for fault in FAULTS.values() if fault.available and fault.dialect == "openai"]
PLAIN = [fault for fault in FOR_ALL if fault.plain is not None]
STREAM = [fault for fault in FOR_ALL if fault.stream is not None]
AFTER_COMMIT = (Failure.TRUNCATED, Failure.STALLED)


def named(fault: Fault) -> str:
    return fault.name


def possible(fault: Fault, failure: Failure) -> tuple[Failure, ...]:
    """httpx tells bytes that are no HTTP, and end before a whole head, as if none had come."""
    return (failure, Failure.RESET) if fault.name == "not-http" else (failure,)


@contextmanager
def faulty(fault: Fault, quick: Any) -> Iterator[tuple[Any, Any]]:
    """A provider over a backend with this fault, and one over a healthy backend."""
    with fault.backend() as bad, Backend(answers("from the second")) as good:
        yield quick("first", base_url=bad.base_url), quick("second", base_url=good.base_url)


@pytest.mark.parametrize("fault", PLAIN, ids=named)
async def test_a_plain_call_is_answered_by_the_second_provider_or_stopped_as_the_table_says(
    fault: Fault, quick: Any
) -> None:
    with faulty(fault, quick) as providers:
        async with AsyncRouter(providers=providers, seed=1) as router:
            if fault.plain == "ok":
                answer = await router.chat("hi")
                assert answer.attempts[0].failure is None
                return
            failure = Failure(fault.plain)
            if TABLE[failure].next:
                answer = await router.chat("hi")
                attempts = answer.attempts
                assert answer.text == "from the second"
                assert attempts[-1].provider == "second"
            else:
                with pytest.raises(ProviderError) as caught:
                    await router.chat("hi")
                assert caught.value.failure == failure
                attempts = caught.value.attempts
            assert attempts[0].provider == "first"
            assert attempts[0].failure in possible(fault, failure)
            assert router.registry.health.in_flight == {}


@pytest.mark.parametrize("fault", STREAM, ids=named)
async def test_a_stream_is_answered_by_the_second_provider_or_stopped_as_the_table_says(
    fault: Fault, quick: Any
) -> None:
    with faulty(fault, quick) as providers:
        async with AsyncRouter(providers=providers, seed=1) as router:
            if fault.stream == "ok":
                async with router.stream("hi") as stream:
                    async for _ in stream:
                        pass
                assert stream.attempts[0].failure is None
                return
            failure = Failure(fault.stream)
            if failure in AFTER_COMMIT:
                with pytest.raises(StreamInterrupted) as interrupted:
                    async with router.stream("hi") as stream:
                        async for _ in stream:
                            pass
                assert interrupted.value.failure == failure
                assert bool(interrupted.value.text) == (fault.name != "tool-call-cut")
                attempts = interrupted.value.attempts
            elif TABLE[failure].next:
                async with router.stream("hi") as stream:
                    text = "".join([chunk.text async for chunk in stream])
                assert text == "from the second"
                attempts = stream.attempts
                assert attempts[-1].provider == "second"
            else:
                with pytest.raises(ProviderError) as caught:
                    async with router.stream("hi"):
                        pass
                attempts = caught.value.attempts
            assert attempts[0].provider == "first"
            assert attempts[0].failure in possible(fault, failure)
            assert router.registry.health.in_flight == {}


@pytest.mark.parametrize("fault", PLAIN, ids=named)
async def test_alone_a_faulty_backend_raises_its_own_class(fault: Fault, quick: Any) -> None:
    with faulty(fault, quick) as (first, _):
        async with AsyncRouter(providers=[first], seed=1) as router:
            if fault.plain == "ok":
                await router.chat("hi")
                return
            with pytest.raises(ProviderError) as caught:
                await router.chat("hi", max_attempts=1)
            assert caught.value.failure in possible(fault, Failure(fault.plain))
            assert caught.value.provider == "first"
            assert [attempt.failure for attempt in caught.value.attempts] == [caught.value.failure]
