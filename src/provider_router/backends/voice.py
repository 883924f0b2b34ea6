"""Voice: how a backend says an answer or an error. This one speaks OpenAI's dialect; a subclass says it in its own."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypedDict, Unpack

from provider_router.backends.wire import DONE, Request, Step, encode, event, response, stream

if TYPE_CHECKING:
    from provider_router.backends.answer import Answer, ToolCall

# Backends made from a fixed clock give the same bytes every time.
CREATED: Final = 1_767_000_000

ErrorForm = Literal["object", "string", "detail"]


class ErrorWords(TypedDict, total=False):
    """What an error says beside its text for people.

    Attributes:
        code: The code for programs; the form "object" only.
        kind: OpenAI's second code for programs, `error` unless given; the form "object" only.
        param: The field at fault; the form "object" only.
        form: "object" (unless given) is `{"error": {"message": …, "type": …, "param": …, "code": …}}`, "string" is
            `{"error": "…"}`, "detail" is `{"detail": "…"}`.
    """

    code: str | int | None
    kind: str
    param: str | None
    form: ErrorForm


class Wire(enum.Enum):
    """What most dialects have, and a fault may need. A voice names what its dialect lacks."""

    HTTP = "requests over HTTP"
    JSON = "answers in JSON"
    EVENTS = "server-sent events"
    CODES = "codes for programs in its errors"
    STREAM_ERRORS = "errors inside a stream"
    PREAMBLE = "pieces of a stream that say nothing yet"
    FINISH = "a word at the end of a stream for why it ends"
    DONE = "a mark after the last piece of a stream"
    TOOL_DELTAS = "tool calls in pieces"
    PLAIN = "whole answers beside streams"
    MODEL = "the name of a model in requests and answers"
    USAGE = "the tokens of prompt and answer"
    REASONING = "reasoning beside the text"
    LENGTH = "an end for want of tokens"
    HISTORY = "more than the last message of a conversation"
    PARAMETERS = "parameters such as the temperature"
    EXTRA = "fields that nobody knows in an answer"


class Voice:
    """How a backend says things.

    A dialect of its own is a subclass that overrides `whole`, `begin`, `parts`, `end`, and what else is not as
    OpenAI has it. All that a backend can do wrong is said with these.

    Attributes:
        dialect: Its name.
        lacks: What the dialect has not.
        stream_type: The content type of a stream.
        done: What comes after the last piece of a stream; empty if nothing does.
        ping: A piece of a stream that is no part of the answer; empty if there is none.
    """

    dialect: ClassVar[str] = "openai"
    lacks: ClassVar[frozenset[Wire]] = frozenset()
    stream_type: ClassVar[str] = "text/event-stream"
    done: ClassVar[bytes] = DONE
    ping: ClassVar[bytes] = b": ping\n\n"

    # What a request wants

    def streamed(self, request: Request) -> bool:
        """Whether the answer is to be a stream."""
        return request.fields.get("stream") is True

    def asked(self, request: Request) -> str:
        """The text of the last user message; parts that are no text are left out."""
        for message in reversed(request.fields.get("messages", [])):
            if message.get("role") == "user":
                content = message.get("content")
                if isinstance(content, str):
                    return content
                return "".join(part.get("text", "") for part in content or [])
        return ""

    # How an answer looks

    def whole(self, answer: Answer, request: Request) -> object:
        """The JSON of a whole answer: `{"choices": [{"message": {...}, "finish_reason": "stop"}], "usage": {...}}`."""
        message: dict[str, Any] = {"role": "assistant", "content": answer.text_for(request)}
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        if answer.tool_calls:
            message["tool_calls"] = [call_to_wire(call) for call in answer.tool_calls]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
        framed = answer.frame(request, "chat.completion")
        return framed | {"choices": [choice], "usage": usage(*answer.tokens_for(request))}

    def begin(self, answer: Answer, request: Request) -> Sequence[object]:
        """The JSON pieces that a stream begins with and that say nothing: here the one that names the role."""
        return [answer.chunk(request, {"role": "assistant", "content": ""})]

    def parts(self, answer: Answer, request: Request) -> Sequence[object]:
        """The JSON pieces that add up to the answer: reasoning, text word by word, tool calls."""
        return [answer.chunk(request, delta) for delta in answer.deltas(request)]

    def end(self, answer: Answer, request: Request) -> Sequence[object]:
        """The JSON pieces that tell why the stream ends and, if asked for, what it used."""
        pieces: list[object] = [answer.chunk(request, {}, finish_reason=answer.finish_reason)]
        if (request.fields.get("stream_options") or {}).get("include_usage"):
            counts = usage(*answer.tokens_for(request))
            pieces.append(answer.frame(request, "chat.completion.chunk") | {"choices": [], "usage": counts})
        return pieces

    # How an error looks

    def error(self, message: str, **about: Unpack[ErrorWords]) -> object:
        """The JSON of an error.

        Args:
            message: The text for people.
            about: What it says beside that. A dialect with one form of its own takes no notice of `form`.
        """
        match about.get("form"):
            case "string":
                return {"error": message}
            case "detail":
                return {"detail": message}
        words = {"type": about.get("kind", "error"), "param": about.get("param"), "code": about.get("code")}
        return {"error": {"message": message, **words}}

    def error_piece(self, error: object) -> bytes:
        """An error as a piece of a stream."""
        return event(error, name="error")

    # How pieces are framed

    def piece(self, data: object) -> bytes:
        """One piece of a stream; bytes are taken as they are, anything else becomes JSON."""
        return event(data.decode() if isinstance(data, bytes) else data)

    def body(self, answer: Answer, request: Request) -> bytes:
        """A whole answer as it goes over the wire."""
        return encode(self.whole(answer, request))

    # What follows from all that

    def says(self, answer: Answer, request: Request) -> Iterator[Step]:
        """The answer, plain or as a stream, as the request wants it."""
        if self.streamed(request):
            yield from self.stream(answer.paced(request))
        else:
            yield response(self.body(answer, request))

    def stream(self, pieces: Iterator[Step] | Sequence[Step], *, content_type: str | None = None) -> Iterator[Step]:
        """A stream of these pieces."""
        return stream(pieces, content_type=content_type or self.stream_type)


OPENAI: Final = Voice()


def voice_of(request: Request) -> Voice:
    """The voice of the backend that got the request."""
    return request.voice or OPENAI


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Return `{"prompt_tokens": n, "completion_tokens": n, "total_tokens": n}`."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def call_to_wire(call: ToolCall) -> Mapping[str, Any]:
    """Return `{"id": …, "type": "function", "function": {"name": …, "arguments": "{…}"}}`."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
