"""AsyncRouter: one door to all providers, on asyncio and trio."""

from __future__ import annotations

import difflib
import random
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Never, Self, Unpack
from weakref import WeakSet

from attrs import evolve

from provider_router import home
from provider_router.chat import Capability, ChatRequest, ChatResponse, Prompt
from provider_router.dialects.dialect import Dialect
from provider_router.errors import NoCandidates, ProviderError
from provider_router.limits import ZONES
from provider_router.providers.provider import ModelInfo, Provider
from provider_router.routing import plan as planning
from provider_router.routing.breaker import State
from provider_router.routing.call import Call, CallOptions, PassOptions, capabilities
from provider_router.routing.driver import ChatDriver, Driver, PassThroughDriver
from provider_router.routing.failover import Failover
from provider_router.routing.health import Health
from provider_router.routing.plan import Needs, Plan
from provider_router.routing.registry import ProviderRegistry
from provider_router.routing.report import CheckResult, ProviderHealth, standing
from provider_router.routing.retry_budget import RetryBudget
from provider_router.routing.slots import SlotQueue
from provider_router.routing.snapshot import Recording, Snapshot
from provider_router.routing.stream import AsyncChatStream
from provider_router.routing.stream_driver import StreamDriver
from provider_router.routing.vigil import Clock
from provider_router.routing.walk import Policy

NOTHING_CONFIGURED = "no provider is configured yet: run `prouter add`"


