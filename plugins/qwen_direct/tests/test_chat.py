"""Whole requests through the protocol, over real sockets."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provider_router import AsyncRouter, system, user
from provider_router.backends import CLOSE, STALL, Pause, Reply, Request, answers, event
from provider_router.backends.wire import chunked, head, response
from provider_router.errors import RequestRejected
from provider_router.plugin import Capability, ChatRequest, Failure, OpenAICompatibleProvider, ProviderError, encode
from provider_router.testing import ChatQwenFake, OpenAIFake
from provider_router.testing.fakes.chat_qwen import COMPLETIONS, MODELS, NEW, STOP, created, piece, tells
from provider_router_qwen_direct import QwenDirect

Make = Callable[..., QwenDirect]

GONE = {"success": False, "request_id": "q1", "data": {"code": "Not_Found", "details": "The chat c-9 is not exist"}}
LOCKED = {"success": False, "data": {"code": "Bad_Request", "details": "The chat is in progress!"}}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def says(body: object, status: int = 200) -> Reply:
    return lambda request: [response(encode(body), status=status)]


def told(*texts: str) -> Reply:
    """A reply that answers with these pieces."""

    def reply(request: Request) -> Any:
        chat = created(chat_id=request.query.removeprefix("chat_id="))
        usage = {"input_tokens": 1012, "output_tokens": 9, "total_tokens": 1021}
        return tells(chat, *map(piece, texts), piece(status="finished", usage=usage))(request)

    return reply


def asked(site: ChatQwenFake, path: str = COMPLETIONS) -> list[Request]:
    return [request for request in site.requests if request.path == path]


def events(*texts: str) -> list[Any]:
    return [created(), *map(piece, texts), piece(status="finished")]


def sent_text(site: ChatQwenFake) -> str:
    """The text of the newest completion's one message."""
    (message,) = asked(site)[-1].json["messages"]
    return str(message["content"])


async def streamed(provider: QwenDirect, request: ChatRequest) -> list[Any]:
    async with aclosing(provider.stream(request)) as stream:
        return [chunk async for chunk in stream]


