"""The lane below httpx's objects, beside an httpx client: the same requests, answers, failures, and the same tale."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from provider_router.backends import FAULTS, Backend, Fault, answers
from provider_router.backends.misbehaviour import dead_when_reused, does
from provider_router.backends.wire import Request, Step, response
from provider_router.chat import ChatRequest
from provider_router.errors import NotCapable, ProviderCrashed, ProviderError
from provider_router.limits import Limits
from provider_router.plugin import OpenAICompatibleProvider
from provider_router.providers.transport import Transport

BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
LANES = ("ours", "httpx")


class Door(OpenAICompatibleProvider):
    """A provider that is given all the time in the world."""

    type = "door"
    limits: ClassVar[Limits] = Limits(timeout=20.0, connect=20.0, first_token=20.0, idle=20.0, max_answer_bytes=2**20)


class Hasty(Door):
    """A provider whose own bounds, which come into play at three times the Router's, are soon reached."""

    type = "hasty"
    limits: ClassVar[Limits] = Limits(timeout=0.3, connect=0.9, first_token=0.3, idle=0.3, max_answer_bytes=2**20)


class Told:
    """What an attempt tells, and a zone that it is kept within."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.heard: list[str] = []
        self.refuses = refuses

    def connected(self, address: str | None) -> None:
        self.heard.append(f"connected to {address}")
        if self.refuses:
            raise NotCapable("too far", detail="in the zone internet")

    def sent(self) -> None:
        self.heard.append("sent")

    def head(self) -> None:
        self.heard.append("head")

    def arrived(self) -> None:
        if self.heard[-1] != "arrived":  # in how many pieces is the network's affair
            self.heard.append("arrived")


@pytest.fixture(params=LANES)
def lane(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Either lane, for every provider that is made in the test."""
    monkeypatch.setenv("PROUTER_TRANSPORT", "httpx" if request.param == "httpx" else "")
    return str(request.param)


