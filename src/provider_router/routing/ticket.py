"""Ticket: one call in flight, as health counts it."""

from __future__ import annotations

from typing import NamedTuple

from attrs import define

from provider_router.routing.breaker import Breaker


class Key(NamedTuple):
    """What health is kept for: a provider, its endpoint, and the model as that provider calls it."""

    provider: str
    endpoint: str
    model: str | None


@define(eq=False)
class Ticket:
    """One call in flight, since when, of which breakers it is the trial, and over which of the provider's links."""

    key: Key
    began: float
    trials: tuple[Breaker, ...] = ()
    link: tuple[str, str] | None = None
