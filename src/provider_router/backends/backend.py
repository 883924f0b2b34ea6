"""A scripted backend: it speaks OpenAI's dialect well, until it is told to do something else."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

from attrs import evolve

from provider_router.backends.answer import echoes
from provider_router.backends.openai import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    MODELS,
    Model,
    completes,
    embeds,
    lists,
)
from provider_router.backends.server import Server
from provider_router.backends.voice import OPENAI, Voice
from provider_router.backends.wire import Reply, Request, Step, encode, response

EVERY_PATH: Final = "*"

Dialect = Literal["openai", "lm-studio"]


class Backend(Server):
    """A small OpenAI-speaking backend on a free port of 127.0.0.1, for the length of a `with` block.

    With no reply given it echoes the last user message. Scripted replies are used in order, one for each request,
    and the last one for all that follow:

        with Backend(status(503), answers("Hello")) as backend:
            ...  # configure a provider with backend.base_url
            backend.script(silent())
            assert backend.requests[0].json["model"] == "small-model"

    Attributes:
        key: What a caller must show, if not empty.
        listing: The models that it lists.
        voice: How it says answers and errors.
        chat_paths: Where it is asked to chat; the script of the first one is that of all.
    """

    voice: Voice = OPENAI
    chat_paths: tuple[str, ...] = (CHAT,)

    def __init__(
        self,
        *replies: Reply,
        models: Sequence[Model | str] = ("small-model",),
        api_key: str = "",
        dialect: Dialect = "openai",
        port: int = 0,
        scheme: str = "http",
        greeting: bytes = b"",
    ) -> None:
        """Prepare a backend.

        Args:
            replies: The script of the chat path.
            models: What it lists; the first one answers a request that names none.
            api_key: What a caller must show as a bearer token, if not empty.
            dialect: "lm-studio" adds LM Studio's own model lists, and answers an unknown path as LM Studio does: 200
                with an error text.
            port: The port to listen on; 0 takes a free one.
            scheme: What `url` begins with. No TLS is spoken: with "https" every handshake fails.
            greeting: What a caller is sent before it has said anything; it gets nothing else then.
        """
        super().__init__(self._reply_to_request, port=port, scheme=scheme, greeting=greeting)
        self.key = api_key
        self._dialect: Dialect = dialect
        self.listing = lists(*models)
        self._default_model = self.listing.models[0].id if self.listing.models else ""
        self._site: Mapping[tuple[str, str], Reply] | None = None
        self._scripts: dict[str, list[Reply]] = {}
        self._guard = threading.Lock()
        if replies:
            self.script(*replies)

    def script(self, *replies: Reply, path: str | None = None) -> None:
        """Say what the next requests get; what was left of an earlier script of that path is forgotten.

        Args:
            replies: One for each request; the last one also for all that follow. None: the path behaves well again.
            path: Which path, the chats' unless given; `EVERY_PATH` means each that has no script of its own.
        """
        with self._guard:
            self._scripts[self.chat_paths[0] if path is None else path] = list(replies)

    def site(self) -> Mapping[tuple[str, str], Reply]:
        """What it does at each method and path where nothing was scripted: `{("POST", "/v1/chat/completions"): …}`."""
        site: dict[tuple[str, str], Reply] = {
            ("POST", CHAT): echoes(),
            ("POST", COMPLETIONS): completes(),
            ("POST", EMBEDDINGS): embeds(),
            ("GET", MODELS): self.listing,
        }
        if self._dialect == "lm-studio":
            site |= {("GET", "/api/v0/models"): self.listing, ("GET", "/api/v1/models"): self.listing}
        return site

    def admits(self, request: Request) -> bool:
        """Whether the request shows the key, if one is wanted."""
        return not self.key or request.headers.get("authorization") == f"Bearer {self.key}"

    def refuses(self, request: Request) -> Iterable[Step]:
        """What a request gets that shows no key, or a wrong one."""
        return [_unauthorized(self._dialect)]

    def unknown(self, request: Request) -> Iterable[Step]:
        """What a request gets at a path that is none."""
        return _unknown_path(request, self._dialect)

    def _reply_to_request(self, request: Request) -> Iterable[Step]:
        request = evolve(request, default_model=self._default_model, voice=self.voice)
        if not self.admits(request):
            return self.refuses(request)
        if self._site is None:
            self._site = self.site()
        reply = self._next_scripted(request.path) or self._site.get((request.method, request.path))
        return self.unknown(request) if reply is None else reply(request)

    def _next_scripted(self, path: str) -> Reply | None:
        if path in self.chat_paths:
            path = self.chat_paths[0]
        with self._guard:
            script = self._scripts.get(path) or self._scripts.get(EVERY_PATH)
            if not script:
                return None
            return script.pop(0) if len(script) > 1 else script[0]


def _unauthorized(dialect: Dialect) -> bytes:
    error: dict[str, object] = {"message": "Incorrect API key provided.", "code": "invalid_api_key"}
    error["type"] = "invalid_request" if dialect == "lm-studio" else "invalid_request_error"
    return response(encode({"error": error}), status=401)


def _unknown_path(request: Request, dialect: Dialect) -> Iterator[Step]:
    call = f"({request.method} {request.path})"
    if dialect == "lm-studio":
        yield response(encode({"error": f"Unexpected endpoint or method. {call}"}))
    else:
        error = {"message": f"Invalid URL {call}", "type": "invalid_request_error", "param": None, "code": None}
        yield response(encode({"error": error}), status=404)
