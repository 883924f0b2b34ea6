"""Ollama's answers in OpenAI's dialect: pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provider_router.plugin import ChatChunk, ChatResponse, ToolCall, Usage, encode

# What stands elsewhere in OpenAI's dialect; the rest (durations in nanoseconds, …) is carried as it is.
_TAKEN = frozenset({"message", "done", "done_reason"})


def answer_of(said: Mapping[str, Any]) -> ChatResponse:
    """A whole answer: `{"model": …, "message": {"content": …, "thinking": …, "tool_calls": […]}, "done_reason": …}`."""
    message = said["message"]
    calls = _calls(message, 0)
    return ChatResponse.of(
        text=message.get("content") or "",
        reasoning=message.get("thinking"),
        tool_calls=calls,
        model=str(said.get("model") or ""),
        usage=_usage(said),
        finish_reason=_reason(said, called=bool(calls)) or "stop",
        extra=_extra(said),
    )


def chunk_of(said: Mapping[str, Any], calls: int) -> ChatChunk:
    """A line of a stream. Calls come whole; `calls` is how many came before in this stream."""
    message = said["message"]
    new = _calls(message, calls)
    return ChatChunk.of(
        message.get("content") or "",
        reasoning=message.get("thinking") or "",
        tool_calls=[
            {"index": calls + place, "id": call.id, "type": "function", "function": _function(call)}
            for place, call in enumerate(new)
        ],
        model=said.get("model"),
        finish_reason=_reason(said, called=bool(calls or new)),
        usage=_usage(said),
        extra=_extra(said),
    )


def _function(call: ToolCall) -> dict[str, str]:
    return {"name": call.name, "arguments": call.arguments}


def _calls(message: Mapping[str, Any], before: int) -> list[ToolCall]:
    """The calls of a message. Older versions give them no id: their place in the answer is one."""
    return [
        ToolCall(
            str(call.get("id") or f"call_{before + place}"),
            str(call["function"]["name"]),
            encode(call["function"].get("arguments") or {}).decode(),
        )
        for place, call in enumerate(message.get("tool_calls") or ())
    ]


def _reason(said: Mapping[str, Any], *, called: bool) -> str | None:
    """Why it ended, if it has. Ollama says `stop` after a call, too."""
    if not said.get("done"):
        return None
    reason = said.get("done_reason") or "stop"
    return "tool_calls" if called and reason == "stop" else str(reason)


def _usage(said: Mapping[str, Any]) -> Usage | None:
    prompt, answer = said.get("prompt_eval_count"), said.get("eval_count")
    if prompt is None and answer is None:
        return None
    return Usage(prompt_tokens=prompt or 0, completion_tokens=answer or 0, total_tokens=(prompt or 0) + (answer or 0))


def _extra(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name not in _TAKEN}


def embeddings_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """`{"embeddings": [[…]], "prompt_eval_count": 8}` → `{"data": [{"index": 0, "embedding": […]}], "usage": …}`."""
    tokens = answer.get("prompt_eval_count") or 0
    return {
        **{name: value for name, value in answer.items() if name != "embeddings"},
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(answer["embeddings"])
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
