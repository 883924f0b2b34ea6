"""Driver: carries out what the failover machine says, over live providers, on asyncio and trio.

No cancel scope and no task group is ever held while the caller has the floor: before commit everything happens
inside one await, after it each step opens and closes its own scope.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Final

import anyio

from provider_router.chat import Capability, ChatChunk, ChatRequest, ChatResponse
from provider_router.dialects.dialect import Dialect, Sign
from provider_router.dialects.failures import error_of
from provider_router.errors import (
    DeadlineExceeded,
    ProviderCrashed,
    ProviderError,
    ProviderRouterError,
    StreamInterrupted,
    Unreachable,
)
from provider_router.providers.provider import Provider
from provider_router.routing.actions import Abandon, Action, Answer, Ask, Check, Fail, Wait
from provider_router.routing.failover import Failover
from provider_router.routing.registry import LiveProvider, ProviderRegistry
from provider_router.routing.slots import SlotQueue
from provider_router.routing.watch import Clock, Watch

log: Final = logging.getLogger("provider_router")


class Driver:
    """One request on its way through its plan."""

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
        self.skipped_events = 0
        self._request = request
        self._dialect = dialect
        self._registry = registry
        self._slots = slots
        self._clock = clock
        self._live: LiveProvider | None = None
        self._held = False  # whether the live provider is still to be given back
        self._watch: Watch | None = None
        self._chunks: AsyncGenerator[ChatChunk] | None = None
        self._ready: deque[ChatChunk] = deque()
        self._handed: list[ChatChunk] = []
        self._response: ChatResponse | None = None
        self._passed: Mapping[str, Any] | None = None
        self._more = False
        self._over = False

    # Plain calls

    async def chat(self) -> ChatResponse:
        """The answer.

        Raises:
            ProviderRouterError: the decisive one.
        """
        await self._pursue(self._call)
        assert self._response is not None
        await self._let_go()
        return self._response

    async def _call(self, provider: Provider, request: ChatRequest) -> None:
        self._response = await provider.chat(request)

    async def pass_through(self, capability: Capability) -> Mapping[str, Any]:
        """The backend's answer to a body that is passed through: `embeddings` or `completion`.

        Raises:
            ProviderRouterError: the decisive one.
        """

        async def work(provider: Provider, request: ChatRequest) -> None:
            ask = provider.embed if capability is Capability.EMBEDDINGS else provider.complete
            self._passed = await ask(request.raw)

        await self._pursue(work)
        assert self._passed is not None
        await self._let_go()
        return self._passed

    # Streams

    async def open(self) -> None:
        """Run until the first meaningful delta is there, or a whole stream without any.

        Raises:
            ProviderRouterError: the decisive one.
        """
        await self._pursue(self._begin)

    async def _begin(self, provider: Provider, request: ChatRequest) -> None:
        self._chunks = provider.stream(request)
        async for chunk in self._chunks:
            self._more = chunk.more
            if ready := self._feed(chunk, provider):
                self._ready.extend(ready)
                return
            if self._watch is not None and self._watch.verdict is not None:
                raise self._watch.verdict

    async def next(self) -> ChatChunk | None:
        """The next chunk of a stream that was opened; None at its end.

        Raises:
            StreamInterrupted: where it breaks off, with the text so far.
            DeadlineExceeded: where the total is up.
        """
        while not self._ready:
            if self._over:
                return None
            await self._step()
        chunk = self._ready.popleft()
        self._handed.append(chunk)
        return chunk

    @property
    def more(self) -> bool:
        """Whether the next chunk costs no wait."""
        return bool(self._ready) or (self._more and not self._over)

    @property
    def handed(self) -> list[ChatChunk]:
        """The chunks that the caller has had so far."""
        return self._handed

    @property
    def provider(self) -> str:
        return self._live.provider.id if self._live else ""

    async def _step(self) -> None:
        assert self._chunks is not None
        assert self._live is not None
        assert self._watch is not None
        try:
            if self._more:
                chunk = await anext(self._chunks, None)
            else:
                chunk = await self._wait_for_chunk(self._chunks, self._watch)
            if chunk is None:
                await self._end(self.machine.ended(self._clock()))
                return
            self._more = chunk.more
            self._ready.extend(self._feed(chunk, self._live.provider))
        except ProviderRouterError as error:
            if self._over:
                raise
            await self._break_off(error)
        except Exception as error:
            await self._break_off(self._crashed(error, self._live.provider))
        except BaseException:  # the caller's cancellation
            await self.aclose()
            raise

    async def _wait_for_chunk(self, chunks: AsyncGenerator[ChatChunk], watch: Watch) -> ChatChunk | None:
        due = self.machine.deadline()
        with anyio.CancelScope(deadline=anyio.current_time() + due - self._clock()) as scope:
            watch.scope = scope
            chunk = await anext(chunks, None)
        watch.scope = None
        if scope.cancelled_caught:
            now = max(self._clock(), self.machine.deadline())
            verdict = self.machine.silent(now)
            assert isinstance(verdict, Abandon)
            raise verdict.error
        return chunk

    async def _break_off(self, error: ProviderRouterError) -> None:
        await self._close_chunks()
        if self.machine.finished:
            await self._end(self.machine.completed(self._clock()))
            return
        await self._end(self.machine.failed(error, self._clock()))

    async def _end(self, action: Action) -> None:
        self._over = True
        await self._let_go()
        if isinstance(action, Fail):
            if isinstance(action.error, StreamInterrupted):
                action.error.text = "".join(chunk.text for chunk in [*self._handed, *self._ready])
            raise action.error

    async def aclose(self) -> None:
        """The caller is done; an unfinished stream is broken off upstream at once."""
        if not self._over:
            self._over = True
            self.machine.cancelled(self._clock())
        await self._close_chunks()
        await self._let_go()

    async def _close_chunks(self) -> None:
        chunks, self._chunks = self._chunks, None
        if chunks is not None:
            with anyio.CancelScope(shield=True):
                await chunks.aclose()

    async def _let_go(self) -> None:
        if self._held and self._live is not None:
            self._held = False
            self._slots.wake()
            attempt = self.machine.attempts[-1]
            log.info("%s (model %s, %s)", attempt, attempt.model or "-", attempt.failure or "ok")
            with anyio.CancelScope(shield=True):
                await self._registry.give_back(self._live)

    def _feed(self, chunk: ChatChunk, provider: Provider) -> list[ChatChunk]:
        try:
            sign: Sign = (self._dialect.peek if self.machine.committed else self._dialect.read)(chunk)
        except ValueError:
            self.skipped_events += 1
            return []
        if sign.error is not None:
            error = error_of(200, sign.error, who=provider.id, model=self._request.model)
            error.args = (provider.mask(error.message),)
            raise error
        step = self.machine.event(chunk, sign, self._clock())
        if isinstance(step, Abandon):
            raise step.error
        return step

    # Carrying out the machine

    async def _pursue(self, work: Callable[[Provider, ChatRequest], Awaitable[None]]) -> None:
        action: Action = self.machine.start(self._clock())
        while True:
            match action:
                case Ask():
                    action = await self._attempt(action, work)
                case Wait(seconds, slot):
                    await self._slots.wait(seconds) if slot else await anyio.sleep(seconds)
                    action = self.machine.woke(self._clock())
                case Answer():
                    return
                case Fail(error):
                    raise error

    async def _attempt(self, ask: Ask, work: Callable[[Provider, ChatRequest], Awaitable[None]]) -> Action:
        candidate = ask.candidate
        error: ProviderRouterError | None = None
        watch = self._watch = Watch(self.machine, self._clock, provider=candidate.provider, zone=candidate.zone)
        try:
            live = self._live = self._registry.take(candidate.provider)
            self._held = True
            async with anyio.create_task_group() as group:
                group.start_soon(self._guard, live.provider, watch, group.cancel_scope)
                try:
                    await work(live.provider, await self._request_for(ask, watch, live))
                except ProviderRouterError as raised:
                    error = raised
                except Exception as raised:
                    error = self._crashed(raised, live.provider)
                group.cancel_scope.cancel()
        except ProviderRouterError as raised:
            error = raised
        except BaseException:
            self.machine.cancelled(self._clock())
            await self._close_chunks()
            await self._let_go()
            raise
        return await self._outcome(ask, watch.verdict or error)

    async def _outcome(self, ask: Ask, error: ProviderRouterError | None) -> Action:
        now = self._clock()
        action: Action
        if error is None and (self._ready or self._response is not None or self._passed is not None):
            action = Answer() if self._ready else self.machine.completed(now)
        elif error is None or (self.machine.finished and isinstance(error, ProviderError)):
            action = self.machine.ended(now)
            if isinstance(action, Answer):
                self._ready.extend(self.machine.held())
                self._over = True
        else:
            if not isinstance(error, ProviderError | DeadlineExceeded):
                error = self._unusable(error, ask)
            action = self.machine.failed(error, now)
        if not isinstance(action, Answer) or self._over:
            await self._close_chunks()
            await self._let_go()
        return action

    async def _request_for(self, ask: Ask, watch: Watch, live: LiveProvider) -> ChatRequest:
        candidate = ask.candidate
        model = candidate.model
        if model is None:
            model = await self._registry.first_model(live)
        changes: dict[str, Any] = {}
        if candidate.link is not None:
            changes.update((k, v) for k, v in candidate.link.parameters.items() if k not in self._request.raw)
        if model is not None:
            changes["model"] = model
        elif "model" in self._request.raw:
            changes["model"] = ...
        request = self._request.changed(**changes) if changes else self._request
        return request.attempt(limits=ask.limits, zone=candidate.zone, progress=watch)

    async def _guard(self, provider: Provider, watch: Watch, scope: anyio.CancelScope) -> None:
        """Watch one attempt's silence from beside it."""
        machine = self.machine
        while True:
            await anyio.sleep(max(0.0, machine.deadline() - self._clock()))
            now = self._clock()
            if now < machine.deadline():
                continue
            step: Check | Abandon | None = machine.silent(now)
            if isinstance(step, Check):
                left = max(0.0, machine.deadline() - now)
                answered = await self._check(provider, min(step.seconds, left) or step.seconds)
                step = machine.checked(self._clock(), answered)
            if isinstance(step, Abandon):
                watch.verdict = step.error
                scope.cancel()
                return

    @staticmethod
    async def _check(provider: Provider, seconds: float) -> bool | None:
        """True if the backend's check answers, False if it cannot be reached, None if it is silent."""
        with anyio.move_on_after(seconds):
            try:
                await provider.check()
            except Unreachable:
                return False
            except Exception:  # any answer at all is a sign of life
                return True
            return True
        return None

    def _crashed(self, error: Exception, provider: Provider) -> ProviderCrashed:
        text = provider.mask("".join(traceback.format_exception(error)))
        log.error("%s: the plugin failed\n%s", provider.id, text)
        return ProviderCrashed(
            f"{provider.id}: the plugin for {provider.type!r} failed with {type(error).__name__}; the log has the rest",
            provider=provider.id,
            detail=f"plugin failed ({type(error).__name__})",
        )

    @staticmethod
    def _unusable(error: ProviderRouterError, ask: Ask) -> ProviderCrashed:
        return ProviderCrashed(str(error), provider=ask.candidate.provider, detail="not usable")
