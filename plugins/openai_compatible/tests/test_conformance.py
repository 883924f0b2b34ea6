"""The type keeps the contract of provider types."""

from __future__ import annotations

import pytest

from provider_router.testing import Fake, Make, OpenAIFake, ProviderSuite
from provider_router_openai_compatible import OpenAICompatible


class TestOpenAICompatible(ProviderSuite):
    @pytest.fixture
    def fake(self) -> Fake:
        return OpenAIFake()

    @pytest.fixture
    def make(self) -> Make:
        return lambda name, fake, **options: OpenAICompatible(name, base_url=fake.base_url, **options)
