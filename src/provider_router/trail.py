"""Trail: what was tried for a request, and who was left out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from attrs import frozen

from provider_router.errors import Failure


def duration_text(seconds: float) -> str:
    """`0.0021` → `2 ms`, `1.34` → `1.3 s`, `75` → `75 s`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"


@frozen(kw_only=True)
class Attempt:
    """One upstream call and how it ended.

    `started` and `duration` are seconds, the first counted from the start of the request; so is `first_delta`, from
    the start of the attempt to the first meaningful delta of a stream. `failure` is None for the attempt that answered;
    `detail` says the failure in a word or two (`refused`, `HTTP 503`).
    """

    provider: str
    model: str | None
    started: float
    duration: float
    failure: Failure | None = None
    status: int | None = None
    detail: str = ""
    retry_after: float | None = None
    first_delta: float | None = None

    def __str__(self) -> str:
        outcome = "ok" if self.failure is None else self.detail or str(self.failure)
        return f"{self.provider}: {outcome}, {duration_text(self.duration)}"


@frozen(kw_only=True)
class Skipped:
    """A provider that the plan leaves out, and why. `until` is when the reason ends by itself, if it does."""

    provider: str
    model: str | None = None
    reason: str
    until: datetime | None = None
    state: str = "skipped"

    def __str__(self) -> str:
        return f"{self.provider}: skipped, {self.reason}"


def trail_text(attempts: Iterable[Attempt]) -> str:
    """The attempts in one line: `desk: refused, 2 ms → loft: ok, 1.3 s`."""
    return " → ".join(str(attempt) for attempt in attempts)