class AsyncRouter:
    """One door to all providers: in the plan's order, each failure understood.

    Args:
        database: the configuration's file; PROUTER_CONFIG, PROUTER_DB, PROUTER_HOME or the platform's folder unless
            given.
        providers: ready providers in place of a database, the first with the highest priority.
        plugins: the provider types; those that are installed unless given.
        clock: seconds that only go forward.
        seed: of every random choice, so that a run can be repeated.
        share_health: whether processes on one database tell each other which providers they found unwell.
        history: whether requests are recorded beside the database; the setting `history.enabled` has to say so, too.
    """

    def __init__(
        self,
        database: str | Path | None = None,
        *,
        providers: Sequence[Provider] | None = None,
        plugins: Any = None,
        clock: Clock = time.monotonic,
        seed: int | None = None,
        share_health: bool = True,
        history: bool = True,
        **unknown: Never,
    ) -> None:
        for name in unknown:
            known = ("database", "providers", "plugins", "clock", "seed", "share_health", "history")
            near = difflib.get_close_matches(name, known, 1)
            raise TypeError(f"a Router takes no {name!r}{f'; did you mean {near[0]}?' if near else ''}")
        self._clock = clock
        self._rng = random.Random(seed)  # noqa: S311 - jitter, no secret
        self._budget = RetryBudget()
        self._slots = SlotQueue()
        self.registry = ProviderRegistry(
            providers=providers,
            database=home.database_path(database) if providers is None else None,
            declared=home.declared_path(database) if providers is None else None,
            plugins=plugins,
            health=Health(rng=self._rng),
            share_health=share_health,
            history=history,
            clock=clock,
        )
        self._streams: WeakSet[StreamDriver] = WeakSet()
        self._means: dict[str, Any] = {"registry": self.registry, "slots": self._slots, "clock": clock}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Break off the streams that are still open, close connections and the database. May be called twice."""
        for driver in list(self._streams):
            await driver.aclose()
        await self.registry.aclose()

    # Asking

    async def chat(self, prompt: Prompt | ChatRequest, **options: Unpack[CallOptions]) -> ChatResponse:
        """One answer from whoever the plan names first and can give it.

        Args:
            prompt: a text, a list of messages, or a whole body as a mapping.
            **options: see `CallOptions`: the fields of a chat request, `model`, `provider`, `fallback`, `zone`,
                `timeout` (seconds for the whole call, or `Limits`), `extra_body`, `extra_headers`.

        Raises:
            ProviderError: the decisive failure, as its own class, with `.attempts`.
            NoCandidates: nobody could be asked.
            DeadlineExceeded: the total time is up.
            UnknownModel: no provider serves the model.
            TypeError: for an option that is not known, naming the nearest.
        """
        call = Call.of(prompt, options, stream=False)
        driver = ChatDriver(*await self._prepared(call, stream=False), **self._means)
        try:
            return await driver.chat()
        finally:
            self._record(driver, call.session)

    def stream(self, prompt: Prompt | ChatRequest, **options: Unpack[CallOptions]) -> AsyncChatStream:
        """The same answer in pieces: `async with router.stream(…) as stream: async for chunk in stream: …`.

        Args:
            prompt: as for `chat`.
            **options: as for `chat`.

        Raises:
            TypeError: for an option that is not known. What else `chat` raises comes on entering.
            StreamInterrupted: while iterating, where the stream breaks off after its first text.
        """
        call = Call.of(prompt, options, stream=True)

        async def start() -> StreamDriver:
            driver = StreamDriver(*await self._prepared(call, stream=True), **self._means)
            driver.at_end = partial(self._record, driver, call.session)
            self._streams.add(driver)
            return driver

        return AsyncChatStream(start)

    async def embed(self, body: Mapping[str, Any], **options: Unpack[PassOptions]) -> Mapping[str, Any]:
        """An embeddings request, passed through: `{"model": …, "input": …}` → `{"data": [{"embedding": …}]}`.

        Args:
            body: of the request.
            **options: see `PassOptions`: `provider`, `fallback`, `zone`, `timeout`.

        Raises:
            ProviderError: the failure of the last provider that could be asked.
            NoCandidates: no provider makes embeddings of this model.
            DeadlineExceeded: the total time is up.
            TypeError: for an option that is not known, naming the nearest.
        """
        return await self._pass_through(body, Capability.EMBEDDINGS, options)

    async def complete(self, body: Mapping[str, Any], **options: Unpack[PassOptions]) -> Mapping[str, Any]:
        """A text completion, passed through: `{"model": …, "prompt": …}` → `{"choices": [{"text": …}]}`.

        Args:
            body: of the request.
            **options: as for `embed`.

        Raises:
            ProviderError: the failure of the last provider that could be asked.
            NoCandidates: no provider completes text with this model.
            DeadlineExceeded: the total time is up.
            TypeError: for an option that is not known, naming the nearest.
        """
        return await self._pass_through(body, Capability.COMPLETION, options)

    # Looking

    async def plan(
        self,
        model: str | None = None,
        *,
        provider: str | None = None,
        fallback: bool = False,
        zone: str | None = None,
        needs: Sequence[str] = ("chat",),
    ) -> Plan:
        """Who would be asked now, in which order, and why the others not.

        Where the plan leaves the model to a provider, it is the first that its backend lists: what is not known yet is
        asked for, where a list costs nothing, and is None where that does not answer at once.

        Args:
            model: as for `chat`.
            provider: as for `chat`.
            fallback: as for `chat`.
            zone: as for `chat`.
            needs: capabilities that the request would need.

        Raises:
            UnknownModel: no provider serves the model.
            UnknownProvider: there is no such provider.
            ValueError: for a zone or a capability that does not exist.
        """
        if zone is not None and zone not in ZONES:
            raise ValueError(f"zone: {zone!r} is not one of {', '.join(ZONES)}")
        plan = self._plan(
            Needs(
                model=model,
                provider=provider,
                fallback=fallback,
                zone=zone,
                capabilities=capabilities(needs),
            ),
            await self.registry.refresh(),
        )
        own = {c.provider: c.zone for c in plan.candidates if c.model is None and c.state == State.READY}
        if not own:
            return plan
        first = await self.registry.listing.first_models(own)
        steps = (evolve(step, model=step.model or first.get(step.provider)) for step in plan.candidates)
        return evolve(plan, candidates=tuple(steps))

    async def check(self, provider: str) -> CheckResult:
        """Ask a provider whether it answers. A good check ends whatever was held against it.

        Raises:
            UnknownProvider: there is no such provider.
            ConfigError: it cannot be made; the message says why.
        """
        await self.registry.refresh()
        self.registry.get(provider)
        self.registry.prepare(provider)
        live = self.registry.take(provider)
        begun = self._clock()
        try:
            checked = await live.provider.check()
            self.registry.health.tested(provider, live.provider.endpoint, self._clock())
        except ProviderError as error:
            return CheckResult(
                provider=provider, ok=False, duration=self._clock() - begun, detail=error.detail, error=error
            )
        finally:
            await self.registry.give_back(live)
        return CheckResult(
            provider=provider,
            ok=True,
            duration=self._clock() - begun,
            detail=checked.detail,
            models=checked.models,
        )

    async def models(self, provider: str) -> list[ModelInfo]:
        """The models that a provider's backend lists.

        Raises:
            UnknownProvider: there is no such provider.
            ProviderError: it cannot be asked.
        """
        await self.registry.refresh()
        self.registry.get(provider)
        live = self.registry.take(provider)
        try:
            listed = await live.provider.models()
            self.registry.listing.take_slots(live, listed)
            return listed
        finally:
            await self.registry.give_back(live)

    @property
    def recording(self) -> Recording:
        """How the recording of requests goes: how many were written, and how many were lost, and why."""
        return self.registry.recording

    async def health(self) -> list[ProviderHealth]:
        """How every provider stands, the highest priority first."""
        snapshot = await self.registry.refresh()
        now, at = self._clock(), datetime.now(UTC)
        views = sorted(snapshot.providers, key=lambda v: (v.id != snapshot.active, -v.priority, v.id))
        health, trouble = self.registry.health, self.registry.trouble
        return [standing(view, snapshot, health, now=now, at=at, trouble=trouble) for view in views]

    # How

    async def _prepared(self, call: Call, *, stream: bool) -> tuple[Failover, ChatRequest, Dialect]:
        """The machine and the request that a driver takes."""
        snapshot = await self.registry.refresh()
        needs = call.needs
        if snapshot.settings.strategy == "affinity":
            needs = evolve(needs, prefix=call.prefix())
        plan = self._plan(needs, snapshot)
        request = call.request
        if plan.needs.model != needs.model:
            request = request.changed(model=plan.needs.model)
        if plan.candidates:
            self.registry.prepare(plan.candidates[0].provider)
        return self._machine(plan, call.policy(snapshot.settings, stream=stream)), request, call.dialect

    def _machine(self, plan: Plan, policy: Policy) -> Failover:
        return Failover(
            plan, policy, health=self.registry.health, budget=self._budget, now=self._clock(), rng=self._rng
        )

    def _plan(self, needs: Needs, snapshot: Snapshot) -> Plan:
        if not snapshot.providers:
            error = NoCandidates(NOTHING_CONFIGURED)
            error.add_note("In Python, Router(providers=[…]) needs no configuration.")
            raise error
        return planning.plan(
            needs,
            snapshot,
            self.registry.health,
            now=self._clock(),
            at=datetime.now(UTC),
            seed=self._rng.getrandbits(32),
        )

    async def _pass_through(
        self, body: Mapping[str, Any], capability: Capability, options: PassOptions
    ) -> Mapping[str, Any]:
        call = Call.passing(body, capability, options)
        driver = PassThroughDriver(*await self._prepared(call, stream=False), **self._means)
        try:
            return await driver.ask()
        finally:
            self._record(driver)

    def _record(self, driver: Driver, session: str | None = None) -> None:
        """Leave a request that has ended to the history, if there is one."""
        if (writer := self.registry.recorder) is not None:
            writer.record(driver, self.registry.masks, now=self._clock(), session=session)
