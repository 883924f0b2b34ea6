"""Router: the blocking face of AsyncRouter. One thread with an event loop of its own, started at first use."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast

import sniffio

from provider_router.chat import ChatChunk, ChatRequest, ChatResponse, Prompt, Usage
from provider_router.providers.provider import ModelInfo, Provider
from provider_router.routing.call import CallOptions, PassOptions
from provider_router.routing.plan import Plan
from provider_router.routing.report import CheckResult, ProviderHealth
from provider_router.routing.router import AsyncRouter
from provider_router.routing.snapshot import Recording
from provider_router.routing.stream import AsyncChatStream
from provider_router.trail import Attempt, Skipped

T = TypeVar("T")

_CLOSING = 5.0  # seconds that the interpreter's end waits for connections to close
_of_the_parent: list[object] = []  # after a fork: what belongs to the parent must not be closed by the child


class _Loop:
    """A thread with an event loop, and the router that lives on it."""

    def __init__(self, make: Callable[[], AsyncRouter]) -> None:
        self.process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="provider-router", daemon=True)
        self._thread.start()
        self.router = make()

    def _run(self) -> None:
        # No asyncio.run: its end starts a thread (for the default executor), which the interpreter's end forbids.
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._stop.wait())
            self._loop.run_until_complete(self._close())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    async def _close(self) -> None:
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.wait([*running, asyncio.ensure_future(self.router.aclose())], timeout=_CLOSING)

    def call(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Run a coroutine function on the loop and wait for it.

        Whatever ends the wait, such as Ctrl-C, cancels it and waits for its end, so that whoever closes what it
        worked on finds it at rest.

        Raises:
            RuntimeError: where the loop has ended, or belongs to the parent of a fork.
        """
        if self.ended:
            raise RuntimeError("the Router of this stream was closed")
        crossing = _Crossing(function, args)
        context = contextvars.copy_context()  # the caller's, but that this loop is asyncio's whatever his own is
        context.run(sniffio.current_async_library_cvar.set, None)
        try:
            self._loop.call_soon_threadsafe(crossing.start, self._loop, context=context)
            return cast(T, crossing.outcome.result())
        except BaseException:
            if not crossing.outcome.done():
                self._loop.call_soon_threadsafe(crossing.cancel)
                crossing.ended.wait(_CLOSING)
            raise

    @property
    def ended(self) -> bool:
        """Whether nothing runs here any more."""
        return self._loop.is_closed() or self.process != os.getpid()

    def close(self) -> None:
        """Close the router and end the thread. Does nothing in a forked child, whose parent owns both."""
        if self.process != os.getpid() or not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        if threading.current_thread() is not self._thread:
            self._thread.join(2 * _CLOSING)


class _Crossing:
    """One coroutine on its way through the loop's thread and back."""

    def __init__(self, function: Callable[..., Coroutine[Any, Any, Any]], args: tuple[Any, ...]) -> None:
        self.outcome: Future[Any] = Future()
        self.ended = threading.Event()
        self._function = function
        self._args = args
        self._task: asyncio.Task[Any] | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._task = loop.create_task(self._function(*self._args))
        self._task.add_done_callback(self._done)

    def cancel(self) -> None:
        if self._task is None:  # the interrupt came before anything was begun
            self.ended.set()
        else:
            self._task.cancel()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.ended.set()
        if task.cancelled():
            self.outcome.cancel()
        elif (error := task.exception()) is not None:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(task.result())


