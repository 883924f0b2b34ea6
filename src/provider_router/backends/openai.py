"""What a well-behaved backend says in OpenAI's dialect, plain and streamed, and in LM Studio's beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

from provider_router.backends.wire import DONE, Pause, Reply, Request, Step, encode, event, response, stream

CHAT: Final = "/v1/chat/completions"
COMPLETIONS: Final = "/v1/completions"
EMBEDDINGS: Final = "/v1/embeddings"
MODELS: Final = "/v1/models"
# Backends made from a fixed clock give the same bytes every time.
_CREATED: Final = 1_767_000_000


@frozen(kw_only=True)
class ToolCall:
    """One call of a function that an answer asks for.

    Attributes:
        arguments: JSON as text, as on the wire.
    """

    id: str = "call_1"
    name: str
    arguments: str = "{}"


@frozen(kw_only=True)
class Model:
    """One model that a backend lists.

    Attributes:
        context_length: The window it is loaded with, in tokens (LM Studio's own lists tell it).
        parallel: How many requests it serves at once (LM Studio's own lists tell it).
    """

    id: str
    type: str = "llm"
    loaded: bool = True
    context_length: int = 32_768
    parallel: int = 4
    vision: bool = False
    tools: bool = True


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Return `{"prompt_tokens": n, "completion_tokens": n, "total_tokens": n}`."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def words(text: str) -> list[str]:
    """Cut a text into words that keep the space before them; joined they are the text again."""
    return re.findall(r"\s*\S+|\s+$", text)


def last_user_text(request: Request) -> str:
    """Return the text of the last user message; parts that are no text are left out."""
    for message in reversed(request.fields.get("messages", [])):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content
            return "".join(part.get("text", "") for part in content or [])
    return ""


@frozen(kw_only=True)
class Answer:
    """A reply: one chat answer, plain or as a stream, as the request wants it.

    Attributes:
        text: The text, or how to get it from the request.
        model: The model that is said to have answered; the one asked for if empty.
        tokens: (prompt tokens, completion tokens) to report; estimated from the request and the text if None.
        pace: The pause before each piece of a stream, in seconds.
    """

    text: str | Callable[[Request], str] = ""
    reasoning: str = ""
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: str = "stop"
    model: str = ""
    tokens: tuple[int, int] | None = None
    pace: float = 0.0

    def __call__(self, request: Request) -> Iterator[Step]:
        """Answer the request."""
        if request.streamed:
            yield from stream([*self._paced(request), DONE])
        else:
            yield response(encode(self.body(request)))

    def body(self, request: Request) -> dict[str, Any]:
        """Return the plain answer: `{"choices": [{"message": {...}, "finish_reason": "stop"}], "usage": {...}}`."""
        message: dict[str, Any] = {"role": "assistant", "content": self._text(request)}
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.tool_calls:
            message["tool_calls"] = [_call_to_wire(call) for call in self.tool_calls]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        return self._frame(request, "chat.completion") | {"choices": [choice], "usage": self._usage(request)}

    def deltas(self, request: Request) -> list[dict[str, Any]]:
        """Return what a stream adds step by step, after the role: reasoning, text word by word, tool calls."""
        deltas: list[dict[str, Any]] = [{"reasoning_content": word} for word in words(self.reasoning)]
        deltas += [{"content": word} for word in words(self._text(request))]
        for index, call in enumerate(self.tool_calls):
            opening = _call_to_wire(call) | {"function": {"name": call.name, "arguments": ""}}
            deltas.append({"tool_calls": [{"index": index, **opening}]})
            for piece in re.findall(r"(?s).{1,8}", call.arguments):
                deltas.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        return deltas

    def chunk(self, request: Request, delta: Mapping[str, Any], *, finish_reason: str | None = None) -> dict[str, Any]:
        """Return one chunk of a stream: `{"choices": [{"delta": {...}, "finish_reason": null}]}`."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._frame(request, "chat.completion.chunk") | {"choices": [choice]}

    def opening(self, request: Request) -> bytes:
        """Return the first event of a stream, which names the role and says nothing."""
        return event(self.chunk(request, {"role": "assistant", "content": ""}))

    def pieces(self, request: Request) -> list[bytes]:
        """Return one event for each of `deltas`."""
        return [event(self.chunk(request, delta)) for delta in self.deltas(request)]

    def closing(self, request: Request) -> list[bytes]:
        """Return the event with the finish_reason and, if asked for, the one with the usage; not `[DONE]`."""
        events = [event(self.chunk(request, {}, finish_reason=self.finish_reason))]
        if (request.fields.get("stream_options") or {}).get("include_usage"):
            tail = self._frame(request, "chat.completion.chunk") | {"choices": [], "usage": self._usage(request)}
            events.append(event(tail))
        return events

    def _paced(self, request: Request) -> Iterator[Step]:
        yield self.opening(request)
        for piece in self.pieces(request):
            if self.pace:
                yield Pause(self.pace)
            yield piece
        yield from self.closing(request)

    def _text(self, request: Request) -> str:
        return self.text if isinstance(self.text, str) else self.text(request)

    def _usage(self, request: Request) -> dict[str, int]:
        return usage(*(self.tokens or (len(request.body) // 4 + 1, len(self.deltas(request)))))

    def _frame(self, request: Request, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{request.connection}-{request.turn}",
            "object": kind,
            "created": _CREATED,
            "model": self.model or request.model,
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
    return Answer(text=lambda request: prefix + last_user_text(request), pace=pace)


def calls(name: str, arguments: Mapping[str, object] | str = "{}", *, text: str = "") -> Answer:
    """Return a reply that asks for a call of the function `name`."""
    if not isinstance(arguments, str):
        arguments = encode(dict(arguments)).decode()
    return Answer(text=text, tool_calls=[ToolCall(name=name, arguments=arguments)], finish_reason="tool_calls")


@frozen(kw_only=True)
class Completion:
    """A reply on `/v1/completions`: a text, plain or as a stream."""

    text: str | Callable[[Request], str]

    def __call__(self, request: Request) -> Iterator[Step]:
        """Answer the request."""
        text = self.text if isinstance(self.text, str) else self.text(request)
        if request.streamed:
            pieces = [event(self._frame(request, word, None)) for word in words(text)]
            yield from stream([*pieces, event(self._frame(request, "", "stop")), DONE])
        else:
            counts = usage(len(request.body) // 4 + 1, len(words(text)))
            yield response(encode(self._frame(request, text, "stop") | {"usage": counts}))

    def _frame(self, request: Request, text: str, finish_reason: str | None) -> dict[str, Any]:
        return {
            "id": f"cmpl-{request.connection}-{request.turn}",
            "object": "text_completion",
            "created": _CREATED,
            "model": request.model,
            "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}],
        }


def completes(text: str = "") -> Completion:
    """Return a reply that completes a prompt with this text, or with the prompt itself."""
    return Completion(text=text or (lambda request: str(request.fields.get("prompt", ""))))


def embeds(*, dimensions: int = 4) -> Reply:
    """Return a reply with one vector for each input; its numbers follow from the input's length."""

    def reply(request: Request) -> Iterator[Step]:
        given = request.fields.get("input", "")
        inputs = given if isinstance(given, list) else [given]
        vectors = [
            {"object": "embedding", "index": index, "embedding": [len(str(text)) / (n + 1) for n in range(dimensions)]}
            for index, text in enumerate(inputs)
        ]
        tokens = len(request.body) // 4 + 1
        counts = {"prompt_tokens": tokens, "total_tokens": tokens}
        yield response(encode({"object": "list", "data": vectors, "model": request.model, "usage": counts}))

    return reply


@frozen
class Listing:
    """A reply: what a list of models looks like, at OpenAI's path and at LM Studio's two own ones."""

    models: Sequence[Model] = field(factory=list)

    def __call__(self, request: Request) -> Iterator[Step]:
        """Answer the request as its path wants it."""
        if request.path.startswith("/api/v1/"):
            listed: dict[str, Any] = {"models": [_to_lm_studio_v1(model) for model in self.models]}
        elif request.path.startswith("/api/v0/"):
            listed = {"object": "list", "data": [_to_lm_studio_v0(model) for model in self.models]}
        else:
            items = [{"id": m.id, "object": "model", "created": _CREATED, "owned_by": "backend"} for m in self.models]
            listed = {"object": "list", "data": items}
        yield response(encode(listed))


def lists(*models: Model | str) -> Listing:
    """Return a reply that lists these models."""
    return Listing([Model(id=model) if isinstance(model, str) else model for model in models])


def _call_to_wire(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _to_lm_studio_v0(model: Model) -> dict[str, Any]:
    listed: dict[str, Any] = {
        "id": model.id,
        "object": "model",
        "type": "vlm" if model.vision else model.type,
        "publisher": "backend",
        "arch": "none",
        "compatibility_type": "gguf",
        "quantization": "Q4_K_M",
        "state": "loaded" if model.loaded else "not-loaded",
        "max_context_length": 131_072,
        "capabilities": ["tool_use"] if model.tools else [],
    }
    return listed | ({"loaded_context_length": model.context_length} if model.loaded else {})


def _to_lm_studio_v1(model: Model) -> dict[str, Any]:
    config = {"context_length": model.context_length, "parallel": model.parallel}
    return {
        "type": "embedding" if model.type == "embeddings" else model.type,
        "key": model.id,
        "display_name": model.id,
        "publisher": "backend",
        "architecture": "none",
        "quantization": {"name": "Q4_K_M", "bits_per_weight": 4},
        "size_bytes": 1_000_000,
        "params_string": "1B",
        "loaded_instances": [{"id": model.id, "config": config}] if model.loaded else [],
        "max_context_length": 131_072,
        "format": "gguf",
        "capabilities": {"vision": model.vision, "trained_for_tool_use": model.tools},
    }
