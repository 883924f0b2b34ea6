"""How long an attempt may be silent, and what its silence means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_router.errors import Busy, Failure, ProviderTimeout, StreamInterrupted
from provider_router.limits import Limits
from provider_router.routing.actions import Abandon, Check
from provider_router.routing.candidate import Candidate
from provider_router.routing.silence import Silence
from provider_router.routing.snapshot import ProviderView

LIMITS = Limits(timeout=600.0, connect=5.0, first_token=60.0, idle=20.0, check_after=10.0)


def silence(
    *,
    stream: bool = False,
    check: bool = False,
    share: float | None = None,
    now: float = 100.0,
    limits: Limits = LIMITS,
    check_first: bool = False,
) -> Silence:
    candidate = Candidate(provider="a", model=None, asked=None, view=ProviderView(id="a", free_check=check))
    return Silence(candidate, limits, stream=stream, share=share, now=now, check_first=check_first)


def error_at(watched: Silence, now: float, *, committed: bool = False) -> Any:
    step = watched.due(now, committed=committed)
    assert isinstance(step, Abandon)
    return step.error


def test_a_plain_call_has_its_whole_limit_from_when_it_is_sent() -> None:
    watched = silence()
    assert watched.deadline(committed=False) == 705
    watched.sent(102)
    watched.sent(104)
    assert watched.deadline(committed=False) == 702
    watched.life(300)
    assert watched.deadline(committed=False) == 702
    assert watched.due(701, committed=False) is None
    assert isinstance(error_at(watched, 702), ProviderTimeout)


def test_a_stream_has_its_limit_anew_with_each_sign_of_life() -> None:
    watched = silence(stream=True)
    assert watched.deadline(committed=False) == 165
    watched.sent(103)
    assert watched.deadline(committed=False) == 163
    for now in (160, 219, 270):
        watched.life(now)
        assert watched.deadline(committed=False) == now + 60
    assert str(error_at(watched, 330)) == "a did not answer within 60 s"


def test_after_commit_the_idle_limit_holds_and_three_times_that_while_it_works() -> None:
    watched = silence(stream=True, check=True, share=150.0)
    watched.life(101)
    assert watched.deadline(committed=True) == 121
    watched.working = True
    assert watched.deadline(committed=True) == 161
    assert watched.due(160, committed=True) is None
    error = error_at(watched, 161, committed=True)
    assert isinstance(error, StreamInterrupted)
    assert error.failure == Failure.STALLED


def test_time_that_the_caller_takes_is_no_silence() -> None:
    watched = silence(stream=True)
    watched.life(101)
    watched.listening(500)
    assert watched.deadline(committed=True) == 520
    watched.listening(400)
    assert watched.deadline(committed=True) == 520


def test_a_silent_call_is_checked_after_ten_seconds_and_every_ten_again() -> None:
    watched = silence(check=True)
    watched.sent(101)
    assert watched.deadline(committed=False) == 111
    assert watched.due(110, committed=False) is None
    step = watched.due(111, committed=False)
    assert isinstance(step, Check)
    assert step.seconds == 3
    assert watched.deadline(committed=False) == 701
    assert watched.due(112, committed=False) is None
    assert watched.checked(111.5, True, telling=True) is None
    assert watched.deadline(committed=False) == 121.5


def test_beside_the_check_that_comes_first_no_other_is_asked() -> None:
    watched = silence(check=True, check_first=True, limits=Limits(connect=5, timeout=600, check_after=1))
    assert watched.deadline(committed=False) == 705  # of the call itself
    assert watched.due(101, committed=False) is None
    watched.passed_check(102.5)
    assert watched.deadline(committed=False) == 103.5
    watched.sent(103)
    assert watched.due(103.5, committed=False) is None
    assert isinstance(watched.due(104, committed=False), Check)


def test_silent_to_the_limit_with_an_answered_check_is_busy() -> None:
    watched = silence(check=True)
    watched.sent(100)
    watched.due(110, committed=False)
    watched.checked(110, True, telling=True)
    assert isinstance(error_at(watched, 700), Busy)


def test_an_answered_check_says_nothing_after_the_next_sign_of_life() -> None:
    watched = silence(stream=True, check=True)
    watched.due(110, committed=False)
    watched.checked(110, True, telling=True)
    watched.life(115)
    assert isinstance(error_at(watched, 175), ProviderTimeout)


@pytest.mark.parametrize(
    ("answered", "telling", "took", "dead"),
    [
        (False, False, 0.0, True),
        (False, True, 0.0, True),
        (None, True, 3.0, True),
        (None, False, 3.0, False),
        (None, True, 1.0, False),  # the limit broke it off
        (None, True, 9.0, False),  # our own process stood still
        (True, True, 0.0, False),
    ],
)
def test_what_a_check_says(answered: bool | None, telling: bool, took: float, dead: bool) -> None:
    watched = silence(check=True)
    watched.due(110, committed=False)
    verdict = watched.checked(110 + took, answered, telling=telling)
    assert (verdict is not None) == dead
    if verdict is not None:
        assert isinstance(verdict.error, ProviderTimeout)
        assert verdict.error.detail == "dead"


def test_a_byte_that_comes_during_a_check_outweighs_it() -> None:
    watched = silence(stream=True, check=True)
    watched.due(110, committed=False)
    watched.life(111)
    assert watched.checked(112, False, telling=True) is None
    assert watched.deadline(committed=False) == 121


def test_a_check_that_was_broken_off_does_not_unsay_the_one_before() -> None:
    watched = silence(stream=True, check=True)
    watched.due(110, committed=False)
    watched.checked(110, True, telling=True)
    watched.due(120, committed=False)
    watched.checked(120.5, None, telling=True)
    assert isinstance(error_at(watched, 165), Busy)


def test_without_life_a_share_of_the_total_is_all_it_gets() -> None:
    watched = silence(share=104.0)
    assert watched.deadline(committed=False) == 104
    assert str(error_at(watched, 104)) == "a did not answer within 4.0 s, its share of the time"
    assert watched.cut_short


@pytest.mark.parametrize("sign", ["byte", "check"])
def test_a_share_does_not_cut_who_lives(sign: str) -> None:
    watched = silence(check=True, share=112.0)
    if sign == "byte":
        watched.life(103)
    else:
        watched.due(110, committed=False)
        watched.checked(110, True, telling=True)
    assert watched.due(112, committed=False) is None
    assert not watched.cut_short


EVENTS = st.sampled_from(["sent", "life", "check good", "check bad", "check silent", "wait"])


@given(
    st.lists(st.tuples(st.floats(0, 30), EVENTS), max_size=30),
    st.booleans(),
    st.booleans(),
    st.none() | st.floats(1, 200),
)
def test_silence_always_comes_to_an_end_and_never_before_a_deadline(
    events: list[tuple[float, str]], stream: bool, check: bool, share: float | None
) -> None:
    now = 100.0
    watched = silence(stream=stream, check=check, share=None if share is None else now + share)
    for pause, event in events:
        moment = now + pause
        if moment < watched.deadline(committed=False):
            assert watched.due(moment, committed=False) is None
        now = moment
        if event == "sent":
            watched.sent(now)
        elif event == "life":
            watched.life(now)
        elif event.startswith("check"):
            answered = {"check good": True, "check bad": False, "check silent": None}[event]
            watched.checked(now, answered, telling=True)
    checks = 0
    while not isinstance(step := watched.due(now, committed=False), Abandon):
        if isinstance(step, Check):
            checks += 1
            watched.checked(now, True, telling=True)
        else:
            assert watched.deadline(committed=False) > now
            now = watched.deadline(committed=False)
    assert checks <= 80
