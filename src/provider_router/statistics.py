"""Statistics: the sums of a span of hours, as they are told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Self

from attrs import frozen

from provider_router.store.histogram import Histogram
from provider_router.store.rollups import Tally


@frozen(kw_only=True)
class Percentiles:
    """How long things took, in seconds, off by 2 % at most: half of them, 90 %, … took no longer."""

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None

    @classmethod
    def of(cls, histogram: Histogram) -> Self:
        """Those of a histogram."""
        p50, p90, p95, p99 = histogram.percentiles((0.5, 0.9, 0.95, 0.99))
        return cls(p50=p50, p90=p90, p95=p95, p99=p99)


@frozen(kw_only=True)
class Sums:
    """The sums of one provider, one model, or everything.

    Attributes:
        provider, model: whose they are; None for all.
        requests: of everything: requests; of a provider or a model: calls to it.
        answered, failed: how these ended.
        absorbed: of everything: requests that were answered though somebody had failed before; of a provider: its
            failures that nobody noticed, since another answered.
        lost: requests that could not be recorded.
        estimated: those whose tokens are estimated, as their backend told none.
        cost: in the currency of the configured prices.
        failures: how often each failure class came.
        latency: of those that were answered.
        first_delta: of streams, until the first meaningful delta.
    """

    provider: str | None = None
    model: str | None = None
    requests: int
    answered: int
    failed: int
    absorbed: int
    lost: int
    prompt_tokens: int
    completion_tokens: int
    estimated: int
    cost: float
    failures: Mapping[str, int]
    latency: Percentiles
    first_delta: Percentiles

    @classmethod
    def of(cls, tally: Tally, provider: str | None = None, model: str | None = None) -> Self:
        """What a tally says of a provider, a model, or everything."""
        return cls(
            provider=provider,
            model=model,
            requests=tally.requests,
            answered=tally.answered,
            failed=tally.requests - tally.answered,
            absorbed=tally.absorbed,
            lost=tally.lost,
            prompt_tokens=tally.prompt_tokens,
            completion_tokens=tally.completion_tokens,
            estimated=tally.estimated,
            cost=tally.cost,
            failures=dict(sorted(tally.failures.items(), key=lambda item: (-item[1], item[0]))),
            latency=Percentiles.of(tally.latency),
            first_delta=Percentiles.of(tally.first_delta),
        )


@frozen(kw_only=True)
class Statistics:
    """The sums of a span of whole hours."""

    since: datetime
    until: datetime
    total: Sums
    rows: tuple[Sums, ...] = ()
