"""One caller: plain answers, streams, and what a dead first backend costs, against httpx used by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import httpx

from benchmarks.measure import Effort, Row, Run, compare
from benchmarks.upstream import BODY, CHUNKS, STREAMED, TEXT
from provider_router import AsyncRouter, Router
from provider_router_openai_compatible import OpenAICompatible

TOGETHER = 8  # callers, as many as httpx's pool serves at one price


def rows(base_url: str, effort: Effort) -> Iterator[Row]:
    """All of them, against the backend at `base_url`."""
    with nobody() as dead_url:
        yield from compare(
            "plain answer, asyncio",
            {"httpx.AsyncClient": httpx_chat(base_url), "AsyncRouter": router_chat(base_url)},
            effort=effort,
            goals={"AsyncRouter": 0.30},
        )
        yield from compare(
            "plain answer, blocking",
            {"httpx.Client": httpx_blocking(base_url), "Router": router_blocking(base_url)},
            effort=effort,
            goals={"Router": 1.0},
        )
        yield from compare(
            "one chunk of a stream",
            {"httpx.AsyncClient": httpx_stream(base_url), "AsyncRouter": router_stream(base_url)},
            effort=Effort(turns=effort.turns, calls=max(effort.calls // 20, 2), starts=0, providers=0),
            goals={},  # the goal is for 64 streams at once
            per_call=CHUNKS,
        )
        yield from compare(
            "the first backend refuses",
            {
                "httpx, try/except": httpx_fallback(dead_url, base_url),
                "AsyncRouter": router_fallback(dead_url, base_url),
            },
            effort=effort,
            goals={"AsyncRouter": 0.35},
        )
        failing_url = base_url.replace("/v1", "/fails/v1")
        yield from compare(
            f"the first backend answers 500, {TOGETHER} at once",
            {
                "httpx, try/except": httpx_fallback(failing_url, base_url, callers=TOGETHER),
                "AsyncRouter": router_fallback(failing_url, base_url, callers=TOGETHER),
            },
            # The Router asks it twice, as far as its budget of retries goes, and waits for a third of a second between.
            effort=Effort(turns=min(effort.turns, 7), calls=max(effort.calls // 20, 2), starts=0, providers=0),
            goals={"AsyncRouter": 0.35},
            per_call=TOGETHER,
        )
        yield from compare(
            "the first backend is known to be dead",
            {"AsyncRouter, one backend": router_chat(base_url), "AsyncRouter": router_chat(dead_url, base_url)},
            effort=effort,
            goals={"AsyncRouter": 1.0},
        )


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    """An address that refuses: the port is ours, and nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/v1"


def providers(*base_urls: str) -> list[OpenAICompatible]:
    return [OpenAICompatible(f"backend-{number}", base_url=url) for number, url in enumerate(base_urls)]


@contextlib.contextmanager
def repeated(
    once: Callable[[], Coroutine[Any, Any, None]], close: Callable[[], Coroutine[Any, Any, None]], *, callers: int = 1
) -> Iterator[Run]:
    """A coroutine function as something that is done n times, by several at once, on an event loop of its own."""

    async def times(count: int) -> None:
        for _ in range(count):
            if callers == 1:
                await once()
            else:
                await asyncio.gather(*(once() for _ in range(callers)))

    with asyncio.Runner() as runner:
        yield lambda count: runner.run(times(count))
        runner.run(close())


@contextlib.contextmanager
def httpx_chat(base_url: str) -> Iterator[Run]:
    client, url = httpx.AsyncClient(), f"{base_url}/chat/completions"

    async def once() -> None:
        answer = (await client.post(url, json=BODY)).json()
        assert answer["choices"][0]["message"]["content"] == TEXT

    with repeated(once, client.aclose) as run:
        yield run


@contextlib.contextmanager
def router_chat(*base_urls: str) -> Iterator[Run]:
    router = AsyncRouter(providers=providers(*base_urls))

    async def once() -> None:
        assert (await router.chat(BODY)).text == TEXT

    with repeated(once, router.aclose) as run:
        yield run


@contextlib.contextmanager
def httpx_blocking(base_url: str) -> Iterator[Run]:
    url = f"{base_url}/chat/completions"
    with httpx.Client() as client:

        def run(count: int) -> None:
            for _ in range(count):
                answer = client.post(url, json=BODY).json()
                assert answer["choices"][0]["message"]["content"] == TEXT

        yield run


@contextlib.contextmanager
def router_blocking(base_url: str) -> Iterator[Run]:
    with Router(providers=providers(base_url)) as router:

        def run(count: int) -> None:
            for _ in range(count):
                assert router.chat(BODY).text == TEXT

        yield run


@contextlib.contextmanager
def httpx_stream(base_url: str) -> Iterator[Run]:
    client, url = httpx.AsyncClient(), f"{base_url}/chat/completions"

    async def once() -> None:
        seen = 0
        async with client.stream("POST", url, json=STREAMED) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    seen += bool(json.loads(line[6:])["choices"][0]["delta"].get("content"))
        assert seen == CHUNKS

    with repeated(once, client.aclose) as run:
        yield run


@contextlib.contextmanager
def router_stream(base_url: str) -> Iterator[Run]:
    router = AsyncRouter(providers=providers(base_url))

    async def once() -> None:
        seen = 0
        async with router.stream(BODY) as stream:
            async for chunk in stream:
                seen += bool(chunk.text)
        assert seen == CHUNKS

    with repeated(once, router.aclose) as run:
        yield run


@contextlib.contextmanager
def httpx_fallback(*base_urls: str, callers: int = 1) -> Iterator[Run]:
    client, urls = httpx.AsyncClient(), [f"{base_url}/chat/completions" for base_url in base_urls]

    async def once() -> None:
        for url in urls:
            try:
                answer = (await client.post(url, json=BODY)).raise_for_status().json()
            except httpx.HTTPError:
                continue
            assert answer["choices"][0]["message"]["content"] == TEXT
            return
        raise AssertionError("nobody answered")

    with repeated(once, client.aclose, callers=callers) as run:
        yield run


@contextlib.contextmanager
def router_fallback(*base_urls: str, callers: int = 1) -> Iterator[Run]:
    """Every call meets the dead backend anew: what was learnt of it is forgotten before."""
    made = providers(*base_urls)
    router = AsyncRouter(providers=made)

    async def once() -> None:
        router.registry.health.forgive(made[0].id, made[0].endpoint, time.monotonic())
        answer = await router.chat(BODY)
        assert answer.text == TEXT
        assert len(answer.attempts) > 1

    with repeated(once, router.aclose, callers=callers) as run:
        yield run
