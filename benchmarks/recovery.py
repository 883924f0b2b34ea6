"""What a failure costs the caller in time: until the next backend answers, and until one that recovered is back in use.

These are seconds by the clock, not processor time: most of them are waits that the Router decides on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, ClassVar

from benchmarks.measure import Effort, Row
from benchmarks.measure import rows as compared
from provider_router import AsyncRouter
from provider_router.backends import Backend, answers
from provider_router.limits import DEFAULT_LIMITS, OPENING, OPENING_SPREAD
from provider_router.plugin import Limits, OpenAICompatibleProvider

_SCALE = 100  # a hang is given up after a hundredth of the default, to stand for it


class Hasty(OpenAICompatibleProvider):
    """One whose silence is soon too long."""

    type: ClassVar[str] = "hasty"
    limits: ClassVar[Limits] = Limits(timeout=(DEFAULT_LIMITS.first_token or 0.0) / _SCALE)


class Clock:
    """The real one, and what it was put forward."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def rows(base_url: str, effort: Effort) -> Iterator[Row]:
    """All of them, each against a call whose first backend is well."""
    with Backend(answers("one")) as one, Backend(answers("two")) as two:
        scenes = Scenes(one, two)
        taken: dict[str, list[float]] = {}
        for _ in range(effort.turns):
            for name, scene in scenes.all.items():
                taken.setdefault(name, []).append(asyncio.run(scene()))
    yield from compared("until the answer, by the clock and not the processor", taken, goals={})


class Scenes:
    """Each sets the stage anew, and gives the seconds that its last call took."""

    def __init__(self, one: Backend, two: Backend) -> None:
        self._one, self._two = one, two
        self.all: dict[str, Callable[[], Coroutine[Any, Any, float]]] = {
            "the first backend is well": self.well,
            "the first refuses": self.refused,
            f"the first hangs, limit 1/{_SCALE}": self.hung,
            "the first's breaker is open": self.opened,
            "the trial of one that recovered": self.recovered,
        }

    def _router(self, clock: Clock) -> AsyncRouter:
        providers = [Hasty(name, base_url=b.base_url) for name, b in (("one", self._one), ("two", self._two))]
        return AsyncRouter(providers=providers, clock=clock)

    async def well(self) -> float:
        async with self._router(Clock()) as router:
            return await _timed(router, "one")

    async def refused(self) -> float:
        self._one.kill()
        try:
            async with self._router(Clock()) as router:
                return await _timed(router, "two")
        finally:
            self._one.revive()

    async def hung(self) -> float:
        self._one.freeze()
        try:
            async with self._router(Clock()) as router:
                return await _timed(router, "two")
        finally:
            self._one.thaw()

    async def opened(self) -> float:
        self._one.kill()
        try:
            async with self._router(Clock()) as router:
                await _timed(router, "two")
                return await _timed(router, "two")
        finally:
            self._one.revive()

    async def recovered(self) -> float:
        clock = Clock()
        async with self._router(clock) as router:
            self._one.kill()
            try:
                await _timed(router, "two")
            finally:
                self._one.revive()
            clock.ahead += OPENING * (1 + OPENING_SPREAD)  # the opening is over: the next call is the trial
            return await _timed(router, "one")


async def _timed(router: AsyncRouter, by: str) -> float:
    begun = time.perf_counter()
    answer = await router.chat("hi", model="m")
    assert answer.provider == by
    return time.perf_counter() - begun
