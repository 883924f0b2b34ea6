"""chat.qwen.ai as the tests have it: a scripted site on loopback, and a provider with short limits."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from provider_router.backends import Reply, Request, Step, event
from provider_router.backends.server import Server
from provider_router.backends.wire import encode, response, stream
from provider_router_qwen_direct import QwenDirect

TOKEN = "T2gAsynthetic-umid-0001"
COOKIES = "cna=abcdefghij; token=eyJsynthetic.jwt.x; acw_tc=0a0b0c0d0e"

NEW = "/api/v2/chats/new"
COMPLETIONS = "/api/v2/chat/completions"
STOP = "/api/v2/chat/completions/stop"
MODELS = "/api/models"


def delta(content: str = "", phase: str | None = "answer", status: str = "typing", **more: Any) -> dict[str, Any]:
    """An event of a stream."""
    said = {"role": "assistant", "content": content, "status": status, **({"phase": phase} if phase else {})}
    response_id = more.pop("response_id", "r-01")
    usage = more.pop("usage", None)
    return {
        "choices": [{"delta": {**said, **more}}],
        "response_id": response_id,
        **({"usage": usage} if usage else {}),
    }


def created(chat_id: str = "c-0001", response_id: str = "r-01", index: str = "0") -> dict[str, Any]:
    return {
        "response.created": {
            "chat_id": chat_id,
            "parent_id": "u-01",
            "response_id": response_id,
            "response_index": index,
        }
    }


def text_events(*texts: str, chat_id: str = "c-0001", response_id: str = "r-01") -> list[dict[str, Any]]:
    """A whole answer of these pieces, with its usage."""
    usage = {"input_tokens": 1012, "output_tokens": 9, "total_tokens": 1021}
    return [
        created(chat_id, response_id),
        *(delta(text, response_id=response_id) for text in texts),
        delta(status="finished", response_id=response_id, usage=usage),
    ]


def tells(events: Iterable[Mapping[str, Any] | Step]) -> Reply:
    """A reply that streams these events; what is no mapping is a step as it stands."""
    steps = [event(one) if isinstance(one, Mapping) else one for one in events]
    return lambda request: stream(steps)


def says(*texts: str) -> Reply:
    """A reply that answers with these pieces."""

    def reply(request: Request) -> Iterable[Step]:
        chat_id = request.query.removeprefix("chat_id=")
        return stream([event(one) for one in text_events(*texts, chat_id=chat_id)])

    return reply


def json_reply(body: object, status: int = 200) -> Reply:
    return lambda request: [response(encode(body), status=status)]


def page(text: str, status: int = 200) -> Reply:
    return lambda request: [response(text.encode(), status=status, content_type="text/html")]


class Site(Server):
    """The site: new chats, completions by script, stops, a model list. `with Site() as site: …`"""

    def __init__(self, *replies: Reply) -> None:
        super().__init__(self._reply)
        self._completions: list[Reply] = list(replies) or [says("Hello.")]
        self.others: dict[str, Reply] = {}
        self._numbers = itertools.count(1)

    def script(self, *replies: Reply, path: str = COMPLETIONS) -> None:
        if path == COMPLETIONS:
            self._completions = list(replies)
        else:
            self.others[path] = replies[0]

    def asked(self, path: str = COMPLETIONS) -> list[Request]:
        return [request for request in self.requests if request.path == path]

    def _reply(self, request: Request) -> Iterable[Step]:
        if reply := self.others.get(request.path):
            return reply(request)
        if request.path == NEW:
            chat = {"success": True, "request_id": "q1", "data": {"id": f"c-{next(self._numbers):04}"}}
            return [response(encode(chat))]
        if request.path == COMPLETIONS:
            replies = self._completions
            return (replies.pop(0) if len(replies) > 1 else replies[0])(request)
        if request.path == STOP:
            return [response(encode({"success": True}))]
        if request.path == MODELS:
            return [response(encode({"data": [model("qwen3-max"), model("qwen3-vl-plus")]}))]
        return [response(encode({"success": False, "data": {"code": "Not_Found", "details": "no"}}), status=404)]


def model(id: str, *, active: bool = True, kinds: Sequence[str] = ("t2t",)) -> dict[str, Any]:
    meta = {"max_context_length": 262144, "chat_type": list(kinds)}
    return {"id": id, "object": "model", "owned_by": "qwen", "info": {"is_active": active, "meta": meta}}


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as running:
        yield running


@pytest.fixture
async def provider(site: Site) -> AsyncIterator[QwenDirect]:
    made = quick(site.url)
    yield made
    await made.aclose()


@pytest.fixture
def make() -> Callable[[str], QwenDirect]:
    return quick


def quick(base_url: str, **options: Any) -> QwenDirect:
    return QwenDirect("qwen", base_url=base_url, token=TOKEN, cookies=COOKIES, connect_timeout=0.5, **options)
