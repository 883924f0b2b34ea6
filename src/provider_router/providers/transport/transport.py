"""Transport: httpx's own interface over this package's connections; it steps aside wherever stock httpx is meant."""

from __future__ import annotations

import asyncio
import functools
import os
import ssl
import sys
from collections.abc import AsyncIterable, AsyncIterator
from types import FunctionType, TracebackType
from typing import Any, Final, Self, TypeAlias

import httpx
from anyio.lowlevel import checkpoint, current_token

from provider_router.home import stock_transport
from provider_router.providers.transport.answer import PARSES
from provider_router.providers.transport.connection import Connection
from provider_router.providers.transport.dialer import Dialer, Resolve, resolve
from provider_router.providers.transport.loop_end import LoopEnd
from provider_router.providers.transport.pool import Pool, Untold, Waits
from provider_router.providers.transport.request import Head

Origin: TypeAlias = tuple[bytes, bytes, int, str]
"""Scheme, host, port, and the name that TLS asks for."""

_UNTOLD: Final = Untold()
PORTS: Final = {b"http": 80, b"https": 443}

# After a fork: connections that belong to the parent, which the child must neither use nor close.
_of_the_parent: list[object] = []
_genuine: set[object] = set()


@functools.cache
def shared_context() -> ssl.SSLContext:
    """One context for all: making one costs 20 ms."""
    return httpx.create_ssl_context()


def port_of(url: httpx.URL) -> int:
    return PORTS[url.raw_scheme] if url.port is None else url.port


def patched() -> bool:
    """Whether somebody (pytest-httpx, respx, an instrumentation) has put something in the place of httpx's method."""
    core = sys.modules.get("httpcore")  # what is not loaded yet cannot be patched
    return _foreign(httpx.AsyncHTTPTransport.handle_async_request, "httpx._transports.default") or (
        core is not None and _foreign(core.AsyncConnectionPool.handle_async_request, "httpcore._async.connection_pool")
    )


def client_patched() -> bool:
    """The same of httpx's client, where other instrumentations are; for the lane, which goes by below it."""
    return _foreign(httpx.AsyncClient.send, "httpx._client")


def _foreign(method: object, home: str) -> bool:
    if method in _genuine:
        return False
    # Wrappers may claim the original's name and module, and even its attributes; not its type and globals.
    if type(method) is not FunctionType or method.__globals__ is not vars(sys.modules[home]):
        return True
    _genuine.add(method)
    return False


