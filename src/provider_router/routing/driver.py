"""Driver: carries out what the failover machine says, over live providers, on asyncio and trio."""

from __future__ import annotations

import logging
import os
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import anyio

from provider_router import limits as numbers
from provider_router.chat import Capability, ChatChunk, ChatRequest, ChatResponse
from provider_router.dialects.dialect import Dialect
from provider_router.dialects.failures import ErrorBody, error_of
from provider_router.errors import (
    DeadlineExceeded,
    MalformedAnswer,
    NotCapable,
    ProviderCrashed,
    ProviderError,
    ProviderRouterError,
)
from provider_router.providers.provider import Provider
from provider_router.providers.terms import Terms, under
from provider_router.routing.actions import Action, Answer, Ask, Fail, Wait
from provider_router.routing.border import terms_within
from provider_router.routing.candidate import Candidate
from provider_router.routing.choices import Choices
from provider_router.routing.failover import Failover
from provider_router.routing.guards import doubts
from provider_router.routing.live import LiveProvider
from provider_router.routing.registry import ProviderRegistry
from provider_router.routing.slots import SlotQueue
from provider_router.routing.table import DOUBTFUL
from provider_router.routing.vigil import Clock, Vigil, vigil
from provider_router.routing.watch import Watch

log: Final = logging.getLogger("provider_router")

_ANYWHERE: Final = nullcontext()


def new_request_id() -> str:
    """An id that no other request has. Its beginning is the time, so that the history finds the young ones together."""
    return f"req_{int(time.time() * 1000):012x}{os.urandom(6).hex()}"


