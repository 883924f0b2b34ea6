"""One request's life as a state machine without I/O: fed with what happened and when, it says what to do next.

It knows no clock but the moments it is handed, no HTTP and no provider type. `router.py` drives it; tests and the
simulation drive it too. What each failure means stands once, in `table.py`.
"""

from __future__ import annotations

from random import Random
from typing import Final

from provider_router import limits as numbers
from provider_router.chat import Capability, ChatChunk
from provider_router.dialects.dialect import Sign
from provider_router.errors import (
    Busy,
    ContextTooLong,
    DeadlineExceeded,
    Failure,
    MalformedAnswer,
    NoCandidates,
    ProviderCrashed,
    ProviderError,
    ProviderRouterError,
    ProviderTimeout,
    StreamInterrupted,
)
from provider_router.routing.actions import Abandon, Action, Answer, Ask, Check, Fail, Wait
from provider_router.routing.candidate import Candidate
from provider_router.routing.choices import Choices
from provider_router.routing.effect import Effect
from provider_router.routing.health import Health
from provider_router.routing.plan import Plan
from provider_router.routing.retry_budget import RetryBudget
from provider_router.routing.silence import Silence
from provider_router.routing.table import OF_ONE_REQUEST, TABLE
from provider_router.routing.ticket import Ticket
from provider_router.routing.walk import Policy, Walk
from provider_router.trail import Attempt, duration_text, trail_text

# They do not show that the endpoint lives.
_SILENT: Final = (Failure.CONNECT, Failure.RESET, Failure.TIMEOUT, Failure.STALLED)


