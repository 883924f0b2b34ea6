"""OpenAI's chat completions, as every backend of this project speaks them more or less."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from provider_router.chat import Capability, ChatChunk, ChatRequest, ChatResponse
from provider_router.dialects.dialect import Dialect, Sign
from provider_router.dialects.failures import ErrorBody

_LETTERS_PER_TOKEN = 8  # generous: English has four, so that this bound is never above the truth
_LISTS = (list, tuple)
_PLAIN = frozenset([Capability.CHAT])
_STREAM = _PLAIN | {Capability.STREAMING}
_TEXT = Sign(meaningful=True)
_WORKING = Sign(meaningful=True, working=True)
_WORK = ("tool_calls", "function_call", "reasoning_content", "reasoning")  # open for long without a word
_WORK_OPEN = re.compile(rb'"(?:%s)"\s*+:\s*+(?!null|""|\[\s*\]|\{\s*\})' % b"|".join(map(str.encode, _WORK)))
# What comes in pieces: of a message, of a tool call, of audio.
_TEXTS = frozenset(["content", "refusal", "reasoning_content", "reasoning", "arguments", "input", "data", "transcript"])


def needs(request: ChatRequest) -> frozenset[Capability]:
    """What the request cannot do without: tools, images, audio, a JSON schema."""
    raw = request.raw
    found = set()
    if (raw.get("tools") and request.tools and request.tool_choice != "none") or (
        raw.get("functions") and raw.get("function_call") != "none"
    ):
        found.add(Capability.TOOLS)
    form = raw.get("response_format")
    if form is not None and isinstance(form, Mapping) and form.get("type") == "json_schema":
        found.add(Capability.JSON_SCHEMA)
    if "modalities" in raw and "audio" in _items(raw["modalities"]):
        found.add(Capability.AUDIO)
    for message in request.messages:
        content = message.get("content")
        if isinstance(content, str):
            continue
        for part in _items(content):
            kind = part.get("type") if isinstance(part, Mapping) else None
            if kind == "image_url":
                found.add(Capability.VISION)
            elif kind == "input_audio":
                found.add(Capability.AUDIO)
    usual = _STREAM if raw.get("stream") else _PLAIN
    return usual | found if found else usual


def prompt_floor(request: ChatRequest) -> int:
    """The least number of tokens that the texts of the messages can have. Images and audio count nothing."""
    size = 0
    for message in request.messages:
        content = message.get("content")
        if isinstance(content, str):
            size += len(content)
            continue
        for part in _items(content):
            text = part.get("text") if isinstance(part, Mapping) else None
            if isinstance(text, str):
                size += len(text)
    return size // _LETTERS_PER_TOKEN


def read(chunk: ChatChunk) -> Sign:
    """What a chunk says.

    Raises:
        ValueError: for a chunk that is no JSON object.
    """
    raw = chunk.raw
    choices = _items(raw.get("choices"))
    error = ErrorBody.read({"error": raw.get("error")} if choices else raw)
    if error is not None:
        return Sign(error=error)
    meaningful = working = False
    finish: str | None = None
    heard = []
    for choice in choices:
        if not isinstance(choice, Mapping):
            continue
        reason = choice.get("finish_reason")
        if reason == "error":  # OpenRouter ends so what broke off upstream, with or without an error beside it
            return Sign(error=ErrorBody(message="the backend gave up (finish_reason: error)"))
        ends = bool(reason) and isinstance(reason, str)
        if ends:
            finish = finish or reason
        heard.append((_index(choice), ends))
        delta = choice.get("delta")
        if not isinstance(delta, Mapping):
            continue
        if any(delta.get(name) for name in _WORK):
            meaningful = working = True
        elif delta.get("content") or delta.get("refusal") or delta.get("audio"):
            meaningful = True
    return Sign(meaningful, working, finish, choices=tuple(heard))


def peek(chunk: ChatChunk) -> Sign:
    """What a chunk says, from its bytes alone where they leave no doubt: an error, an end, reasoning, a tool call.

    A quotation mark inside a JSON string is escaped, so `"error"` as bytes is a key or a whole value, never prose.
    That a chunk is broken in its middle, or says nothing at all, is not seen here.

    Raises:
        ValueError: for a chunk that is no JSON object.
    """
    data = chunk.data
    if (
        (b'"finish_reason":null' in data or b'"finish_reason": null' in data)
        and data.count(b'"finish_reason"') == 1  # of several choices another may have come to its end
        and b'"error"' not in data
        and data[:1] == b"{"
        and data[-1:] == b"}"
    ):
        may_work = b'"reasoning' in data or b"_call" in data  # much cheaper than the search
        return _WORKING if may_work and _WORK_OPEN.search(data) else _TEXT
    return read(chunk)


def assemble(chunks: Iterable[ChatChunk]) -> ChatResponse:
    """A complete answer from the chunks of a stream, with whatever fields they carry; broken ones are left out."""
    raw: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        try:
            body = chunk.raw
        except ValueError:
            continue
        for name, value in body.items():
            if name != "choices":
                _set(raw, name, value)
        for choice in _items(body.get("choices")):
            if isinstance(choice, Mapping):
                _add_choice(choices, choice)
    for choice in choices.values():
        for call in choice["message"].get("tool_calls", ()):
            call.pop("index", None)  # only a delta has it
    raw["object"] = "chat.completion"
    raw["choices"] = [choices[index] for index in sorted(choices)]
    return ChatResponse(raw)


def _items(value: object) -> Sequence[Any]:
    return value if isinstance(value, _LISTS) else ()


def _index(choice: Mapping[str, Any]) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def _add_choice(choices: dict[int, dict[str, Any]], choice: Mapping[str, Any]) -> None:
    index = _index(choice)
    whole = choices.setdefault(
        index, {"index": index, "message": {"role": "assistant", "content": None}, "finish_reason": None}
    )
    for name, value in choice.items():
        if name == "delta":
            for field, piece in value.items() if isinstance(value, Mapping) else ():
                _add(whole["message"], field, piece)
        elif name == "logprobs":
            _add(whole, name, value)
        elif name != "index":
            _set(whole, name, value)


def _add(whole: dict[str, Any], name: str, piece: object) -> None:
    """Join a piece to what came before: texts and lists grow, mappings field by field, the rest is as last said."""
    known = whole.get(name)
    if name == "tool_calls":
        for delta in _items(piece):
            if isinstance(delta, Mapping):
                call = _call_of(whole.setdefault(name, []), delta)
                for field, value in delta.items():
                    _add(call, field, value)
    elif name in _TEXTS and isinstance(piece, str):
        whole[name] = known + piece if isinstance(known, str) else piece
    elif isinstance(piece, Mapping):
        whole[name] = dict(known) if isinstance(known, Mapping) else {}
        for field, value in piece.items():
            _add(whole[name], field, value)
    elif isinstance(piece, list):
        whole[name] = [*known, *piece] if isinstance(known, list) else list(piece)
    else:
        _set(whole, name, piece)


def _set(whole: dict[str, Any], name: str, value: object) -> None:
    """As last said; null and the empty string say nothing."""
    if name not in whole or (value is not None and value != ""):
        whole[name] = value


def _call_of(calls: list[dict[str, Any]], delta: Mapping[str, Any]) -> dict[str, Any]:
    """The call that a delta belongs to.

    It is the last one with the same index; but some backends number every call 0, and some number none, so that a
    new id begins a new call.
    """
    name, index = delta.get("id"), delta.get("index")
    same = [call for call in calls if index is None or call.get("index") == index]
    if same and (not name or same[-1]["id"] in ("", name)):
        return same[-1]
    call = {"id": "", "type": "function"}
    calls.append(call)
    return call


OPENAI_CHAT = Dialect(
    name="openai-chat", needs=needs, prompt_floor=prompt_floor, read=read, peek=peek, assemble=assemble
)
