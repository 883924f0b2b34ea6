"""Providers of types of the tests' own over real loopback backends, and the machine with a clock in hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, ClassVar

import pytest

from provider_router.errors import Failure, ProviderRouterError, error_class
from provider_router.plugin import Limits, OpenAICompatibleProvider
from provider_router.routing.actions import Ask
from provider_router.routing.failover import Failover
from provider_router.routing.health import Health
from provider_router.routing.plan import Needs, plan
from provider_router.routing.retry_budget import RetryBudget
from provider_router.routing.snapshot import ProviderView, Snapshot
from provider_router.routing.walk import Policy

# A machine under load must not make a healthy backend look silent.
PATIENT = Limits(timeout=60.0, connect=30.0, first_token=60.0, idle=60.0, check_after=60.0)
# In the proportions of the defaults, so that nothing waits for minutes.
HASTY = Limits(timeout=0.5, connect=0.5, first_token=0.5, idle=0.5, check_after=0.15)


class Quick(OpenAICompatibleProvider):
    """A backend that is given all the time in the world, as long as no option says otherwise."""

    type = "quick"
    label = "Quick"
    limits: ClassVar[Limits] = PATIENT
    free_check: ClassVar[bool] = True

    class Config(OpenAICompatibleProvider.Config):
        """The usual."""


class Hasty(Quick):
    """A backend whose silence is soon too long."""

    type = "hasty"
    limits: ClassVar[Limits] = HASTY


@pytest.fixture
def quick() -> Any:
    return Quick


@pytest.fixture
def hasty() -> Any:
    return Hasty


class Scene:
    """One request's machine with a clock in hand: providers a, b, … of descending priority, unless views are given."""

    def __init__(
        self,
        names: str = "ab",
        *,
        views: Sequence[ProviderView] = (),
        needs: Needs = Needs(),  # noqa: B008 - frozen
        health: Health | None = None,
        budget: RetryBudget | None = None,
        now: float = 1000.0,
        seed: int = 1,
        **policy: Any,
    ) -> None:
        self.now = now
        self.rng = Random(seed)
        self.health = health or Health(rng=self.rng)
        self.snapshot = Snapshot(
            providers=tuple(views)
            or tuple(ProviderView(id=name, endpoint=f"at-{name}", priority=-place) for place, name in enumerate(names))
        )
        self.plan = plan(needs, self.snapshot, self.health, now=now, at=datetime(2026, 1, 1, tzinfo=UTC))
        self.machine = Failover(
            self.plan,
            Policy(**policy),
            health=self.health,
            budget=budget or RetryBudget(),
            now=now,
            rng=self.rng,
        )
        self.action: Any = None

    def start(self) -> Any:
        self.action = self.machine.start(self.now)
        return self.action

    def fail(self, failure: Failure | ProviderRouterError, *, after: float = 0.0, **fields: Any) -> Any:
        self.now += after
        error = error_class(failure)("it failed", **fields) if isinstance(failure, Failure) else failure
        self.action = self.machine.failed(error, self.now)
        return self.action

    def wake(self) -> Any:
        """Let the wait pass that the machine asked for."""
        self.now += self.action.seconds
        self.action = self.machine.woke(self.now)
        return self.action

    def complete(self, *, after: float = 0.0) -> Any:
        self.now += after
        self.action = self.machine.completed(self.now)
        return self.action

    def state(self, name: str) -> str:
        candidate = next(c for c in self.plan.candidates if c.provider == name)
        return str(self.health.condition(candidate.key, self.now, slots=candidate.slots).state)

    @property
    def asked(self) -> str | None:
        return self.action.candidate.provider if isinstance(self.action, Ask) else None

    @property
    def trail(self) -> list[tuple[str, str]]:
        return [(attempt.provider, str(attempt.failure or "ok")) for attempt in self.machine.attempts]


@pytest.fixture
def scene() -> type[Scene]:
    return Scene
