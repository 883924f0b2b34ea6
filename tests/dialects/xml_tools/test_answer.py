"""An answer with calls in its text becomes one with tool_calls, whole and streamed alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_router.chat import ChatChunk, ChatRequest, ChatResponse
from provider_router.dialects.openai_chat import assemble
from provider_router.dialects.xml_tools import XMLTools
from provider_router.errors import Failure, MalformedAnswer

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "read_file",
            "parameters": {"properties": {"path": {"type": "string"}, "limit": {"type": "integer"}}},
        },
    },
    {"type": "function", "function": {"name": "time"}},
]
REQUEST = ChatRequest({"messages": [{"role": "user", "content": "hi"}], "tools": TOOLS})
OFFER = XMLTools.of(REQUEST)
NATIVE = XMLTools.native(REQUEST)
WRITTEN = "<read_file>\n<path>007</path>\n<limit>2</limit>\n</read_file>"
CALL = ("read_file", '{"path":"007","limit":2}')


def chunks(*pieces: str, finish: str | None = "stop") -> list[ChatChunk]:
    said = [ChatChunk.of(role="assistant"), *(ChatChunk.of(piece) for piece in pieces)]
    return [*said, ChatChunk.of(finish_reason=finish)] if finish else said


def streamed(*said: ChatChunk, tools: XMLTools = OFFER) -> list[ChatChunk]:
    reader = tools.reader("desk")
    return [made for chunk in said for made in reader.feed(chunk)] + reader.close()


def whole(text: str, finish: str = "stop") -> ChatResponse:
    return OFFER.answer(ChatResponse.of(text=text, model="m", finish_reason=finish), "desk")


def calls(answer: ChatResponse) -> list[tuple[str, str]]:
    return [(call.name, call.arguments) for call in answer.tool_calls]


def test_a_plain_answer_with_a_call() -> None:
    answer = whole(f"I will look.\n{WRITTEN}\n{WRITTEN}")
    assert ("I will look.", [CALL, CALL], "tool_calls") == (answer.text, calls(answer), answer.finish_reason)
    assert 2 == len({call.id for call in answer.tool_calls})


def test_a_call_without_words_has_no_content() -> None:
    assert whole(WRITTEN).message["content"] is None


def test_an_answer_without_a_call_is_the_same_answer() -> None:
    answer = ChatResponse.of(text=" a <b>x</b> <time ", model="m")
    assert answer is OFFER.answer(answer, "desk")


@pytest.mark.parametrize("raw", [{"choices": None}, {"choices": [None]}, {"choices": [{"message": None}]}, {}])
def test_an_odd_answer_is_left_as_it_is(raw: dict[str, Any]) -> None:
    answer = ChatResponse(raw)
    assert answer is OFFER.answer(answer, "desk")


def test_unknown_fields_of_an_answer_survive() -> None:
    message = {"role": "assistant", "content": WRITTEN, "mood": "calm"}
    answer = OFFER.answer(ChatResponse({"choices": [{"message": message, "odd": 1}], "_meta": 2}), "desk")
    assert (2, 1, "calm", "tool_calls") == (
        answer.raw["_meta"],
        answer.raw["choices"][0]["odd"],
        answer.message["mood"],
        answer.finish_reason,
    )


@given(
    st.lists(
        st.sampled_from(["I ", "will.\n", "<b>", " ", WRITTEN, WRITTEN[:30], WRITTEN[30:], "<time/>", "<time>"]),
        max_size=8,
    ),
    st.sampled_from(["stop", "length", "tool_calls"]),
    st.integers(1, 40),
)
def test_a_stream_adds_up_to_the_plain_answer(parts: list[str], finish: str, step: int) -> None:
    text = "".join(parts)
    pieces = [text[start : start + step] for start in range(0, len(text), step)]
    try:
        answer = whole(text, finish)
    except MalformedAnswer:
        with pytest.raises(MalformedAnswer):
            streamed(*chunks(*pieces, finish=finish))
        return
    added = assemble(streamed(*chunks(*pieces, finish=finish)))
    assert (answer.text, answer.tool_calls, answer.finish_reason) == (
        added.text,
        added.tool_calls,
        added.finish_reason,
    )


def test_chunks_in_which_no_call_stands_are_passed_on_as_they_came() -> None:
    said = [ChatChunk(b'{"choices":[{"index":0,"delta":{"content":"%s"}}], "odd":1}' % word) for word in (b"a", b" b")]
    said += [
        ChatChunk(b"no JSON"),
        ChatChunk(b'{"choices":[],"usage":{"total_tokens":3}}'),
        ChatChunk(b'{"choices":7}'),
    ]
    said += [ChatChunk(b'{"choices":[null]}'), ChatChunk(b'{"choices":[{"delta":null,"finish_reason":"stop"}]}')]
    for tools in (OFFER, NATIVE):
        assert [chunk.data for chunk in said] == [chunk.data for chunk in streamed(*said, tools=tools)]


def test_a_call_comes_in_one_delta_when_it_is_complete_and_the_finish_reason_says_so() -> None:
    reader = OFFER.reader("desk")
    assert ["Look:"] == [chunk.text for chunk in reader.feed(ChatChunk.of(f"Look:\n{WRITTEN[:-1]}"))]
    (made,) = reader.feed(ChatChunk.of(WRITTEN[-1]))
    (call,) = made.tool_calls
    assert (0, "function", {"name": CALL[0], "arguments": CALL[1]}) == (call["index"], call["type"], call["function"])
    (end,) = reader.feed(ChatChunk.of(finish_reason="stop"))
    assert "tool_calls" == end.finish_reason
    assert [] == reader.close()


def test_what_stands_beside_the_text_of_a_chunk_is_kept() -> None:
    raw = {
        "id": "x",
        "choices": [{"index": 0, "delta": {"content": f"a{WRITTEN}b", "reasoning_content": "r"}, "logprobs": 1}],
        "usage": {"total_tokens": 3},
    }
    first, second, third = streamed(ChatChunk(raw), ChatChunk.of(finish_reason="stop"))[:3]
    assert ("a", "r", 1) == (first.text, first.reasoning, first.raw["choices"][0]["logprobs"])
    assert (1, "b", "x") == (len(second.tool_calls), third.text, third.raw["id"])
    assert (None, 3) == (first.usage, third.usage.total_tokens if third.usage else 0)


def test_reasoning_is_no_place_for_calls() -> None:
    said = streamed(ChatChunk.of(reasoning=WRITTEN), *chunks("Done."))
    assert (WRITTEN, "stop") == (said[0].reasoning, said[-1].finish_reason)


def test_the_choices_of_one_answer_are_read_apart() -> None:
    def piece(*texts: str, finish: str | None = None) -> ChatChunk:
        return ChatChunk(
            {
                "choices": [
                    {"index": index, "delta": {"content": text}, "finish_reason": finish}
                    for index, text in enumerate(texts)
                ]
            }
        )

    added = assemble(streamed(piece(WRITTEN[:20], "a "), piece(WRITTEN[20:], "b"), piece("", "", finish="stop")))
    first, second = added.raw["choices"]
    assert (1, "tool_calls") == (len(first["message"]["tool_calls"]), first["finish_reason"])
    assert ("a b", "stop") == (second["message"]["content"], second["finish_reason"])


def test_chunks_of_one_arrival_leave_together_and_the_last_one_says_so() -> None:
    reader = OFFER.reader("desk")
    first = ChatChunk.of(f"a{WRITTEN}")
    first.more = True
    assert [] == reader.feed(first)
    made = reader.feed(ChatChunk.of("<ti"))
    assert [("a", True), ("", False)] == [(chunk.text, chunk.more) for chunk in made]


@pytest.mark.parametrize("finish", ["stop", "tool_calls"])
def test_a_call_that_is_cut_off_is_a_failure_and_no_call(finish: str) -> None:
    with pytest.raises(MalformedAnswer) as caught:
        streamed(*chunks("Look:", WRITTEN[:-3], finish=finish))
    assert (Failure.MALFORMED, "desk", "tool call cut off") == (
        caught.value.failure,
        caught.value.provider,
        caught.value.detail,
    )
    with pytest.raises(MalformedAnswer, match="in the middle of a call of read_file"):
        whole(WRITTEN[:-3], finish)


def test_a_call_that_the_end_of_the_stream_cuts_off_is_a_failure() -> None:
    reader = OFFER.reader("desk")
    reader.feed(ChatChunk.of(WRITTEN[:-3]))
    with pytest.raises(MalformedAnswer):
        reader.close()


def test_a_call_that_the_token_limit_cuts_off_is_text_and_the_finish_reason_tells_it() -> None:
    said = streamed(*chunks(WRITTEN[:-3], finish="length"))
    assert (WRITTEN[:-3], "length") == ("".join(chunk.text for chunk in said), said[-1].finish_reason)
    answer = whole(WRITTEN[:-3], "length")
    assert (WRITTEN[:-3], [], "length") == (answer.text, answer.tool_calls, answer.finish_reason)


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_a_call_that_comes_to_no_end_is_a_failure_and_no_text(finish: str) -> None:
    endless = "Look: <read_file><path>" + "a" * 5_000_000
    with pytest.raises(MalformedAnswer, match="a call of read_file that does not end within") as caught:
        whole(endless, finish)
    assert (Failure.MALFORMED, "tool call without end") == (caught.value.failure, caught.value.detail)
    reader = OFFER.reader("desk")
    assert ["Look:"] == [chunk.text for chunk in reader.feed(ChatChunk.of("Look: <read_file><path>"))]
    with pytest.raises(MalformedAnswer, match="does not end"):
        for _ in range(5):
            assert [] == reader.feed(ChatChunk.of("a" * 1_000_000))


def test_what_comes_after_a_call_that_was_cut_off_is_passed_on() -> None:
    said = streamed(*chunks(WRITTEN[:-3], finish="length"), ChatChunk.of("late"), ChatChunk.of(reasoning="hm"))
    assert ("late", "hm") == (said[-2].text, said[-1].reasoning)


def test_text_that_is_held_back_comes_out_where_a_stream_ends_without_a_finish_reason() -> None:
    assert ["a", " <time"] == [chunk.text for chunk in streamed(*chunks("a <time", finish=None))[1:]]


# Calls that the backend has found by itself


def found(name: str, arguments: str) -> list[ChatChunk]:
    opening: dict[str, Any] = {"index": 0, "id": "c9", "type": "function"}
    return [
        ChatChunk.of("Look:"),
        ChatChunk.of(tool_calls=[{**opening, "function": {"name": name, "arguments": ""}}]),
        ChatChunk.of(tool_calls=[{"index": 0, "function": {"arguments": arguments}}]),
        ChatChunk.of(finish_reason="tool_calls"),
    ]


@pytest.mark.parametrize("tools", [OFFER, NATIVE], ids=["xml", "native"])
def test_their_values_are_mended_and_their_ids_kept(tools: XMLTools) -> None:
    added = assemble(streamed(*found("read_file", '{"path":7,"limit":"2"}'), tools=tools))
    (call,) = added.tool_calls
    assert ("c9", "read_file", {"path": "7", "limit": 2}) == (call.id, call.name, json.loads(call.arguments))
    assert ("Look:", "tool_calls") == (added.text, added.finish_reason)
    plain = tools.answer(added, "desk")
    assert added.tool_calls == plain.tool_calls


def test_one_that_comes_to_no_end_is_a_failure() -> None:
    reader = NATIVE.reader("desk")
    with pytest.raises(MalformedAnswer, match="does not end"):
        for chunk in found("read_file", "a" * 5_000_000):
            reader.feed(chunk)


def test_a_call_of_a_tool_that_nobody_has_declared_is_a_failure() -> None:
    with pytest.raises(MalformedAnswer) as caught:
        streamed(*found("b", "{}"))
    assert "call of an unknown tool" == caught.value.detail
    with pytest.raises(MalformedAnswer, match="took <b> in its answer"):
        OFFER.answer(assemble(found("b", "{}")), "desk")


def test_texts_are_left_alone_where_the_backend_finds_the_calls() -> None:
    said = streamed(*chunks(WRITTEN), tools=NATIVE)
    assert (WRITTEN, "stop") == ("".join(chunk.text for chunk in said), said[-1].finish_reason)


def test_a_call_that_the_backend_has_found_in_half_a_stream_is_none() -> None:
    said = streamed(*found("read_file", '{"path":')[:-1], tools=NATIVE)
    assert ([], None) == ([call for chunk in said for call in chunk.tool_calls], said[-1].finish_reason)


def test_tools_that_are_no_functions_are_none_of_the_declared_ones() -> None:
    custom = {"type": "custom", "custom": {"name": "x"}}
    assert {"time"} == set(XMLTools.native(REQUEST.changed(tools=[custom, TOOLS[1]])).declared)
