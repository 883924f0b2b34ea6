"""Who is asked, in which order, and why the others not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_router.chat import Capability
from provider_router.errors import UnknownModel, UnknownProvider
from provider_router.limits import Limits
from provider_router.providers.zones import strictest, within
from provider_router.routing.candidate import Candidate
from provider_router.routing.effect import Effect
from provider_router.routing.health import Health
from provider_router.routing.hints import Note
from provider_router.routing.line import Slots
from provider_router.routing.plan import Needs, Plan, plan
from provider_router.routing.snapshot import ModelView, ProviderLink, ProviderView, RoutingSettings, Snapshot
from provider_router.routing.ticket import Key, Ticket
from provider_router.trail import Skipped

AT = datetime(2026, 1, 1, tzinfo=UTC)


def link(model: str, remote: str | None = None, **fields: Any) -> ProviderLink:
    fields.setdefault("capabilities", frozenset({Capability.CHAT}))
    return ProviderLink(model=model, remote_name=remote or model, **fields)


def view(id: str, *links: ProviderLink, **fields: Any) -> ProviderView:
    fields.setdefault("takes_any_model", not links)
    fields.setdefault("endpoint", f"at-{id}")
    return ProviderView(id=id, links={each.model: each for each in links}, **fields)


def snapshot(*views: ProviderView, models: tuple[ModelView, ...] = (), **fields: Any) -> Snapshot:
    return Snapshot(providers=views, models={model.id: model for model in models}, **fields)


def made(snap: Snapshot, model: str | None = None, *, health: Health | None = None, **needs: Any) -> Plan:
    return plan(Needs(model=model, **needs), snap, health or Health(), now=100.0, at=AT)


def order(result: Plan) -> list[str]:
    return [candidate.provider for candidate in result.candidates]


def reasons(result: Plan) -> dict[str, str]:
    return {step.provider: step.reason for step in result.skipped}


# Order


def test_linked_before_open_then_active_then_priority_then_id() -> None:
    snap = snapshot(
        view("d"),
        view("c", priority=9),
        view("b", link("m")),
        view("a", link("m")),
        view("f", link("m"), priority=5),
        view("e", link("m"), priority=-1),
        active="e",
    )
    assert order(made(snap, "m")) == ["e", "f", "a", "b", "c", "d"]


def test_without_a_model_each_provider_answers_with_its_own_default() -> None:
    snap = snapshot(
        view("a", link("m", "theirs", default=True), link("n")),
        view("b", default_model="option"),
        view("c"),
        view("d", link("n"), default_model="n"),
    )
    assert [(c.provider, c.model, c.asked) for c in made(snap).candidates] == [
        ("a", "theirs", "m"),
        ("b", "option", None),
        ("c", None, None),
        ("d", "n", None),
    ]


def test_a_linked_model_is_asked_by_its_remote_name_and_an_open_provider_by_the_name_given() -> None:
    snap = snapshot(view("a", link("m", "theirs")), view("b"))
    assert [c.model for c in made(snap, "m").candidates] == ["theirs", "m"]


@pytest.mark.parametrize(
    ("effect", "state"),
    [(Effect.ENDPOINT_DOWN, "open"), (Effect.THROTTLE, "throttled"), (Effect.AUTH, "flagged")],
)
def test_the_unwell_come_last_with_their_state_and_until_when(effect: Effect, state: str) -> None:
    health = Health()
    health.failed(health.begin(Key("a", "at-a", None), 100), effect, 100, reason="it failed")
    result = made(snapshot(view("a", priority=9), view("b")), health=health)
    assert order(result) == ["b", "a"]
    last = result.candidates[1]
    assert (last.state, last.reason) == (state, "it failed")
    assert last.until is not None
    assert AT < last.until <= AT + timedelta(seconds=60)
    assert str(last) == f"a: {state}, it failed"
    assert str(result.candidates[0]) == "b: ready"


def test_of_the_unwell_the_soonest_comes_first() -> None:
    health = Health()
    for name, seconds in [("a", 50.0), ("b", 20.0), ("c", 40.0)]:
        health.failed(
            health.begin(Key(name, f"at-{name}", None), 100), Effect.THROTTLE, 100, reason="429", retry_after=seconds
        )
    assert order(made(snapshot(view("a"), view("b"), view("c")), health=health)) == ["b", "c", "a"]


def test_full_ones_come_last_and_busy_ones_behind_the_free() -> None:
    health = Health()
    health.begin(Key("a", "at-a", "m"), 100)
    health.failed(health.begin(Key("b", "at-b", "m"), 100), Effect.BUSY, 100, reason="queue")
    snap = snapshot(
        view("a", link("m"), priority=9, max_parallel=1),
        view("b", link("m"), priority=8),
        view("c", link("m")),
        view("d"),
    )
    result = made(snap, "m", health=health)
    assert [(c.provider, c.state) for c in result.candidates] == [
        ("c", "ready"),
        ("d", "ready"),
        ("b", "busy"),
        ("a", "full"),
    ]


def test_a_half_open_provider_keeps_its_place() -> None:
    health = Health()
    health.failed(health.begin(Key("a", "at-a", None), 50), Effect.ENDPOINT_DOWN, 50, reason="refused")
    result = made(snapshot(view("a", priority=9), view("b")), health=health)
    assert [(c.provider, c.state) for c in result.candidates] == [("a", "half-open"), ("b", "ready")]


# Pinned


def test_a_named_provider_is_asked_alone_or_first() -> None:
    snap = snapshot(view("a", priority=9), view("b"), view("c"))
    alone = made(snap, provider="b")
    assert order(alone) == ["b"]
    assert reasons(alone) == dict.fromkeys("ac", "the request is for b alone")
    assert order(made(snap, provider="b", fallback=True)) == ["b", "a", "c"]


def test_a_model_may_name_its_provider() -> None:
    result = made(snapshot(view("a"), view("b")), "b/qwen/coder")
    assert order(result) == ["b"]
    assert result.candidates[0].model == "qwen/coder"
    assert (result.needs.provider, result.needs.model) == ("b", "qwen/coder")


def test_a_slash_is_part_of_the_name_where_a_model_has_it_or_no_provider_is_called_so() -> None:
    snap = snapshot(view("qwen", link("qwen/coder")), view("b"))
    assert order(made(snap, "qwen/coder")) == ["qwen", "b"]
    assert order(made(snapshot(view("a"), view("b")), "x/y")) == ["a", "b"]
    assert order(made(snapshot(view("a"), view("b")), "a/")) == ["a", "b"]


def test_an_unknown_provider_is_told_with_near_names() -> None:
    with pytest.raises(UnknownProvider, match="no provider is called 'lm-studo'; did you mean lm-studio"):
        made(snapshot(view("lm-studio")), provider="lm-studo")


# Models


def test_an_unknown_model_is_told_with_near_names() -> None:
    snap = snapshot(view("a", link("qwen3-coder")))
    with pytest.raises(UnknownModel, match="did you mean qwen3-coder"):
        made(snap, "qwen3-codr")
    with pytest.raises(UnknownModel, match="there are qwen3-coder"):
        made(snap, "zzzzzzzz")


def test_of_many_models_some_are_named() -> None:
    snap = snapshot(view("a", *(link(f"m{number:02}") for number in range(12))))
    with pytest.raises(UnknownModel, match="m09, …"):
        made(snap, "zzzzzzzz")


def test_where_no_model_is_known_the_message_says_so() -> None:
    with pytest.raises(UnknownModel, match="there is none yet"):
        made(snapshot(view("a", takes_any_model=False)), "m")


def test_without_any_provider_there_is_an_empty_plan() -> None:
    assert len(made(snapshot(), "m")) == 0


def test_an_alias_is_followed() -> None:
    models = (ModelView(id="fast", alias_of="quick"), ModelView(id="quick", alias_of="m"))
    result = made(snapshot(view("a", link("m")), models=models), "fast")
    assert [(c.provider, c.model, c.asked) for c in result.candidates] == [("a", "m", "m")]


@pytest.mark.parametrize("cycle", ["a", "ab", "abc"])
def test_aliases_in_a_circle_come_to_an_end(cycle: str) -> None:
    models = tuple(ModelView(id=name, alias_of=cycle[(place + 1) % len(cycle)]) for place, name in enumerate(cycle))
    assert len(made(snapshot(view("p"), models=models), "a")) == 1


def test_fallback_models_follow_when_every_candidate_of_the_model_is_through() -> None:
    models = (
        ModelView(id="m", fallbacks=("n", "o")),
        ModelView(id="n", fallbacks=("m", "p")),
    )
    snap = snapshot(
        view("a", link("m"), link("n")),
        view("b", link("n"), priority=5),
        view("c", link("o"), link("p")),
        models=models,
    )
    result = made(snap, "m")
    assert [(c.asked, c.provider, c.turn) for c in result.candidates] == [
        ("m", "a", 0),
        ("n", "b", 1),
        ("n", "a", 1),
        ("p", "c", 2),
        ("o", "c", 3),
    ]
    assert len(result) == 4 * 3


# Needs


def test_what_cannot_serve_is_skipped_with_the_reason() -> None:
    snap = snapshot(
        view("disabled", link("m"), enabled=False),
        view("broken", link("m"), problem="token: $TOKEN is not set"),
        view("other", link("n")),
        view("blind", link("m"), priority=1),
        view("small", link("m", context_length=10, capabilities=frozenset({Capability.CHAT, Capability.VISION}))),
        view("far", link("m", capabilities=frozenset({Capability.CHAT, Capability.VISION})), zone="internet"),
    )
    result = made(snap, "m", zone="lan", prompt_floor=11, capabilities=frozenset({Capability.CHAT, Capability.VISION}))
    assert result.candidates == ()
    assert reasons(result) == {
        "disabled": "disabled",
        "broken": "token: $TOKEN is not set",
        "other": "does not serve m",
        "blind": "lacks vision",
        "small": "takes 10 tokens, and the prompt has at least 11",
        "far": "lies in the zone internet, and the request stays within lan",
    }


def test_a_links_plus_and_minus_stand_over_what_the_type_declares() -> None:
    tools = frozenset({Capability.CHAT, Capability.TOOLS})
    snap = snapshot(
        view("plus", link("m", capabilities=tools)), view("minus", link("m"), capabilities=tools), view("open")
    )
    result = made(snap, "m", capabilities=tools)
    assert order(result) == ["plus"]
    assert reasons(result) == {"minus": "lacks tools", "open": "lacks tools"}


@pytest.mark.parametrize("where", ["call", "model", "alias", "setting", "default link", "default model"])
def test_no_attempt_leaves_the_zone_wherever_it_is_said(where: str) -> None:
    model = None if where.startswith("default") else "alias" if where == "alias" else "m"
    snap = snapshot(
        view("near", link("m", default=where == "default link"), zone="loopback"),
        view("home", link("m", default=where == "default link"), zone="lan", default_model="m"),
        view("far", link("m", default=where == "default link"), zone="internet", default_model="m"),
        models=(
            ModelView(id="alias", alias_of="m", zone="lan" if where == "alias" else None),
            ModelView(id="m", zone="lan" if where in ("model", "default link", "default model") else None),
        ),
        settings=RoutingSettings(zone="lan" if where == "setting" else None),
    )
    result = made(snap, model, zone="lan" if where == "call" else None)
    assert "far" in reasons(result)
    assert "home" in order(result)


def test_a_models_zone_holds_for_its_fallbacks_too() -> None:
    snap = snapshot(
        view("home", link("m"), zone="lan"),
        view("far", link("n"), zone="internet"),
        models=(ModelView(id="m", zone="lan", fallbacks=("n",)),),
    )
    assert order(made(snap, "m")) == ["home"]
    assert order(made(snap, "n")) == ["far"]


# A candidate's own numbers


def test_a_links_bounds_stand_over_its_providers() -> None:
    candidate = made(
        snapshot(view("a", link("m", limits=Limits(idle=7.0), max_parallel=3, context_length=9), max_parallel=5)), "m"
    ).candidates[0]
    assert candidate.limits.idle == 7.0
    assert candidate.limits.timeout == 600.0
    assert candidate.slots == Slots(5, 3, "m")
    assert candidate.context_length == 9


def test_without_a_link_the_providers_bounds_hold() -> None:
    candidate = made(snapshot(view("a", endpoint="", limits=Limits(idle=4.0)))).candidates[0]
    assert candidate.limits.idle == 4.0
    assert candidate.slots == Slots()
    assert candidate.context_length is None
    assert candidate.key == Key("a", "a", None)


def test_the_snapshot_knows_who_links_a_model() -> None:
    snap = snapshot(view("a", link("m")), view("b"), models=(ModelView(id="n"),))
    assert [each.id for each in snap.linked("m")] == ["a"]
    assert snap.linked("x") == ()
    assert snap.model_names() == {"m", "n"}


# Properties

NAMES = st.sampled_from("mnop")
ZONE = st.sampled_from(["loopback", "lan", "internet"])
CAPABILITIES = st.frozensets(st.sampled_from([Capability.CHAT, Capability.TOOLS, Capability.VISION]))


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    views = []
    for name in draw(st.lists(st.sampled_from("abcde"), unique=True, max_size=5)):
        links = [
            link(model, capabilities=draw(CAPABILITIES), context_length=draw(st.none() | st.integers(1, 9)))
            for model in draw(st.lists(NAMES, unique=True, max_size=3))
        ]
        views.append(
            view(
                name,
                *links,
                endpoint=draw(st.sampled_from(["x", "y"])),
                enabled=draw(st.booleans()),
                priority=draw(st.integers(-1, 1)),
                zone=draw(ZONE),
                capabilities=draw(CAPABILITIES),
                takes_any_model=draw(st.booleans()),
                problem=draw(st.sampled_from(["", "", "no secret"])),
                max_parallel=draw(st.none() | st.just(1)),
            )
        )
    models = tuple(
        ModelView(
            id=name,
            alias_of=draw(st.none() | NAMES),
            fallbacks=tuple(draw(st.lists(NAMES, unique=True, max_size=2))),
            zone=draw(st.none() | ZONE),
        )
        for name in draw(st.lists(NAMES, unique=True, max_size=4))
    )
    return snapshot(*views, models=models, active=draw(st.none() | st.sampled_from("abc")))


@st.composite
def healths(draw: st.DrawFn) -> Health:
    health = Health(rng=Random(1))
    for _ in range(draw(st.integers(0, 6))):
        key = Key(draw(st.sampled_from("abcde")), draw(st.sampled_from("xy")), draw(st.none() | NAMES))
        ticket = health.begin(key, 90.0)
        if effect := draw(st.none() | st.sampled_from(list(Effect))):
            health.failed(ticket, effect, draw(st.sampled_from([90.0, 95.0])), reason="x")
    return health


NEEDS = st.builds(
    Needs,
    model=st.none() | NAMES,
    zone=st.none() | ZONE,
    capabilities=CAPABILITIES,
    prompt_floor=st.integers(0, 9),
)


@given(NEEDS, snapshots(), healths(), st.randoms())
def test_a_plan_is_total_stable_and_recomputes_to_itself(
    needs: Needs, snap: Snapshot, health: Health, random: Random
) -> None:
    try:
        result = plan(needs, snap, health, now=100.0, at=AT)
    except UnknownModel:
        return
    ids = sorted(each.id for each in snap.providers)
    places = [candidate.place for candidate in result.candidates]
    assert len(places) == len(set(places))
    assert not ids or len(result) % len(ids) == 0
    seen: dict[str, int] = {}
    for step in result:
        assert isinstance(step, Candidate | Skipped)
        seen[step.provider] = seen.get(step.provider, 0) + 1
    assert not ids or seen == dict.fromkeys(ids, len(result) // len(ids))
    for candidate in result.candidates:
        assert within(candidate.view.zone, strictest(needs.zone, candidate.zone))
        assert candidate.view.enabled
        assert needs.capabilities <= (candidate.link or candidate.view).capabilities
    assert plan(result.needs, snap, health, now=100.0, at=AT) == result
    shuffled = list(snap.providers)
    random.shuffle(shuffled)
    other = plan(
        needs,
        Snapshot(providers=tuple(shuffled), models=snap.models, active=snap.active),
        health,
        now=100.0,
        at=AT,
    )
    assert other.candidates == result.candidates


# What requests alike have in common


def test_a_plan_of_a_model_judges_only_those_that_may_serve_it() -> None:
    snap = snapshot(view("a", link("m")), *(view(f"other-{number}", link("n")) for number in range(50)))
    planned = made(snap, "m")
    assert order(planned) == ["a"]
    assert len(planned.skipped) == 50


def test_a_second_plan_alike_takes_the_candidates_of_the_first_as_they_are() -> None:
    snap = snapshot(view("a", link("m")), view("b", link("m")))
    assert made(snap, "m").candidates is made(snap, "m").candidates


def test_a_prompt_that_is_too_long_for_a_window_is_told_though_a_shorter_one_came_before() -> None:
    snap = snapshot(view("a", link("m", context_length=100)), view("b", link("m")))
    assert order(made(snap, "m", prompt_floor=100)) == ["a", "b"]
    assert order(made(snap, "m", prompt_floor=101)) == ["b"]
    assert order(made(snap, "m", prompt_floor=100)) == ["a", "b"]


def test_names_that_callers_invent_are_not_kept_without_end() -> None:
    snap = snapshot(view("a"))
    for number in range(3000):
        made(snap, f"invented-{number}")
    assert len(snap.routes) <= 1000


def test_what_is_forgiven_is_held_against_nobody_in_the_next_plan() -> None:
    snap = snapshot(view("a", priority=1), view("b"))
    health = Health(rng=Random(1))
    health.failed(health.begin(Key("a", "at-a", None), 99.0), Effect.ENDPOINT_DOWN, 99.5, reason="refused")
    assert (order(made(snap, health=health)), health.epoch(100.0).troubled) == (["b", "a"], True)
    health.forgive("a", "at-a", 100.0)
    assert (order(made(snap, health=health)), health.epoch(100.0).troubled) == (["a", "b"], False)


def test_a_plan_in_an_unwell_world_takes_the_candidates_of_the_one_before_until_something_changes() -> None:
    snap = snapshot(view("a", priority=1), view("b"))
    health = Health(rng=Random(1))
    ticket = health.begin(Key("a", "at-a", None), 99.0)
    health.failed(ticket, Effect.ENDPOINT_DOWN, 99.5, reason="refused")
    first = made(snap, health=health).candidates
    assert made(snap, health=health).candidates is first
    health.failed(health.begin(Key("b", "at-b", None), 99.0), Effect.BUSY, 99.5, reason="")
    assert made(snap, health=health).candidates is not first


_ENDPOINTS = {"a": "x", "b": "x", "c": "y"}
_PLACES = st.builds(lambda who, model: Key(who, _ENDPOINTS[who], model), st.sampled_from("abc"), st.sampled_from("mn"))
_EVENTS = st.one_of(
    st.tuples(st.just("begin"), _PLACES),
    st.tuples(st.just("fail"), st.integers(0, 5), st.sampled_from(Effect)),
    st.tuples(st.just("succeed"), st.integers(0, 5)),
    st.tuples(st.just("hear of"), st.integers(0, 5)),
    st.tuples(st.just("learn"), _PLACES),
    st.tuples(st.just("test"), _PLACES),
    st.tuples(st.just("note"), _PLACES, st.sampled_from(["endpoint", "provider", "missing", "checks"])),
)


def _live(health: Health, tickets: list[Ticket], event: tuple[Any, ...], now: float) -> None:
    what, *rest = event
    if what == "begin":
        tickets.append(health.begin(rest[0], now))
    elif what in ("fail", "succeed", "hear of") and tickets:
        ticket = tickets[rest[0] % len(tickets)]
        if what == "hear of":
            health.heard(ticket)
            return
        tickets.remove(ticket)
        if what == "fail":
            health.failed(ticket, rest[1], now, reason="so")
        else:
            health.succeeded(ticket, now)
    elif what == "learn":
        health.learn(rest[0], Capability.CHAT)
    elif what == "test":
        health.tested(rest[0].provider, rest[0].endpoint, now)
    elif what == "note":
        key, scope = rest
        subject = key.endpoint if scope in ("endpoint", "checks") else key.provider
        model = key.model if scope == "missing" else None
        health.hear([Note(scope=scope, subject=subject, model=model, state="open", until=now + 3, at=now)])


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.3, 1.0, 5.0, 61.0]), _EVENTS), min_size=4, max_size=24))
def test_a_plan_is_the_same_whatever_was_planned_before_it(story: list[tuple[float, tuple[Any, ...]]]) -> None:
    """What is kept of one plan for the next is never old: a world that nobody has looked at yet says the same."""

    def world() -> Snapshot:
        views = (view("a", priority=2, endpoint="x"), view("b", priority=1, endpoint="x"), view("c", endpoint="y"))
        return snapshot(*views)

    def steps(snap: Snapshot, health: Health, now: float) -> list[tuple[str, str, str, float]]:
        at = AT + timedelta(seconds=now)
        found = plan(Needs(model="m", capabilities=frozenset({Capability.CHAT})), snap, health, now=now, at=at)
        return [
            (c.provider, c.state, c.reason, round((c.until - AT).total_seconds(), 3) if c.until else 0.0)
            for c in found.candidates
        ]

    snap, watched, tickets = world(), Health(rng=Random(1)), list[Ticket]()
    clock = 100.0
    for told, (seconds, event) in enumerate(story, 1):
        clock += seconds
        steps(snap, watched, clock)
        _live(watched, tickets, event, clock)
        unseen, others = Health(rng=Random(1)), list[Ticket]()
        now = 100.0
        for pause, before in story[:told]:
            now += pause
            _live(unseen, others, before, now)
        assert steps(world(), unseen, clock) == steps(snap, watched, clock)


def test_credentials_expire_between_two_plans_and_a_plan_of_the_past_has_them_still() -> None:
    snap = snapshot(
        view("late", link("m"), priority=2, expires_at=AT + timedelta(minutes=2)),
        view("soon", link("m"), priority=1, expires_at=AT + timedelta(minutes=1)),
        view("never", link("m")),
    )

    def planned(minutes: float) -> tuple[list[str], dict[str, str]]:
        at = AT + timedelta(minutes=minutes)
        result = plan(Needs(model="m"), snap, Health(), now=100.0, at=at)
        return order(result), reasons(result)

    gone = {"soon": "its credentials expired at 2026-01-01 00:01 UTC"}
    assert (["late", "soon", "never"], {}) == planned(0.99)
    assert (["late", "never"], gone) == planned(1)
    assert (["never"], gone | {"late": "its credentials expired at 2026-01-01 00:02 UTC"}) == planned(2)
    assert (["late", "soon", "never"], {}) == planned(0)
