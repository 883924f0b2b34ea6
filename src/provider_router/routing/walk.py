"""Walk: one request's way through its plan: who is asked next, or again, and what is waited for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from attrs import frozen

from provider_router import limits as numbers
from provider_router.errors import Failure, ProviderError
from provider_router.limits import Limits
from provider_router.routing.actions import Wait
from provider_router.routing.breaker import LATER, Condition, State
from provider_router.routing.candidate import Candidate, Place
from provider_router.routing.health import Health
from provider_router.routing.line import Pool, Turn
from provider_router.routing.plan import Plan
from provider_router.routing.retry_budget import RetryBudget
from provider_router.routing.table import TABLE


@frozen
class Policy:
    """What holds for this one request; durations in seconds. `choices` is how many answers it wants side by side."""

    stream: bool = False
    total: float | None = None
    max_attempts: int = 6
    max_wait: float = 30.0
    fallback_on: frozenset[str] = frozenset()
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    resume: str = "error"
    guards: str = "warn"
    choices: int = 1


@frozen
class _Retry:
    candidate: Candidate
    throttle: bool  # whether it was the backend's own throttle that was waited for


@frozen
class _Standing:
    candidate: Candidate
    state: State
    until: float


class Walk:
    """The way of one request.

    Attributes:
        asked: how many upstream calls were begun.
        retry_after: seconds until somebody can be asked again, if the way ended at a throttle.
        queued: whether the way ended, or stands, in the line for a free slot.
    """

    def __init__(self, plan: Plan, policy: Policy, *, health: Health, budget: RetryBudget, now: float, rng: Random):
        self.asked = 0
        self.retry_after: float | None = None
        self._plan = plan
        self._policy = policy
        self._health = health
        self._budget = budget
        self._rng = rng
        self._deadline = None if policy.total is None else now + policy.total
        self._left = list(plan.candidates)
        self._unwell_asked = 0
        self._retries: dict[Place, int] = {}
        self._waited_for: set[Place] = set()  # throttled candidates
        self._turn: Turn | None = None  # in the line for a free slot
        self._slot_wait = policy.max_wait  # what is left of it
        self._slot_until = now
        self._retry: _Retry | None = None

    @property
    def queued(self) -> bool:
        return self._turn is not None

    def late(self, now: float) -> bool:
        """Whether the caller's total is up."""
        return self._deadline is not None and now >= self._deadline

    def before_total(self, moment: float) -> float:
        """The moment, or the end of the total if that comes before."""
        return moment if self._deadline is None else min(moment, self._deadline)

    def share(self, now: float) -> float | None:
        """Until when whoever was chosen last must have shown life, so that the others get a turn too."""
        if self._deadline is None:
            return None
        turns = min(len(self._left), self._policy.max_attempts - self.asked) + 1
        return now + (self._deadline - now) / turns

    def woke(self, now: float) -> Candidate | Wait | None:
        """Who is next after a wait."""
        retry, self._retry = self._retry, None
        if retry is not None:
            state = self._condition(retry.candidate, now).state
            if self._full(retry.candidate):
                self._left.insert(0, retry.candidate)  # somebody took its slot meanwhile
            elif state is not State.THROTTLED or retry.throttle:
                return self._chosen(retry.candidate, now)
        return self.next(now)

    def next(self, now: float) -> Candidate | Wait | None:
        """The next candidate, by how each stands at this moment; None if nobody is left to ask."""
        self.retry_after = None
        if self.asked >= self._policy.max_attempts:
            return None
        busy: Candidate | None = None
        unwell: list[_Standing] = []
        for candidate in self._left:
            if busy is not None and candidate.turn != busy.turn:
                break
            condition = self._condition(candidate, now)
            if condition.state in LATER:
                busy = busy or candidate
            elif condition.state is State.READY or (condition.state is State.HALF_OPEN and self._unwell_left):
                return self._take(candidate, condition.state, now)
            elif not condition.askable:
                until = now if condition.until is None else condition.until
                unwell.append(_Standing(candidate, condition.state, until))
        if busy is not None:
            return self._take(busy, State.BUSY, now)
        return self._last_resort(sorted(unwell, key=lambda standing: standing.until), now)

    def again(self, candidate: Candidate, error: ProviderError, now: float) -> Wait | None:
        """The wait until the same candidate is asked again after a failure, or None if it is not."""
        row = TABLE[error.failure]
        retries = self._retries.get(candidate.place, 0)
        allowed = row.again_alone if len(self._plan.candidates) == 1 else row.again
        if retries >= allowed or self.asked >= self._policy.max_attempts:
            return None
        seconds = 0.0
        if error.failure is Failure.RATE_LIMIT:
            if error.retry_after is not None:
                if error.retry_after > numbers.PATIENCE:
                    return None
                seconds = max(0.0, error.retry_after)
            elif any(self._condition(other, now).state is State.READY for other in self._left):
                return None
            else:
                seconds = self._rng.uniform(*numbers.RATE_LIMIT_WAIT)
        elif error.failure is not Failure.RESET or retries:
            seconds = min(self._rng.uniform(*numbers.RETRY_WAIT) * 2.0**retries, numbers.RETRY_WAIT_MAX)
        if not self._fits(now, seconds) or not self._budget.take(now):
            return None
        self._retries[candidate.place] = retries + 1
        self._retry = _Retry(candidate, throttle=error.failure is Failure.RATE_LIMIT)
        return Wait(seconds)

    def larger_first(self, failed: Candidate) -> None:
        """The prompt was too long there: windows known to be larger come first, those that nobody knows next."""
        least = failed.context_length or 0
        self._left.sort(key=lambda candidate: -(candidate.context_length or least))

    def leave(self, now: float) -> None:
        """Leave the line for a free slot, if it stands there."""
        if self._turn is not None:
            self._health.line.leave(self._turn)
            self._turn = None
            self._slot_wait = max(0.0, self._slot_until - now)

    def _last_resort(self, unwell: Sequence[_Standing], now: float) -> Candidate | Wait | None:
        """Nobody can be asked in the usual way: wait for a slot or a throttle's end, or ask one that is unwell."""
        soonest = min((standing.until for standing in unwell if standing.until > now), default=None)
        full = [standing.candidate for standing in unwell if standing.state is State.FULL]
        if full and (wait := self._wait_for_slot(full, soonest, now)) is not None:
            return wait
        throttled = [standing for standing in unwell if standing.state is State.THROTTLED]
        for standing in throttled:
            seconds = standing.until - now
            if seconds > numbers.PATIENCE or not self._fits(now, seconds):
                break
            if standing.candidate.place not in self._waited_for:  # once: others may have it throttled without end
                self._waited_for.add(standing.candidate.place)
                return Wait(seconds)
        for standing in unwell:
            if standing.state not in (State.OPEN, State.FLAGGED) or not self._unwell_left:
                continue
            if not self._full(standing.candidate):
                return self._take(standing.candidate, standing.state, now)
            if (wait := self._wait_for_slot([standing.candidate], soonest, now)) is not None:
                return wait
        self.retry_after = throttled[0].until - now if throttled else None
        return None

    def _wait_for_slot(self, full: Sequence[Candidate], soonest: float | None, now: float) -> Wait | None:
        if self._turn is None:
            self._turn = self._health.line.join()
            self._slot_until = now + self._slot_wait
        pools = frozenset(pool for candidate in full if (pool := self._full(candidate)) is not None)
        moved, self._turn.pools = bool(self._turn.pools - pools), pools
        left = self.before_total(self._slot_until) - now
        if left <= 0:
            return None
        return Wait(left if soonest is None else min(left, soonest - now), slot=True, moved=moved)

    @property
    def _unwell_left(self) -> bool:
        return self._unwell_asked < numbers.ASK_UNWELL_AT_MOST

    def _condition(self, candidate: Candidate, now: float) -> Condition:
        return self._health.condition(candidate.key, now, slots=candidate.slots, turn=self._turn)

    def _full(self, candidate: Candidate) -> Pool | None:
        return self._health.full(candidate.provider, candidate.slots, turn=self._turn)

    def _fits(self, now: float, seconds: float) -> bool:
        return self._deadline is None or now + seconds < self._deadline

    def _take(self, candidate: Candidate, state: State, now: float) -> Candidate:
        if state in (State.HALF_OPEN, State.OPEN, State.FLAGGED):
            self._unwell_asked += 1
        self._left.remove(candidate)
        return self._chosen(candidate, now)

    def _chosen(self, candidate: Candidate, now: float) -> Candidate:
        self.leave(now)
        self.asked += 1
        return candidate
