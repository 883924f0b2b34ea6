"""Exchange: one HTTP request and its answer, how far it got, and what its failure means.

The phase decides what a failure is, never an exception's name alone: before anything was sent it is a connection
that never stood, before the first byte of an answer a lost one, after it a broken answer.
"""

from __future__ import annotations

import errno
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from enum import IntEnum
from typing import Any

import anyio
import httpx

from provider_router.chat import Progress
from provider_router.errors import (
    Busy,
    ConnectionLost,
    MalformedAnswer,
    ProviderCrashed,
    ProviderError,
    ProviderTimeout,
    Unreachable,
)
from provider_router.providers.transport import Connection, Pool, Waits

_BODY_MISSING = "Server disconnected"  # how httpcore begins where not one byte of an answer came
_REST_SECONDS = 0.25  # that the end of a body is waited for after the end of its answer: about what a connection costs
_REST_BYTES = 64 * 1024  # that are read for it


class Phase(IntEnum):
    """How far an exchange got."""

    NOTHING = 0
    CONNECTED = 1
    SENT = 2
    HEAD = 3


class _Body(httpx.AsyncByteStream):
    """A request's body in one piece. httpx's own is a generator: trio warns of it when a write fails halfway."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._left: list[bytes] = []

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._left = [self._content]
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


class Exchange:
    """One request on its way, in the lane below httpx's objects (`ask`) or through an httpx client (`send`).

    The answer's body is read piece by piece with `read()`.

    Attributes:
        phase: how far it got.
        fresh: whether a new connection was made for it.
        status: HTTP status, once the head is here.
    """

    def __init__(self, who: str, progress: Progress) -> None:
        self.who = who
        self.phase = Phase.NOTHING
        self.fresh = False
        self.status = 0
        self._progress = progress
        self._connection: Connection | None = None
        self._silence: float | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._response: httpx.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None
        self._inflate: Any = None
        self._rest_until: float | None = None
        self._rest_bytes = 0

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the answer, names in lower case; those of one name joined by a comma."""
        headers: dict[str, str] = {}
        for raw, value in self._headers:
            name, text = raw.decode("latin-1").lower(), value.decode("latin-1")
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
        return headers

    # The lane below httpx's objects

    async def ask(self, pool: Pool, request: bytes, *, waits: Waits, last: bool) -> None:
        """Send the request, given in bytes, and wait for the answer's head; raises as `send` does."""
        try:
            connection = await pool.ask(request, waits=waits, told=self, last=last)
        except Exception as error:
            raise self.translate(error) from error
        self._connection = connection
        self._silence = waits.read
        answer = connection.answer
        await self._arrived(answer.status, answer.headers, answer.encoding)

    def connected(self, address: str | None, *, fresh: bool) -> None:
        """Told by the lane of every request's connection; one that is reused may lead elsewhere than a new one."""
        self.fresh = fresh
        self._progress.connected(address)

    def sending(self) -> None:
        self.phase = Phase.CONNECTED

    def sent(self) -> None:
        self.phase = Phase.SENT
        self._progress.sent()

    # Through an httpx client

    async def trace(self, name: str, info: Mapping[str, Any]) -> None:
        """What httpx tells while it sends (its `trace` extension)."""
        step = name.partition(".")[2]
        if step == "connect_tcp.complete":
            await self._connected(info["return_value"])
        elif step == "connect_unix_socket.complete":
            self.fresh = True
        elif step == "send_request_headers.started":
            self.phase = Phase.CONNECTED
        elif step == "send_request_body.complete":
            self.sent()

    async def _connected(self, stream: Any) -> None:
        self.fresh = True
        try:
            address = stream.get_extra_info("server_addr")  # which the system no longer knows of one that was reset
            self._progress.connected(address[0] if isinstance(address, tuple) else None)
        except BaseException:
            await stream.aclose()
            raise

    async def send(self, client: httpx.AsyncClient, request: httpx.Request) -> None:
        """Send the request and wait for the answer's head.

        Raises:
            ProviderError: of the class that the phase says.
        """
        request.extensions["trace"] = self.trace
        request.stream = _Body(request.content)
        try:
            response = await client.send(request, stream=True)
        except Exception as error:  # the door's last word: whatever httpx and what is below it raise
            raise self.translate(error) from error
        self._response = response
        self._pieces = aiter(response.stream)  # type: ignore[arg-type]
        encoding = response.headers.get("content-encoding", "").strip().lower().encode()
        await self._arrived(response.status_code, response.headers.raw, encoding)

    async def _arrived(self, status: int, headers: list[tuple[bytes, bytes]], encoding: bytes) -> None:
        """The head is here."""
        self.phase = Phase.HEAD
        self.status = status
        self._headers = headers
        self._progress.head()
        if encoding in (b"gzip", b"x-gzip", b"deflate"):
            self._inflate = zlib.decompressobj(wbits=47)  # either of the two, by its header
        elif encoding not in (b"", b"identity"):
            await self.aclose()
            said = encoding.decode("latin-1")
            raise MalformedAnswer(
                f"{self.who} answered in the encoding {said!r}, though none was asked for",
                provider=self.who,
                detail=f"encoding {said}",
            )

    @property
    def stale(self) -> bool:
        """Whether a failure now is only that of a connection that had died while it lay idle."""
        return not self.fresh and self.phase in (Phase.CONNECTED, Phase.SENT)

    async def read(self) -> bytes:
        """The next piece of the body; empty at its end.

        Raises:
            ProviderError: where the body breaks off or falls silent.
        """
        connection, pieces = self._connection, self._pieces
        while True:
            try:
                if connection is not None:
                    piece = await connection.read(self._silence)
                else:
                    assert pieces is not None
                    piece = await anext(pieces, b"")
                if not piece:
                    return b""
                self._progress.arrived()
                if self._inflate is not None:
                    piece = self._inflate.decompress(piece)
            except Exception as error:
                raise self.translate(error) from error
            if piece:
                return piece

    async def read_rest(self) -> bytes:
        """The next piece of what follows the end of an answer; empty at the body's end, and where that is not near.

        Whoever has read to the body's end gives back a connection that can be used again.
        """
        if self._rest_until is None:
            self._rest_until = anyio.current_time() + _REST_SECONDS
        piece = b""
        with anyio.CancelScope(deadline=self._rest_until):
            try:
                piece = await self.read()
            except ProviderError:  # the answer is here already
                pass
        self._rest_bytes += len(piece)
        return piece if self._rest_bytes <= _REST_BYTES else b""

    async def read_all(self, most: int) -> bytes:
        """The whole body.

        Raises:
            MalformedAnswer: where it is longer than `most` bytes.
            ProviderError: where it breaks off or falls silent.
        """
        pieces = []
        size = 0
        while piece := await self.read():
            size += len(piece)
            if size > most:
                raise MalformedAnswer(
                    f"{self.who} answered with more than {most} bytes; maxAnswerBytes sets the bound",
                    provider=self.who,
                    detail="an answer beyond the bound",
                )
            pieces.append(piece)
        return b"".join(pieces)

    async def aclose(self) -> None:
        """Let go of the answer; an unfinished one is broken off, which the backend sees at once."""
        connection, response, pieces = self._connection, self._response, self._pieces
        self._connection = self._response = self._pieces = None
        if connection is not None:
            connection.release()
        if response is None or pieces is None:
            return
        with anyio.CancelScope(shield=True):
            await response.aclose()
            try:
                # Driving the broken iterator to its end leaves no half-run generator to the garbage
                # collector, of which trio would complain.
                async for _ in pieces:
                    pass
            except Exception:
                pass

    def translate(self, error: Exception) -> ProviderError:
        """The exception of this project for one of httpx or below it."""
        if isinstance(error, ProviderError):
            return error
        who = self.who
        if isinstance(error, httpx.PoolTimeout):
            return Busy(f"{who}: no connection is free", provider=who, detail="no free connection")
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
            detail = _connect_detail(error)
            return Unreachable(f"{who} cannot be reached: {detail}", provider=who, detail=detail)
        if isinstance(error, httpx.LocalProtocolError | httpx.InvalidURL | httpx.UnsupportedProtocol | UnicodeError):
            return ProviderCrashed(
                f"{who}: the request cannot be sent: a header or the address holds characters that HTTP forbids",
                provider=who,
                detail="a request that cannot be sent",
            )
        if isinstance(error, httpx.TimeoutException):
            return ProviderTimeout(f"{who} fell silent", provider=who, detail="silent")
        if isinstance(error, zlib.error):
            return MalformedAnswer(f"{who}: the compressed answer is broken", provider=who, detail="broken compression")
        if self.phase is Phase.HEAD:
            return MalformedAnswer(f"{who}: the answer was cut off", provider=who, detail="cut off")
        if isinstance(error, httpx.RemoteProtocolError) and not str(error).startswith(_BODY_MISSING):
            return MalformedAnswer(f"{who} answered with something that is not HTTP", provider=who, detail="not HTTP")
        if isinstance(error, httpx.TransportError | OSError):
            return ConnectionLost(f"{who} closed the connection without an answer", provider=who, detail="reset")
        return ProviderCrashed(
            f"{who}: the request failed in an unforeseen way ({type(error).__name__})",
            provider=who,
            detail=type(error).__name__,
        )


def _causes(error: BaseException) -> Iterator[BaseException]:
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        cause = waiting.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting.extend(c for c in (cause.__cause__, cause.__context__) if c is not None)
        if isinstance(cause, BaseExceptionGroup):
            waiting.extend(cause.exceptions)


def _connect_detail(error: Exception) -> str:
    """A word or two for why no connection stands."""
    if isinstance(error, httpx.ConnectTimeout):
        return "no answer to the connect"
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return "unknown host"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"certificate refused ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return "TLS failed"
        if isinstance(cause, ConnectionRefusedError):
            return "refused"
        if isinstance(cause, OSError) and cause.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN):
            return "unreachable"
        if isinstance(cause, OSError) and cause.errno == errno.ECONNRESET:
            return "reset while connecting"
    return "no connection"
