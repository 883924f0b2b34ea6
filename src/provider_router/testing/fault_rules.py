"""The rules of failures: every fault of `provider_router.backends.FAULTS` becomes the error that fits."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from datetime import timedelta
from typing import Final, get_args

import anyio
import pytest
from attrs import frozen

from provider_router import AsyncRouter
from provider_router.backends import FAULTS, Fault, Reply, Wire, oversized, silent, status
from provider_router.backends.faults import Outcome
from provider_router.plugin import Failure, Provider, ProviderError
from provider_router.testing.asking import (
    MODEL,
    PATIENT,
    QUESTION,
    WAYS,
    attempt,
    failure_of,
    request,
    seen,
    told,
)
from provider_router.testing.fakes import Fake
from provider_router.testing.fixtures import Make, ProviderFixtures
from provider_router.testing.rules import Keeps, rule

SILENCE: Final = 0.15  # seconds, of those who have to notice it

# What a fault of streams comes to where whole answers are put together from a stream.
_PUT_TOGETHER: Final[Mapping[str, Outcome]] = {"truncated": "malformed", "stalled": "timeout"}


@frozen
class Seen:
    """What came of a call: the failure's class, or `ok`, and the error."""

    outcome: str
    error: ProviderError | None = None

    def __str__(self) -> str:
        return f"{self.outcome}: {self.error}" if self.error else self.outcome


@frozen
class Trial:
    """A fault, and what a chat and a stream have to come to; None where it says nothing of one."""

    fault: Fault
    chat: Outcome | None
    stream: Outcome | None

    async def run(self, fake: Fake, make: Make) -> AsyncGenerator[str]:
        """What does not come to what it has to, each in a sentence."""
        backend = fake.fresh()
        backend.scheme, backend.greeting = self.fault.scheme, self.fault.greeting
        with backend:
            self.fault.apply(backend)
            for way, outcome in (("chat", self.chat), ("stream", self.stream)):
                if outcome is not None:
                    provider = make("desk", backend, **_patience(self.fault, outcome))
                    came = await _asked(provider, way)
                    if came.outcome == outcome == "ok":  # dead-when-reused, and its like
                        came = await _asked(provider, way)
                    await provider.aclose()
                    allowed = _allowed(self.fault, outcome)
                    what = f"{self.fault.name} ({self.fault.says}) {way}() came to {came}"
                    if came.outcome not in allowed:
                        yield f"{what}; it has to come to {' or '.join(allowed)}"
                    elif came.error is not None and came.error.provider != "desk":
                        yield f"{what}; the error names {came.error.provider!r} as its provider"


