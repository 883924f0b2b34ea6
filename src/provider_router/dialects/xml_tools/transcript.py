"""Conversations as text: earlier calls and results, the place for a section, a whole conversation in one message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from provider_router.chat import Message, ToolCall, content_text
from provider_router.chat.answer import read_tool_calls
from provider_router.dialects.xml_tools.schema import wrapped
from provider_router.dialects.xml_tools.tool import XMLTool

_NOTHING = "(no output)"
_SO_FAR = "This is our conversation so far. Go on with the assistant's next message."
_RESULT_ROLES = ("tool", "function")


def spoken(messages: Sequence[Message], tools: Mapping[str, XMLTool]) -> Sequence[Message]:
    """The messages with their calls and results as text; the same ones where there are none.

    Results that follow each other become one message of the user.
    """
    if not any(_has_calls(message) or message.get("role") in _RESULT_ROLES for message in messages):
        return messages
    names: dict[str, str] = {}
    found: list[Message] = []
    results: list[Any] = []
    for message in [*messages, None]:
        if message is not None and message.get("role") in _RESULT_ROLES:
            results += _result(message, names)
            continue
        if results:
            found.append({"role": "user", "content": _joined(results)})
            results = []
        if message is not None:
            calls = _calls(message)
            names |= {call.id: call.name for call in calls}
            found.append(_said(message, calls, tools) if calls else message)
    return found


def with_section(messages: Sequence[Message], section: str) -> list[Message]:
    """The messages with a section at the end of the first system message, or as one."""
    for index, message in enumerate(messages):
        if message.get("role") in ("system", "developer"):
            content = message.get("content")
            if isinstance(content, list):
                content = [*content, {"type": "text", "text": f"\n\n{section}"}]
            else:
                content = f"{content}\n\n{section}" if content else section
            return [*messages[:index], {**message, "content": content}, *messages[index + 1 :]]
    return [{"role": "system", "content": section}, *messages]


def folded(messages: Sequence[Message]) -> list[Message]:
    """A whole conversation as one system message and one message of the user, for backends that read no more.

    What is no text (images) stays a part of the user's message. A conversation that is no longer stays as it is.
    """
    system = [message for message in messages if message.get("role") in ("system", "developer")]
    rest = [message for message in messages if message.get("role") not in ("system", "developer")]
    if len(system) <= 1 and len(rest) <= 1:
        return list(messages)
    found: list[Message] = []
    if system:
        found.append({"role": "system", "content": "\n\n".join(content_text(one.get("content")) for one in system)})
    if len(rest) == 1:
        return [*found, rest[0]]
    parts: list[Any] = [_SO_FAR]
    for message in rest:
        role = "Assistant" if message.get("role") == "assistant" else "User"
        parts += [f"\n\n## {role}\n", *_parts(message.get("content"))]
    return [*found, {"role": "user", "content": _joined(parts, "")}]


def _has_calls(message: Message) -> bool:
    return bool(message.get("tool_calls") or message.get("function_call"))


def _calls(message: Message) -> list[ToolCall]:
    old = message.get("function_call")  # before there were tools
    return read_tool_calls(message.get("tool_calls") or ([{"function": old}] if old else None))


def _said(message: Message, calls: Sequence[ToolCall], tools: Mapping[str, XMLTool]) -> Message:
    texts = [(tools.get(call.name) or XMLTool(call.name)).call(call.arguments) for call in calls]
    parts = _parts(message.get("content"))
    kept = {name: value for name, value in message.items() if name not in ("tool_calls", "function_call")}
    return {**kept, "content": _joined([*parts, *texts])}


def _result(message: Message, names: Mapping[str, str]) -> list[Any]:
    """A result, marked as such, and what of it is no text."""
    name = message.get("name") or names.get(str(message.get("tool_call_id"))) or "tool"
    parts = _parts(message.get("content"))
    text = "".join(part for part in parts if isinstance(part, str)) or _NOTHING
    text = wrapped(text) if "</tool_result>" in text else text
    others = [part for part in parts if not isinstance(part, str)]
    return [f'<tool_result name="{name}">\n{text}\n</tool_result>', *others]


def _parts(content: object) -> list[Any]:
    """The texts of a content, and the parts that are none."""
    if not isinstance(content, list):
        return [content] if isinstance(content, str) and content else []
    return [content_text([part]) or part for part in content]


def _joined(parts: Sequence[Any], between: str = "\n") -> Any:
    """One text, or a list of parts where some are no text."""
    if all(isinstance(part, str) for part in parts):
        return between.join(parts)
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
