"""ProviderFixtures: the two fixtures that a subclass gives, and what follows from them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import ClassVar, Protocol

import pytest

from provider_router.backends.faults import Outcome
from provider_router.plugin import Provider
from provider_router.testing.asking import PATIENT
from provider_router.testing.fakes import Fake
from provider_router.testing.rules import RULES, Keeps, Rule


class Make(Protocol):
    """What the fixture `make` returns: a provider of the type under test, for a fake that runs."""

    def __call__(self, name: str, fake: Fake, /, **options: object) -> Provider:
        """A provider.

        Args:
            name: Its id, to be handed on.
            fake: A running fake of the kind that the fixture `fake` returns; `fake.base_url` is its address.
            **options: Options as Python spells them, to be handed on: `timeout=0.2`.
        """


@pytest.mark.anyio
class ProviderFixtures:
    """What every test of the suite stands on.

    Attributes:
        exempt: Rules and faults that do not apply to the type, by name, each with its reason: `{"not-http": "…"}`.
            What a dialect has not, its fake says (`Fake.lacks`); this is for the rest.
        means: Outcomes of faults, by name, where the type knows better than its dialect.
    """

    exempt: ClassVar[Mapping[str, str]] = {}
    means: ClassVar[Mapping[str, Outcome]] = {}

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> str:
        """Both event loops: trio is the stricter one, and finds leaks that asyncio hides."""
        return str(request.param)

    @pytest.fixture
    def fake(self) -> Fake:
        """A fake of the type's backend, not started: the subclass says which."""
        raise NotImplementedError("give the subclass of ProviderSuite a fixture `fake` that returns a Fake")

    @pytest.fixture
    def make(self) -> Make:
        """How a provider is made: the subclass says it."""
        raise NotImplementedError("give the subclass of ProviderSuite a fixture `make`; see testing.Make")

    @pytest.fixture(autouse=True)
    def applies(self, request: pytest.FixtureRequest, fake: Fake) -> None:
        """Leave out what the type or its dialect cannot have, and say why."""
        rule = Rule.of(getattr(request, "function", None))
        if rule is not None:
            if rule.name in self.exempt:
                pytest.skip(f"{rule.name}: {self.exempt[rule.name]}")
            if lacking := rule.needs & fake.lacks:
                pytest.skip(f"{rule.name}: {fake.dialect} has no {', '.join(sorted(wire.value for wire in lacking))}")

    @pytest.fixture
    def keeps(self, request: pytest.FixtureRequest) -> Keeps:
        """What a test says of what it saw."""
        rule = Rule.of(request.function)
        assert rule is not None, f"a test that uses `keeps` is one of a rule: {', '.join(RULES)}"
        return Keeps(rule.name)

    @pytest.fixture
    def backend(self, fake: Fake) -> Iterator[Fake]:
        """The fake, running."""
        with fake:
            yield fake

    @pytest.fixture
    async def provider(self, backend: Fake, make: Make) -> AsyncIterator[Provider]:
        """A provider for it, called `desk`, with all the time in the world; closed afterwards."""
        provider = make("desk", backend, **PATIENT)
        yield provider
        await provider.aclose()
