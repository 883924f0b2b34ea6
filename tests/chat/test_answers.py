"""Answers and chunks are views: typed where we read, whole where we do not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_router.chat import (
    ChatChunk,
    ChatRequest,
    ChatResponse,
    ToolCall,
    Usage,
    assistant,
    decode,
    encode,
    system,
    tool,
    usage_to_wire,
    user,
)
from provider_router.errors import Failure
from provider_router.trail import Attempt

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "qwen3-max",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Pelle",
                "reasoning_content": "a name …",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}}
                ],
                "x_vendor": {"kept": True},
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 12,
        "total_tokens": 21,
        "completion_tokens_details": {"reasoning_tokens": 4},
        "prompt_tokens_details": {"cached_tokens": 3},
    },
    "x_top": [1, 2],
}
USAGE = Usage(prompt_tokens=9, completion_tokens=12, total_tokens=21, reasoning_tokens=4, cached_tokens=3)

values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)


def _some(**fields: Any) -> st.SearchStrategy[Any]:
    return st.one_of(values, st.fixed_dictionaries({}, optional=fields))


functions = _some(name=values, arguments=values)
calls = st.lists(_some(id=values, function=functions), max_size=2)
contents = st.one_of(values, st.lists(_some(type=values, text=values), max_size=2))
deltas = _some(role=values, content=contents, reasoning=values, reasoning_content=values, tool_calls=calls)
choices = st.lists(_some(index=values, message=deltas, delta=deltas, finish_reason=values), max_size=2)
usages = _some(prompt_tokens=values, completion_tokens=values, total_tokens=values, prompt_tokens_details=values)
answers = st.fixed_dictionaries({}, optional={"choices": choices, "usage": usages, "model": values, "error": values})


def test_an_answer_is_read_through_properties() -> None:
    answer = ChatResponse(ANSWER)
    assert ("Pelle", "a name …", "qwen3-max", "tool_calls", USAGE) == (
        answer.text,
        answer.reasoning,
        answer.model,
        answer.finish_reason,
        answer.usage,
    )
    assert [ToolCall("c1", "look", '{"at": "sky"}')] == answer.tool_calls
    assert {"at": "sky"} == answer.tool_calls[0].parse()
    assert ANSWER is answer.raw


def test_the_text_of_an_answer_is_its_str() -> None:
    assert "Pelle" == str(ChatResponse(ANSWER)) == f"{ChatResponse(ANSWER)}"


def test_an_answers_message_is_appended_for_the_next_turn_with_all_its_fields() -> None:
    conversation = [user("Name a pelican.")]
    conversation.append(ChatResponse(ANSWER).message)
    conversation.append(tool("blue", tool_call_id="c1"))
    sent = json.loads(ChatRequest.of(conversation).body)["messages"]
    assert ANSWER["choices"][0]["message"] == sent[1]  # type: ignore[index]
    assert {"role": "tool", "tool_call_id": "c1", "content": "blue"} == sent[2]


def test_the_trail_and_the_notebook_view_tell_who_answered() -> None:
    answer = ChatResponse.of(text="**hi**", model="m")
    answer.provider = "loft"
    answer.attempts = (
        Attempt(provider="desk", model="m", started=0, duration=0.002, failure=Failure.CONNECT, detail="refused"),
        Attempt(provider="loft", model="m", started=0.002, duration=1.3),
    )
    trail = "desk: refused, 2 ms → loft: ok, 1.3 s"
    assert trail == answer.trail
    assert f"**hi**\n\n<sub>loft · m · {trail}</sub>" == answer._repr_markdown_()
    assert "<ChatResponse provider='loft' model='m' text='**hi**'>" == repr(answer)


def test_an_answer_of_nobody_has_no_source_line() -> None:
    answer = ChatResponse({"choices": [{"message": {"content": "hi"}}]})
    assert "hi" == answer._repr_markdown_()


def test_an_answer_from_its_parts_reads_back() -> None:
    call = ToolCall("c1", "look", "")
    answer = ChatResponse.of(text="hi", tool_calls=[call], model="m", usage=USAGE, reasoning="hm", finish_reason="x")
    assert ("hi", [call], "m", USAGE, "hm", "x") == (
        answer.text,
        answer.tool_calls,
        answer.model,
        answer.usage,
        answer.reasoning,
        answer.finish_reason,
    )
    assert USAGE == Usage.read(usage_to_wire(USAGE)) == ChatResponse(json.loads(encode(answer.raw))).usage
    assert {} == call.parse()


def test_an_estimate_of_the_usage_stays_marked() -> None:
    answer = ChatResponse.of(text="hi", model="m", usage=Usage(prompt_tokens=1, completion_tokens=2, estimated=True))
    assert answer.usage is not None
    assert answer.usage.estimated
    assert 3 == answer.raw["usage"]["total_tokens"]


def test_an_answer_without_tool_calls_or_usage_has_none() -> None:
    answer = ChatResponse.of(text="hi", model="m")
    assert ([], None, "") == (answer.tool_calls, answer.usage, answer.reasoning)
    assert {"role": "assistant", "content": ""} == ChatResponse({}).message


def test_arguments_that_came_as_json_are_text_again() -> None:
    function = {"name": "f", "arguments": {"a": 1}}
    answer = ChatResponse(
        {"choices": [{"message": {"tool_calls": ["odd", {"function": function}, {}, {"function": {}}]}}]}
    )
    assert [ToolCall("", "f", '{"a":1}'), ToolCall("", "", "{}")] == answer.tool_calls


def test_a_model_that_wrote_no_json_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        ToolCall("c1", "f", "{oops").parse()


@pytest.mark.parametrize(
    "usage", [None, {}, 5, {"prompt_tokens": float("nan")}, {"total_tokens": float("inf")}, {"prompt_tokens": -1}]
)
def test_usage_that_says_nothing_counts_nothing(usage: object) -> None:
    assert Usage.read(usage) in (None, Usage())


@given(answers)
def test_the_views_of_answers_and_chunks_take_any_json(raw: dict[str, Any]) -> None:
    before = json.dumps(raw)
    answer, chunk = ChatResponse(raw), ChatChunk(raw)
    for view in (answer, chunk):
        assert isinstance(view.text, str)
        assert isinstance(view.reasoning, str)
        assert str(view) == view.text
        assert view.finish_reason is None or isinstance(view.finish_reason, str)
        assert view.model is None or isinstance(view.model, str)
        assert view.usage is None or view.usage.total_tokens >= 0
        assert repr(view)
    assert all(isinstance(call, ToolCall) for call in answer.tool_calls)
    assert all(isinstance(call, dict) for call in chunk.tool_calls)
    assert before == json.dumps(raw)


@given(answers)
def test_a_chunk_goes_out_as_it_came(raw: dict[str, Any]) -> None:
    data = json.dumps(raw, indent=1).encode()
    chunk = ChatChunk(data)
    assert raw == chunk.raw
    assert data == chunk.data
    assert raw == json.loads(ChatChunk(raw).data)


def test_a_chunk_from_its_parts_reads_back() -> None:
    delta = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{"}}
    chunk = ChatChunk.of("hi", reasoning="hm", tool_calls=[delta], model="m", role="assistant", usage=USAGE)
    twin = ChatChunk(chunk.data, more=True)
    assert ("hi", "hm", [delta], "m", USAGE, None, True) == (
        twin.text,
        twin.reasoning,
        twin.tool_calls,
        twin.model,
        twin.usage,
        twin.finish_reason,
        twin.more,
    )
    assert "assistant" == twin.delta["role"]
    assert "stop" == ChatChunk.of(finish_reason="stop").finish_reason


@pytest.mark.parametrize("data", [b"", b"[1]", b'{"choices": [', b"[DONE]"])
def test_a_broken_chunk_says_nothing_and_only_raw_raises(data: bytes) -> None:
    chunk = ChatChunk(data)
    assert ("", "", (), None, None, None) == (
        chunk.text,
        chunk.reasoning,
        chunk.tool_calls,
        chunk.finish_reason,
        chunk.usage,
        chunk.model,
    )
    with pytest.raises(ValueError):
        chunk.raw  # noqa: B018


def test_the_text_of_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, "odd", {"text": "b"}]
    assert "ab" == ChatChunk({"choices": [{"delta": {"content": parts}}]}).text


def test_messages_are_those_of_the_wire() -> None:
    assert {"role": "system", "content": "be brief"} == system("be brief")
    assert {"role": "assistant", "content": "hi"} == assistant("hi")
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    assert {"role": "assistant", "content": None, "tool_calls": calls} == assistant(tool_calls=calls)


@pytest.mark.parametrize("text", ["\ud83d", "a\u2028b", "ü", "\x00"])
def test_any_text_survives_json(text: str) -> None:
    assert text == decode(encode(text))


@pytest.mark.parametrize("data", [b"\xef\xbb\xbf{}", "\ufeff{}", "{}".encode("utf-16")])
def test_a_byte_order_mark_is_no_fault(data: bytes | str) -> None:
    assert {} == decode(data)


def test_nan_is_read_and_never_written() -> None:
    assert str(decode(b"NaN")) == "nan"
    with pytest.raises(ValueError):
        encode(float("nan"))
    with pytest.raises(ValueError):
        encode(["\ud83d", float("nan")])


def test_nesting_without_end_is_a_value_error() -> None:
    endless: list[Any] = []
    for _ in range(100_000):
        endless = [endless]
    with pytest.raises(ValueError, match="not JSON"):
        encode(endless)
    with pytest.raises(ValueError, match="nested too deeply"):
        decode(b"[" * 100_000)
