"""ChatRequest: a body, and what the Router decided for one attempt."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol, TypedDict

from provider_router.chat.answer import OBJECT, text_or_none
from provider_router.chat.json_text import decode, encode
from provider_router.chat.messages import Message, Prompt, user
from provider_router.errors import RequestRejected
from provider_router.limits import UNSAID, Limits


class Capability(StrEnum):
    """What a request can need and a provider, a link or a model can offer. There are no others."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDINGS = "embeddings"
    STREAMING = "streaming"
    TOOLS = "tools"
    VISION = "vision"
    AUDIO = "audio"
    JSON_SCHEMA = "json_schema"
    MODELS = "models"


class ChatFields(TypedDict, total=False):
    """The fields of a chat request that are known here; `extra_body=` carries any other."""

    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    max_completion_tokens: int | None
    n: int | None
    stop: str | Sequence[str] | None
    seed: int | None
    tools: Sequence[Mapping[str, Any]] | None
    tool_choice: str | Mapping[str, Any] | None
    parallel_tool_calls: bool | None
    response_format: Mapping[str, Any] | None
    reasoning_effort: str | None
    frequency_penalty: float | None
    presence_penalty: float | None
    logit_bias: Mapping[str, float] | None
    logprobs: bool | None
    top_logprobs: int | None
    stream_options: Mapping[str, Any] | None
    modalities: Sequence[str] | None
    audio: Mapping[str, Any] | None
    prediction: Mapping[str, Any] | None
    metadata: Mapping[str, str] | None
    service_tier: str | None
    store: bool | None
    user: str | None
    verbosity: str | None
    web_search_options: Mapping[str, Any] | None
    prompt_cache_key: str | None
    safety_identifier: str | None


_LISTS = (list, tuple)
_FIELDS = frozenset(ChatFields.__annotations__)
_KNOWN = _FIELDS | {"model", "messages", "stream"}
# What a call takes beside the fields, for the hint at a misspelt one.
CALL_OPTIONS = frozenset(
    [
        "model",
        "provider",
        "fallback",
        "zone",
        "timeout",
        "max_attempts",
        "fallback_on",
        "resume",
        "guards",
        "session",
        "extra_body",
        "extra_headers",
    ]
)


class Progress(Protocol):
    """What an attempt tells while it runs. `providers/http.py` calls these; a plugin over it touches none."""

    def connected(self, address: str | None) -> None:
        """A connection stands, to this peer address; raises what must end the attempt at once."""

    def sent(self) -> None:
        """The request is out."""

    def head(self) -> None:
        """The answer's head is here."""

    def arrived(self) -> None:
        """Bytes of the answer's body arrived."""


class _Unwatched:
    def connected(self, address: str | None) -> None: ...
    def sent(self) -> None: ...
    def head(self) -> None: ...
    def arrived(self) -> None: ...


UNWATCHED: Progress = _Unwatched()


class _Body:
    """A body that the copies of a request share, so that it is decoded once and encoded once."""

    __slots__ = ("data", "raw")

    def __init__(self, raw: Mapping[str, Any] | None, data: bytes | None) -> None:
        self.raw = raw
        self.data = data


