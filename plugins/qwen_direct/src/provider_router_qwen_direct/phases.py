"""PhaseReader: the events of an answer at chat.qwen.ai, as chunks of OpenAI's dialect. No I/O.

An answer comes in phases: it thinks, or shows summaries of its thinking, may search, and then answers. Each event is
`{"choices": [{"delta": {"content", "phase", "status", "extra"}}], "response_id", "usage"}`. The content of a phase that
is not known here is no text of the answer: what the site has come up with so far were notes of its tools.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from provider_router.plugin import ChatChunk, Usage

# Tuples: whatever an event says is compared, and need not be hashable.
_THINKING: Final = ("think", "thinking")
_ASIDE: Final = ("web_search",)  # what it looks at on its way; no part of the answer
_ANSWERING: Final = ("answer", None, "")  # its end is that of the whole; an older form of the stream has no phases
_DRAWING: Final = ("image_gen",)  # a part of the answer, which may go on in words
_MOST_UNKNOWN: Final = 8  # phases that are remembered


class PhaseReader:
    """Events in, chunks out, for one answer.

    Attributes:
        chat_id: the chat on the server.
        response_id: of the answer that is followed; another candidate's events are left out.
        answered: whether any text of the answer has come.
        finished: whether the answering phase has said its end.
        unknown: phases that are not known here, and that were left out.
        usage: what it has used, once the server said it.
    """

    def __init__(self, *, chat_id: str, model: str | None, created: int, who: str) -> None:
        """A reader.

        Args:
            chat_id: the chat that was asked in.
            model: the model that was asked for; the server names none.
            created: seconds since 1970.
            who: the provider's id, which stands in the conversation's value.
        """
        self.chat_id = chat_id
        self.response_id = ""
        self.answered = False
        self.finished = False
        self.unknown: list[str] = []
        self.usage: Usage | None = None
        self._model = model
        self._created = created
        self._who = who
        self._others: set[str] = set()
        self._answer = Increments()
        self._thought = Increments()
        self._summaries: dict[tuple[str, int], str] = {}
        self._drawn = False  # a picture is whole
        self._spoken = False
        self._counted = False  # the usage is told

    @property
    def conversation(self) -> dict[str, str]:
        """What a later request continues this chat with: `extra_body={"conversation": …}`."""
        return {"provider": self._who, "chat_id": self.chat_id, "parent_id": self.response_id}

    def feed(self, event: Mapping[str, Any]) -> list[ChatChunk]:
        """The chunks of one event; none for what is no part of the answer."""
        if isinstance(created := event.get("response.created"), Mapping):
            self._begins(created)
            return []
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, Mapping) or not self._is_ours(event.get("response_id")):
            return []
        self.usage = _usage(event.get("usage")) or self.usage
        delta = choice.get("delta")
        delta = delta if isinstance(delta, Mapping) else {}
        reasoning, text = self._said(delta)
        finish = self._finish(choice, delta)
        if finish:
            text += self._answer.close()
            reasoning += self._thought.close()
        chunks = [self._chunk(reasoning, text, finish)] if reasoning or text or finish else []
        # Told at once: after its end, an answer may leave the connection open.
        return [*chunks, self._count()] if self.finished and self.usage is not None and not self._counted else chunks

    def concerns(self, event: object) -> bool:
        """Whether an event is not about another candidate."""
        return not isinstance(event, Mapping) or event.get("response_id") not in [*self._others]

    def close(self) -> list[ChatChunk]:
        """What was held back where the stream ends without an end of the answer. A picture alone is one, too."""
        text, reasoning = self._answer.close(), self._thought.close()
        finish = "stop" if self._drawn and not self.finished else None
        self.finished = self.finished or self._drawn
        return [self._chunk(reasoning, text, finish)] if text or reasoning or finish else []

    # What belongs to the answer

    def _begins(self, created: Mapping[str, Any]) -> None:
        """One of perhaps several candidates begins; the first is followed."""
        response_id = str(created.get("response_id") or "")
        if not self.response_id and str(created.get("response_index") or "0") == "0":
            self.response_id = response_id
            self.chat_id = str(created.get("chat_id") or self.chat_id)
        elif response_id != self.response_id:
            self._others.add(response_id)

    def _is_ours(self, response_id: object) -> bool:
        if not isinstance(response_id, str) or not response_id:
            return True
        if not self.response_id and response_id not in self._others:  # nobody has said that it begins
            self.response_id = response_id
        return response_id == self.response_id

    def _said(self, delta: Mapping[str, Any]) -> tuple[str, str]:
        """What an event adds to the reasoning and to the text."""
        phase = delta.get("phase")
        content = delta.get("content")
        content = content if isinstance(content, str) else ""
        if phase == "thinking_summary":
            return self._summarised(delta.get("extra")), ""
        if phase in _THINKING:
            return self._thought.feed(content), ""
        if phase not in (*_ANSWERING, *_DRAWING):
            self._leave_out(phase)
            return "", ""
        self.answered = self.answered or bool(content)
        before = self._thought.close() if content else ""
        return before, self._answer.feed(content)

    def _leave_out(self, phase: object) -> None:
        name = phase if isinstance(phase, str) else type(phase).__name__
        if phase not in _ASIDE and name not in self.unknown and len(self.unknown) < _MOST_UNKNOWN:
            self.unknown.append(name)

    def _summarised(self, extra: object) -> str:
        """What is new in summaries that are told again and again from their beginning."""
        new: list[str] = []
        extra = extra if isinstance(extra, Mapping) else {}
        for index, kind, text in _summaries(extra):
            told = self._summaries.get((kind, index), "")
            if len(text) > len(told) and text.startswith(told):
                gap = "\n" if self._summaries and not told else ""
                new.append(gap + text[len(told) :])
                self._summaries[kind, index] = text
        return "".join(new)

    def _finish(self, choice: Mapping[str, Any], delta: Mapping[str, Any]) -> str | None:
        """The finish reason, once: every phase says `finished`, only the answer's is the end."""
        said = choice.get("finish_reason")
        phase, ended = delta.get("phase"), delta.get("status") == "finished"
        over = ended and phase in _ANSWERING
        self._drawn = self._drawn or (ended and phase in _DRAWING)
        if self.finished or not (over or said):
            return None
        self.finished = True
        return said if isinstance(said, str) else "stop"

    def _chunk(self, reasoning: str, text: str, finish: str | None) -> ChatChunk:
        delta: dict[str, Any] = {}
        if not self._spoken:
            self._spoken = True
            delta["role"] = "assistant"
        if reasoning:
            delta["reasoning_content"] = reasoning
        if text:
            delta["content"] = text
        raw: dict[str, Any] = {
            "id": f"chatcmpl-{self.response_id or self.chat_id}",
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }
        if finish:
            raw["conversation"] = self.conversation
        return ChatChunk(raw)

    def _count(self) -> ChatChunk:
        """The chunk with the usage."""
        self._counted = True
        chunk = ChatChunk.of(usage=self.usage)
        return ChatChunk({**self._chunk("", "", None).raw, "choices": [], "usage": chunk.raw["usage"]})


