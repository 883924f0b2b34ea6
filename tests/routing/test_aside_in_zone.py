"""What is asked beside a request, such as a check or a stop notice, stays within the zone of the request."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, ClassVar

import anyio
import httpx
import pytest

from provider_router import AsyncRouter, ChatChunk, ChatRequest, Limits
from provider_router.backends import CHAT, MODELS
from provider_router.errors import Busy, NotCapable, ProviderTimeout, Unreachable
from provider_router.limits import OPENING, OPENING_SPREAD
from provider_router.plugin import OpenAICompatibleProvider

STOP = "/v1/stop"
WORD = b'data: {"choices": [{"index": 0, "delta": {"content": "One"}}]}\n\n'


class Talking(httpx.AsyncByteStream):
    """A stream that says one word, and nothing more until it is closed."""

    def __init__(self) -> None:
        self._closed = anyio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield WORD
        await self._closed.wait()

    async def aclose(self) -> None:
        self._closed.set()


class Wandering(httpx.AsyncBaseTransport):
    """A network in which a name leads to this machine for the chats, and out into the internet for all else."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.down = False
        self.address = ""

    def get_extra_info(self, name: str) -> tuple[str, int] | None:
        return (self.address, 443) if name == "server_addr" else None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("nobody is there")
        path = request.url.path
        self.address = "127.0.0.1" if path == CHAT else "93.184.216.34"
        await request.extensions["trace"]("connection.connect_tcp.complete", {"return_value": self})
        self.sent.append(path)
        if path != CHAT:
            return httpx.Response(200, json={"data": [{"id": "m"}]})
        if b'"stream":true' in (await request.aread()).replace(b" ", b""):
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Talking())
        await anyio.sleep_forever()
        raise AssertionError

    async def aclose(self) -> None: ...


class Telling(OpenAICompatibleProvider):
    """A type that has a check, and that tells its backend when an answer is not wanted any more."""

    type = "telling"
    free_check: ClassVar[bool] = True
    limits: ClassVar[Limits] = Limits(timeout=1.0, connect=0.2, first_token=10.0, idle=10.0, check_after=10.0)

    class Config(OpenAICompatibleProvider.Config):
        """The usual."""

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk]:
        chunks = super().stream(request)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            await chunks.aclose()
            await self.notify("stop", {})


class Clock:
    """The real one, and what it was put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def telling(network: Wandering, **options: Any) -> Any:
    return Telling("liar", base_url="https://desk.local/v1", zone="loopback", transport=network, **options)


@pytest.mark.parametrize(("zone", "outcome", "checks"), [("loopback", ProviderTimeout, set()), (None, Busy, {MODELS})])
async def test_a_check_beside_a_silent_call_stays_within_its_zone(
    zone: str | None, outcome: type[Exception], checks: set[str]
) -> None:
    network = Wandering()
    async with AsyncRouter(providers=[telling(network, check_after=0.05)]) as router:
        # A check that was not asked says nothing: neither that the backend lives nor that it is dead.
        with pytest.raises(outcome, match=r"did not answer within 1\.0 s"):
            await router.chat("hi", model="m", zone=zone)
    assert network.sent[0] == CHAT
    assert set(network.sent[1:]) == checks


async def test_a_check_before_a_request_stays_within_its_zone() -> None:
    network, clock = Wandering(), Clock()
    async with AsyncRouter(providers=[telling(network)], clock=clock) as router:
        network.down = True
        with pytest.raises(Unreachable):
            await router.chat("hi", model="m")
        network.down = False
        clock.ahead += OPENING * (1 + OPENING_SPREAD)
        with pytest.raises(NotCapable, match="lies in the zone internet, and the request stays within loopback"):
            await router.chat("hi", model="m", zone="loopback")
        assert network.sent == []
        [state] = await router.health()
        assert state.state == "half-open"  # it tells of this request alone
        async with router.stream("hi", model="m") as stream:
            assert (await anext(aiter(stream))).text == "One"
    assert network.sent == [MODELS, CHAT, STOP]


@pytest.mark.parametrize(("zone", "told"), [("loopback", []), (None, [STOP])])
async def test_a_stop_notice_stays_within_the_zone_of_the_stream(zone: str | None, told: list[str]) -> None:
    network = Wandering()
    async with AsyncRouter(providers=[telling(network)]) as router:
        async with router.stream("hi", model="m", zone=zone) as stream:
            assert (await anext(aiter(stream))).text == "One"
        assert router.registry.health.in_flight == {}
    assert network.sent == [CHAT, *told]