class Driver(ABC):
    """One request on its way through its plan. A subclass says what an attempt is and how it ends."""

    def __init__(
        self,
        machine: Failover,
        request: ChatRequest,
        dialect: Dialect,
        *,
        registry: ProviderRegistry,
        slots: SlotQueue,
        clock: Clock = time.monotonic,
    ) -> None:
        self.machine = machine
        self.dialect = dialect
        self.request = request
        self._registry = registry
        self._slots = slots
        self._clock = clock
        self._live: LiveProvider | None = None
        self._held = False  # whether the live provider is still to be given back
        self.request_id = new_request_id()
        self._vigil: Vigil | None = None
        self._candidate: Candidate | None = None
        self._terms: Terms | None = None  # of the attempt, for what is asked beside the request itself

    @property
    def provider(self) -> str:
        """Id of the provider that was asked last."""
        return self._live.provider.id if self._live else ""

    @property
    @abstractmethod
    def answer(self) -> ChatResponse | list[ChatChunk] | Mapping[str, Any] | None:
        """The answer, or what there is of it."""

    @abstractmethod
    async def _work(self, provider: Provider, request: ChatRequest) -> None:
        """Make the upstream call of one attempt."""

    @abstractmethod
    def _concluded(self, now: float) -> Action | None:
        """What the machine says to what the attempt brought, or None if it brought nothing."""

    async def _pursue(self, action: Action) -> None:
        """Do what the machine says until the request is answered.

        Raises:
            ProviderRouterError: the decisive one.
        """
        while True:
            match action:
                case Ask():
                    action = await self._attempt(action)
                case Wait():
                    action = await self._pause(action)
                case Answer():
                    return
                case Fail(error):
                    error.request_id = self.request_id
                    raise error

    async def _pause(self, wait: Wait) -> Action:
        try:
            await self._slots.wait(wait.seconds) if wait.slot else await anyio.sleep(wait.seconds)
        except BaseException:  # the caller's cancellation
            self.machine.cancelled(self._clock())
            self._slots.wake()
            raise
        action = self.machine.woke(self._clock())
        if wait.slot and not (isinstance(action, Wait) and action.slot and not action.moved):
            self._slots.wake()  # it has left the line, or stands for another slot, and the others move up
        return action

    async def _attempt(self, ask: Ask) -> Action:
        candidate = self._candidate = ask.candidate
        zone = candidate.zone
        self._terms = None if zone is None else terms_within(zone, provider=candidate.provider)
        error: ProviderRouterError | None = None
        watch = self._vigil = vigil(self.machine, self._clock, self._check)
        try:
            self._live = self._registry.take(candidate.provider)
            self._held = True
            await watch.over(self._try(ask, self._live, watch))
        except ProviderRouterError as raised:
            error = raised
        except Exception as raised:
            error = self._crashed(raised)
        except BaseException:  # the caller's cancellation
            self.machine.cancelled(self._clock())
            await self._break_off()
            raise
        now = self._clock()
        action = self._concluded(now)
        if action is None:
            action = self._failed(watch.verdict or error, now)
            await self._break_off()
        return action

    async def _try(self, ask: Ask, live: LiveProvider, vigil: Vigil) -> None:
        candidate = ask.candidate
        with self._within():
            if ask.check_first:
                await self._registry.checks.before(live.provider, numbers.CHECK_SILENCE)
                self.machine.passed_check(self._clock())
            watch = Watch(self.machine, vigil, self._clock, provider=candidate.provider, zone=candidate.zone)
            await self._work(live.provider, await self._request_for(ask, watch, live))

    async def _check(self, seconds: float) -> bool | None:
        assert self._live is not None
        with self._within():
            return await self._registry.checks.beside(self._live.provider, seconds)

    def _within(self) -> AbstractContextManager[None]:
        """The zone of the attempt, for what is asked beside the request itself: a login, a check, a stop notice."""
        return _ANYWHERE if self._terms is None else under(self._terms)

    def _failed(self, error: ProviderRouterError | None, now: float) -> Action:
        """What the machine says to a failure; None stands for an attempt that brought nothing at all."""
        if error is None:
            return self.machine.ended(now)
        if not isinstance(error, ProviderError | DeadlineExceeded):
            error = ProviderCrashed(str(error), detail="not usable")
        return self.machine.failed(error, now)

    async def _request_for(self, ask: Ask, watch: Watch, live: LiveProvider) -> ChatRequest:
        """The request as this candidate gets it: its model's name there, its link's parameters."""
        candidate = ask.candidate
        model = candidate.model
        if model is None and (model := await self._registry.listing.first_model(live)) is not None:
            self.machine.names(model)
        changes: dict[str, Any] = {}
        if candidate.link is not None:
            changes.update((k, v) for k, v in candidate.link.parameters.items() if k not in self.request.raw)
        if model is not None:
            changes["model"] = model
        elif "model" in self.request.raw:
            changes["model"] = ...
        request = self.request.changed(**changes) if changes else self.request
        return request.attempt(limits=ask.limits, zone=candidate.zone, progress=watch)

    def _embedded(self, body: ErrorBody, provider: Provider) -> ProviderError:
        """The error of an event, where the provider has left it to us."""
        error = error_of(200, body, who=provider.id, model=self.request.model)
        error.args = (provider.mask(error.message),)
        return error

    @staticmethod
    def _doubtful(provider: Provider, *doubts: str) -> NotCapable:
        """What a guard makes of an answer where the caller wants the next one asked."""
        return NotCapable(
            f"{provider.id}: {'; '.join(doubts)}", provider=provider.id, code=DOUBTFUL, detail="doubtful answer"
        )

    def _crashed(self, error: Exception) -> ProviderCrashed:
        assert self._live is not None
        provider = self._live.provider
        text = provider.mask("".join(traceback.format_exception(error)))
        log.error("%s: the plugin failed\n%s", provider.id, text)
        return ProviderCrashed(
            f"{provider.id}: the plugin for {provider.type!r} failed with {type(error).__name__}; the log has the rest",
            provider=provider.id,
            detail=f"plugin failed ({type(error).__name__})",
        )

    async def _break_off(self) -> None:
        """End what is left of the attempt."""
        await self._let_go()

    async def _let_go(self) -> None:
        """Give the provider back and the slot free."""
        if self._vigil is not None:
            self._vigil.end()
            self._vigil = None  # which knows this driver: a circle that only the garbage collector would find
        if self._held and self._live is not None:
            self._held = False
            self._slots.wake()
            if self.machine.attempts:
                attempt = self.machine.attempts[-1]
                log.info("%s (model %s, %s)", attempt, attempt.model or "-", attempt.failure or "ok")
            if self._registry.release(self._live):
                with anyio.CancelScope(shield=True):
                    await self._registry.close_retired()


