"""The plan: who will be asked, in which order, and why the others not. Pure: the same inputs give the same plan."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from itertools import chain, groupby
from typing import Final

from attrs import define, evolve, field, frozen

from provider_router.chat import Capability
from provider_router.errors import UnknownModel, UnknownProvider
from provider_router.providers.zones import strictest, within
from provider_router.routing.breaker import LATER, Condition, State
from provider_router.routing.candidate import Candidate
from provider_router.routing.epoch import Epoch
from provider_router.routing.health import Health
from provider_router.routing.snapshot import ProviderView, Snapshot
from provider_router.routing.strategies import STRATEGIES
from provider_router.trail import Skipped


@frozen(kw_only=True)
class Needs:
    """What a request needs of whoever answers it.

    Attributes:
        model: as the caller named it, or None.
        provider: the only provider to ask, or the first one if `fallback`.
        fallback: whether the others follow a named provider.
        zone: how far the request may go.
        capabilities: what it cannot do without.
        prompt_floor: the least number of tokens of its prompt.
        prefix: what a conversation begins with, in short; the same for each of its requests.
    """

    model: str | None = None
    provider: str | None = None
    fallback: bool = False
    zone: str | None = None
    capabilities: frozenset[Capability] = frozenset()
    prompt_floor: int = 0
    prefix: str = ""


@frozen(kw_only=True)
class Plan:
    """For each model asked, every configured provider exactly once: a candidate, in order, or skipped.

    Iterating gives the candidates first, then the skipped ones; both have `provider`, `model`, `state`, `reason`
    and `until`.
    """

    candidates: tuple[Candidate, ...]
    needs: Needs = Needs()
    revision: int = 0
    seed: int = 0
    snapshot: Snapshot = field(default=Snapshot(), repr=False, eq=False)
    at: datetime = field(repr=False, eq=False)

    @cached_property
    def skipped(self) -> tuple[Skipped, ...]:
        """Who is left out; worked out when somebody looks, for there may be thousands of them."""
        found: list[Skipped] = []
        for turn, (model, zone) in enumerate(_models(self.needs, self.snapshot)):
            for view in self.snapshot.providers:
                entry = _judge(view, model, self.needs, self.snapshot, zone=zone, turn=turn, at=self.at)
                if isinstance(entry, Skipped):
                    found.append(entry)
        return tuple(found)

    @property
    def too_long(self) -> bool:
        """Whether nobody can be asked, and for the length of the prompt alone."""
        if self.candidates or not self.needs.prompt_floor:
            return False
        return bool(_route(evolve(self.needs, prompt_floor=0), self.snapshot, self.at).candidates)

    def __iter__(self) -> Iterator[Candidate | Skipped]:
        yield from self.candidates
        yield from self.skipped

    def __len__(self) -> int:
        return len(self.candidates) + len(self.skipped)


@define(eq=False)
class _Standing:
    """The candidates of a route as they stand in an epoch of health: so a dead backend costs no request anything."""

    epoch: Epoch | None = None
    candidates: tuple[Candidate, ...] = ()


@frozen
class Route:
    """What of a plan follows from the configuration, for all requests with the same needs until a login expires.

    Attributes:
        needs: with what a name like `id/model` says taken apart.
        turns: the candidates of the model itself, of its first fallback, …, each in order as if all were well.
        bounded: whether some candidate takes only so many calls at once.
        longest_prompt: tokens of a prompt from which some candidate's window is too small for it.
    """

    needs: Needs
    turns: tuple[tuple[Candidate, ...], ...]
    candidates: tuple[Candidate, ...] = field(init=False)
    bounded: bool = field(init=False)
    longest_prompt: float = field(init=False)
    standing: _Standing = field(init=False, factory=_Standing, repr=False, eq=False)

    @candidates.default
    def _all(self) -> tuple[Candidate, ...]:
        return tuple(chain.from_iterable(self.turns))

    @bounded.default
    def _any_bounded(self) -> bool:
        return any(each.slots.provider is not None or each.slots.link is not None for each in self.candidates)

    @longest_prompt.default
    def _least_window(self) -> float:
        return min((c.context_length for c in self.candidates if c.context_length is not None), default=float("inf"))


_ROUTES: Final = 1000  # kept of a snapshot; callers of an open provider may invent names without end


def plan(needs: Needs, snapshot: Snapshot, health: Health, *, now: float, at: datetime, seed: int = 0) -> Plan:
    """Who to ask for this request.

    Args:
        needs: of the request.
        snapshot: the configuration.
        health: what is known of the providers.
        now: the moment on the clock that `health` was told.
        at: the same moment for people.
        seed: of the lots that a strategy draws.

    Raises:
        UnknownModel: no provider serves the model and none takes any name.
        UnknownProvider: the named provider does not exist.
    """
    alike = (needs.model, needs.provider, needs.fallback, needs.zone, needs.capabilities, snapshot.expired(at))
    route = snapshot.routes.get(alike)
    if route is None:
        if len(snapshot.routes) >= _ROUTES:
            snapshot.routes.clear()
        route = snapshot.routes[alike] = _route(evolve(needs, prompt_floor=0), snapshot, at)
    if needs.prompt_floor > route.longest_prompt:
        route = _route(needs, snapshot, at)
    candidates = route.candidates
    if snapshot.settings.strategy != "priority" or route.bounded:
        candidates = _ordered(route, needs, snapshot, health, now=now, at=at, seed=seed)
    elif (epoch := health.epoch(now)).troubled:
        standing = route.standing
        if standing.epoch is not epoch:
            standing.candidates = _ordered(route, needs, snapshot, health, now=now, at=at, seed=seed)
            standing.epoch = epoch
        candidates = standing.candidates
    if needs.model != route.needs.model:
        needs = evolve(needs, model=route.needs.model, provider=route.needs.provider)
    return Plan(candidates=candidates, needs=needs, revision=snapshot.revision, seed=seed, snapshot=snapshot, at=at)


def _route(needs: Needs, snapshot: Snapshot, at: datetime) -> Route:
    needs = _pinned(needs, snapshot)
    if needs.model is not None:
        _known(needs.model, snapshot)
    turns = []
    for turn, (model, zone) in enumerate(_models(needs, snapshot)):
        asked = snapshot.providers if model is None else (*snapshot.linked(model), *snapshot.open)
        judged = {view.id: _judge(view, model, needs, snapshot, zone=zone, turn=turn, at=at) for view in asked}
        found = [entry for entry in judged.values() if isinstance(entry, Candidate)]
        turns.append(tuple(sorted(found, key=lambda each: (_rank(each, snapshot, needs), each.provider))))
    return Route(needs, tuple(turns))


def _ordered(
    route: Route, needs: Needs, snapshot: Snapshot, health: Health, *, now: float, at: datetime, seed: int
) -> tuple[Candidate, ...]:
    """The candidates by how each stands now, and by what the strategy says of those that are equal."""
    strategy = snapshot.settings.strategy
    candidates: list[Candidate] = []
    for turn in route.turns:
        found = [_conditioned(candidate, needs, health, now, at) for candidate in turn]
        if any(candidate.state in LATER for candidate in found):
            found.sort(key=lambda candidate: _rank(candidate, snapshot, route.needs))
        if strategy == "priority":  # a route has its candidates in this order
            candidates += found
            continue
        order = STRATEGIES[strategy]
        for _, equal in groupby(found, key=lambda candidate: _rank(candidate, snapshot, route.needs)):
            group = list(equal)
            candidates += [group[i] for i in order(group, health=health, seed=seed, prefix=needs.prefix, now=now)]
    # A model's fallbacks come after every candidate of the model itself, but what cannot answer at present comes last.
    candidates.sort(key=lambda candidate: _lateness(candidate, at))
    return tuple(candidates)


def _pinned(needs: Needs, snapshot: Snapshot) -> Needs:
    """`id/model` names the provider too, where `id` is one and no model has the full name."""
    if needs.provider is None and needs.model and "/" in needs.model:
        head, _, rest = needs.model.partition("/")
        if rest and snapshot.provider(head) is not None and not snapshot.knows(needs.model):
            needs = evolve(needs, provider=head, model=rest)
    if needs.provider is not None and snapshot.provider(needs.provider) is None:
        raise UnknownProvider(_unknown("provider", needs.provider, [view.id for view in snapshot.providers]))
    return needs


def _unknown(noun: str, name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 3, 0.5)
    if near:
        return f"no {noun} is called {name!r}; did you mean {' or '.join(near)}?"
    if known:
        shown = ", ".join(sorted(known)[:10]) + (", …" if len(known) > 10 else "")
        return f"no {noun} is called {name!r}; there are {shown}"
    return f"no {noun} is called {name!r}; there is none yet"


def _known(model: str, snapshot: Snapshot) -> None:
    if snapshot.knows(model) or snapshot.open or not snapshot.providers:
        return
    raise UnknownModel(_unknown("model", model, sorted(snapshot.model_names())))


def _models(needs: Needs, snapshot: Snapshot) -> list[tuple[str | None, str | None]]:
    """The model itself, its alias followed, then its fallbacks; each once, with how far its requests may go.

    A zone of a model holds for whatever is asked in its stead.
    """
    found: dict[str | None, str | None] = {}

    def add(name: str | None, zone: str | None) -> None:
        passed = set()
        view = snapshot.models.get(name) if name is not None else None
        while view is not None and view.alias_of and view.alias_of not in passed:
            passed.add(name)
            zone = strictest(zone, view.zone)
            name = view.alias_of
            view = snapshot.models.get(name)
        if name in found:
            return
        zone = strictest(zone, view.zone if view else None)
        found[name] = zone
        for further in view.fallbacks if view else ():
            add(further, zone)

    add(needs.model, strictest(needs.zone, snapshot.settings.zone))
    return list(found.items())


def _judge(
    view: ProviderView,
    model: str | None,
    needs: Needs,
    snapshot: Snapshot,
    *,
    zone: str | None,
    turn: int,
    at: datetime,
) -> Candidate | Skipped:
    def skip(reason: str) -> Skipped:
        return Skipped(provider=view.id, model=model, reason=reason)

    if needs.provider is not None and view.id != needs.provider and not needs.fallback:
        return skip(f"the request is for {needs.provider} alone")
    if not view.enabled:
        return skip("disabled")
    if view.problem:
        return skip(f"no secret, {view.problem}" if view.lacks_secret else view.problem)
    if expired := view.expired(at):
        return skip(expired)
    link = view.links.get(model) if model is not None else view.default_link
    if model is not None and link is None and not view.takes_any_model:
        return skip(f"does not serve {model}")
    remote = link.remote_name if link else (model or view.default_model)
    offered = link.capabilities if link else view.capabilities
    if lacking := sorted(needs.capabilities - offered):
        return skip(f"lacks {', '.join(lacking)}")
    if model is None and (own := snapshot.models.get(link.model if link else view.default_model or "")):
        zone = strictest(zone, own.zone)
    if not within(view.zone, zone):
        return skip(f"lies in the zone {view.zone}, and the request stays within {zone}")
    if link and link.context_length is not None and needs.prompt_floor > link.context_length:
        return skip(f"takes {link.context_length} tokens, and the prompt has at least {needs.prompt_floor}")
    return Candidate(
        provider=view.id, model=remote, asked=link.model if link else model, view=view, link=link, zone=zone, turn=turn
    )


def _conditioned(candidate: Candidate, needs: Needs, health: Health, now: float, at: datetime) -> Candidate:
    condition = health.condition(candidate.key, now, slots=candidate.slots)
    if condition.state is State.READY and (refused := sorted(needs.capabilities & health.refused(candidate.key))):
        condition = Condition(State.DOUBTED, f"has refused {', '.join(refused)} before")
    if condition.state is State.READY:
        return candidate
    return Candidate(  # evolve() takes twice as long, and a dead backend is in the plan of every request
        provider=candidate.provider,
        model=candidate.model,
        asked=candidate.asked,
        view=candidate.view,
        link=candidate.link,
        zone=candidate.zone,
        turn=candidate.turn,
        state=condition.state,
        reason=condition.reason,
        until=moment(condition, now=now, at=at),
    )


def moment(condition: Condition, *, now: float, at: datetime) -> datetime | None:
    """When a condition ends, for people: `at` is the moment that the clock calls `now`."""
    return None if condition.until is None else at + timedelta(seconds=condition.until - now)


def _rank(candidate: Candidate, snapshot: Snapshot, needs: Needs) -> tuple[bool, bool, bool, bool, int]:
    view = candidate.view
    return (
        candidate.state in LATER,
        view.id != needs.provider,
        candidate.link is None and needs.model is not None,
        view.id != snapshot.active,
        -view.priority,
    )


_ASKED_LAST = (State.FULL, State.THROTTLED, State.OPEN, State.FLAGGED)


def _lateness(candidate: Candidate, at: datetime) -> float:
    """0 for what can be asked at once; the rest by how soon it can be, in seconds, and after all of those."""
    if candidate.state not in _ASKED_LAST:
        return 0.0
    return 1.0 + max(0.0, (candidate.until - at).total_seconds()) if candidate.until else 1.0
