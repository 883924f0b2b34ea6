"""XMLToolReader: the chunks of an answer, with the calls that stand in its text as tool_calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from provider_router.chat import ChatChunk, ChatResponse, ToolCall
from provider_router.chat.answer import call_to_wire, read_tool_calls
from provider_router.dialects.openai_chat import assemble
from provider_router.dialects.xml_tools.parser import MOST_LETTERS, XMLToolParser
from provider_router.errors import MalformedAnswer

if TYPE_CHECKING:
    from provider_router.dialects.xml_tools.offer import XMLTools

# Beside these, a finish reason says that the answer was cut from outside, a call in it too.
_BY_ITSELF = ("stop", "tool_calls", "function_call")
_DELTA = 16  # letters that a piece of a call counts beside its arguments


class _Strand:
    """One choice of an answer while it arrives."""

    def __init__(self, parser: XMLToolParser) -> None:
        self.parser = parser
        self.found: list[Mapping[str, Any]] = []  # deltas of calls that the backend has found …
        self.letters = 0  # … and how many they have
        self.calls = 0
        self.over = False

    def delta(self, piece: str | ToolCall) -> dict[str, Any]:
        """A piece as on the wire."""
        if isinstance(piece, str):
            return {"content": piece}
        self.calls += 1
        return {"tool_calls": [{"index": self.calls - 1, **call_to_wire(piece)}]}


class XMLToolReader:
    """Chunks in, chunks out. One in which nothing of a call stands is passed on as it came."""

    def __init__(self, tools: XMLTools, *, who: str) -> None:
        """A reader for one answer.

        Args:
            tools: what the request says of tools.
            who: the provider's id, for messages.
        """
        self._tools = tools
        self._strands: dict[int, _Strand] = {}
        self._who = who
        self._arrival: list[ChatChunk] = []
        self._native = False  # the backend has found a call by itself

    def feed(self, chunk: ChatChunk) -> list[ChatChunk]:
        """The chunks that this one makes, once its whole arrival is here.

        Raises:
            MalformedAnswer: the answer has come to its end in the middle of a call, or a call comes to none.
        """
        self._arrival += self._read(chunk)
        return [] if chunk.more else self._arrived()

    def close(self) -> list[ChatChunk]:
        """What is held back where the stream ends without a finish reason: text, and no half of a call.

        Raises:
            MalformedAnswer: it ends in the middle of a call.
        """
        for index, strand in self._strands.items():
            if not strand.over:
                deltas = [strand.delta(piece) for piece in self._end(strand, None)]
                self._arrival += [_chunk({}, {"index": index}, delta) for delta in deltas]
        return self._arrived()

    def whole(self, answer: ChatResponse) -> ChatResponse:
        """A plain answer.

        Raises:
            MalformedAnswer: it ends in the middle of a call, or a call comes to no end.
        """
        choices = answer.raw.get("choices")
        if not isinstance(choices, list):
            return answer
        read = [self._whole_choice(index, choice) for index, choice in enumerate(choices)]
        if all(new is old for new, old in zip(read, choices)):
            return answer
        return ChatResponse({**answer.raw, "choices": read})

    def _whole_choice(self, index: int, choice: Any) -> Any:
        message = choice.get("message") if isinstance(choice, Mapping) else None
        content = message.get("content") if isinstance(message, Mapping) else None
        if not isinstance(message, Mapping):
            return choice
        strand = self._strand(index)
        finish = choice.get("finish_reason") or "stop"
        said = self._said(strand, content)
        given = read_tool_calls(message.get("tool_calls"))
        pieces = [*said, *self._end(strand, finish), *map(self._checked, given)]
        calls = [call_to_wire(piece) for piece in pieces if isinstance(piece, ToolCall)]
        if not calls:
            return choice
        text = "".join(piece for piece in pieces if isinstance(piece, str))
        message = {**message, "content": text or None, "tool_calls": calls}
        return {**choice, "message": message, "finish_reason": _finish(finish)}

    # Chunk by chunk

    def _arrived(self) -> list[ChatChunk]:
        chunks, self._arrival = self._arrival, []
        for chunk in chunks:
            chunk.more = chunk is not chunks[-1]
        return chunks

    def _strand(self, index: int) -> _Strand:
        if index not in self._strands:
            self._strands[index] = _Strand(self._tools.parser(index))
        return self._strands[index]

    def _said(self, strand: _Strand, content: object) -> Sequence[str | ToolCall]:
        """What a piece of the text completes."""
        pieces = strand.parser.feed(content) if isinstance(content, str) else []
        if strand.parser.cut and not strand.over:
            raise self._without_end(strand.parser.cut)
        return pieces

    def _find(self, strand: _Strand, calls: Sequence[Any]) -> None:
        """Keep pieces of calls that the backend has found until they are whole."""
        for call in calls:
            if isinstance(call, Mapping):
                strand.found.append(call)
                function = call.get("function")
                arguments = function.get("arguments") if isinstance(function, Mapping) else None
                strand.letters += _DELTA + len(arguments if isinstance(arguments, str) else "")
        if strand.letters > MOST_LETTERS:
            raise self._without_end("a tool")

    def _without_end(self, name: str) -> MalformedAnswer:
        return MalformedAnswer(
            f"{self._who} has written a call of {name} that does not end within {MOST_LETTERS} letters",
            provider=self._who,
            detail="tool call without end",
        )

    def _end(self, strand: _Strand, finish: object) -> Sequence[str | ToolCall]:
        strand.over = True
        found = _joined(strand.found) if finish else []  # a stream that is cut may have cut a call, too
        pieces = [*strand.parser.close(whole=finish in _BY_ITSELF), *map(self._checked, found)]
        if strand.parser.cut and (finish in _BY_ITSELF or not finish):
            raise MalformedAnswer(
                f"{self._who} ended its answer in the middle of a call of {strand.parser.cut}",
                provider=self._who,
                detail="tool call cut off",
            )
        return pieces

    def _checked(self, call: ToolCall) -> ToolCall:
        """A call that the backend has found, if the request declares its tool."""
        if (tool := self._tools.declared.get(call.name)) is None:
            raise MalformedAnswer(
                f"{self._who} took <{call.name}> in its answer for the call of a tool, which nobody has declared; "
                "what followed it is lost",
                provider=self._who,
                detail="call of an unknown tool",
            )
        return ToolCall(call.id, call.name, tool.mended(call.arguments))

    def _read(self, chunk: ChatChunk) -> list[ChatChunk]:
        # Inside a JSON string the quotation marks would be escaped: this is a key.
        self._native = self._native or b'"tool_calls"' in chunk.data
        if not self._tools.offered and not self._native:
            return [chunk]
        try:
            raw = chunk.raw
        except ValueError:
            return [chunk]
        choices = raw.get("choices")
        choices = choices if isinstance(choices, list) else []
        frame = {name: value for name, value in raw.items() if name not in ("choices", "usage")}
        read = [self._choice(choice, frame) if isinstance(choice, Mapping) else None for choice in choices]
        if all(made is None for made in read):
            return [chunk]
        found: list[ChatChunk] = []
        for made, choice in zip(read, choices):
            found += [ChatChunk({**frame, "choices": [choice]})] if made is None else made
        if "usage" in raw and found:
            found[-1] = ChatChunk({**found[-1].raw, "usage": raw["usage"]})
        return found

    def _choice(self, choice: Mapping[str, Any], frame: Mapping[str, Any]) -> list[ChatChunk] | None:
        """The chunks of one choice, or None where it stays as it is."""
        delta, finish = choice.get("delta"), choice.get("finish_reason")
        delta = delta if isinstance(delta, Mapping) else {}
        content = delta.get("content")
        index = choice.get("index")
        strand = self._strand(index if isinstance(index, int) else 0)
        pieces = self._said(strand, content)
        calls = delta.get("tool_calls")
        if calls and isinstance(calls, list):
            self._find(strand, calls)
        if finish and not strand.over:
            pieces = [*pieces, *self._end(strand, finish)]
        deltas = [strand.delta(piece) for piece in pieces]
        if pieces == ([content] if content else []) and not calls and not (finish and strand.calls):
            return None
        other = {name: value for name, value in delta.items() if name not in ("content", "tool_calls")}
        if deltas:
            deltas[0] = {**other, **deltas[0]}
        elif other or finish:
            deltas = [other]
        more = {name: value for name, value in choice.items() if name not in ("delta", "finish_reason")}
        found = [_chunk(frame, more, one) for one in deltas]
        if finish:
            found[-1].raw["choices"][0]["finish_reason"] = _finish(finish) if strand.calls else finish
        return found


def _joined(deltas: Sequence[Mapping[str, Any]]) -> list[ToolCall]:
    """The calls that came in pieces."""
    return assemble([ChatChunk({"choices": [{"delta": {"tool_calls": [delta]}}]}) for delta in deltas]).tool_calls


def _finish(finish: object) -> object:
    """The finish reason of an answer with calls."""
    return "tool_calls" if finish in _BY_ITSELF else finish


def _chunk(frame: Mapping[str, Any], choice: Mapping[str, Any], delta: Mapping[str, Any]) -> ChatChunk:
    whole = {**choice, "delta": dict(delta), "finish_reason": None}
    return ChatChunk({"object": "chat.completion.chunk", **frame, "choices": [whole]})
