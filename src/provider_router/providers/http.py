"""HTTPProvider: a provider that speaks HTTP. Provider types use its four verbs and never see a client or connection."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import urlsplit

import anyio

from provider_router.chat import ChatRequest, decode, encode
from provider_router.dialects.failures import ErrorBody
from provider_router.dialects.sse import Event, EventParser
from provider_router.errors import MalformedAnswer, ProviderError
from provider_router.limits import Limits
from provider_router.providers.carrier import Carrier, Errand
from provider_router.providers.config import option
from provider_router.providers.exchange import Exchange
from provider_router.providers.provider import Provider
from provider_router.providers.secrets import Secret
from provider_router.providers.terms import Terms, terms_in_force
from provider_router.providers.transport import Waits
from provider_router.providers.zones import zone_of_host

WHOLE = "whole\n"
"""The type of the event that is no event: one JSON in place of a stream. No event can call itself that."""

_WRITE_TIMEOUT = 30.0
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_LOOK = 2.0  # seconds
_NOTICE = Limits(connect=2.0, timeout=2.0)
_ERROR_BYTES = 64 * 1024  # read of an error's body
_LONG_LINE = "a line beyond the bound"
_PATIENT = 3.0  # the Router's own limits come first; this door's stand behind them by this factor


@functools.lru_cache(maxsize=256)
def _waits(connect: float | None, silence: float) -> Waits:
    return Waits(connect, silence * _PATIENT, _WRITE_TIMEOUT)


class HTTPProvider(Provider):
    """A provider that speaks HTTP. Its verbs are `get`, `post`, `events` (SSE), `lines` (NDJSON) and `notify`."""

    class Config(Provider.Config):
        """Where the backend is, and what every request to it carries."""

        base_url: str = option(help="address of the API", example="http://localhost:1234/v1", unit="url")
        headers: Mapping[str, Secret] = option(
            factory=dict, help="further headers of every request; their values are kept as secrets", sensitive=True
        )
        trust_env: bool = option(False, help="use the proxies that the environment names")

    config: Config

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        headers = {
            "accept-encoding": "identity",
            "user-agent": "provider-router",
            **{name.lower(): value.reveal() for name, value in self.config.headers.items()},
            **self.auth_headers(),
        }
        self._carrier = Carrier(
            self.id,
            headers,
            transport=self.transport,  # type: ignore[arg-type]
            trust_env=self.config.trust_env,
        )

    @classmethod
    @asynccontextmanager
    async def look(cls, base_url: str) -> AsyncGenerator[Self]:
        """A provider for a look at an address, in `recognise`: each question has two seconds.

        Raises:
            InvalidConfig: for what is no address.
        """
        provider = cls(cls.type, base_url=base_url, connect_timeout=_LOOK, timeout=_LOOK)
        try:
            yield provider
        finally:
            await provider.aclose()

    def auth_headers(self) -> dict[str, str]:
        """Headers that prove who asks; a type with credentials overrides this."""
        return {}

    @property
    def endpoint(self) -> str:
        return self._place[0]

    @property
    def zone(self) -> str:
        return self.config.zone or self._place[1]

    @functools.cached_property
    def _place(self) -> tuple[str, str]:
        """The endpoint, and the zone that its host promises."""
        url = urlsplit(self.config.base_url)
        host = url.hostname or ""
        port = url.port or (443 if url.scheme == "https" else 80)
        return f"{url.scheme}://{host.lower()}:{port}", zone_of_host(host)

    def prepare(self) -> None:
        self._carrier.prepare(self.config.base_url)

    # The four verbs

    async def get(self, path: str, *, limits: Limits | None = None) -> Any:
        """The JSON at a path below the base URL.

        Raises:
            ProviderError: of the class that fits.
        """
        return await self._whole("GET", path, None, limits=limits)

    async def post(self, path: str, body: ChatRequest | Mapping[str, Any], *, limits: Limits | None = None) -> Any:
        """The JSON that answers this body.

        Raises:
            ProviderError: of the class that fits.
        """
        return await self._whole("POST", path, body, limits=limits)

    async def events(
        self, path: str, body: ChatRequest | Mapping[str, Any], *, over: Callable[[], bool] | None = None
    ) -> AsyncGenerator[list[Event]]:
        """The server-sent events that answer this body, as many at once as one arrival brought.

        Some backends answer a streaming request with one JSON, whatever its Content-Type says: an error, or the
        whole answer. It comes as a single event of the type `WHOLE`.

        Args:
            path: below the base URL.
            body: what is sent.
            over: whether the answer has come to its end, where its events tell that. What follows is read for a moment
                only (64 KiB, 250 ms): mostly it is the end of the stream, and the connection can be used again.

        Raises:
            ProviderError: of the class that fits.
        """
        exchange = await self._send("POST", path, body, accept="text/event-stream")
        try:
            most = self._bounds(body, None).max_answer_bytes or 1
            parser = EventParser()
            first = True
            while piece := await (exchange.read_rest() if over is not None and over() else exchange.read()):
                if first and (head := piece.lstrip()):
                    first = False
                    if head[:1] in (b"{", b"<"):
                        whole = piece + await exchange.read_all(most)
                        self._json(whole)
                        yield [Event(whole, WHOLE)]
                        return
                if events := parser.feed(piece):
                    yield events
                elif parser.pending > most:
                    raise self._malformed("an event beyond the bound")
            if events := parser.close():
                yield events
        finally:
            await exchange.aclose()

    async def lines(self, path: str, body: ChatRequest | Mapping[str, Any]) -> AsyncGenerator[list[Any]]:
        """What the lines (NDJSON) that answer this body say, as many at once as one arrival brought.

        They come decoded, empty ones left out: so a line that is no JSON is the backend's fault and never looks like
        a crash of the provider type.

        Raises:
            MalformedAnswer: for a line that is no JSON, or a longer one than `max_answer_bytes`; what came before it
                has been handed out.
            ProviderError: of the class that fits.
        """
        exchange = await self._send("POST", path, body, accept="application/x-ndjson")
        try:
            most = self._bounds(body, None).max_answer_bytes or 1
            rest: list[bytes] = []
            pending = 0  # bytes of the line that is not whole yet
            more = True
            while more:
                piece = await exchange.read()
                more = bool(piece)
                head, cut, tail = piece.rpartition(b"\n") if more else (b"", b"\n", b"")
                if not cut:
                    rest.append(piece)
                    pending += len(piece)
                    if pending > most:
                        raise self._malformed(_LONG_LINE)
                    continue
                said, fault = self._said(b"".join([*rest, head]), most)
                rest, pending = [tail] if tail else [], len(tail)
                if said:
                    yield said
                if fault is not None:
                    raise fault
        finally:
            await exchange.aclose()

    def _said(self, data: bytes, most: int) -> tuple[list[Any], MalformedAnswer | None]:
        """What lines say, up to the first that is no JSON or has more than `most` bytes."""
        said: list[Any] = []
        for line in data.split(b"\n"):
            if len(line) > most:
                return said, self._malformed(_LONG_LINE)
            if line.strip():
                try:
                    said.append(self._json(line))
                except MalformedAnswer as error:
                    return said, error
        return said, None

    async def notify(self, path: str, body: Mapping[str, Any]) -> None:
        """Tell the backend something for which nobody waits, such as that an answer is not wanted any more.

        It takes two seconds at most, also while the caller is being cancelled, and its failure is no failure.
        """
        with anyio.CancelScope(shield=True), anyio.move_on_after(_NOTICE.timeout):
            try:
                await self.post(path, body, limits=_NOTICE)
            except ProviderError:
                pass

    # How they do it

    async def _whole(
        self, method: str, path: str, body: ChatRequest | Mapping[str, Any] | None, *, limits: Limits | None
    ) -> Any:
        exchange = await self._send(method, path, body, limits=limits)
        try:
            data = await exchange.read_all(self._bounds(body, limits).max_answer_bytes or 1)
        finally:
            await exchange.aclose()
        return self._json(data)

    async def _send(
        self,
        method: str,
        path: str,
        body: ChatRequest | Mapping[str, Any] | None,
        *,
        accept: str = "application/json",
        limits: Limits | None = None,
    ) -> Exchange:
        """The exchange with its head read; an error answer is raised.

        A connection that was reused and had died is no fault of the backend: another is taken at once.
        """
        bounds = self._bounds(body, limits)
        silence = bounds.timeout if accept == "application/json" else max(bounds.first_token or 0, bounds.idle or 0)
        if isinstance(body, ChatRequest):
            terms: ChatRequest | Terms = body
            content: bytes | None = body.body
            headers = body.headers
        else:
            terms, headers = terms_in_force(), _NO_HEADERS
            content = None if body is None else encode(body)
        exchange = await self._carrier.send(
            Errand(
                method=method,
                url=self.url(path),
                accept=accept,
                headers=headers,
                content=content,
                waits=_waits(bounds.connect, silence or 60.0),
                progress=terms.progress,
                zone=terms.zone,
            )
        )
        if exchange.status >= 300:
            await self._raise_error(exchange, body)
        return exchange

    def _bounds(self, body: object, limits: Limits | None) -> Limits:
        """What holds for this request; of an attempt, the Router has said all of it."""
        said = limits or (body.limits if isinstance(body, ChatRequest) else terms_in_force().limits)
        if None in (said.connect, said.timeout, said.first_token, said.idle, said.max_answer_bytes):
            return said.over(self.bounds())
        return said

    async def _raise_error(self, exchange: Exchange, body: object) -> None:
        try:
            data = await exchange.read_all(_ERROR_BYTES)
        except ProviderError:
            data = b""
        finally:
            await exchange.aclose()
        if exchange.status < 400:
            raise self._malformed(
                f"a redirect to {exchange.headers.get('location', 'nowhere')!r}; baseURL has to name the final address"
            )
        model = body.model if isinstance(body, ChatRequest) else None
        raise self.error_of(exchange.status, data, exchange.headers, model=model)

    def error_of(self, status: int, body: bytes, headers: Mapping[str, str], *, model: str | None) -> ProviderError:
        """What `read_error` makes of it, without this provider's secrets."""
        # Masked before it is read, since half a secret at the end of a shortened text would not be recognised, and
        # afterwards, for what was written in escapes.
        error = self.read_error(status, self._masked(body), headers, model=model)
        error.args = (self.mask(error.message),)
        error.detail = self.mask(error.detail)
        error.code = error.code and self.mask(error.code)
        return error

    def _masked(self, body: bytes) -> bytes:
        return self.mask(body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def _json(self, data: bytes) -> Any:
        """What the data says, if it is JSON; a web page or anything else is refused.

        `read_error` may know what a page means, such as that of a firewall.
        """
        try:
            return decode(data)
        except ValueError:
            pass
        error = self.error_of(200, data, {}, model=None)
        if not isinstance(error, MalformedAnswer):
            raise error
        what = ErrorBody.parse(self._masked(data)).message if data.strip() else "nothing at all"
        raise self._malformed(f"{what} where JSON was due", detail="no JSON")

    def _malformed(self, what: str, *, detail: str = "") -> MalformedAnswer:
        return MalformedAnswer(
            self.mask(f"{self.id} answered with {what}"), provider=self.id, detail=self.mask(detail or what)
        )

    def embedded_error(self, body: object, *, model: str | None = None) -> ProviderError | None:
        """The error inside an answer that has status 200, or None; `read_error` says what it means."""
        if ErrorBody.read(body) is None:
            return None
        return self.error_of(200, encode(body), {}, model=model)

    def url(self, path: str) -> str:
        """The address of a path below the base URL; a path that begins with `/` is below the host."""
        if path.startswith("/"):
            parts = urlsplit(self.config.base_url)
            return f"{parts.scheme}://{parts.netloc}{path}"
        return f"{self.config.base_url}/{path}"

    async def aclose(self) -> None:
        await self._carrier.aclose()
