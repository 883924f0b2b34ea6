"""The exception tree is the one that is drawn, and its records read well."""

from __future__ import annotations

import copy
import pickle
import re
from datetime import UTC, datetime

import pytest

from provider_router import errors
from provider_router.errors import (
    DeadlineExceeded,
    Failure,
    InvalidConfig,
    NoCandidates,
    ProviderError,
    ProviderRouterError,
    RateLimited,
    StreamInterrupted,
    error_class,
)
from provider_router.trail import Attempt, Skipped, duration_text, trail_text

_TREE = (errors.__doc__ or "").partition("Messages are for")[0]
_CLASSES = {
    name: value for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)
}


def _drawn() -> dict[str, str]:
    """Each class of the drawing with the one it hangs under."""
    parents: dict[str, str] = {}
    open_branches: list[tuple[int, str]] = []
    for line in _TREE.splitlines():
        if "(one subclass" in line:
            continue
        names = [(match.start(), match[0]) for match in re.finditer(r"\b[A-Z]\w+", line)]
        names = [(column, name) for column, name in names if name in _CLASSES]
        if not names:
            continue
        column, first = names[0]
        while open_branches and open_branches[-1][0] >= column:
            open_branches.pop()
        for _, name in names:
            if open_branches:
                parents[name] = open_branches[-1][1]
        open_branches.append((column, first))
    return parents


def test_the_tree_in_the_docstring_is_the_real_tree() -> None:
    real = {name: value.__bases__[0].__name__ for name, value in _CLASSES.items() if value is not ProviderRouterError}
    assert real == _drawn()


def test_every_failure_class_has_its_exception() -> None:
    after_commit = {Failure.TRUNCATED, Failure.STALLED, Failure.CANCELLED}
    for failure in Failure:
        if failure in after_commit:
            with pytest.raises(KeyError):
                error_class(failure)
        else:
            assert failure == error_class(failure)("it failed").failure


def test_the_drawing_names_the_failure_class_of_every_exception() -> None:
    for name, value in _CLASSES.items():
        if value in (ProviderError, StreamInterrupted) or not issubclass(value, ProviderError):
            continue
        assert re.search(rf"{name}\s+{value.failure}\b", _TREE), name


@pytest.mark.parametrize("failure", [Failure.TRUNCATED, Failure.STALLED])
def test_an_interrupted_stream_keeps_its_text_and_says_how_it_broke_off(failure: Failure) -> None:
    error = StreamInterrupted("desk fell silent", failure=failure, text="Hel", provider="desk")
    assert (failure, "Hel", "desk") == (error.failure, error.text, error.provider)
    assert failure is not Failure.STALLED or StreamInterrupted.failure is Failure.TRUNCATED


@pytest.mark.parametrize(
    "error",
    [
        RateLimited("desk is throttled", provider="desk", model="m", status=429, code="x", retry_after=2.5),
        StreamInterrupted("cut", failure=Failure.STALLED, text="Hel"),
        InvalidConfig("desk cannot be used", ["baseURL: is missing"]),
        NoCandidates("nobody", skipped=[Skipped(provider="desk", reason="disabled")], retry_after=3.0),
        DeadlineExceeded("late", attempts=[Attempt(provider="a", model=None, started=0, duration=1)]),
    ],
)
def test_errors_cross_processes_whole(error: ProviderRouterError) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(error), str(error), vars(error)) == (type(twin), str(twin), vars(twin))


def test_the_message_stays_apart_from_the_notes() -> None:
    error = RateLimited("desk is throttled")
    error.add_note("desk: HTTP 429, 2 ms")
    assert "desk is throttled" == error.message == str(error)


def test_a_faulty_configuration_lists_every_problem() -> None:
    error = InvalidConfig("desk cannot be used:", ["baseURL: is missing", "timeout: 20 is too little"])
    assert "desk cannot be used:\n  - baseURL: is missing\n  - timeout: 20 is too little" == str(error)
    assert "odd" == str(InvalidConfig("odd"))


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0.0, "0 ms"),
        (0.0021, "2 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (1.34, "1.3 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (75, "75 s"),
    ],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert text == duration_text(seconds)


def test_the_trail_is_one_line() -> None:
    attempts = [
        Attempt(provider="desk", model="m", started=0.0, duration=0.002, failure=Failure.CONNECT, detail="refused"),
        Attempt(provider="attic", model="m", started=0.1, duration=0.5, failure=Failure.BUSY),
        Attempt(provider="loft", model="m", started=0.6, duration=1.34),
    ]
    assert "desk: refused, 2 ms → attic: busy, 500 ms → loft: ok, 1.3 s" == trail_text(attempts)
    assert "" == trail_text(())


def test_a_skip_says_who_and_why() -> None:
    skipped = Skipped(provider="desk", reason="disabled", until=datetime(2026, 1, 1, tzinfo=UTC))
    assert "desk: skipped, disabled" == str(skipped)