class Increments:
    """Pieces of a text, whether each is new or the whole text from its beginning.

    Increments are what is asked for, and some captures have the whole text again in each event. Which of the two it
    is shows with the second piece; one that could be either is held back until the third.
    """

    def __init__(self) -> None:
        self._told = ""
        self._held = ""
        self._whole: bool | None = None

    def feed(self, piece: str) -> str:
        """What of a piece is new and certain."""
        if not piece:
            return ""
        if self._whole is None and self._told:
            if self._held:
                self._whole = piece.startswith(self._held)
                held, self._held = self._held, ""
                return self._new(held) + self._new(piece)
            if len(piece) > len(self._told) and piece.startswith(self._told):
                self._held = piece
                return ""
            self._whole = False
        return self._new(piece)

    def close(self) -> str:
        """What was held back: of two pieces the second of which begins with the first, the second is the whole."""
        held, self._held = self._held, ""
        self._whole = True if held else self._whole
        return self._new(held)

    def _new(self, piece: str) -> str:
        if self._whole is False:
            self._told = ""  # nothing is compared with it any more
            return piece
        new = piece[len(self._told) :] if piece.startswith(self._told) else piece
        self._told += new
        return new


def _summaries(extra: Mapping[str, Any]) -> list[tuple[int, str, str]]:
    """(index, kind, text) of each title and each thought, a title before its thought."""
    found = []
    for kind in ("summary_title", "summary_thought"):
        part = extra.get(kind)
        content = part.get("content") if isinstance(part, Mapping) else None
        for index, text in enumerate(content if isinstance(content, list) else ()):
            if isinstance(text, str) and text:
                found.append((index, kind, text))
    return sorted(found, key=lambda one: (one[0], one[1] != "summary_title"))


def _usage(usage: object) -> Usage | None:
    """From `{"input_tokens": 12, "output_tokens": 9, "total_tokens": 21, "output_tokens_details": {…}}`."""
    if not isinstance(usage, Mapping) or not usage:
        return None
    details = usage.get("output_tokens_details")
    cached = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    return Usage(
        prompt_tokens=_count(usage, "input_tokens"),
        completion_tokens=_count(usage, "output_tokens"),
        total_tokens=_count(usage, "total_tokens"),
        reasoning_tokens=_count(details, "reasoning_tokens"),
        cached_tokens=_count(cached, "cached_tokens"),
    )


def _count(mapping: object, name: str) -> int:
    value = mapping.get(name) if isinstance(mapping, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
