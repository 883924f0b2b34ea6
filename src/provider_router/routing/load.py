"""Load: how many calls are in flight, at which provider and over which of its links, and who waits. Pure."""

from __future__ import annotations

from typing import TypeVar

from provider_router.routing.line import Line, Pool, Slots, Turn

T = TypeVar("T")


class Load:
    """The calls of one process.

    Attributes:
        in_flight: calls that run at present, by provider; without those that have none.
        over_links: the same of links that bound them, by provider and model.
        line: the requests that wait for a free slot.
    """

    def __init__(self) -> None:
        self.in_flight: dict[str, int] = {}
        self.over_links: dict[tuple[str, str], int] = {}
        self.line = Line()

    def full(self, provider: str, slots: Slots, *, turn: Turn | None = None) -> Pool | None:
        """Which pool of slots that a call needs is taken, or kept for those who came before; None if it may begin."""
        bound = slots.provider
        if bound is not None and self.in_flight.get(provider, 0) + self.line.ahead(provider, turn) >= bound:
            return provider
        if slots.link is not None and slots.model is not None:
            pool = (provider, slots.model)
            if self.over_links.get(pool, 0) + self.line.ahead(pool, turn) >= slots.link:
                return pool
        return None

    def take(self, provider: str, slots: Slots) -> tuple[str, str] | None:
        """A call begins; over which link, if that bounds its calls."""
        self.in_flight[provider] = self.in_flight.get(provider, 0) + 1
        if slots.link is None or slots.model is None:
            return None
        link = (provider, slots.model)
        self.over_links[link] = self.over_links.get(link, 0) + 1
        return link

    def free(self, provider: str, link: tuple[str, str] | None) -> None:
        """A call is over."""
        _count_down(self.in_flight, provider)
        if link is not None:
            _count_down(self.over_links, link)


def _count_down(calls: dict[T, int], pool: T) -> None:
    left = calls.get(pool, 1) - 1
    if left > 0:
        calls[pool] = left
    else:
        calls.pop(pool, None)
