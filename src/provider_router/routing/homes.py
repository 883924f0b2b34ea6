"""Homes: where conversations were served last, so that the prompt cache there is of use. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from provider_router import limits as numbers

_CONVERSATIONS: Final = 10_000


class Homes:
    """Who served which conversation last, and when, by what it begins with."""

    def __init__(self) -> None:
        self._served: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._served)

    def serve(self, prefix: str, provider: str, now: float) -> None:
        self._served[prefix] = (provider, now)
        self._served.move_to_end(prefix)
        if len(self._served) > _CONVERSATIONS:
            self._served.popitem(last=False)

    def of(self, prefix: str, now: float) -> str | None:
        """Who served this conversation last, unless that is long ago."""
        provider, at = self._served.get(prefix, ("", 0.0))
        return provider if provider and now - at < numbers.AFFINITY_MEMORY else None
