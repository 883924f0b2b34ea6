"""Asking a provider as the tests of the suite do, and looking for things in what was sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Final

import anyio.to_thread
from attrs import field, frozen

from provider_router.backends import Request
from provider_router.plugin import (
    ChatChunk,
    ChatRequest,
    ChatResponse,
    Limits,
    Provider,
    ProviderError,
    ToolCall,
    Usage,
)
from provider_router.testing.fakes import Fake

MODEL: Final = "small-model"
QUESTION: Final = "Which bird is it?"
WAYS: Final = ("chat", "stream")
"""The two methods that answer."""

PATIENT: Final[Mapping[str, object]] = {
    "timeout": 30.0,
    "connect_timeout": 10.0,
    "first_token_timeout": 30.0,
    "idle_timeout": 30.0,
    "check_after": 30.0,
}
"""Options under which no machine is too slow, in seconds."""


def request(prompt: Any = QUESTION, *, model: str | None = MODEL, **options: Any) -> ChatRequest:
    """A request as a caller makes it; `options` are those of `ChatRequest.of`."""
    return ChatRequest.of(prompt, model=model, **options)


@frozen(kw_only=True)
class Told:
    """What the chunks of a stream add up to."""

    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCall] = field(factory=list)
    finish_reason: str | None = None
    model: str | None = None
    usage: Usage | None = None
    chunks: list[ChatChunk] = field(factory=list)

    @classmethod
    def of(cls, chunks: Iterable[ChatChunk]) -> Told:
        chunks = list(chunks)
        calls: dict[int, dict[str, str]] = {}
        for delta in (delta for chunk in chunks for delta in chunk.tool_calls):
            call = calls.setdefault(int(delta.get("index", 0)), {"id": "", "name": "", "arguments": ""})
            function = delta.get("function") or {}
            call["id"] = call["id"] or str(delta.get("id") or "")
            call["name"] += function.get("name") or ""
            call["arguments"] += function.get("arguments") or ""
        return cls(
            text="".join(chunk.text for chunk in chunks),
            reasoning="".join(chunk.reasoning for chunk in chunks),
            tool_calls=[ToolCall(**call) for _, call in sorted(calls.items())],
            finish_reason=next((chunk.finish_reason for chunk in reversed(chunks) if chunk.finish_reason), None),
            model=next((chunk.model for chunk in chunks if chunk.model), None),
            usage=next((chunk.usage for chunk in reversed(chunks) if chunk.usage), None),
            chunks=chunks,
        )


async def streamed(provider: Provider, asked: ChatRequest) -> Told:
    """The whole stream."""
    async with aclosing(provider.stream(asked.streamed())) as stream:
        return Told.of([chunk async for chunk in stream])


async def failure_of(call: Callable[[], Any]) -> ProviderError | None:
    """The error that a call ends with, or None. Whatever else it raises is raised."""
    try:
        await call()
    except ProviderError as error:
        return error
    return None


async def told(provider: Provider, asked: ChatRequest, way: str) -> ChatResponse | Told:
    """What the provider says, by its method `chat` or `stream`."""
    return await (provider.chat(asked) if way == "chat" else streamed(provider, asked))


async def seen(backend: Fake, reached: Callable[[Fake], bool]) -> bool:
    """Whether something can be seen of a backend within ten seconds."""
    return await anyio.to_thread.run_sync(lambda: backend.wait_until(reached, timeout=10.0))


def chats(backend: Fake) -> list[Request]:
    """The requests to chat, those in whose place another dialect asks for something else left out."""
    return [request for request in backend.requests if request.path in backend.chat_paths]


def sent_text(requests: Iterable[Request]) -> str:
    """All that was sent, readable: JSON without escapes, and what lies in texts of it as it lies there."""
    return "\n".join("\n".join(_texts(request)) for request in requests)


def _texts(request: Request) -> Iterator[str]:
    yield f"{request.path}?{request.query}"
    yield from (f"{name}: {value}" for name, value in request.headers.items())
    try:
        body = request.json
    except ValueError:
        yield request.body.decode("utf-8", "replace")
    else:
        yield json.dumps(body, ensure_ascii=False)
        yield from strings(body)


def strings(value: object) -> Iterator[str]:
    """Every text in a JSON value, keys and numbers among them."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from strings(inner)
    else:
        yield str(value)


class Watch:
    """A progress that writes down what it is told.

    Args:
        refusal: raised where a connection stands.
    """

    def __init__(self, *, refusal: ProviderError | None = None) -> None:
        self.told: list[str] = []
        self._refusal = refusal

    def connected(self, address: str | None) -> None:
        self.told.append("connected")
        if self._refusal is not None:
            raise self._refusal

    def sent(self) -> None:
        self.told.append("sent")

    def head(self) -> None:
        self.told.append("head")

    def arrived(self) -> None:
        self.told.append("arrived")


def attempt(asked: ChatRequest, *, watch: Watch | None = None, **limits: Any) -> ChatRequest:
    """A request as the Router makes it for one attempt; limits in seconds."""
    return asked.attempt(limits=Limits(**limits), zone=None, progress=watch or Watch())
