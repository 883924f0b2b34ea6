"""What goes to the backend and what comes back, over real sockets."""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import Any

import anyio
import anyio.to_thread
import pytest

from provider_router.backends import (
    DONE,
    MODELS,
    STALL,
    Backend,
    Pause,
    answers,
    event,
    says,
    status,
    streams,
)
from provider_router.plugin import ChatRequest, Failure, ProviderError
from provider_router_openai_compatible import OpenAICompatible


def said(text: str) -> list[bytes]:
    """The events of a stream that says this."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": "stop"}
    return [event({"choices": [choice]}), DONE]


WEATHER = {"type": "function", "function": {"name": "weather", "strict": True}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


async def test_a_body_goes_out_byte_for_byte(provider: OpenAICompatible, backend: Backend) -> None:
    body = b'{ "messages": [{"role": "user", "content": "hi", "name": "\\u00e9"}], "top_k": 40 }'
    await provider.chat(ChatRequest(body))
    assert body == backend.requests[-1].body


async def test_unknown_fields_survive_both_ways(provider: OpenAICompatible, backend: Backend) -> None:
    message = {"role": "assistant", "content": "Hi", "annotations": [{"url": "x"}]}
    backend.script(says({"choices": [{"message": message, "odd": 1}], "timings": {"ms": 3}}))
    answer = await provider.chat(ChatRequest.of("hi", extra_body={"top_k": 40}))
    assert 40 == backend.requests[-1].json["top_k"]
    assert {"ms": 3} == answer.raw["timings"]
    assert message == answer.message


async def test_a_stream_adds_up_to_the_answer_with_its_unknown_fields(
    provider: OpenAICompatible, backend: Backend
) -> None:
    backend.script(answers("Five pelicans fly low.", reasoning="Let me count.", tokens=(7, 4)))
    request = ChatRequest.of("hi", fields={"stream_options": {"include_usage": True}})
    async with aclosing(provider.stream(request)) as stream:
        chunks = [chunk async for chunk in stream]
    assert "Five pelicans fly low." == "".join(chunk.text for chunk in chunks)
    assert "Let me count." == "".join(chunk.reasoning for chunk in chunks)
    assert "chat.completion.chunk" == chunks[0].raw["object"]
    assert chunks[-1].usage is not None
    assert 11 == chunks[-1].usage.total_tokens


@pytest.mark.usefixtures("patient")
async def test_streams_share_a_connection_though_its_end_comes_after_their_last_event(
    provider: OpenAICompatible, backend: Backend
) -> None:
    backend.script(streams(lambda request: [*said("Five pelicans."), Pause(0.02)]))
    for _ in range(3):
        async with aclosing(provider.stream(ChatRequest.of("hi"))) as stream:
            assert "Five pelicans." == "".join([chunk.text async for chunk in stream])
    assert 1 == backend.connections


async def test_a_stream_ends_though_the_backend_leaves_the_body_open(
    provider: OpenAICompatible, backend: Backend
) -> None:
    backend.script(streams(lambda request: [*said("Five pelicans."), STALL]))
    async with aclosing(provider.stream(ChatRequest.of("hi"))) as stream:
        assert "Five pelicans." == "".join([chunk.text async for chunk in stream])
    assert await anyio.to_thread.run_sync(backend.wait_closed)


async def test_a_whole_answer_in_place_of_a_stream_is_one_chunk(provider: OpenAICompatible, backend: Backend) -> None:
    backend.script(says({"choices": [{"message": {"content": "All at once."}, "finish_reason": "stop"}]}))
    async with aclosing(provider.stream(ChatRequest.of("hi"))) as stream:
        assert ["All at once."] == [chunk.text async for chunk in stream]


async def test_an_error_event_comes_after_what_was_said_before_as_its_class(
    provider: OpenAICompatible, backend: Backend
) -> None:
    said = event({"choices": [{"delta": {"content": 'an "error" is'}, "finish_reason": None}], "error": None})
    limited = event({"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}})
    backend.script(streams(lambda request: [said + limited]))
    texts = []
    with pytest.raises(ProviderError) as caught:
        async with aclosing(provider.stream(ChatRequest.of("hi"))) as stream:
            async for chunk in stream:
                texts.append(chunk.text)
    assert ['an "error" is'] == texts
    assert Failure.RATE_LIMIT == caught.value.failure


async def test_images_and_a_json_schema_are_passed_on(provider: OpenAICompatible, backend: Backend) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}}}
    content = [{"type": "text", "text": "What is this?"}, IMAGE]
    await provider.chat(ChatRequest.of({"role": "user", "content": content}, fields={"response_format": form}))
    assert content == backend.requests[-1].json["messages"][0]["content"]
    assert form == backend.requests[-1].json["response_format"]


@pytest.mark.parametrize(
    ("item", "length"),
    [
        ({"id": "a", "max_model_len": 8192}, 8192),
        ({"id": "a", "context_length": 4096}, 4096),
        ({"id": "a", "meta": {"n_ctx_train": 2048}}, 2048),
        ({"id": "a", "meta": None, "context_length": "many"}, None),
    ],
)
async def test_models_tell_their_window_in_every_servers_way(
    item: dict[str, Any], length: int | None, provider: OpenAICompatible, backend: Backend
) -> None:
    backend.script(says({"object": "list", "data": [item, {"id": "text-embedding-3"}, {}]}), path=MODELS)
    model, vectors = await provider.models()
    assert ("a", length, True, item) == (model.id, model.context_length, model.chat, model.raw)
    assert not vectors.chat


async def test_a_check_counts_the_models(provider: OpenAICompatible) -> None:
    assert "1 model" == (await provider.check()).detail


async def test_key_organization_and_headers_are_sent_and_no_secret_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Backend(api_key="sk-secret-1") as backend:
        provider = OpenAICompatible(
            "desk",
            base_url=backend.base_url,
            api_key="sk-secret-1",
            organization="org-7",
            headers={"X-Title": "secret-2"},
        )
        async with aclosing(provider):
            await provider.chat(ChatRequest.of("hi", extra_headers={"X-Trace": "7"}))
            backend.script(status(400, "Your key sk-secret-1 (secret-2) is odd."))
            with pytest.raises(ProviderError) as caught:
                await provider.chat(ChatRequest.of("hi"))
        sent = backend.requests[0].headers
    assert ("Bearer sk-secret-1", "org-7", "secret-2", "7") == (
        sent["authorization"],
        sent["openai-organization"],
        sent["x-title"],
        sent["x-trace"],
    )
    shown = [repr(provider), repr(provider.config), str(caught.value), repr(caught.value), caplog.text]
    assert [] == [text for text in shown if "secret-" in text]
