"""What every provider type keeps, whoever translates the tools."""

from __future__ import annotations

import pytest

from provider_router.testing import Fake, Make, ProviderSuite, QwenProxyFake
from provider_router_qwen_proxy import QwenProxy


class TestNativeTools(ProviderSuite):
    @pytest.fixture
    def fake(self) -> Fake:
        return QwenProxyFake()

    @pytest.fixture
    def make(self) -> Make:
        return lambda name, fake, **options: QwenProxy(name, base_url=fake.url, **options)


@pytest.mark.soak  # on the wire nothing differs but the tools, and those have tests of their own
class TestXMLTools(ProviderSuite):
    @pytest.fixture
    def fake(self) -> Fake:
        return QwenProxyFake()

    @pytest.fixture
    def make(self) -> Make:
        return lambda name, fake, **options: QwenProxy(name, base_url=fake.url, tool_mode="xml", **options)