def door(lane: str, base_url: str, kind: type[Door] = Door, **options: Any) -> Door:
    """A provider over this lane."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PROUTER_TRANSPORT", "httpx" if lane == "httpx" else "")
        return kind("door", base_url=base_url, **options)


async def fares(provider: Door, *, streamed: bool) -> tuple[Any, ...]:
    """How an attempt fares: what it brings, or what is raised; and what was told on the way."""
    told = Told()
    request = ChatRequest(BODY, progress=told)
    texts: list[str] = []
    try:
        if streamed:
            chunks = provider.stream(request)
            try:
                async for chunk in chunks:
                    texts.append(chunk.text)
            finally:
                await chunks.aclose()
        else:
            texts.append((await provider.chat(request)).text)
    except ProviderError as error:
        wait = error.retry_after is not None
        return ("".join(texts), type(error), error.detail, error.status, wait, str(error), told.heard)
    except ValueError as error:  # an event that is no JSON is for the Router to judge
        return ("".join(texts), type(error), told.heard)
    finally:
        await provider.aclose()
    return ("".join(texts), told.heard)


DOORS = [
    *((fault, False) for fault in FAULTS.values() if fault.available and fault.name != "oversized"),
    *((fault, True) for fault in FAULTS.values() if fault.plain != fault.stream and fault.name != "endless-preamble"),
]


@pytest.mark.parametrize("fault, streamed", DOORS, ids=lambda v: v.name if isinstance(v, Fault) else str(v))
async def test_every_fault_means_the_same_through_either_lane(fault: Fault, streamed: bool) -> None:
    outcome = fault.stream if streamed else fault.plain
    kind = Hasty if outcome in ("timeout", "busy", "stalled") or fault.name == "black-hole" else Door
    with fault.backend() as one, fault.backend() as other:
        ours, httpxs = await asyncio.gather(
            fares(door("ours", one.base_url, kind), streamed=streamed),
            fares(door("httpx", other.base_url, kind), streamed=streamed),
        )
    if fault.name in ("cut-reset", "not-http"):
        # A reset may overtake what came before it; and stock httpx takes what is no HTTP and soon over for nothing.
        assert issubclass(ours[1], ProviderError)
        assert issubclass(httpxs[1], ProviderError)
    else:
        assert httpxs == ours


async def test_a_request_is_the_same_through_either_lane() -> None:
    seen = []
    for lane in LANES:
        with Backend() as backend:
            provider = door(lane, backend.base_url, api_key="k", headers={"X-Own": "1"})
            await provider.chat(ChatRequest(BODY, headers={"X-Trace": "2"}))
            await provider.chat(ChatRequest(BODY))
            await provider.models()
            await provider.aclose()
            requests = backend.requests
            assert 1 == backend.connections
        for request in requests:
            headers = dict(request.headers) | {"host": request.headers["host"].partition(":")[0]}
            headers.pop("connection", None)
            seen.append((request.method, request.path, headers, request.body))
    assert seen[:3] == seen[3:]


async def test_what_is_told_on_the_way_is_told_in_order(lane: str) -> None:
    with Backend() as backend:
        provider = Door("door", base_url=backend.base_url)
        told = Told()
        await provider.chat(ChatRequest(BODY, progress=told))
        await provider.aclose()
    assert ["connected to 127.0.0.1", "sent", "head", "arrived"] == told.heard


async def test_a_connection_that_died_in_its_sleep_is_no_failure(lane: str) -> None:
    with Backend(dead_when_reused(answers("hello"))) as backend:
        provider = Door("door", base_url=backend.base_url)
        said = [(await provider.chat(ChatRequest(BODY))).text for _ in range(3)]
        await provider.aclose()
    assert ["hello"] * 3 == said


async def test_a_request_that_stays_near_does_not_go_out_on_a_connection_that_others_made(lane: str) -> None:
    with Backend() as backend:
        provider = Door("door", base_url=backend.base_url)
        await provider.chat(ChatRequest(BODY))
        with pytest.raises(NotCapable):
            await provider.chat(ChatRequest(BODY, zone="loopback", progress=Told(refuses=True)))
        await provider.chat(ChatRequest(BODY))
        await provider.aclose()
    assert 2 == len(backend.requests)


@pytest.mark.parametrize("headers", [{"x": "a\r\nb: c"}, {"x y": "a"}, {"x": "ä"}])
async def test_a_header_that_http_forbids_is_the_plugins_fault(lane: str, headers: dict[str, str]) -> None:
    with Backend() as backend:
        provider = Door("door", base_url=backend.base_url)
        with pytest.raises(ProviderCrashed):
            await provider.chat(ChatRequest(BODY, headers=headers))
        await provider.aclose()
    assert [] == backend.requests


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
async def test_an_answer_that_is_compressed_is_read_or_refused_alike(encoding: str) -> None:
    def reply(request: Request) -> Iterator[Step]:
        plain = b"".join(step for step in answers("hello")(request) if isinstance(step, bytes)).partition(b"\r\n\r\n")[
            2
        ]
        packer = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
        yield response(packer.compress(plain) + packer.flush(), headers={"content-encoding": encoding.upper()})

    seen = []
    for lane in LANES:
        with Backend(reply) as backend:
            seen.append(await fares(door(lane, backend.base_url), streamed=False))
    assert seen[0] == seen[1]
    assert ("hello" if encoding != "br" else "") == seen[0][0]


async def test_a_transport_that_is_handed_in_carries_the_lane_too() -> None:
    resolved: list[str] = []

    async def resolve(host: str, port: int) -> Any:
        resolved.append(host)
        return [(2, ("127.0.0.1", port))]

    with Backend() as backend:
        provider = Door(
            "door", base_url=f"http://somewhere.example:{backend.port}/v1", transport=Transport(resolve=resolve)
        )
        await provider.chat(ChatRequest(BODY))
        await provider.aclose()
    assert ["somewhere.example"] == resolved


async def test_a_chunk_that_is_waited_for_costs_no_timer() -> None:
    loop = asyncio.get_running_loop()
    armed: list[float] = []
    call_at = loop.call_at

    def counted(when: float, *args: Any, **options: Any) -> asyncio.TimerHandle:
        armed.append(when)
        return call_at(when, *args, **options)

    with Backend(answers("word " * 50, pace=0.001)) as backend:
        provider = Door("door", base_url=backend.base_url)
        await provider.chat(ChatRequest(BODY))
        loop.call_at = counted  # type: ignore[method-assign]
        try:
            chunks = [chunk async for chunk in provider.stream(ChatRequest(BODY))]
        finally:
            loop.call_at = call_at  # type: ignore[method-assign]
        await provider.aclose()
    assert len(chunks) > 40
    assert len(armed) < len(chunks) / 4


async def test_a_get_has_no_body(lane: str) -> None:
    with Backend() as backend:
        backend.script(does(response(b'{"data": []}')), path="*")
        provider = Door("door", base_url=backend.base_url)
        await provider.models()
        await provider.aclose()
    assert (b"", "GET", None) == (
        backend.requests[0].body,
        backend.requests[0].method,
        backend.requests[0].headers.get("content-length"),
    )
