"""What LM Studio lists, in each of its versions, and how it is told from other servers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing

import pytest

from provider_router.backends import EVERY_PATH, MODELS, Backend, Model, says, status
from provider_router.plugin import Capability, Failure, ProviderError
from provider_router_lm_studio import LMStudio

Make = Callable[[str], LMStudio]
SHELF = (
    Model(id="big", loaded=False, vision=True),
    Model(id="small", context_length=8192, parallel=2, tools=False),
    Model(id="vectors", type="embeddings", loaded=False),
)
LIKE_AN_OLD_SERVER = says({"error": "Unexpected endpoint or method. (GET)"})


@pytest.fixture
def shelf() -> Backend:
    return Backend(models=SHELF, dialect="lm-studio")


async def test_the_newest_list_tells_windows_slots_and_capabilities_and_what_is_loaded_first(
    shelf: Backend, make: Make
) -> None:
    with shelf:
        async with aclosing(make(shelf.base_url)) as provider:
            small, big, vectors = await provider.models()
    assert ["/api/v1/models"] == [request.path for request in shelf.requests]
    assert ("small", 8192, True, 2, True) == (
        small.id,
        small.context_length,
        small.loaded,
        small.parallel,
        small.chat,
    )
    assert ("big", 131_072, False, None, True) == (big.id, big.context_length, big.loaded, big.parallel, big.chat)
    assert ("vectors", False) == (vectors.id, vectors.chat)
    assert small.capabilities is not None
    assert big.capabilities is not None
    assert not small.capabilities & {Capability.TOOLS, Capability.VISION, Capability.EMBEDDINGS}
    assert big.capabilities >= {Capability.TOOLS, Capability.VISION, Capability.CHAT, Capability.JSON_SCHEMA}
    assert frozenset({Capability.EMBEDDINGS}) == vectors.capabilities
    assert "gguf" == small.raw["format"]


@pytest.mark.parametrize("answer", [LIKE_AN_OLD_SERVER, status(404)], ids=["200", "404"])
async def test_an_older_server_is_asked_for_its_own_list(shelf: Backend, make: Make, answer: object) -> None:
    shelf.script(answer, path="/api/v1/models")  # type: ignore[arg-type]
    with shelf:
        async with aclosing(make(shelf.base_url)) as provider:
            small, big, vectors = await provider.models()
    assert ("small", 8192, True, None) == (small.id, small.context_length, small.loaded, small.parallel)
    assert ("big", 131_072, False, True) == (big.id, big.context_length, big.loaded, big.chat)
    assert big.capabilities is not None
    assert big.capabilities >= {Capability.TOOLS, Capability.VISION}
    assert not vectors.chat


async def test_the_oldest_server_has_openais_list_only(shelf: Backend, make: Make) -> None:
    shelf.script(LIKE_AN_OLD_SERVER, path="/api/v1/models")
    shelf.script(LIKE_AN_OLD_SERVER, path="/api/v0/models")
    with shelf:
        async with aclosing(make(shelf.base_url)) as provider:
            assert ["big", "small", "vectors"] == [info.id for info in await provider.models()]


async def test_a_list_behind_a_proxys_prefix_is_found_there(shelf: Backend, make: Make) -> None:
    with shelf:
        async with aclosing(make(f"{shelf.url}/studio/v1")) as provider:
            with pytest.raises(ProviderError):
                await provider.models()
    assert ["/studio/api/v1/models", "/studio/api/v0/models", "/studio/v1/models"] == [
        request.path for request in shelf.requests
    ]


async def test_a_refused_token_is_no_older_version(make: Make) -> None:
    with Backend(api_key="sk-lm-other", dialect="lm-studio") as backend:
        async with aclosing(make(backend.base_url)) as provider:
            with pytest.raises(ProviderError) as caught:
                await provider.models()
        assert Failure.AUTH == caught.value.failure
        assert 1 == len(backend.requests)


async def test_a_check_is_one_request_where_chats_go(shelf: Backend, make: Make) -> None:
    with shelf:
        async with aclosing(make(shelf.base_url)) as provider:
            checked = await provider.check()
    assert [MODELS] == [request.path for request in shelf.requests]
    assert ("3 models", 3) == (checked.detail, checked.models)


async def test_a_check_counts_one_model(studio: Backend, provider: LMStudio) -> None:
    assert "1 model" == (await provider.check()).detail


@pytest.mark.parametrize("path", ["", "/", "/v1", "/api/v0", "/v1/chat/completions"])
async def test_lm_studio_is_recognised_under_any_of_its_addresses(studio: Backend, path: str) -> None:
    assert {"baseURL": studio.base_url} == await LMStudio.recognise(studio.url + path)


async def test_an_older_one_is_recognised_by_its_way_with_unknown_paths(studio: Backend) -> None:
    studio.script(LIKE_AN_OLD_SERVER, path="/api/v1/models")
    studio.script(LIKE_AN_OLD_SERVER, path="/api/v0/models")
    assert {"baseURL": studio.base_url} == await LMStudio.recognise(studio.url)


async def test_one_that_wants_a_token_is_recognised_by_what_it_says() -> None:
    with Backend() as backend:
        backend.script(status(401, "An LM Studio API token is required", code="invalid_api_key"), path=EVERY_PATH)
        assert {"baseURL": backend.base_url} == await LMStudio.recognise(backend.url)


@pytest.mark.parametrize(
    "body",
    [{"models": [{"name": "llama3"}]}, {"models": "none"}, [], {"data": [{"id": "gpt-oss"}]}, b"<html></html>"],
)
async def test_another_server_is_not_taken_for_it(body: object) -> None:
    with Backend() as backend:
        backend.script(says(body), path=EVERY_PATH)
        assert await LMStudio.recognise(backend.url) is None
    assert await LMStudio.recognise(backend.url) is None, "nothing listens there any more"


async def test_an_openai_speaking_server_is_not_taken_for_it() -> None:
    with Backend() as backend:
        assert await LMStudio.recognise(backend.base_url) is None
