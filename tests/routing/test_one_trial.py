"""A backend that was dead or frozen is back in use through exactly one trial; time is on a clock in hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

import anyio
import pytest
from anyio.to_thread import run_sync

from provider_router import AsyncRouter, Limits
from provider_router.backends import CHAT, Backend, Reply, Request, Until, answers, lists, status
from provider_router.limits import OPENING, OPENING_SPREAD, TIMEOUTS_IN_A_ROW

CALLERS = 16


class Clock:
    """The real one, and what it was put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def held(reply: Reply, until: threading.Event) -> Reply:
    """The same reply, once something has happened."""

    def wait(request: Request) -> Any:
        yield Until(until)
        yield from reply(request)

    return wait


def dies(backend: Backend) -> Callable[[], None]:
    backend.kill()
    return backend.revive


def freezes(backend: Backend) -> Callable[[], None]:
    backend.freeze()
    return backend.thaw


@pytest.mark.parametrize("checked", [True, False], ids=["check", "request"])
@pytest.mark.parametrize("trouble", [dies, freezes])
async def test_a_backend_that_recovers_is_back_in_use_through_exactly_one_trial(
    trouble: Callable[[Backend], Callable[[], None]], checked: bool, quick: Any
) -> None:
    class Type(quick):  # type: ignore[misc]
        """With or without a cheap check."""

        free_check: ClassVar[bool] = checked

    clock, answer = Clock(), threading.Event()
    with Backend(answers("one")) as one, Backend(answers("two")) as two:
        # Soon given up while it is frozen; afterwards the calls give it the time that it needs.
        providers = [Type("one", base_url=one.base_url, timeout=0.8), quick("two", base_url=two.base_url)]
        patient = Limits(timeout=60.0)
        async with AsyncRouter(providers=providers, clock=clock, seed=1) as router:
            recover = trouble(one)
            for _ in range(TIMEOUTS_IN_A_ROW):
                assert (await router.chat("hi", model="m")).text == "two"
            assert {step.provider: step.state for step in await router.plan("m")}["one"] == "open"
            if trouble is freezes:  # what it was asked meanwhile is not to be counted later
                assert await run_sync(lambda: one.wait_until(lambda seen: len(seen.requests) == TIMEOUTS_IN_A_ROW))
            one.script(held(answers("one"), answer))
            one.script(held(lists("m"), answer), path="/v1/models")
            recover()
            before = len(one.requests)
            assert (await router.chat("hi", model="m")).provider == "two"  # its time is not over
            assert len(one.requests) == before

            clock.ahead += OPENING * (1 + OPENING_SPREAD)
            answered: list[str] = []

            async def ask() -> None:
                answered.append((await router.chat("hi", model="m", timeout=patient)).provider)

            async with anyio.create_task_group() as callers:
                for _ in range(CALLERS):
                    callers.start_soon(ask)
                while len(answered) < CALLERS - 1:  # noqa: ASYNC110 - the last one waits for this very block
                    await anyio.sleep(0.005)
                assert await run_sync(lambda: one.wait_until(lambda seen: len(seen.requests) > before))
                paths = [request.path for request in one.requests[before:]]
                assert paths == ["/v1/models" if checked else CHAT]
                answer.set()
            assert sorted(answered) == ["one"] + ["two"] * (CALLERS - 1)
            assert {step.provider: step.state for step in await router.plan("m")}["one"] == "ready"
            assert (await router.chat("hi", model="m", timeout=patient)).provider == "one"


async def test_an_attempt_tells_when_it_was_begun_waits_included(quick: Any) -> None:
    """`started` counts from the call's begin: over a wait for a slot, and over the wait before a retry."""
    release = threading.Event()
    with Backend(held(answers("first"), release), status(500), answers("second")) as one:
        async with AsyncRouter(providers=[quick("one", base_url=one.base_url, max_parallel=1)], seed=1) as router:
            async with anyio.create_task_group() as callers:
                callers.start_soon(lambda: router.chat("hi", model="m"))
                assert await run_sync(lambda: one.wait_until(lambda seen: len(seen.requests) == 1))
                begun = time.monotonic()

                async def let_go() -> None:
                    while not len(router.registry.health.line):  # noqa: ASYNC110 - nobody tells
                        await anyio.sleep(0.002)
                    await anyio.sleep(0.2)
                    release.set()

                callers.start_soon(let_go)
                answer = await router.chat("hi", model="m")
                took = time.monotonic() - begun
    failed, good = answer.attempts
    assert failed.started >= 0.2
    assert good.started >= failed.started + failed.duration + 0.25  # the shortest backoff
    assert good.started + good.duration <= took
