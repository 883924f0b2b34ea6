"""The proxy as the tests have it: a fake that speaks its dialect, and a provider for it in each of its modes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from provider_router.testing import QwenProxyFake
from provider_router_qwen_proxy import QwenProxy


@pytest.fixture
def proxy() -> Iterator[QwenProxyFake]:
    with QwenProxyFake() as proxy:
        yield proxy


@pytest.fixture
async def native(proxy: QwenProxyFake) -> AsyncIterator[QwenProxy]:
    provider = QwenProxy("desk", base_url=proxy.url, connect_timeout=10)
    yield provider
    await provider.aclose()


@pytest.fixture
async def xml(proxy: QwenProxyFake) -> AsyncIterator[QwenProxy]:
    provider = QwenProxy("desk", base_url=proxy.url, connect_timeout=10, tool_mode="xml")
    yield provider
    await provider.aclose()
