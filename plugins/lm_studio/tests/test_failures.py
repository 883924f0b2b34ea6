"""LM Studio's errors: each recorded body over real sockets, and every general fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from provider_router.backends import Backend, event, says, streams
from provider_router.backends.wire import response
from provider_router.plugin import ChatRequest, Failure, ProviderError
from provider_router_lm_studio import LMStudio

RECORDED = sorted(Path(__file__).with_name("data").glob("*.json"))
Make = Callable[[str], LMStudio]


def named(path: Path) -> str:
    return path.stem


def recorded(path: Path) -> tuple[Failure, int, bytes]:
    failure, status, _ = path.stem.split(".")
    return Failure(failure), int(status), path.read_bytes().strip()


@pytest.mark.parametrize("path", RECORDED, ids=named)
async def test_a_recorded_body_means_its_class(path: Path, provider: LMStudio, studio: Backend) -> None:
    failure, status, body = recorded(path)
    studio.script(lambda request: [response(body, status=status)])
    with pytest.raises(ProviderError) as plain:
        await provider.chat(ChatRequest.of("hi", model="m"))
    with pytest.raises(ProviderError) as streamed:
        async with aclosing(provider.stream(ChatRequest.of("hi", model="m"))) as stream:
            await anext(stream)
    assert (failure, failure) == (plain.value.failure, streamed.value.failure)
    assert ("desk", "m", None if status == 200 else status) == (
        plain.value.provider,
        plain.value.model,
        plain.value.status,
    )


@pytest.mark.parametrize("path", [path for path in RECORDED if ".200." in path.name], ids=named)
async def test_a_recorded_body_means_the_same_as_an_event_of_a_stream(
    path: Path, provider: LMStudio, studio: Backend
) -> None:
    failure, _, body = recorded(path)
    studio.script(streams(lambda request: [event(json.loads(body), name="error")]))
    with pytest.raises(ProviderError) as caught:
        async with aclosing(provider.stream(ChatRequest.of("hi"))) as stream:
            await anext(stream)
    assert failure == caught.value.failure


async def test_an_error_in_the_middle_of_a_stream_comes_after_what_was_said_before(
    provider: LMStudio, studio: Backend
) -> None:
    said = event({"choices": [{"delta": {"content": "One"}, "finish_reason": None}]})
    odd = event('{"error": no JSON')
    lost = event({"error": {"message": "Model unloaded."}}, name="error")
    studio.script(streams(lambda request: [said + odd + lost]))
    texts = []
    with pytest.raises(ProviderError) as caught:
        async with aclosing(provider.stream(ChatRequest.of("hi"))) as stream:
            async for chunk in stream:
                texts.append(chunk.data)
    assert 2 == len(texts)
    assert Failure.MODEL_UNAVAILABLE == caught.value.failure


@pytest.mark.parametrize("text", ["Model unloaded.", "The model has crashed."])
async def test_a_known_text_with_another_status_means_what_the_status_says(
    text: str, provider: LMStudio, studio: Backend
) -> None:
    body = json.dumps({"error": text}).encode()
    studio.script(lambda request: [response(body, status=401)])
    with pytest.raises(ProviderError) as caught:
        await provider.chat(ChatRequest.of("hi"))
    assert Failure.AUTH == caught.value.failure


async def test_an_address_of_a_proxy_that_lacks_the_version_is_told_how_to_mend_it(studio: Backend, make: Make) -> None:
    async with aclosing(make(f"{studio.url}/studio")) as provider:
        with pytest.raises(ProviderError) as caught:
            await provider.chat(ChatRequest.of("hi"))
    assert Failure.CAPABILITY == caught.value.failure
    assert (
        "desk answered with an error: Unexpected endpoint or method. (POST /studio/chat/completions). "
        "baseURL has to end in /v1, as http://localhost:1234/v1 does"
    ) == caught.value.message


async def test_another_path_that_an_old_version_lacks_is_not_blamed_on_the_address(
    provider: LMStudio, studio: Backend
) -> None:
    studio.script(says({"error": "Unexpected endpoint or method. (POST /v1/embeddings)"}), path="/v1/embeddings")
    with pytest.raises(ProviderError) as caught:
        await provider.embed({"model": "m", "input": "a"})
    assert Failure.CAPABILITY == caught.value.failure
    assert "baseURL" not in caught.value.message