class Router:
    """One door to all providers, for blocking code: threads, notebooks, scripts, inside a running event loop too.

    Takes what `AsyncRouter` takes, and has its methods without `await`. `with` is optional: what is open is closed
    with the object, or at the interpreter's end. After a fork the child starts a thread and connections of its own.
    """

    def __init__(
        self,
        database: str | Path | None = None,
        *,
        providers: Sequence[Provider] | None = None,
        **options: Any,
    ) -> None:
        # Made here too, so that wrong arguments are told here and not at the first use.
        first = [AsyncRouter(database, providers=providers, **options)]
        self._make = lambda: first.pop() if first else AsyncRouter(database, providers=providers, **options)
        self._loop: _Loop | None = None
        self._lock = threading.Lock()
        self._recording = Recording()
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close connections and the database, and end the thread. May be called twice; the next use starts anew."""
        with self._lock:
            loop, self._loop = self._loop, None
            if self._finalizer is not None:
                self._finalizer.detach()
        if loop is not None:
            loop.close()
            self._recording = loop.router.recording

    def chat(self, prompt: Prompt | ChatRequest, **options: Unpack[CallOptions]) -> ChatResponse:
        """See `AsyncRouter.chat`."""

        async def chat() -> ChatResponse:
            return await loop.router.chat(prompt, **options)

        loop = self._running()
        return loop.call(chat)

    def stream(self, prompt: Prompt | ChatRequest, **options: Unpack[CallOptions]) -> ChatStream:
        """See `AsyncRouter.stream`: `with router.stream(…) as stream: for chunk in stream: …`."""
        loop = self._running()
        return ChatStream(loop, loop.router.stream(prompt, **options))

    def embed(self, body: Mapping[str, Any], **options: Unpack[PassOptions]) -> Mapping[str, Any]:
        """See `AsyncRouter.embed`."""

        async def embed() -> Mapping[str, Any]:
            return await loop.router.embed(body, **options)

        loop = self._running()
        return loop.call(embed)

    def complete(self, body: Mapping[str, Any], **options: Unpack[PassOptions]) -> Mapping[str, Any]:
        """See `AsyncRouter.complete`."""

        async def complete() -> Mapping[str, Any]:
            return await loop.router.complete(body, **options)

        loop = self._running()
        return loop.call(complete)

    def plan(
        self,
        model: str | None = None,
        *,
        provider: str | None = None,
        fallback: bool = False,
        zone: str | None = None,
        needs: Sequence[str] = ("chat",),
    ) -> Plan:
        """See `AsyncRouter.plan`."""

        async def plan() -> Plan:
            return await loop.router.plan(model, provider=provider, fallback=fallback, zone=zone, needs=needs)

        loop = self._running()
        return loop.call(plan)

    def check(self, provider: str) -> CheckResult:
        """See `AsyncRouter.check`."""
        loop = self._running()
        return loop.call(loop.router.check, provider)

    def models(self, provider: str) -> list[ModelInfo]:
        """See `AsyncRouter.models`."""
        loop = self._running()
        return loop.call(loop.router.models, provider)

    @property
    def recording(self) -> Recording:
        """See `AsyncRouter.recording`."""
        loop = self._loop
        return self._recording if loop is None or loop.process != os.getpid() else loop.router.recording

    def health(self) -> list[ProviderHealth]:
        """See `AsyncRouter.health`."""
        loop = self._running()
        return loop.call(loop.router.health)

    def _running(self) -> _Loop:
        with self._lock:
            if self._loop is not None and self._loop.process != os.getpid():
                _of_the_parent.append(self._loop)
                self._loop = None
                if self._finalizer is not None:
                    self._finalizer.detach()
            if self._loop is None:
                self._loop = _Loop(self._make)
                self._finalizer = weakref.finalize(self, self._loop.close)
            return self._loop


class ChatStream:
    """A streamed answer for blocking code. Has what `AsyncChatStream` has."""

    def __init__(self, loop: _Loop, stream: AsyncChatStream) -> None:
        self._loop = loop
        self._stream = stream
        self._ready: deque[ChatChunk] = deque()

    def __enter__(self) -> Self:
        self._loop.call(self._stream.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._loop.ended:  # else it was broken off then
            self._loop.call(self._stream.aclose)

    def __iter__(self) -> Iterator[ChatChunk]:
        return self

    def __next__(self) -> ChatChunk:
        """The next chunk.

        Raises:
            StreamInterrupted: where the stream breaks off, with the text so far.
            DeadlineExceeded: where the total time is up.
        """
        if not self._ready:
            self._ready.extend(self._loop.call(self._stream.burst))
            if not self._ready:
                raise StopIteration
        return self._ready.popleft()

    @property
    def provider(self) -> str:
        return self._stream.provider

    @property
    def model(self) -> str | None:
        return self._stream.model

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        return self._stream.attempts

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        return self._stream.skipped

    @property
    def trail(self) -> str:
        return self._stream.trail

    @property
    def text(self) -> str:
        return self._stream.text

    @property
    def skipped_events(self) -> int:
        return self._stream.skipped_events

    @property
    def usage(self) -> Usage | None:
        return self._stream.usage

    @property
    def response(self) -> ChatResponse:
        return self._stream.response