class Transport(httpx.AsyncHTTPTransport):
    """An `httpx.AsyncHTTPTransport` for asyncio and HTTP/1.1, with the same arguments and exceptions.

    Everything else it leaves to stock httpx: trio, proxies, HTTP/2, `trace`, upgrades, a local address, retries,
    socket options, a machine without httptools, `PROUTER_TRANSPORT=httpx`, and every request while the class's method
    is patched. The bounds of `limits` hold for each origin.

    Args:
        resolve: finds the addresses of a host; the system's way by default.
        aside: whether to step aside always.
        **options: as `httpx.AsyncHTTPTransport` takes them.
    """

    def __init__(
        self,
        *,
        verify: ssl.SSLContext | str | bool = True,
        trust_env: bool = True,
        limits: httpx.Limits = httpx.Limits(max_connections=100, max_keepalive_connections=20),  # noqa: B008 - frozen
        uds: str | None = None,
        resolve: Resolve = resolve,
        aside: bool = False,
        **options: Any,
    ) -> None:
        self._verify = verify
        self._trust_env = trust_env
        self._limits = limits
        self._uds = uds
        self._resolve = resolve
        self._options = options
        self._stock_home: tuple[int, object] | None = None
        self._aside = (
            aside
            or not PARSES
            or stock_transport()
            or bool({name for name, value in options.items() if value} - {"http1", "cert"})
            or not options.get("http1", True)
            or (uds is not None and sys.platform == "win32")
        )
        self._context: ssl.SSLContext | None = None
        self._home: tuple[int, asyncio.AbstractEventLoop | None, dict[Origin, Pool]] = (0, None, {})
        self._homes: dict[asyncio.AbstractEventLoop, dict[Origin, Pool]] = {}
        self._ends: dict[asyncio.AbstractEventLoop, LoopEnd] = {}

    def context(self) -> ssl.SSLContext:
        """The TLS context by httpx's rules, made when it is first needed; one for all that ask for nothing special."""
        if self._context is None:
            cert = self._options.get("cert")
            if self._verify is True and self._trust_env and cert is None:
                self._context = shared_context()
            else:
                self._context = httpx.create_ssl_context(verify=self._verify, cert=cert, trust_env=self._trust_env)
        return self._context

    def pool_to(self, origin: Origin) -> Pool | None:
        """The connections to an origin in this event loop; None where stock httpx is meant."""
        if self._aside or patched():
            return None
        try:
            task = asyncio.current_task()
        except RuntimeError:
            return None
        if task is None:  # trio, perhaps on top of asyncio
            return None
        home = self._home
        loop = task.get_loop()
        if home[1] is not loop or home[0] != os.getpid():
            home = self._move_to(loop)
        pool = home[2].get(origin)
        return self._make_pool(origin, loop, home[2]) if pool is None else pool

    def _move_to(
        self, loop: asyncio.AbstractEventLoop
    ) -> tuple[int, asyncio.AbstractEventLoop | None, dict[Origin, Pool]]:
        """Connections cannot move from one loop to another, nor into a forked process."""
        process = os.getpid()
        if self._home[0] not in (0, process):
            _of_the_parent.append((self._homes, self._ends))
            self._homes, self._ends = {}, {}
        # In place: another thread, with a loop of its own, may be at it too.
        for known in [known for known in list(self._homes) if known.is_closed()]:
            self._homes.pop(known, None)
            self._ends.pop(known, None)
        if loop not in self._ends:
            pools: dict[Origin, Pool] = self._homes.setdefault(loop, {})
            self._ends[loop] = LoopEnd(lambda: _close_all(pools))
        self._home = (process, loop, self._homes.setdefault(loop, {}))
        return self._home

    def _make_pool(self, origin: Origin, loop: asyncio.AbstractEventLoop, pools: dict[Origin, Pool]) -> Pool:
        scheme, host, port, server_name = origin
        dialer = Dialer(
            host.decode("ascii"),
            port,
            context=self.context if scheme == b"https" else None,
            server_name=server_name,
            uds=self._uds,
            resolve=self._resolve,
        )
        limits = self._limits
        pool = pools[origin] = Pool(
            dialer.dial,
            loop,
            most=limits.max_connections,
            most_idle=limits.max_keepalive_connections,
            idle_time=limits.keepalive_expiry,
        )
        return pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        url, extensions = request.url, request.extensions
        pool = None
        if url.raw_scheme in PORTS and url.host and "trace" not in extensions:
            server_name = extensions.get("sni_hostname") or url.raw_host.decode("ascii")
            pool = self.pool_to((url.raw_scheme, url.raw_host, port_of(url), server_name))
        if pool is None:
            return await self._stock(request)
        target = extensions.get("target", url.raw_path)
        head = Head(request.method.encode("ascii"), target, request.headers.raw)
        if head.upgrades:
            return await self._stock(request)
        longest = extensions.get("timeout", {})
        waits = Waits(longest.get("connect"), longest.get("read"), longest.get("write"), longest.get("pool"))
        data, rest = head.data, None
        if isinstance(request.stream, httpx.ByteStream):
            data += head.framed(b"".join(request.stream))
        else:
            rest = _Rest(head, request.stream, waits.write)
        connection = await pool.ask(
            data, waits=waits, told=_UNTOLD, rest=rest, bodiless=request.method == "HEAD", last=head.last
        )
        return httpx.Response(
            connection.answer.status,
            headers=connection.answer.headers,
            stream=_Answer(connection, waits.read),
            extensions={
                "http_version": b"HTTP/" + connection.answer.version.encode("ascii"),
                "reason_phrase": connection.answer.reason,
                "network_stream": _NetworkStream(connection),
            },
        )

    async def _stock(self, request: httpx.Request) -> httpx.Response:
        home = (os.getpid(), current_token())
        if self._stock_home != home:
            if self._stock_home is not None and self._stock_home[0] != home[0]:
                _of_the_parent.append(self._pool)
            self._stock_home = home
            options = {name: value for name, value in self._options.items() if name != "cert"}
            super().__init__(verify=self.context(), limits=self._limits, uds=self._uds, **options)
        return await super().handle_async_request(request)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection. May be called twice; what comes after it opens new ones."""
        process = self._home[0]
        homes, ends = self._homes, self._ends
        self._homes, self._ends, self._home = {}, {}, (0, None, {})
        if process == os.getpid():
            here = _running_loop()
            for loop, pools in homes.items():
                if loop is here:
                    await ends[loop].aclose()
                elif not loop.is_closed():
                    for pool in pools.values():
                        loop.call_soon_threadsafe(pool.close)
        if self._stock_home == (os.getpid(), current_token()):
            await super().aclose()
        self._stock_home = None


async def _close_all(pools: dict[Origin, Pool]) -> None:
    for pool in pools.values():
        pool.close()
    await checkpoint()  # asyncio lets go of a socket in the loop's next turn


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _Rest:
    """Sends the pieces of a request's body."""

    def __init__(self, head: Head, pieces: AsyncIterable[bytes], longest: float | None) -> None:
        self._head = head
        self._pieces = pieces
        self._longest = longest

    async def __call__(self, connection: Connection) -> None:
        length = self._head.length
        sent = 0
        async for piece in self._pieces:
            sent += len(piece)
            if length is None:
                if piece:
                    await connection.write(b"%x\r\n%b\r\n" % (len(piece), piece), self._longest)
            elif sent > length:
                raise httpx.LocalProtocolError("Too much data for declared Content-Length")
            else:
                await connection.write(piece, self._longest)
        if length is None:
            await connection.write(b"0\r\n\r\n", self._longest)
        elif sent < length:
            raise httpx.LocalProtocolError("Too little data for declared Content-Length")


class _Answer(httpx.AsyncByteStream):
    """An answer's body, piece by piece as it arrives. The connection goes back when it has been read."""

    def __init__(self, connection: Connection, longest: float | None) -> None:
        self._connection: Connection | None = connection
        self._longest = longest

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._connection is None:
            raise StopAsyncIteration
        try:
            piece = await self._connection.read(self._longest)
        except BaseException:
            self._release()
            raise
        if not piece:
            self._release()
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        self._release()

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()


class _NetworkStream:
    """What httpx's users find in `response.extensions["network_stream"]`, as far as it tells of the connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get_extra_info(self, info: str) -> Any:
        """`client_addr`, `server_addr`, `socket` or `ssl_object`; None for anything else."""
        name = {"client_addr": "sockname", "server_addr": "peername", "ssl_object": "ssl_object", "socket": "socket"}
        return self._connection.told_of(name[info]) if info in name else None