class Failover:
    """The life of one request.

    Attributes:
        attempts: every upstream call that has ended, in order.
        committed: whether a meaningful delta or a complete answer was handed to the caller.
        begun: the moment of the request's start.
        error: how it failed, once it has.
        left: whether the caller went away.
    """

    def __init__(
        self, plan: Plan, policy: Policy, *, health: Health, budget: RetryBudget, now: float, rng: Random
    ) -> None:
        self.plan = plan
        self.policy = policy
        self.attempts: list[Attempt] = []
        self.committed = False
        self.begun = now
        self.error: ProviderRouterError | None = None
        self.left = False
        self._health = health
        self._budget = budget
        self._walk = Walk(plan, policy, health=health, budget=budget, now=now, rng=rng)
        self._errors: list[ProviderError] = []
        self._candidate: Candidate | None = None
        self._ticket: Ticket | None = None
        self._silence: Silence
        self._asked = now
        self._reset_attempt()

    def _reset_attempt(self) -> None:
        self._finish: str | None = None
        self._choices = Choices(self.policy.choices) if self.policy.choices > 1 else None
        self._model: str | None = None
        self._first_delta: float | None = None
        self._held: list[ChatChunk] = []
        self._held_bytes = 0

    # What happens between attempts

    def start(self, now: float) -> Action:
        """The first thing to do."""
        self._budget.request(now)
        return self._go_on(now)

    def woke(self, now: float) -> Action:
        """A wait is over."""
        return self._go_on(now, woke=True)

    def _go_on(self, now: float, *, woke: bool = False) -> Action:
        if self._walk.late(now):
            return self._fail(self._total_is_up(), now)
        match self._walk.woke(now) if woke else self._walk.next(now):
            case Candidate() as candidate:
                return self._ask(candidate, now)
            case Wait() as wait:
                return wait
            case _:
                return self._give_up(now)

    def _ask(self, candidate: Candidate, now: float) -> Ask:
        self._candidate = candidate
        check_first = candidate.view.free_check and self._health.to_check_first(candidate.key, now)
        self._ticket = self._health.begin(candidate.key, now, slots=candidate.slots)
        self._reset_attempt()
        self._asked = now
        limits = self.policy.limits.over(candidate.limits)
        share = self._walk.share(now)
        self._silence = Silence(
            candidate,
            limits,
            stream=self.policy.stream or candidate.view.upstream_stream,
            share=share,
            now=now,
            check_first=check_first,
        )
        return Ask(candidate, limits, check_first)

    # What happens during an attempt

    def names(self, model: str) -> None:
        """The model that is asked for where the plan left the choice to the provider."""
        self._model = model

    def sent(self, now: float) -> None:
        """The request is out."""
        self._silence.sent(now)

    def life(self, now: float) -> None:
        """Any byte of an answer, its head included."""
        if not self._silence.lives and self._ticket is not None:
            self._health.heard(self._ticket)
        self._silence.life(now)

    def listening(self, now: float) -> None:
        """The caller wants the next piece of a committed stream, whatever time it took over the last one."""
        self._silence.listening(now)

    def event(self, chunk: ChatChunk, sign: Sign, now: float) -> list[ChatChunk] | Abandon:
        """One chunk of a stream: what of it to hand to the caller.

        Nothing before commit; the held ones and this one at commit; this one after it.
        """
        self._finish = self._finish or sign.finish
        if self._choices is not None:
            self._choices.hear(sign)
        if sign.meaningful or sign.finish:  # a ping or usage in between opens and closes nothing
            self._silence.working = sign.working
        if self.committed:
            return [chunk]
        self._held.append(chunk)
        if sign.meaningful:
            self._spoke(now)
            held, self._held = self._held, []
            return held
        self._held_bytes += len(chunk.data)
        if len(self._held) > numbers.PREAMBLE_EVENTS or self._held_bytes > numbers.PREAMBLE_BYTES:
            who = self._who()
            return Abandon(
                MalformedAnswer(f"{who} sends events without any content", provider=who, detail="endless preamble")
            )
        return []

    def ended(self, now: float) -> Action:
        """The stream has come to its end."""
        if self.closed:
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
        """Whether the stream has said why it ends, each of its choices, so that what fails after it is no failure."""
        return self._finish is not None if self._choices is None else self._choices.complete

    @property
    def closed(self) -> bool:
        """Whether the stream is whole if it ends in order now."""
        return self._finish is not None if self._choices is None else self._choices.closed

    @property
    def finish_reason(self) -> str | None:
        """Why the stream ends, once it has said so."""
        return self._finish

    def completed(self, now: float) -> Answer:
        """The answer is whole."""
        assert self._ticket is not None
        if not self.committed:
            self._spoke(now)
        self._note(None, now)
        self._health.succeeded(self._ticket, now)
        self._ticket = None
        return Answer()

    def _spoke(self, now: float) -> None:
        assert self._ticket is not None
        self.committed = True
        if self.policy.stream:
            self._first_delta = now - self._asked
        self._health.spoke(self._ticket, now, prefix=self.plan.needs.prefix)

    def held(self) -> list[ChatChunk]:
        """The chunks of a stream that ended well without any meaningful delta."""
        held, self._held = self._held, []
        return held

    def deadline(self) -> float:
        """The next moment at which `silent` is to be fed, unless something happens before."""
        return self._walk.before_total(self._silence.deadline(committed=self.committed))

    def silent(self, now: float) -> Check | Abandon | None:
        """Nothing has happened until now, a `deadline()`."""
        if self._walk.late(now):
            return Abandon(self._total_is_up())
        return self._silence.due(now, committed=self.committed)

    def passed_check(self, now: float) -> None:
        """The check that came before the request was answered: the endpoint is there."""
        assert self._ticket is not None
        self._health.heard(self._ticket)
        self._silence.passed_check(now)

    def checked(self, now: float, answered: bool | None) -> Abandon | None:  # noqa: FBT001 - an outcome, no option
        """The check's outcome: answered, refused (False), or silent itself (None)."""
        assert self._candidate is not None
        endpoint = self._candidate.key.endpoint
        if answered:
            self._health.check_answered(endpoint)
            if self._ticket is not None:
                self._health.heard(self._ticket)
        return self._silence.checked(now, answered, telling=self._health.answers_checks(endpoint))

    # How an attempt fails

    def failed(self, error: ProviderRouterError, now: float) -> Action:
        """The attempt has ended with this error. What comes after a finish reason is no failure."""
        if self.finished:
            return self.completed(now)
        if isinstance(error, DeadlineExceeded):
            self._end(ProviderTimeout("", detail="out of time"), Effect.NONE, now)
            return self._fail(error, now)
        if not isinstance(error, ProviderError):
            error = ProviderCrashed(str(error), detail="not usable")
        assert self._candidate is not None
        error.provider = error.provider or self._candidate.provider
        error.model = error.model or self._candidate.model or self._model
        if self.committed and not isinstance(error, StreamInterrupted):
            error = _interrupted(error)
        row = TABLE[error.failure]
        self._errors.append(error)
        # The caller's hurry is not the backend's fault: it is only asked after free ones for a moment.
        self._end(error, Effect.BUSY if self._silence.cut_short else row.effect, now)
        if self.committed:
            return self._fail(error, now)
        if (wait := self._walk.again(self._candidate, error, now)) is not None:
            return wait
        special = self.plan.needs.capabilities - {Capability.CHAT, Capability.STREAMING}
        # What its type refuses unasked, a zone or a guard tells of this request alone; and of several: which was it?
        refused = (self._silence.lives or error.status is not None) and error.code not in OF_ONE_REQUEST
        if error.failure is Failure.CAPABILITY and len(special) == 1 and refused:
            self._health.learn(self._candidate.key, *special)
        if error.failure is Failure.CONTEXT_LENGTH:
            self._walk.larger_first(self._candidate)
        if row.next or error.failure in self.policy.fallback_on:
            return self._go_on(now)
        return self._fail(error, now)

    def resume(self, now: float) -> Action:
        """Go on elsewhere after a stream that was cut, as if nothing had been handed out yet."""
        self.committed = False
        self.error = None
        return self._go_on(now)

    def cancelled(self, now: float) -> None:
        """The caller went away."""
        self.left = True
        self._walk.leave(now)
        if self._ticket is not None:
            self._note(Failure.CANCELLED, now)
            self._health.failed(self._ticket, Effect.NONE, now, reason="")
            self._ticket = None

    def _end(self, error: ProviderError, effect: Effect, now: float) -> None:
        assert self._ticket is not None
        assert self._candidate is not None
        self._note(error.failure, now, error)
        if (self._silence.lives or error.status is not None) and error.failure not in _SILENT:
            self._health.answered(self._ticket)
        self._health.failed(
            self._ticket,
            effect,
            now,
            reason=error.detail or str(error.failure),
            retry_after=error.retry_after,
            retry_after_max=self._candidate.view.retry_after_max,
        )
        self._ticket = None

    def _note(self, failure: Failure | None, now: float, error: ProviderError | None = None) -> None:
        assert self._candidate is not None
        self.attempts.append(
            Attempt(
                provider=self._candidate.provider,
                model=self._candidate.model or self._model,
                started=self._asked - self.begun,
                duration=now - self._asked,
                failure=failure,
                status=error.status if error else None,
                detail=error.detail if error else "",
                retry_after=error.retry_after if error else None,
                first_delta=self._first_delta,
            )
        )

    # How a request fails

    def _who(self) -> str:
        return self._candidate.provider if self._candidate else "the provider"

    def _total_is_up(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"no complete answer within {duration_text(self.policy.total or 0.0)}")

    def _give_up(self, now: float) -> Fail:
        if self._walk.queued:
            waited = duration_text(self.policy.max_wait)
            self._errors.append(
                Busy(
                    f"every provider is busy, and none fell free within {waited}",
                    retry_after=1.0,
                    detail="all slots taken",
                )
            )
        if not self._errors:
            return self._fail(_nobody(self.plan, self._walk.retry_after), now)
        callers = (error for error in self._errors if TABLE[error.failure].callers_fault)
        return self._fail(next(callers, self._errors[-1]), now)

    def _fail(self, error: ProviderError | DeadlineExceeded | NoCandidates, now: float) -> Fail:
        """The end, with the whole story on the error."""
        self.error = error
        self._walk.leave(now)
        attempts = tuple(self.attempts)
        if attempts and error.attempts == attempts:  # a replay found nobody: it has its story already
            return Fail(error)
        error.attempts = attempts
        error.skipped = self.plan.skipped
        if len(attempts) > 1 or isinstance(error, DeadlineExceeded):
            trail = trail_text(attempts)
            error.args = (f"{error.args[0]} (tried {trail})" if trail else error.args[0], *error.args[1:])
        for attempt in attempts:
            error.add_note(str(attempt))
        return Fail(error)


def _interrupted(error: ProviderError) -> StreamInterrupted:
    """What a failure is after commit."""
    return StreamInterrupted(
        error.message,
        provider=error.provider,
        model=error.model,
        status=error.status,
        code=error.code,
        detail=error.detail,
        failure=Failure.STALLED if error.failure is Failure.TIMEOUT else Failure.TRUNCATED,
    )


def _nobody(plan: Plan, retry_after: float | None) -> NoCandidates | ContextTooLong:
    reasons = [f"{step.provider}: {step.reason or step.state}" for step in plan]
    if plan.too_long:
        return ContextTooLong(f"the prompt is too long for everybody ({'; '.join(reasons[:10])})", detail="too long")
    message = "no provider can be asked"
    if reasons and all(step.reason == "disabled" for step in plan):
        message = f"every provider is disabled: `prouter provider enable {next(iter(plan)).provider}` lets it be asked"
    elif reasons:
        message += " (" + "; ".join(reasons[:10]) + ("; …" if len(reasons) > 10 else "") + ")"
    else:
        message += ": none is configured"
    return NoCandidates(message, skipped=plan.skipped, retry_after=retry_after)
