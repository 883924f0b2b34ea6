"""What any answer holds, whole or streamed: usage, tool calls, the text of a content."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from provider_router.chat.json_text import decode, encode

OBJECT: Final = (dict, Mapping)
"""For isinstance: the usual case first, for a dict is known at once and any other mapping is looked up."""


@frozen(kw_only=True)
class Usage:
    """Tokens of one answer. `estimated` marks figures that the backend did not report."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    estimated: bool = False

    @classmethod
    def read(cls, usage: object) -> Usage | None:
        """From `{"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21, …}`; None where nothing is said."""
        if not isinstance(usage, Mapping) or not usage:
            return None
        prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        return cls(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=_count(usage, "total_tokens") or prompt + completion,
            reasoning_tokens=_count(usage.get("completion_tokens_details"), "reasoning_tokens"),
            cached_tokens=_count(usage.get("prompt_tokens_details"), "cached_tokens"),
        )


def _count(mapping: object, name: str) -> int:
    value = mapping.get(name) if isinstance(mapping, Mapping) else None
    if type(value) is int:  # and no bool
        return max(0, value)
    return max(0, int(value)) if isinstance(value, float) and math.isfinite(value) else 0


@frozen
class ToolCall:
    """A call that the model asks for. `arguments` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str

    def parse(self) -> Any:
        """The arguments as JSON says.

        Raises:
            ValueError: where the model wrote no JSON.
        """
        return decode(self.arguments or "{}")


def content_text(content: object) -> str:
    """The text of a content: a string, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(
            part["text"] for part in content if isinstance(part, Mapping) and isinstance(part.get("text"), str)
        )
    return ""


def read_tool_calls(calls: object) -> list[ToolCall]:
    """The calls of a message. Arguments are JSON text; some backends send the JSON itself."""
    found = []
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            arguments = function.get("arguments")
            found.append(
                ToolCall(
                    str(call.get("id") or ""),
                    str(function.get("name") or ""),
                    arguments if isinstance(arguments, str) else encode(arguments or {}).decode(),
                )
            )
    return found


def reasoning_text(message: Mapping[str, Any]) -> str:
    """The reasoning in a message or a delta, under either of its two names."""
    for name in ("reasoning_content", "reasoning"):
        value = message.get(name)
        if value and isinstance(value, str):
            return value
    return ""


def text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def first_choice(choices: object) -> Mapping[str, Any]:
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice if isinstance(choice, OBJECT) else {}


def call_to_wire(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def usage_to_wire(usage: Usage) -> dict[str, Any]:
    """`{"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}`, with details where there are any."""
    wire: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens or usage.prompt_tokens + usage.completion_tokens,
    }
    if usage.reasoning_tokens:
        wire["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    if usage.cached_tokens:
        wire["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    return wire
