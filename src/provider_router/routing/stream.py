"""AsyncChatStream: a streamed answer, as the caller holds it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from provider_router.chat import ChatChunk, ChatResponse, Usage
from provider_router.errors import ProviderRouterError
from provider_router.routing.guards import doubts
from provider_router.routing.stream_driver import StreamDriver
from provider_router.trail import Attempt, Skipped, trail_text


class AsyncChatStream:
    """A streamed answer: `async with router.stream(…) as stream: async for chunk in stream: …`.

    Entering waits for the first meaningful delta, so that every failure before it has gone to the next provider
    already. Leaving early breaks the generation off upstream.
    """

    def __init__(self, start: Callable[[], Awaitable[StreamDriver]]) -> None:
        self._start = start
        self._driver: StreamDriver | None = None
        self._failed: ProviderRouterError | None = None

    async def __aenter__(self) -> Self:
        self._driver = await self._start()
        try:
            await self._driver.open()
        except BaseException:
            await self._driver.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        self._entered()
        return self

    async def __anext__(self) -> ChatChunk:
        """The next chunk.

        Raises:
            StreamInterrupted: where the stream breaks off or was closed before its end, with the text so far.
            DeadlineExceeded: where the total time is up.
        """
        chunk = await self._entered().next()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def burst(self) -> list[ChatChunk]:
        """The next chunk, and those after it that cost no wait; empty at the end."""
        driver = self._entered()
        if self._failed is not None:
            raise self._failed
        chunks: list[ChatChunk] = []
        try:
            while chunk := await driver.next():
                chunks.append(chunk)
                if not driver.more:
                    break
        except ProviderRouterError as error:
            if not chunks:
                raise
            self._failed = error  # what came before it is handed out first
        return chunks

    async def aclose(self) -> None:
        """Break off what is not finished. May be called twice."""
        if self._driver is not None:
            await self._driver.aclose()

    def _entered(self) -> StreamDriver:
        if self._driver is None:
            raise RuntimeError("a stream is a context manager: write `with router.stream(…) as stream:`")
        return self._driver

    @property
    def provider(self) -> str:
        """Id of the provider that answers."""
        return self._entered().provider

    @property
    def model(self) -> str | None:
        """The model that the backend says it uses."""
        return next((chunk.model for chunk in self._entered().handed if chunk.model), None)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """What was tried so far; the answering attempt joins at its end."""
        return tuple(self._entered().machine.attempts)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Who was left out of the plan, and why."""
        return self._entered().machine.plan.skipped

    @property
    def trail(self) -> str:
        """The attempts in one line: `desk: refused, 2 ms → loft: ok, 1.3 s`."""
        return trail_text(self.attempts)

    @property
    def text(self) -> str:
        """The text so far."""
        return self._entered().text

    @property
    def skipped_events(self) -> int:
        """Broken events of the stream, which were left out."""
        return self._entered().skipped_events

    @property
    def usage(self) -> Usage | None:
        """Tokens, once the backend has told them."""
        return next((usage for chunk in reversed(self._entered().handed) if (usage := chunk.usage)), None)

    @property
    def response(self) -> ChatResponse:
        """The answer so far, put together; the whole one after the last chunk."""
        driver = self._entered()
        response = driver.dialect.assemble(driver.handed)
        response.request_id = driver.request_id
        response.provider = driver.provider
        if driver.machine.policy.guards != "off" and driver.machine.closed:
            needs = driver.machine.plan.needs
            response.warnings = doubts(driver.sent, response, needs=needs.capabilities, prompt_floor=needs.prompt_floor)
        response.attempts = self.attempts
        plan = driver.machine.plan
        response.leaves_out = lambda: plan.skipped
        return response
