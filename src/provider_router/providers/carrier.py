"""Carrier: carries the requests of one provider, below httpx's objects where it may, else through an httpx client."""

from __future__ import annotations

import os
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import anyio
import anyio.lowlevel
import httpx
from attrs import define

from provider_router.chat import Progress
from provider_router.errors import ConnectionLost
from provider_router.providers.exchange import Exchange
from provider_router.providers.transport import (
    LoopEnd,
    Opening,
    Pool,
    Transport,
    Waits,
    client_patched,
    opening,
    shared_context,
)

# Local servers close their idle connections after five seconds.
_CONNECTIONS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=4.0)
_STALE_TRIES: Final = 8  # connections that had died while idle, before the failure counts
_MOST_OPENINGS: Final = 256

# After a fork: clients that belong to the parent, which the child must neither use nor close.
_of_the_parent: list[object] = []


@define(kw_only=True, eq=False)
class Errand:
    """One request to be carried.

    Attributes:
        accept: the media type that is asked for.
        headers: beyond the provider's own.
        content: the body, a JSON, or None.
        waits: how long anything may take.
        progress: whom the exchange tells how far it is.
        zone: how far the request may go, or None.
    """

    method: str
    url: str
    accept: str
    headers: Mapping[str, str]
    content: bytes | None
    waits: Waits
    progress: Progress
    zone: str | None


class Carrier:
    """Carries requests, on asyncio and trio.

    Args:
        who: the provider's id.
        headers: of every request; names in lower case.
        transport: carries the requests in place of the network.
        trust_env: whether the environment's proxies are used.
    """

    def __init__(
        self,
        who: str,
        headers: Mapping[str, str],
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        trust_env: bool = False,
    ) -> None:
        self._who = who
        self._headers = headers
        self._transport = transport
        self._trust_env = trust_env
        if isinstance(transport, Transport):
            self._lane = transport
        else:
            self._lane = Transport(limits=_CONNECTIONS, aside=transport is not None or trust_env)
        self._openings: dict[tuple[str, str, str, bool], Opening | None] = {}
        # One for each zone that requests stay within: httpx does not tell whom a connection that it reuses leads to.
        self._clients: dict[tuple[str | None, bool], httpx.AsyncClient] = {}
        self._home: tuple[int, object] | None = None  # the process and the event loop of the clients
        self._end: LoopEnd | None = None

    def prepare(self, base_url: str) -> None:
        """Make what the first request would have to make, inside a running event loop."""
        secure = base_url.startswith("https:")
        begun = opening("GET", base_url, {})
        if self._pool_for(begun) is None:
            self._client_here(None, secure=secure)
        elif secure:
            self._lane.context()

    async def send(self, errand: Errand) -> Exchange:
        """The exchange with its head read.

        A connection that was reused and had died is no fault of the backend: another is taken at once.

        Raises:
            ProviderError: of the class that the phase says.
        """
        exchange = Exchange(self._who, errand.progress)
        try:
            begun = self._opening(errand)
        except (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeError) as error:
            raise exchange.translate(error) from None
        if begun is not None and (pool := self._pool_for(begun)) is not None:
            await exchange.ask(pool, begun.request(errand.content), waits=errand.waits, last=begun.last)
            return exchange
        return await self._send_through_httpx(errand)

    async def _send_through_httpx(self, errand: Errand) -> Exchange:
        waits = errand.waits
        timeout = {"connect": waits.connect, "read": waits.read, "write": waits.write, "pool": waits.pool}
        client = self._client_here(errand.zone, secure=errand.url.startswith("https:"))
        for _ in range(_STALE_TRIES):
            exchange = Exchange(self._who, errand.progress)
            try:
                request = httpx.Request(
                    errand.method,
                    errand.url,
                    headers=self._headers_of(errand),
                    content=errand.content,
                    extensions={"timeout": timeout},
                )
            except (httpx.InvalidURL, UnicodeError) as error:
                raise exchange.translate(error) from None
            try:
                await exchange.send(client, request)
            except ConnectionLost:
                if exchange.stale:
                    continue
                raise
            return exchange
        raise ConnectionLost(f"{self._who} closes every connection that lies idle", provider=self._who, detail="reset")

    def _pool_for(self, begun: Opening | None) -> Pool | None:
        """The lane's connections; None where httpx has to see to it."""
        return None if begun is None or client_patched() else self._lane.pool_to(begun.origin)

    def _opening(self, errand: Errand) -> Opening | None:
        """How the request begins, made once; None where httpx has to see to it."""
        if errand.headers:
            return opening(errand.method, errand.url, self._headers_of(errand))
        key = (errand.method, errand.url, errand.accept, errand.content is not None)
        try:
            return self._openings[key]
        except KeyError:
            if len(self._openings) >= _MOST_OPENINGS:  # somebody puts something new into each address
                self._openings.clear()
            begun = self._openings[key] = opening(errand.method, errand.url, self._headers_of(errand))
            return begun

    def _headers_of(self, errand: Errand) -> dict[str, str]:
        headers = {"accept": errand.accept, **self._headers}
        headers.update({name.lower(): value for name, value in errand.headers.items()})
        if errand.content is not None:
            headers["content-type"] = "application/json"
        return headers

    def _client_here(self, zone: str | None, *, secure: bool) -> httpx.AsyncClient:
        """The client of this event loop: connections cannot move from one loop to another."""
        home = (os.getpid(), anyio.lowlevel.current_token())
        if self._home != home:
            if self._home is not None and self._home[0] != home[0]:
                _of_the_parent.append((self._clients, self._end))
            self._home = home
            clients = self._clients = {}
            self._end = LoopEnd(lambda: _close_all(clients))
        client = self._clients.get((zone, secure))
        if client is None:
            client = self._clients[zone, secure] = httpx.AsyncClient(
                transport=self._transport,
                verify=shared_context() if secure else False,
                trust_env=self._trust_env,
                limits=_CONNECTIONS,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            )
        return client

    async def aclose(self) -> None:
        """Close what is open in this event loop and process. May be called twice."""
        if self._end is not None and self._home == (os.getpid(), anyio.lowlevel.current_token()):
            await self._end.aclose()
            self._home = self._end = None
        await self._lane.aclose()


async def _close_all(clients: Mapping[tuple[str | None, bool], httpx.AsyncClient]) -> None:
    for client in clients.values():
        await client.aclose()
