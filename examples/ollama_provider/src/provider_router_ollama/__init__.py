"""The provider type `ollama`: Ollama over its native API (https://docs.ollama.com/api).

Ollama speaks OpenAI's dialect too, below `/v1`. Its own tells more: what is in memory, how long loading took, and it
takes options such as `num_ctx` and `keep_alive`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, ClassVar

from provider_router.plugin import (
    FIRST_TOKEN_LOCAL,
    Capability,
    ChatChunk,
    ChatRequest,
    ChatResponse,
    Checked,
    ErrorBody,
    Failure,
    HTTPProvider,
    Limits,
    ModelInfo,
    Provider,
    ProviderError,
    Secret,
    error_class,
    hookimpl,
    option,
)
from provider_router_ollama.answers import answer_of, chunk_of, embeddings_of
from provider_router_ollama.failures import known_failure
from provider_router_ollama.requests import body_of, embed_body

__all__ = ["Ollama"]


class Ollama(HTTPProvider):
    """Ollama's native API: `/api/chat`, `/api/tags`, `/api/ps`, `/api/embed`."""

    type: ClassVar[str] = "ollama"
    label: ClassVar[str] = "Ollama"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            *(Capability.CHAT, Capability.STREAMING, Capability.TOOLS, Capability.VISION),
            *(Capability.JSON_SCHEMA, Capability.EMBEDDINGS, Capability.MODELS),
        }
    )
    default_urls: ClassVar[tuple[str, ...]] = ("http://localhost:11434",)
    limits: ClassVar[Limits] = Limits(first_token=FIRST_TOKEN_LOCAL)  # it may have to load the model first
    free_check: ClassVar[bool] = True  # it says its version at once, also while a model loads

    class Config(HTTPProvider.Config):
        """Where Ollama is, and how long a model stays in memory."""

        base_url: str = option(help="address of Ollama, without /api", example="http://localhost:11434", unit="url")
        api_key: Secret | None = option(None, help="key, where Ollama lies behind one (ollama.com)", sensitive=True)
        keep_alive: str | None = option(None, help="how long a model stays in memory after a call, such as 10m or -1")

    config: Config

    def auth_headers(self) -> dict[str, str]:
        key = self.config.api_key
        return {"authorization": f"Bearer {key.reveal()}"} if key is not None else {}

    async def chat(self, request: ChatRequest) -> ChatResponse:
        answer = await self.post("api/chat", self._asked(request, stream=False))
        return answer_of(self._sound(answer, request))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk]:
        calls = 0
        async with aclosing(self.lines("api/chat", self._asked(request, stream=True))) as bursts:
            async for burst in bursts:
                for said in burst:
                    chunk = chunk_of(self._sound(said, request), calls)
                    calls += len(chunk.tool_calls)
                    yield chunk

    def _asked(self, request: ChatRequest, *, stream: bool) -> ChatRequest:
        body = body_of(request, stream=stream)
        if self.config.keep_alive is not None:
            body.setdefault("keep_alive", self.config.keep_alive)
        return request.with_body(body)

    def _sound(self, said: Any, request: ChatRequest) -> Mapping[str, Any]:
        """What was said, if it is a piece of an answer."""
        if error := self.embedded_error(said, model=request.model):
            raise error
        if not isinstance(said, Mapping) or not isinstance(said.get("message"), Mapping):
            raise self._nonsense("an answer without a message")
        return said

    def _nonsense(self, what: str) -> ProviderError:
        return error_class(Failure.MALFORMED)(f"{self.id} gave {what}", provider=self.id, detail=what)

    async def models(self) -> list[ModelInfo]:
        """The models on its disk, those in memory first."""
        listed = await self._models_at("api/tags")
        loaded = {item["name"]: item for item in await self._models_at("api/ps")}
        found = []
        for item in listed:
            running = loaded.get(item["name"])
            says = {*item.get("capabilities", ())}
            found.append(
                ModelInfo(
                    id=item["name"],
                    context_length=(running or {}).get("context_length"),
                    loaded=running is not None,
                    chat="completion" in says or (not says.intersection({"embedding"}) and "embed" not in item["name"]),
                    raw={**item, **({"running": running} if running else {})},
                )
            )
        return sorted(found, key=lambda info: not info.loaded)

    async def _models_at(self, path: str) -> list[Mapping[str, Any]]:
        body = await self.get(path)
        if error := self.embedded_error(body):
            raise error
        listed = body.get("models") if isinstance(body, Mapping) else None
        if listed is None and isinstance(body, Mapping) and "models" in body:
            return []  # Go writes an empty list as null
        if not isinstance(listed, list):
            raise self._nonsense("no list of models")
        return [item for item in listed if isinstance(item, Mapping) and isinstance(item.get("name"), str)]

    async def check(self) -> Checked:
        answer = await self.get("api/version")
        version = answer.get("version") if isinstance(answer, Mapping) else None
        if not isinstance(version, str):
            raise self._nonsense("no version")
        return Checked(detail=f"version {version}")

    async def embed(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = await self.post("api/embed", embed_body(body))
        model = body.get("model")
        if error := self.embedded_error(answer, model=model if isinstance(model, str) else None):
            raise error
        if not isinstance(answer, Mapping) or not isinstance(answer.get("embeddings"), list):
            raise self._nonsense("no embeddings")
        return embeddings_of(answer)

    def known_failure(self, status: int, error: ErrorBody) -> Failure | None:
        """Ollama's errors are `{"error": "a text"}`, without any code."""
        return known_failure(status, error.message)

    @classmethod
    async def recognise(cls, base_url: str) -> Mapping[str, object] | None:
        """Whether Ollama answers there: by its version and its list of models.

        Raises:
            InvalidConfig: for what is no address.
        """
        async with cls.look(base_url.strip().rstrip("/").removesuffix("/v1").removesuffix("/api")) as provider:
            try:
                version = await provider.get("api/version")
                listed = await provider.get("api/tags")
            except ProviderError:
                return None
            is_version = isinstance(version, Mapping) and isinstance(version.get("version"), str)
            if not (is_version and isinstance(listed, Mapping) and "models" in listed):
                return None
            return {"baseURL": provider.config.base_url}


@hookimpl
def register_providers() -> Sequence[type[Provider]]:
    """The one type of this plugin."""
    return [Ollama]
