"""QwenProxyFake: qwen-proxy, which speaks OpenAI's dialect and has errors of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Unpack

from attrs import evolve

from provider_router.backends import CHAT, MODELS, Answer, ErrorWords, Reply, Request, Step, echoes
from provider_router.backends.faults import Outcome
from provider_router.backends.wire import encode, event, response
from provider_router.testing.fakes.chat_qwen import list_items
from provider_router.testing.fakes.openai import OpenAIFake
from provider_router.testing.fakes.spoken_calls import said


class QwenProxyFake(OpenAIFake):
    """The whole answer comes in one piece of a stream, and each has `_qwen_metadata` beside it.

    The calls of an answer are `tool_calls` where the request declares tools; where it does not, they stand in the text,
    as the model wrote them, and the text comes word by word. A request that does not say `stream` is answered with an
    empty text.
    """

    dialect: ClassVar[str] = "qwen-proxy"
    # The error inside a stream has a type that says whose fault it is.
    means: ClassVar[Mapping[str, Outcome]] = {"error-first": "server", "role-then-error": "server"}

    def site(self) -> Mapping[tuple[str, str], Reply]:
        return {("POST", CHAT): echoes(), ("GET", MODELS): self._models}

    def _models(self, request: Request) -> Iterable[Step]:
        return [response(encode({"object": "list", "data": list_items(self.listing.models)}))]

    def whole(self, answer: Answer, request: Request) -> object:
        silent = evolve(answer, text="") if "stream" not in request.fields else answer
        framed = super().whole(said(silent, request), request)
        assert isinstance(framed, dict)
        return framed | {"_qwen_metadata": {"parent_id": f"p-{request.connection}-{request.turn}"}}

    def parts(self, answer: Answer, request: Request) -> Sequence[object]:
        if not request.fields.get("tools"):
            return super().parts(said(answer, request), request)
        deltas: list[dict[str, Any]] = [{"reasoning_content": answer.reasoning}] if answer.reasoning else []
        deltas += [{"content": text}] if (text := answer.text_for(request)) else []
        for index, call in enumerate(answer.tool_calls):
            opening = {"index": index, "id": call.id, "type": "function"}
            deltas.append({"tool_calls": [{**opening, "function": {"name": call.name, "arguments": ""}}]})
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": call.arguments}}]})
        return [answer.chunk(request, delta) for delta in deltas]

    def end(self, answer: Answer, request: Request) -> Sequence[object]:
        return super().end(said(answer, request), request)

    def error(self, message: str, **about: Unpack[ErrorWords]) -> object:
        error = super().error(message, **about)
        if isinstance(error, dict) and isinstance(inner := error.get("error"), dict):
            return {"error": inner | {"error_id": "e-1"}}
        return error

    def error_piece(self, error: object) -> bytes:
        return event({"error": {"message": _text(error), "type": "stream_error"}}) + self.done

    def refuses(self, request: Request) -> Iterable[Step]:
        error = self.error("Qwen credentials are missing.", code="missing_credentials", kind="authentication_error")
        return [response(encode(error), status=401)]


def _text(error: object) -> object:
    inner = error.get("error") if isinstance(error, dict) else error
    return inner.get("message") if isinstance(inner, dict) else inner
