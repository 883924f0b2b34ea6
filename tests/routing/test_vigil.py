"""The watch over an attempt's silence: what it costs while all is well, and whose cancellation is whose."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import anyio
import pytest

from provider_router import AsyncRouter, ChatRequest, ChatResponse
from provider_router.errors import ProviderTimeout
from provider_router.plugin import Capability, Provider
from provider_router.routing.actions import Abandon
from provider_router.routing.failover import Failover
from provider_router.routing.vigil import Bell, TimedVigil, vigil


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Counting(Provider):
    """Answers with the number of tasks that run."""

    type = "counting"
    capabilities = frozenset({Capability.CHAT})

    async def chat(self, request: ChatRequest) -> ChatResponse:
        return ChatResponse.of(text=str(len(asyncio.all_tasks())), model="m")


class Machine:
    """One whose silence is due at once, and always too long."""

    def __init__(self) -> None:
        self.error = ProviderTimeout("silent")

    def deadline(self) -> float:
        return 0.0

    def silent(self, now: float) -> Abandon:
        return Abandon(self.error)


async def nobody(seconds: float) -> bool | None:
    return None


async def test_a_call_that_is_answered_starts_no_task_beside_it() -> None:
    tasks = len(asyncio.all_tasks())
    async with AsyncRouter(providers=[Counting("a")]) as router:
        assert (await router.chat("hi")).text == str(tasks)


async def test_a_step_that_is_silent_for_too_long_is_broken_off_and_the_task_goes_on() -> None:
    machine = Machine()
    watch = vigil(cast(Failover, machine), lambda: 1.0, nobody)
    assert await watch.over(asyncio.Event().wait()) is None
    task = asyncio.current_task()
    assert task is not None
    assert (watch.verdict, task.cancelling()) == (machine.error, 0)


async def test_the_callers_own_cancellation_is_told_though_the_silence_is_up_too() -> None:
    machine = Machine()
    ended: list[Any] = []

    async def call() -> None:
        watch = vigil(cast(Failover, machine), lambda: 1.0, nobody)
        try:
            ended.append(await watch.over(waiting()))
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def waiting() -> None:
        asyncio.get_running_loop().call_soon(task.cancel)
        await asyncio.Event().wait()

    task = asyncio.ensure_future(call())
    await asyncio.wait([task])
    assert (ended, task.cancelled()) == (["cancelled"], True)


async def test_a_step_that_swallows_its_end_leaves_no_cancellation_behind() -> None:
    async def deaf() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
        return "late"

    watch = vigil(cast(Failover, Machine()), lambda: 1.0, nobody)
    task = asyncio.current_task()
    assert task is not None
    assert (await watch.over(deaf()), watch.verdict is None, task.cancelling()) == ("late", False, 0)


class Due(Machine):
    """One whose silence is due at a moment."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self._at = at

    def deadline(self) -> float:
        return self._at


class InHand:
    """The running loop, with timers and a time of its own, which goes on from one timer to the next."""

    def __init__(self) -> None:
        self.now = 0.0
        self._loop = asyncio.get_running_loop()
        self._timers: list[asyncio.TimerHandle] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Any) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, (), self._loop)
        self._timers.append(timer)
        return timer

    async def ring(self) -> None:
        """Let the time of the next timer come, and what it does be done."""
        timer = min((timer for timer in self._timers if not timer.cancelled()), key=asyncio.TimerHandle.when)
        self._timers.remove(timer)
        self.now = timer.when()
        timer._run()
        await anyio.wait_all_tasks_blocked()


async def test_each_of_many_silences_ends_in_its_turn_and_one_that_is_over_is_left_alone() -> None:
    loop = InHand()
    bell = Bell(cast(asyncio.AbstractEventLoop, loop))
    ended: list[tuple[float, float]] = []

    def watch_for(seconds: float) -> TimedVigil:
        return TimedVigil(cast(Failover, Due(seconds)), loop.time, nobody, bell=bell)

    async def call(seconds: float) -> None:
        watch = watch_for(seconds)
        await watch.over(asyncio.Event().wait())
        watch.end()
        ended.append((seconds, loop.now))

    silent = [asyncio.ensure_future(call(seconds)) for seconds in (0.06, 0.01, 0.04, 0.02)]
    answered = watch_for(0.02)
    await answered.over(asyncio.sleep(0))
    answered.end()
    await anyio.wait_all_tasks_blocked()
    for _ in silent:
        await loop.ring()
    await asyncio.wait(silent)
    assert answered.verdict is None
    assert ended == [(seconds, seconds) for seconds in (0.01, 0.02, 0.04, 0.06)]


async def test_many_calls_that_wait_have_one_timer_between_them() -> None:
    loop = asyncio.get_running_loop()
    made: list[float] = []

    class Loop:
        """The running loop, and how many timers it is asked for."""

        def __getattr__(self, name: str) -> Any:
            return getattr(loop, name)

        def call_at(self, when: float, *args: Any) -> asyncio.TimerHandle:
            made.append(when)
            return loop.call_at(when, *args)

    bell = Bell(cast(asyncio.AbstractEventLoop, Loop()))
    machines = [Due(time.monotonic() + 60.0) for _ in range(50)]
    vigils = [TimedVigil(cast(Failover, machine), time.monotonic, nobody, bell=bell) for machine in machines]
    waiting = [asyncio.ensure_future(each.over(asyncio.Event().wait())) for each in vigils]
    await asyncio.sleep(0)
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)
    assert len(made) == 1