async def test_a_plain_answer_is_put_together_from_a_stream(provider: QwenDirect, site: ChatQwenFake) -> None:
    site.script(told("Hel", "lo."))
    answer = await provider.chat(ChatRequest.of("Hi", model="qwen3-max"))
    assert ("Hello.", "stop", "qwen3-max") == (answer.text, answer.finish_reason, answer.model)
    assert answer.usage is not None
    assert (1012, 9) == (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    assert asked(site)[-1].json["stream"] is True


async def test_a_stream_has_the_same_answer(provider: QwenDirect, site: ChatQwenFake) -> None:
    site.script(told("Hel", "lo."))
    chunks = await streamed(provider, ChatRequest.of("Hi", model="qwen3-max"))
    assert "Hello." == "".join(chunk.text for chunk in chunks)
    assert ["stop"] == [chunk.finish_reason for chunk in chunks if chunk.finish_reason]
    assert 1021 == chunks[-1].usage.total_tokens


async def test_what_the_user_supplied_is_sent_and_nothing_that_imitates_a_browser(
    provider: QwenDirect, site: ChatQwenFake, login: dict[str, str]
) -> None:
    await provider.chat(ChatRequest.of("Hi"))
    headers = asked(site)[-1].headers
    assert (login["token"], login["cookies"]) == (headers["bx-umidtoken"], headers["cookie"])
    assert "Bearer eyJsynthetic.jwt.x" == headers["authorization"]
    assert "provider-router" == headers["user-agent"]
    assert not [name for name in headers if name in ("bx-ua", "bx-v", "origin", "referer", "sec-ch-ua")]


async def test_headers_and_version_are_the_users_to_set(make: Make, site: ChatQwenFake) -> None:
    provider = make(site.base_url, version="0.4.0", headers={"bx-v": "2.5.37", "Source": "h5"})
    await provider.chat(ChatRequest.of("Hi"))
    await provider.aclose()
    headers = asked(site)[-1].headers
    assert ("0.4.0", "2.5.37", "h5") == (headers["version"], headers["bx-v"], headers["source"])


async def test_each_request_is_a_chat_of_its_own(provider: QwenDirect, site: ChatQwenFake) -> None:
    for _ in range(2):
        await provider.chat(ChatRequest.of("Same first message"))
    assert 2 == len({request.query for request in asked(site)})


async def test_the_whole_history_goes_along(provider: QwenDirect, site: ChatQwenFake) -> None:
    messages = [system("Be brief."), user("My name is Ada."), {"role": "assistant", "content": "Hi Ada."}]
    await provider.chat(ChatRequest.of([*messages, user("What is my name?")]))
    text = sent_text(site)
    positions = [text.index(part) for part in ("Be brief.", "My name is Ada.", "Hi Ada.", "What is my name?")]
    assert sorted(positions) == positions
    assert asked(site)[-1].json["parent_id"] is None


async def test_one_message_is_sent_as_it_is(provider: QwenDirect, site: ChatQwenFake) -> None:
    await provider.chat(ChatRequest.of("Just this."))
    assert "Just this." == sent_text(site)


async def test_unknown_fields_are_passed_on(provider: QwenDirect, site: ChatQwenFake) -> None:
    await provider.chat(ChatRequest.of("Hi", extra_body={"odd": [1]}, fields={"temperature": 0.2, "max_tokens": 9}))
    body = asked(site)[-1].json
    assert ([1], 0.2, 9) == (body["odd"], body["temperature"], body["max_tokens"])


@pytest.mark.parametrize(
    "fields, thinks",
    [
        ({}, False),
        ({"reasoning_effort": "high"}, True),
        ({"reasoning_effort": "none"}, False),
        ({"enable_thinking": True, "thinking_budget": 100}, True),
    ],
)
async def test_thinking_is_what_the_request_says(
    provider: QwenDirect, site: ChatQwenFake, fields: dict[str, Any], thinks: bool
) -> None:
    await provider.chat(ChatRequest.of("Hi", extra_body=fields))
    (message,) = asked(site)[-1].json["messages"]
    assert thinks == message["feature_config"]["thinking_enabled"]
    assert fields.get("thinking_budget") == message["feature_config"].get("thinking_budget")


async def test_an_image_is_refused_before_anything_is_sent(provider: QwenDirect, site: ChatQwenFake) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    with pytest.raises(ProviderError) as raised:
        await provider.chat(ChatRequest.of([{"role": "user", "content": [image]}]))
    assert Failure.CAPABILITY == raised.value.failure
    assert [] == site.requests


async def test_several_answers_at_once_are_refused_before_anything_is_sent(
    provider: QwenDirect, site: ChatQwenFake
) -> None:
    with pytest.raises(ProviderError, match="one answer") as raised:
        await provider.chat(ChatRequest.of("Hi", fields={"n": 2}))
    assert Failure.CAPABILITY == raised.value.failure
    assert [] == site.requests


@pytest.mark.parametrize("form", [{"type": "json_object"}, {"type": "json_schema", "json_schema": {}}, "json"])
async def test_an_answer_in_json_is_refused_before_anything_is_sent(
    provider: QwenDirect, site: ChatQwenFake, form: Any
) -> None:
    with pytest.raises(ProviderError, match="response_format") as raised:
        await provider.chat(ChatRequest.of("Hi", extra_body={"response_format": form}))
    assert Failure.CAPABILITY == raised.value.failure
    assert [] == site.requests
    assert (await provider.chat(ChatRequest.of("Hi", extra_body={"response_format": {"type": "text"}}))).text


async def test_whoever_can_answer_in_json_is_asked_instead_and_nothing_is_held_against_the_first(
    make: Make, site: ChatQwenFake
) -> None:
    with OpenAIFake(answers('{"dry": true}')) as other:
        providers = [make(site.base_url), OpenAICompatibleProvider("other", base_url=other.base_url)]
        async with AsyncRouter(providers=providers) as router:
            answer = await router.chat("JSON?", tools=[WEATHER], response_format={"type": "json_object"})
            first, _ = await router.plan(needs=["chat", "tools"])
    refused, _ = answer.attempts
    assert (Failure.CAPABILITY, "response_format json_object") == (refused.failure, refused.detail)
    assert (("other", '{"dry": true}'), ("qwen", "ready")) == (
        (answer.provider, answer.text),
        (first.provider, first.state),
    )


# Tools


async def test_tools_are_written_into_the_prompt_and_read_out_of_the_answer(
    provider: QwenDirect, site: ChatQwenFake
) -> None:
    site.script(told("Let me see. <wea", "ther><city>00", "7</city></weather>"))
    chunks = await streamed(provider, ChatRequest.of("Weather?", fields={"tools": [WEATHER]}))
    assert "weather" in sent_text(site)
    assert "tools" not in asked(site)[-1].json
    assert "Let me see." == "".join(chunk.text for chunk in chunks).strip()
    (call,) = [call for chunk in chunks for call in chunk.tool_calls]
    assert ("weather", {"city": "007"}) == (call["function"]["name"], json.loads(call["function"]["arguments"]))
    assert ["tool_calls"] == [chunk.finish_reason for chunk in chunks if chunk.finish_reason]


async def test_an_agent_loop_of_three_rounds(provider: QwenDirect, site: ChatQwenFake) -> None:
    cities = ["Rome", "Oslo", "Lima"]
    site.script(*(told(f"<weather><city>{city}</city></weather>") for city in cities), told("All sunny."))
    messages: list[Any] = [user("Weather in three cities?")]
    for city in cities:
        request = ChatRequest.of(messages, fields={"tools": [WEATHER]})
        chunks = await streamed(provider, request)
        (call,) = [call for chunk in chunks for call in chunk.tool_calls]
        assert {"city": city} == json.loads(call["function"]["arguments"])
        call = {name: value for name, value in call.items() if name != "index"}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": f"sunny in {city}"},
        ]
    answer = await provider.chat(ChatRequest.of(messages, fields={"tools": [WEATHER]}))
    assert ("All sunny.", []) == (answer.text, answer.tool_calls)
    text = sent_text(site)
    assert all(f"sunny in {city}" in text and f"<city>{city}</city>" in text for city in cities)


