"""Whole lives of backends, processes and callers in virtual time, from a seed: whatever happens, the contract holds.

A broken seed prints itself; `replay(seed)` runs it again.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, groupby
from random import Random
from typing import Any

import pytest
from attrs import define, evolve, field

from provider_router.chat import ChatChunk
from provider_router.dialects.dialect import Sign
from provider_router.errors import (
    Busy,
    DeadlineExceeded,
    Failure,
    NoCandidates,
    ProviderError,
    ProviderRouterError,
    StreamInterrupted,
    error_class,
)
from provider_router.limits import CHECK_SILENCE, NOTES_EVERY
from provider_router.providers.zones import within
from provider_router.routing.actions import Abandon, Answer, Ask, Check, Fail, Wait
from provider_router.routing.effect import Effect
from provider_router.routing.failover import Failover
from provider_router.routing.health import Health
from provider_router.routing.hints import Note
from provider_router.routing.plan import Needs, plan
from provider_router.routing.retry_budget import RetryBudget
from provider_router.routing.snapshot import ProviderLink, ProviderView, RoutingSettings, Snapshot
from provider_router.routing.strategies import STRATEGIES
from provider_router.routing.table import TABLE
from provider_router.routing.walk import Policy

pytestmark = pytest.mark.no_cover  # much traffic; quicker tests cover what it runs

START = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = ChatChunk(b'{"choices":[{"delta":{"content":"x"}}]}')
COUNTING = (Effect.ENDPOINT_DOWN, Effect.ENDPOINT_FAULT, Effect.MODEL_FAULT)
MOODS = ("well", "well", "well", "slow", "dead", "frozen", "failing", "throttling", "refusing", "picky")


@define(eq=False)
class Life:
    """A backend: from each moment on a mood."""

    moods: list[tuple[float, str]]

    def mood(self, time: float) -> str:
        return next(mood for since, mood in reversed(self.moods) if since <= time)

    def thaw(self, time: float) -> float | None:
        """The next moment at which it is not frozen."""
        return next((since for since, mood in self.moods if since > time and mood != "frozen"), None)

    def well_since(self, begin: float, end: float) -> bool:
        moods = {mood for since, mood in self.moods if begin < since <= end} | {self.mood(begin)}
        return moods <= {"well", "slow"}


@define(eq=False)
class Process:
    """One process, from its start on: what it knows, and who waits in it for a slot."""

    health: Health
    budget: RetryBudget = field(factory=RetryBudget)
    sleepers: list[Request] = field(factory=list)
    running: dict[Any, int] = field(factory=dict)


class World:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.time = 100.0
        self.jumped = 0.0  # of the clock that only goes forward
        self.wall_jumped = 0.0  # of the wall clock, which may be set back
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self.processes = [Process(Health(rng=self.rng)) for _ in range(self.rng.choice([1, 1, 2, 3]))]
        self.all = list(self.processes)  # those that have been restarted too
        self.board: dict[int, list[Note]] = {}  # what each process has told, in moments of the wall clock
        self.trials: dict[int, Any] = {}
        self.calls: dict[str, int] = {}  # in flight at each endpoint
        names = "abcd"[: self.rng.randint(1, 4)]
        self.lives = {name: self._life() for name in names}
        self.snapshot = Snapshot(
            providers=tuple(
                ProviderView(
                    id=name,
                    endpoint=self.rng.choice([name, name, "shared"]),
                    priority=self.rng.randint(0, 2),
                    zone=self.rng.choice(["loopback", "lan", "internet"]),
                    free_check=self.rng.random() < 0.6,
                    max_parallel=self.rng.choice([None, None, 1, 2]),
                    default_model="m",
                    links={"m": ProviderLink(model="m", remote_name="m", default=True, max_parallel=bound)}
                    if (bound := self.rng.choice([None, None, None, 1]))
                    else {},
                )
                for name in names
            ),
            settings=RoutingSettings(strategy=self.rng.choice(list(STRATEGIES))),
        )
        # A backend that does one thing at a time answers no check beside a running call.
        self.single = {view.endpoint for view in self.snapshot.providers if self.rng.random() < 0.3}
        self.requests = [Request(self) for _ in range(self.rng.randint(2, 8))]

    def _life(self) -> Life:
        moods, since = [(0.0, self.rng.choice(MOODS))], 100.0
        for _ in range(self.rng.randint(0, 4)):
            since += self.rng.expovariate(1 / 20)
            moods.append((since, self.rng.choice(MOODS)))
        return Life(moods)

    @property
    def clock(self) -> float:
        return self.time + self.jumped

    def at(self, clock: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (max(clock - self.jumped, self.time), next(self._order), what))

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.time + seconds, next(self._order), what))

    @property
    def wall(self) -> float:
        return 1e9 + self.time + self.jumped + self.wall_jumped

    def jump(self) -> None:
        """The machine sleeps: every clock is ahead of what was heard."""
        self.jumped += self.rng.choice([0.5, 30.0, 3600.0])
        for request in self.requests:
            request.jumped_at = self.clock

    def set_wall(self) -> None:
        self.wall_jumped += self.rng.choice([-86400.0, -3600.0, -30.0, 30.0, 3600.0])

    def exchange(self, process: Process) -> None:
        """A process tells the others what it knows, and hears what they know."""
        now, wall, before = self.clock, self.wall, openings(process.health)
        told = process.health.notes(now)
        self.board[id(process)] = [evolve(n, until=n.until + wall - now, at=n.at + wall - now) for n in told]
        heard = [n for other, notes in self.board.items() if other != id(process) for n in notes if n.holds(wall)]
        process.health.hear([evolve(n, until=n.until + now - wall, at=n.at + now - wall) for n in heard])
        assert openings(process.health) <= before, "a hint opened a breaker"
        if process in self.processes and not all(request.over for request in self.requests):
            self.after(NOTES_EVERY, lambda: self.exchange(process))

    def restart(self) -> None:
        """A process ends in peace, and the next one begins with what all have told."""
        place = self.rng.randrange(len(self.processes))
        self.exchange(self.processes[place])
        self.processes[place] = Process(Health(rng=self.rng))
        self.all.append(self.processes[place])
        self.exchange(self.processes[place])

    def test(self) -> None:
        """Somebody tests a provider, and it answers."""
        view = self.rng.choice(self.snapshot.providers)
        if self.lives[view.id].mood(self.time) in ("well", "slow"):
            self.rng.choice(self.processes).health.tested(view.id, view.endpoint, self.clock)

    def wake(self, process: Process) -> None:
        sleepers, process.sleepers = process.sleepers, []
        self.rng.shuffle(sleepers)
        for request in sleepers:
            self.after(0.0, request.wake)

    def run(self) -> None:
        for request in self.requests:
            self.after(self.rng.expovariate(1 / 15), request.start)
        if len(self.processes) > 1:
            for process in self.processes:
                self.after(self.rng.uniform(0, NOTES_EVERY), lambda process=process: self.exchange(process))
        for what in (self.jump, self.jump, self.set_wall, self.set_wall, self.restart, self.test):
            if self.rng.random() < 0.12:
                self.after(self.rng.uniform(0, 60), what)
        for _ in range(20_000):
            if not self._heap:
                break
            self.time, _, what = heapq.heappop(self._heap)
            what()
        assert not self._heap, "the world never comes to rest"
        assert all(request.over for request in self.requests), "a request never ends"
        for process in self.all:
            assert process.health.in_flight == process.health._load.over_links == {}
            assert len(process.health.line) == 0
            assert not any(process.running.values())
        assert self.trials == {}


@define(eq=False)
class Request:
    world: World
    over: bool = False
    machine: Any = None
    generation: int = 0  # of attempts and waits; what belongs to an old one is void
    began: float = 0.0
    asked_at: float = 0.0
    asked: Any = None
    ticket: Any = None
    jumped_at: float | None = None
    slot: bool = False
    committed: bool = False  # whether the caller has had a part of the answer
    differs: bool = False  # whether a replay said something else
    checked_first: bool = False
    others: int = 0  # calls that were in flight at its endpoint when it was asked
    process: Process = field(init=False)
    needs: Needs = field(init=False)
    policy: Policy = field(init=False)

    def __attrs_post_init__(self) -> None:
        rng = self.world.rng
        self.needs = Needs(zone=rng.choice([None, None, None, "lan"]), prefix=rng.choice("xyz"))
        self.policy = Policy(
            stream=rng.random() < 0.5,
            total=rng.choice([None, None, 5.0, 40.0, 200.0]),
            max_wait=rng.choice([0.5, 30.0]),
            fallback_on=rng.choice([frozenset(), frozenset({"bad_request"})]),
            resume=rng.choice(["error", "replay"]),
        )

    def start(self) -> None:
        world = self.world
        self.began = world.clock
        self.process = world.rng.choice(world.processes)
        health = self.process.health
        at = START + timedelta(seconds=world.rng.choice([0, -7200, 86400]))  # the wall clock may say anything
        made = plan(self.needs, world.snapshot, health, now=self.began, at=at, seed=world.seed)
        assert sorted(step.provider for step in made) == sorted(world.lives)
        self.machine = Failover(
            made, self.policy, health=health, budget=self.process.budget, now=self.began, rng=world.rng
        )
        if world.rng.random() < 0.15:
            world.after(world.rng.expovariate(1 / 10), self.hang_up)
        self.do(self.machine.start(world.clock))

    def hang_up(self) -> None:
        if not self.over:
            self.machine.cancelled(self.world.clock)
            self.end_attempt()
            self.finish()

    def finish(self) -> None:
        self.over = True
        self.generation += 1
        if self in self.process.sleepers:
            self.process.sleepers.remove(self)
        self.world.wake(self.process)
        attempts = self.machine.attempts
        assert len(attempts) <= self.policy.max_attempts
        for provider, group in groupby(attempts, key=lambda attempt: attempt.provider):
            failures = [attempt.failure for attempt in group]
            alone = len(self.machine.plan.candidates) == 1
            for retry, failure in enumerate(failures[:-1], 1):
                row = TABLE[failure]
                assert retry <= (row.again_alone if alone else row.again), (provider, failures)
        if self.policy.total is not None and (self.jumped_at is None or self.jumped_at < self.began):
            assert self.world.clock <= self.began + self.policy.total + 1e-6

    def guarded(self, what: Callable[[], None]) -> Callable[[], None]:
        generation = self.generation

        def run() -> None:
            if not self.over and generation == self.generation:
                what()

        return run

    def wake(self) -> None:
        if not self.over and self.slot:
            self.woke()

    def woke(self) -> None:
        was_slot, self.slot = self.slot, False
        if self in self.process.sleepers:
            self.process.sleepers.remove(self)
        self.generation += 1
        action = self.machine.woke(self.world.clock)
        self.do(action)
        if was_slot and (not self.slot or (isinstance(action, Wait) and action.moved)):
            self.world.wake(self.process)

    def do(self, action: Any) -> None:
        match action:
            case Ask():
                self.ask(action)
            case Wait(seconds, slot):
                assert seconds >= 0
                assert self.policy.total is None or seconds <= self.policy.total + 1e-6
                self.slot = slot
                if slot:
                    self.process.sleepers.append(self)
                self.world.after(seconds, self.guarded(self.woke))
            case Answer():
                self.finish()
            case Fail(error):
                self.judge(error)
                replays = self.policy.resume == "replay" and self.machine.committed and not self.differs
                if isinstance(error, StreamInterrupted) and replays:
                    self.do(self.machine.resume(self.world.clock))
                else:
                    self.finish()

    def judge(self, error: ProviderRouterError) -> None:
        assert isinstance(error, ProviderError | DeadlineExceeded | NoCandidates)
        assert error.attempts == tuple(self.machine.attempts)
        if isinstance(error, Busy) and error.detail == "all slots taken":
            assert any(view.max_parallel or view.links for view in self.world.snapshot.providers)

    # One attempt

    def ask(self, ask: Ask) -> None:
        world, candidate = self.world, ask.candidate
        assert candidate in self.machine.plan.candidates
        assert within(candidate.view.zone, self.needs.zone)
        running, slots, link = self.process.running, candidate.slots, (candidate.provider, candidate.asked)
        for pool, bound in ((candidate.provider, slots.provider), (link, slots.link)):
            running[pool] = running.get(pool, 0) + 1
            assert bound is None or running[pool] <= bound
        self.others = world.calls.get(candidate.view.endpoint, 0)
        world.calls[candidate.view.endpoint] = self.others + 1
        self.checked_first = ask.check_first
        assert not ask.check_first or candidate.view.free_check
        self.asked, self.asked_at, self.ticket = candidate, world.time, self.machine._ticket
        for breaker in self.ticket.trials:
            assert id(breaker) not in world.trials or breaker.trial is not world.trials[id(breaker)]
            assert breaker.trial is self.ticket
            world.trials[id(breaker)] = self.ticket
        self.generation += 1
        self.play(self.script())
        self.watch()

    def script(self) -> Iterator[tuple[float, Callable[[], Any]]]:
        """What the backend does, as pauses and what comes after each."""
        rng, machine, world = self.world.rng, self.machine, self.world
        life = world.lives[self.asked.provider]
        mood = life.mood(world.time)
        if self.checked_first:
            yield from self.first_check(life)
        if mood == "dead":
            yield 0.01, lambda: self.fail(Failure.CONNECT)
        yield 0.01, lambda: machine.sent(world.clock)
        pause = rng.uniform(20, 55) if mood == "slow" else rng.uniform(0.1, 3)
        yield pause, lambda: machine.life(world.clock)
        if mood == "failing":
            failure = rng.choice([Failure.SERVER, Failure.RESET, Failure.MALFORMED, Failure.CRASHED])
            yield 0.0, lambda: self.fail(failure)
        if mood == "throttling":
            header = rng.choice([None, 0.0, 2.0, 20.0])
            yield 0.0, lambda: self.fail(Failure.RATE_LIMIT, retry_after=header)
        if mood == "refusing":
            failure = rng.choice([Failure.AUTH, Failure.QUOTA, Failure.MODEL_UNAVAILABLE])
            yield 0.0, lambda: self.fail(failure)
        if mood == "picky":
            failure = rng.choice([Failure.BAD_REQUEST, Failure.CONTEXT_LENGTH, Failure.CAPABILITY, Failure.BUSY])
            yield 0.0, lambda: self.fail(failure)
        if self.policy.stream:
            for _ in range(3):
                yield rng.uniform(0.01, 5), self.chunk
            if rng.random() < 0.1:
                yield 0.0, lambda: self.conclude(machine.ended(world.clock))
            yield 0.01, self.last_chunk
            yield 0.0, lambda: self.conclude(machine.ended(world.clock))
        yield 0.0, lambda: self.conclude(machine.completed(world.clock))

    def first_check(self, life: Life) -> Iterator[tuple[float, Callable[[], Any]]]:
        """The check before the request: the one at a time answers it while nobody else is asking."""
        world, endpoint = self.world, self.asked.view.endpoint
        busy = endpoint in world.single and self.others > 0
        if life.mood(world.time) == "frozen" or busy:
            error = error_class(Failure.TIMEOUT)("it does not answer its check", detail="dead")
            world.after(CHECK_SILENCE, self.guarded(lambda: self.fail_with(error, busy=busy)))
            yield CHECK_SILENCE + 1, lambda: None
        elif life.mood(world.time) == "dead":
            yield 0.01, lambda: self.fail(Failure.CONNECT)
        yield 0.05, lambda: self.machine.passed_check(world.clock)

    def play(self, script: Iterator[tuple[float, Callable[[], Any]]]) -> None:
        pause, what = next(script)

        def step() -> None:
            world = self.world
            life = world.lives[self.asked.provider]
            mood = life.mood(world.time)
            if mood == "frozen":
                thaw = life.thaw(world.time)
                if thaw is not None:
                    world.after(thaw - world.time + 0.001, self.guarded(step))
                return
            if mood == "dead" and life.mood(self.asked_at) != "dead":
                self.fail(Failure.RESET)
                return
            generation = self.generation
            what()
            if not self.over and generation == self.generation:
                self.watch()
                self.play(script)

        self.world.after(pause, self.guarded(step))

    def chunk(self) -> None:
        self.machine.life(self.world.clock)
        if self.committed and not self.machine.committed and self.world.rng.random() < 0.2:
            self.differs = True
            self.fail_with(StreamInterrupted("another answer"))
            return
        self.committed = True
        assert isinstance(self.machine.event(TEXT, Sign(meaningful=True), self.world.clock), list)

    def last_chunk(self) -> None:
        self.machine.life(self.world.clock)
        self.machine.event(TEXT, Sign(finish="stop"), self.world.clock)

    def watch(self) -> None:
        due = self.machine.deadline()
        self.world.at(due, self.guarded(self.alarm))

    def alarm(self) -> None:
        clock = self.world.clock
        if clock < self.machine.deadline() - 1e-9:
            return
        step = self.machine.silent(max(clock, self.machine.deadline()))
        if isinstance(step, Check):
            life = self.world.lives[self.asked.provider]
            mood = life.mood(self.world.time)
            answered: bool | None = True
            seconds = 0.05
            if mood == "dead":
                answered, seconds = False, 0.01
            elif mood == "frozen" or self.asked.view.endpoint in self.world.single:
                answered, seconds = None, step.seconds
            if seconds > (left := self.machine.deadline() - clock):
                answered, seconds = None, left
            assert left > 0
            self.world.after(seconds, self.guarded(lambda: self.checked(answered=answered)))
        elif isinstance(step, Abandon):
            self.abandon(step.error)
        else:
            self.watch()

    def checked(self, *, answered: bool | None) -> None:
        verdict = self.machine.checked(self.world.clock, answered)
        if verdict is not None:
            life = self.world.lives[self.asked.provider]
            assert self.jumped_at is not None or not life.well_since(self.asked_at, self.world.time)
            self.abandon(verdict.error)
        else:
            self.watch()

    def abandon(self, error: ProviderRouterError) -> None:
        self.fail_with(error)

    def fail(self, failure: Failure, **fields: Any) -> None:
        self.fail_with(error_class(failure)("it failed", **fields))

    def fail_with(self, error: ProviderRouterError, *, busy: bool = False) -> None:
        before = openings(self.process.health)
        if isinstance(error, ProviderError) and error.failure in (Failure.TIMEOUT, Failure.STALLED):
            life = self.world.lives[self.asked.provider]
            hurried = self.machine._silence.cut_short
            well = life.well_since(self.asked_at, self.world.time)
            assert busy or hurried or self.jumped_at is not None or not well, "a living backend was taken for dead"
        action = self.machine.failed(error, self.world.clock)
        failure = self.machine.attempts[-1].failure
        if failure is not None and TABLE[failure].effect not in COUNTING:
            assert openings(self.process.health) <= before, "a neutral class opened a breaker"
        if isinstance(error, DeadlineExceeded):
            assert self.policy.total is not None
        self.conclude(action)

    def conclude(self, action: Any) -> None:
        self.end_attempt()
        self.do(action)

    def end_attempt(self) -> None:
        if self.asked is None:
            return
        self.generation += 1
        for pool in (self.asked.provider, (self.asked.provider, self.asked.asked)):
            self.process.running[pool] -= 1
        self.world.calls[self.asked.view.endpoint] -= 1
        for breaker in self.ticket.trials:
            if self.world.trials.get(id(breaker)) is self.ticket:
                del self.world.trials[id(breaker)]
            assert breaker.trial is not self.ticket
        self.asked = self.ticket = None
        self.world.wake(self.process)


def openings(health: Health) -> set[int]:
    """The breakers that are open."""
    return {id(b) for b in (*health._endpoints.values(), *health._models.values()) if b.opening}


def replay(seed: int) -> None:
    try:
        World(seed).run()
    except BaseException as error:
        error.add_note(f"replay with: replay({seed})")
        raise


def test_in_two_thousand_worlds_no_invariant_breaks() -> None:
    for seed in range(2_000):
        replay(seed)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_in_a_hundred_thousand_worlds_no_invariant_breaks() -> None:
    for seed in range(1_000_000, 1_100_000):
        replay(seed)


def test_a_seed_replays_to_the_same_end() -> None:
    def trails(seed: int) -> list[Any]:
        world = World(seed)
        world.run()
        return [request.machine.attempts for request in world.requests if request.machine]

    assert all(trails(seed) == trails(seed) for seed in range(20))
