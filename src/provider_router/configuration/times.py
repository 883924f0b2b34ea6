"""Times of records: what is as it was keeps its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar, cast

from attrs import evolve

from provider_router.store import Configuration, Kept, configuration_of, key_of, row_of

K = TypeVar("K", bound=Kept)

_TIMES = ("created_at", "updated_at")


def same_but_times(record: Kept, other: Kept) -> bool:
    """Whether two records say the same. By their rows: 1, 1.0 and True are equal to Python."""
    return row_of(_at_times_of(record, other)) == row_of(other)


def with_times_of(old: Mapping[Any, Kept], new: Iterable[Kept], *, revision: int) -> Configuration:
    """A configuration of new records, in which what is as it was keeps its times, and what was there its first one."""

    def kept(record: Kept) -> Kept:
        was = old.get(key_of(record))
        if was is None or was is record or row_of(was) == row_of(record):
            return record
        return was if same_but_times(record, was) else _at_times_of(record, was, names=_TIMES[:1])

    return configuration_of(map(kept, new), revision=revision)


def _at_times_of(record: K, other: Kept, *, names: Iterable[str] = _TIMES) -> K:
    times: dict[str, datetime] = {name: getattr(other, name) for name in names if hasattr(record, name)}
    return cast(K, evolve(cast(Any, record), **times))
