"""QwenDirect keeps the contract of provider types."""

from __future__ import annotations

import pytest

from provider_router.testing import ChatQwenFake, Make, ProviderSuite
from provider_router_qwen_direct import QwenDirect


class TestQwenDirect(ProviderSuite):
    @pytest.fixture
    def fake(self) -> ChatQwenFake:
        return ChatQwenFake()

    @pytest.fixture
    def make(self) -> Make:
        def made(name: str, fake: ChatQwenFake, **options: object) -> QwenDirect:
            login = {"token": "synthetic-umid", "cookies": "cna=synthetic; acw_tc=synthetic"}
            return QwenDirect(name, **{"base_url": fake.base_url, **login, **options})

        return made
