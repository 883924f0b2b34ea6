"""Connection: one HTTP/1.1 connection of asyncio, which asks one request at a time and hands out its answer.

It raises httpx's exceptions, each where stock httpx raises it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

import httpx

from provider_router.providers.transport.answer import MOST_HEAD_BYTES, Answer

if TYPE_CHECKING:
    from provider_router.providers.transport.pool import Pool

MOST_UNREAD_BYTES: Final = 64 * 1024  # beyond them the peer is made to wait


class Connection(asyncio.Protocol):
    """One connection. Whoever took it from the pool asks, reads, and releases it.

    Attributes:
        address: the peer's address; None where it has none (a unix socket).
        answer: to the request that was asked last.
        closed: whether it is of no further use.
        full: whether the peer has yet to take what was written.
        pool: whose it is.
        used: whether it has brought an answer before: then its death may have come while it lay idle.
    """

    __slots__ = (
        "_asked",
        "_deadline",
        "_early",
        "_early_end",
        "_failure",
        "_late",
        "_loop",
        "_paused",
        "_sent",
        "_timer",
        "_transport",
        "_waiter",
        "address",
        "answer",
        "closed",
        "full",
        "pool",
        "used",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.address: str | None = None
        self.answer = Answer()
        self.closed = False
        self.full = False
        self.pool: Pool | None = None
        self.used = False
        self._asked = False
        self._sent = False
        self._paused = False
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._late: type[Exception] = httpx.ReadTimeout
        self._failure: Exception | None = None
        self._early = b""  # what the peer said before it was asked
        self._early_end: tuple[Exception | None] | None = None

    # Asking

    def ask(self, data: bytes, *, bodiless: bool, last: bool) -> None:
        """Begin a request with its first bytes, as a rule all of it.

        Args:
            data: the head, and the body if it is at hand.
            bodiless: whether the answer has no body whatever its head says (HEAD).
            last: whether the request asks for the connection's end.
        """
        self._asked = True
        self.answer.expect(bodiless=bodiless)
        if last:
            self.answer.reusable = False
        self._write(data)
        if self._early:
            early, self._early = self._early, b""
            self.data_received(early)
            if self._early_end:
                self._end(*self._early_end)

    async def write(self, data: bytes, longest: float | None) -> None:
        """Send a further piece of the request.

        Raises:
            httpx.WriteError: where the connection is lost.
            httpx.WriteTimeout: where the peer does not take it in time.
        """
        self._write(data)
        await self.drain(longest)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self.closed:
            self._transport.write(data)

    async def drain(self, longest: float | None) -> None:
        """Wait until everything is on its way; raises as `write` does."""
        while self.full and not self.closed:
            self._late = httpx.WriteTimeout
            await self._wait(longest)
        if self.closed:
            raise httpx.WriteError("the connection was lost")

    def sent(self) -> None:
        """The request is whole."""
        self._sent = True

    async def answered(self, longest: float | None) -> None:
        """Wait until the answer's head is here.

        Args:
            longest: silence, in seconds.

        Raises:
            httpx.RemoteProtocolError: for an end before the head, and for what is no HTTP.
            httpx.ReadError: where the connection is lost.
            httpx.ReadTimeout: after too long a silence.
        """
        while not self.answer.status:
            self._raise_failure()
            self._late = httpx.ReadTimeout
            await self._wait(longest)

    async def read(self, longest: float | None) -> bytes:
        """Whatever of the body has arrived; empty at its end. Raises as `answered` does."""
        answer = self.answer
        while not answer.unread:
            if answer.ended:
                return b""
            self._raise_failure()
            self._late = httpx.ReadTimeout
            await self._wait(longest)
        piece = answer.take()
        if self._paused:
            self._paused = False
            if self._transport is not None and not self.closed:
                self._transport.resume_reading()
        return piece

    @property
    def at_end(self) -> bool:
        """Whether the answer was read to its end."""
        return self.answer.ended and not self.answer.unread

    def release(self) -> None:
        """Give it back for the next request if the answer is whole, else close it."""
        answer = self.answer
        if answer.ended and answer.reusable and self._sent and self.pool is not None and not (self.full or self.closed):
            self.used = True
            self._asked = self._sent = False
            if self._paused:
                self._paused = False
                assert self._transport is not None
                self._transport.resume_reading()
            answer.begin()
            self.pool.give_back(self)
        else:
            self.close()

    def close(self) -> None:
        """Break it off. May be called twice."""
        if self.closed:
            return
        self.closed = True
        if self._transport is not None:
            self._transport.abort()
        if self.pool is not None:
            self.pool.dropped(self)
        self._wake()

    def told_of(self, name: str) -> Any:
        """What asyncio's transport knows of the connection, such as its `socket`."""
        return None if self._transport is None else self._transport.get_extra_info(name)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self.closed:
            raise httpx.ReadError("the connection was closed")

    # Waiting: one future at a time, and one timer, which is looked after when it rings and not before

    async def _wait(self, longest: float | None) -> None:
        loop = self._loop
        waiter = self._waiter = loop.create_future()
        if longest is not None:
            deadline = self._deadline = loop.time() + longest
            timer = self._timer
            if timer is None or timer.when() > deadline:
                if timer is not None:
                    timer.cancel()
                self._timer = loop.call_at(deadline, self._ring)
        try:
            await waiter
        finally:
            self._waiter = self._deadline = None

    def _ring(self) -> None:
        self._timer = None
        deadline, waiter = self._deadline, self._waiter
        if deadline is None or waiter is None or waiter.done():
            return
        if self._loop.time() < deadline:
            self._timer = self._loop.call_at(deadline, self._ring)
        else:
            waiter.set_exception(self._late("the peer took too long"))

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # What asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's TLS transport is no asyncio.Transport by class.
        self._transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(high=1, low=0)  # so that `drain` means: all of it is out; TLS takes no 0

    def data_received(self, data: bytes) -> None:
        answer = self.answer
        if self.closed:
            return
        if not self._asked:
            # Before anything was asked, a new connection may bring a refusal; an idle one brings nothing of use.
            if self.used or len(self._early) > MOST_HEAD_BYTES:
                self.close()
            else:
                self._early += data
        elif answer.ended:  # more than was asked for
            answer.reusable = False
        else:
            try:
                answer.feed(data)
            except httpx.RemoteProtocolError as error:
                self._failure = error
                self.close()
                return
            if answer.unread > MOST_UNREAD_BYTES and not self._paused and not answer.ended:
                self._paused = True
                assert self._transport is not None
                self._transport.pause_reading()
            self._wake()

    def eof_received(self) -> bool:
        self._end(None)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport = None
        self.answer.forget()

    def _end(self, error: Exception | None) -> None:
        """The peer says no more; with an error, what it said last may be lost."""
        if self._early:
            self._early_end = (error,)
        elif not self.closed:
            try:
                if error is not None and not self.answer.ended:
                    raise httpx.ReadError(str(error)) from error
                self.answer.close()
            except httpx.TransportError as failure:
                self._failure = failure
            self.close()

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        self._wake()
