"""What makes an answer doubtful, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from provider_router.chat import Capability, ChatRequest, ChatResponse, Usage
from provider_router.routing.guards import doubts


def doubts_of(
    request: dict[str, Any], *, floor: int = 0, needs: tuple[str, ...] = (), **answer: Any
) -> tuple[str, ...]:
    asked = ChatRequest({"messages": [{"role": "user", "content": "hi"}], **request})
    given = ChatResponse.of(**{"text": "Hello", "model": "m", **answer})
    return doubts(asked, given, needs=frozenset(map(Capability, needs)), prompt_floor=floor)


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("qwen/qwen3-8b", "qwen3-8b"),
        ("Qwen3-8B", "qwen3-8b"),
        ("qwen3-8b", "/models/qwen3-8b.gguf"),
        ("m", "m"),
    ],
)
def test_a_longer_or_shorter_name_of_the_same_model_is_no_doubt(asked: str, served: str) -> None:
    assert doubts_of({"model": asked}, model=served) == ()


def test_another_model_is_a_doubt() -> None:
    [doubt] = doubts_of({"model": "qwen3-max"}, model="llama-3-8b")
    assert doubt == "the answer is of the model llama-3-8b, asked for was qwen3-max"


def test_a_prompt_of_which_most_was_not_counted_is_a_doubt() -> None:
    [doubt] = doubts_of({}, floor=5000, usage=Usage(prompt_tokens=2048, completion_tokens=5))
    assert "counted 2048 tokens" in doubt
    assert doubts_of({}, floor=5000, usage=Usage(prompt_tokens=4980, completion_tokens=5)) == ()
    assert doubts_of({}, floor=5000, usage=Usage(prompt_tokens=2048, estimated=True)) == ()
    assert doubts_of({}, floor=5000, usage=Usage(prompt_tokens=0, completion_tokens=5)) == ()


def test_an_image_that_cost_nothing_is_a_doubt() -> None:
    [doubt] = doubts_of({}, floor=10, needs=("vision",), usage=Usage(prompt_tokens=12))
    assert "image" in doubt
    assert doubts_of({}, floor=10, needs=("vision",), usage=Usage(prompt_tokens=300)) == ()


def test_dropped_parameters_are_doubts() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    assert doubts_of({"n": 2}) == ("n=2 was dropped: there is 1 of them",)
    assert doubts_of({"n": 1}) == ()
    assert doubts_of({"tools": [tool], "tool_choice": "required"}) == (
        "tool_choice=required was dropped: the answer calls no tool",
    )
    assert doubts_of({}, needs=("json_schema",)) == ("response_format was dropped: the answer is no JSON",)
    assert doubts_of({}, needs=("json_schema",), text='{"a": 1}') == ()
    assert doubts_of({}, needs=("json_schema",), finish_reason="length") == ()
