"""One request's life as a state machine without I/O: fed with what happened and when, it says what to do next.

It knows no clock but the moments it is handed, no HTTP and no provider type. `router.py` drives it; tests and the
simulation drive it too. What each failure means stands once, in `TABLE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from attrs import frozen

from provider_router import limits as numbers
from provider_router.chat import ChatChunk
from provider_router.dialects.dialect import Sign
from provider_router.errors import (
    Attempt,
    Busy,
    DeadlineExceeded,
    Failure,
    MalformedAnswer,
    NoCandidates,
    ProviderError,
    ProviderRouterError,
    ProviderTimeout,
    StreamInterrupted,
    duration_text,
    trail_text,
)
from provider_router.limits import Limits
from provider_router.routing.actions import Abandon, Action, Answer, Ask, Check, Fail, Wait
from provider_router.routing.health import Effect, Health, RetryBudget, State, Ticket
from provider_router.routing.plan import Candidate, Plan
from provider_router.routing.silence import Silence


@frozen
class Row:
    """What a failure class means: how often the same provider is asked again, whether the next one is, its effect."""

    again: int
    next: bool
    effect: Effect
    callers_fault: bool = False


TABLE: Final[Mapping[Failure, Row]] = {
    Failure.CONNECT: Row(0, True, Effect.ENDPOINT_DOWN),
    Failure.RESET: Row(1, True, Effect.ENDPOINT_FAULT),
    Failure.TIMEOUT: Row(0, True, Effect.ENDPOINT_FAULT),
    Failure.BUSY: Row(0, True, Effect.BUSY),
    Failure.SERVER: Row(1, True, Effect.MODEL_FAULT),
    Failure.RATE_LIMIT: Row(1, True, Effect.THROTTLE),
    Failure.QUOTA: Row(0, True, Effect.QUOTA),
    Failure.AUTH: Row(0, True, Effect.AUTH),
    Failure.MODEL_UNAVAILABLE: Row(0, True, Effect.MODEL_MISSING),
    Failure.CAPABILITY: Row(0, True, Effect.NONE, callers_fault=True),
    Failure.CONTEXT_LENGTH: Row(0, True, Effect.NONE, callers_fault=True),
    Failure.CONTENT_POLICY: Row(0, False, Effect.NONE, callers_fault=True),
    Failure.BAD_REQUEST: Row(0, False, Effect.NONE, callers_fault=True),
    Failure.MALFORMED: Row(1, True, Effect.MODEL_FAULT),
    Failure.TRUNCATED: Row(0, False, Effect.MODEL_FAULT),
    Failure.STALLED: Row(0, False, Effect.MODEL_FAULT),
    Failure.CANCELLED: Row(0, False, Effect.NONE),
    Failure.CRASHED: Row(0, True, Effect.CRASH),
}
_AGAIN_ALONE: Final = frozenset({Failure.SERVER, Failure.RESET, Failure.MALFORMED})  # twice where nobody else is there


@frozen
class Policy:
    """What holds for this one request; durations in seconds."""

    stream: bool = False
    total: float | None = None
    max_attempts: int = 6
    max_wait: float = 30.0
    fallback_on: frozenset[str] = frozenset()
    limits: Limits = Limits()  # noqa: RUF009 - frozen


class Failover:
    """The life of one request.

    Attributes:
        attempts: every upstream call that has ended, in order.
        committed: whether a meaningful delta or a complete answer was handed to the caller.
    """

    def __init__(
        self, plan: Plan, policy: Policy, *, health: Health, budget: RetryBudget, now: float, rng: Random
    ) -> None:
        self.plan = plan
        self.policy = policy
        self.attempts: list[Attempt] = []
        self.committed = False
        self._health = health
        self._budget = budget
        self._rng = rng
        self._begun = now
        self._deadline = None if policy.total is None else now + policy.total
        self._left = list(plan.candidates)
        self._errors: list[ProviderError] = []
        self._unwell_asked = 0
        self._retries = 0
        self._waiting_until: float | None = None  # for a free slot
        self._retry: Candidate | None = None
        self._candidate: Candidate | None = None
        self._ticket: Ticket | None = None
        self._silence: Silence
        self._asked = now
        self._reset_attempt()

    def _reset_attempt(self) -> None:
        self._finish: str | None = None
        self._held: list[ChatChunk] = []
        self._held_bytes = 0

    # What happens between attempts

    def start(self, now: float) -> Action:
        """The first thing to do."""
        self._budget.request(now)
        return self._choose(now)

    def woke(self, now: float) -> Action:
        """A wait is over."""
        candidate, self._retry = self._retry, None
        if candidate is None:
            return self._choose(now)
        return self._out_of_time() if self._late(now) else self._ask(candidate, now)

    def _choose(self, now: float) -> Action:
        """The next candidate, by how each stands at this moment."""
        if self._late(now):
            return self._out_of_time()
        if len(self.attempts) >= self.policy.max_attempts:
            return self._give_up()
        unwell: list[tuple[float, Candidate]] = []
        throttled: float | None = None
        full = False
        for candidate in self._left:
            condition = self._health.condition(candidate.key, now, max_parallel=candidate.max_parallel)
            if condition.state is State.HALF_OPEN:
                if self._unwell_asked < numbers.ASK_UNWELL_AT_MOST:
                    self._unwell_asked += 1
                    return self._take(candidate, now)
            elif condition.askable:
                return self._take(candidate, now)
            elif condition.state is State.FULL:
                full = True
            elif condition.state is State.THROTTLED:
                assert condition.until is not None
                throttled = min(throttled or condition.until, condition.until)
            else:
                unwell.append((condition.until or now, candidate))
        if full:
            return self._wait_for_slot(now)
        if unwell and self._unwell_asked < numbers.ASK_UNWELL_AT_MOST:
            self._unwell_asked += 1
            return self._take(min(unwell, key=lambda entry: entry[0])[1], now)
        if throttled is not None and throttled - now <= numbers.PATIENCE and self._fits(now, throttled - now):
            return Wait(max(0.0, throttled - now))
        return self._give_up(retry_after=None if throttled is None else throttled - now)

    def _wait_for_slot(self, now: float) -> Action:
        if self._waiting_until is None:
            self._waiting_until = now + self.policy.max_wait
        left = self._waiting_until - now
        if self._deadline is not None:
            left = min(left, self._deadline - now)
        if left > 0:
            return Wait(left, slot=True)
        error = Busy(
            f"every provider is busy, and none fell free within {duration_text(self.policy.max_wait)}",
            retry_after=1.0,
            detail="all slots taken",
        )
        return Fail(self._told(error))

    def _take(self, candidate: Candidate, now: float) -> Action:
        self._left.remove(candidate)
        self._retries = 0
        return self._ask(candidate, now)

    def _ask(self, candidate: Candidate, now: float) -> Action:
        self._candidate = candidate
        self._ticket = self._health.begin(candidate.key, now)
        self._reset_attempt()
        self._asked = now
        limits = self.policy.limits.over(candidate.limits)
        share = None if self._deadline is None else now + (self._deadline - now) / (len(self._left) + 1)
        self._silence = Silence(candidate, limits, stream=self.policy.stream, share=share, now=now)
        return Ask(candidate, limits)

    # What happens during an attempt

    def sent(self, now: float) -> None:
        """The request is out."""
        self._silence.sent(now)

    def life(self, now: float) -> None:
        """Any byte of an answer, its head included."""
        self._silence.life(now)

    def event(self, chunk: ChatChunk, sign: Sign, now: float) -> list[ChatChunk] | Abandon:
        """One chunk of a stream: what of it to hand to the caller.

        Nothing before commit; the held ones and this one at commit; this one after it.
        """
        self._finish = self._finish or sign.finish
        self._silence.working = sign.working
        if self.committed:
            return [chunk]
        self._held.append(chunk)
        if sign.meaningful:
            self.committed = True
            held, self._held = self._held, []
            return held
        self._held_bytes += len(chunk.data)
        if len(self._held) > numbers.PREAMBLE_EVENTS or self._held_bytes > numbers.PREAMBLE_BYTES:
            who = self._who()
            return Abandon(
                MalformedAnswer(f"{who} sends events without any content", provider=who, detail="endless preamble")
            )
        return []

    def ended(self, now: float) -> Answer | Action:
        """The stream has come to its end."""
        if self._finish is not None:
            return self.completed(now)
        who = self._who()
        if self.committed:
            return self.failed(
                StreamInterrupted(f"{who} ended its stream too early", provider=who, detail="stream cut"), now
            )
        what = "empty stream" if not self._held else "a stream without content"
        return self.failed(MalformedAnswer(f"{who} sent {what}", provider=who, detail=what), now)

    @property
    def finished(self) -> bool:
        """Whether the stream has said why it ends, so that what fails after that is no failure."""
        return self._finish is not None

    def completed(self, now: float) -> Answer:
        """The answer is whole."""
        assert self._ticket is not None
        self.committed = True
        self._note(None, now)
        self._health.succeeded(self._ticket, now)
        self._ticket = None
        return Answer()

    def held(self) -> list[ChatChunk]:
        """The chunks of a stream that ended well without any meaningful delta."""
        held, self._held = self._held, []
        return held

    def deadline(self) -> float:
        """The next moment at which `silent` is to be fed, unless something happens before."""
        due = self._silence.deadline(committed=self.committed)
        return due if self._deadline is None else min(due, self._deadline)

    def silent(self, now: float) -> Check | Abandon | None:
        """Nothing has happened until now, a `deadline()`."""
        if self._late(now):
            return Abandon(self._out_of_time().error)
        return self._silence.due(now, committed=self.committed)

    def checked(self, now: float, answered: bool | None) -> Abandon | None:  # noqa: FBT001 - an outcome, no option
        """The check's outcome: answered, refused (False), or silent itself (None)."""
        assert self._candidate is not None
        endpoint = self._candidate.key.endpoint
        if answered:
            self._health.check_answered(endpoint)
        return self._silence.checked(now, answered, telling=self._health.answers_checks(endpoint))

    # How an attempt fails

    def failed(self, error: ProviderRouterError, now: float) -> Action:
        """The attempt has ended with this error."""
        if not isinstance(error, ProviderError):
            self._end(ProviderTimeout("", detail="out of time"), Effect.NONE, now)
            return Fail(self._told(error))
        assert self._candidate is not None
        error.provider = error.provider or self._candidate.provider
        error.model = error.model or self._candidate.model
        if self.committed and not isinstance(error, StreamInterrupted):
            error = StreamInterrupted(
                error.message,
                provider=error.provider,
                model=error.model,
                status=error.status,
                code=error.code,
                detail=error.detail,
                failure=Failure.STALLED if error.failure is Failure.TIMEOUT else Failure.TRUNCATED,
            )
        row = TABLE[error.failure]
        self._errors.append(error)
        self._end(error, row.effect, now)
        if not self.committed:
            if (wait := self._again(row, error, now)) is not None:
                self._retries += 1
                self._retry = self._candidate
                return Wait(wait)
            if row.next or error.failure in self.policy.fallback_on:
                return self._choose(now)
        return Fail(self._told(error))

    def cancelled(self, now: float) -> None:
        """The caller went away."""
        if self._ticket is not None:
            self._note(Failure.CANCELLED, now)
            self._health.failed(self._ticket, Effect.NONE, now, reason="")
            self._ticket = None

    def _again(self, row: Row, error: ProviderError, now: float) -> float | None:
        """Seconds until the same provider is asked again, or None if it is not."""
        alone = len(self.plan.candidates) == 1
        allowed = 2 if alone and error.failure in _AGAIN_ALONE else row.again
        if self._retries >= allowed or len(self.attempts) >= self.policy.max_attempts:
            return None
        wait = 0.0
        if error.failure is Failure.RATE_LIMIT:
            if error.retry_after is not None:
                if error.retry_after > numbers.PATIENCE:
                    return None
                wait = error.retry_after
            elif self._somebody_free(now):
                return None
            else:
                wait = self._rng.uniform(*numbers.RATE_LIMIT_WAIT)
        elif error.failure is not Failure.RESET or self._retries:
            factor = 2.0**self._retries
            wait = min(self._rng.uniform(*numbers.RETRY_WAIT) * factor, numbers.RETRY_WAIT_MAX)
        if not self._fits(now, wait) or not self._budget.take(now):
            return None
        return wait

    def _somebody_free(self, now: float) -> bool:
        return any(
            self._health.condition(c.key, now, max_parallel=c.max_parallel).state in (State.READY, State.BUSY)
            for c in self._left
        )

    def _end(self, error: ProviderError, effect: Effect, now: float) -> None:
        assert self._ticket is not None
        self._note(error.failure, now, error)
        if self._silence.lives:
            self._health.heard(self._ticket)
        self._health.failed(
            self._ticket,
            effect,
            now,
            reason=error.detail or str(error.failure),
            retry_after=error.retry_after,
            retry_after_max=self._candidate.view.retry_after_max if self._candidate else 300.0,
        )
        self._ticket = None

    def _note(self, failure: Failure | None, now: float, error: ProviderError | None = None) -> None:
        assert self._candidate is not None
        self.attempts.append(
            Attempt(
                provider=self._candidate.provider,
                model=self._candidate.model,
                started=self._asked - self._begun,
                duration=now - self._asked,
                failure=failure,
                status=error.status if error else None,
                detail=error.detail if error else "",
                retry_after=error.retry_after if error else None,
            )
        )

    # How a request fails

    def _late(self, now: float) -> bool:
        return self._deadline is not None and now >= self._deadline

    def _fits(self, now: float, wait: float) -> bool:
        return self._deadline is None or now + wait < self._deadline

    def _who(self) -> str:
        return self._candidate.provider if self._candidate else "the provider"

    def _out_of_time(self) -> Fail:
        total = duration_text(self.policy.total or 0.0)
        return Fail(self._told(DeadlineExceeded(f"no complete answer within {total}")))

    def _give_up(self, *, retry_after: float | None = None) -> Fail:
        if not self._errors:
            return Fail(self._nobody(retry_after))
        callers = [error for error in self._errors if TABLE[error.failure].callers_fault]
        return Fail(self._told(callers[0] if callers else self._errors[-1]))

    def _nobody(self, retry_after: float | None) -> NoCandidates:
        reasons = [f"{step.provider}: {step.reason or step.state}" for step in self.plan]
        message = "no provider can be asked"
        if reasons:
            message += " (" + "; ".join(reasons[:10]) + ("; …" if len(reasons) > 10 else "") + ")"
        else:
            message += ": none is configured"
        return NoCandidates(message, skipped=self.plan.skipped, retry_after=retry_after)

    def _told(self, error: ProviderRouterError) -> ProviderRouterError:
        """The error with the whole story on it."""
        attempts = tuple(self.attempts)
        if isinstance(error, ProviderError | DeadlineExceeded | NoCandidates):
            error.attempts = attempts
        if isinstance(error, ProviderError):
            error.skipped = self.plan.skipped
        if len(attempts) > 1 or isinstance(error, DeadlineExceeded):
            trail = trail_text(attempts)
            error.args = (f"{error.args[0]} (tried {trail})" if trail else error.args[0], *error.args[1:])
        for attempt in attempts:
            error.add_note(str(attempt))
        return error