class FaultRules(ProviderFixtures):
    """What becomes of a fault."""

    @rule("fault-has-its-class")
    @pytest.mark.parametrize("outcome", get_args(Outcome))
    async def test_faults_come_to(self, outcome: str, fake: Fake, make: Make, keeps: Keeps) -> None:
        trials = [trial for trial in self._trials(fake) if outcome == (trial.chat or trial.stream)]
        if not trials:
            pytest.skip(f"{keeps.rule}: {fake.dialect} has no fault that comes to {outcome}")
        wrong: list[str] = []

        async def run(trial: Trial) -> None:
            wrong.extend([sentence async for sentence in trial.run(fake, make)])

        async with anyio.create_task_group() as tasks:
            for trial in trials:
                tasks.start_soon(run, trial)
        keeps.holds(not wrong, "\n                ".join(wrong))

    def _trials(self, fake: Fake) -> Iterator[Trial]:
        """Every fault that the dialect can have, and what a chat and a stream have to come to."""
        for fault in FAULTS.values():
            lacking = fault.needs & fake.lacks
            foreign = fault.dialect not in ("openai", fake.dialect)
            elsewhere = Wire.HTTP in fake.lacks and (fault.scheme != "http" or fault.greeting)
            if not fault.available or fault.name in self.exempt or lacking or foreign or elsewhere:
                continue
            meant = self.means.get(fault.name) or fake.means.get(fault.name)
            chat, stream = fault.plain, fault.stream
            if Wire.PLAIN in fake.lacks and stream is not None:
                chat = _PUT_TOGETHER.get(stream, stream)
            yield Trial(fault, chat and (meant or chat), stream and (meant or stream))

    # What an error tells

    @rule("error-tells", Wire.HTTP)
    @pytest.mark.parametrize("way", WAYS)
    async def test_an_error_tells_what_the_backend_said(
        self, way: str, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        backend.script(status(500, "The pelican is asleep."))
        error = (await _direct(provider, way)).error
        if error is None:
            keeps.broken("no error for the status 500")
        keeps.same(500, error.status, "its status")
        keeps.same("desk", error.provider, "its provider")
        keeps.holds("The pelican is asleep." in str(error), f"it does not say what the backend said: {error}")

    @rule("error-tells", Wire.HTTP, Wire.MODEL)
    async def test_an_error_names_the_model(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.script(status(404, f"There is no {MODEL}."))
        error = await failure_of(lambda: provider.chat(request()))
        keeps.same(MODEL, error.model if error else None, "the model that the error names")

    @rule("retry-after", Wire.HTTP)
    @pytest.mark.parametrize(
        ("reply", "seconds"),
        [
            (status(429, retry_after=7), 7.0),
            (status(429, retry_after=0.5), 0.5),
            (status(429, retry_after_ms=1500), 1.5),
            (status(503, retry_after=20), 20.0),
            (status(429, retry_after=timedelta(seconds=30)), 30.0),
            (status(429), None),
        ],
        ids=["whole", "decimal", "milliseconds", "503", "date", "none"],
    )
    async def test_retry_after_becomes_seconds(
        self, reply: Reply, seconds: float | None, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        backend.script(reply)
        error = await failure_of(lambda: provider.chat(request()))
        found = error.retry_after if error else None
        # A date has whole seconds, and time goes on while it is sent.
        near = found is not None and seconds is not None and seconds - 3 <= found <= seconds
        keeps.holds(found == seconds or (seconds == 30.0 and near), f"retry_after is {found!r}, not {seconds!r}")

    # Limits

    @rule("limits-honoured")
    @pytest.mark.parametrize("way", WAYS)
    async def test_a_call_ends_by_itself_when_nothing_comes(
        self, way: str, backend: Fake, make: Make, keeps: Keeps
    ) -> None:
        backend.script(silent())
        provider = make("desk", backend, timeout=SILENCE, first_token_timeout=SILENCE, idle_timeout=SILENCE)
        try:
            with anyio.fail_after(10):
                found = await _direct(provider, way)
        except TimeoutError:
            keeps.broken(f"{way}() still waits after 10 s, with limits of {SILENCE} s")
        finally:
            await provider.aclose()
        keeps.same("timeout", found.outcome, "what a silent backend comes to without a Router")

    @rule("limits-honoured")
    async def test_the_limits_of_a_request_win_over_the_options(
        self, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        backend.script(silent())
        asked = attempt(request(), timeout=SILENCE, first_token=SILENCE, idle=SILENCE)
        try:
            with anyio.fail_after(10):
                error = await failure_of(lambda: provider.chat(asked))
        except TimeoutError:
            keeps.broken(f"request.limits say {SILENCE} s, and chat() still waits after 10 s")
        keeps.same(Failure.TIMEOUT, error.failure if error else None, "the failure")

    @rule("limits-honoured")
    @pytest.mark.parametrize("way", WAYS)
    async def test_an_answer_beyond_the_bound_is_not_read(
        self, way: str, backend: Fake, make: Make, keeps: Keeps
    ) -> None:
        backend.script(oversized(size=50_000_000))  # more than the system takes in advance
        provider = make("desk", backend, **PATIENT, max_answer_bytes=100_000)
        found = await _direct(provider, way)
        await provider.aclose()
        keeps.same("malformed", found.outcome, "an answer of 50 MB where 100 kB are the bound")
        keeps.holds(await seen(backend, lambda fake: fake.hang_ups == 1), "all 50 MB of it were read")


def _patience(fault: Fault, outcome: str) -> Mapping[str, object]:
    """Options under which an outcome comes soon, and no other for want of time."""
    bound = {"max_answer_bytes": 1_000_000}
    match outcome:
        case "busy" if not _is_silent(fault):
            return {**PATIENT, **bound}
        case "timeout" | "busy":
            hasty = {"timeout": SILENCE, "first_token_timeout": SILENCE, "idle_timeout": SILENCE, "check_after": 0.05}
            return {**PATIENT, **bound, **hasty}
        case "stalled":
            return {**PATIENT, **bound, "idle_timeout": SILENCE}
        case "connect":
            return {**PATIENT, **bound, "connect_timeout": 0.3}
        case _:
            return {**PATIENT, **bound}


def _allowed(fault: Fault, outcome: str) -> tuple[str, ...]:
    """The outcomes that a fault may have.

    That a silent backend is busy and not dead, a check says, where the type has one that is free and it is answered
    in time. And what is no HTTP at all, one HTTP parser cannot tell from a connection that was cut.
    """
    if outcome == "busy" and _is_silent(fault):
        return ("busy", "timeout")
    return (outcome, "reset") if fault.name == "not-http" else (outcome,)


def _is_silent(fault: Fault) -> bool:
    """Whether a backend with this fault, which comes to `busy`, says nothing; else it says that it is busy, at once."""
    return fault.reply is not None and fault.name != "503-loading"


async def _asked(provider: Provider, way: str) -> Seen:
    """What one attempt comes to, as the Router sees it."""
    async with AsyncRouter(providers=[provider], seed=1) as router:
        try:
            if way == "chat":
                answer = await router.chat(QUESTION, model=MODEL, max_attempts=1)
                return Seen("ok" if answer.text else "an answer without text")
            stream = router.stream(QUESTION, model=MODEL, max_attempts=1)
            async with stream:
                async for _ in stream:
                    pass
            return Seen("ok" if stream.text else "a stream without text")
        except ProviderError as error:
            return Seen(str(error.failure), error)


async def _direct(provider: Provider, way: str) -> Seen:
    """What one call comes to without a Router."""
    error = await failure_of(lambda: told(provider, request(), way))
    return Seen("ok") if error is None else Seen(str(error.failure), error)
