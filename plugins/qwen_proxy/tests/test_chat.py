"""What goes to the proxy and what comes back, over real sockets."""

from __future__ import annotations

import threading
from contextlib import aclosing
from typing import Any

import pytest

from provider_router.backends import DONE, Pause, Until, answers, calls, event, says, streams
from provider_router.plugin import ChatRequest, Failure, ProviderError
from provider_router.testing import QwenProxyFake
from provider_router_qwen_proxy import QwenProxy

READ = {
    "type": "function",
    "function": {
        "name": "read_file",
        "parameters": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "limit": {"type": "integer"}},
            "required": ["path"],
        },
    },
}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def said(text: str, *, finish: str | None = None) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})


def asked(*messages: Any, **fields: Any) -> ChatRequest:
    return ChatRequest.of(list(messages) or "Look.", fields={"tools": [READ], **fields})


async def chunks(provider: QwenProxy, request: ChatRequest) -> list[Any]:
    async with aclosing(provider.stream(request)) as stream:
        return [chunk async for chunk in stream]


async def test_stream_is_said_in_any_case_since_the_proxy_answers_with_nothing_otherwise(
    native: QwenProxy, proxy: QwenProxyFake
) -> None:
    proxy.script(answers("One pelican."))
    assert "One pelican." == (await native.chat(ChatRequest.of("hi"))).text
    assert proxy.requests[-1].json["stream"] is False
    await chunks(native, ChatRequest.of("hi"))
    assert proxy.requests[-1].json["stream"] is True


async def test_a_body_that_says_stream_goes_out_byte_for_byte(native: QwenProxy, proxy: QwenProxyFake) -> None:
    body = b'{ "messages": [{"role": "user", "content": "hi", "name": "\\u00e9"}], "stream": false, "top_k": 40 }'
    await native.chat(ChatRequest(body))
    assert body == proxy.requests[-1].body


async def test_what_only_the_proxy_knows_goes_through(native: QwenProxy, proxy: QwenProxyFake) -> None:
    answer = await native.chat(ChatRequest.of("hi"))
    assert answer.raw["_qwen_metadata"]["parent_id"]


async def test_the_proxy_translates_tools_unless_told_otherwise(native: QwenProxy, proxy: QwenProxyFake) -> None:
    proxy.script(calls("read_file", {"path": "a.py"}, text="I will look."))
    answer = await native.chat(asked(parallel_tool_calls=True))
    (call,) = answer.tool_calls
    assert ("I will look.", "read_file", {"path": "a.py"}) == (answer.text, call.name, call.parse())
    assert ([READ], True) == (proxy.requests[-1].json["tools"], proxy.requests[-1].json["parallel_tool_calls"])
    texts = [chunk.text for chunk in await chunks(native, asked())]
    assert "I will look." == "".join(texts)


async def test_values_that_the_proxy_has_guessed_are_mended_by_the_schema(
    native: QwenProxy, proxy: QwenProxyFake
) -> None:
    proxy.script(calls("read_file", {"path": 7, "limit": "20"}))
    (call,) = (await native.chat(asked())).tool_calls
    assert {"path": "7", "limit": 20} == call.parse()
    made = await chunks(native, asked())
    (delta,) = [delta for chunk in made for delta in chunk.tool_calls]
    assert '{"path":"7","limit":20}' == delta["function"]["arguments"]
    assert "tool_calls" == made[-1].finish_reason


@pytest.mark.parametrize("tools", [[READ], []])
async def test_html_that_the_proxy_took_for_a_call_is_no_answer(
    tools: list[Any], native: QwenProxy, proxy: QwenProxyFake
) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "b", "arguments": "{}"}}
    message = {"role": "assistant", "content": "It is ", "tool_calls": [call]}
    proxy.script(says({"choices": [{"message": message, "finish_reason": "tool_calls"}]}))
    with pytest.raises(ProviderError) as caught:
        await native.chat(asked(tools=tools or None))
    assert (Failure.MALFORMED, "desk") == (caught.value.failure, caught.value.provider)
    assert "took <b> in its answer for the call of a tool" in caught.value.message


async def test_tools_that_are_no_functions_are_left_to_the_proxy_or_refused(
    native: QwenProxy, xml: QwenProxy, proxy: QwenProxyFake
) -> None:
    custom = {"type": "custom", "custom": {"name": "x"}}
    assert (await native.chat(asked(tools=[custom]))).text
    assert [custom] == proxy.requests[-1].json["tools"]
    with pytest.raises(ProviderError) as caught:
        await xml.chat(asked(tools=[custom]))
    assert Failure.CAPABILITY == caught.value.failure