class ChatDriver(Driver):
    """A plain call."""

    _response: ChatResponse | None = None

    @property
    def answer(self) -> ChatResponse | None:
        """The answer, once it is there."""
        return self._response

    async def chat(self) -> ChatResponse:
        """The answer.

        Raises:
            ProviderRouterError: the decisive one.
        """
        await self._pursue(self.machine.start(self._clock()))
        await self._let_go()
        response = self._response
        assert response is not None
        response.request_id = self.request_id
        response.provider = self.provider
        response.attempts = tuple(self.machine.attempts)
        plan = self.machine.plan
        response.leaves_out = lambda: plan.skipped
        return response

    async def _work(self, provider: Provider, request: ChatRequest) -> None:
        rides = self._candidate is not None and self._candidate.view.upstream_stream
        response = await (self._ride(provider, request) if rides else provider.chat(request))
        if self.machine.policy.guards != "off":
            needs = self.machine.plan.needs
            response.warnings = doubts(request, response, needs=needs.capabilities, prompt_floor=needs.prompt_floor)
            if response.warnings and self.machine.policy.guards == "next":
                raise self._doubtful(provider, *response.warnings)
        self._response = response

    async def _ride(self, provider: Provider, request: ChatRequest) -> ChatResponse:
        """A plain answer that rides a stream, so that life is seen and a hang-up ends the generation at once."""
        options = {**(request.raw.get("stream_options") or {}), "include_usage": True}
        stream = provider.stream(request.changed(stream=True, stream_options=options))
        chunks: list[ChatChunk] = []
        choices = Choices(self.machine.policy.choices)
        try:
            async for chunk in stream:
                try:
                    sign = self.dialect.read(chunk)
                except ValueError:
                    continue
                if sign.error is not None:
                    raise self._embedded(sign.error, provider)
                choices.hear(sign)
                chunks.append(chunk)
        finally:
            with anyio.CancelScope(shield=True):
                await stream.aclose()
        if not choices.closed:
            raise MalformedAnswer(
                f"{provider.id} ended its answer too early", provider=provider.id, detail="answer cut"
            )
        return self.dialect.assemble(chunks)

    def _concluded(self, now: float) -> Action | None:
        return None if self._response is None else self.machine.completed(now)


class PassThroughDriver(Driver):
    """A body that is handed through: embeddings, or the completion of a text."""

    _answer: Mapping[str, Any] | None = None

    @property
    def answer(self) -> Mapping[str, Any] | None:
        """The answer, once it is there."""
        return self._answer

    async def ask(self) -> Mapping[str, Any]:
        """The backend's answer.

        Raises:
            ProviderRouterError: the decisive one.
        """
        await self._pursue(self.machine.start(self._clock()))
        await self._let_go()
        assert self._answer is not None
        return self._answer

    async def _work(self, provider: Provider, request: ChatRequest) -> None:
        embeds = Capability.EMBEDDINGS in self.machine.plan.needs.capabilities
        with under(Terms(limits=request.limits, zone=request.zone, progress=request.progress)):
            self._answer = await (provider.embed if embeds else provider.complete)(request.raw)

    def _concluded(self, now: float) -> Action | None:
        return None if self._answer is None else self.machine.completed(now)
