"""What is held against a provider, until when, and what ends it."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from provider_router.routing.breaker import Breaker, Window
from provider_router.routing.effect import Effect
from provider_router.routing.health import Health
from provider_router.routing.line import Slots
from provider_router.routing.retry_budget import RetryBudget
from provider_router.routing.ticket import Key, Ticket

KEY = Key("a", "host", "m")
OTHER_MODEL = Key("a", "host", "n")
NEIGHBOUR = Key("b", "host", "m")
COUNTING = (Effect.ENDPOINT_DOWN, Effect.ENDPOINT_FAULT, Effect.MODEL_FAULT)
NEUTRAL = [effect for effect in Effect if effect not in COUNTING]


def fail(health: Health, effect: Effect, now: float, key: Key = KEY, times: int = 1, **options: Any) -> None:
    for _ in range(times):
        health.failed(health.begin(key, now), effect, now, reason="it failed", **options)


def succeed(health: Health, now: float, key: Key = KEY) -> None:
    health.succeeded(health.begin(key, now), now)


def state(health: Health, now: float, key: Key = KEY) -> str:
    return str(health.condition(key, now).state)


def until(health: Health, now: float, key: Key = KEY) -> float:
    moment = health.condition(key, now).until
    assert moment is not None
    return moment


# Breakers


@pytest.mark.parametrize(
    ("effect", "times"), [(Effect.ENDPOINT_DOWN, 1), (Effect.ENDPOINT_FAULT, 2), (Effect.MODEL_FAULT, 3)]
)
def test_a_breaker_opens_after_so_many_failures_in_a_row(effect: Effect, times: int) -> None:
    health = Health()
    fail(health, effect, 100, times=times - 1)
    assert state(health, 100) == "ready"
    fail(health, effect, 100)
    assert state(health, 100) == "open"
    assert 4 <= until(health, 100) - 100 <= 6
    assert state(health, 106) == "half-open"


def test_an_endpoint_is_shared_by_its_providers_and_models() -> None:
    health = Health()
    fail(health, Effect.ENDPOINT_DOWN, 100)
    assert state(health, 100, NEIGHBOUR) == state(health, 100, OTHER_MODEL) == "open"


def test_a_models_faults_leave_the_other_models_alone() -> None:
    health = Health()
    fail(health, Effect.MODEL_FAULT, 100, times=3)
    assert state(health, 100, OTHER_MODEL) == "ready"
    assert state(health, 100, NEIGHBOUR) == "open"


@pytest.mark.parametrize("effect", [Effect.ENDPOINT_FAULT, Effect.MODEL_FAULT])
def test_a_success_in_between_begins_the_row_anew(effect: Effect) -> None:
    health = Health()
    for _ in range(4):
        fail(health, effect, 100)
        succeed(health, 100)
        succeed(health, 100)
    assert state(health, 100) == "ready"


def test_half_of_the_last_minute_opens_it_but_only_of_ten() -> None:
    health = Health()
    for now in range(100, 104):
        fail(health, Effect.MODEL_FAULT, now)
        succeed(health, now)
    assert state(health, 104) == "ready"
    succeed(health, 104)
    fail(health, Effect.MODEL_FAULT, 104)
    assert state(health, 104) == "open"


def test_successes_before_the_first_failure_count_in_the_ratio() -> None:
    health = Health()
    for now in range(100, 120):
        succeed(health, now)
    for now in range(120, 130):
        fail(health, Effect.MODEL_FAULT, now)
        succeed(health, now)
    assert state(health, 130) == "ready"


def test_what_is_older_than_a_minute_does_not_count() -> None:
    window = Window()
    for now in (100.2, 100.7, 130.0):
        window.add(now, fault=True)
    assert (window.calls, window.faults) == (3, 3)
    window.forget(161.0)
    assert (window.calls, window.faults) == (1, 1)


def test_each_failed_trial_doubles_the_opening_to_fifteen_seconds_at_most() -> None:
    breaker, rng, now = Breaker(), Random(3), 100.0
    lengths = []
    for _ in range(4):
        trial = object()
        breaker.trial = trial
        breaker.fault(trial, now, reason="dead", opens=True, rng=rng)
        lengths.append(breaker.opening)
        assert 0.8 * breaker.opening <= breaker.until - now <= 1.2 * breaker.opening
        now = breaker.until
    assert lengths == [5, 10, 15, 15]


def test_half_open_lets_exactly_one_trial_through() -> None:
    health = Health()
    fail(health, Effect.ENDPOINT_DOWN, 100)
    trial = health.begin(KEY, 110)
    assert len(trial.trials) == 1
    assert state(health, 110) == "open"
    assert health.begin(KEY, 110).trials == ()


def test_the_end_of_the_time_alone_restores_nothing() -> None:
    health = Health()
    fail(health, Effect.ENDPOINT_DOWN, 100)
    assert state(health, 1_000_000) == "half-open"


def test_a_good_trial_closes_and_resets() -> None:
    health = Health()
    fail(health, Effect.MODEL_FAULT, 100, times=3)
    succeed(health, 110)
    assert state(health, 110) == "ready"
    fail(health, Effect.MODEL_FAULT, 110, times=2)
    assert state(health, 110) == "ready"
    fail(health, Effect.MODEL_FAULT, 110)
    assert until(health, 110) - 110 <= 6


@pytest.mark.parametrize("effect", NEUTRAL)
def test_a_neutral_outcome_frees_the_trial(effect: Effect) -> None:
    health = Health()
    fail(health, Effect.ENDPOINT_DOWN, 100)
    fail(health, effect, 110)
    assert len(health.begin(KEY, 110).trials) == 1


@pytest.mark.parametrize("effect", NEUTRAL)
def test_neutral_classes_never_open_a_breaker(effect: Effect) -> None:
    health = Health()
    fail(health, effect, 100, times=50)
    assert health.begin(KEY, 100_000).trials == ()
    assert state(health, 100_000) == "ready"


def test_calls_that_were_in_flight_do_not_lengthen_the_opening() -> None:
    health = Health()
    tickets = [health.begin(KEY, 100) for _ in range(30)]
    for ticket in tickets:
        health.failed(ticket, Effect.ENDPOINT_DOWN, 101, reason="refused")
    assert until(health, 101) - 101 <= 6


def test_a_late_failure_does_not_end_a_running_trial() -> None:
    health = Health()
    late = health.begin(KEY, 99)
    fail(health, Effect.ENDPOINT_DOWN, 100)
    health.begin(KEY, 110)
    health.failed(late, Effect.ENDPOINT_DOWN, 111, reason="refused")
    assert health.begin(KEY, 200).trials == ()


def test_a_success_from_before_the_opening_proves_nothing() -> None:
    health = Health()
    old = health.begin(KEY, 99)
    fail(health, Effect.ENDPOINT_DOWN, 100)
    health.succeeded(old, 101)
    assert state(health, 101) == "open"


def test_an_old_trials_end_does_not_free_the_next_ones_place() -> None:
    health = Health()
    fail(health, Effect.ENDPOINT_DOWN, 100)
    old = health.begin(KEY, 110)
    succeed(health, 111)  # closed by another call
    fail(health, Effect.ENDPOINT_DOWN, 112)
    health.begin(KEY, 120)
    health.failed(old, Effect.NONE, 121, reason="")
    assert health.begin(KEY, 122).trials == ()


def test_of_two_breakers_the_one_that_is_open_for_longer_is_told() -> None:
    health = Health()
    fail(health, Effect.ENDPOINT_DOWN, 100)
    fail(health, Effect.MODEL_FAULT, 104, times=3)
    assert until(health, 104) > 107


def test_a_half_open_endpoint_of_a_ready_model_is_half_open() -> None:
    health = Health()
    succeed(health, 99)
    fail(health, Effect.ENDPOINT_DOWN, 100)
    fail(health, Effect.BUSY, 109.9, NEIGHBOUR)
    assert state(health, 110) == "half-open"


# Throttles, flags, busy, slots


def test_a_throttle_lasts_as_long_as_the_backend_asked() -> None:
    for asked, held in [(0.1, 1.0), (20.0, 20.0), (9000.0, 300.0)]:
        health = Health()
        fail(health, Effect.THROTTLE, 100, retry_after=asked)
        assert until(health, 100) == 100 + held
        assert state(health, 100, OTHER_MODEL) == "throttled"
        assert state(health, 100, NEIGHBOUR) == "ready"
        assert state(health, 100 + held) == "ready"


def test_the_longest_throttle_of_a_provider_bounds_it() -> None:
    health = Health()
    fail(health, Effect.THROTTLE, 100, retry_after=50.0, retry_after_max=10.0)
    assert until(health, 100) == 110


@pytest.mark.parametrize(
    ("effect", "lengths"),
    [
        (Effect.THROTTLE, [5, 10, 20, 40, 60, 60]),
        (Effect.AUTH, [60, 120, 240, 480, 600, 600]),
        (Effect.CRASH, [60, 120, 240, 480, 600, 600]),
        (Effect.QUOTA, [300, 300]),
        (Effect.MODEL_MISSING, [60, 60]),
    ],
)
def test_repeated_throttles_and_flags_double_until_a_success(effect: Effect, lengths: list[float]) -> None:
    health, now = Health(), 100.0
    for length in lengths:
        fail(health, effect, now)
        assert until(health, now) == now + length
        now += length
    succeed(health, now)
    fail(health, effect, now)
    assert until(health, now) == now + lengths[0]


def test_after_a_retry_after_the_doubling_begins_at_five_seconds() -> None:
    health = Health()
    fail(health, Effect.THROTTLE, 100, retry_after=20.0)
    fail(health, Effect.THROTTLE, 120)
    assert until(health, 120) == 125


def test_calls_in_flight_that_tell_the_same_neither_double_nor_shorten() -> None:
    health = Health()
    tickets = [health.begin(KEY, 100) for _ in range(5)]
    health.failed(tickets[0], Effect.THROTTLE, 101, reason="429", retry_after=60.0)
    for ticket in tickets[1:]:
        health.failed(ticket, Effect.THROTTLE, 102, reason="429")
    assert until(health, 102) == 161
    assert state(health, 161) == "ready"


def test_a_success_that_was_in_flight_does_not_end_a_throttle() -> None:
    health = Health()
    old = health.begin(KEY, 99)
    fail(health, Effect.THROTTLE, 100, retry_after=60.0)
    health.succeeded(old, 101)
    assert state(health, 101) == "throttled"


def test_a_throttled_provider_that_is_flagged_too_stays_flagged_afterwards() -> None:
    health = Health()
    fail(health, Effect.AUTH, 100)
    fail(health, Effect.THROTTLE, 100)
    assert state(health, 100) == "throttled"
    assert state(health, 110) == "flagged"


def test_a_missing_model_is_flagged_alone() -> None:
    health = Health()
    fail(health, Effect.MODEL_MISSING, 100)
    assert (state(health, 100), state(health, 100, OTHER_MODEL)) == ("flagged", "ready")


def test_busy_lasts_a_moment_or_until_a_success() -> None:
    health = Health()
    fail(health, Effect.BUSY, 100)
    assert (state(health, 101), state(health, 102.5)) == ("busy", "ready")
    fail(health, Effect.BUSY, 110)
    succeed(health, 111)
    assert state(health, 111) == "ready"


def test_a_provider_is_full_at_its_bound_and_free_after_each_call() -> None:
    health = Health()
    tickets = [health.begin(KEY, 100) for _ in range(2)]
    assert health.in_flight == {"a": 2}
    assert str(health.condition(KEY, 100, slots=Slots(2)).state) == "full"
    assert str(health.condition(KEY, 100, slots=Slots(3)).state) == "ready"
    health.succeeded(tickets[0], 101)
    assert str(health.condition(KEY, 101, slots=Slots(2)).state) == "ready"
    health.failed(tickets[1], Effect.NONE, 101, reason="")
    assert health.in_flight == {}


def test_forgiven_is_forgotten() -> None:
    for effect in Effect:
        health = Health()
        fail(health, effect, 100, times=3)
        health.forgive("a", "host", 1000.0)
        assert state(health, 100) == "ready"


def test_forgiving_one_provider_leaves_the_others_alone() -> None:
    health = Health()
    elsewhere = Key("c", "elsewhere", "m")
    for effect in (Effect.AUTH, Effect.MODEL_MISSING, Effect.MODEL_FAULT):
        fail(health, effect, 100, elsewhere, times=3)
    health.forgive("a", "host", 1000.0)
    assert state(health, 100, elsewhere) == "flagged"


def test_an_answered_check_is_remembered() -> None:
    health = Health()
    assert not health.answers_checks("host")
    health.check_answered("host")
    assert health.answers_checks("host")


def test_names_that_callers_invent_do_not_pile_up() -> None:
    health = Health()
    for number in range(3000):
        fail(health, Effect.MODEL_MISSING, 100.0 + number, Key("a", "host", f"m{number}"))
        succeed(health, 100.0 + number, Key("a", "host", f"n{number}"))
    assert len(health._missing) <= 1001
    assert len(health._models) <= 1001


# The retry budget


def test_retries_are_a_fifth_of_the_requests_and_three_a_second() -> None:
    budget = RetryBudget()
    for _ in range(50):
        budget.request(100.0)
    assert sum(budget.take(101.0) for _ in range(100)) == 40
    assert budget.take(112.0)


# Properties


class HealthMachine(RuleBasedStateMachine):
    """Any calls in any order: slots add up, one trial at most, neutral outcomes open nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.health = Health(rng=Random(7))
        self.now = 100.0
        self.tickets: list[Ticket] = []

    @rule(seconds=st.floats(0, 30))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=st.sampled_from([KEY, OTHER_MODEL, NEIGHBOUR]))
    def begin(self, key: Key) -> None:
        running = {id(breaker) for ticket in self.tickets for breaker in ticket.trials if breaker.trial is ticket}
        ticket = self.health.begin(key, self.now)
        assert running.isdisjoint(id(breaker) for breaker in ticket.trials)
        self.tickets.append(ticket)

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), effect=st.sampled_from([None, *Effect]), heard=st.booleans())
    def end(self, data: st.DataObject, effect: Effect | None, heard: bool) -> None:
        ticket = self.tickets.pop(data.draw(st.integers(0, len(self.tickets) - 1)))
        before = self.openings()
        if heard:
            self.health.answered(ticket)
        if effect is None:
            self.health.succeeded(ticket, self.now)
        else:
            self.health.failed(ticket, effect, self.now, reason="x")
        if effect not in COUNTING:
            assert self.openings() <= before

    @invariant()
    def slots_add_up(self) -> None:
        counted: dict[str, int] = {}
        for ticket in self.tickets:
            counted[ticket.key.provider] = counted.get(ticket.key.provider, 0) + 1
        assert self.health.in_flight == counted

    @invariant()
    def openings_are_bounded(self) -> None:
        for key in (KEY, OTHER_MODEL, NEIGHBOUR):
            condition = self.health.condition(key, self.now)
            assert condition.until is None or condition.until <= self.now + 600

    def openings(self) -> set[int]:
        breakers = [*self.health._endpoints.values(), *self.health._models.values()]
        return {id(breaker) for breaker in breakers if breaker.opening}


TestHealthMachine = HealthMachine.TestCase


@given(st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=100))
def test_the_window_counts_like_a_list(entries: list[tuple[float, bool]]) -> None:
    window, now, kept = Window(), 100.0, []
    for pause, fault in entries:
        now += pause
        kept.append((int(now), fault))
        window.add(now, fault=fault)
    expected = [fault for second, fault in kept if second >= now - 60]
    assert (window.calls, window.faults) == (len(expected), sum(expected))
