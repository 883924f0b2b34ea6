"""The options of the type `openai-compatible`, and how a backend is recognised."""

from __future__ import annotations

from pathlib import Path

import pytest

from provider_router.backends import EVERY_PATH, Backend, says, status
from provider_router.errors import InvalidConfig
from provider_router.plugin import Capability
from provider_router.providers.config import describe_config
from provider_router_openai_compatible import OpenAICompatible, register_providers

README = Path(__file__).parents[1] / "README.md"


def test_the_options_are_those_of_the_readme() -> None:
    options = {info.name: info for info in describe_config(OpenAICompatible.Config)}
    assert {"baseURL", "apiKey", "headers", "organization", "timeout"} <= options.keys()
    assert ["baseURL"] == [info.name for info in options.values() if info.required]
    assert {"apiKey", "headers"} == {info.name for info in options.values() if info.sensitive}
    text = README.read_text(encoding="utf-8")
    assert [] == [
        name for name in ("baseURL", "apiKey", "headers", "organization", "timeout") if f"`{name}`" not in text
    ]


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(InvalidConfig) as caught:
        OpenAICompatible("desk", {"baseUrl": "http://desk", "timeout": 20, "headers": "x", "organization": 7})
    assert 5 == len(caught.value.problems), "the address is missing, too"


def test_what_the_type_says_of_itself() -> None:
    assert ("openai-compatible", "OpenAI-compatible", 1) == (
        OpenAICompatible.type,
        OpenAICompatible.label,
        OpenAICompatible.contract,
    )
    assert frozenset(Capability) - {Capability.AUDIO} == OpenAICompatible.capabilities
    assert OpenAICompatible.free_check
    assert OpenAICompatible.generic
    assert [OpenAICompatible] == register_providers()


@pytest.mark.parametrize(
    ("address", "seconds"),
    [("http://localhost:8080/v1", 300.0), ("http://192.168.0.9/v1", 300.0), ("https://api.openai.com/v1", 60.0)],
)
def test_a_server_nearby_has_time_to_load_a_model(address: str, seconds: float) -> None:
    assert seconds == OpenAICompatible("desk", base_url=address).bounds().first_token


def test_an_option_wins_over_the_types_time() -> None:
    provider = OpenAICompatible("desk", base_url="http://localhost:8080/v1", first_token_timeout=7.0)
    assert 7.0 == provider.bounds().first_token


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
async def test_an_openai_speaking_server_is_recognised_and_a_missing_version_found(backend: Backend, path: str) -> None:
    assert {"baseURL": backend.base_url} == await OpenAICompatible.recognise(backend.url + path)


async def test_one_without_a_version_is_recognised_as_it_stands(backend: Backend) -> None:
    backend.script(says({"object": "list", "data": []}), path="/api/models")
    assert {"baseURL": f"{backend.url}/api"} == await OpenAICompatible.recognise(f"{backend.url}/api")


async def test_one_behind_a_key_is_recognised() -> None:
    with Backend(api_key="sk-1") as backend:
        assert {"baseURL": backend.base_url} == await OpenAICompatible.recognise(backend.url)


async def test_another_server_is_not_taken_for_one(backend: Backend) -> None:
    for answer in (says([]), says({"models": []}), says(b"<html></html>"), status(403, form="detail"), status(404)):
        backend.script(answer, path=EVERY_PATH)
        assert await OpenAICompatible.recognise(backend.url) is None
    backend.kill()
    assert await OpenAICompatible.recognise(backend.url) is None
