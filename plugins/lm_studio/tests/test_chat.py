"""What goes to LM Studio and what comes back, over real sockets."""

from __future__ import annotations

import json
from typing import Any

from provider_router.backends import Backend, says
from provider_router.plugin import Capability, ChatRequest
from provider_router_lm_studio import LMStudio

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
WEATHER = {"type": "function", "function": {"name": "weather", "strict": True}, "cache": "yes"}


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


def test_what_the_type_says_of_itself() -> None:
    provider = LMStudio("desk", base_url="http://localhost:1234/v1")
    assert ("lm-studio", "LM Studio", 1) == (LMStudio.type, LMStudio.label, LMStudio.contract)
    assert frozenset(Capability) - {Capability.AUDIO} == LMStudio.capabilities
    assert ("http://localhost:1234/v1",) == LMStudio.default_urls
    assert LMStudio.free_check
    assert not LMStudio.generic
    assert 300.0 == provider.bounds().first_token
    assert ("http://localhost:1234", "loopback") == (provider.endpoint, provider.zone)
