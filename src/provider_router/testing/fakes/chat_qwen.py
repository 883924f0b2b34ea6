"""ChatQwenFake: the web protocol of chat.qwen.ai: chats, completions in phases, errors in answers of status 200."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Unpack

from provider_router.backends import Answer, ErrorWords, Model, Reply, Request, Step, Wire, echoes
from provider_router.backends.answer import words
from provider_router.backends.faults import Outcome
from provider_router.backends.wire import encode, event, response, stream
from provider_router.testing.fakes.fake import Fake
from provider_router.testing.fakes.spoken_calls import said

NEW = "/api/v2/chats/new"
COMPLETIONS = "/api/v2/chat/completions"
STOP = "/api/v2/chat/completions/stop"
MODELS = "/api/models"


class ChatQwenFake(Fake):
    """A new chat, then a completion in it, always streamed; the answer's phases are thinking and answering.

    Attributes:
        key: What `bx-umidtoken`, `authorization` or a cookie has to show.
    """

    dialect: ClassVar[str] = "chat-qwen"
    # The site loads no models.
    means: ClassVar[Mapping[str, Outcome]] = {"503-loading": "server"}
    # No [DONE]; whole answers are put together from a stream; tools are the caller's XML in the text.
    # An answer names no model, and the site's own events have fields of which OpenAI's chunks have no like.
    lacks: ClassVar[frozenset[Wire]] = frozenset({Wire.DONE, Wire.PLAIN, Wire.TOOL_DELTAS, Wire.MODEL, Wire.EXTRA})
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
        shown = "".join(request.headers.get(name, "") for name in ("bx-umidtoken", "authorization", "cookie"))
        return not self.key or self.key in shown

    def refuses(self, request: Request) -> Iterable[Step]:
        return [response(encode(self.error("Token has expired.", code="Unauthorized")), status=401)]

    def streamed(self, request: Request) -> bool:
        return True

    def begin(self, answer: Answer, request: Request) -> Sequence[object]:
        return [created(chat_id=request.query.removeprefix("chat_id="))]

    def parts(self, answer: Answer, request: Request) -> Sequence[object]:
        thoughts = [piece(word, phase="think") for word in words(answer.reasoning)]
        if thoughts:
            thoughts.append(piece(phase="think", status="finished"))
        return [*thoughts, *(piece(word) for word in words(said(answer, request).text_for(request)))]

    def end(self, answer: Answer, request: Request) -> Sequence[object]:
        prompt, completion = answer.tokens_for(request)
        counts = {"input_tokens": prompt, "output_tokens": completion, "total_tokens": prompt + completion}
        last = piece(status="finished", usage=counts)
        if answer.finish_reason not in (None, "stop", "tool_calls"):
            last["choices"][0]["finish_reason"] = answer.finish_reason
        return [last]

    def error(self, message: str, **about: Unpack[ErrorWords]) -> object:
        return {
            "success": False,
            "request_id": "q1",
            "data": {"code": about.get("code") or "Unknown", "details": message},
        }

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


def created(*, chat_id: str = "c-1", response_id: str = "r-1", index: str = "0") -> dict[str, Any]:
    """The event with which an answer begins; several candidates have an index each."""
    ids = {"chat_id": chat_id, "parent_id": "u-1", "response_id": response_id, "response_index": index}
    return {"response.created": ids}


def piece(
    text: str = "",
    *,
    phase: str | None = "answer",
    status: str = "typing",
    response_id: str = "r-1",
    usage: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One event of an answer."""
    delta: dict[str, Any] = {"role": "assistant", "content": text, "status": status}
    if phase is not None:
        delta["phase"] = phase
    if extra is not None:
        delta["extra"] = extra
    return {
        "choices": [{"delta": delta}],
        "response_id": response_id,
        **({"usage": usage} if usage is not None else {}),
    }


def tells(*events: Mapping[str, Any] | Step) -> Reply:
    """Return a reply that streams these events; what is no mapping is a step as it stands."""
    return lambda request: stream([event(one) if isinstance(one, Mapping) else one for one in events])