async def test_html_in_an_answer_without_tools_stays_text(provider: QwenDirect, site: ChatQwenFake) -> None:
    site.script(told("Use <b>bold</b>."))
    answer = await provider.chat(ChatRequest.of("How?"))
    assert ("Use <b>bold</b>.", []) == (answer.text, answer.tool_calls)


# Chats that go on


async def test_an_explicit_conversation_goes_on(provider: QwenDirect, site: ChatQwenFake) -> None:
    first = await provider.chat(ChatRequest.of("My name is Ada."))
    conversation = first.raw["conversation"]
    (query,) = [request.query for request in asked(site)]
    chat_id = query.removeprefix("chat_id=")
    assert {"provider": "qwen", "chat_id": chat_id, "parent_id": "r-1"} == conversation
    messages = [user("My name is Ada."), first.message, user("What is my name?")]
    second = await provider.chat(ChatRequest.of(messages, extra_body={"conversation": conversation}))
    assert 1 == len(asked(site, NEW))
    body = asked(site)[-1].json
    assert (chat_id, "r-1", "What is my name?") == (body["chat_id"], body["parent_id"], sent_text(site))
    assert "conversation" not in body
    assert chat_id == second.raw["conversation"]["chat_id"]


async def test_the_tools_are_told_anew_in_a_chat_that_goes_on(provider: QwenDirect, site: ChatQwenFake) -> None:
    site.script(told("<weather><city>Oslo</city></weather>"), told("Dry."), told("Dry."))
    messages: list[Any] = [system("Be brief."), user("Weather in Oslo?")]
    first = await provider.chat(ChatRequest.of(messages, fields={"tools": [WEATHER]}))
    (call,) = first.message["tool_calls"]
    messages += [first.message, {"role": "tool", "tool_call_id": call["id"], "content": "no rain"}]
    on = {"conversation": first.raw["conversation"]}
    await provider.chat(ChatRequest.of(messages, extra_body=on, fields={"tools": [WEATHER]}))
    text = sent_text(site)
    assert ("Tells the weather." in text, 'name="weather"' in text, "no rain" in text) == (True, True, True)
    assert ("Be brief." in text, "Weather in Oslo?" in text) == (False, False)
    await provider.chat(ChatRequest.of("And now?", extra_body=on, fields={"tools": [WEATHER]}))
    assert 1 == sent_text(site).count("Tells the weather.")


async def test_a_chat_that_is_gone_is_made_anew_with_the_whole_history(
    provider: QwenDirect, site: ChatQwenFake
) -> None:
    site.script(says(GONE), told("Ada."))
    messages = [user("My name is Ada."), {"role": "assistant", "content": "Hi."}, user("What is my name?")]
    lost = {"provider": "qwen", "chat_id": "c-9", "parent_id": "r-9"}
    answer = await provider.chat(ChatRequest.of(messages, extra_body={"conversation": lost}))
    assert "Ada." == answer.text
    assert "My name is Ada." in sent_text(site)
    assert asked(site)[-1].query == f"chat_id={answer.raw['conversation']['chat_id']}"


