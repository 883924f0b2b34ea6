"""chat.qwen.ai as the tests have it: a fake of it on loopback, and a provider with a made-up login."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from provider_router.testing import ChatQwenFake
from provider_router_qwen_direct import QwenDirect

TOKEN = "T2gAsynthetic-umid-0001"
COOKIES = "cna=abcdefghij; token=eyJsynthetic.jwt.x; acw_tc=0a0b0c0d0e"

Make = Callable[..., QwenDirect]


@pytest.fixture
def login() -> dict[str, str]:
    return {"token": TOKEN, "cookies": COOKIES}


@pytest.fixture
def make(login: dict[str, str]) -> Make:
    """Make a provider for an address."""

    def made(base_url: str, *, id: str = "qwen", **options: Any) -> QwenDirect:
        return QwenDirect(id, **{"base_url": base_url, "connect_timeout": 10.0, **login, **options})

    return made


@pytest.fixture
def site() -> Iterator[ChatQwenFake]:
    with ChatQwenFake() as fake:
        yield fake


@pytest.fixture
async def provider(site: ChatQwenFake, make: Make) -> AsyncIterator[QwenDirect]:
    provider = make(site.base_url)
    yield provider
    await provider.aclose()
