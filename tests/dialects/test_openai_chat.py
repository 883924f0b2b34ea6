"""What the Router reads in a request and in chunks, and how chunks become an answer again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_router.chat import Capability, ChatChunk, ChatRequest, ChatResponse, image, system, user
from provider_router.dialects.dialect import Sign
from provider_router.dialects.failures import ErrorBody
from provider_router.dialects.openai_chat import OPENAI_CHAT, assemble, needs, peek, prompt_floor, read
from provider_router.dialects.sse import COMMENT, EventParser

_STREAMS = Path(__file__).parents[1] / "data" / "streams"


def _recorded(name: str) -> list[ChatChunk]:
    parser = EventParser()
    events = [*parser.feed((_STREAMS / f"{name}.sse").read_bytes()), *parser.close()]
    return [ChatChunk(event.data) for event in events if event.event != COMMENT and event.data != b"[DONE]"]


# Needs

CHAT = Capability.CHAT
TOOLS = [{"type": "function", "function": {"name": "f"}}]
SOUND = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}


@pytest.mark.parametrize(
    "fields, needed",
    [
        ({}, set()),
        ({"stream": True}, {Capability.STREAMING}),
        ({"stream": False}, set()),
        ({"tools": TOOLS}, {Capability.TOOLS}),
        ({"tools": TOOLS, "tool_choice": "required"}, {Capability.TOOLS}),
        ({"tools": TOOLS, "tool_choice": "none"}, set()),
        ({"tools": []}, set()),
        ({"functions": [{"name": "f"}]}, {Capability.TOOLS}),
        ({"functions": [{"name": "f"}], "function_call": "none"}, set()),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, {Capability.JSON_SCHEMA}),
        ({"response_format": {"type": "json_object"}}, set()),
        ({"response_format": "json"}, set()),
        ({"modalities": ["text", "audio"]}, {Capability.AUDIO}),
        ({"modalities": 5}, set()),
        ({"messages": [user("what?", image("http://x/y.png"))]}, {Capability.VISION}),
        ({"messages": [{"role": "user", "content": (SOUND,)}]}, {Capability.AUDIO}),
        ({"messages": [{"role": "user", "content": ["odd", {"type": "text", "text": "a"}]}]}, set()),
    ],
)
def test_a_request_needs_what_it_cannot_do_without(fields: dict[str, Any], needed: set[Capability]) -> None:
    assert {CHAT, *needed} == needs(ChatRequest.of({"messages": [user("hi")], **fields}))


@pytest.mark.parametrize(
    "messages, floor",
    [
        ([user("hi")], 0),
        ([system("x" * 8), user("x" * 8)], 2),
        ([user("x" * 80, image("http://x/" + "y" * 1000))], 10),
        ([{"role": "user", "content": ("odd", {"text": "x" * 16}, {"text": 5})}], 2),
        ([{"role": "assistant", "content": None}], 0),
    ],
)
def test_the_floor_of_a_prompt_counts_its_texts_only(messages: list[Any], floor: int) -> None:
    assert floor == prompt_floor(ChatRequest.of(messages))


def test_english_has_more_tokens_than_the_floor_says() -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 100
    assert prompt_floor(ChatRequest.of(text)) < len(text.split())


# Reading chunks


def _chunk(delta: Any = None, finish: Any = None, **more: Any) -> ChatChunk:
    return ChatChunk(json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}).encode())


@pytest.mark.parametrize(
    "chunk, sign",
    [
        (_chunk({"role": "assistant"}), Sign()),
        (_chunk({"role": "assistant", "content": ""}), Sign()),
        (_chunk({"content": None, "reasoning_content": None, "tool_calls": []}), Sign()),
        (_chunk({}, ""), Sign()),
        (_chunk(None), Sign()),
        (ChatChunk({"choices": [], "usage": {"total_tokens": 5}}), Sign()),
        (ChatChunk({"choices": "odd"}), Sign()),
        (ChatChunk({"choices": ["odd", {}]}), Sign()),
        (ChatChunk({"prompt_progress": 0.5}), Sign()),
        (_chunk({"content": " "}), Sign(meaningful=True)),
        (_chunk({"refusal": "No."}), Sign(meaningful=True)),
        (_chunk({"audio": {"id": "a"}}), Sign(meaningful=True)),
        (_chunk({"reasoning_content": "hm"}), Sign(meaningful=True, working=True)),
        (_chunk({"reasoning": "hm"}), Sign(meaningful=True, working=True)),
        (_chunk({"tool_calls": [{"index": 0}]}), Sign(meaningful=True, working=True)),
        (_chunk({"function_call": {"name": "f"}}), Sign(meaningful=True, working=True)),
        (_chunk({"content": "x"}, "length"), Sign(meaningful=True, finish="length")),
        (_chunk({}, 5), Sign()),
        (_chunk({}, "stop", error=None), Sign(finish="stop")),
        (
            _chunk({}, error={"message": "boom", "code": 502}),
            Sign(error=ErrorBody(message="boom", code="502", status=502)),
        ),
        (_chunk({"content": "x"}, error="boom"), Sign(error=ErrorBody(message="boom"))),
        (ChatChunk({"error": "boom"}), Sign(error=ErrorBody(message="boom"))),
        (ChatChunk({"detail": "boom"}), Sign(error=ErrorBody(message="boom"))),
        (_chunk({}, "error"), Sign(error=ErrorBody(message="the backend gave up (finish_reason: error)"))),
    ],
)
def test_a_chunk_says_what_it_holds(chunk: ChatChunk, sign: Sign) -> None:
    assert sign == read(chunk)._replace(choices=())


def test_a_chunk_says_which_choices_it_is_of_and_which_of_them_it_ends() -> None:
    choices = [
        {"index": 1, "delta": {"content": "x"}, "finish_reason": None},
        {"index": 0, "delta": {}, "finish_reason": "stop"},
        {"delta": {"content": "x"}},
        "odd",
    ]
    assert ((1, False), (0, True), (0, False)) == read(ChatChunk({"choices": choices})).choices


@pytest.mark.parametrize("data", [b"", b"[1]", b"5", b'{"choices": ', b"{oops}"])
def test_a_chunk_that_is_no_json_object_is_a_value_error(data: bytes) -> None:
    for look in (read, peek):
        with pytest.raises(ValueError):
            look(ChatChunk(data))


@pytest.mark.parametrize(
    "name, finish, error",
    [
        ("openai-text", "stop", None),
        ("openai-tools", "tool_calls", None),
        ("vllm-reasoning", "stop", None),
        ("gemini-tools", "tool_calls", None),
        ("ollama-tools", "tool_calls", None),
        ("openrouter-error", None, "Provider disconnected"),
        ("lm-studio-error", None, "The model has crashed"),
    ],
)
def test_a_recorded_stream_ends_as_it_says(name: str, finish: str | None, error: str | None) -> None:
    for look in (read, peek):
        signs = [look(chunk) for chunk in _recorded(name)]
        assert ([finish] if finish else []) == [sign.finish for sign in signs if sign.finish]
        assert ([error] if error else []) == [sign.error.message for sign in signs if sign.error]


_text = st.one_of(
    st.text(st.characters(), max_size=8),
    st.sampled_from(
        [
            "",
            "error",
            "finish_reason",
            '"finish_reason":null',
            '"error"',
            '{"error": 1}',
            '"reasoning":"x"',
            "\\",
            "tool_calls",
        ]
    ),
)
_maybe = st.one_of(st.none(), _text)
_delta = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant"),
        "content": _maybe,
        "reasoning": _maybe,
        "reasoning_content": _maybe,
        "refusal": _maybe,
        "tool_calls": st.one_of(
            st.none(), st.just([]), st.just([{"index": 0, "function": {"arguments": '{"error": "'}}])
        ),
        "function_call": st.sampled_from([None, {}, {"name": "f"}]),
        "x_vendor": st.one_of(_maybe, st.dictionaries(st.sampled_from(["a", "phase"]), _maybe, max_size=2)),
    },
)
_finish = st.sampled_from([None, None, None, "stop", "length", "tool_calls", "", "error"])
_choice = st.fixed_dictionaries({"index": st.integers(0, 2), "delta": _delta}, optional={"finish_reason": _finish})
_chunk_bodies = st.fixed_dictionaries(
    {"choices": st.lists(_choice, max_size=3)},
    optional={
        "error": st.sampled_from([None, {}, "boom", {"message": "boom", "code": 500}]),
        "usage": st.sampled_from([None, {"completion_tokens_details": {"reasoning_tokens": 3}}]),
        "model": _text,
    },
)
_separators = st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")])


def _wherever_it_matters(sign: Sign) -> tuple[object, ...]:
    """After commit the end, an error and open work count; whether there was content does not."""
    return sign.finish, sign.error, sign.working


@given(_chunk_bodies, _separators, st.booleans(), st.sampled_from([b"", b" ", b"\xef\xbb\xbf"]))
def test_a_peek_says_what_reading_says_wherever_it_matters(
    body: dict[str, Any], separators: tuple[str, str], ascii_only: bool, before: bytes
) -> None:
    text = json.dumps(body, separators=separators, ensure_ascii=ascii_only)
    data = before + text.encode("utf-8", "surrogatepass")
    assert _wherever_it_matters(read(ChatChunk(data))) == _wherever_it_matters(peek(ChatChunk(data)))


def test_a_peek_at_plain_text_decodes_nothing() -> None:
    chunk = _recorded("openai-text")[1]
    assert Sign(meaningful=True) == peek(chunk)
    assert chunk._raw is None


# Putting chunks together


@pytest.mark.parametrize("name", ["openai-tools", "gemini-tools", "ollama-tools"])
def test_tool_calls_are_put_together_however_they_are_numbered(name: str) -> None:
    chunks = _recorded(name)
    before = [json.dumps(chunk.raw) for chunk in chunks]
    answer = assemble(chunks)
    assert [("c1", "look", {"at": "sky"}), ("c2", "hear", {})] == [
        (call.id, call.name, call.parse()) for call in answer.tool_calls
    ]
    assert "tool_calls" == answer.finish_reason
    assert all("index" not in call for call in answer.message["tool_calls"])
    assert before == [json.dumps(chunk.raw) for chunk in chunks]


def test_texts_usage_and_further_fields_are_put_together() -> None:
    answer = assemble(_recorded("openai-text"))
    assert {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1767000000,
        "model": "m",
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
    } == answer.raw
    answer = assemble(_recorded("vllm-reasoning"))
    assert ("hm", "Hello") == (answer.reasoning, answer.text)


_call = st.fixed_dictionaries(
    {"id": st.uuids().map(str), "type": st.just("function")},
    optional={"x_call": st.integers()},
).flatmap(
    lambda call: st.fixed_dictionaries(
        {"name": st.text(min_size=1, max_size=6), "arguments": st.text(max_size=12)}
    ).map(lambda function: {**call, "function": function})
)
_message = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.one_of(st.none(), st.text(max_size=12))},
    optional={
        "reasoning_content": st.text(min_size=1, max_size=12),
        "refusal": st.none(),
        "tool_calls": st.lists(_call, min_size=1, max_size=3),
        "function_call": st.fixed_dictionaries({"name": st.just("f"), "arguments": st.text(max_size=12)}),
        "audio": st.fixed_dictionaries(
            {"id": st.just("a1"), "data": st.text(max_size=12), "transcript": st.text(max_size=12)}
        ),
        "annotations": st.lists(st.integers(), min_size=1, max_size=3),
        "x_phase": st.sampled_from(["answer", 5, True]),
    },
)
_whole_choice = st.fixed_dictionaries(
    {"message": _message, "finish_reason": st.sampled_from(["stop", "length"])},
    optional={
        "logprobs": st.fixed_dictionaries({"content": st.lists(st.integers(), max_size=4)}),
        "x_stop": st.just(1),
    },
)
_answer = st.fixed_dictionaries(
    {"id": st.just("a"), "model": st.just("m"), "choices": st.lists(_whole_choice, min_size=1, max_size=2)},
    optional={"usage": st.just({"total_tokens": 5}), "x_top": st.sampled_from([None, [1], {"a": 1}])},
)


def _pieces(value: Any, size: int) -> list[Any]:
    """A growing text or list in pieces; anything else in one."""
    if isinstance(value, str | list) and len(value) > size:
        return [value[start : start + size] for start in range(0, len(value), size)]
    return [value]


def _deltas(message: dict[str, Any], size: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name, value in message.items():
        if name == "tool_calls":
            for index, call in enumerate(value):
                head = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
                found.append({name: [head]})
                for piece in _pieces(call["function"]["arguments"], size):
                    found.append({name: [{"index": index, "function": {"arguments": piece}}]})
        elif isinstance(value, dict):
            for field, text in value.items():
                found += [
                    {name: {field: piece}} for piece in ([text] if field in ("id", "name") else _pieces(text, size))
                ]
        elif name in ("content", "reasoning_content", "annotations"):
            found += [{name: piece} for piece in _pieces(value, size)]
        else:
            found.append({name: value})
    return found


def _streamed(answer: dict[str, Any], size: int) -> list[ChatChunk]:
    top = {name: value for name, value in answer.items() if name not in ("choices", "usage")}
    chunks = []
    for choice in answer["choices"]:
        for delta in _deltas(choice["message"], size):
            chunks.append({**top, "choices": [{"index": choice["index"], "delta": delta, "finish_reason": None}]})
        for piece in _pieces(choice.get("logprobs", {}).get("content", []), size):
            logprobs = {"logprobs": {"content": piece}} if "logprobs" in choice else {}
            chunks.append({**top, "choices": [{"index": choice["index"], "delta": {}, **logprobs}]})
        rest = {name: value for name, value in choice.items() if name not in ("message", "logprobs")}
        chunks.append({**top, "choices": [{**rest, "delta": {}}]})
    if "usage" in answer:
        chunks.append({**top, "choices": [], "usage": answer["usage"]})
    return [ChatChunk(json.dumps(chunk).encode()) for chunk in chunks]


@given(_answer, st.integers(1, 5))
def test_the_chunks_of_an_answer_make_that_answer(answer: dict[str, Any], size: int) -> None:
    for index, choice in enumerate(answer["choices"]):
        choice["index"] = index
    chunks = _streamed(answer, size)
    assembled = assemble(chunks)
    assert {**answer, "object": "chat.completion"} == assembled.raw
    twin = ChatResponse(answer)
    assert (twin.text, twin.tool_calls, twin.usage) == (assembled.text, assembled.tool_calls, assembled.usage)


_any_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "index",
                    "tool_calls",
                    "id",
                    "function",
                    "arguments",
                    "content",
                    "logprobs",
                    "error",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=20,
)


@given(st.lists(st.one_of(_any_json, st.fixed_dictionaries({"choices": st.lists(_any_json)})), max_size=4))
def test_any_chunks_make_some_answer(bodies: list[Any]) -> None:
    answer = assemble(ChatChunk(json.dumps(body).encode()) for body in bodies)
    assert json.loads(json.dumps(answer.raw)) == answer.raw
    assert isinstance(answer.text, str)


def test_a_broken_chunk_is_left_out_of_the_answer() -> None:
    answer = assemble([ChatChunk.of("Hel"), ChatChunk(b'{"choices": [{"del'), ChatChunk.of("lo")])
    assert "Hello" == answer.text


def test_an_index_out_of_all_proportion_costs_nothing() -> None:
    delta = {"index": 10**12, "id": "c1", "function": {"name": "f", "arguments": "{}"}}
    chunk = ChatChunk({"choices": [{"delta": {"tool_calls": ["odd", delta]}}]})
    assert ["f"] == [call.name for call in assemble([chunk]).tool_calls]


def test_the_dialect_is_a_value() -> None:
    assert "openai-chat" == OPENAI_CHAT.name
    assert (needs, prompt_floor, read, peek, assemble) == (
        OPENAI_CHAT.needs,
        OPENAI_CHAT.prompt_floor,
        OPENAI_CHAT.read,
        OPENAI_CHAT.peek,
        OPENAI_CHAT.assemble,
    )
