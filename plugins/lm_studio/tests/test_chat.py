"""What goes to LM Studio and what comes back, over real sockets."""

from __future__ import annotations

import json
import logging
from contextlib import aclosing
from typing import Any

import pytest

from provider_router.backends import COMPLETIONS, EMBEDDINGS, Backend, answers, calls, says
from provider_router.plugin import Capability, ChatRequest, ProviderError
from provider_router_lm_studio import LMStudio

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
WEATHER = {"type": "function", "function": {"name": "weather", "strict": True}, "cache": "yes"}


async def test_a_chat_is_answered(provider: LMStudio) -> None:
    answer = await provider.chat(ChatRequest.of("Hello", model="small-model"))
    assert "echo: Hello" == answer.text
    assert "small-model" == answer.model


async def test_a_body_that_needs_no_change_goes_out_byte_for_byte(provider: LMStudio, studio: Backend) -> None:
    body = b'{ "messages": [{"role": "user", "content": "hi", "name": "\\u00e9"}], "ttl": 60, "draft_model": "x" }'
    await provider.chat(ChatRequest(body))
    assert body == studio.requests[-1].body


async def test_unknown_fields_survive_both_ways(provider: LMStudio, studio: Backend) -> None:
    message = {"role": "assistant", "content": "Hi", "mood": "calm"}
    studio.script(says({"choices": [{"message": message, "odd": 1}], "stats": {"tokens_per_second": 9.5}}))
    answer = await provider.chat(ChatRequest.of("hi", extra_body={"ttl": 60}))
    assert 60 == studio.requests[-1].json["ttl"]
    assert {"tokens_per_second": 9.5} == answer.raw["stats"]
    assert message == answer.message


async def test_a_stream_adds_up_to_the_answer(provider: LMStudio, studio: Backend) -> None:
    studio.script(answers("Five pelicans fly low.", reasoning="Let me count."))
    async with aclosing(provider.stream(ChatRequest.of("hi"))) as stream:
        chunks = [chunk async for chunk in stream]
    assert studio.requests[-1].json["stream"] is True
    assert "Five pelicans fly low." == "".join(chunk.text for chunk in chunks)
    assert "Let me count." == "".join(chunk.reasoning for chunk in chunks)
    assert "stop" == chunks[-1].finish_reason


async def test_a_tool_is_called_and_its_result_answered(provider: LMStudio, studio: Backend) -> None:
    studio.script(calls("weather", {"city": "Oslo"}), answers("Rain."))
    messages: list[Any] = [{"role": "user", "content": "Weather in Oslo?"}]
    first = await provider.chat(ChatRequest.of(messages, fields={"tools": [WEATHER]}))
    (call,) = first.tool_calls
    assert ("weather", {"city": "Oslo"}) == (call.name, call.parse())
    messages += [first.message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    second = await provider.chat(ChatRequest.of(messages, fields={"tools": [WEATHER]}))
    assert "Rain." == second.text
    assert messages == studio.requests[-1].json["messages"]


async def test_function_tools_are_normalised_and_others_left_alone(provider: LMStudio, studio: Backend) -> None:
    schema = {"properties": {"city": {"type": "string"}}, "required": ["city"]}
    known = {"name": "known", "description": "Knows.", "parameters": schema}
    tools: list[Any] = [WEATHER, {"type": "function", "function": known}, {"type": "mcp", "strict": True}]
    odd: list[Any] = [{"type": "function"}, {"type": "function", "function": {"name": "odd", "parameters": "none"}}]
    await provider.chat(ChatRequest.of("hi", fields={"tools": tools + odd}))
    weather = {
        "name": "weather",
        "description": "Execute weather function",
        "parameters": {"type": "object", "properties": {}},
    }
    sent = studio.requests[-1].json["tools"]
    assert {"type": "function", "function": weather, "cache": "yes"} == sent[0]
    assert {**known, "parameters": {**schema, "type": "object"}} == sent[1]["function"]
    assert {"type": "mcp", "strict": True} == sent[2]
    assert {"type": "function"} == sent[3]
    assert "none" == sent[4]["function"]["parameters"]
    assert "strict" in WEATHER["function"], "the caller's own tools are not changed"


async def test_tools_that_need_no_change_leave_the_body_as_it_is(provider: LMStudio, studio: Backend) -> None:
    function = {"name": "f", "description": "Does.", "parameters": {"type": "object", "properties": {}}}
    tools = [{"type": "function", "function": function}]
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}], "tools": tools}, indent=1).encode()
    await provider.chat(ChatRequest(body))
    assert body == studio.requests[-1].body


async def test_images_and_a_json_schema_are_passed_on(provider: LMStudio, studio: Backend) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}}}
    content = [{"type": "text", "text": "What is this?"}, IMAGE]
    request = ChatRequest.of({"role": "user", "content": content}, fields={"response_format": form})
    await provider.chat(request)
    assert content == studio.requests[-1].json["messages"][0]["content"]
    assert form == studio.requests[-1].json["response_format"]


async def test_embeddings_and_completions_are_passed_through(provider: LMStudio, studio: Backend) -> None:
    vectors = await provider.embed({"model": "e", "input": ["a", "b"], "truncate": True})
    text = await provider.complete({"model": "small-model", "prompt": "One "})
    assert 2 == len(vectors["data"])
    assert "One " == text["choices"][0]["text"]
    assert [EMBEDDINGS, COMPLETIONS] == [request.path for request in studio.requests]
    assert studio.requests[0].json["truncate"] is True


async def test_a_token_is_sent_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Backend(api_key="sk-lm-secret", dialect="lm-studio") as backend:
        provider = LMStudio("desk", base_url=backend.base_url, api_key="sk-lm-secret")
        async with aclosing(provider):
            await provider.chat(ChatRequest.of("hi"))
            backend.script(says({"error": "Your key sk-lm-secret is odd."}))
            with pytest.raises(ProviderError) as caught:
                await provider.chat(ChatRequest.of("hi"))
    shown = [repr(provider), repr(provider.config), str(provider.config), str(caught.value), repr(caught.value)]
    assert [] == [text for text in [*shown, caplog.text] if "sk-lm-secret" in text]
    assert "Your key *** is odd." in str(caught.value)


async def test_two_providers_share_nothing_and_close_twice() -> None:
    with Backend(answers("a")) as first, Backend(answers("b")) as second:
        desk = LMStudio("desk", base_url=first.base_url, headers={"X-Of": "desk"})
        loft = LMStudio("loft", base_url=second.base_url)
        assert "a" == (await desk.chat(ChatRequest.of("hi"))).text
        await desk.aclose()
        await desk.aclose()
        assert "b" == (await loft.chat(ChatRequest.of("hi"))).text
        await loft.aclose()
        assert "desk" == first.requests[0].headers["x-of"]
        assert "x-of" not in second.requests[0].headers


def test_what_the_type_says_of_itself() -> None:
    provider = LMStudio("desk", base_url="http://localhost:1234/v1")
    assert ("lm-studio", "LM Studio", 1) == (LMStudio.type, LMStudio.label, LMStudio.contract)
    assert frozenset(Capability) - {Capability.AUDIO} == LMStudio.capabilities
    assert ("http://localhost:1234/v1",) == LMStudio.default_urls
    assert LMStudio.free_check
    assert not LMStudio.generic
    assert 300.0 == provider.bounds().first_token
    assert ("http://localhost:1234", "loopback") == (provider.endpoint, provider.zone)
