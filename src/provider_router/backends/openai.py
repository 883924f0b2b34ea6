"""What a well-behaved OpenAI-speaking backend says beside chats: completions, vectors, lists (LM Studio's too)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from attrs import field, frozen

from provider_router.backends.answer import words
from provider_router.backends.voice import CREATED, usage
from provider_router.backends.wire import DONE, Reply, Request, Step, encode, event, response, stream

CHAT: Final = "/v1/chat/completions"
COMPLETIONS: Final = "/v1/completions"
EMBEDDINGS: Final = "/v1/embeddings"
MODELS: Final = "/v1/models"


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
            "created": CREATED,
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
            items = [{"id": m.id, "object": "model", "created": CREATED, "owned_by": "backend"} for m in self.models]
            listed = {"object": "list", "data": items}
        yield response(encode(listed))


def lists(*models: Model | str) -> Listing:
    """Return a reply that lists these models."""
    return Listing([Model(id=model) if isinstance(model, str) else model for model in models])


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
