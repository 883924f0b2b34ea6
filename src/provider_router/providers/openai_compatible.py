"""OpenAICompatibleProvider: any backend that speaks OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, ClassVar

from provider_router.chat import Capability, ChatChunk, ChatRequest, ChatResponse, decode
from provider_router.dialects.sse import COMMENT, Event
from provider_router.errors import MalformedAnswer, ProviderError
from provider_router.providers.config import option
from provider_router.providers.http import WHOLE, HTTPProvider
from provider_router.providers.provider import ModelInfo, whole_chunk
from provider_router.providers.secrets import Secret

_DONE = b"[DONE]"


def _suspect(event: Event) -> bool:
    """Whether an event may be an error. Inside a JSON string the quotation marks would be escaped."""
    return event.event == "error" or event.data.count(b'"error"') > 0


class OpenAICompatibleProvider(HTTPProvider):
    """The paths and bodies of https://platform.openai.com/docs/api-reference, passed through as they are."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability) - {Capability.AUDIO}

    class Config(HTTPProvider.Config):
        """With an API key, where the backend wants one."""

        api_key: Secret | None = option(None, help="API key, sent as a bearer token", sensitive=True)

    config: Config

    def auth_headers(self) -> dict[str, str]:
        key = self.config.api_key
        return {"authorization": f"Bearer {key.reveal()}"} if key is not None else {}

    def prepared(self, request: ChatRequest) -> ChatRequest:
        """The request as this backend wants it; a type with wishes of its own overrides this."""
        return request

    async def chat(self, request: ChatRequest) -> ChatResponse:
        return self._answer(await self.post("chat/completions", self.prepared(request.plain())), request)

    def _answer(self, body: Any, request: ChatRequest) -> ChatResponse:
        if error := self.embedded_error(body, model=request.model):
            raise error
        choices = body.get("choices") if isinstance(body, dict) else None
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            raise MalformedAnswer(
                f"{self.id} answered without any choice", provider=self.id, detail="an answer without a choice"
            )
        if not isinstance(choices[0].get("message"), dict):
            raise MalformedAnswer(
                f"{self.id} answered without a message", provider=self.id, detail="an answer without a message"
            )
        return ChatResponse(body)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk]:
        done = False
        bursts = self.events("chat/completions", self.prepared(request.streamed()), over=lambda: done)
        try:
            async for burst in bursts:
                if done:  # nothing that follows counts, but the end of the body
                    continue
                if burst[0].event == WHOLE:
                    yield whole_chunk(self._answer(decode(burst[0].data), request))
                    return
                events = [event for event in burst if event.event != COMMENT]
                done = bool(events) and events[-1].data.strip() == _DONE
                if done:
                    events.pop()
                last = len(events) - 1
                suspect = bool(events) and _suspect(events[0])
                for number, event in enumerate(events):
                    if suspect and (error := self._event_error(event, request)):
                        raise error
                    # Whoever waits for the rest of an arrival would not get what came before an error in it.
                    suspect = number < last and _suspect(events[number + 1])
                    yield ChatChunk(event.data, more=number < last and not suspect)
        finally:
            await bursts.aclose()

    def _event_error(self, event: Event, request: ChatRequest) -> ProviderError | None:
        try:
            error = self.embedded_error(decode(event.data), model=request.model)
        except ValueError:
            error = None
        if error is None and event.event == "error":
            error = self.error_of(200, event.data, {}, model=request.model)
        return error

    async def models(self) -> list[ModelInfo]:
        body = await self.get("models")
        if error := self.embedded_error(body):
            raise error
        listed = body.get("data") if isinstance(body, dict) else body
        if not isinstance(listed, list):
            raise MalformedAnswer(f"{self.id} listed no models", provider=self.id, detail="no model list")
        return [self.model_info(item) for item in listed if isinstance(item, dict) and item.get("id")]

    def model_info(self, item: Mapping[str, Any]) -> ModelInfo:
        """A listed model. vLLM says `max_model_len`, OpenRouter `context_length`, llama.cpp `meta.n_ctx_train`."""
        meta = item.get("meta")
        length = (
            item.get("max_model_len")
            or item.get("context_length")
            or item.get("context_window")
            or (meta.get("n_ctx_train") if isinstance(meta, Mapping) else None)
        )
        name = str(item["id"])
        return ModelInfo(
            id=name, context_length=length if isinstance(length, int) else None, chat="embed" not in name, raw=item
        )

    async def embed(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._passed("embeddings", body)

    async def complete(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._passed("completions", body)

    async def _passed(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = await self.post(path, body)
        model = body.get("model")
        if error := self.embedded_error(answer, model=model if isinstance(model, str) else None):
            raise error
        if not isinstance(answer, dict):
            raise MalformedAnswer(f"{self.id} answered with no JSON object", provider=self.id, detail="no JSON object")
        return answer
