"""What the proxy lists, and how it is told from other servers."""

from __future__ import annotations

import pytest

from provider_router.backends import EVERY_PATH, MODELS, Backend, Model, says
from provider_router.discover import recognise
from provider_router.plugin import Failure, ProviderError
from provider_router.providers.plugins import Plugins
from provider_router.testing import QwenProxyFake
from provider_router_qwen_proxy import QwenProxy


async def test_models_are_listed_with_the_window_that_chat_qwen_ai_tells() -> None:
    with QwenProxyFake(models=[Model(id="qwen3-max", context_length=262_144), "qwen3-coder"]) as proxy:
        provider = QwenProxy("desk", base_url=proxy.url)
        large, small = await provider.models()
        assert "2 models" == (await provider.check()).detail
        await provider.aclose()
    assert ("qwen3-max", 262_144, True) == (large.id, large.context_length, large.chat)
    assert ("qwen3-coder", "qwen") == (small.id, small.raw["owned_by"])


@pytest.mark.parametrize("info", [None, 7, {}, {"meta": None}, {"meta": {"max_context_length": "many"}}])
async def test_a_model_without_a_window_is_listed_without_one(
    info: object, native: QwenProxy, proxy: QwenProxyFake
) -> None:
    proxy.script(says({"object": "list", "data": [{"id": "m", "info": info}]}), path=MODELS)
    assert [("m", None)] == [(model.id, model.context_length) for model in await native.models()]


async def test_neither_embeddings_nor_completions_are_tried(native: QwenProxy, proxy: QwenProxyFake) -> None:
    for call in (native.embed({"input": "a"}), native.complete({"prompt": "a"})):
        with pytest.raises(ProviderError) as caught:
            await call
        assert Failure.CAPABILITY == caught.value.failure
    assert [] == list(proxy.requests)


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/models"])
async def test_the_proxy_is_recognised_under_any_of_its_addresses(proxy: QwenProxyFake, path: str) -> None:
    assert {"baseURL": f"{proxy.url}/v1"} == await QwenProxy.recognise(proxy.url + path)


async def test_a_proxy_without_credentials_is_recognised_by_what_it_says() -> None:
    with QwenProxyFake(key="none has it") as proxy:
        assert {"baseURL": f"{proxy.url}/v1"} == await QwenProxy.recognise(proxy.url)


async def test_the_proxy_is_found_among_all_types(proxy: QwenProxyFake) -> None:
    found = await recognise(proxy.url.removeprefix("http://"), Plugins.load())
    assert found is not None
    assert ("qwen-proxy", f"{proxy.url}/v1", ["small-model"]) == (
        found.type,
        found.address,
        [model.id for model in found.models],
    )


@pytest.mark.parametrize("body", [{"data": []}, {"data": [{"id": "qwen3", "owned_by": "vllm"}]}, {"data": 7}, []])
async def test_another_server_is_not_taken_for_it(body: object) -> None:
    with Backend() as backend:
        backend.script(says(body), path=EVERY_PATH)
        assert await QwenProxy.recognise(backend.url) is None
    assert await QwenProxy.recognise(backend.url) is None, "nothing listens there any more"
