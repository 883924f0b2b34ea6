"""A provider under pytest-httpx: its requests are intercepted, and nothing goes over the network."""

from __future__ import annotations

import pytest
from pytest_httpx import HTTPXMock, IteratorStream

from provider_router.plugin import ChatRequest, OpenAICompatibleProvider, ProviderError
from provider_router.testing.asking import streamed

URL = "https://api.heron.example/v1"


class Heron(OpenAICompatibleProvider):
    type = "heron"
    label = "Heron"


async def test_chats_streams_and_errors_are_intercepted(httpx_mock: HTTPXMock) -> None:
    whole = {"choices": [{"message": {"content": "A heron."}, "finish_reason": "stop"}], "model": "m"}
    httpx_mock.add_response(url=f"{URL}/chat/completions", json=whole)
    pieces = [f'data: {{"choices": [{{"delta": {{"content": "{word}"}}}}]}}\n\n'.encode() for word in ("A ", "gull.")]
    httpx_mock.add_response(url=f"{URL}/chat/completions", stream=IteratorStream(pieces))
    httpx_mock.add_response(url=f"{URL}/chat/completions", status_code=429, headers={"retry-after": "7"})
    provider = Heron("heron", base_url=URL, api_key="sk-1")
    assert "A heron." == (await provider.chat(ChatRequest.of("Which bird?"))).text
    assert "A gull." == (await streamed(provider, ChatRequest.of("Which bird?"))).text
    with pytest.raises(ProviderError) as caught:
        await provider.chat(ChatRequest.of("Which bird?"))
    await provider.aclose()
    assert 7.0 == caught.value.retry_after
    assert ["Bearer sk-1"] * 3 == [sent.headers["authorization"] for sent in httpx_mock.get_requests()]
