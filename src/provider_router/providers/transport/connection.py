"""Connection: one HTTP/1.1 connection of asyncio, which asks one request at a time and reads its answer with llhttp.

It raises httpx's exceptions, each where stock httpx raises it. What the peer says is taken more strictly than llhttp
takes it by itself, and nowhere less strictly than h11 does.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

import httpx

try:
    import httptools
except ImportError:  # a platform without it: stock httpx does everything
    httptools = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from provider_router.providers.transport.pool import Pool

PARSES: Final = httptools is not None
"""Whether there is a parser."""

MOST_HEAD_BYTES: Final = 100 * 1024  # h11's bound as httpx sets it
MOST_HEADERS: Final = 256
MOST_UNREAD_BYTES: Final = 64 * 1024  # beyond them the peer is made to wait

_H: Final = ord("H")
_FRAMING: Final = frozenset([b"connection", b"content-encoding", b"content-length", b"transfer-encoding"])
_MOST_DIGITS: Final = 20  # of a Content-Length, as with h11
_ILLEGAL_IN_REASON: Final = re.compile(rb"[\x00\x0b\x0c]")
_WITHOUT_BODY: Final = frozenset([204, 304])


class _Refused(Exception):
    """What llhttp would let pass, and must not."""


class Connection(asyncio.Protocol):
    """One connection. Whoever took it from the pool asks, reads, and releases it.

    Attributes:
        address: the peer's address; None where it has none (a unix socket).
        used: whether it has brought an answer before: then its death may have come while it lay idle.
        status: of the answer; 0 until its head is here.
        version: such as `1.1`.
        reason: the status in words.
        headers: as they came, names too.
        encoding: the answer's Content-Encoding, in lower case.
        ended: whether the whole answer is here.
        touched: whether any byte of an answer came.
    """

    __slots__ = (
        "_asked",
        "_bodiless",
        "_closed",
        "_deadline",
        "_early",
        "_early_end",
        "_failure",
        "_head_bytes",
        "_late",
        "_loop",
        "_parser",
        "_paused",
        "_pieces",
        "_sent",
        "_size",
        "_timer",
        "_transport",
        "_until_close",
        "_waiter",
        "address",
        "encoding",
        "ended",
        "full",
        "headers",
        "pool",
        "reason",
        "reusable",
        "status",
        "touched",
        "used",
        "version",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: Pool | None = None) -> None:
        self.pool = pool
        self.address: str | None = None
        self.used = False
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._late: type[Exception] = httpx.ReadTimeout
        self._closed = False
        self.full = False
        self._paused = False
        self._failure: tuple[type[Exception], str, BaseException | None] | None = None
        self._early = b""  # what the peer said before it was asked
        self._early_end: tuple[Exception | None] | None = None
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        self.version = ""
        self.reason = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.encoding = b""
        self.ended = False
        self.reusable = True
        self.touched = False
        self._asked = False
        self._bodiless = False
        self._sent = False
        self._until_close = False
        self._head_bytes = 0
        self._pieces: list[bytes] = []
        self._size = 0

    # Asking

    def ask(self, data: bytes, *, bodiless: bool, last: bool) -> None:
        """Begin a request with its first bytes, as a rule all of it.

        Args:
            data: the head, and the body if it is at hand.
            bodiless: whether the answer has no body whatever its head says (HEAD).
            last: whether the request asks for the connection's end.
        """
        self._asked = True
        self._bodiless = bodiless
        self.reusable = not last
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
            # h11 bears them too, "because some servers on the wild use it".
            self._parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)
        if self._transport is not None and not self._closed:
            self._transport.write(data)
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
        if self._transport is not None and not self._closed:
            self._transport.write(data)
        await self.drain(longest)

    async def drain(self, longest: float | None) -> None:
        """Wait until everything is on its way; raises as `write` does."""
        while self.full and not self._lost:
            self._late = httpx.WriteTimeout
            await self._wait(longest)
        if self._lost:
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
        while not self.status:
            self._raise_failure()
            self._late = httpx.ReadTimeout
            await self._wait(longest)

    async def read(self, longest: float | None) -> bytes:
        """Whatever of the body has arrived; empty at its end. Raises as `answered` does."""
        while not self._pieces:
            if self.ended:
                return b""
            self._raise_failure()
            self._late = httpx.ReadTimeout
            await self._wait(longest)
        return self.take()

    def take(self) -> bytes:
        """What lies here unread."""
        pieces = self._pieces
        self._pieces = []
        self._size = 0
        if self._paused:
            self._paused = False
            if not self._closed and self._transport is not None:
                self._transport.resume_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def release(self) -> None:
        """Give it back for the next request if the answer is whole, else close it."""
        if self.ended and self.reusable and self._sent and not self.full and not self._closed and self.pool:
            self.used = True
            if self._bodiless:
                self._parser = None  # which waits for the body still
            self._begin()
            self.pool.give_back(self)
        else:
            self.close()

    def close(self) -> None:
        """Break it off. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._transport is not None:
            self._transport.abort()
        if self.pool is not None:
            self.pool.dropped(self)

    def told_of(self, name: str) -> Any:
        """What asyncio's transport knows of the connection, such as its `socket`."""
        return None if self._transport is None else self._transport.get_extra_info(name)

    @property
    def _lost(self) -> bool:
        return self._closed or self._failure is not None

    def _raise_failure(self) -> None:
        if self._failure is not None:
            kind, text, cause = self._failure
            raise kind(text) from cause
        if self._closed:
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
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, kind: type[Exception], text: str, cause: BaseException | None = None) -> None:
        if self._failure is None and not self.ended:
            self._failure = (kind, text, cause)
        self.close()
        self._wake()

    # What asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=1, low=0)  # so that `drain` means: all of it is out; TLS takes no 0

    def data_received(self, data: bytes) -> None:
        if self._closed:
            return
        if not self._asked:
            # Before anything was asked, a new connection may bring a refusal; an idle one brings nothing of use.
            if self.used or len(self._early) > MOST_HEAD_BYTES:
                self.close()
            else:
                self._early += data
            return
        if self.ended:  # more than was asked for
            self.reusable = False
            return
        if not self.touched:
            self.touched = True
            if data[0] != _H:
                self._fail(httpx.RemoteProtocolError, "illegal status line")
                return
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.reusable = False
            if not self.ended:
                self._fail(httpx.RemoteProtocolError, str(error.__context__ or error))
                return
        if not self.status:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._fail(httpx.RemoteProtocolError, "the head is too long")
                return
        elif self._size > MOST_UNREAD_BYTES and not self._paused and not self.ended:
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
        self._transport = self._parser = None  # the parser refers to us

    def _end(self, error: Exception | None) -> None:
        """The peer says no more; with an error, what it said last may be lost."""
        if self._early:
            self._early_end = (error,)
            return
        self.reusable = False
        if error is not None:
            self._fail(httpx.ReadError, str(error), error)
        elif self._until_close and self.status:
            self.ended = True
            self.close()
            self._wake()
        elif self.status:
            self._fail(httpx.RemoteProtocolError, "peer closed connection without sending complete message body")
        else:
            self._fail(httpx.RemoteProtocolError, "Server disconnected without sending a response.")

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        self._wake()

    # What llhttp tells

    def on_message_begin(self) -> None:
        if self.ended:
            raise _Refused("more than one answer")

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        headers = self.headers
        if self.status:  # trailers; they count, and nobody asks for them
            self._head_bytes += len(name) + len(value)
            if self._head_bytes > MOST_HEAD_BYTES:
                raise _Refused("the trailers are too long")
            return
        if len(headers) == MOST_HEADERS:
            raise _Refused("too many headers")
        headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        status = parser.get_status_code()
        if status < 100 or status == 101:
            raise _Refused(f"status {status} was not asked for")
        if _ILLEGAL_IN_REASON.search(self.reason):
            raise _Refused("illegal status line")
        framed = close = False
        encoding = b""
        for name, value in self.headers:
            known = name.lower()
            if known not in _FRAMING:
                continue
            if known == b"content-encoding":
                encoding = value.strip().lower()
            elif known == b"content-length":
                if len(value) > _MOST_DIGITS:
                    raise _Refused("bad Content-Length")
                framed = True
            elif known == b"transfer-encoding":
                if framed or value.lower() != b"chunked":
                    raise _Refused("only one Transfer-Encoding, chunked, is understood")
                framed = True
            elif b"close" in [token.strip() for token in value.lower().split(b",")]:
                close = True
        if status < 200:
            self.headers.clear()
            self.reason = b""
            return
        self.version = parser.get_http_version()
        self.encoding = encoding
        self._head_bytes = 0
        self.status = status
        if self._bodiless or status in _WITHOUT_BODY:
            self.ended = True
        elif not framed:
            self._until_close = True
        if close or self._until_close or self.version < "1.1":
            self.reusable = False

    def on_body(self, data: bytes) -> None:
        if self.ended:
            self.reusable = False
            return
        self._pieces.append(data)
        self._size += len(data)

    def on_message_complete(self) -> None:
        if self.status:
            self.ended = True
