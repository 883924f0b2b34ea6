"""Dialer: makes connections: names to addresses, several addresses in a race, TLS, unix sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

import httpx

from provider_router.providers.transport.connection import Connection
from provider_router.providers.transport.pool import Told

HEAD_START: Final = 0.25  # seconds that an address has before the next is tried beside it (RFC 8305)

Address: TypeAlias = tuple[socket.AddressFamily, Any]
"""A family, and what `connect` takes in it: `(AF_INET, ("127.0.0.1", 80))`."""
Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]
"""The addresses of a host, best first; raises `socket.gaierror` where it has none."""


async def resolve(host: str, port: int) -> Sequence[Address]:
    """What the system says; a number needs no asking."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return [(family, (host, port))]
    # As bytes: a str goes through Python's own IDNA, which raises what is no OSError for a label that is too long.
    found = await asyncio.get_running_loop().getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


class Dialer:
    """Makes the connections to one origin.

    Args:
        host: its name or address, in ASCII.
        port: its port.
        context: makes the TLS context when it is first needed; None for plain HTTP.
        server_name: the name that TLS asks for and checks; the host by default.
        uds: path of a unix socket that is spoken to in place of the network.
        resolve: finds a host's addresses.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        context: Callable[[], ssl.SSLContext] | None,
        server_name: str = "",
        uds: str | None = None,
        resolve: Resolve = resolve,
    ) -> None:
        self._host = host
        self._port = port
        self._context = context
        self._server_name = server_name or host
        self._uds = uds
        self._resolve = resolve

    async def dial(self, longest: float | None, told: Told) -> Connection:
        """A new connection.

        Args:
            longest: wait, in seconds, for all of it.
            told: hears of the peer's address before anything is said to it, TLS included.

        Raises:
            httpx.ConnectError: where none comes to be; `__cause__` says why.
            httpx.ConnectTimeout: where it takes too long.
        """
        try:
            async with asyncio.timeout(longest):
                return await self._dial(told)
        except TimeoutError as error:
            raise httpx.ConnectTimeout("no connection in time") from error

    async def _dial(self, told: Told) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            if self._uds is None:
                peer = await first(await self._resolve(self._host, self._port))
            else:
                peer = await _connect((socket.AF_UNIX, self._uds))
        except (OSError, OverflowError) as error:  # which a port beyond 65535 is
            raise httpx.ConnectError(str(error)) from error
        connection = Connection(loop)
        connection.address = _address_of(peer)
        try:
            told.connected(connection.address, fresh=True)
        except BaseException:
            peer.close()
            raise
        try:
            if self._context is None:
                await loop.create_connection(lambda: connection, sock=peer)
            else:
                context = self._context()
                context.set_alpn_protocols(["http/1.1"])
                await loop.create_connection(
                    lambda: connection, sock=peer, ssl=context, server_hostname=self._server_name
                )
        except BaseException as error:
            # A handshake that was over says goodbye, and would go on to do so on whoever has the socket's number next.
            connection.close()
            peer.close()
            if isinstance(error, OSError):  # ssl.SSLError is one
                raise httpx.ConnectError(str(error)) from error
            raise
        return connection


def _address_of(peer: socket.socket) -> str | None:
    try:
        name = peer.getpeername()
    except OSError:  # reset already
        return None
    return str(name[0]) if isinstance(name, tuple) else None


async def first(addresses: Iterable[Address]) -> socket.socket:
    """A socket connected to whichever address answers first (happy eyeballs).

    Raises:
        OSError: where none does; `__cause__` says why, of several a group.
    """
    waiting = _taking_turns(addresses)
    if len(waiting) == 1:
        try:
            return await _connect(waiting.pop())
        except OSError as error:
            raise OSError("All connection attempts failed") from error
    attempts: list[asyncio.Task[socket.socket]] = []
    failures: list[BaseException] = []
    won: socket.socket | None = None
    try:
        while won is None and (waiting or attempts):
            if waiting:
                attempts.append(asyncio.create_task(_connect(waiting.pop(0))))
            done, _ = await asyncio.wait(
                attempts, timeout=HEAD_START if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                attempts.remove(attempt)
                failure = attempt.exception()
                if failure is not None:
                    failures.append(failure)
                elif won is None:
                    won = attempt.result()
                else:
                    attempt.result().close()
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_close_made)
    if won is None:
        cause = BaseExceptionGroup("each failed", failures) if failures else None
        raise OSError("All connection attempts failed") from cause
    return won


def _taking_turns(addresses: Iterable[Address]) -> list[Address]:
    """The two families in turn, the one that was named first first."""
    queues: dict[int, list[Address]] = {}
    for address in addresses:
        queues.setdefault(address[0], []).append(address)
    turns: list[Address] = []
    while any(queues.values()):
        turns.extend(queue.pop(0) for queue in queues.values() if queue)
    return turns


async def _connect(address: Address) -> socket.socket:
    family, where = address
    peer = socket.socket(family, socket.SOCK_STREAM)
    try:
        peer.setblocking(False)
        await asyncio.get_running_loop().sock_connect(peer, where)
    except BaseException:
        peer.close()
        raise
    return peer


def _close_made(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()
