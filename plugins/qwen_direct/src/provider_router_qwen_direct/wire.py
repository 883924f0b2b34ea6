"""What chat.qwen.ai is sent: the bodies of its web protocol. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from provider_router.plugin import ChatRequest, Failure, XMLTools, content_text, error_class

_PROTOCOL: Final = "2.1"
_MINIMAL_EFFORTS: Final = frozenset({"none", "minimal"})

# Fields that have a place of their own in the site's body, or none at all.
_TRANSLATED: Final = frozenset(
    [
        "model",
        "messages",
        "stream",
        "stream_options",
        "n",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning_effort",
        "enable_thinking",
        "thinking_budget",
        "feature_config",
        "conversation",
        "chat_id",
        "parent_id",
        "incremental_output",
        "version",
        "timestamp",
    ]
)


def new_chat_body(model: str | None, *, now: float) -> dict[str, Any]:
    """`POST /api/v2/chats/new`.

    Args:
        model: that will answer.
        now: seconds since 1970.
    """
    return {
        "title": "New Chat",
        "models": [model] if model else [],
        "chat_mode": "normal",
        "chat_type": "t2t",
        "timestamp": round(now * 1000),  # milliseconds here, seconds in the completion
        "project_id": "",
    }


def completion_body(
    request: ChatRequest, text: str, *, chat_id: str, parent_id: str | None, now: float
) -> dict[str, Any]:
    """`POST /api/v2/chat/completions`: one message; what came before lies on the server, or stands in its text.

    Args:
        request: whose fields that have no place here are passed on as they are.
        text: the message.
        chat_id: of the chat.
        parent_id: the answer that this message follows, or None for the first.
        now: seconds since 1970.
    """
    model = request.model
    timestamp = int(now)
    others = {name: value for name, value in request.raw.items() if name not in _TRANSLATED}
    message = {
        "fid": str(uuid4()),
        "parentId": parent_id,
        "parent_id": parent_id,
        "childrenIds": [],
        "role": "user",
        "content": text,
        "user_action": "chat",
        "files": [],
        "timestamp": timestamp,
        "models": [model] if model else [],
        "chat_type": "t2t",
        "sub_chat_type": "t2t",
        "feature_config": feature_config(request.raw),
        "extra": {"meta": {"subChatType": "t2t"}},
    }
    return {
        **others,
        "stream": True,
        "version": _PROTOCOL,
        "incremental_output": True,
        "chat_id": chat_id,
        "chat_mode": "normal",
        **({"model": model} if model else {}),
        "parent_id": parent_id,
        "messages": [message],
        "timestamp": timestamp,
    }


def feature_config(body: Mapping[str, Any]) -> dict[str, Any]:
    """How it is to think: from `reasoning_effort`, or DashScope's `enable_thinking` and `thinking_budget`."""
    effort = body.get("reasoning_effort")
    thinks = body.get("enable_thinking")
    if not isinstance(thinks, bool):
        thinks = effort is not None and effort not in _MINIMAL_EFFORTS
    config: dict[str, Any] = {"thinking_enabled": thinks, "output_schema": "phase", "auto_search": False}
    if isinstance(budget := body.get("thinking_budget"), int):
        config["thinking_budget"] = budget
    own = body.get("feature_config")
    return {**config, **own} if isinstance(own, Mapping) else config


def one_text(messages: Sequence[Mapping[str, Any]], *, who: str) -> str:
    """A system message and a message of the user as one text.

    Raises:
        NotCapable: for what is no text.
    """
    texts: list[str] = []
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            kind = part.get("type") if isinstance(part, Mapping) else None
            if kind not in ("text", None):
                raise error_class(Failure.CAPABILITY)(
                    f"{who} takes text only, no {kind}", provider=who, detail=f"no {kind}"
                )
        if text := content_text(content):
            texts.append(text)
    return "\n\n".join(texts)


def going_on(told: ChatRequest, tools: XMLTools) -> ChatRequest:
    """The request to a server that remembers: the messages after the last of the assistant, and the tools once more.

    Args:
        told: the request with everything as text.
        tools: those it may call now; what was told with an earlier turn need not be the same.
    """
    messages = told.messages
    last = max((index for index, message in enumerate(messages) if message.get("role") == "assistant"), default=-1)
    return told if last < 0 else tools.written(told.changed(messages=messages[last + 1 :]))


def stop_body(chat_id: str, response_id: str) -> dict[str, Any]:
    """`POST /api/v2/chat/completions/stop`: without it the chat stays locked for a while."""
    return {"chat_id": chat_id, "response_id": response_id}