async def test_a_chat_is_made_anew_once_only(provider: QwenDirect, site: ChatQwenFake) -> None:
    site.script(says(GONE))
    with pytest.raises(ProviderError) as raised:
        await provider.chat(ChatRequest.of("Hi"))
    assert Failure.SERVER == raised.value.failure
    assert 2 == len(asked(site))


@pytest.mark.parametrize("value", ["c-1", {"chat_id": 7}, {}, {"provider": "other", "chat_id": "c-1"}])
async def test_a_conversation_that_is_none_of_ours_is_refused(
    provider: QwenDirect, site: ChatQwenFake, value: Any
) -> None:
    with pytest.raises(RequestRejected, match="conversation"):
        await provider.chat(ChatRequest.of("Hi", extra_body={"conversation": value}))
    assert [] == site.requests


async def test_a_locked_chat_is_told_to_stop_and_asked_again_after_a_while(
    provider: QwenDirect, site: ChatQwenFake
) -> None:
    site.script(says(LOCKED))
    conversation = {"provider": "qwen", "chat_id": "c-7", "parent_id": "r-7"}
    with pytest.raises(ProviderError) as raised:
        await provider.chat(ChatRequest.of("Hi", extra_body={"conversation": conversation}))
    assert (Failure.RATE_LIMIT, 2.0) == (raised.value.failure, raised.value.retry_after)
    assert [{"chat_id": "c-7", "response_id": "r-7"}] == [request.json for request in asked(site, STOP)]


async def test_such_a_request_is_bound_to_its_provider(make: Make, site: ChatQwenFake) -> None:
    site.script(says({"success": False, "data": {"code": "Internal_Error", "details": "no"}}, 500))
    with ChatQwenFake() as other:
        providers = [make(site.base_url), make(other.base_url, id="other")]
        async with AsyncRouter(providers=providers) as router:
            conversation = {"provider": "other", "chat_id": "c-7", "parent_id": "r-7"}
            answer = await router.chat("Hi", extra_body={"conversation": conversation})
            assert ("other", 1) == (answer.provider, len(answer.attempts))
            conversation = {"provider": "qwen", "chat_id": "c-7", "parent_id": "r-7"}
            with pytest.raises(ProviderError) as raised:
                await router.chat("Hi", extra_body={"conversation": conversation})
    assert {"qwen"} == {attempt.provider for attempt in raised.value.attempts}


# Phases that nobody knows


async def test_of_an_unknown_phase_the_log_is_told_once(
    provider: QwenDirect, site: ChatQwenFake, caplog: pytest.LogCaptureFixture, login: dict[str, str]
) -> None:
    odd = f"odd {login['token']} phase"
    site.script(tells(created(), piece("note", phase=odd), piece("Hello."), piece(status="finished")))
    for _ in range(2):
        assert "Hello." == (await provider.chat(ChatRequest.of("Hi"))).text
    assert ["qwen: an answer has the phase 'odd *** phase', which is not known here and was left out"] == [
        record.getMessage() for record in caplog.records if record.name == "provider_router"
    ]


async def test_an_answer_of_unknown_phases_alone_is_a_failure_that_names_them(
    provider: QwenDirect, site: ChatQwenFake
) -> None:
    site.script(tells(created(), piece("Hello.", phase="reply"), piece(phase="reply", status="finished")))
    with pytest.raises(ProviderError, match="phases that are not known here: 'reply'") as raised:
        await provider.chat(ChatRequest.of("Hi"))
    assert Failure.MALFORMED == raised.value.failure
    assert [{"chat_id": "c-1", "response_id": "r-1"}] == [request.json for request in asked(site, STOP)]


async def test_an_answer_that_is_cut_after_an_unknown_phase_is_only_cut(
    provider: QwenDirect, site: ChatQwenFake
) -> None:
    site.script(tells(created(), piece("note", phase="mcp_call"), piece("Hel")))
    with pytest.raises(ProviderError, match="ended its answer too early"):
        await provider.chat(ChatRequest.of("Hi"))


# Streams that end in another way


async def test_whoever_leaves_stops_the_answer_on_the_server(provider: QwenDirect, site: ChatQwenFake) -> None:
    site.script(tells(created(), piece("Hel"), STALL))
    async with aclosing(provider.stream(ChatRequest.of("Hi"))) as stream:
        assert "Hel" == (await anext(stream)).text
    assert [{"chat_id": "c-1", "response_id": "r-1"}] == [request.json for request in asked(site, STOP)]


