"""LiveProvider: a provider in use, and what a process has learnt of it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field

from provider_router.providers.provider import Provider


@define(eq=False)
class LiveProvider:
    """A provider in use: how many calls hold it, and whether its configuration is of the past.

    `options` are what it was made from, by their names outside Python.
    """

    provider: Provider
    options: Mapping[str, object] = field(factory=dict)
    users: int = 0
    prepared: bool = False
    retired: bool = False
    first_model: str | None = None
    listed_at: float | None = None
    slots_asked: bool = False  # whether it was asked how many calls it serves at once
