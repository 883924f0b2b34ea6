"""Answer: what a well-behaved backend says to a chat request, whatever its dialect."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from provider_router.backends.voice import CREATED, call_to_wire, voice_of
from provider_router.backends.wire import Pause, Request, Step, encode


@frozen(kw_only=True)
class ToolCall:
    """One call of a function that an answer asks for.

    Attributes:
        arguments: JSON as text, as on the wire.
    """

    id: str = "call_1"
    name: str
    arguments: str = "{}"


def words(text: str) -> list[str]:
    """Cut a text into words that keep the space before them; joined they are the text again."""
    return re.findall(r"\s*\S+|\s+$", text)


@frozen(kw_only=True)
class Answer:
    """A reply: one chat answer, plain or as a stream, as the request wants it, in the dialect of its backend.

    Attributes:
        text: The text, or how to get it from the request.
        model: The model that is said to have answered; the one asked for if empty.
        tokens: (prompt tokens, completion tokens) to report; estimated from the request and the text if None.
        pace: The pause before each piece of a stream, in seconds.
        extra: Further fields of a whole answer and of each piece of a stream, which no dialect knows.
    """

    text: str | Callable[[Request], str] = ""
    reasoning: str = ""
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: str = "stop"
    model: str = ""
    tokens: tuple[int, int] | None = None
    pace: float = 0.0
    extra: Mapping[str, object] = {}

    def __call__(self, request: Request) -> Iterator[Step]:
        """Answer the request."""
        return voice_of(request).says(self, request)

    def text_for(self, request: Request) -> str:
        """Return the text that answers the request."""
        return self.text if isinstance(self.text, str) else self.text(request)

    def tokens_for(self, request: Request) -> tuple[int, int]:
        """Return (prompt tokens, completion tokens)."""
        return self.tokens or (len(request.body) // 4 + 1, len(self.deltas(request)))

    # As it goes over the wire

    def body(self, request: Request) -> bytes:
        """Return the plain answer."""
        return voice_of(request).body(self, request)

    def opening(self, request: Request) -> bytes:
        """Return what a stream begins with and what says nothing; empty if the dialect has nothing of the kind."""
        voice = voice_of(request)
        return b"".join(voice.piece(part) for part in voice.begin(self, request))

    def pieces(self, request: Request) -> list[bytes]:
        """Return the pieces of a stream that add up to the answer."""
        voice = voice_of(request)
        return [voice.piece(part) for part in voice.parts(self, request)]

    def closing(self, request: Request) -> list[bytes]:
        """Return the pieces that say why the stream ends and, if it is told, what was used; not the mark after them."""
        voice = voice_of(request)
        return [voice.piece(part) for part in voice.end(self, request)]

    def paced(self, request: Request) -> Iterator[Step]:
        """Return the whole stream, with its pauses."""
        if opening := self.opening(request):
            yield opening
        for piece in self.pieces(request):
            if self.pace:
                yield Pause(self.pace)
            yield piece
        yield from self.closing(request)
        if done := voice_of(request).done:
            yield done

    # In OpenAI's dialect, which others may share in part

    def deltas(self, request: Request) -> list[dict[str, Any]]:
        """Return what a stream adds step by step, after the role: reasoning, text word by word, tool calls."""
        deltas: list[dict[str, Any]] = [{"reasoning_content": word} for word in words(self.reasoning)]
        deltas += [{"content": word} for word in words(self.text_for(request))]
        for index, call in enumerate(self.tool_calls):
            opening = {**call_to_wire(call), "function": {"name": call.name, "arguments": ""}}
            deltas.append({"tool_calls": [{"index": index, **opening}]})
            for piece in re.findall(r"(?s).{1,8}", call.arguments):
                deltas.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        return deltas

    def chunk(self, request: Request, delta: Mapping[str, Any], *, finish_reason: str | None = None) -> dict[str, Any]:
        """Return one chunk of a stream: `{"choices": [{"delta": {...}, "finish_reason": null}]}`."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self.frame(request, "chat.completion.chunk") | {"choices": [choice]}

    def frame(self, request: Request, kind: str) -> dict[str, Any]:
        """Return what surrounds the choices: `{"id": …, "object": kind, "created": …, "model": …}`."""
        return {
            "id": f"chatcmpl-{request.connection}-{request.turn}",
            "object": kind,
            "created": CREATED,
            "model": self.model or request.model,
            **self.extra,
        }


def answers(
    text: str,
    *,
    reasoning: str = "",
    finish_reason: str = "stop",
    model: str = "",
    tokens: tuple[int, int] | None = None,
    pace: float = 0.0,
) -> Answer:
    """Return a reply that says this text."""
    return Answer(text=text, reasoning=reasoning, finish_reason=finish_reason, model=model, tokens=tokens, pace=pace)


def echoes(*, prefix: str = "echo: ", pace: float = 0.0) -> Answer:
    """Return a reply that says what the last user message said."""
    return Answer(text=lambda request: prefix + voice_of(request).asked(request), pace=pace)


def calls(name: str, arguments: Mapping[str, object] | str = "{}", *, text: str = "") -> Answer:
    """Return a reply that asks for a call of the function `name`."""
    if not isinstance(arguments, str):
        arguments = encode(dict(arguments)).decode()
    return Answer(text=text, tool_calls=[ToolCall(name=name, arguments=arguments)], finish_reason="tool_calls")
