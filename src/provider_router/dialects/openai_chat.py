"""OpenAI's chat completions, as every backend of this project speaks them more or less."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from provider_router.chat import Capability, ChatChunk, ChatRequest, ChatResponse
from provider_router.dialects.dialect import Dialect, Sign
from provider_router.dialects.failures import ErrorBody

_BYTES_PER_TOKEN = 8  # generous: English has four, so that this bound is never above the truth
_TEXT = Sign(meaningful=True)
_WORKING = Sign(meaningful=True, working=True)


def needs(request: ChatRequest) -> frozenset[Capability]:
    """What the request cannot do without: tools, images, audio, a JSON schema."""
    found = {Capability.CHAT}
    if request.stream:
        found.add(Capability.STREAMING)
    if request.tools and request.tool_choice != "none":
        found.add(Capability.TOOLS)
    form = request.response_format
    if isinstance(form, Mapping) and form.get("type") == "json_schema":
        found.add(Capability.JSON_SCHEMA)
    if "audio" in (request.raw.get("modalities") or ()):
        found.add(Capability.AUDIO)
    for message in request.messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            kind = part.get("type") if isinstance(part, Mapping) else None
            if kind == "image_url":
                found.add(Capability.VISION)
            elif kind == "input_audio":
                found.add(Capability.AUDIO)
    return frozenset(found)


def prompt_floor(request: ChatRequest) -> int:
    """The least number of tokens that the texts of the messages can have. Images and audio count nothing."""
    size = 0
    for message in request.messages:
        content = message.get("content")
        if isinstance(content, str):
            size += len(content)
        elif isinstance(content, list):
            size += sum(len(part["text"]) for part in content if isinstance(part, Mapping) and _is_text(part))
    return size // _BYTES_PER_TOKEN


def _is_text(part: Mapping[str, Any]) -> bool:
    return isinstance(part.get("text"), str)


def read(chunk: ChatChunk) -> Sign:
    """What a chunk says.

    Raises:
        ValueError: for a chunk that is no JSON object.
    """
    raw = chunk.raw
    error = ErrorBody.read(raw) if not raw.get("choices") else ErrorBody.read({"error": raw.get("error")})
    if error is not None:
        return Sign(error=error)
    meaningful = working = False
    finish: str | None = None
    choices = raw.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, Mapping):
            continue
        finish = finish or choice.get("finish_reason")
        delta = choice.get("delta")
        if not isinstance(delta, Mapping):
            continue
        if (
            delta.get("tool_calls")
            or delta.get("function_call")
            or delta.get("reasoning_content")
            or delta.get("reasoning")
        ):
            meaningful = working = True
        elif delta.get("content") or delta.get("refusal") or delta.get("audio"):
            meaningful = True
    return Sign(meaningful, working, finish)


def peek(chunk: ChatChunk) -> Sign:
    """What a chunk says, from its bytes alone where they leave no doubt.

    A quotation mark inside a JSON string is escaped, so `"error"` as bytes is a key or a whole value, never prose.

    Raises:
        ValueError: for a chunk that is no JSON object.
    """
    data = chunk.data
    if (
        (b'"finish_reason":null' in data or b'"finish_reason": null' in data)
        and b'"error"' not in data
        and data[:1] == b"{"
        and data[-1:] == b"}"
    ):
        return _WORKING if b'"reasoning' in data or b'"tool_calls":[{' in data else _TEXT
    return read(chunk)


def assemble(chunks: Iterable[ChatChunk]) -> ChatResponse:
    """A complete answer from the chunks of a stream, with whatever fields the chunks carried at their top level."""
    raw: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for name, value in chunk.raw.items():
            if name != "choices" and value is not None:
                raw[name] = value
        for choice in chunk.raw.get("choices") or ():
            index = choice.get("index") or 0
            whole = choices.setdefault(
                index, {"index": index, "message": {"role": "assistant", "content": None}, "finish_reason": None}
            )
            _add(whole["message"], choice.get("delta") or {})
            for name, value in choice.items():
                if name not in ("index", "delta") and value is not None:
                    whole[name] = value
    raw["object"] = "chat.completion"
    raw["choices"] = [choices[index] for index in sorted(choices)]
    return ChatResponse(raw)


def _add(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for name, value in delta.items():
        if name == "tool_calls":
            for call in value or ():
                _add_call(message.setdefault("tool_calls", []), call)
        elif name == "role":
            message["role"] = value or message["role"]
        elif isinstance(value, str) and isinstance(message.get(name), str):
            message[name] += value
        elif value is not None:
            message[name] = value


def _add_call(calls: list[dict[str, Any]], delta: Mapping[str, Any]) -> None:
    index = delta.get("index")
    if index is None:
        index = len(calls) if delta.get("id") or not calls else len(calls) - 1
    while len(calls) <= index:
        calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
    call = calls[index]
    for name, value in delta.items():
        if name == "function" and isinstance(value, Mapping):
            for part, text in value.items():
                known = call["function"].get(part)
                call["function"][part] = known + text if isinstance(known, str) and isinstance(text, str) else text
        elif name != "index" and value is not None:
            call[name] = value


OPENAI_CHAT = Dialect(
    name="openai-chat", needs=needs, prompt_floor=prompt_floor, read=read, peek=peek, assemble=assemble
)