class ChatRequest:
    """A chat request: a body, and what the Router decided for this one attempt.

    A body that came as bytes and that nothing had to change goes out byte for byte.

    Attributes:
        limits: how long this attempt may take.
        zone: how far it may go (`loopback`, `lan`, `internet`), or None.
        progress: whom the HTTP door tells how far it is.
        headers: further headers for the backend, from `extra_headers=`.
    """

    __slots__ = ("_body", "headers", "limits", "progress", "zone")

    def __init__(
        self,
        body: Mapping[str, Any] | bytes,
        *,
        headers: Mapping[str, str] | None = None,
        limits: Limits = UNSAID,
        zone: str | None = None,
        progress: Progress = UNWATCHED,
    ) -> None:
        self._body = _Body(None, body) if isinstance(body, bytes) else _Body(body, None)
        self.headers = headers or {}
        self.limits = limits
        self.zone = zone
        self.progress = progress

    @classmethod
    def of(
        cls,
        prompt: Prompt | ChatRequest,
        *,
        model: str | None = None,
        stream: bool | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> ChatRequest:
        """A request from whatever a caller has: a text, messages, a whole body, or a request.

        Args:
            prompt: see above.
            model: the model to ask for; wins over the body's.
            stream: whether the answer is to be streamed; None leaves the body as it is.
            extra_body: fields that are not known here; they win over everything but `stream`.
            extra_headers: headers for the backend.
            fields: fields of `ChatFields`; those that are None are left out.

        Raises:
            TypeError: for a field that is not known, naming the nearest, and for a prompt of another kind.
            ValueError: for a body without messages.
        """
        changes: dict[str, Any] = {}
        if fields:
            for name, value in fields.items():
                if name not in _FIELDS:
                    raise TypeError(_unknown_field(name))
                if value is not None:
                    changes[name] = value
        if model is not None:
            changes["model"] = model
        if extra_body:
            changes.update(extra_body)
        request = prompt if isinstance(prompt, ChatRequest) else cls(_body_of(prompt))
        if changes:
            request = request.changed(**changes)
        if stream is not None:
            request = request.streamed() if stream else request.plain()
        _check_messages(request.raw)
        if extra_headers:
            request = request._sharing(request._body)
            request.headers = {**request.headers, **extra_headers}
        return request

    @property
    def raw(self) -> Mapping[str, Any]:
        """The body as a mapping. It is not to be changed: take `changed(…)`."""
        raw = self._body.raw
        if raw is None:
            assert self._body.data is not None
            raw = decode(self._body.data)
            if not isinstance(raw, dict):
                raise ValueError("a chat request is a JSON object")
            self._body.raw = raw
        return raw

    @property
    def body(self) -> bytes:
        """The body as it goes over the wire.

        Raises:
            RequestRejected: for what JSON cannot hold; no backend is to blame for it, and none could take it.
        """
        data = self._body.data
        if data is None:
            try:
                data = self._body.data = encode(self._body.raw)
            except ValueError as error:
                raise RequestRejected(f"the request cannot be sent: {error}", detail="no JSON") from None
        return data

    def changed(self, /, **fields: Any) -> ChatRequest:
        """A copy with these body fields set; a field set to `...` is taken out. This one if nothing differs."""
        raw = self.raw
        changed: dict[str, Any] | None = None
        for name, value in fields.items():
            if (name not in raw) if value is ... else (name in raw and _same(raw[name], value)):
                continue
            if changed is None:
                changed = dict(raw)
            if value is ...:
                del changed[name]
            else:
                changed[name] = value
        return self if changed is None else self.with_body(changed)

    def attempt(self, *, limits: Limits, zone: str | None, progress: Progress) -> ChatRequest:
        """A copy for one attempt, with what the Router decided for it."""
        copy = self._sharing(self._body)
        copy.limits, copy.zone, copy.progress = limits, zone, progress
        return copy

    def streamed(self) -> ChatRequest:
        """A copy that asks for a stream; this one if it does already."""
        return self if self.stream else self.changed(stream=True)

    def plain(self) -> ChatRequest:
        """A copy that asks for a whole answer, without what only streams carry; this one if it does already."""
        return self.changed(stream=..., stream_options=...) if self.stream else self

    def with_body(self, body: Mapping[str, Any] | bytes) -> ChatRequest:
        """This attempt with another body: what a backend of another dialect is sent."""
        return self._sharing(_Body(None, body) if isinstance(body, bytes) else _Body(body, None))

    def _sharing(self, body: _Body) -> ChatRequest:
        copy = ChatRequest.__new__(ChatRequest)
        copy._body = body
        copy.headers = self.headers
        copy.limits = self.limits
        copy.zone = self.zone
        copy.progress = self.progress
        return copy

    def _list(self, name: str) -> Sequence[Any]:
        value = self.raw.get(name)
        return value if isinstance(value, _LISTS) else ()

    @property
    def model(self) -> str | None:
        return text_or_none(self.raw.get("model"))

    @property
    def messages(self) -> Sequence[Message]:
        return self._list("messages")

    @property
    def stream(self) -> bool:
        return bool(self.raw.get("stream"))

    @property
    def temperature(self) -> float | None:
        return self.raw.get("temperature")

    @property
    def max_tokens(self) -> int | None:
        return self.raw.get("max_completion_tokens") or self.raw.get("max_tokens")

    @property
    def stop(self) -> list[str]:
        value = self.raw.get("stop")
        return [value] if isinstance(value, str) else list(self._list("stop"))

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        return self._list("tools")

    @property
    def tool_choice(self) -> str | Mapping[str, Any] | None:
        return self.raw.get("tool_choice")

    @property
    def response_format(self) -> Mapping[str, Any] | None:
        return self.raw.get("response_format")

    @property
    def extra(self) -> dict[str, Any]:
        """Every field of the body that is not known here."""
        return {name: value for name, value in self.raw.items() if name not in _KNOWN}

    def __repr__(self) -> str:
        return f"<ChatRequest model={self.model!r} messages={len(self.messages)} stream={self.stream}>"


def _body_of(prompt: object) -> Mapping[str, Any]:
    if isinstance(prompt, str):
        return {"messages": [user(prompt)]}
    if isinstance(prompt, OBJECT):
        return {"messages": [prompt]} if "messages" not in prompt and "role" in prompt else dict(prompt)
    if isinstance(prompt, Sequence) and not isinstance(prompt, bytes | bytearray | memoryview):
        return {"messages": list(prompt)}
    raise TypeError(f"a prompt is a text, a list of messages or a whole body, not {type(prompt).__name__}")


def _same(one: object, other: object) -> bool:
    return one is other or (type(one) is type(other) and one == other)  # True == 1, but not in JSON


def _unknown_field(name: str) -> str:
    if name == "stream":
        return "stream is no option: chat(…) gives the whole answer; say `with router.stream(…) as stream:` for pieces"
    near = difflib.get_close_matches(name, sorted(_FIELDS | CALL_OPTIONS), 1)
    hint = f"did you mean {near[0]}?" if near else f"pass it as extra_body={{{name!r}: …}} if the backend knows it"
    return f"unknown field {name!r}; {hint}"


def _check_messages(body: Mapping[str, Any]) -> None:
    messages = body.get("messages")
    if not isinstance(messages, _LISTS) or not messages:
        raise ValueError("messages: a chat request needs at least one message")
    for index, message in enumerate(messages):
        if not isinstance(message, OBJECT) or not isinstance(message.get("role"), str):
            raise ValueError(f'messages[{index}]: a message is a mapping with a role, such as {{"role": "user", …}}')
