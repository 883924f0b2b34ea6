"""Pool: the connections to one origin; the one used last is taken first, and taking costs the same however many."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import Protocol

import httpx
from attrs import frozen

from provider_router.providers.transport.connection import Connection


class Told(Protocol):
    """Whoever is told how far a request is."""

    def connected(self, address: str | None, *, fresh: bool) -> None:
        """A connection stands; raises what must end the request before anything is said on it."""

    def sending(self) -> None:
        """The request is about to go out."""

    def sent(self) -> None:
        """The request is out."""


class Untold:
    """For requests of which nobody wants to hear."""

    def connected(self, address: str | None, *, fresh: bool) -> None: ...
    def sending(self) -> None: ...
    def sent(self) -> None: ...


@frozen
class Waits:
    """Longest waits, in seconds; None for ever.

    Attributes:
        connect: for a connection, from its name to the end of its TLS handshake.
        read: for the next bytes of an answer.
        write: for the peer to take more of a request.
        pool: for a place, where the number of connections is bounded.
    """

    connect: float | None = None
    read: float | None = None
    write: float | None = None
    pool: float | None = None


Rest = Callable[[Connection], Awaitable[None]]
"""Sends what a request has beyond its first bytes."""
Dial = Callable[[float | None, Told], Awaitable[Connection]]


class Pool:
    """Connections to one origin, in one event loop.

    Args:
        dial: makes a connection, within so many seconds.
        most: connections at once; None for any number.
        most_idle: of those, how many may lie idle; None for any number.
        idle_time: how long one may lie idle, in seconds; None for ever.
    """

    def __init__(
        self,
        dial: Dial,
        loop: asyncio.AbstractEventLoop,
        *,
        most: int | None = None,
        most_idle: int | None = None,
        idle_time: float | None = None,
    ) -> None:
        self._dial = dial
        self._loop = loop
        self._most = most
        self._most_idle = most_idle
        self._idle_time = idle_time
        self._idle: OrderedDict[Connection, float] = OrderedDict()  # and since when, the longest first
        self._out: set[Connection] = set()
        self._places = 0  # connections that stand or are being made
        self._line: deque[asyncio.Future[Connection | None]] = deque()
        self._reaper: asyncio.TimerHandle | None = None
        self.closed = False

    async def ask(
        self,
        data: bytes,
        *,
        waits: Waits,
        told: Told,
        rest: Rest | None = None,
        bodiless: bool = False,
        last: bool = False,
    ) -> Connection:
        """Send a request and wait for the head of its answer.

        A connection that lay idle and dies before it answers had been closed by the peer already: the request goes
        out at once on a new one. What cannot be sent twice is not.

        Args:
            data: the request, or its first bytes.
            waits: how long anything may take.
            told: hears how far it is.
            rest: sends what comes after the first bytes.
            bodiless: whether the answer has no body whatever its head says (HEAD).
            last: whether the request asks for the connection's end.

        Raises:
            httpx.TransportError: of the class that stock httpx raises.
        """
        connection = self.take() or await self.open(waits, told)
        while True:
            try:
                if connection.used:
                    told.connected(connection.address, fresh=False)
            except BaseException:
                self.give_back(connection)
                raise
            try:
                told.sending()
                connection.ask(data, bodiless=bodiless, last=last)
                try:
                    if rest is not None:
                        await rest(connection)
                    if connection.full:
                        await connection.drain(waits.write)
                except httpx.WriteError:
                    pass  # the peer may have said why before it closed
                else:
                    connection.sent()
                    told.sent()
                await connection.answered(waits.read)
            except (httpx.ReadError, httpx.RemoteProtocolError):
                connection.close()
                if not connection.used or connection.answer.touched or rest is not None:
                    raise
            except BaseException:
                connection.close()
                raise
            else:
                return connection
            connection = await self.open(waits, told)

    def take(self) -> Connection | None:
        """An idle connection, or None."""
        while self._idle:
            connection, since = self._idle.popitem()
            if self._idle_time is None or self._loop.time() - since < self._idle_time:
                self._out.add(connection)
                return connection
            connection.close()
        return None

    async def open(self, waits: Waits, told: Told) -> Connection:
        """A new connection; where the bound is reached, the next that is given back or the next place.

        Raises:
            httpx.PoolTimeout: where no place comes free in time.
            httpx.ConnectError: where no connection comes to be.
            httpx.ConnectTimeout: where it takes too long.
        """
        if self._most is not None and self._places >= self._most:
            connection = await self._stand_in_line(waits.pool)
            if connection is not None:
                return connection
        else:
            self._places += 1
        try:
            connection = await self._dial(waits.connect, told)
        except BaseException:
            self._leave_place()
            raise
        connection.pool = self
        self._out.add(connection)
        if connection.closed:  # by the peer, as soon as it stood
            self.dropped(connection)
        elif self.closed:
            connection.close()
        return connection

    def give_back(self, connection: Connection) -> None:
        """Take a connection in that may be used again."""
        while self._line:
            waiter = self._line.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._out.discard(connection)
        if self.closed or self._idle_time == 0 or self._most_idle == 0:
            connection.close()
            return
        if self._most_idle is not None and len(self._idle) >= self._most_idle:
            next(iter(self._idle)).close()
        self._idle[connection] = self._loop.time()
        if self._reaper is None and self._idle_time is not None:
            self._reaper = self._loop.call_later(self._idle_time, self._reap)

    def dropped(self, connection: Connection) -> None:
        """A connection was closed, by whichever side."""
        self._out.discard(connection)
        self._idle.pop(connection, None)
        self._leave_place()

    def close(self) -> None:
        """Close all connections, those in use too."""
        self.closed = True
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        for connection in [*self._idle, *self._out]:
            connection.close()

    def _leave_place(self) -> None:
        while self._line:
            waiter = self._line.popleft()
            if not waiter.done():
                waiter.set_result(None)  # the place is passed on
                return
        self._places -= 1

    async def _stand_in_line(self, wait: float | None) -> Connection | None:
        """A connection that was given back, or None for a place of one's own."""
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._line.append(waiter)
        try:
            async with asyncio.timeout(wait):
                return await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                given = waiter.result()
                if given is None:
                    self._leave_place()
                else:
                    self.give_back(given)
            if isinstance(error, TimeoutError):
                raise httpx.PoolTimeout("no connection came free in time") from error
            raise

    def _reap(self) -> None:
        self._reaper = None
        idle_time = self._idle_time
        assert idle_time is not None
        now = self._loop.time()
        while self._idle:
            connection, since = next(iter(self._idle.items()))
            if since + idle_time > now:
                self._reaper = self._loop.call_at(since + idle_time, self._reap)
                return
            connection.close()
