"""Health: why a provider is left alone for a while, and until when. Pure; every moment is handed in.

Breakers stand for an endpoint and for a model at an endpoint, throttles and flags for a provider. Nothing here
vetoes: a plan orders by what it reads here.

    closed ──fault(s)──► open(until) ──time──► half-open ──one trial──► closed | open(twice as long)
"""

from __future__ import annotations

from collections import deque
from enum import Enum, StrEnum, auto
from random import Random

from attrs import define, field, frozen

from provider_router import limits as numbers


class State(StrEnum):
    """How a candidate stands. The first three are asked in the plan's order, the rest only after all of those."""

    READY = "ready"
    HALF_OPEN = "half-open"
    BUSY = "busy"
    FULL = "full"
    THROTTLED = "throttled"
    OPEN = "open"
    FLAGGED = "flagged"


class Effect(Enum):
    """What a failure does to health. `routing/failover.py` says which failure has which effect."""

    NONE = auto()
    ENDPOINT_DOWN = auto()
    ENDPOINT_FAULT = auto()
    MODEL_FAULT = auto()
    MODEL_MISSING = auto()
    THROTTLE = auto()
    QUOTA = auto()
    AUTH = auto()
    CRASH = auto()
    BUSY = auto()


@frozen
class Key:
    """What health is kept for: a provider, its endpoint, and the model as that provider calls it."""

    provider: str
    endpoint: str
    model: str | None


@frozen
class Condition:
    """How a candidate stands: its state, why, and until when on the clock that is handed in."""

    state: State = State.READY
    reason: str = ""
    until: float | None = None

    @property
    def askable(self) -> bool:
        return self.state in (State.READY, State.HALF_OPEN, State.BUSY)


READY = Condition()


@define
class _Breaker:
    in_a_row: int = 0
    opening: float = 0.0  # length of the present opening in seconds; 0 while closed
    until: float = 0.0
    trial: bool = False
    reason: str = ""
    recent: deque[tuple[float, bool]] = field(factory=deque)  # (when, whether it failed)

    def open(self, reason: str, now: float, rng: Random) -> None:
        self.opening = min(self.opening * 2, numbers.OPENING_MAX) if self.opening else numbers.OPENING
        spread = 1 + numbers.OPENING_SPREAD * (2 * rng.random() - 1)
        self.until = now + self.opening * spread
        self.trial = False
        self.reason = reason

    def close(self) -> None:
        self.in_a_row = 0
        self.opening = self.until = 0.0
        self.trial = False
        self.recent.clear()

    def condition(self, now: float) -> Condition:
        if not self.opening:
            return READY
        if now >= self.until and not self.trial:
            return Condition(State.HALF_OPEN, f"{self.reason}; on trial", self.until)
        return Condition(State.OPEN, self.reason, max(self.until, now))

    def fault_ratio_reached(self, now: float) -> bool:
        while self.recent and self.recent[0][0] < now - numbers.FAULT_WINDOW:
            self.recent.popleft()
        failed = sum(fault for _, fault in self.recent)
        return (
            len(self.recent) >= numbers.FAULT_WINDOW_LEAST and failed >= len(self.recent) * numbers.FAULT_WINDOW_RATIO
        )


@define
class _Hold:
    """A throttle or a flag: left alone until a moment, for a reason; `length` doubles with each repeat."""

    state: State
    until: float
    reason: str
    length: float


@frozen(eq=False)
class Ticket:
    """One call in flight. `trials` are the breakers that this call is the trial of."""

    key: Key
    trials: tuple[_Breaker, ...]


