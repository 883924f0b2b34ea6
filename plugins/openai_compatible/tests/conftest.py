"""A loopback backend of OpenAI's dialect, and a provider that is in no hurry."""

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
    provider = made(backend.base_url)
    yield provider
    await provider.aclose()


@pytest.fixture
def make() -> Callable[[str], OpenAICompatible]:
    return made


def made(base_url: str) -> OpenAICompatible:
    return OpenAICompatible("desk", base_url=base_url, timeout=20.0, connect_timeout=10.0, max_answer_bytes=1_000_000)
