"""The rules of a type by itself, without any backend: what it declares, and how it takes its options."""

from __future__ import annotations

import pytest

from provider_router.errors import InvalidConfig
from provider_router.limits import ZONES
from provider_router.plugin import CONTRACT, Capability, Provider
from provider_router.providers.config import OptionInfo, describe_config
from provider_router.testing.fixtures import ProviderFixtures
from provider_router.testing.rules import Keeps, rule


def options_of(provider: Provider) -> tuple[OptionInfo, ...]:
    """The options of a provider's type."""
    return describe_config(type(provider).Config)


class TypeRules(ProviderFixtures):
    """What a type declares."""

    @rule("type-declared")
    async def test_a_type_says_what_it_is(self, provider: Provider, keeps: Keeps) -> None:
        cls = type(provider)
        keeps.holds(cls.type and cls.type == cls.type.strip().lower(), f"its name is {cls.type!r}: small letters")
        keeps.holds(cls.label, "it has no label for people")
        keeps.same(CONTRACT, cls.contract, "the number of its contract")

    @rule("type-declared")
    async def test_a_type_says_what_it_can_do(self, provider: Provider, keeps: Keeps) -> None:
        declared = type(provider).capabilities
        keeps.holds(isinstance(declared, frozenset), f"capabilities is no frozenset: {declared!r}")
        keeps.holds(declared <= set(Capability), f"some of them are none: {declared - set(Capability)!r}")
        known = {Capability.CHAT, Capability.EMBEDDINGS, Capability.COMPLETION}
        keeps.holds(declared & known, "it can neither chat nor embed nor complete")

    @rule("type-declared")
    async def test_a_provider_keeps_its_id_and_shows_it(self, provider: Provider, keeps: Keeps) -> None:
        keeps.same("desk", provider.id, "the id")
        keeps.holds("desk" in repr(provider), f"repr() does not say the id: {provider!r}")

    @rule("options-declared")
    async def test_every_option_is_explained(self, provider: Provider, keeps: Keeps) -> None:
        silent = [info.name for info in options_of(provider) if not info.help.strip()]
        keeps.same([], silent, "options without help")
        odd = [info.name for info in options_of(provider) if not info.name.isidentifier() or "_" in info.name]
        keeps.same([], odd, "names that are not camelCase")

    @rule("options-checked")
    async def test_an_unknown_option_is_named_with_a_near_one(self, provider: Provider, keeps: Keeps) -> None:
        with pytest.raises(InvalidConfig) as caught:
            type(provider)("desk", {"timeuot": "30s"})
        told = str(caught.value)
        keeps.holds("timeuot" in told and "timeout" in told, f"neither it nor the near one is named: {told}")

    @rule("options-checked")
    async def test_all_that_is_missing_is_told_at_once(self, provider: Provider, keeps: Keeps) -> None:
        needed = {info.name for info in options_of(provider) if info.required and not info.credentials}
        try:
            type(provider)("desk", {"timeout": "soon"})
        except InvalidConfig as error:
            told = {problem.partition(":")[0] for problem in error.problems}
            keeps.holds(told >= {*needed, "timeout"}, f"only {sorted(told)} is told, not {sorted(needed)} and timeout")
        else:
            keeps.broken("a timeout of `soon` was taken")

    @rule("options-checked")
    async def test_an_address_that_is_none_is_refused(self, provider: Provider, keeps: Keeps) -> None:
        addresses = [info for info in options_of(provider) if info.kind == "url"]
        for info in addresses:
            with pytest.raises(InvalidConfig) as caught:
                type(provider)("desk", {info.name: "no address"})
            keeps.holds(info.name in str(caught.value), f"{info.name} is not named: {caught.value}")

    @rule("place-told")
    async def test_a_provider_tells_where_it_lies(self, provider: Provider, keeps: Keeps) -> None:
        keeps.holds(provider.zone in ZONES, f"its zone is {provider.zone!r}")
        keeps.holds(provider.endpoint, "it tells no endpoint")
        keeps.same("loopback", provider.zone, "the zone of a provider whose backend is on this machine")
