"""Ollama on loopback, scripted as any third party does it: a blank fake, and how an answer looks in its dialect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from provider_router.backends import Answer, Reply, Request, Step, Wire, echoes, says
from provider_router.backends.answer import words
from provider_router.backends.wire import encode, response
from provider_router.plugin import decode
from provider_router.testing import LinesFake

CREATED = "2026-01-05T10:00:00.123456Z"


class OllamaFake(LinesFake):
    """Ollama 0.12: a stream unless `stream` is false, tool calls whole, errors as texts."""

    dialect = "ollama"
    chat_paths = ("/api/chat",)
    lacks = LinesFake.lacks | {Wire.CODES}

    def site(self) -> Mapping[tuple[str, str], Reply]:
        return {
            ("POST", "/api/chat"): echoes(),
            ("POST", "/api/embed"): self.embeddings,
            ("GET", "/api/tags"): self.tags,
            ("GET", "/api/ps"): self.running,
            ("GET", "/api/version"): says({"version": "0.12.6"}),
        }

    def streamed(self, request: Request) -> bool:
        return request.fields.get("stream", True) is True

    def said(self, request: Request, answer: Answer, message: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        model = answer.model or request.model
        said = {"model": model, "created_at": CREATED, "message": {"role": "assistant", **message}, "done": False}
        return {**answer.extra, **said, **more}

    def ending(self, request: Request, answer: Answer) -> dict[str, Any]:
        prompt, completion = answer.tokens_for(request)
        reason = "stop" if answer.finish_reason == "tool_calls" else answer.finish_reason
        counts = {"prompt_eval_count": prompt, "eval_count": completion}
        return {"done": True, "done_reason": reason, "total_duration": 4883583458, "load_duration": 1334875, **counts}

    def whole(self, answer: Answer, request: Request) -> object:
        message: dict[str, Any] = {"content": answer.text_for(request)}
        if answer.reasoning:
            message["thinking"] = answer.reasoning
        if answer.tool_calls:
            message["tool_calls"] = calls_of(answer)
        return self.said(request, answer, message, **self.ending(request, answer))

    def begin(self, answer: Answer, request: Request) -> Sequence[object]:
        return []

    def parts(self, answer: Answer, request: Request) -> Sequence[object]:
        thoughts = [self.said(request, answer, {"content": "", "thinking": word}) for word in words(answer.reasoning)]
        texts = [self.said(request, answer, {"content": word}) for word in words(answer.text_for(request))]
        calls = [self.said(request, answer, {"content": "", "tool_calls": [call]}) for call in calls_of(answer)]
        return [*thoughts, *texts, *calls]

    def end(self, answer: Answer, request: Request) -> Sequence[object]:
        return [self.said(request, answer, {"content": ""}, **self.ending(request, answer))]

    def error(self, message: str, **_: Any) -> object:
        return {"error": message}

    def tags(self, request: Request) -> Iterator[Step]:
        details = {"format": "gguf", "family": "llama", "parameter_size": "3.2B", "quantization_level": "Q4_K_M"}
        listed = [
            {"name": model.id, "model": model.id, "size": 2_019_393_189, "digest": "a80c4f17", "details": details}
            for model in self.listing.models
        ]
        yield response(encode({"models": listed or None}))

    def running(self, request: Request) -> Iterator[Step]:
        loaded = [
            {"name": model.id, "model": model.id, "size_vram": 7, "context_length": model.context_length}
            for model in self.listing.models
            if model.loaded
        ]
        yield response(encode({"models": loaded}))

    def embeddings(self, request: Request) -> Iterator[Step]:
        given = request.json["input"]
        texts = given if isinstance(given, list) else [given]
        vectors = [[len(text) / (n + 1) for n in range(4)] for text in texts]
        yield response(encode({"model": request.model, "embeddings": vectors, "prompt_eval_count": 8}))


def calls_of(answer: Answer) -> list[dict[str, Any]]:
    return [{"function": {"name": call.name, "arguments": decode(call.arguments)}} for call in answer.tool_calls]
