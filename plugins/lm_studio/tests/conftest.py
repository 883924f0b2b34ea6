"""LM Studio as the tests have it: a loopback backend that speaks its dialect, and a provider that is in no hurry."""

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
    provider = made(studio.base_url)
    yield provider
    await provider.aclose()


@pytest.fixture
def make() -> Callable[[str], LMStudio]:
    return made


def made(base_url: str) -> LMStudio:
    return LMStudio("desk", base_url=base_url, timeout=20.0, connect_timeout=10.0, max_answer_bytes=1_000_000)
