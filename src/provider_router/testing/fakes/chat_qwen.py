"""ChatQwenFake: the web protocol of chat.qwen.ai: chats, completions in phases, errors in answers of status 200."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from provider_router.backends import Answer, Model, Reply, Request, Step, Wire, echoes
from provider_router.backends.answer import words
from provider_router.backends.voice import ErrorForm
from provider_router.backends.wire import encode, event, response
from provider_router.testing.fakes.fake import Fake

NEW = "/api/v2/chats/new"
COMPLETIONS = "/api/v2/chat/completions"
STOP = "/api/v2/chat/completions/stop"
MODELS = "/api/models"


class ChatQwenFake(Fake):
    """A new chat, then a completion in it, always streamed; the answer's phases are thinking and answering.

    Attributes:
        key: The token that `authorization` or the cookie `token` has to show.
    """

    dialect: ClassVar[str] = "chat-qwen"
    # No [DONE]; whole answers are put together from a stream; tools are the caller's XML in the text.
    lacks: ClassVar[frozenset[Wire]] = frozenset({Wire.DONE, Wire.PLAIN, Wire.TOOL_DELTAS})
    done: ClassVar[bytes] = b""
    ping: ClassVar[bytes] = b"event: ping\n\n"
    key_option: ClassVar[str] = "token"
    chat_paths = (COMPLETIONS,)

    def site(self) -> Mapping[tuple[str, str], Reply]:
        return {
            ("POST", NEW): self._new_chat,
            ("POST", COMPLETIONS): echoes(),
            ("POST", STOP): lambda request: [response(encode({"success": True}))],
            ("GET", MODELS): self._models,
        }

    def _new_chat(self, request: Request) -> Iterable[Step]:
        chat = {"id": f"c-{request.connection}-{request.turn}"}
        return [response(encode({"success": True, "request_id": "q1", "data": chat}))]

    def _models(self, request: Request) -> Iterable[Step]:
        return [response(encode({"data": list_items(self.listing.models)}))]

    def admits(self, request: Request) -> bool:
        shown = request.headers.get("authorization", "") + request.headers.get("cookie", "")
        return not self.key or self.key in shown

    def refuses(self, request: Request) -> Iterable[Step]:
        return [response(encode(self.error("Token has expired.", code="Unauthorized")), status=401)]

    def streamed(self, request: Request) -> bool:
        return True

    def begin(self, answer: Answer, request: Request) -> Sequence[object]:
        created = {"chat_id": "c-1", "parent_id": "u-1", "response_id": "r-1", "response_index": "0"}
        return [{"response.created": created}]

    def parts(self, answer: Answer, request: Request) -> Sequence[object]:
        thoughts = [_piece("think", word) for word in words(answer.reasoning)]
        if thoughts:
            thoughts.append(_piece("think", "", status="finished"))
        return [*thoughts, *(_piece("answer", word) for word in words(answer.text_for(request)))]

    def end(self, answer: Answer, request: Request) -> Sequence[object]:
        prompt, completion = answer.tokens_for(request)
        counts = {"input_tokens": prompt, "output_tokens": completion, "total_tokens": prompt + completion}
        return [{**_piece("answer", "", status="finished"), "usage": counts}]

    def error(
        self,
        message: str,
        *,
        code: str | int | None = None,
        kind: str = "error",
        param: str | None = None,
        form: ErrorForm = "object",
    ) -> object:
        return {"success": False, "request_id": "q1", "data": {"code": code or "Bad_Request", "details": message}}

    def error_piece(self, error: object) -> bytes:
        data = error.get("data") if isinstance(error, dict) else {}
        return event({"error": data, "response_id": "r-1"})


def list_items(models: Sequence[Model]) -> list[dict[str, object]]:
    """The items of a list of models, as chat.qwen.ai has them."""
    said = {"thinking": True, "vision": False, "search": True}
    return [
        {
            "id": model.id,
            "name": model.id,
            "object": "model",
            "owned_by": "qwen",
            "info": {
                "meta": {"capabilities": said, "max_context_length": model.context_length, "chat_type": ["t2t"]},
                "is_active": True,
            },
        }
        for model in models
    ]


def _piece(phase: str, text: str, *, status: str = "typing") -> dict[str, object]:
    delta = {"role": "assistant", "content": text, "phase": phase, "status": status}
    return {"choices": [{"delta": delta}], "response_id": "r-1"}
