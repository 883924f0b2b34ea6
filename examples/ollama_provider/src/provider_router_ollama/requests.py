"""OpenAI's request in Ollama's dialect: pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from provider_router.plugin import ChatRequest, content_text, decode

# What OpenAI has at the top of a body and Ollama among its options.
_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
}
# What Ollama has not: it would be no use to send it.
_FOREIGN = frozenset({"stream_options", "n", "parallel_tool_calls", "response_format", "reasoning_effort"})


def body_of(request: ChatRequest, *, stream: bool) -> dict[str, Any]:
    """The body of `/api/chat`. What neither side knows goes along as it is: `keep_alive`, `think`, `options`."""
    body: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for name, value in request.raw.items():
        if name in _OPTIONS:
            options[_OPTIONS[name]] = value
        elif name not in _FOREIGN and name != "tool_choice":
            body[name] = value
    if options:
        body["options"] = {**options, **(body.get("options") or {})}
    if (form := _form(request.response_format)) is not None:
        body["format"] = form
    if (effort := request.raw.get("reasoning_effort")) is not None:
        body.setdefault("think", effort != "none" and effort)
    if request.tool_choice == "none":
        body.pop("tools", None)
    body["messages"] = messages_of(request.messages)
    body["stream"] = stream
    return body


def _form(form: Mapping[str, Any] | None) -> Any:
    if form is None or form.get("type") == "text":
        return None
    if form.get("type") == "json_schema":
        return (form.get("json_schema") or {}).get("schema")
    return "json"


def messages_of(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The conversation: texts and images apart, arguments of calls as JSON, results under their tool's name."""
    names: dict[str, str] = {}
    found = []
    for message in messages:
        content = message.get("content")
        said = {name: value for name, value in message.items() if name not in ("content", "tool_calls")}
        said["content"] = content_text(content)
        if images := _images(content):
            said["images"] = images
        if reasoning := said.pop("reasoning_content", None):
            said["thinking"] = reasoning
        if calls := message.get("tool_calls"):
            names |= {call.get("id", ""): call["function"]["name"] for call in calls}
            said["tool_calls"] = [_call(call["function"]) for call in calls]
        if message.get("role") == "tool":
            said["tool_name"] = names.get(str(message.get("tool_call_id")), str(message.get("name") or ""))
        found.append(said)
    return found


def _images(content: object) -> list[str]:
    """The data of the images in a content. Ollama fetches nothing: an address that is no data stays out."""
    parts = content if isinstance(content, list) else ()
    urls = [(part.get("image_url") or {}).get("url", "") for part in parts if isinstance(part, Mapping)]
    return [url.partition(",")[2] for url in urls if url.startswith("data:")]


def _call(function: Mapping[str, Any]) -> dict[str, Any]:
    arguments = function.get("arguments") or {}
    try:
        parsed = decode(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        parsed = {}
    return {"function": {"name": function["name"], "arguments": parsed if isinstance(parsed, dict) else {}}}


def embed_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of `/api/embed`, which takes OpenAI's `input` and `dimensions` as they are."""
    return {name: value for name, value in body.items() if name not in ("encoding_format", "user")}
