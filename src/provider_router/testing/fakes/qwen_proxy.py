"""QwenProxyFake: qwen-proxy, which speaks OpenAI's dialect and has errors of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from provider_router.backends import Answer, Request, Step
from provider_router.backends.voice import ErrorForm
from provider_router.backends.wire import encode, event, response
from provider_router.testing.fakes.openai import OpenAIFake


class QwenProxyFake(OpenAIFake):
    """The whole answer comes in one piece of a stream, and each has `_qwen_metadata` beside it."""

    dialect: ClassVar[str] = "qwen-proxy"

    def whole(self, answer: Answer, request: Request) -> object:
        framed = super().whole(answer, request)
        assert isinstance(framed, dict)
        return framed | {"_qwen_metadata": {"parent_id": f"p-{request.connection}-{request.turn}"}}

    def parts(self, answer: Answer, request: Request) -> Sequence[object]:
        deltas: list[dict[str, Any]] = [{"content": text}] if (text := answer.text_for(request)) else []
        for index, call in enumerate(answer.tool_calls):
            opening = {"index": index, "id": call.id, "type": "function"}
            deltas.append({"tool_calls": [{**opening, "function": {"name": call.name, "arguments": ""}}]})
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": call.arguments}}]})
        return [answer.chunk(request, delta) for delta in deltas]

    def error(
        self,
        message: str,
        *,
        code: str | int | None = None,
        kind: str = "error",
        param: str | None = None,
        form: ErrorForm = "object",
    ) -> object:
        error = super().error(message, code=code, kind=kind, param=param, form=form)
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
