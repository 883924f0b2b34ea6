"""The conformance suite for provider types, scripted fakes of known backends, and strategies. Extra `testing`.

A plugin's tests begin with two fixtures, and inherit the rest:

    class TestHeron(ProviderSuite):
        @pytest.fixture
        def fake(self):
            return OpenAIFake()

        @pytest.fixture
        def make(self):
            return lambda name, fake, **options: Heron(name, base_url=fake.base_url, **options)
"""

from provider_router.testing.fakes import ChatQwenFake, Fake, LinesFake, LMStudioFake, OpenAIFake, QwenProxyFake
from provider_router.testing.fixtures import Make
from provider_router.testing.rules import RULES, ContractBroken
from provider_router.testing.suite import ProviderSuite

__all__ = [
    "RULES",
    "ChatQwenFake",
    "ContractBroken",
    "Fake",
    "LMStudioFake",
    "LinesFake",
    "Make",
    "OpenAIFake",
    "ProviderSuite",
    "QwenProxyFake",
]
