"""Telling: what one process has found, as notes for the others. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from provider_router import limits as numbers
from provider_router.routing.breaker import Breaker, State
from provider_router.routing.hints import Note
from provider_router.routing.hold import Hold


def notes_of(
    now: float,
    *,
    endpoints: Mapping[str, Breaker],
    models: Mapping[tuple[str, str | None], Breaker],
    throttles: Mapping[str, Hold],
    flags: Mapping[str, Hold],
    missing: Mapping[tuple[str, str | None], Hold],
    checks: Iterable[str],
    tests: Mapping[tuple[str, str], float],
) -> list[Note]:
    """What others should hear; what is over is not told.

    Args:
        now: the moment.
        endpoints: breakers by endpoint.
        models: breakers by endpoint and model.
        throttles: by provider.
        flags: by provider.
        missing: flags of models, by provider and model.
        checks: the endpoints that have answered a check beside a running call.
        tests: when a provider at an endpoint was last tested well.
    """
    found = [_open(breaker, "endpoint", endpoint) for endpoint, breaker in endpoints.items() if breaker.opening]
    found += [_open(breaker, "model", *place) for place, breaker in models.items() if breaker.opening]
    for holds, state in ((throttles, State.THROTTLED), (flags, State.FLAGGED)):
        found += [_held(hold, "provider", name, None, state) for name, hold in holds.items()]
    found += [_held(hold, "missing", *place, State.FLAGGED) for place, hold in missing.items()]
    found += _good(checks, tests, now)
    return [note for note in found if note.until > now]


def _open(breaker: Breaker, scope: str, subject: str, model: str | None = None) -> Note:
    return Note(
        scope=scope,
        subject=subject,
        model=model,
        state=State.OPEN,
        reason=breaker.reason,
        until=breaker.until,
        at=breaker.opened,
    )


def _held(hold: Hold, scope: str, subject: str, model: str | None, state: State) -> Note:
    return Note(
        scope=scope, subject=subject, model=model, state=state, reason=hold.reason, until=hold.until, at=hold.since
    )


def _good(checks: Iterable[str], tests: Mapping[tuple[str, str], float], now: float) -> Iterator[Note]:
    for endpoint in checks:
        yield Note(scope="checks", subject=endpoint, state=State.READY, until=now + numbers.CHECKS_REMEMBERED, at=now)
    for (name, endpoint), at in tests.items():
        yield Note(scope="test", subject=name, model=endpoint, state=State.READY, until=at + numbers.TEST_TOLD, at=at)
