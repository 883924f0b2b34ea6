"""Health: why a provider is left alone for a while, and until when. Pure; every moment is handed in.

Breakers stand for an endpoint and for a model at an endpoint, throttles and flags for a provider. Nothing here
vetoes: a plan orders by what it reads here.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from random import Random
from typing import Final

from provider_router import limits as numbers
from provider_router.routing.breaker import READY, Breaker, Condition, State, worse
from provider_router.routing.effect import Effect
from provider_router.routing.epoch import Epoch
from provider_router.routing.hints import Hints, Note
from provider_router.routing.hold import Hold, hold
from provider_router.routing.homes import Homes
from provider_router.routing.line import UNBOUNDED, Pool, Slots, Turn
from provider_router.routing.load import Load
from provider_router.routing.speed import Speeds
from provider_router.routing.telling import notes_of
from provider_router.routing.ticket import Key, Ticket

_CLOCKS_APART: Final = 0.01  # seconds by which two comparisons of wall clock and own clock may differ
_REMEMBERED: Final = 1000  # models; callers of an open provider may invent names without end


class Health:
    """What one process knows of its providers.

    Attributes:
        in_flight: calls that run at present, by provider; without those that have none.
        line: the requests that wait for a free slot.
        hints: what other processes say.
        changes: grows with whatever others should hear of.
    """

    def __init__(self, *, rng: Random | None = None) -> None:
        self._rng = rng or Random()  # noqa: S311 - jitter, no secret
        self._endpoints: dict[str, Breaker] = {}
        self._models: dict[tuple[str, str | None], Breaker] = {}
        self._opened: set[Breaker] = set()  # those that are not closed, and perhaps some that are again
        self._throttles: dict[str, Hold] = {}
        self._flags: dict[str, Hold] = {}
        self._missing: dict[tuple[str, str | None], Hold] = {}
        self._busy: dict[str, float] = {}
        self._checks: set[str] = set()
        self._speeds = Speeds()
        self._homes = Homes()
        self._refused: dict[tuple[str, str | None], set[str]] = {}
        self._tests: dict[tuple[str, str], float] = {}
        self._heard_tests: dict[str, float] = {}
        self._load = Load()
        self.in_flight = self._load.in_flight
        self.line = self._load.line
        self.hints = Hints()
        self.changes = 0
        self._epoch: Epoch | None = None  # what changes how somebody stands takes it away

    def condition(self, key: Key, now: float, *, slots: Slots = UNBOUNDED, turn: Turn | None = None) -> Condition:
        """How a candidate stands now, the worst of what is known of it; `turn` is the asker's place in the line."""
        worst = self._held_against(key, now)
        if worst.askable and (pool := self.full(key.provider, slots, turn=turn)) is not None:
            bound, whose = (slots.provider, "") if pool == key.provider else (slots.link, f" for {slots.model}")
            return Condition(State.FULL, f"all {bound} slots{whose} are taken")
        return worst

    def _held_against(self, key: Key, now: float) -> Condition:
        epoch = self._epoch
        if epoch is None or not epoch.holds(now):
            return self._weighed(key, now)
        if not epoch.troubled:
            return READY
        known = epoch.known.get(key)
        if known is None:
            if len(epoch.known) >= _REMEMBERED:
                epoch.known.clear()
            known = epoch.known[key] = self._weighed(key, now)
        return known

    def _weighed(self, key: Key, now: float) -> Condition:
        throttle = self._throttles.get(key.provider)
        if throttle is not None and throttle.until > now:
            return Condition(State.THROTTLED, throttle.reason, throttle.until)
        worst = READY
        for flag in (self._flags.get(key.provider), self._missing.get((key.provider, key.model))):
            if flag is not None and flag.until > now:
                worst = worse(worst, Condition(State.FLAGGED, flag.reason, flag.until))
        for breaker in self._breakers(key):
            if breaker.opening:
                worst = worse(worst, breaker.condition(now))
        if worst is READY and self._busy.get(key.endpoint, 0.0) > now:
            return Condition(State.BUSY, "busy a moment ago", self._busy[key.endpoint])
        if worst is READY and (note := self.hints.about(key.provider, key.endpoint, key.model, at=now)) is not None:
            return Condition(State.DOUBTED, f"another process found it {note.state}: {note.reason}", note.until)
        return worst

    def epoch(self, now: float) -> Epoch:
        """The epoch that this moment lies in; as long as it is the same one, so is how everybody stands."""
        epoch = self._epoch
        if epoch is None or not epoch.holds(now):
            epoch = self._epoch = self._surveyed(now)
        return epoch

    def _surveyed(self, now: float) -> Epoch:
        self._opened = {breaker for breaker in self._opened if breaker.opening}
        ends = [breaker.until for breaker in self._opened]
        for holds in (self._throttles, self._flags, self._missing):
            ends += [held.until for held in holds.values()]
        ends += self._busy.values()
        if self.hints.speak_ill:
            ends += self.hints.ends()
        ends = [end for end in ends if end > now]
        troubled = bool(ends or self._opened or self._refused or self.hints.speak_ill)
        if any(breaker.trial is not None and breaker.until <= now for breaker in self._opened):
            ends.append(now)  # nobody knows when a trial ends: at any moment, it is said
        return Epoch(troubled, now, min(ends, default=float("inf")))

    def unwell_models(self, provider: str, endpoint: str, now: float) -> list[str | None]:
        """The models of which something is known that does not hold for the whole provider."""
        found = {model for (where, model), breaker in self._models.items() if where == endpoint and breaker.opening}
        found |= {model for (name, model), hold in self._missing.items() if name == provider and hold.until > now}
        return sorted(found | self.hints.models(provider, endpoint, at=now), key=lambda model: model or "")

    def to_check_first(self, key: Key, now: float) -> bool:
        """Whether a cheap check is to say that the endpoint lives before a request is trusted to it."""
        breaker = self._endpoints.get(key.endpoint)
        if breaker is not None and breaker.opening:
            return breaker.on_offer(now)
        return self.hints.about(key.provider, key.endpoint, key.model, at=now) is not None

    def full(self, provider: str, slots: Slots, *, turn: Turn | None = None) -> Pool | None:
        """Which pool of slots that a call needs is taken, or kept for those who came before; None if it may begin."""
        return self._load.full(provider, slots, turn=turn)

    def begin(self, key: Key, now: float, *, slots: Slots = UNBOUNDED) -> Ticket:
        """A call starts: its slots are taken, and it is the trial of what is half-open."""
        link = self._load.take(key.provider, slots)
        if not self._opened:
            return Ticket(key, now, (), link)
        trials = tuple([breaker for breaker in self._breakers(key) if breaker.opening and breaker.on_offer(now)])
        ticket = Ticket(key, now, trials, link)
        for breaker in trials:
            breaker.trial = ticket
            self._epoch = None
        return ticket

    def heard(self, ticket: Ticket) -> None:
        """The endpoint answers: whatever it says, it is there, and others may go there again."""
        if (breaker := self._endpoints.get(ticket.key.endpoint)) is not None:
            self._well(breaker, ticket)

    def _well(self, breaker: Breaker, ticket: Ticket) -> None:
        if breaker.well(ticket.began):
            self.changes += 1
            self._epoch = None

    def succeeded(self, ticket: Ticket, now: float) -> None:
        """The call ended well: everything held against this candidate before it began is over."""
        key = ticket.key
        self._free(ticket)
        self.heard(ticket)
        self._answered(key)
        breaker = self._model(key, now)
        self._well(breaker, ticket)
        breaker.in_a_row = 0
        breaker.window.add(now, fault=False)
        for holds in (self._throttles, self._flags):
            if (hold := holds.get(key.provider)) is not None and ticket.began >= hold.since:
                del holds[key.provider]
                self.changes += 1
                self._epoch = None
        if self.hints.about(key.provider, key.endpoint, key.model, at=now) is not None:
            self.hints.forgive(key.provider, key.endpoint, at=now)
            self._epoch = None
        if self._missing.pop((key.provider, key.model), None) is not None:
            self._epoch = None
        if self._busy.pop(key.endpoint, None) is not None:
            self._epoch = None

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
            ticket: of the call.
            effect: what the failure does.
            now: the moment.
            reason: a few words for people.
            retry_after: seconds that the backend asked for.
            retry_after_max: the longest throttle that it can cause.
        """
        key = ticket.key
        self.changes += effect not in (Effect.NONE, Effect.BUSY)
        if effect is not Effect.NONE:
            self._epoch = None
        throttle, flag = (
            partial(hold, holds, key.provider, ticket.began, now, reason) for holds in (self._throttles, self._flags)
        )
        match effect:
            case Effect.ENDPOINT_DOWN | Effect.ENDPOINT_FAULT:
                breaker = self._endpoints.setdefault(key.endpoint, Breaker())
                breaker.in_a_row += 1
                opens = effect is Effect.ENDPOINT_DOWN or breaker.in_a_row >= numbers.TIMEOUTS_IN_A_ROW
                self._fault(breaker, ticket, now, reason, opens=opens)
            case Effect.MODEL_FAULT:
                breaker = self._model(key, now)
                breaker.in_a_row += 1
                breaker.window.add(now, fault=True)
                opens = breaker.in_a_row >= numbers.SERVER_FAULTS_IN_A_ROW or breaker.window.bad
                self._fault(breaker, ticket, now, reason, opens=opens)
            case Effect.THROTTLE if retry_after is not None:
                throttle(length=min(max(retry_after, numbers.THROTTLE_LEAST), retry_after_max))
            case Effect.THROTTLE:
                throttle(first=numbers.THROTTLE_FIRST, last=numbers.THROTTLE_LAST)
            case Effect.QUOTA:
                throttle(length=numbers.QUOTA_THROTTLE)
            case Effect.AUTH:
                flag(first=numbers.AUTH_FLAG, last=numbers.AUTH_FLAG_MAX)
            case Effect.CRASH:
                flag(first=numbers.CRASH_FLAG, last=numbers.AUTH_FLAG_MAX)
            case Effect.MODEL_MISSING:
                if len(self._missing) >= _REMEMBERED:
                    self._missing = {name: held for name, held in self._missing.items() if held.until > now}
                self._missing[key.provider, key.model] = Hold(now, now + numbers.MODEL_FLAG, reason)
            case Effect.BUSY:
                self._busy[key.endpoint] = now + numbers.BUSY_MOMENT
        self._free(ticket)

    def _fault(self, breaker: Breaker, ticket: Ticket, now: float, reason: str, *, opens: bool) -> None:
        breaker.fault(ticket, now, reason=reason, opens=opens, rng=self._rng)
        if breaker.opening:
            self._opened.add(breaker)

    def answered(self, ticket: Ticket) -> None:
        """The call ended badly, but the backend gave an answer: faults of the endpoint are no longer in a row."""
        self.heard(ticket)
        self._answered(ticket.key)

    def spoke(self, ticket: Ticket, now: float, *, prefix: str = "") -> None:
        """The first delta, or a whole answer, came: how fast it was, and where this conversation is now."""
        self._speeds.add(ticket.key, now - ticket.began, now)
        if prefix:
            self._homes.serve(prefix, ticket.key.provider, now)

    def cost(self, key: Key, now: float) -> float:
        """Seconds until the first delta, as far as can be told, with the calls that run there; 0 for an unknown one."""
        return self._speeds.of_late(key, now) * (self.in_flight.get(key.provider, 0) + 1)

    def served_by(self, prefix: str, now: float) -> str | None:
        """Who served this conversation last, unless that is long ago."""
        return self._homes.of(prefix, now)

    def learn(self, key: Key, capability: str) -> None:
        """A candidate has refused what only this capability needs."""
        self._refused.setdefault((key.provider, key.model), set()).add(capability)
        self._epoch = None

    def refused(self, key: Key) -> AbstractSet[str]:
        """The capabilities that a candidate declares and has refused."""
        return self._refused.get((key.provider, key.model), frozenset())

    def check_answered(self, endpoint: str) -> None:
        """A check beside a running call was answered here: from now on a silent check means something."""
        if endpoint not in self._checks:
            self._checks.add(endpoint)
            self.changes += 1

    def answers_checks(self, endpoint: str) -> bool:
        """Whether this endpoint has ever answered a check beside a running call."""
        return endpoint in self._checks or self.hints.answers_checks(endpoint)

    def tested(self, provider: str, endpoint: str, now: float) -> None:
        """A test succeeded: everything held against the provider is over, here at once and for others soon."""
        self.forgive(provider, endpoint, now)
        self._tests[provider, endpoint] = now

    def forgive(self, provider: str, endpoint: str, now: float) -> None:
        """Forget what was held against a provider until now: its configuration changed, or a test succeeded."""
        self.changes += 1
        self._epoch = None
        self.hints.forgive(provider, endpoint, at=now)
        for holds in (self._throttles, self._flags):
            if (held := holds.get(provider)) is not None and held.since <= now:
                del holds[provider]
        if (breaker := self._endpoints.get(endpoint)) is not None and breaker.opened <= now:
            self._opened.discard(self._endpoints.pop(endpoint))
        self._busy.pop(endpoint, None)
        for name in [name for name, b in self._models.items() if name[0] == endpoint and b.opened <= now]:
            self._opened.discard(self._models.pop(name))
        self._missing = {key: held for key, held in self._missing.items() if key[0] != provider or held.since > now}
        self._refused = {key: refused for key, refused in self._refused.items() if key[0] != provider}

    # What processes tell each other

    def notes(self, now: float) -> list[Note]:
        """What this process knows that others should hear."""
        return notes_of(
            now,
            endpoints=self._endpoints,
            models=self._models,
            throttles=self._throttles,
            flags=self._flags,
            missing=self._missing,
            checks=self._checks,
            tests=self._tests,
        )

    def hear(self, notes: Sequence[Note]) -> None:
        """What the others know, in moments of this process's clock: hints, and good tests that end what is held."""
        self.hints.hear(notes)
        self._epoch = None
        for note in self.hints.tests():
            provider, endpoint = note.subject, note.model or ""
            if note.at > self._heard_tests.get(provider, float("-inf")) + _CLOCKS_APART:
                self._heard_tests[provider] = note.at
                self.forgive(provider, endpoint, note.at)

    def _breakers(self, key: Key) -> list[Breaker]:
        found = (self._endpoints.get(key.endpoint), self._models.get((key.endpoint, key.model)))
        return [breaker for breaker in found if breaker is not None]

    def _model(self, key: Key, now: float) -> Breaker:
        name = (key.endpoint, key.model)
        breaker = self._models.get(name)
        if breaker is None:
            if len(self._models) >= _REMEMBERED:
                self._forget_models(now)
            breaker = self._models[name] = Breaker()
        return breaker

    def _forget_models(self, now: float) -> None:
        for breaker in self._models.values():
            breaker.window.forget(now)
        self._models = {name: b for name, b in self._models.items() if b.opening or b.in_a_row or b.window.calls}

    def _answered(self, key: Key) -> None:
        if (breaker := self._endpoints.get(key.endpoint)) is not None:
            breaker.in_a_row = 0

    def _free(self, ticket: Ticket) -> None:
        self._load.free(ticket.key.provider, ticket.link)
        for breaker in ticket.trials:
            breaker.free(ticket)
            self._epoch = None
