"""The type keeps the contract of provider types."""

from __future__ import annotations

import pytest

from provider_router.testing import Fake, LMStudioFake, Make, ProviderSuite
from provider_router_lm_studio import LMStudio


class TestLMStudio(ProviderSuite):
    @pytest.fixture
    def fake(self) -> Fake:
        return LMStudioFake()

    @pytest.fixture
    def make(self) -> Make:
        return lambda name, fake, **options: LMStudio(name, base_url=fake.base_url, **options)
