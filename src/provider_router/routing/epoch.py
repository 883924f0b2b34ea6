"""Epoch: a span of time in which everybody stands alike."""

from __future__ import annotations

from attrs import field, frozen

from provider_router.routing.breaker import Condition
from provider_router.routing.ticket import Key


@frozen(eq=False)
class Epoch:
    """A span of time in which nobody comes to stand otherwise, but for the slots. It ends early with any change.

    Attributes:
        troubled: whether anything is held against anybody, so that it matters how each one stands.
        since, until: its first moment, and the first one after it.
        known: how those stand who were asked for.
    """

    troubled: bool
    since: float
    until: float
    known: dict[Key, Condition] = field(factory=dict)

    def holds(self, now: float) -> bool:
        return self.since <= now < self.until
