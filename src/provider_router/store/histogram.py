"""Histogram: how long things took, in buckets that grow by a fixed ratio, so that any two can be joined. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil, log
from struct import Struct
from typing import Final

GROWTH: Final = 1.04
ERROR: Final = (GROWTH - 1) / (GROWTH + 1)
"""The largest relative error of a percentile: just under 2 %."""
LEAST: Final = 1e-6  # seconds; what is shorter counts as this
_LOG: Final = log(GROWTH)
_PAIR: Final = Struct("<HQ")


class Histogram:
    """Durations in seconds, of which only the bucket is kept.

    Args:
        counts: how many fell into each bucket.
    """

    __slots__ = ("counts",)

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: dict[int, int] = dict(counts or {})

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Histogram:
        """The histogram of these durations."""
        histogram = cls()
        for value in seconds:
            histogram.add(value)
        return histogram

    @classmethod
    def read(cls, blobs: Iterable[bytes]) -> Histogram:
        """What all these have counted together, from what `blob` gave of each."""
        some = [blob for blob in blobs if blob]
        # Each ends with its largest bucket. A list is counted in faster than a dict, and there may be 100,000 pairs.
        counts = [0] * (1 + max((_PAIR.unpack(blob[-_PAIR.size :])[0] for blob in some), default=0))
        for bucket, count in _PAIR.iter_unpack(b"".join(some)):
            counts[bucket] += count
        return cls({bucket: count for bucket, count in enumerate(counts) if count})

    def blob(self) -> bytes:
        """Ten bytes for each bucket in use: its number and its count."""
        buckets = sorted(self.counts)
        return b"".join(map(_PAIR.pack, buckets, map(self.counts.__getitem__, buckets)))

    def add(self, seconds: float) -> None:
        """Count one more."""
        bucket = ceil(log(seconds / LEAST) / _LOG) if seconds > LEAST else 0
        counts = self.counts
        counts[bucket] = counts.get(bucket, 0) + 1

    def merge(self, other: Histogram) -> None:
        """Count what the other has counted."""
        counts = self.counts
        for bucket, count in other.counts.items():
            counts[bucket] = counts.get(bucket, 0) + count

    def __len__(self) -> int:
        return sum(self.counts.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self.counts == other.counts

    __hash__ = None  # type: ignore[assignment]

    def percentiles(self, shares: Iterable[float]) -> list[float | None]:
        """The durations, in seconds, that these shares of all (0 to 1, growing) did not exceed; None if there is none.

        Each is off by at most `ERROR`.
        """
        buckets = sorted(self.counts.items())
        total, passed, at = len(self), 0, -1
        found: list[float | None] = []
        for share in shares:
            rank = max(1, ceil(share * total))
            while passed < rank and at + 1 < len(buckets):
                at += 1
                passed += buckets[at][1]
            found.append(_middle(buckets[at][0]) if buckets else None)
        return found


def _middle(bucket: int) -> float:
    return LEAST * 2 * GROWTH**bucket / (GROWTH + 1) if bucket else LEAST
