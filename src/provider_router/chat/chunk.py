"""ChatChunk: one piece of a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from provider_router.chat.answer import (
    OBJECT,
    Usage,
    content_text,
    first_choice,
    reasoning_text,
    text_or_none,
    usage_to_wire,
)
from provider_router.chat.json_text import decode, encode


class ChatChunk:
    """One piece of a stream. Decoded when somebody looks, and forwarded as it came when nobody does.

    A broken one says nothing: only `raw` raises.

    Attributes:
        more: another chunk of the same arrival follows, so the next one costs no wait.
    """

    __slots__ = ("_data", "_raw", "more")

    def __init__(self, data: bytes | Mapping[str, Any], *, more: bool = False) -> None:
        self._data: bytes | None
        self._raw: Mapping[str, Any] | None
        if isinstance(data, bytes):
            self._data, self._raw = data, None
        else:
            self._data, self._raw = None, data
        self.more = more

    @classmethod
    def of(
        cls,
        text: str = "",
        *,
        reasoning: str = "",
        tool_calls: Sequence[Mapping[str, Any]] = (),
        model: str | None = None,
        role: str | None = None,
        finish_reason: str | None = None,
        usage: Usage | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> ChatChunk:
        """A chunk from its parts, for backends of another dialect.

        Args:
            tool_calls: deltas as on the wire: `{"index": 0, "id": …, "function": {"name": …, "arguments": …}}`.
            extra: the backend's own fields, carried in `raw` beside the others.
        """
        delta: dict[str, Any] = {}
        if role:
            delta["role"] = role
        if text:
            delta["content"] = text
        if reasoning:
            delta["reasoning_content"] = reasoning
        if tool_calls:
            delta["tool_calls"] = [dict(call) for call in tool_calls]
        raw: dict[str, Any] = {
            **(extra or {}),
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        }
        if model:
            raw["model"] = model
        if usage is not None:
            raw["usage"] = usage_to_wire(usage)
        return cls(raw)

    @property
    def data(self) -> bytes:
        """The event's data as it goes over the wire."""
        if self._data is None:
            self._data = encode(self._raw)
        return self._data

    @property
    def raw(self) -> Mapping[str, Any]:
        """The event's JSON.

        Raises:
            ValueError: where the backend sent no JSON object.
        """
        raw = self._raw
        if raw is None:
            assert self._data is not None
            raw = decode(self._data)
            if not isinstance(raw, dict):
                raise ValueError("a chunk is a JSON object")
            self._raw = raw
        return raw

    def fold(self) -> None:
        """Keep the bytes alone, a tenth of what they say once decoded; that is done again if somebody looks again."""
        if self._data is not None:
            self._raw = None

    def _get(self, name: str) -> Any:
        try:
            return (self._raw or self.raw).get(name)
        except ValueError:
            return None

    @property
    def delta(self) -> Mapping[str, Any]:
        """What the first choice adds."""
        delta = first_choice(self._get("choices")).get("delta")
        return delta if isinstance(delta, OBJECT) else {}

    @property
    def text(self) -> str:
        return content_text(self.delta.get("content"))

    @property
    def reasoning(self) -> str:
        return reasoning_text(self.delta)

    @property
    def tool_calls(self) -> Sequence[Mapping[str, Any]]:
        """Deltas as on the wire; the first of a call has its id and name."""
        calls = self.delta.get("tool_calls")
        return [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else ()

    @property
    def finish_reason(self) -> str | None:
        return text_or_none(first_choice(self._get("choices")).get("finish_reason"))

    @property
    def usage(self) -> Usage | None:
        if self._raw is None and self._data is not None and b'"usage"' not in self._data:
            return None
        return Usage.read(self._get("usage"))

    @property
    def model(self) -> str | None:
        return text_or_none(self._get("model"))

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<ChatChunk {self._raw if self._data is None else self._data[:80]!r}>"
