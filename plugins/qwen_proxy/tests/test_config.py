"""The options of the type `qwen-proxy`, its address, and what the type says of itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_router.errors import InvalidConfig
from provider_router.plugin import Capability
from provider_router.providers.config import describe_config
from provider_router_qwen_proxy import QwenProxy, register_providers
from provider_router_qwen_proxy.address import with_version


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("http://localhost:3000", "http://localhost:3000/v1"),
        ("http://localhost:3000/", "http://localhost:3000/v1"),
        ("http://localhost:3000/v1", "http://localhost:3000/v1"),
        (" http://localhost:3000/v1/ ", "http://localhost:3000/v1"),
        ("http://localhost:3000/v1/chat/completions", "http://localhost:3000/v1"),
        ("http://localhost:3000/chat/completions", "http://localhost:3000/v1"),
        ("http://localhost:3000/v1/models", "http://localhost:3000/v1"),
        ("http://localhost:3000/health/detailed", "http://localhost:3000/v1"),
        ("https://home.example/qwen", "https://home.example/qwen/v1"),
        ("http://[::1]:3000", "http://[::1]:3000/v1"),
        ("localhost:3000", "localhost:3000"),
        ("http://user:pw@desk:3000", "http://user:pw@desk:3000"),
        (42, 42),
    ],
)
def test_an_address_is_taken_with_and_without_the_version(given: object, taken: object) -> None:
    assert taken == with_version(given)


@given(st.text(alphabet="abv1/.:", max_size=20))
def test_an_address_that_was_taken_is_taken_again_as_it_is(path: str) -> None:
    once = with_version(f"http://desk:3000/{path}")
    assert once == with_version(once)


@pytest.mark.parametrize("wrong", ["localhost:3000", "ftp://desk", 42, "http://user:pw@desk:3000", "http://desk?x=1"])
def test_what_is_no_address_is_refused(wrong: object) -> None:
    with pytest.raises(InvalidConfig) as caught:
        QwenProxy("desk", {"baseURL": wrong})
    assert "baseURL" in str(caught.value)
    assert "pw" not in str(caught.value)


def test_a_mode_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(InvalidConfig) as caught:
        QwenProxy("desk", {"baseURL": "http://localhost:3000", "toolMode": "json"})
    assert all(word in str(caught.value) for word in ("toolMode", "native", "xml"))


def test_the_options_are_the_seeds_with_the_old_variables() -> None:
    options = {info.name: info for info in describe_config(QwenProxy.Config)}
    assert ["baseURL"] == [info.name for info in options.values() if info.required]
    assert {"baseURL": "QWEN_PROXY_BASE_URL", "timeout": "REQUEST_TIMEOUT"} == {
        info.name: info.env for info in options.values() if info.env
    }
    assert ("native", ("native", "xml")) == (options["toolMode"].default, options["toolMode"].choices)


@pytest.mark.parametrize("address", ["http://localhost:3000", "http://localhost:3000/v1"])
def test_old_values_are_taken_as_they_stand(address: str) -> None:
    config = QwenProxy("home", {"baseURL": address, "timeout": "120000"}).config
    assert ("http://localhost:3000/v1", 120.0, "native") == (config.base_url, config.timeout, config.tool_mode)


def test_what_the_type_says_of_itself() -> None:
    provider = QwenProxy("desk", base_url="http://localhost:3000")
    assert ("qwen-proxy", "Qwen proxy", 1) == (QwenProxy.type, QwenProxy.label, QwenProxy.contract)
    seeds = {Capability.CHAT, Capability.STREAMING, Capability.TOOLS, Capability.MODELS}
    assert seeds == QwenProxy.capabilities
    assert ("http://localhost:3000",) == QwenProxy.default_urls
    assert 300.0 == provider.bounds().first_token
    assert [QwenProxy] == register_providers()
