"""Strategies: the order of candidates that the plan holds for equal. Pure: the same seed gives the same order."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from provider_router.routing.candidate import Candidate
    from provider_router.routing.health import Health

_HASHES: Final = 2.0**64


def by_priority(candidates: Sequence[Candidate], *, health: Health, seed: int, prefix: str, now: float) -> list[int]:
    """Stable, by id."""
    return _ranked(candidates, lambda candidate: 0.0)


def weighted(candidates: Sequence[Candidate], *, health: Health, seed: int, prefix: str, now: float) -> list[int]:
    """By lot: each comes first as often as its link's weight says."""
    return _ranked(candidates, lambda candidate: _lot(candidate, str(seed)))


def least_busy(candidates: Sequence[Candidate], *, health: Health, seed: int, prefix: str, now: float) -> list[int]:
    """Whoever has the fewest calls in flight, for its weight."""
    return _ranked(candidates, lambda candidate: health.in_flight.get(candidate.provider, 0) / candidate.weight)


def fastest(candidates: Sequence[Candidate], *, health: Health, seed: int, prefix: str, now: float) -> list[int]:
    """Of two drawn by lot the faster, again and again, so that not everybody runs to the fastest at once."""
    left = _ranked(candidates, lambda candidate: _lot(candidate, str(seed), weight=1.0))
    order = []
    while left:
        faster = min(left[:2], key=lambda place: health.cost(candidates[place].key, now))
        left.remove(faster)
        order.append(faster)
    return order


def affinity(candidates: Sequence[Candidate], *, health: Health, seed: int, prefix: str, now: float) -> list[int]:
    """Where the conversation was served last, as long as that is fresh; else the same for the same prefix."""
    last = health.served_by(prefix, now)
    return _ranked(
        candidates, lambda candidate: -1.0 if candidate.provider == last else _lot(candidate, f"conversation {prefix}")
    )


STRATEGIES: Final[Mapping[str, Callable[..., list[int]]]] = {
    "priority": by_priority,
    "weighted": weighted,
    "least-busy": least_busy,
    "fastest": fastest,
    "affinity": affinity,
}


def _ranked(candidates: Sequence[Candidate], score: Callable[[Candidate], float]) -> list[int]:
    return sorted(range(len(candidates)), key=lambda place: (score(candidates[place]), candidates[place].provider))


def _lot(candidate: Candidate, draw: str, *, weight: float | None = None) -> float:
    """A candidate's lot in a draw; the least wins, and each wins in proportion to its weight (rendezvous hashing)."""
    digest = blake2b(f"{draw}\0{candidate.provider}".encode(), digest_size=8).digest()
    chance = (int.from_bytes(digest, "big") + 0.5) / _HASHES
    return -math.log(chance) / (candidate.weight if weight is None else weight)
