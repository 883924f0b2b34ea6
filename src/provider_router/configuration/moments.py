"""Moments as people say them: `2026-01-31 14:00`, or how long ago: `90m`, `24h`, `7d`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from provider_router.limits import parse_duration

When = datetime | timedelta | str | None
"""A moment, how long ago it was, or a text of either."""

_LONG: Final = re.compile(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*(d|w)\s*\Z", re.ASCII)
_DAYS: Final[Mapping[str, int]] = {"d": 1, "w": 7}


def moment_of(when: When) -> datetime | None:
    """The moment that is meant, in UTC; a text without a zone is of this machine's.

    Raises:
        ValueError: for a text that is neither a moment nor a duration.
    """
    if when is None:
        return None
    if isinstance(when, str):
        when = _read(when)
    try:
        return (datetime.now(UTC) - when) if isinstance(when, timedelta) else when.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{when} is before all times") from None


def _read(text: str) -> datetime | timedelta:
    if found := _LONG.match(text):
        return timedelta(days=float(found[1]) * _DAYS[found[2]])
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        return timedelta(seconds=parse_duration(text))
    except ValueError:
        raise ValueError(f"{text!r} is no moment: write 90m, 24h, 7d or 2026-01-31 14:00") from None
