"""Vigil: keeps watch over the silence of one attempt, and breaks it off where the machine says so.

No scope, task group or task outlives a step of the attempt, so that none is held while the caller has the floor.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from provider_router.errors import ProviderRouterError
from provider_router.routing.actions import Abandon, Check
from provider_router.routing.failover import Failover

T = TypeVar("T")
Clock = Callable[[], float]
Checking = Callable[[float], Awaitable[bool | None]]
"""Ask the backend's check, for so many seconds at most: answered, refused (False), or silent (None)."""

# Seconds. A look that comes too soon costs little; one that has to be drawn nearer costs a new timer.
_LOOK: Final = 10.0
_SHARED: Final = 0.25  # looks before the deadline are that far apart, so that one ring serves many
_GRAIN: Final = 0.005  # so long at least between two rings, however many deadlines lie close together
_NEVER: Final = float("inf")


class Vigil(ABC):
    """The watch over one attempt.

    Attributes:
        verdict: why the attempt was broken off, if it was.
    """

    def __init__(self, machine: Failover, clock: Clock, check: Checking) -> None:
        self.verdict: ProviderRouterError | None = None
        self._machine = machine
        self._clock = clock
        self._check = check

    @abstractmethod
    async def over(self, step: Awaitable[T]) -> T | None:
        """Wait for a step of the attempt; None, and a verdict, where its silence lasted too long."""

    @abstractmethod
    def sent(self) -> None:
        """The request is out, which draws the limits nearer: they bound silence, not the way there."""

    @abstractmethod
    def break_off(self, error: ProviderRouterError) -> bool:
        """End the step that somebody waits for at present, with this as the verdict; False where nobody does."""

    def end(self) -> None:  # noqa: B027 - not everyone has something to end
        """The attempt is over."""

    async def _checked(self, check: Check) -> Abandon | None:
        left = max(0.0, self._machine.deadline() - self._clock())
        answered = await self._check(min(check.seconds, left) or check.seconds)
        return self._machine.checked(self._clock(), answered)


def vigil(machine: Failover, clock: Clock, check: Checking) -> Vigil:
    """The one for the event loop that runs here."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    if task is None:  # trio, perhaps on top of asyncio
        return _TaskVigil(machine, clock, check)
    return TimedVigil(machine, clock, check, bell=_bell_of(task.get_loop()))


class Bell:
    """One timer for all vigils in an event loop: hardly any attempt comes to its deadline, and each had a timer."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: set[TimedVigil] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._at = _NEVER  # when it rings

    def wake(self, vigil: TimedVigil) -> None:
        """Ring for a vigil at its moment, or a little later."""
        self._waiting.add(vigil)
        if vigil.at < self._at:
            self._set(vigil.at)

    def forget(self, vigil: TimedVigil) -> None:
        self._waiting.discard(vigil)

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = at
        self._timer = self.loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = max(self.loop.time(), self._at)  # asyncio's timers may come a moment early
        due = [vigil for vigil in self._waiting if vigil.at <= now]
        self._waiting.difference_update(due)
        for vigil in due:
            self.loop.call_soon(vigil.due)
        self._at = _NEVER
        if self._waiting:
            self._set(max(min([vigil.at for vigil in self._waiting]), now + _GRAIN))


class _Bells(threading.local):
    bell: Bell | None = None


_bells: Final = _Bells()


def _bell_of(loop: asyncio.AbstractEventLoop) -> Bell:
    bell = _bells.bell
    if bell is None or bell.loop is not loop:
        bell = _bells.bell = Bell(loop)
    return bell


class TimedVigil(Vigil):
    """On asyncio: it is woken for a look, too early rather than anew with every sign of life.

    Attributes:
        at: when it looks next, on the loop's clock.
    """

    def __init__(self, machine: Failover, clock: Clock, check: Checking, *, bell: Bell) -> None:
        super().__init__(machine, clock, check)
        self.at = _NEVER
        self._loop = bell.loop
        self._bell = bell
        self._task: asyncio.Task[object] | None = None  # of the present step
        self._checks: asyncio.Task[None] | None = None

    async def over(self, step: Awaitable[T]) -> T | None:
        task = self._task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        self._look()
        try:
            return await step
        except asyncio.CancelledError:
            if self.verdict is None or task.cancelling() > before + 1:  # the caller's own cancellation
                raise
            return None
        finally:
            self._task = None
            if self.verdict is not None:
                task.uncancel()
            if self._checks is not None:
                self._checks.cancel()
                with anyio.CancelScope(shield=True):
                    await asyncio.wait([self._checks])

    def sent(self) -> None:
        self._look()

    def break_off(self, error: ProviderRouterError) -> bool:
        if self._task is None:
            return False
        if self.verdict is None:
            self._concluded(Abandon(error))
        return True

    def end(self) -> None:
        self._bell.forget(self)

    def _look(self) -> None:
        """Look no later than at the deadline."""
        if self._task is None or self._checks is not None:
            return
        now, left = self._loop.time(), self._machine.deadline() - self._clock()
        at = now + left if left < _LOOK else (now + _LOOK) // _SHARED * _SHARED
        if at < self.at:
            self.at = at
            self._bell.wake(self)

    def due(self) -> None:
        """The moment has come."""
        self.at = _NEVER
        if self._task is None or self.verdict is not None:  # the caller has the floor; or it is over
            return
        now = self._clock()
        step = self._machine.silent(now) if now >= self._machine.deadline() else None
        if isinstance(step, Check):
            self._checks = self._loop.create_task(self._beside(step))
        else:
            self._concluded(step)

    async def _beside(self, check: Check) -> None:
        step = await self._checked(check)
        self._checks = None
        self._concluded(step)

    def _concluded(self, step: Abandon | None) -> None:
        if step is None:
            self._look()
        elif self._task is not None:
            self.verdict = step.error
            self._task.cancel()


class _TaskVigil(Vigil):
    """On trio, which knows no timers: a task beside each step."""

    def __init__(self, machine: Failover, clock: Clock, check: Checking) -> None:
        super().__init__(machine, clock, check)
        self._out = anyio.Event()  # the request is out
        self._scope: anyio.CancelScope | None = None  # of the present step

    async def over(self, step: Awaitable[T]) -> T | None:
        result: T | None = None
        error: Exception | None = None
        async with anyio.create_task_group() as group:
            self._scope = group.cancel_scope
            group.start_soon(self._watch, group.cancel_scope)
            try:
                result = await step
            except Exception as raised:  # as it is, and not in a group
                error = raised
            finally:
                self._scope = None
            group.cancel_scope.cancel()
        if error is not None:
            raise error
        return result

    def sent(self) -> None:
        self._out.set()

    def break_off(self, error: ProviderRouterError) -> bool:
        if self._scope is None:
            return False
        if self.verdict is None:
            self.verdict = error
            self._scope.cancel()
        return True

    async def _watch(self, scope: anyio.CancelScope) -> None:
        while True:
            with anyio.move_on_after(self._machine.deadline() - self._clock()):
                await (anyio.sleep_forever() if self._out.is_set() else self._out.wait())
            now = self._clock()
            if now < self._machine.deadline():
                continue
            step = self._machine.silent(now)
            if isinstance(step, Check):
                step = await self._checked(step)
            if isinstance(step, Abandon):
                self.verdict = step.error
                scope.cancel()
                return
