"""The table `rollups`: the sums of each hour, for everything together and for each provider and model."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from attrs import define, field

from provider_router.store.connection import Connection
from provider_router.store.histogram import Histogram

HOUR: Final = 3_600_000  # milliseconds


class Subject(NamedTuple):
    """What an hour's sums are about: the model of this name at this provider; two empty names are everything."""

    hour: int
    provider: str = ""
    model: str = ""


@define
class Tally:
    """Sums that can be joined.

    Attributes:
        requests: of everything: requests; of a provider: calls to it.
        answered: those that came to an answer.
        absorbed: of everything: requests that were answered though somebody had failed before; of a provider: its
            failures that nobody noticed, since another answered.
        lost: requests that could not be recorded.
        estimated: those whose tokens are estimated.
        cost: in the currency of the configured prices.
        failures: how often each failure class came.
        latency: how long the answers took, in seconds.
        first_delta: how long the first meaningful delta of streams took, in seconds.
    """

    requests: int = 0
    answered: int = 0
    absorbed: int = 0
    lost: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: int = 0
    cost: float = 0.0
    failures: dict[str, int] = field(factory=dict)
    latency: Histogram = field(factory=Histogram)
    first_delta: Histogram = field(factory=Histogram)


_SUMS: Final = (
    "requests",
    "answered",
    "absorbed",
    "lost",
    "prompt_tokens",
    "completion_tokens",
    "estimated",
    "cost",
)
_COLUMNS: Final = ("hour", "provider", "model", *_SUMS, "failures", "latency", "first_delta")
_ONE: Final = "SELECT * FROM rollups WHERE hour = ? AND provider = ? AND model = ?"
_REPLACE: Final = f"REPLACE INTO rollups ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608


class Rollups:
    """Sums, by hour (its beginning, in milliseconds since 1970), provider and model."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, tallies: Mapping[Subject, Tally]) -> None:
        """Join sums to those that are there; the caller holds the transaction."""
        for subject, tally in tallies.items():
            if row := self._connection.row(_ONE, subject):
                _take(tally, row)
            sums = [getattr(tally, name) for name in _SUMS]
            failures = json.dumps(tally.failures, separators=(",", ":"))
            self._connection.change(
                _REPLACE, (*subject, *sums, failures, tally.latency.blob(), tally.first_delta.blob())
            )

    def join(self, since: int, until: int, to: Callable[[Subject], Iterable[Tally]], *, overall: bool = False) -> None:
        """Add the sums of the hours that begin in a span (its end left out).

        Args:
            since: milliseconds since 1970.
            until: milliseconds since 1970.
            to: the tallies that the sums of a subject are added to.
            overall: those of everything together, instead of those by provider and model.
        """
        sql = (
            "SELECT * FROM rollups WHERE hour >= ? AND hour < ? AND provider = '' AND model = ''"
            if overall
            else "SELECT * FROM rollups WHERE hour >= ? AND hour < ? AND provider <> ''"
        )
        for row in self._connection.rows(sql, (since, until)):
            for tally in to(Subject(row["hour"], row["provider"], row["model"])):
                _take(tally, row)

    def prune(self, before: int) -> None:
        """Remove the hours that began before this moment (milliseconds since 1970)."""
        for row in self._connection.rows("SELECT DISTINCT hour FROM rollups WHERE hour < ? LIMIT 24", (before,)):
            self._connection.delete("rollups", {"hour": row["hour"]})


def _take(tally: Tally, row: sqlite3.Row) -> None:
    """Add a row's sums."""
    for name in _SUMS:
        setattr(tally, name, getattr(tally, name) + row[name])
    if row["failures"] != "{}":
        for name, count in json.loads(row["failures"]).items():
            tally.failures[name] = tally.failures.get(name, 0) + count
    tally.latency.take(row["latency"])
    tally.first_delta.take(row["first_delta"])