class Health:
    """What one process knows of its providers."""

    def __init__(self, *, rng: Random | None = None) -> None:
        self._rng = rng or Random()  # noqa: S311 - jitter, no secret
        self._endpoints: dict[str, _Breaker] = {}
        self._models: dict[tuple[str, str | None], _Breaker] = {}
        self._holds: dict[str, _Hold] = {}
        self._missing: dict[tuple[str, str | None], _Hold] = {}
        self._busy: dict[str, float] = {}
        self._checks: set[str] = set()
        self.in_flight: dict[str, int] = {}

    def condition(self, key: Key, now: float, *, max_parallel: int | None = None) -> Condition:
        """How a candidate stands now: the worst of what is known of it."""
        if hold := self._held(key, now):
            return Condition(hold.state, hold.reason, hold.until)
        worst = READY
        for breaker in self._breakers(key):
            condition = breaker.condition(now)
            if condition.state is State.OPEN:
                return condition
            if condition.state is State.HALF_OPEN:
                worst = condition
        if max_parallel is not None and self.in_flight.get(key.provider, 0) >= max_parallel:
            return Condition(State.FULL, f"all {max_parallel} slots are taken")
        if worst is READY and self._busy and self._busy.get(key.endpoint, 0.0) > now:
            return Condition(State.BUSY, "busy a moment ago", self._busy[key.endpoint])
        return worst

    def begin(self, key: Key, now: float) -> Ticket:
        """A call starts: its slot is taken, and it is the trial of what is half-open."""
        self.in_flight[key.provider] = self.in_flight.get(key.provider, 0) + 1
        trials = tuple(b for b in self._breakers(key) if b.opening and now >= b.until and not b.trial)
        for breaker in trials:
            breaker.trial = True
        return Ticket(key, trials)

    def heard(self, ticket: Ticket) -> None:
        """The endpoint answers: whatever it says, it is there."""
        if (breaker := self._endpoints.get(ticket.key.endpoint)) is not None:
            breaker.close()

    def succeeded(self, ticket: Ticket, now: float) -> None:
        """The call ended well: everything held against this candidate is over."""
        key = ticket.key
        self._free(ticket)
        self.heard(ticket)
        if (breaker := self._models.get((key.endpoint, key.model))) is not None:
            breaker.recent.append((now, False))
            if breaker.opening:
                breaker.close()
            breaker.in_a_row = 0
        self._holds.pop(key.provider, None)
        self._missing.pop((key.provider, key.model), None)
        self._busy.pop(key.endpoint, None)

    def failed(
        self,
        ticket: Ticket,
        effect: Effect,
        now: float,
        *,
        reason: str,
        retry_after: float | None = None,
        retry_after_max: float = 300.0,
    ) -> None:
        """The call ended badly.

        Args:
            effect: what the failure does.
            reason: a few words for people.
            retry_after: seconds that the backend asked for.
            retry_after_max: the longest throttle that it can cause.
        """
        key = ticket.key
        self._free(ticket)
        match effect:
            case Effect.ENDPOINT_DOWN:
                self._endpoint(key).open(reason, now, self._rng)
            case Effect.ENDPOINT_FAULT:
                breaker = self._endpoint(key)
                breaker.in_a_row += 1
                if breaker.in_a_row >= numbers.TIMEOUTS_IN_A_ROW or breaker.opening:
                    breaker.open(reason, now, self._rng)
            case Effect.MODEL_FAULT:
                self.heard(ticket)
                breaker = self._models.setdefault((key.endpoint, key.model), _Breaker())
                breaker.in_a_row += 1
                breaker.recent.append((now, True))
                if (
                    breaker.in_a_row >= numbers.SERVER_FAULTS_IN_A_ROW
                    or breaker.opening
                    or breaker.fault_ratio_reached(now)
                ):
                    breaker.open(reason, now, self._rng)
            case Effect.THROTTLE:
                self._throttle(key, now, reason, retry_after, retry_after_max)
            case Effect.QUOTA:
                length = numbers.QUOTA_THROTTLE
                self._holds[key.provider] = _Hold(State.THROTTLED, now + length, reason, length)
            case Effect.AUTH:
                self._flag(key, now, reason, numbers.AUTH_FLAG, numbers.AUTH_FLAG_MAX)
            case Effect.CRASH:
                self._flag(key, now, reason, numbers.CRASH_FLAG, numbers.AUTH_FLAG_MAX)
            case Effect.MODEL_MISSING:
                length = numbers.MODEL_FLAG
                self._missing[key.provider, key.model] = _Hold(State.FLAGGED, now + length, reason, length)
            case Effect.BUSY:
                self._busy[key.endpoint] = now + numbers.BUSY_MOMENT
            case Effect.NONE:
                pass

    def check_answered(self, endpoint: str) -> None:
        """A check beside a running call was answered here: from now on a silent check means something."""
        self._checks.add(endpoint)

    def answers_checks(self, endpoint: str) -> bool:
        """Whether this endpoint has ever answered a check beside a running call."""
        return endpoint in self._checks

    def forgive(self, provider: str, endpoint: str) -> None:
        """Forget everything held against a provider: its configuration changed, or a test succeeded."""
        self._holds.pop(provider, None)
        self._endpoints.pop(endpoint, None)
        self._busy.pop(endpoint, None)
        self._models = {key: b for key, b in self._models.items() if key[0] != endpoint}
        self._missing = {key: hold for key, hold in self._missing.items() if key[0] != provider}

    def _breakers(self, key: Key) -> list[_Breaker]:
        found = (self._endpoints.get(key.endpoint), self._models.get((key.endpoint, key.model)))
        return [breaker for breaker in found if breaker is not None]

    def _endpoint(self, key: Key) -> _Breaker:
        return self._endpoints.setdefault(key.endpoint, _Breaker())

    def _held(self, key: Key, now: float) -> _Hold | None:
        for hold in (self._holds.get(key.provider), self._missing.get((key.provider, key.model))):
            if hold is not None and hold.until > now:
                return hold
        return None

    def _free(self, ticket: Ticket) -> None:
        left = self.in_flight.get(ticket.key.provider, 1) - 1
        if left > 0:
            self.in_flight[ticket.key.provider] = left
        else:
            self.in_flight.pop(ticket.key.provider, None)
        for breaker in ticket.trials:
            breaker.trial = False

    def _throttle(self, key: Key, now: float, reason: str, retry_after: float | None, retry_after_max: float) -> None:
        before = self._holds.get(key.provider)
        if retry_after is not None:
            length = min(max(retry_after, numbers.THROTTLE_LEAST), retry_after_max)
            next_length = numbers.THROTTLE_FIRST
        else:
            doubled = before.length * 2 if before and before.state is State.THROTTLED else numbers.THROTTLE_FIRST
            length = next_length = min(doubled, numbers.THROTTLE_LAST)
        self._holds[key.provider] = _Hold(State.THROTTLED, now + length, reason, next_length)

    def _flag(self, key: Key, now: float, reason: str, first: float, last: float) -> None:
        before = self._holds.get(key.provider)
        length = min(before.length * 2, last) if before and before.state is State.FLAGGED else first
        self._holds[key.provider] = _Hold(State.FLAGGED, now + length, reason, length)


class RetryBudget:
    """How many retries a process allows itself: a share of its requests, and a few a second in any case."""

    def __init__(self) -> None:
        self._requests: deque[float] = deque()
        self._retries: deque[float] = deque()

    def request(self, now: float) -> None:
        self._requests.append(now)
        self._forget(self._requests, now)

    def take(self, now: float) -> bool:
        """Whether one more retry is allowed now; if so, it is counted."""
        self._forget(self._requests, now)
        self._forget(self._retries, now)
        allowed = (
            len(self._requests) * numbers.RETRY_BUDGET_RATIO + numbers.RETRY_BUDGET_FLOOR * numbers.RETRY_BUDGET_WINDOW
        )
        if len(self._retries) >= allowed:
            return False
        self._retries.append(now)
        return True

    @staticmethod
    def _forget(times: deque[float], now: float) -> None:
        while times and times[0] <= now - numbers.RETRY_BUDGET_WINDOW:
            times.popleft()