async def test_whoever_is_cancelled_stops_the_answer_on_the_server(provider: QwenDirect, site: ChatQwenFake) -> None:
    site.script(tells(created(), piece("Hel"), STALL))
    async with anyio.create_task_group() as tasks:

        async def read() -> None:
            async with aclosing(provider.stream(ChatRequest.of("Hi"))) as stream:
                async for _ in stream:
                    tasks.cancel_scope.cancel()

        tasks.start_soon(read)
    assert 1 == len(asked(site, STOP))


async def test_an_answer_that_is_cut_has_no_finish_reason(provider: QwenDirect, site: ChatQwenFake) -> None:
    site.script(tells(created(), piece("Hel"), CLOSE))
    with pytest.raises(ProviderError) as raised:
        await provider.chat(ChatRequest.of("Hi"))
    assert raised.value.failure in (Failure.MALFORMED, Failure.RESET)


async def test_an_error_in_the_middle_of_a_stream_is_raised(provider: QwenDirect, site: ChatQwenFake) -> None:
    error = {"error": {"code": "ContextLengthExceeded", "details": "too long"}, "response_id": "r-1"}
    site.script(tells(created(), piece("Hel"), error))
    seen = []
    with pytest.raises(ProviderError) as raised:
        async with aclosing(provider.stream(ChatRequest.of("Hi"))) as stream:
            async for chunk in stream:
                seen.append(chunk.text)
    assert (["Hel"], Failure.CONTEXT_LENGTH) == (seen, raised.value.failure)


async def test_a_whole_answer_is_given_though_the_connection_stays_open(
    provider: QwenDirect, site: ChatQwenFake
) -> None:
    usage = {"input_tokens": 1012, "output_tokens": 9, "total_tokens": 1021}
    site.script(tells(created(), piece("Hello."), piece(status="finished", usage=usage), STALL))
    with anyio.fail_after(10):
        answer = await provider.chat(ChatRequest.of("Hi"))
    assert ("Hello.", 9) == (answer.text, answer.usage and answer.usage.completion_tokens)
    assert [] == asked(site, STOP)


async def test_a_stream_ends_though_the_connection_stays_open(provider: QwenDirect, site: ChatQwenFake) -> None:
    site.script(tells(*events("Hello."), STALL))
    with anyio.fail_after(10):
        chunks = await streamed(provider, ChatRequest.of("Hi"))
    assert ("Hello.", "stop") == ("".join(chunk.text for chunk in chunks), chunks[-1].finish_reason)


@pytest.mark.usefixtures("patient")
async def test_one_connection_serves_one_answer_after_another(provider: QwenDirect, site: ChatQwenFake) -> None:
    for pieces in ([], [Pause(0.02)]):  # the end of the stream comes with the answer's, or after it
        site.script(tells(*events("Hello."), *pieces))
        assert "Hello." == (await provider.chat(ChatRequest.of("Hi"))).text
        await streamed(provider, ChatRequest.of("Hi"))
    assert 1 == len({request.connection for request in site.requests})


@pytest.mark.usefixtures("patient")
async def test_usage_that_comes_after_the_end_is_told(provider: QwenDirect, site: ChatQwenFake) -> None:
    usage = {"input_tokens": 1012, "output_tokens": 9, "total_tokens": 1021}
    site.script(tells(*events("Hello."), Pause(0.02), piece(usage=usage), STALL))
    answer = await provider.chat(ChatRequest.of("Hi"))
    assert 1021 == (answer.usage and answer.usage.total_tokens)


@pytest.mark.parametrize(
    "after",
    [
        [event(": x")] * 10_000,
        [event({"error": {"code": "Too_Many_Requests"}}), CLOSE],
        [b"data: {broken\n\n", CLOSE],
    ],
    ids=["no end", "an error", "no sense"],
)
async def test_what_follows_a_whole_answer_spoils_it_no_more(
    after: list[Any], provider: QwenDirect, site: ChatQwenFake
) -> None:
    site.script(tells(*events("Hello."), Pause(0.02), *after))
    with anyio.fail_after(10):
        assert "Hello." == (await provider.chat(ChatRequest.of("Hi"))).text


async def test_an_answer_without_end_is_not_read_to_its_end(make: Make, site: ChatQwenFake) -> None:
    site.script(tells(created(), *(piece("x" * 10_000) for _ in range(100)), STALL))
    provider = make(site.base_url, max_answer_bytes=100_000)
    with anyio.fail_after(10), pytest.raises(ProviderError, match="beyond the bound") as raised:
        await provider.chat(ChatRequest.of("Hi"))
    await provider.aclose()
    assert Failure.MALFORMED == raised.value.failure


