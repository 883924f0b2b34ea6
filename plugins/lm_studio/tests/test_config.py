"""The options of the type `lm-studio`, and its address."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_router.errors import InvalidConfig
from provider_router.providers.config import describe_config
from provider_router_lm_studio import LMStudio, register_providers
from provider_router_lm_studio.address import with_version


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("http://localhost:1234", "http://localhost:1234/v1"),
        ("http://localhost:1234/", "http://localhost:1234/v1"),
        ("http://localhost:1234/v1", "http://localhost:1234/v1"),
        (" http://localhost:1234/v1/ ", "http://localhost:1234/v1"),
        ("http://localhost:1234/api", "http://localhost:1234/v1"),
        ("http://localhost:1234/api/v0", "http://localhost:1234/v1"),
        ("http://localhost:1234/api/v1/chat", "http://localhost:1234/v1"),
        ("http://localhost:1234/v1/chat/completions", "http://localhost:1234/v1"),
        ("http://localhost:1234/chat/completions", "http://localhost:1234/v1"),
        ("http://[::1]:1234/v1/models", "http://[::1]:1234/v1"),
        ("HTTP://Desk:1234/api/v0", "HTTP://Desk:1234/v1"),
        ("https://home.example/studio/api/v0", "https://home.example/studio/v1"),
        ("https://home.example/studio", "https://home.example/studio"),
        ("localhost:1234", "localhost:1234"),
        ("http://user:pw@desk:1234", "http://user:pw@desk:1234"),
    ],
)
def test_an_address_without_the_version_is_mended(given: str, taken: str) -> None:
    assert taken == with_version(given)


@given(st.text(alphabet="abv1/.:", max_size=20))
def test_a_mended_address_needs_no_more_mending(path: str) -> None:
    once = with_version(f"http://desk:1234/{path}")
    assert once == with_version(once)


def test_mending_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            provider = LMStudio("desk", {"baseURL": "http://said-once:1234"})
    assert "http://said-once:1234/v1" == provider.config.base_url
    (said,) = caplog.messages
    assert said.startswith("baseURL http://said-once:1234 is no address of LM Studio's OpenAI-compatible API")
    assert said.endswith("taken as http://said-once:1234/v1")


def test_a_right_address_is_nothing_to_talk_about(caplog: pytest.LogCaptureFixture) -> None:
    LMStudio("desk", base_url="http://right:1234/v1/")
    assert [] == caplog.messages


@pytest.mark.parametrize("wrong", ["localhost:1234", "ftp://desk", 42, "http://user:pw@desk:1234", "http://desk?x=1"])
def test_what_is_no_address_is_refused_and_no_password_logged(wrong: object, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InvalidConfig) as caught:
        LMStudio("desk", {"baseURL": wrong})
    assert "baseURL" in str(caught.value)
    assert "pw" not in caplog.text + str(caught.value)


def test_the_address_is_required_and_named_with_an_example() -> None:
    with pytest.raises(InvalidConfig) as caught:
        LMStudio("desk", {"baseurl": "http://desk:1234", "timeout": 20})
    problems = "\n".join(caught.value.problems)
    assert "did you mean baseURL?" in problems
    assert "http://localhost:1234/v1" in problems
    assert "timeout" in problems


def test_the_options_are_the_seeds_with_the_old_variables() -> None:
    options = {info.name: info for info in describe_config(LMStudio.Config)}
    assert ["baseURL"] == [info.name for info in options.values() if info.required]
    assert {"apiKey", "headers"} == {info.name for info in options.values() if info.sensitive}
    assert {
        "baseURL": "LM_STUDIO_BASE_URL",
        "apiKey": "LM_API_TOKEN",
        "defaultModel": "LM_STUDIO_DEFAULT_MODEL",
        "timeout": "REQUEST_TIMEOUT",
    } == {info.name: info.env for info in options.values() if info.env}
    assert ("url", "duration") == (options["baseURL"].kind, options["timeout"].kind)


def test_old_values_are_taken_as_they_stand() -> None:
    old = {"baseURL": "http://192.168.50.7:1234/v1", "defaultModel": "qwen3-max", "timeout": "120000"}
    config = LMStudio("home", old).config
    assert ("http://192.168.50.7:1234/v1", "qwen3-max", 120.0) == (
        config.base_url,
        config.default_model,
        config.timeout,
    )
    assert "lan" == LMStudio("home", old).zone


def test_the_plugin_registers_its_type() -> None:
    assert [LMStudio] == register_providers()
