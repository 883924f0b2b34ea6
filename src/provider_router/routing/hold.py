"""Hold: a throttle or a flag: a provider is left alone until a moment. Pure."""

from __future__ import annotations

from attrs import define


@define
class Hold:
    """A throttle or a flag: left alone until a moment, for a reason; `length` doubles with each repeat."""

    since: float
    until: float
    reason: str
    length: float = 0.0


def hold(
    holds: dict[str, Hold],
    provider: str,
    began: float,
    now: float,
    reason: str,
    *,
    length: float | None = None,
    first: float = 0.0,
    last: float = 0.0,
) -> None:
    """Leave a provider alone for a length, or for one that doubles from first to last.

    Calls that were in flight when the hold began tell the same once more: they neither double nor shorten it.
    """
    before = holds.get(provider)
    again = before is not None and began >= before.since
    doubling = before.length if before else 0.0
    if length is None:
        doubling = min(doubling * 2, last) if again and doubling else doubling or first
        length = doubling
    until = now + length
    if before is not None and not again:
        holds[provider] = Hold(before.since, max(until, before.until), before.reason, doubling)
    else:
        holds[provider] = Hold(now, until, reason, doubling)