async def test_an_answer_in_json_is_refused_since_the_proxy_would_drop_the_wish(
    native: QwenProxy, xml: QwenProxy, proxy: QwenProxyFake
) -> None:
    for provider in (native, xml):
        with pytest.raises(ProviderError, match=r"no response_format \(json_object\)") as caught:
            await provider.chat(asked(response_format={"type": "json_object"}))
        with pytest.raises(ProviderError):
            await chunks(provider, asked(response_format={"type": "json_object"}))
        assert Failure.CAPABILITY == caught.value.failure
    assert [] == proxy.requests


# With the tools in the prompt


async def test_the_tools_are_told_in_every_request_and_never_to_the_proxy(xml: QwenProxy, proxy: QwenProxyFake) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "read_file", "arguments": '{"path":"a.py"}'}}
    turn = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": "I will look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "x = 1"},
    ]
    await xml.chat(asked())
    await xml.chat(asked(*turn))
    for request in proxy.requests:
        assert {"messages", "stream"} == set(request.json)
        assert "## read_file" in request.json["messages"][0]["content"]
    system, user = proxy.requests[-1].json["messages"]
    assert ("system", "user") == (system["role"], user["role"])
    for part in ("Look.", "I will look.\n<read_file>\n<path>a.py</path>\n</read_file>", "x = 1"):
        assert part in user["content"]


async def test_calls_are_found_in_the_text_plain_and_streamed(xml: QwenProxy, proxy: QwenProxyFake) -> None:
    proxy.script(calls("read_file", {"path": "007", "limit": 20}, text="I <b>will</b> look."))
    answer = await xml.chat(asked())
    made = await chunks(xml, asked())
    (call,) = answer.tool_calls
    (delta,) = [delta for chunk in made for delta in chunk.tool_calls]
    assert {"path": "007", "limit": 20} == call.parse()
    assert call.arguments == delta["function"]["arguments"]
    assert "I <b>will</b> look." == answer.text == "".join(chunk.text for chunk in made)
    assert "tool_calls" == answer.finish_reason == made[-1].finish_reason


async def test_text_arrives_before_the_model_has_finished(xml: QwenProxy, proxy: QwenProxyFake) -> None:
    read = threading.Event()
    pieces = [said("I will"), said(" look.\n<read"), Until(read), said("_file><path>a</path></read_file>"), DONE]
    proxy.script(streams(lambda request: [*pieces[:-1], said("", finish="stop"), DONE]))
    texts: list[str] = []
    names: list[str] = []
    async with aclosing(xml.stream(asked())) as stream:
        async for chunk in stream:
            texts.append(chunk.text)
            names += [call["function"]["name"] for call in chunk.tool_calls]
            if "look." in "".join(texts):
                read.set()
    assert ("I will look.", ["read_file"]) == ("".join(texts), names)


async def test_a_call_that_is_cut_off_is_an_error(xml: QwenProxy, proxy: QwenProxyFake) -> None:
    text = "<read_file>\n<path>src/"
    proxy.script(answers(text))
    with pytest.raises(ProviderError) as caught:
        await xml.chat(asked())
    assert Failure.MALFORMED == caught.value.failure
    with pytest.raises(ProviderError):
        await chunks(xml, asked())
    proxy.script(answers(text, finish_reason="length"))
    assert (text, "length") == (
        (await xml.chat(asked())).text,
        (await chunks(xml, asked()))[-1].finish_reason,
    )


async def test_a_stream_that_breaks_off_ends_with_an_error_and_hangs_nobody(
    xml: QwenProxy, native: QwenProxy, proxy: QwenProxyFake
) -> None:
    broke = event({"error": {"message": "socket hang up", "type": "stream_error"}})
    for provider in (xml, native):
        proxy.script(streams(lambda request: [said("One"), Pause(0.01), broke, DONE]))
        texts: list[str] = []
        with pytest.raises(ProviderError) as caught:
            async with aclosing(provider.stream(asked())) as stream:
                async for chunk in stream:
                    texts.append(chunk.text)
        assert (["One"], Failure.SERVER) == (texts, caught.value.failure)


async def test_text_that_was_held_back_comes_where_a_stream_is_cut(xml: QwenProxy, proxy: QwenProxyFake) -> None:
    proxy.script(streams(lambda request: [said("a <read")]))
    made = await chunks(xml, asked())
    assert ("a <read", None) == ("".join(chunk.text for chunk in made), made[-1].finish_reason)


async def test_a_request_without_tools_or_turns_is_sent_as_it_is(xml: QwenProxy, proxy: QwenProxyFake) -> None:
    body = b'{ "messages": [{"role": "user", "content": "a <b>x</b>"}], "stream": false }'
    assert "echo: a <b>x</b>" == (await xml.chat(ChatRequest(body))).text
    assert body == proxy.requests[-1].body


async def test_images_of_a_conversation_are_sent_along(xml: QwenProxy, proxy: QwenProxyFake) -> None:
    see = {"role": "user", "content": [{"type": "text", "text": "See?"}, IMAGE]}
    await xml.chat(asked(see, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Sure?"}))
    assert IMAGE in proxy.requests[-1].json["messages"][-1]["content"]
