"""What a Router reports of its providers: how a check went, how each one stands."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from attrs import frozen

from provider_router.errors import ProviderRouterError
from provider_router.routing.breaker import Condition, State
from provider_router.routing.health import Health
from provider_router.routing.line import Slots
from provider_router.routing.plan import moment
from provider_router.routing.snapshot import ProviderView, Snapshot
from provider_router.routing.ticket import Key


@frozen(kw_only=True)
class CheckResult:
    """How a provider's check went. `duration` is in seconds; `error` is None if it answered."""

    provider: str
    ok: bool
    duration: float
    detail: str = ""
    models: int | None = None
    error: ProviderRouterError | None = None


@frozen(kw_only=True)
class ModelHealth:
    """How one model stands at a provider, where that is not as the provider itself stands."""

    model: str
    state: str
    reason: str = ""
    until: datetime | None = None


@frozen(kw_only=True)
class ProviderHealth:
    """How a provider stands: `ready`, or why it is asked after the others, or not at all, and until when.

    That is of the provider, and of the model that it is asked for where a request names none; of others of which
    something is known, `models` tells.

    Not at all are asked: `disabled`; `no-secret`, whose secret cannot be had and is looked for again now and then;
    `unusable`, which cannot be made before its configuration changes. `stale` says why a newer configuration of it
    cannot be loaded; until it can, it is asked as it was before.
    """

    provider: str
    type: str
    state: str
    reason: str = ""
    until: datetime | None = None
    in_flight: int = 0
    priority: int = 0
    active: bool = False
    stale: str = ""
    models: tuple[ModelHealth, ...] = ()


def standing(
    view: ProviderView, snapshot: Snapshot, health: Health, *, now: float, at: datetime, trouble: str
) -> ProviderHealth:
    """How a provider stands.

    Args:
        view: of the provider.
        snapshot: it belongs to.
        health: what is known of all of them.
        now: the moment on the clock that `health` was told.
        at: the same moment for people.
        trouble: why the newest configuration is not in force, or "".
    """
    condition = health.condition(Key(view.id, view.endpoint, view.default_model), now, slots=Slots(view.max_parallel))
    problem = view.problem or view.expired(at)
    if problem:
        condition = Condition(State.READY, problem)
    state = "no-secret" if view.lacks_secret else "unusable" if problem else str(condition.state)
    if not view.enabled:
        state = "disabled"
    return ProviderHealth(
        provider=view.id,
        type=view.type,
        state=state,
        reason=condition.reason,
        until=moment(condition, now=now, at=at),
        in_flight=health.in_flight.get(view.id, 0),
        priority=view.priority,
        active=view.id == snapshot.active,
        stale=view.stale or trouble,
        models=tuple(_unwell(view, health, now=now, at=at)),
    )


def _unwell(view: ProviderView, health: Health, *, now: float, at: datetime) -> Iterator[ModelHealth]:
    for model in health.unwell_models(view.id, view.endpoint, now):
        if model is not None and model != view.default_model:
            condition = health.condition(Key(view.id, view.endpoint, model), now)
            until = moment(condition, now=now, at=at)
            yield ModelHealth(model=model, state=str(condition.state), reason=condition.reason, until=until)
