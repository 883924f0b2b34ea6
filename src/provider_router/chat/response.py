"""ChatResponse: a complete answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from provider_router.chat.answer import (
    ToolCall,
    Usage,
    call_to_wire,
    content_text,
    first_choice,
    read_tool_calls,
    reasoning_text,
    text_or_none,
    usage_to_wire,
)
from provider_router.trail import Attempt, Skipped, trail_text


class ChatResponse:
    """A complete answer. `str(answer)` is its text.

    Attributes:
        raw: the answer as the backend sent it.
        provider: id of the provider that answered.
        attempts: what was tried, the answering attempt last.
        leaves_out: tells who was left out of the plan, for there may be thousands of them.
        warnings: what the guards noticed.
        request_id: under which the history keeps this request.
    """

    __slots__ = ("_usage", "attempts", "leaves_out", "provider", "raw", "request_id", "warnings")

    def __init__(self, raw: Mapping[str, Any], *, usage: Usage | None = None) -> None:
        self.raw = raw
        self._usage = usage
        self.provider = ""
        self.attempts: tuple[Attempt, ...] = ()
        self.leaves_out: Callable[[], tuple[Skipped, ...]] = tuple
        self.warnings: tuple[str, ...] = ()
        self.request_id = ""

    @classmethod
    def of(
        cls,
        *,
        text: str | None = None,
        tool_calls: Iterable[ToolCall] = (),
        model: str,
        usage: Usage | None = None,
        finish_reason: str = "stop",
        reasoning: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> ChatResponse:
        """An answer from its parts, for backends of another dialect.

        Args:
            text: what it says.
            tool_calls: the calls that it asks for.
            model: the model that gave it.
            usage: what it used.
            finish_reason: why it ended.
            reasoning: what was thought before.
            extra: the backend's own fields, carried in `raw` beside those above.
        """
        calls = [call_to_wire(call) for call in tool_calls]
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if reasoning:
            message["reasoning_content"] = reasoning
        if calls:
            message["tool_calls"] = calls
        raw: dict[str, Any] = {
            **(extra or {}),
            "object": "chat.completion",
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        }
        if usage is not None:
            raw["usage"] = usage_to_wire(usage)
        return cls(raw, usage=usage)

    @property
    def text(self) -> str:
        return content_text(self.message.get("content"))

    @property
    def reasoning(self) -> str:
        return reasoning_text(self.message)

    @property
    def message(self) -> dict[str, Any]:
        """The assistant's message as the backend sent it; append it to `messages` for the next turn."""
        message = first_choice(self.raw.get("choices")).get("message")
        return message if isinstance(message, dict) else {"role": "assistant", "content": ""}

    @property
    def tool_calls(self) -> list[ToolCall]:
        return read_tool_calls(self.message.get("tool_calls"))

    @property
    def finish_reason(self) -> str | None:
        return text_or_none(first_choice(self.raw.get("choices")).get("finish_reason"))

    @property
    def usage(self) -> Usage | None:
        return self._usage or Usage.read(self.raw.get("usage"))

    @property
    def model(self) -> str | None:
        """The model that the backend says it used."""
        return text_or_none(self.raw.get("model"))

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Who was left out of the plan, and why."""
        return self.leaves_out()

    @property
    def trail(self) -> str:
        """`desk: refused, 2 ms → loft: ok, 1.3 s`."""
        return trail_text(self.attempts)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<ChatResponse provider={self.provider!r} model={self.model!r} text={self.text[:60]!r}>"

    def _repr_markdown_(self) -> str:
        """How a notebook shows the answer."""
        source = " · ".join(part for part in (self.provider, self.model, self.trail) if part)
        return f"{self.text}\n\n<sub>{source}</sub>" if source else self.text
