"""Line: requests that wait for a free slot, in arrival order. Pure."""

from __future__ import annotations

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
