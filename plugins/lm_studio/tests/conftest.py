"""LM Studio as the tests have it: a loopback backend that speaks its dialect, and a provider with short limits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from provider_router.backends import Backend
from provider_router_lm_studio import LMStudio


@pytest.fixture
def studio() -> Iterator[Backend]:
    with Backend(dialect="lm-studio") as backend:
        yield backend


@pytest.fixture
async def provider(studio: Backend) -> AsyncIterator[LMStudio]:
    provider = quick(studio.base_url)
    yield provider
    await provider.aclose()


@pytest.fixture
def make() -> Callable[[str], LMStudio]:
    return quick


def quick(base_url: str) -> LMStudio:
    return LMStudio("desk", base_url=base_url, timeout=0.2, connect_timeout=0.5, max_answer_bytes=1_000_000)
