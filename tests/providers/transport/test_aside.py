"""Where the transport steps aside for stock httpx, and what is left to whoever patches that."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import trio
from pytest_httpx import HTTPXMock

from provider_router.backends import Backend
from provider_router.chat import ChatRequest
from provider_router.plugin import OpenAICompatibleProvider
from provider_router.providers.transport import Origin, Transport

ORIGIN: Origin = (b"http", b"127.0.0.1", 80, "127.0.0.1")


class Plain(OpenAICompatibleProvider):
    """A provider as any."""

    type = "plain"


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as running:
        yield running


async def test_it_is_used_on_asyncio() -> None:
    async with Transport() as transport:
        assert transport.pool_to(ORIGIN) is not None


@pytest.mark.parametrize(
    "options",
    [{"http2": True}, {"proxy": "http://127.0.0.1:1"}, {"retries": 1}, {"local_address": "127.0.0.1"}, {"aside": True}],
    ids=lambda options: next(iter(options)),
)
async def test_it_steps_aside_for_what_stock_httpx_can_and_it_cannot(options: dict[str, Any]) -> None:
    async with Transport(**options) as transport:
        assert transport.pool_to(ORIGIN) is None


async def test_it_steps_aside_where_the_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROUTER_TRANSPORT", "httpx")
    async with Transport() as transport:
        assert transport.pool_to(ORIGIN) is None


def test_it_steps_aside_on_trio(backend: Backend) -> None:
    async def ask() -> tuple[bool, int]:
        async with httpx.AsyncClient(transport=(transport := Transport())) as client:
            return transport.pool_to(ORIGIN) is None, (await client.get(backend.url + "/v1/models")).status_code

    assert (True, 200) == trio.run(ask)


def test_it_steps_aside_without_its_parser(backend: Backend) -> None:
    program = f"""
import asyncio, sys
sys.modules["httptools"] = None
import httpx
from provider_router.providers.transport import Transport
async def ask():
    async with httpx.AsyncClient(transport=Transport()) as client:
        print((await client.get({backend.url!r} + "/v1/models")).status_code)
asyncio.run(ask())
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "200" == run.stdout.strip()


def replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        return httpx.Response(299)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", answer)


def wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = httpx.AsyncHTTPTransport.handle_async_request

    @functools.wraps(genuine)
    async def answer(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        return httpx.Response(299)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", answer)


def below(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpcore

    async def answer(self: httpcore.AsyncConnectionPool, request: httpcore.Request) -> httpcore.Response:
        return httpcore.Response(299)

    monkeypatch.setattr(httpcore.AsyncConnectionPool, "handle_async_request", answer)


@pytest.mark.parametrize("patch", [replaced, wrapped, below])
async def test_it_steps_aside_while_httpx_is_patched(
    patch: Callable[[pytest.MonkeyPatch], None], backend: Backend
) -> None:
    async with httpx.AsyncClient(transport=Transport()) as client:
        url = backend.url + "/v1/models"
        with pytest.MonkeyPatch.context() as monkeypatch:
            patch(monkeypatch)
            patched = await client.get(url)
        assert [299, 200] == [patched.status_code, (await client.get(url)).status_code]
    assert 1 == len(backend.requests)


def test_a_patch_that_was_there_first_is_found_too() -> None:
    program = """
import asyncio, httpx
genuine = httpx.AsyncHTTPTransport.handle_async_request
httpx.AsyncHTTPTransport.handle_async_request = lambda self, request: genuine(self, request)
from provider_router.providers.transport import Transport
async def used():
    first = Transport().pool_to((b"http", b"x", 80, "x")) is not None
    httpx.AsyncHTTPTransport.handle_async_request = genuine
    return [first, Transport().pool_to((b"http", b"x", 80, "x")) is not None]
print(asyncio.run(used()))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "[False, True]" == run.stdout.strip()


async def test_pytest_httpx_intercepts_the_transport_and_the_lane_below_it(httpx_mock: HTTPXMock) -> None:
    httpx_mock.add_response(json={"choices": [{"message": {"role": "assistant", "content": "mocked"}}]})
    httpx_mock.add_response(text="mocked too")
    provider = Plain("one", base_url="http://nowhere.invalid/v1")
    answer = await provider.chat(ChatRequest({"model": "m", "messages": [{"role": "user", "content": "hi"}]}))
    async with httpx.AsyncClient(transport=Transport()) as client:
        other = await client.get("http://nowhere.invalid/")
    await provider.aclose()
    assert ["mocked", "mocked too"] == [answer.text, other.text]


async def test_whoever_listens_at_httpx_s_client_hears_the_lane_too(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    genuine = httpx.AsyncClient.send

    async def send(self: httpx.AsyncClient, request: httpx.Request, **options: Any) -> httpx.Response:
        heard.append(request.url.path)
        return await genuine(self, request, **options)

    monkeypatch.setattr(httpx.AsyncClient, "send", send)
    provider = Plain("one", base_url=backend.base_url)
    await provider.models()
    await provider.aclose()
    assert ["/v1/models"] == heard


async def test_tracing_is_left_to_stock_httpx(backend: Backend) -> None:
    heard: list[str] = []

    async def trace(name: str, info: Any) -> None:
        heard.append(name)

    async with httpx.AsyncClient(transport=Transport()) as client:
        await client.get(backend.url + "/v1/models", extensions={"trace": trace})
    assert "http11.send_request_headers.started" in heard


def test_another_event_loop_has_connections_of_its_own(backend: Backend) -> None:
    transport = Transport()

    async def ask() -> int:
        client = httpx.AsyncClient(transport=transport)
        answer = await client.get(backend.url + "/v1/models")
        await transport.aclose()
        return answer.status_code

    assert [200, 200] == [asyncio.run(ask()), asyncio.run(ask())]


def test_threads_with_loops_of_their_own_do_not_close_each_other_s_connections(backend: Backend) -> None:
    transport = Transport()
    together = threading.Barrier(12)

    async def ask() -> int:
        client = httpx.AsyncClient(transport=transport, timeout=60)
        return [(await client.get(backend.url + "/v1/models")).status_code for _ in range(4)][-1]

    def work(number: int) -> set[int]:
        together.wait(20)
        return {asyncio.run(ask()) for _ in range(10)}

    often = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            seen = list(pool.map(work, range(12)))
    finally:
        sys.setswitchinterval(often)
    assert [{200}] * 12 == seen


@pytest.mark.posix
def test_a_forked_child_leaves_the_parents_connections_alone(backend: Backend) -> None:
    program = f"""
import asyncio, os, httpx
from provider_router.providers.transport import Transport
transport = Transport()
async def ask():
    answer = await httpx.AsyncClient(transport=transport).get({backend.url!r} + "/v1/models")
    return answer.status_code
with asyncio.Runner() as runner:
    print(runner.run(ask()), flush=True)
    if not (child := os.fork()):
        print(asyncio.new_event_loop().run_until_complete(ask()), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print(runner.run(ask()), flush=True)
    runner.run(transport.aclose())
"""
    command = [sys.executable, "-W", "ignore", "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env={**os.environ})
    assert ["200", "200", "200"] == run.stdout.split()
    assert 2 == backend.connections


async def test_a_client_finds_out_whom_it_speaks_to(backend: Backend) -> None:
    async with httpx.AsyncClient(transport=Transport()) as client:
        async with client.stream("GET", backend.url + "/v1/models") as response:
            stream = response.extensions["network_stream"]
            assert ("127.0.0.1", backend.port) == stream.get_extra_info("server_addr")
            assert stream.get_extra_info("nothing") is None


async def test_the_server_s_name_of_tls_is_the_host_s_or_the_one_named(relay: Any, trusting: Any) -> None:
    with Backend() as backend:
        front = relay(backend.port)
        async with httpx.AsyncClient(transport=Transport(verify=trusting)) as client:
            await client.get(f"https://localhost:{front.port}/v1/models")
            await client.get(front.url + "/v1/models", extensions={"sni_hostname": "other.localhost"})
    assert ["localhost", "other.localhost"] == front.names
    assert ["http/1.1", "http/1.1"] == front.protocols


@pytest.mark.posix
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_uvloop_runs_it_too(secure: bool, relay: Any, trusting: Any, backend: Backend) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def ask() -> list[int]:
        async with Transport(verify=trusting) as transport, httpx.AsyncClient(transport=transport) as client:
            url = (relay(backend.port).url if secure else backend.url) + "/v1/chat/completions"
            answers = [await client.post(url, content=b'{"messages": []}' + b" " * size) for size in (0, 2**20)]
            assert transport.pool_to(ORIGIN) is not None
            return [answer.status_code for answer in answers]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert [200, 200] == runner.run(ask())
