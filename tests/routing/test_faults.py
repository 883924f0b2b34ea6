"""Every fault of a backend over real sockets, in every company, on both event loops and the blocking face.

What is asserted: the attempts in their order with their classes, what the caller got, and what health remembers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest

from provider_router import AsyncRouter, ProviderError, Router, StreamInterrupted
from provider_router.backends import FAULTS, Backend, Fault, answers, status
from provider_router.errors import Failure
from provider_router.limits import RATE_LIMIT_WAIT, RETRY_WAIT, SERVER_FAULTS_IN_A_ROW, TIMEOUTS_IN_A_ROW
from provider_router.routing.effect import Effect
from provider_router.routing.report import ProviderHealth
from provider_router.routing.table import TABLE
from provider_router.trail import Attempt

pytestmark = pytest.mark.no_cover  # much traffic; quicker tests cover what it runs

# A fault of LM Studio's own dialect means its class to that type only; its plugin tests it.
FOR_ALL = [fault for fault in FAULTS.values() if fault.available and fault.dialect == "openai"]
# Each waits a second or two, and shows with another status what the faults named 429-… show: left to `make soak`,
# where it is not on a plain call.
REPEATED = [fault.name for fault in FOR_ALL if "-retry-after" in fault.name and not fault.name.startswith("429")]


def once(faults: list[Fault]) -> list[Any]:
    return [pytest.param(fault, marks=pytest.mark.soak) if fault.name in REPEATED else fault for fault in faults]


PLAIN = [fault for fault in FOR_ALL if fault.plain is not None]
STREAM = [fault for fault in FOR_ALL if fault.stream is not None]
# The short run has the company that shows most; `make soak` has all of it.
COMPANY = (
    "healthy second",
    pytest.param("alone", marks=pytest.mark.soak),
    pytest.param("failing second", marks=pytest.mark.soak),
)
# On trio everything goes through stock httpx; on asyncio `make soak` sends it there too.
TRANSPORTS = ("its own", pytest.param("httpx", marks=pytest.mark.soak))
# Ten times the limits of whoever is hasty, in seconds.
LONGEST = 5.0
# Two readings of the clock, in seconds.
CLOCK = 0.001


@pytest.fixture(autouse=True, params=TRANSPORTS)
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "httpx":
        monkeypatch.setenv("PROUTER_TRANSPORT", "httpx")


def named(fault: Fault) -> str:
    return fault.name


def classes(fault: Fault, expected: str) -> tuple[Failure, ...]:
    """The classes that a fault may have.

    httpx tells bytes that are no HTTP, and end before a whole head, as if none had come.
    """
    return (Failure(expected), Failure.RESET) if fault.name == "not-http" else (Failure(expected),)


@contextmanager
def company(fault: Fault, expected: str | None, others: str, quick: Any, hasty: Any) -> Iterator[list[Any]]:
    """A provider over a backend with this fault, and whoever is behind it."""
    second = status(401) if others == "failing second" else answers("from the second")
    of_type, patience = quick, {}
    if expected == "connect":
        patience = {"connect_timeout": 0.5}
    elif expected == "stalled":  # after its first words, for which it has time
        of_type, patience = hasty, {"connect_timeout": 30.0, "first_token_timeout": 30.0}
    elif expected == "timeout":
        of_type = hasty
    elif expected == "busy" and fault.name != "503-loading":  # which says so at once; a check needs its time
        of_type, patience = hasty, {"timeout": 0.8, "first_token_timeout": 0.8, "check_after": 0.05}
    with fault.backend() as bad, Backend(second) as other:
        providers = [of_type("first", base_url=bad.base_url, max_answer_bytes=1024 * 1024, **patience)]
        if others != "alone":
            providers.append(quick("second", base_url=other.base_url, default_model="m"))
        yield providers


def state_after(failures: list[Failure]) -> str:
    """How a provider stands after these attempts, one after another."""
    if len([failure for failure in failures if TABLE[failure].effect is Effect.MODEL_FAULT]) >= SERVER_FAULTS_IN_A_ROW:
        return "open"
    match TABLE[failures[-1]].effect:
        case Effect.ENDPOINT_DOWN:
            return "open"
        case Effect.ENDPOINT_FAULT:
            return "open" if len(failures) >= TIMEOUTS_IN_A_ROW else "ready"
        case Effect.THROTTLE | Effect.QUOTA:
            return "throttled"
        case Effect.AUTH | Effect.MODEL_MISSING:
            return "flagged"
        case Effect.BUSY:
            return "busy"
        case _:
            return "ready"


def check_health(health: list[ProviderHealth], attempts: tuple[Attempt, ...]) -> None:
    """What must be remembered of everybody, and that nothing is left in flight."""
    for state in health:
        assert state.in_flight == 0
        own = [attempt for attempt in attempts if attempt.provider == state.provider]
        failures = [attempt.failure for attempt in own if attempt.failure is not None]
        expected = state_after(failures) if failures and own[-1].failure is not None else "ready"
        assert (state.provider, state.state) == (state.provider, expected)
        assert bool(state.reason) == (expected != "ready")
        assert (state.until is not None) == (expected != "ready")


def calls_of(fault: Fault, failure: Failure, others: str) -> int:
    """How many calls the first provider gets, by the table."""
    row, alone = TABLE[failure], others == "alone"
    if failure is not Failure.RATE_LIMIT:
        return 1 + (row.again_alone if alone else row.again)
    if "-retry-after" in fault.name:
        return 1 if fault.name.endswith("-long") else 2
    return 2 if alone else 1  # without the header only if nobody else is left


def course(fault: Fault, expected: str, others: str) -> list[tuple[str, Failure | None]]:
    """All attempts, by the table."""
    if expected == "ok":
        return [("first", None)]
    failure = Failure(expected)
    first: list[tuple[str, Failure | None]] = [("first", failure)] * calls_of(fault, failure, others)
    if others == "alone" or not TABLE[failure].next:
        return first
    return [*first, ("second", None if others == "healthy second" else Failure.AUTH)]


def pause_before(retry: int, failure: Failure) -> float:
    """The shortest wait before the same provider is asked again, in seconds."""
    if failure is Failure.RESET and retry == 1:
        return 0.0
    return RATE_LIMIT_WAIT[0] if failure is Failure.RATE_LIMIT else RETRY_WAIT[0] * 2 ** (retry - 1)


def check(fault: Fault, expected: str, others: str, attempts: tuple[Attempt, ...], raised: Exception | None) -> None:
    """What must hold of the attempts, of their order and of what the caller got, by the table."""
    possible = () if expected == "ok" else classes(fault, expected)
    alike = dict.fromkeys(possible, possible[0] if possible else None)
    came = [(attempt.provider, alike.get(attempt.failure, attempt.failure)) for attempt in attempts]
    assert came == course(fault, expected, others)
    assert all(attempt.duration < LONGEST for attempt in attempts)
    for number, (before, after) in enumerate(pairwise(attempts), 1):
        pause = after.started - before.started - before.duration
        assert before.failure is not None
        assert pause >= (pause_before(number, before.failure) if before.provider == after.provider else -CLOCK)
    last = attempts[-1].failure
    if last is None:
        assert raised is None
        return
    assert isinstance(raised, ProviderError)
    decisive = attempts[0].failure if TABLE[Failure(expected)].callers_fault else last
    assert raised.failure is decisive
    assert raised.attempts == attempts
    assert raised.__notes__ == [str(attempt) for attempt in attempts]


@pytest.mark.parametrize("others", COMPANY)
@pytest.mark.parametrize("fault", PLAIN, ids=named)
async def test_a_plain_call_fares_as_the_table_says(fault: Fault, others: str, quick: Any, hasty: Any) -> None:
    assert fault.plain is not None
    with company(fault, fault.plain, others, quick, hasty) as providers:
        async with AsyncRouter(providers=providers, seed=1) as router:
            raised: ProviderError | None = None
            try:
                attempts = (await router.chat("hi")).attempts
            except ProviderError as error:
                raised, attempts = error, error.attempts
            check(fault, fault.plain, others, attempts, raised)
            check_health(await router.health(), attempts)


@pytest.mark.parametrize("others", COMPANY)
@pytest.mark.parametrize("fault", once(STREAM), ids=named)
async def test_a_stream_fares_as_the_table_says(fault: Fault, others: str, quick: Any, hasty: Any) -> None:
    assert fault.stream is not None
    with company(fault, fault.stream, others, quick, hasty) as providers:
        async with AsyncRouter(providers=providers, seed=1) as router:
            raised: ProviderError | None = None
            stream = router.stream("hi")
            try:
                async with stream:
                    async for _ in stream:
                        pass
                attempts = stream.attempts
            except ProviderError as error:
                raised, attempts = error, error.attempts
            check(fault, fault.stream, others, attempts, raised)
            if isinstance(raised, StreamInterrupted):
                assert raised.text == stream.text
                assert bool(raised.text) == (fault.name != "tool-call-cut")
            check_health(await router.health(), attempts)


@pytest.mark.parametrize("others", COMPANY)
@pytest.mark.parametrize("fault", once([fault for fault in PLAIN if "date" not in fault.name]), ids=named)
def test_the_blocking_face_fares_the_same(fault: Fault, others: str, quick: Any, hasty: Any) -> None:
    with (
        company(fault, fault.plain, others, quick, hasty) as providers,
        Router(providers=providers, seed=1) as router,
    ):
        raised: ProviderError | None = None
        try:
            attempts = router.chat("hi").attempts
        except ProviderError as error:
            raised, attempts = error, error.attempts
        assert fault.plain is not None
        check(fault, fault.plain, others, attempts, raised)
        check_health(router.health(), attempts)


@pytest.mark.soak
@pytest.mark.parametrize("others", COMPANY)
@pytest.mark.parametrize("fault", [fault for fault in STREAM if "date" not in fault.name], ids=named)
def test_the_blocking_face_streams_the_same(fault: Fault, others: str, quick: Any, hasty: Any) -> None:
    with (
        company(fault, fault.stream, others, quick, hasty) as providers,
        Router(providers=providers, seed=1) as router,
    ):
        raised: ProviderError | None = None
        try:
            with router.stream("hi") as stream:
                for _ in stream:
                    pass
            attempts = stream.attempts
        except ProviderError as error:
            raised, attempts = error, error.attempts
        assert fault.stream is not None
        check(fault, fault.stream, others, attempts, raised)
        check_health(router.health(), attempts)
