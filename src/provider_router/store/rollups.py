"""The table `rollups`: the sums of each hour, for everything together and for each provider and model."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

from attrs import define, field

from provider_router.store.connection import Cell, Connection
from provider_router.store.histogram import Histogram

_Key = TypeVar("_Key")

HOUR: Final = 3_600_000  # milliseconds
_WRITTEN_KNOWN: Final = 1000  # rows in memory


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

    @classmethod
    def read(cls, rows: Sequence[Sequence[Any]]) -> Tally:
        """The sums of all these rows together."""
        *sums, failures, latency, first_delta = islice(zip(*rows, strict=True), len(Subject._fields), None)
        known: dict[str, Any] = dict(zip(_SUMS, map(sum, sums), strict=True))
        tally = cls(**known, latency=Histogram.read(latency), first_delta=Histogram.read(first_delta))
        for text, times in Counter(failures).items():
            tally.fail(json.loads(text), times=times)
        return tally

    def join(self, other: Tally) -> None:
        """Add what the other has."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.fail(other.failures)
        self.latency.merge(other.latency)
        self.first_delta.merge(other.first_delta)

    def fail(self, failures: Mapping[str, int], *, times: int = 1) -> None:
        """Count failures by their class."""
        for name, count in failures.items():
            self.failures[name] = self.failures.get(name, 0) + times * count


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
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM rollups"  # noqa: S608 - our names
_KEYS: Final = ("provider", "model", "hour")
_REPLACED: Final = f"""ON CONFLICT ({", ".join(_KEYS)}) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name not in _KEYS)}"""
_AT_ONCE: Final = 64  # subjects, as parameters of one question


class Rollups:
    """Sums, by hour (its beginning, in milliseconds since 1970), provider and model."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # As this connection wrote them last: reading a row costs more than seeing that it is still the same.
        self._written: dict[tuple[int, str, str], tuple[tuple[Any, ...], Tally]] = {}

    def add(self, tallies: Mapping[tuple[int, str, str], Tally]) -> None:
        """Join sums to those that are there; the caller holds the transaction."""
        if len(self._written) > _WRITTEN_KNOWN:
            self._written.clear()
        there = {tuple(row[: len(Subject._fields)]): tuple(row) for row in self._of(list(tallies))}
        cells: list[Cell] = []
        for subject, tally in tallies.items():
            row = there.get(subject)
            known, joined = self._written.pop(subject, (None, Tally()))
            if row is None:
                joined = Tally()
            elif row != known:
                joined = Tally.read([row])
            joined.join(tally)
            sums = [getattr(joined, name) for name in _SUMS]
            failures = json.dumps(joined.failures, separators=(",", ":"))
            written = (*subject, *sums, failures, joined.latency.blob(), joined.first_delta.blob())
            self._written[subject] = written, joined
            cells += written
        self._connection.insert_many("rollups", _COLUMNS, cells, conflict=_REPLACED)

    def _of(self, subjects: Sequence[tuple[int, str, str]]) -> Iterator[sqlite3.Row]:
        for first in range(0, len(subjects), _AT_ONCE):
            some = subjects[first : first + _AT_ONCE]
            # SQLite would read the whole table for `(hour, provider, model) IN (VALUES ...)`.
            sql = (
                f"WITH asked AS (VALUES {', '.join(['(?, ?, ?)'] * len(some))}) "  # noqa: S608 - our names
                f"SELECT {', '.join(_COLUMNS)} FROM asked CROSS JOIN rollups "
                "ON hour = column1 AND provider = column2 AND model = column3"
            )
            yield from self._connection.rows(sql, [cell for subject in some for cell in subject])

    def overall(self, since: int, until: int) -> Tally:
        """The sums of everything in the hours that begin in a span of milliseconds since 1970 (its end left out)."""
        sql = f"{_SELECT} WHERE hour >= ? AND hour < ? AND provider = '' AND model = ''"
        rows = self._connection.rows(sql, (since, until))
        return Tally.read(rows) if rows else Tally()

    def parts(self, since: int, until: int, key: Callable[[str, str], _Key | None]) -> dict[_Key, Tally]:
        """The sums of the hours that begin in a span of milliseconds since 1970 (its end left out), in groups.

        Args:
            since, until: the span.
            key: the group of a provider and a model; None leaves them out.
        """
        sql = f"{_SELECT} WHERE hour >= ? AND hour < ? AND provider <> ''"
        found: dict[_Key, list[sqlite3.Row]] = {}
        for row in self._connection.rows(sql, (since, until)):
            if (group := key(row[1], row[2])) is not None:
                found.setdefault(group, []).append(row)
        return {group: Tally.read(rows) for group, rows in found.items()}

    def prune(self, before: int) -> None:
        """Remove the hours that began before this moment (milliseconds since 1970)."""
        for row in self._connection.rows("SELECT DISTINCT hour FROM rollups WHERE hour < ? LIMIT 24", (before,)):
            self._connection.delete("rollups", {"hour": row["hour"]})