async def test_an_error_of_another_candidate_spoils_no_answer(provider: QwenDirect, site: ChatQwenFake) -> None:
    error = {"error": {"code": "Too_Many_Requests", "details": "no"}, "response_id": "r-2"}
    events = [created(), created(response_id="r-2", index="1"), piece("Hel"), error, piece("lo.")]
    site.script(tells(*events, piece(status="finished")))
    assert "Hello." == (await provider.chat(ChatRequest.of("Hi"))).text


def said_to(make: Make, site: ChatQwenFake, body: bytes, cuts: set[int]) -> tuple[str, str]:
    """What a stream of these bytes, cut there, comes to: its text, and how it ends."""
    edges = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    pieces = [body[start:end] for start, end in pairwise(edges)]
    site.script(lambda request: whole(pieces))

    async def ask() -> tuple[str, str]:
        provider, text = make(site.base_url), ""
        try:
            async with aclosing(provider.stream(ChatRequest.of("Hi"))) as stream:
                async for chunk in stream:
                    text += chunk.text
            return text, "end"
        except ProviderError as error:
            return text, str(error.failure)
        finally:
            await provider.aclose()

    return anyio.run(ask)


fuzz = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CUTS = st.sets(st.integers(1, 400), max_size=12)
ODD = st.sampled_from(
    [
        *(b"data: {broken\n\n", b"data: [1]\n\n", b"data: 7\n\n", b"event: ping\n\n", b": ping\r\n\r\n", b"\xff\xfe\n"),
        *(event({"error": {"code": "Too_Many_Requests"}}), event({"choices": [7]}), b"data:\n\n", b"data: [DONE]\n\n"),
    ]
)


@fuzz
@given(cuts=CUTS)
def test_frames_may_be_cut_anywhere(make: Make, site: ChatQwenFake, cuts: set[int]) -> None:
    body = b": ping\r\n\r\nevent: ping\n\n" + b"".join(event(one) for one in events("Größe ", "Hi 🦩", "."))
    assert ("Größe Hi 🦩.", "end") == said_to(make, site, body, cuts)


@fuzz
@given(
    frames=st.lists(ODD | st.binary(max_size=8) | st.text(max_size=6).map(lambda text: event(piece(text))), max_size=8),
    cuts=CUTS,
)
def test_any_bytes_come_to_the_same_however_they_are_cut_and_no_error_is_a_crash(
    make: Make, site: ChatQwenFake, frames: list[bytes], cuts: set[int]
) -> None:
    body = event(created()) + b"".join(frames)
    assert said_to(make, site, body, set()) == said_to(make, site, body, cuts)


def whole(pieces: list[bytes]) -> list[bytes]:
    return [head(200, {"transfer-encoding": "chunked"}), *map(chunked, pieces), b"0\r\n\r\n"]


# Models


async def test_models_are_what_the_site_lists(provider: QwenDirect, site: ChatQwenFake) -> None:
    meta = {"max_context_length": 262144}
    listed = [
        {"id": "a", "info": {"is_active": True, "meta": {**meta, "chat_type": ["t2t"]}}},
        {"id": "old", "info": {"is_active": False, "meta": meta}},
        {"id": "draws", "info": {"meta": {**meta, "chat_type": ["t2i"]}}},
    ]
    site.script(says({"success": True, "data": {"data": listed}}), path=MODELS)
    found = await provider.models()
    assert [("a", True, 262144), ("draws", False, 262144)] == [(m.id, m.chat, m.context_length) for m in found]
    assert 2 == (await provider.check()).models


async def test_a_list_that_is_none_is_malformed(provider: QwenDirect, site: ChatQwenFake) -> None:
    site.script(says({"success": True, "data": "no"}), path=MODELS)
    with pytest.raises(ProviderError) as raised:
        await provider.models()
    assert Failure.MALFORMED == raised.value.failure


def test_what_it_can_do_is_declared() -> None:
    assert {Capability.CHAT, Capability.STREAMING, Capability.TOOLS, Capability.MODELS} == QwenDirect.capabilities


async def test_a_page_of_the_firewall_says_what_to_renew(provider: QwenDirect, site: ChatQwenFake) -> None:
    page = b"<!doctype html><script src=aliyun_waf></script>"
    site.script(lambda request: [response(page, content_type="text/html")], path=NEW)
    with pytest.raises(ProviderError, match="renew the options token and cookies") as raised:
        await provider.chat(ChatRequest.of("Hi"))
    assert Failure.AUTH == raised.value.failure
    assert [] == asked(site)
