"""A loopback backend of OpenAI's dialect, and a provider with short limits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from provider_router.backends import Backend
from provider_router_openai_compatible import OpenAICompatible


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as backend:
        yield backend


@pytest.fixture
async def provider(backend: Backend) -> AsyncIterator[OpenAICompatible]:
    provider = quick(backend.base_url)
    yield provider
    await provider.aclose()


@pytest.fixture
def make() -> Callable[[str], OpenAICompatible]:
    return quick


def quick(base_url: str) -> OpenAICompatible:
    return OpenAICompatible("desk", base_url=base_url, timeout=0.2, connect_timeout=0.5, max_answer_bytes=1_000_000)
