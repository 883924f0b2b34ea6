"""Slots: requests that wait for a free one, in arrival order."""

from __future__ import annotations

import anyio
from attrs import define


@define(eq=False)
class Turn:
    """One request that waits, and the providers of which any will do."""

    providers: frozenset[str] = frozenset()


class Line:
    """Who waits, in arrival order. Pure: it says whose a free slot is, so that nobody pushes in."""

    def __init__(self) -> None:
        self._turns: dict[Turn, None] = {}

    def __len__(self) -> int:
        return len(self._turns)

    def join(self) -> Turn:
        turn = Turn()
        self._turns[turn] = None
        return turn

    def leave(self, turn: Turn) -> None:
        self._turns.pop(turn, None)

    def ahead(self, provider: str, turn: Turn | None) -> int:
        """How many slots of a provider are kept for those before this turn; before a newcomer they all are."""
        count = 0
        for other in self._turns:
            if other is turn:
                break
            count += provider in other.providers
        return count


class SlotQueue:
    """Where requests sleep until a call in flight ends. All are woken: the line says whose turn it is."""

    def __init__(self) -> None:
        self._freed: anyio.Event | None = None

    async def wait(self, seconds: float) -> None:
        """Until a slot may be free, or the seconds are over."""
        if self._freed is None:
            self._freed = anyio.Event()
        with anyio.move_on_after(seconds):
            await self._freed.wait()

    def wake(self) -> None:
        """A slot fell free, or somebody left the line."""
        freed, self._freed = self._freed, None
        if freed is not None:
            freed.set()
