"""Candidate: a provider that a request may be put to, with the model as it calls it."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from attrs import field, frozen

from provider_router.limits import Limits
from provider_router.routing.breaker import State
from provider_router.routing.line import Slots
from provider_router.routing.snapshot import ProviderLink, ProviderView
from provider_router.routing.ticket import Key


class Place(NamedTuple):
    """Where a candidate stands in every plan of its request, whatever the order: which model, whose provider."""

    turn: int
    provider: str


@frozen(kw_only=True)
class Candidate:
    """A provider to ask, with the model as it calls it.

    Attributes:
        model: None where the provider's own choice is taken.
        asked: the model that the request named, which is our id for it.
        turn: 0 for a candidate of the model itself, 1 for one of its first fallback, …
        state: `ready`, or why it comes last (`open`, `throttled`, `flagged`, `full`, …).
        reason: why it stands where it does.
        until: when that ends, if it is known.
    """

    provider: str
    model: str | None
    asked: str | None
    view: ProviderView = field(repr=False)
    link: ProviderLink | None = field(default=None, repr=False)
    zone: str | None = field(default=None, repr=False)
    turn: int = field(default=0, repr=False)
    state: str = State.READY
    reason: str = ""
    until: datetime | None = None

    @cached_property
    def key(self) -> Key:
        return Key(self.provider, self.view.endpoint or self.provider, self.model)

    @cached_property
    def place(self) -> Place:
        return Place(self.turn, self.provider)

    @cached_property
    def limits(self) -> Limits:
        """The bounds of an attempt: the link's over the provider's."""
        return self.link.limits.over(self.view.limits) if self.link else self.view.limits

    @cached_property
    def slots(self) -> Slots:
        link = self.link
        return Slots(self.view.max_parallel, link.max_parallel if link else None, link.model if link else None)

    @property
    def weight(self) -> float:
        return self.link.weight if self.link else 1.0

    @property
    def context_length(self) -> int | None:
        """The model's window there, in tokens, if it is known."""
        return self.link.context_length if self.link else None

    def __str__(self) -> str:
        note = f", {self.reason}" if self.reason else ""
        return f"{self.provider}: {self.state}{note}"
