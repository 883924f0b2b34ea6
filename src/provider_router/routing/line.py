"""Line: requests that wait for a free slot, in arrival order. Pure."""

from __future__ import annotations

from typing import Final

from attrs import define, frozen

Pool = str | tuple[str, str]
"""What slots belong to: a provider, or one of its links, as (provider, model)."""


@frozen
class Slots:
    """How many calls may be in flight: at a provider, and over the one of its links that the call takes.

    Attributes:
        provider: the bound of the provider; None is none.
        link: the bound of the link.
        model: which link it is, by the model's id here.
    """

    provider: int | None = None
    link: int | None = None
    model: str | None = None


UNBOUNDED: Final = Slots()


@define(eq=False)
class Turn:
    """One request that waits, and the pools of slots of which a free place in any will do."""

    pools: frozenset[Pool] = frozenset()


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

    def ahead(self, pool: Pool, turn: Turn | None) -> int:
        """How many slots of a pool are kept for those before this turn; before a newcomer they all are."""
        count = 0
        for other in self._turns:
            if other is turn:
                break
            count += pool in other.pools
        return count
