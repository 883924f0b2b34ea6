"""Messages of a chat, as the wire has them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

Message = Mapping[str, Any]
"""`{"role": "user", "content": "hi"}`, or content as a list of parts."""
Prompt = str | Sequence[Message] | Mapping[str, Any]
"""A text, a list of messages, or a whole body."""


def system(text: str) -> dict[str, Any]:
    """`{"role": "system", "content": text}`."""
    return {"role": "system", "content": text}


def user(*content: str | Mapping[str, Any]) -> dict[str, Any]:
    """A user's message: one text, or texts and parts such as `image(…)` in order."""
    if len(content) == 1 and isinstance(content[0], str):
        return {"role": "user", "content": content[0]}
    return {
        "role": "user",
        "content": [{"type": "text", "text": part} if isinstance(part, str) else dict(part) for part in content],
    }


def assistant(text: str | None = None, *, tool_calls: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """An earlier answer. Of an answer that you have, append `answer.message` instead: it carries everything."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if tool_calls:
        message["tool_calls"] = [dict(call) for call in tool_calls]
    return message


def tool(text: str, *, tool_call_id: str) -> dict[str, Any]:
    """The result of a tool call, for the call with this id."""
    return {"role": "tool", "tool_call_id": tool_call_id, "content": text}


def image(source: str | bytes, *, media_type: str = "image/png") -> dict[str, Any]:
    """An image part for `user(…)`: a URL, or the bytes of an image of this media type."""
    if not isinstance(source, str | bytes):
        raise TypeError(f"an image is a URL or its bytes, not {type(source).__name__}; read a file with read_bytes()")
    if isinstance(source, bytes):
        source = f"data:{media_type};base64,{base64.b64encode(source).decode()}"
    return {"type": "image_url", "image_url": {"url": source}}
