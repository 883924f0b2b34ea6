"""Every row of the failure table, and what bounds a request, as steps of the machine without any I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provider_router.chat import Capability, ChatChunk
from provider_router.dialects.dialect import Sign
from provider_router.errors import (
    Busy,
    ConfigError,
    DeadlineExceeded,
    Failure,
    MalformedAnswer,
    NoCandidates,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    StreamInterrupted,
)
from provider_router.limits import DEFAULT_LIMITS, PREAMBLE_EVENTS
from provider_router.routing.actions import Abandon, Answer, Ask, Fail, Wait
from provider_router.routing.effect import Effect
from provider_router.routing.failover import Failover
from provider_router.routing.health import Health
from provider_router.routing.hints import Note
from provider_router.routing.plan import Needs, plan
from provider_router.routing.retry_budget import RetryBudget
from provider_router.routing.snapshot import ModelView, ProviderLink, ProviderView, Snapshot
from provider_router.routing.table import TABLE
from provider_router.routing.ticket import Key
from provider_router.routing.walk import Policy

BACKOFF = (0.25, 0.5)
AT_ONCE = (0.0, 0.0)
PAUSE = (0.5, 1.0)

# class: wait before the same provider again with others there, and alone; whether the next one is asked; the state of
# the provider after the request, with another provider behind it.
ROWS = {
    Failure.CONNECT: ([], [], True, "open"),
    Failure.RESET: ([AT_ONCE], [AT_ONCE, PAUSE], True, "open"),
    Failure.TIMEOUT: ([], [], True, "ready"),
    Failure.BUSY: ([], [], True, "busy"),
    Failure.SERVER: ([BACKOFF], [BACKOFF, PAUSE], True, "ready"),
    Failure.RATE_LIMIT: ([], [PAUSE], True, "throttled"),
    Failure.QUOTA: ([], [], True, "throttled"),
    Failure.AUTH: ([], [], True, "flagged"),
    Failure.MODEL_UNAVAILABLE: ([], [], True, "flagged"),
    Failure.CAPABILITY: ([], [], True, "ready"),
    Failure.CONTEXT_LENGTH: ([], [], True, "ready"),
    Failure.CONTENT_POLICY: ([], [], False, "ready"),
    Failure.BAD_REQUEST: ([], [], False, "ready"),
    Failure.MALFORMED: ([BACKOFF], [BACKOFF, PAUSE], True, "ready"),
    Failure.CRASHED: ([], [], True, "flagged"),
}
AFTER_COMMIT = {Failure.TRUNCATED, Failure.STALLED, Failure.CANCELLED}
TEXT = (ChatChunk.of("x"), Sign(meaningful=True))
ROLE = (ChatChunk.of(role="assistant"), Sign())
END = (ChatChunk.of(finish_reason="stop"), Sign(finish="stop"))


def test_the_table_has_a_row_for_every_class_and_each_is_tested() -> None:
    assert set(Failure) == set(TABLE)
    assert set(Failure) == set(ROWS) | AFTER_COMMIT


def exhaust(scene: Any, failure: Failure, waits: list[tuple[float, float]]) -> None:
    """Fail as often as the same provider is asked again, with the waits that the table says."""
    first = scene.asked
    for low, high in waits:
        action = scene.fail(failure)
        assert isinstance(action, Wait)
        assert low <= action.seconds <= high
        assert not action.slot
        scene.wake()
        assert first == scene.asked
    scene.fail(failure)


@pytest.mark.parametrize("failure", ROWS)
def test_with_another_provider_the_table_holds(failure: Failure, scene: Any) -> None:
    waits, _, onward, state = ROWS[failure]
    request = scene("ab")
    request.start()
    exhaust(request, failure, waits)
    assert request.state("a") == state
    if onward:
        assert request.asked == "b"
        request.complete()
        assert request.trail == [("a", failure)] * (len(waits) + 1) + [("b", "ok")]
    else:
        assert request.action.error.failure == failure
        assert request.state("b") == "ready"
    assert request.health.in_flight == {}


@pytest.mark.parametrize("failure", ROWS)
def test_alone_the_table_holds_and_the_failure_is_raised_as_its_own_class(failure: Failure, scene: Any) -> None:
    _, waits, _, _ = ROWS[failure]
    request = scene("a")
    request.start()
    exhaust(request, failure, waits)
    assert isinstance(request.action, Fail)
    error = request.action.error
    assert error.failure == failure
    assert error.provider == "a"
    assert len(error.attempts) == len(waits) + 1
    assert request.health.in_flight == {}


@pytest.mark.parametrize("failure", [failure for failure in ROWS if ROWS[failure][2]])
def test_when_both_fail_the_last_failure_is_raised_and_names_them_all(failure: Failure, scene: Any) -> None:
    request = scene("ab")
    request.start()
    exhaust(request, failure, ROWS[failure][0])
    while not isinstance(request.action, Fail):
        request.wake() if isinstance(request.action, Wait) else request.fail(Failure.QUOTA)
    error = request.action.error
    assert error.failure == (failure if TABLE[failure].callers_fault else Failure.QUOTA)
    assert "tried a: " in str(error)
    assert len(error.__notes__) == len(error.attempts)


def test_the_callers_own_fault_is_decisive_even_if_others_fail_later(scene: Any) -> None:
    request = scene("abc")
    request.start()
    request.fail(Failure.CONNECT)
    request.fail(Failure.CONTEXT_LENGTH)
    assert request.fail(Failure.AUTH).error.failure == Failure.CONTEXT_LENGTH


def test_fallback_on_makes_a_stopping_class_go_on(scene: Any) -> None:
    request = scene("ab", fallback_on=frozenset({"content_policy"}))
    request.start()
    request.fail(Failure.CONTENT_POLICY)
    assert request.asked == "b"


def test_a_stop_raises_that_failure_itself(scene: Any) -> None:
    request = scene("abc")
    request.start()
    request.fail(Failure.CAPABILITY)
    assert request.fail(Failure.BAD_REQUEST).error.failure == Failure.BAD_REQUEST


# rate_limit


@pytest.mark.parametrize(("seconds", "waits"), [(0.0, True), (2.0, True), (3.0, True), (3.1, False), (60.0, False)])
def test_a_retry_after_of_three_seconds_at_most_is_waited_for(seconds: float, waits: bool, scene: Any) -> None:
    request = scene("ab")
    request.start()
    action = request.fail(Failure.RATE_LIMIT, retry_after=seconds)
    assert (action == Wait(seconds)) == waits
    if waits:
        request.wake()
        assert request.asked == "a"
        request.fail(Failure.RATE_LIMIT, retry_after=seconds)
    assert request.asked == "b"


def test_a_retry_after_that_does_not_fit_the_total_is_not_waited_for(scene: Any) -> None:
    request = scene("ab", total=2.5)
    request.start()
    request.fail(Failure.RATE_LIMIT, retry_after=2.5)
    assert request.asked == "b"


def test_without_the_header_the_same_is_asked_again_only_if_nobody_closed_and_free_is_left(scene: Any) -> None:
    health = Health()
    first = scene("ab", health=health)
    first.start()
    first.fail(Failure.CONNECT)  # a is open now
    assert first.asked == "b"
    action = first.fail(Failure.RATE_LIMIT)
    assert isinstance(action, Wait)
    assert 0.5 <= action.seconds <= 1
    first.wake()
    assert first.asked == "b"


def test_two_throttled_providers_are_waited_for_where_at_most_three_seconds_remain(scene: Any) -> None:
    health = Health()
    for name in "ab":
        first = scene(name, health=health, max_attempts=1)
        first.start()
        first.fail(Failure.RATE_LIMIT, retry_after=2.0 if name == "b" else 50.0)
    request = scene("ab", health=health)
    assert request.start() == Wait(2.0)
    request.wake()
    assert request.asked == "b"


def test_throttled_for_longer_nobody_can_be_asked_and_retry_after_says_until_when(scene: Any) -> None:
    health = Health()
    first = scene("a", health=health, max_attempts=1)
    first.start()
    first.fail(Failure.RATE_LIMIT, retry_after=40.0)
    error = scene("a", health=health, now=1010.0).start().error
    assert isinstance(error, NoCandidates)
    assert error.retry_after == 30.0
    assert "a: HTTP" in str(error) or "a: rate_limit" in str(error)


def test_a_throttle_is_waited_for_once_even_if_others_renew_it(scene: Any) -> None:
    health = Health()
    first = scene("a", health=health, max_attempts=1)
    first.start()
    first.fail(Failure.RATE_LIMIT, retry_after=2.0)
    request = scene("a", health=health)
    request.start()
    late = scene("a", health=health, max_attempts=1, now=1002.0)
    late.start()
    late.fail(Failure.RATE_LIMIT, retry_after=2.0)
    assert isinstance(request.wake().error, NoCandidates)


# Bounds


def test_no_request_makes_more_than_six_attempts(scene: Any) -> None:
    request = scene("abcdefgh")
    request.start()
    while not isinstance(request.action, Fail):
        request.wake() if isinstance(request.action, Wait) else request.fail(Failure.SERVER)
    assert len(request.machine.attempts) == 6
    assert request.trail == [(name, "server") for name in "aabbcc"]


def test_retries_keep_to_their_budget_and_fallbacks_do_not_count(scene: Any) -> None:
    budget = RetryBudget()
    for _ in range(30):
        assert budget.take(1000.0)
    request = scene("ab", budget=budget)
    request.start()
    request.fail(Failure.SERVER)
    assert request.asked == "b"


def test_a_retry_finds_its_slot_taken_and_waits_in_line(scene: Any) -> None:
    view = ProviderView(id="a", endpoint="at-a", max_parallel=1)
    request = scene(views=[view])
    request.start()
    request.fail(Failure.SERVER)
    other = scene(views=[view], health=request.health, now=request.now)
    other.start()
    assert request.wake() == Wait(30.0, slot=True)
    other.complete()
    assert isinstance(request.machine.woke(request.now), Ask)


def test_a_retry_finds_its_provider_throttled_by_others_and_goes_on(scene: Any) -> None:
    request = scene("ab")
    request.start()
    other = scene("a", health=request.health, max_attempts=1)
    other.start()
    request.fail(Failure.SERVER)
    other.fail(Failure.RATE_LIMIT, retry_after=60.0)
    request.wake()
    assert request.asked == "b"


# Unwell candidates


def test_an_open_provider_is_asked_when_no_other_is_left(scene: Any) -> None:
    health = Health()
    first = scene("a", health=health)
    first.start()
    first.fail(Failure.CONNECT)
    request = scene("ab", health=health)
    assert [c.provider for c in request.plan.candidates] == ["b", "a"]
    request.start()
    assert request.asked == "b"
    request.fail(Failure.AUTH)
    assert request.asked == "a"


def test_at_most_two_unwell_providers_are_asked_soonest_first(scene: Any) -> None:
    health = Health()
    for place, name in enumerate("abc"):
        first = scene(name, health=health, now=1000.0 + place, max_attempts=1)
        first.start()
        first.fail(Failure.AUTH)
    request = scene("abc", health=health, now=1003.0)
    request.start()
    assert request.asked == "a"
    request.fail(Failure.AUTH)
    assert request.asked == "b"
    assert request.fail(Failure.AUTH).error.failure == Failure.AUTH


def test_half_open_lets_one_trial_through_and_the_others_go_elsewhere(scene: Any) -> None:
    health = Health()
    first = scene("a", health=health)
    first.start()
    first.fail(Failure.CONNECT)
    trial, other = scene("ab", health=health, now=1010.0), scene("ab", health=health, now=1010.0)
    trial.start()
    other.start()
    assert (trial.asked, other.asked) == ("a", "b")


def test_a_trial_counts_as_one_of_the_two_unwell(scene: Any) -> None:
    health = Health()
    for name in "abc":
        first = scene(name, health=health, max_attempts=1)
        first.start()
        first.fail(Failure.CONNECT)
    request = scene("abc", health=health, now=1010.0)
    request.start()
    request.fail(Failure.CONNECT)
    assert isinstance(request.fail(Failure.CONNECT), Fail)
    assert len(request.machine.attempts) == 2


def test_a_full_open_provider_is_waited_for(scene: Any) -> None:
    view = ProviderView(id="a", endpoint="at-a", max_parallel=1)
    first, second = scene(views=[view]), None
    first.start()
    other = scene(views=[view.__class__(id="a", endpoint="at-a")], health=first.health)
    other.start()
    other.fail(Failure.CONNECT)
    second = scene(views=[view], health=first.health)
    assert isinstance(second.start(), Wait)
    assert second.action.slot
    assert isinstance(second.machine.woke(2000.0).error, Busy)


# Slots


def full(scene: Any, count: int = 1) -> tuple[Any, list[Any]]:
    view = ProviderView(id="a", endpoint="at-a", max_parallel=count)
    first = scene(views=[view])
    first.start()
    return view, [first]


def test_a_full_provider_is_passed_over_while_another_is_free(scene: Any) -> None:
    view, (first,) = full(scene)
    request = scene(views=[view, ProviderView(id="b", endpoint="at-b", priority=-1)], health=first.health)
    request.start()
    assert request.asked == "b"


def test_who_waits_longest_gets_the_slot_and_nobody_pushes_in(scene: Any) -> None:
    view, (first,) = full(scene)
    second = scene(views=[view], health=first.health)
    third = scene(views=[view], health=first.health)
    assert second.start() == third.start() == Wait(30.0, slot=True)
    first.complete()
    newcomer = scene(views=[view], health=first.health)
    assert isinstance(newcomer.start(), Wait)
    assert isinstance(third.machine.woke(1000.0), Wait)
    assert isinstance(second.machine.woke(1000.0), Ask)


def test_who_leaves_the_line_keeps_no_slot(scene: Any) -> None:
    view, (first,) = full(scene)
    second = scene(views=[view], health=first.health)
    third = scene(views=[view], health=first.health)
    second.start()
    third.start()
    first.complete()
    second.machine.cancelled(1000.0)
    assert isinstance(third.machine.woke(1000.0), Ask)
    assert len(first.health.line) == 0


def linked(*models: str, bound: int | None, provider: int | None = None) -> ProviderView:
    links = {m: ProviderLink(model=m, remote_name="remote", max_parallel=bound if m == "m" else None) for m in models}
    return ProviderView(id="a", endpoint="at-a", max_parallel=provider, links=links, takes_any_model=False)


def test_a_links_bound_is_of_its_calls_alone(scene: Any) -> None:
    view = linked("m", "n", bound=1)
    first = scene(views=[view], needs=Needs(model="n"))
    first.start()
    second = scene(views=[view], needs=Needs(model="m"), health=first.health)
    assert isinstance(second.start(), Ask)
    third = scene(views=[view], needs=Needs(model="m"), health=first.health)
    assert third.start() == Wait(30.0, slot=True)
    assert [(step.state, step.reason) for step in third.plan] == [("full", "all 1 slots for m are taken")]
    assert isinstance(scene(views=[view], needs=Needs(model="n"), health=first.health).start(), Ask)
    second.complete()
    assert isinstance(third.machine.woke(1000.0), Ask)


def test_who_waits_for_a_links_slot_keeps_none_of_its_provider_from_others(scene: Any) -> None:
    view = linked("m", "n", bound=1, provider=2)
    first = scene(views=[view], needs=Needs(model="m"))
    first.start()
    waiting = scene(views=[view], needs=Needs(model="m"), health=first.health)
    assert waiting.start() == Wait(30.0, slot=True)
    other = scene(views=[view], needs=Needs(model="n"), health=first.health)
    assert isinstance(other.start(), Ask)
    first.complete()
    assert isinstance(waiting.machine.woke(1000.0), Ask)


def test_who_comes_to_wait_for_another_slot_lets_the_others_look_again(scene: Any) -> None:
    view = linked("m", "n", bound=1, provider=2)
    first = scene(views=[view], needs=Needs(model="m"))
    second = scene(views=[view], needs=Needs(model="n"), health=first.health)
    for running in (first, second):
        assert isinstance(running.start(), Ask)
    waiting = scene(views=[view], needs=Needs(model="m"), health=first.health)
    behind = scene(views=[view], needs=Needs(model="n"), health=first.health)
    assert waiting.start() == behind.start() == Wait(30.0, slot=True)
    second.complete()
    assert behind.machine.woke(1000.0) == Wait(30.0, slot=True)  # the free slot is kept for who came first …
    assert waiting.machine.woke(1000.0) == Wait(30.0, slot=True, moved=True)  # … who cannot use it
    assert isinstance(behind.machine.woke(1000.0), Ask)


def test_after_the_longest_wait_the_caller_is_told_to_come_back(scene: Any) -> None:
    view, (first,) = full(scene)
    request = scene(views=[view], health=first.health, max_wait=5.0)
    assert request.start() == Wait(5.0, slot=True)
    error = request.wake().error
    assert isinstance(error, Busy)
    assert error.retry_after == 1.0
    assert len(first.health.line) == 0


def test_the_wait_for_a_slot_ends_when_a_throttle_does(scene: Any) -> None:
    view, (first,) = full(scene)
    other = ProviderView(id="b", endpoint="at-b", priority=-1)
    throttled = scene(views=[other], health=first.health, max_attempts=1)
    throttled.start()
    throttled.fail(Failure.RATE_LIMIT, retry_after=10.0)
    request = scene(views=[view, other], health=first.health)
    assert request.start() == Wait(10.0, slot=True)
    request.wake()
    assert request.asked == "b"


def test_a_slot_is_waited_for_no_longer_than_the_total(scene: Any) -> None:
    view, (first,) = full(scene)
    request = scene(views=[view], health=first.health, total=4.0)
    assert request.start() == Wait(4.0, slot=True)
    assert isinstance(request.wake().error, DeadlineExceeded)


# Time


def test_each_candidate_without_life_gets_its_fair_share_of_the_total(scene: Any) -> None:
    request = scene("abc", total=9.0)
    request.start()
    for name in "ab":
        assert request.asked == name
        assert request.machine.deadline() == request.now + 3
        request.now += 3
        verdict = request.machine.silent(request.now)
        assert isinstance(verdict, Abandon)
        request.fail(verdict.error)
    assert request.asked == "c"
    assert request.machine.deadline() == 1009
    verdict = request.machine.silent(1009)
    assert isinstance(verdict, Abandon)
    assert isinstance(verdict.error, DeadlineExceeded)
    request.now = 1009
    error = request.fail(verdict.error).error
    assert isinstance(error, DeadlineExceeded)
    assert str(error).count("tried") == 1
    assert [attempt.failure for attempt in error.attempts] == ["timeout"] * 3
    assert len(error.__notes__) == 3


def test_the_callers_hurry_opens_no_breaker(scene: Any) -> None:
    health = Health()
    for _ in range(5):
        request = scene("ab", health=health, total=2.0)
        request.start()
        while not isinstance(request.action, Fail):
            request.now = request.machine.deadline()
            request.fail(request.machine.silent(request.now).error)
        assert request.now == 1002
    assert request.state("a") == "busy"


def test_who_lives_is_not_cut_before_the_total(scene: Any) -> None:
    request = scene("ab", total=10.0, stream=True)
    request.start()
    request.machine.life(1001)
    assert request.machine.deadline() == 1010


def test_a_wait_that_does_not_fit_the_total_is_skipped(scene: Any) -> None:
    request = scene("ab", total=0.2)
    request.start()
    request.fail(Failure.SERVER)
    assert request.asked == "b"


def test_when_the_total_is_up_nobody_else_is_asked(scene: Any) -> None:
    request = scene("ab", total=5.0)
    request.start()
    error = request.fail(Failure.CONNECT, after=5.0).error
    assert isinstance(error, DeadlineExceeded)
    assert "5.0 s" in str(error)


def test_when_the_total_is_up_after_a_wait_nobody_is_asked_again(scene: Any) -> None:
    request = scene("a", total=1.0)
    request.start()
    request.fail(Failure.SERVER)
    assert isinstance(request.machine.woke(1001.0).error, DeadlineExceeded)


def test_the_limits_of_the_call_hold_over_those_of_the_provider(scene: Any) -> None:
    request = scene("a", limits=DEFAULT_LIMITS.__class__(timeout=7.0))
    assert request.start().limits.timeout == 7.0
    assert request.action.limits.idle == DEFAULT_LIMITS.idle


# Streams


def test_the_preamble_is_held_back_until_the_first_meaningful_delta(scene: Any) -> None:
    request = scene("a", stream=True)
    request.start()
    assert request.machine.event(*ROLE, 1001) == []
    assert not request.machine.committed
    assert request.machine.event(*TEXT, 1002) == [ROLE[0], TEXT[0]]
    assert request.machine.committed
    assert request.machine.event(*TEXT, 1003) == [TEXT[0]]
    assert request.machine.event(*END, 1003) == [END[0]]
    assert isinstance(request.machine.ended(1004), Answer)
    assert request.trail == [("a", "ok")]


def test_a_failed_attempts_preamble_is_thrown_away(scene: Any) -> None:
    request = scene("ab", stream=True)
    request.start()
    request.machine.event(*ROLE, 1001)
    request.fail(Failure.QUOTA)
    assert request.machine.event(*TEXT, 1002) == [TEXT[0]]


@pytest.mark.parametrize(
    ("chunk", "count"), [(ROLE[0], PREAMBLE_EVENTS), (ChatChunk(b'{"id":"' + b"x" * 100 * 1024 + b'"}'), 2)]
)
def test_an_endless_preamble_is_malformed(chunk: ChatChunk, count: int, scene: Any) -> None:
    request = scene("a", stream=True)
    request.start()
    for _ in range(count):
        assert request.machine.event(chunk, Sign(), 1001) == []
    verdict = request.machine.event(chunk, Sign(), 1001)
    assert isinstance(verdict, Abandon)
    assert isinstance(verdict.error, MalformedAnswer)


@pytest.mark.parametrize("events", [[], [ROLE]])
def test_a_stream_without_content_is_malformed(events: list[Any], scene: Any) -> None:
    request = scene("a", stream=True)
    request.start()
    for event in events:
        request.machine.event(*event, 1001)
    assert isinstance(request.machine.ended(1002), Wait)
    assert request.trail == [("a", "malformed")]


def test_a_stream_that_ends_well_without_content_is_an_answer(scene: Any) -> None:
    request = scene("a", stream=True)
    request.start()
    request.machine.event(*END, 1001)
    assert isinstance(request.machine.ended(1002), Answer)
    assert request.machine.held() == [END[0]]


def test_a_stream_that_ends_without_a_finish_reason_is_truncated(scene: Any) -> None:
    request = scene("ab", stream=True)
    request.start()
    request.machine.event(*TEXT, 1001)
    error = request.machine.ended(1002).error
    assert isinstance(error, StreamInterrupted)
    assert error.failure == Failure.TRUNCATED
    assert request.health.in_flight == {}


ONE, OTHER = ((0, True),), ((1, True),)  # the end of the first and of the second choice


@pytest.mark.parametrize(
    ("ends", "begun", "whole"),
    [
        ((ONE, OTHER), (), True),
        ((OTHER, ONE), (0, 1), True),
        ((ONE,), (0, 1), False),
        ((ONE,), (), True),  # a backend that takes no notice of n
        ((), (0, 1), False),
    ],
    ids=["both", "both, begun before", "one of two begun", "the only one", "none"],
)
def test_an_answer_with_several_choices_ends_when_all_have_ended(
    ends: tuple[Any, ...], begun: tuple[int, ...], whole: bool, scene: Any
) -> None:
    alone = scene("a", stream=True, choices=2)
    alone.start()
    for index in begun:
        alone.machine.event(TEXT[0], Sign(meaningful=True, choices=((index, False),)), alone.now)
    for end in ends:
        alone.machine.event(TEXT[0], Sign(meaningful=True, finish="stop", choices=end), alone.now)
    if not alone.machine.committed:
        alone.machine.event(TEXT[0], Sign(meaningful=True), alone.now)
    action = alone.machine.ended(alone.now)
    assert isinstance(action, Answer) is whole
    assert alone.trail == [("a", "ok" if whole else "truncated")]


@pytest.mark.parametrize("ends", [1, 2])
def test_what_fails_after_the_end_of_one_choice_of_two_is_a_failure(ends: int, scene: Any) -> None:
    alone = scene("a", stream=True, choices=2)
    alone.start()
    for end in (ONE, OTHER)[:ends]:
        alone.machine.event(TEXT[0], Sign(meaningful=True, finish="stop", choices=end), alone.now)
    action = alone.fail(Failure.RESET)
    assert isinstance(action, Answer) is (ends == 2)


def test_what_fails_after_a_finish_reason_is_no_failure(scene: Any) -> None:
    request = scene("a", stream=True)
    request.start()
    request.machine.event(*TEXT, 1001)
    request.machine.event(*END, 1001)
    assert isinstance(request.fail(Failure.RESET), Answer)


@pytest.mark.parametrize(
    ("failure", "told"), [(Failure.RESET, "truncated"), (Failure.SERVER, "truncated"), (Failure.TIMEOUT, "stalled")]
)
def test_after_commit_nobody_else_is_asked(failure: Failure, told: str, scene: Any) -> None:
    request = scene("ab", stream=True)
    request.start()
    request.machine.event(*TEXT, 1001)
    error = request.fail(failure).error
    assert isinstance(error, StreamInterrupted)
    assert error.failure == told
    assert request.trail == [("a", told)]


def test_a_cut_stream_can_be_resumed_elsewhere(scene: Any) -> None:
    request = scene("ab", stream=True)
    request.start()
    request.machine.event(*TEXT, 1001)
    request.machine.ended(1002)
    action = request.machine.resume(1002)
    assert action.candidate.provider == "b"
    assert not request.machine.committed


def test_a_silent_stream_after_commit_stalls_and_a_slow_caller_is_no_silence(scene: Any) -> None:
    request = scene("a", stream=True)
    request.start()
    request.machine.life(1001)
    request.machine.event(*TEXT, 1001)
    assert request.machine.deadline() == 1061
    request.machine.listening(1200)
    assert request.machine.deadline() == 1260
    verdict = request.machine.silent(1260)
    assert isinstance(verdict, Abandon)
    assert verdict.error.failure == Failure.STALLED
    request.now = 1260
    request.fail(verdict.error)
    assert request.state("a") == "ready"


def test_the_caller_goes_away(scene: Any) -> None:
    request = scene("a")
    request.machine.cancelled(1000)
    request.start()
    request.machine.cancelled(1001)
    assert request.trail == [("a", "cancelled")]
    assert request.health.in_flight == {}
    assert request.state("a") == "ready"


# Checks


def checkable(scene: Any, health: Health | None = None, **policy: Any) -> Any:
    view = ProviderView(id="a", endpoint="at-a", free_check=True)
    return scene(views=[view, ProviderView(id="b", endpoint="at-b", priority=-1)], health=health, **policy)


def test_an_answered_check_makes_later_silent_checks_telling(scene: Any) -> None:
    request = checkable(scene)
    request.start()
    assert request.machine.checked(1000, None) is None
    request.machine.silent(1010)
    assert request.machine.checked(1010.1, True) is None
    assert request.machine.deadline() == pytest.approx(1020.1)
    request.machine.silent(1020.1)
    verdict = request.machine.checked(1023.1, None)
    assert isinstance(verdict, Abandon)
    assert verdict.error.failure == Failure.TIMEOUT
    request.now = 1023.1
    request.fail(verdict.error)
    assert request.asked == "b"


def test_an_answered_check_is_life_for_the_share_of_a_total(scene: Any) -> None:
    request = checkable(scene, total=40.0)
    request.start()
    request.machine.silent(1010)
    request.machine.checked(1011, True)
    assert request.machine.deadline() == 1021
    request.machine.silent(1021)
    request.machine.checked(1021, True)
    assert request.machine.deadline() == 1031


def test_a_check_that_comes_back_after_the_caller_left_changes_nothing(scene: Any) -> None:
    request = checkable(scene)
    request.start()
    request.machine.silent(1010)
    request.machine.cancelled(1010)
    assert request.machine.checked(1011, True) is None


# What is learnt on the way


def test_the_first_sign_of_life_ends_the_opening_of_an_endpoint(scene: Any) -> None:
    health = Health()
    first = scene("a", health=health)
    first.start()
    first.fail(Failure.CONNECT)
    trial = scene("a", health=health, now=1010.0)
    trial.start()
    assert trial.state("a") == "open"
    trial.machine.life(1010.0)
    assert trial.state("a") == "ready"


def test_any_answer_ends_a_row_of_timeouts(scene: Any) -> None:
    health = Health()
    for failure, status in [(Failure.TIMEOUT, None), (Failure.BAD_REQUEST, 400), (Failure.TIMEOUT, None)]:
        request = scene("a", health=health)
        request.start()
        request.fail(failure, status=status)
        assert request.state("a") == "ready"
    request = scene("a", health=health)
    request.start()
    request.fail(Failure.TIMEOUT)
    assert request.state("a") == "open"


def test_after_a_prompt_too_long_larger_windows_come_first(scene: Any) -> None:
    def view(id: str, priority: int, context: int | None) -> ProviderView:
        link = ProviderLink(model="m", remote_name="m", context_length=context)
        return ProviderView(id=id, endpoint=id, priority=priority, links={"m": link})

    views = [view("a", 9, 8000), view("b", 8, 4000), view("c", 7, None), view("d", 6, 32000), view("e", 5, 128000)]
    request = scene(views=views, needs=Needs(model="m"))
    request.start()
    asked = []
    while isinstance(request.action, Ask):
        asked.append(request.asked)
        request.fail(Failure.CONTEXT_LENGTH)
    assert asked == ["a", "e", "c", "d", "b"]


def test_nobody_configured_nobody_asked(scene: Any) -> None:
    request = scene(views=[ProviderView(id="a", enabled=False)])
    error = request.start().error
    assert isinstance(error, NoCandidates)
    assert error.skipped == request.plan.skipped
    assert str(error) == "every provider is disabled: `prouter provider enable a` lets it be asked"


def test_without_any_provider_the_message_says_so(scene: Any) -> None:
    assert str(scene("").start().error) == "no provider can be asked: none is configured"


def test_an_error_that_is_no_backends_is_taken_for_a_fault_of_the_plugin(scene: Any) -> None:
    request = scene("a")
    request.start()
    assert request.fail(ConfigError("the secret is gone")).error.failure == Failure.CRASHED
    assert request.state("a") == "flagged"


def test_a_busy_provider_is_asked_after_a_free_one_and_before_nobody(scene: Any) -> None:
    health = Health()
    first = scene("a", health=health)
    first.start()
    first.fail(Failure.BUSY)
    request = scene("ab", health=health)
    assert request.start().candidate.provider == "b"
    request.fail(Failure.AUTH)
    assert request.asked == "a"


def test_a_busy_provider_comes_before_the_fallback_model(scene: Any) -> None:
    health = Health()
    base = scene("a")
    links = {name: ProviderLink(model=name, remote_name=name) for name in "mn"}
    snapshot = Snapshot(
        providers=(
            ProviderView(id="a", endpoint="a", takes_any_model=False, links={"m": links["m"]}),
            ProviderView(id="b", endpoint="b", takes_any_model=False, links={"n": links["n"]}),
        ),
        models={"m": ModelView(id="m", fallbacks=("n",)), "n": ModelView(id="n")},
    )
    made = plan(Needs(model="m"), snapshot, health, now=base.now, at=datetime(2026, 1, 1, tzinfo=UTC))
    ticket = health.begin(made.candidates[0].key, base.now)
    health.failed(ticket, Effect.BUSY, base.now, reason="busy")
    machine = Failover(made, Policy(), health=health, budget=RetryBudget(), now=base.now, rng=base.rng)
    assert [c.provider for c in made.candidates] == ["a", "b"]
    action = machine.start(base.now)
    assert isinstance(action, Ask)
    assert action.candidate.provider == "a"


def test_an_error_keeps_what_it_knows(scene: Any) -> None:
    request = scene("a")
    request.start()
    error = RateLimited(
        "slow down", provider="elsewhere", model="theirs", status=429, retry_after=9.0, detail="HTTP 429"
    )
    told = request.fail(error).error
    assert isinstance(told, ProviderError)
    assert (told.provider, told.model) == ("elsewhere", "theirs")
    (attempt,) = told.attempts
    assert (attempt.status, attempt.detail, attempt.retry_after) == (429, "HTTP 429", 9.0)


# Any script of outcomes

OUTCOME = st.sampled_from([*ROWS, "answer", "cancel", "text then cut"])


@given(
    script=st.lists(st.tuples(st.floats(0, 20), OUTCOME, st.none() | st.floats(0, 10)), max_size=20),
    names=st.sampled_from(["a", "ab", "abcdefgh"]),
    total=st.none() | st.floats(1, 60),
    most=st.integers(1, 6),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_a_request_is_a_legal_walk_of_its_plan_and_ends(
    scene: Any, script: list[tuple[float, Any, float | None]], names: str, total: float | None, most: int
) -> None:
    request = scene(names, total=total, max_attempts=most, stream=True)
    machine, outcomes = request.machine, iter(script)
    request.start()
    while isinstance(request.action, Ask | Wait):
        if isinstance(request.action, Wait):
            assert total is None or request.now + request.action.seconds <= 1000 + total
            request.wake()
            continue
        assert request.health.in_flight == {request.asked: 1}
        pause, outcome, retry_after = next(outcomes, (1.0, "answer", None))
        request.now = min(request.now + pause, machine.deadline())
        if request.now == machine.deadline():
            verdict = machine.silent(request.now)
            assert isinstance(verdict, Abandon)
            request.fail(verdict.error)
        elif outcome == "answer":
            request.complete()
        elif outcome == "cancel":
            machine.cancelled(request.now)
            break
        elif outcome == "text then cut":
            machine.event(*TEXT, request.now)
            request.action = machine.ended(request.now)
        else:
            request.fail(outcome, retry_after=retry_after)
    assert len(machine.attempts) <= most
    assert request.health.in_flight == {}
    assert len(request.health.line) == 0
    assert total is None or request.now <= 1000 + total
    asked = [provider for provider, _ in groupby(attempt.provider for attempt in machine.attempts)]
    assert asked == sorted(set(asked))
    for _, group in groupby(machine.attempts, key=lambda attempt: attempt.provider):
        failures = [attempt.failure for attempt in group]
        for retry, failure in enumerate(failures[:-1], 1):
            assert failure is not None
            row = TABLE[failure]
            assert retry <= (row.again_alone if len(names) == 1 else row.again)


CHATS = frozenset({Capability.CHAT})
UNWELL = {
    "busy": Effect.BUSY,
    "open": Effect.ENDPOINT_DOWN,
    "throttled": Effect.QUOTA,
    "flagged": Effect.AUTH,
    "model": Effect.MODEL_MISSING,
}


@given(
    standing=st.lists(
        st.tuples(st.sampled_from(["ready", "doubted", *UNWELL]), st.booleans(), st.integers(0, 2)),
        min_size=1,
        max_size=5,
    ),
    pinned=st.none() | st.integers(0, 4),
    active=st.none() | st.integers(0, 4),
)
def test_who_is_asked_is_who_the_plan_names_in_its_order(
    standing: list[tuple[str, bool, int]], pinned: int | None, active: int | None
) -> None:
    health, now = Health(rng=Random(1)), 1000.0
    names = [f"p{place}" for place in range(len(standing))]
    link = ProviderLink(model="m", remote_name="m", capabilities=CHATS)
    views = [
        ProviderView(id=name, endpoint=f"at-{name}", priority=priority, links={"m": link} if linked else {})
        for name, (_, linked, priority) in zip(names, standing, strict=True)
    ]
    snapshot = Snapshot(providers=tuple(views), active=None if active is None else (names * 5)[active])
    provider = None if pinned is None else (names * 5)[pinned]
    needs = Needs(model="m", provider=provider, fallback=True, capabilities=CHATS)
    for name, (state, _, _) in zip(names, standing, strict=True):
        key = Key(name, f"at-{name}", "m")
        if state in UNWELL:
            health.failed(health.begin(key, now), UNWELL[state], now, reason=state)
    health.hear(
        [
            Note(scope="provider", subject=name, state="flagged", until=now + 60, at=now)
            for name, (state, _, _) in zip(names, standing, strict=True)
            if state == "doubted"
        ]
    )
    made = plan(needs, snapshot, health, now=now, at=datetime(2026, 1, 1, tzinfo=UTC))
    well = [c.provider for c in made.candidates if c.state in ("ready", "busy", "doubted")]
    last = [c.provider for c in made.candidates if c.state in ("open", "flagged")][:2]
    machine = Failover(made, Policy(), health=health, budget=RetryBudget(), now=now, rng=Random(1))
    action = machine.start(now)
    while not isinstance(action, Fail):
        assert isinstance(action, Ask)
        action = machine.failed(QuotaExceeded("no money"), now)
    assert [attempt.provider for attempt in machine.attempts] == well + last


@pytest.mark.parametrize("failure", ["rejected", "late", "nobody"])
def test_every_skip_is_on_the_error_whatever_it_is(failure: str, scene: Any) -> None:
    views = [ProviderView(id="a", endpoint="a"), ProviderView(id="b", endpoint="b", enabled=False)]
    request = scene(views=views[failure == "nobody" :], total=5)
    action = request.start()
    if failure == "rejected":
        action = request.fail(Failure.BAD_REQUEST)
    elif failure == "late":
        request.now += 5
        action = request.fail(request.machine.silent(request.now).error)
    assert isinstance(action, Fail)
    assert [(skip.provider, skip.reason) for skip in action.error.skipped] == [("b", "disabled")]
    assert len(action.error.attempts) == (failure != "nobody")


def test_a_prompt_that_is_known_to_be_too_long_for_everybody_is_the_callers_fault(scene: Any) -> None:
    link = ProviderLink(model="m", remote_name="m", context_length=100, capabilities=CHATS)
    views = [ProviderView(id="a", endpoint="a", takes_any_model=False, links={"m": link})]
    action = scene(views=views, needs=Needs(model="m", capabilities=CHATS, prompt_floor=101)).start()
    assert action.error.failure is Failure.CONTEXT_LENGTH
    assert str(action.error) == (
        "the prompt is too long for everybody (a: takes 100 tokens, and the prompt has at least 101)"
    )
    assert [skip.provider for skip in action.error.skipped] == ["a"]
    off = [ProviderView(id="a", endpoint="a", enabled=False, takes_any_model=False, links={"m": link})]
    action = scene(views=off, needs=Needs(model="m", capabilities=CHATS, prompt_floor=101)).start()
    assert isinstance(action.error, NoCandidates)  # it is not the length alone
