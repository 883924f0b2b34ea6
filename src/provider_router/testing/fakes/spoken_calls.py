"""Calls as the text of a model that was told its tools in the prompt."""

from __future__ import annotations

import json

from attrs import evolve

from provider_router.backends import Answer, Request, ToolCall
from provider_router.backends.wire import encode


def said(answer: Answer, request: Request) -> Answer:
    """The answer to a request that declares no tools: the model's calls in its text."""
    if not answer.tool_calls or request.fields.get("tools"):
        return answer
    text = "\n".join([answer.text_for(request), *map(_element, answer.tool_calls)]).lstrip()
    return evolve(answer, text=text, tool_calls=(), finish_reason="stop")


def _element(call: ToolCall) -> str:
    """A call in XML; one whose arguments are cut off has no end there either."""
    try:
        values = json.loads(call.arguments)
    except ValueError:
        return f"<{call.name}>\n{call.arguments}"
    texts = {name: value if isinstance(value, str) else encode(value).decode() for name, value in values.items()}
    lines = [f"<{name}>{text}</{name}>" for name, text in texts.items()]
    return "\n".join([f"<{call.name}>", *lines, f"</{call.name}>"])
