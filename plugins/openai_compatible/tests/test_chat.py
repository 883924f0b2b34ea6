"""What goes to the backend and what comes back, over real sockets."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from provider_router.backends import (
    COMPLETIONS,
    EMBEDDINGS,
    FAULTS,
    MODELS,
    Backend,
    Fault,
    answers,
    calls,
    event,
    says,
    status,
    streams,
)
from provider_router.plugin import ChatRequest, Failure, ProviderError
from provider_router_openai_compatible import OpenAICompatible

WEATHER = {"type": "function", "function": {"name": "weather", "strict": True}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


async def test_a_chat_is_answered(provider: OpenAICompatible) -> None:
    assert "echo: Hello" == (await provider.chat(ChatRequest.of("Hello"))).text


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


async def test_a_stream_that_is_let_go_is_closed_upstream(provider: OpenAICompatible, backend: Backend) -> None:
    backend.script(answers("Many words that nobody reads to the end.", pace=0.01))
    async with aclosing(provider.stream(ChatRequest.of("hi"))) as stream:
        await anext(stream)
    assert "echo" not in (await provider.chat(ChatRequest.of("hi"))).text


async def test_a_tool_is_called_and_its_result_answered(provider: OpenAICompatible, backend: Backend) -> None:
    backend.script(calls("weather", {"city": "Oslo"}), answers("Rain."))
    messages: list[Any] = [{"role": "user", "content": "Weather in Oslo?"}]
    first = await provider.chat(ChatRequest.of(messages, fields={"tools": [WEATHER]}))
    (call,) = first.tool_calls
    assert ("weather", {"city": "Oslo"}) == (call.name, call.parse())
    messages += [first.message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    assert "Rain." == (await provider.chat(ChatRequest.of(messages, fields={"tools": [WEATHER]}))).text
    assert messages == backend.requests[-1].json["messages"]
    assert [WEATHER] == backend.requests[-1].json["tools"]


async def test_images_and_a_json_schema_are_passed_on(provider: OpenAICompatible, backend: Backend) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}}}
    content = [{"type": "text", "text": "What is this?"}, IMAGE]
    await provider.chat(ChatRequest.of({"role": "user", "content": content}, fields={"response_format": form}))
    assert content == backend.requests[-1].json["messages"][0]["content"]
    assert form == backend.requests[-1].json["response_format"]


async def test_embeddings_and_completions_are_passed_through(provider: OpenAICompatible, backend: Backend) -> None:
    vectors = await provider.embed({"model": "e", "input": ["a", "b"], "dimensions": 4})
    text = await provider.complete({"model": "small-model", "prompt": "One "})
    assert 2 == len(vectors["data"])
    assert "One " == text["choices"][0]["text"]
    assert [EMBEDDINGS, COMPLETIONS] == [request.path for request in backend.requests]


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


async def test_two_providers_share_nothing_and_close_twice() -> None:
    with Backend(answers("a")) as first, Backend(answers("b")) as second:
        desk = OpenAICompatible("desk", base_url=first.base_url, headers={"X-Of": "desk"})
        loft = OpenAICompatible("loft", base_url=second.base_url)
        assert "a" == (await desk.chat(ChatRequest.of("hi"))).text
        await desk.aclose()
        await desk.aclose()
        assert "b" == (await loft.chat(ChatRequest.of("hi"))).text
        await loft.aclose()
        assert "x-of" not in second.requests[0].headers


@pytest.mark.parametrize(
    "fault",
    [f for f in FAULTS.values() if f.plain and f.available and f.dialect == "openai"],
    ids=lambda fault: fault.name,
)
async def test_every_fault_raises_its_class(fault: Fault, make: Callable[[str], OpenAICompatible]) -> None:
    with fault.backend() as backend:
        async with aclosing(make(backend.base_url)) as provider:
            if fault.plain == "ok":
                assert (await provider.chat(ChatRequest.of("hi"))).text
                assert (await provider.chat(ChatRequest.of("hi"))).text
                return
            with pytest.raises(ProviderError) as caught:
                await provider.chat(ChatRequest.of("hi", model="m"))
    # That a silent backend is busy and not dead, the Router finds out beside the call; and what is no HTTP at all,
    # one HTTP parser cannot tell from a connection that was cut.
    also = "timeout" if fault.plain == "busy" else "reset" if fault.name == "not-http" else fault.plain
    assert caught.value.failure in (fault.plain, also)
    assert "desk" == caught.value.provider
