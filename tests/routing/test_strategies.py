"""The order of candidates that the plan holds for equal."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from provider_router.routing.health import Health
from provider_router.routing.plan import Needs, plan
from provider_router.routing.snapshot import ProviderLink, ProviderView, RoutingSettings, Snapshot
from provider_router.routing.speed import Speed
from provider_router.routing.strategies import STRATEGIES
from provider_router.routing.ticket import Key


def order(
    strategy: str,
    health: Health | None = None,
    *,
    seed: int = 0,
    prefix: str = "",
    weights: str = "111",
    now: float = 100,
) -> str:
    views = tuple(
        ProviderView(
            id=name,
            endpoint=name,
            links={"m": ProviderLink(model="m", remote_name="m", weight=float(weight))},
        )
        for name, weight in zip("abc", weights)
    )
    snapshot = Snapshot(providers=views, settings=RoutingSettings(strategy=strategy))
    result = plan(
        Needs(model="m", prefix=prefix),
        snapshot,
        health or Health(),
        now=now,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        seed=seed,
    )
    return "".join(candidate.provider for candidate in result.candidates)


def spoke(health: Health, name: str, seconds: float, now: float, prefix: str = "") -> None:
    ticket = health.begin(Key(name, name, "m"), now - seconds)
    health.spoke(ticket, now, prefix=prefix)
    health.succeeded(ticket, now)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_seed_gives_the_same_order_of_all(strategy: str) -> None:
    for seed in range(20):
        assert order(strategy, seed=seed, prefix="p") == order(strategy, seed=seed, prefix="p")
        assert sorted(order(strategy, seed=seed, prefix="p")) == ["a", "b", "c"]


def test_priority_orders_by_id() -> None:
    assert {order("priority", seed=seed) for seed in range(20)} == {"abc"}


def test_weighted_gives_each_its_share() -> None:
    firsts = Counter(order("weighted", seed=seed, weights="611")[0] for seed in range(2000))
    assert 1400 < firsts["a"] < 1600
    assert 180 < firsts["b"] < 320


def test_least_busy_asks_whoever_has_the_fewest_calls_for_its_weight() -> None:
    health = Health()
    for name in "aaabb":
        health.begin(Key(name, name, "m"), 100)
    assert order("least-busy", health) == "cba"
    assert order("least-busy", health, weights="911") == "cab"


def test_the_slowest_is_never_asked_first_and_the_fastest_not_always() -> None:
    health = Health()
    for name, seconds in zip("abc", (9.0, 1.0, 2.0)):
        spoke(health, name, seconds, 100)
    firsts = Counter(order("fastest", health, seed=seed)[0] for seed in range(300))
    assert firsts["a"] == 0
    assert firsts["b"] > firsts["c"] > 50


def test_the_fastest_counts_for_less_while_it_is_busy_and_an_unknown_one_is_tried() -> None:
    health = Health()
    for name, seconds in zip("abc", (2.0, 1.0, 2.0)):
        spoke(health, name, seconds, 100)
    for _ in range(5):
        health.begin(Key("b", "b", "m"), 100)
    assert all(order("fastest", health, seed=seed)[0] != "b" for seed in range(50))
    fresh = Health()
    spoke(fresh, "a", 1.0, 100)
    assert all(order("fastest", fresh, seed=seed)[0] != "a" for seed in range(50))


def test_a_slow_moment_counts_at_once_and_is_forgotten_slowly() -> None:
    speed = Speed(1.0, 100.0)
    speed.add(20.0, 101.0)
    assert speed.seconds == 20.0
    speed.add(1.0, 102.0)
    assert 18 < speed.seconds < 20
    assert speed.of_late(1000.0) < 0.001


def test_a_conversation_has_one_home_and_conversations_spread() -> None:
    homes = Counter(order("affinity", prefix=f"p{number}", seed=number)[0] for number in range(300))
    assert min(homes[name] for name in "abc") > 60
    assert order("affinity", prefix="p1", seed=1) == order("affinity", prefix="p1", seed=2)


def test_a_conversation_stays_where_it_was_served_and_goes_home_after_a_pause() -> None:
    health = Health()
    home = order("affinity", health, prefix="p")
    away = home[2]
    spoke(health, away, 1.0, 100, prefix="p")
    assert order("affinity", health, prefix="p", now=200) == away + home[:2]
    assert order("affinity", health, prefix="p", now=500) == home
    assert order("affinity", health, prefix="q", now=100) == order("affinity", prefix="q")


def test_what_is_remembered_of_speeds_and_conversations_is_bounded() -> None:
    health = Health()
    for number in range(11_000):
        ticket = health.begin(Key("a", "a", f"m{number}"), 100)
        health.spoke(ticket, 101, prefix=f"p{number}")
    assert len(health._speeds) == 1000
    assert len(health._homes) == 10_000
