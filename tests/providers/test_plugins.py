"""Plugins: types found through entry points, each plugin loaded in isolation from the others."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from provider_router.errors import InvalidConfig, PluginLoadError, UnknownProviderType
from provider_router.providers.plugins import PluginInfo, Plugins
from provider_router.providers.provider import Provider
from provider_router.providers.secrets import Reference, Secret

GOOD = """
from provider_router.plugin import Provider, Secret, hookimpl, option

class Parrot(Provider):
    type = "parrot"
    label = "Parrot"

    class Config(Provider.Config):
        seed: Secret = option(help="what it eats", sensitive=True)

@hookimpl
def register_providers():
    return [Parrot]
"""

Install = Callable[..., list[EntryPoint]]


def type_named(name: str, extra: str = "") -> str:
    return (
        "from provider_router.plugin import Provider, hookimpl, option\n"
        f"class Type(Provider):\n    type = {name!r}\n    {extra}\n"
        "@hookimpl\ndef register_providers():\n    return [Type]\n"
    )


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Lay packages into a folder as pip does, and return their entry points."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def install(**sources: str) -> list[EntryPoint]:
        for name, source in sources.items():
            (tmp_path / f"plugin_{name}.py").write_text(source)
            info = tmp_path / f"plugin_{name}-1.2.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plugin-{name}\nVersion: 1.2\n")
            (info / "entry_points.txt").write_text(f"[provider_router]\n{name} = plugin_{name}\n")
        found = importlib.metadata.distributions(path=[str(tmp_path)])
        return [entry_point for distribution in found for entry_point in distribution.entry_points]

    yield install
    for name in set(sys.modules) - before:
        if name.startswith("plugin_"):
            del sys.modules[name]


def only(plugins: Plugins) -> PluginInfo:
    (info,) = plugins.plugins
    return info


def test_the_types_of_a_plugin_are_found_under_their_names(install: Install) -> None:
    plugins = Plugins.load(install(good=GOOD))
    info = only(plugins)
    assert list(plugins.types) == ["parrot"]
    assert plugins.get("parrot").label == "Parrot"
    assert (info.name, info.version, info.types, info.problem) == ("good", "1.2", ("parrot",), "")
    assert info.seconds > 0


def test_installed_plugins_are_found_by_themselves(install: Install) -> None:
    install(good=GOOD)
    assert "parrot" in Plugins.load().types


def test_two_sets_of_plugins_share_nothing(install: Install) -> None:
    entry_points = install(good=GOOD)
    assert Plugins.load(entry_points).types == Plugins.load(entry_points).types
    assert Plugins.load([]).types == {}


@pytest.mark.parametrize(
    "source, problem",
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def (", "SyntaxError"),
        ("", "it offers no provider type"),
        (GOOD.replace("@hookimpl", ""), "it offers no provider type"),
        (GOOD.replace("[Parrot]", "[][0]"), "IndexError"),
        (GOOD.replace("[Parrot]", "Parrot"), "has to return a list of provider types"),
        (GOOD.replace("[Parrot]", "'parrot'"), "has to return a list of provider types"),
        (GOOD.replace("[Parrot]", "[int]"), "<class 'int'> is no provider type"),
        (GOOD.replace("[Parrot]", "[Parrot('a')]"), "InvalidConfig"),
        (GOOD.replace("register_providers()", "register_providers(more)"), "PluginValidationError"),
        (GOOD.replace("register_providers", "register_provider"), "PluginValidationError"),
        (type_named(""), "the class Type has no name"),
        (type_named("new", "contract = 2"), "'new' was built for contract 2, and this is 1: update provider-router"),
        (type_named("old", "contract = 0"), "'old' was built for contract 0, and this is 1: update the plugin"),
        (type_named("odd", "contract = 'one'"), "TypeError"),
        (type_named("odd", "Config = dict"), "the Config of 'odd' has to be a subclass"),
        (GOOD.replace("seed: Secret", "seed: 'Unknown'"), "the Config of 'parrot' cannot be read: name 'Unknown'"),
        (GOOD.replace("seed: Secret", "seed: str"), "the Config of 'parrot' cannot be read: the option seed"),
    ],
)
def test_a_broken_plugin_is_told_of_and_stops_no_other(install: Install, source: str, problem: str) -> None:
    plugins = Plugins.load(install(broken=source, also=type_named("also"), zebra=type_named("zebra")))
    assert list(plugins.types) == ["also", "zebra"]
    info = plugins.plugins[1]
    assert (info.name, info.version, info.types) == ("broken", "1.2", ())
    assert problem in info.problem


def test_of_two_plugins_with_one_type_the_second_is_refused(install: Install) -> None:
    plugins = Plugins.load(install(b=type_named("parrot"), a=GOOD))
    assert [info.types for info in plugins.plugins] == [("parrot",), ()]
    assert plugins.get("parrot").label == "Parrot"
    assert "another plugin offers the provider type 'parrot' already" in plugins.plugins[1].problem


def test_one_bad_type_leaves_the_plugin_s_others(install: Install) -> None:
    source = GOOD.replace("[Parrot]", "[int, Parrot, Parrot]")
    plugins = Plugins.load(install(mixed=source))
    assert only(plugins).types == ("parrot",)
    assert "no provider type" in only(plugins).problem
    assert "already" in only(plugins).problem


def test_an_unknown_type_names_near_ones_and_what_is_installed(install: Install) -> None:
    plugins = Plugins.load(install(good=GOOD, zebra=type_named("zebra"), broken="1 / 0"))
    with pytest.raises(UnknownProviderType) as caught:
        plugins.get("parot")
    message = str(caught.value)
    assert "did you mean parrot?" in message
    assert "installed are parrot, zebra" in message
    assert "broken could not be loaded, see `prouter plugin list`" in message
    with pytest.raises(UnknownProviderType, match="no provider type is installed"):
        Plugins().get("parrot")


def test_types_can_be_given_without_any_plugin() -> None:
    class Mine(Provider):
        type = "mine"

    assert Plugins([Mine]).get("mine") is Mine
    with pytest.raises(PluginLoadError, match="already"):
        Plugins([Mine, Mine])


def test_a_provider_is_made_from_stored_options(install: Install) -> None:
    plugins = Plugins.load(install(good=GOOD))

    def resolve(reference: Reference) -> Secret:
        return Secret(f"what {reference} leads to")

    provider = plugins.create("parrot", "polly", {"seed": "secret:a1", "timeout": 30_000}, resolve=resolve)
    assert (provider.id, provider.config.timeout) == ("polly", 30.0)
    assert [secret.reveal() for secret in provider.secrets()] == ["what secret:a1 leads to"]
    with pytest.raises(InvalidConfig, match="polly"):
        plugins.create("parrot", "polly", {})
