"""Replay: the plan of a recorded request made again, under the same configuration or another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from provider_router.chat import Capability
from provider_router.routing.breaker import Condition, State
from provider_router.routing.health import Health
from provider_router.routing.line import UNBOUNDED, Slots, Turn
from provider_router.routing.plan import Needs, Plan, plan
from provider_router.routing.snapshot import Snapshot
from provider_router.routing.ticket import Key

if TYPE_CHECKING:
    from provider_router.store.trails import Trail


def replayed(trail: Trail, snapshot: Snapshot) -> Plan:
    """The plan that the request would have had with this configuration, everything else being as it was then.

    How each candidate stood is what the trail says of it; of providers that were no candidate then nothing is known,
    and nothing is held against them.

    Args:
        trail: of the request.
        snapshot: of the configuration.

    Raises:
        UnknownModel: nobody there serves its model.
        UnknownProvider: the provider that it named is not there.
    """
    needs: Mapping[str, Any] = trail.plan.get("needs") or {}
    return plan(
        Needs(
            model=needs.get("model"),
            provider=needs.get("provider"),
            fallback=bool(needs.get("fallback")),
            zone=needs.get("zone"),
            capabilities=frozenset(map(Capability, needs.get("capabilities") or ("chat",))),
            prompt_floor=trail.prompt_floor,
            prefix=trail.prefix,
        ),
        snapshot,
        _Remembered(trail.plan.get("candidates") or ()),
        now=0.0,
        at=trail.request.at,
        seed=trail.seed,
    )


class _Remembered(Health):
    """The health that a recorded plan tells of."""

    def __init__(self, candidates: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self._conditions = {
            (each["provider"], each["model"]): Condition(State(each["state"]), each["reason"])
            for each in candidates
            if each["state"] != State.READY
        }

    def condition(self, key: Key, now: float, *, slots: Slots = UNBOUNDED, turn: Turn | None = None) -> Condition:
        return self._conditions.get((key.provider, key.model), Condition(State.READY))
