"""Breaker: why an endpoint, or a model there, is left alone, and the one trial that ends it. Pure.

closed ──fault(s)──► open(until) ──time──► half-open ──one trial──► closed | open(twice as long)
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from random import Random

from attrs import define, field, frozen

from provider_router import limits as numbers


class State(StrEnum):
    """How a candidate stands. The first four are asked in the plan's order, the rest only after all of those."""

    READY = "ready"
    HALF_OPEN = "half-open"
    BUSY = "busy"
    DOUBTED = "doubted"
    FULL = "full"
    THROTTLED = "throttled"
    OPEN = "open"
    FLAGGED = "flagged"


LATER = (State.BUSY, State.DOUBTED)
"""Asked after those that are free and of whom nobody speaks ill."""


@frozen
class Condition:
    """How a candidate stands: its state, why, and until when on the clock that is handed in."""

    state: State = State.READY
    reason: str = ""
    until: float | None = None

    @property
    def askable(self) -> bool:
        return self.state in _ASKABLE


_ASKABLE = (State.READY, State.HALF_OPEN, *LATER)
READY = Condition()


def worse(one: Condition, other: Condition) -> Condition:
    """Open and flagged before half-open before ready; of two that are shut the one that is so for longer."""
    if one.askable != other.askable:
        return other if one.askable else one
    if one.askable:
        return other if one is READY else one
    return max(one, other, key=lambda condition: condition.until or 0.0)


@define(eq=False)
class Window:
    """How many calls of the last minute counted, and how many of them as faults; kept by whole seconds."""

    calls: int = 0
    faults: int = 0
    _seconds: deque[list[int]] = field(factory=deque)  # [second, calls, faults]

    def add(self, now: float, *, fault: bool) -> None:
        self.forget(now)
        second = int(now)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0, 0])
        newest = self._seconds[-1]
        newest[1] += 1
        newest[2] += fault
        self.calls += 1
        self.faults += fault

    def forget(self, now: float) -> None:
        """Drop what is older than the window."""
        while self._seconds and self._seconds[0][0] < now - numbers.FAULT_WINDOW:
            _, calls, faults = self._seconds.popleft()
            self.calls -= calls
            self.faults -= faults

    @property
    def bad(self) -> bool:
        """Whether so many failed that the breaker opens."""
        return self.calls >= numbers.FAULT_WINDOW_LEAST and self.faults >= self.calls * numbers.FAULT_WINDOW_RATIO


@define(eq=False)
class Breaker:
    """One breaker. `trial` is the call that is its trial at present, whatever object stands for it."""

    in_a_row: int = 0
    opening: float = 0.0  # length of the present opening in seconds; 0 while closed
    opened: float = 0.0
    until: float = 0.0
    reason: str = ""
    trial: object | None = None
    window: Window = field(factory=Window)

    def condition(self, now: float) -> Condition:
        if not self.opening:
            return READY
        if self.on_offer(now):
            return Condition(State.HALF_OPEN, f"{self.reason}; on trial", self.until)
        return Condition(State.OPEN, self.reason, max(self.until, now))

    def on_offer(self, now: float) -> bool:
        """Whether the next call is the trial."""
        return self.opening > 0 and now >= self.until and self.trial is None

    def fault(self, call: object, now: float, *, reason: str, opens: bool, rng: Random) -> None:
        """A call failed in a way that counts.

        While open, only the failed trial says anything new: the calls that were in flight when the breaker opened,
        and those that were asked because nobody else was left, neither lengthen the opening nor end the trial.
        """
        if not self.opening:
            if opens:
                self._open(numbers.OPENING, reason, now, rng)
        elif self.trial is call:
            self._open(min(self.opening * 2, numbers.OPENING_MAX), reason, now, rng)

    def _open(self, seconds: float, reason: str, now: float, rng: Random) -> None:
        spread = 1 + numbers.OPENING_SPREAD * (2 * rng.random() - 1)
        self.opening = seconds
        self.opened = now
        self.until = now + seconds * spread
        self.trial = None
        self.reason = reason

    def well(self, began: float) -> bool:
        """A call that began then shows that all is well again. One from before the opening proves nothing.

        Returns:
            Whether that closed an open breaker.
        """
        if not self.opening or began < self.opened:
            return False
        self.opening = self.until = 0.0
        self.trial = None
        self.window = Window()
        return True

    def free(self, call: object) -> None:
        """The call is over; if it was the trial, the next one may be."""
        if self.trial is call:
            self.trial = None
