"""The provider type `qwen-proxy`: a proxy that speaks OpenAI's dialect and asks chat.qwen.ai."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, ClassVar

from provider_router.plugin import (
    FIRST_TOKEN_LOCAL,
    Capability,
    ChatChunk,
    ChatRequest,
    ChatResponse,
    ErrorBody,
    Failure,
    Limits,
    ModelInfo,
    OpenAICompatibleProvider,
    Provider,
    ProviderError,
    XMLTools,
    folded,
    hookimpl,
    option,
    refuse_format,
)
from provider_router_qwen_proxy.address import EXAMPLE, with_version
from provider_router_qwen_proxy.failures import NO_CREDENTIALS, known_failure
from provider_router_qwen_proxy.models import is_qwens_list, with_window

__all__ = ["QwenProxy"]


class QwenProxy(OpenAICompatibleProvider):
    """The Qwen proxy; tools are translated by it, or here."""

    type: ClassVar[str] = "qwen-proxy"
    label: ClassVar[str] = "Qwen proxy"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.CHAT, Capability.STREAMING, Capability.TOOLS, Capability.MODELS}
    )
    default_urls: ClassVar[tuple[str, ...]] = (EXAMPLE,)
    # Where it translates tools, it says nothing before the whole answer is there, in a stream too.
    limits: ClassVar[Limits] = Limits(first_token=FIRST_TOKEN_LOCAL)
    free_check: ClassVar[bool] = True  # its list of models costs nothing

    class Config(OpenAICompatibleProvider.Config):
        """Where the proxy is, and who translates tools."""

        base_url: str = option(
            help="address of the proxy, with or without /v1",
            example=EXAMPLE,
            unit="url",
            env="QWEN_PROXY_BASE_URL",
            parse=with_version,
        )
        tool_mode: str = option(
            "native",
            help="who turns tools into text and back: the proxy (native), or this provider type (xml)",
            choices=("native", "xml"),
        )
        timeout: float | None = option(
            None, help="longest plain attempt, from sent to complete", unit="duration", env="REQUEST_TIMEOUT"
        )

    config: Config
    # It makes no embeddings, and its completions are broken.
    embed = Provider.embed
    complete = Provider.complete

    def prepared(self, request: ChatRequest) -> ChatRequest:
        """The request with `stream` said in any case: the proxy answers one without it with an empty text."""
        return request if request.stream else request.changed(stream=False)

    async def chat(self, request: ChatRequest) -> ChatResponse:
        tools, told = self._told(request)
        return tools.answer(await super().chat(told), self.id)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk]:
        tools, told = self._told(request)
        reader = tools.reader(self.id)
        chunks = super().stream(told)
        try:
            async for chunk in chunks:
                for made in reader.feed(chunk):
                    yield made
            for made in reader.close():
                yield made
        finally:
            await chunks.aclose()

    def _told(self, request: ChatRequest) -> tuple[XMLTools, ChatRequest]:
        """The tools of a request, and the request as the proxy is told it.

        Of a conversation it knows by its first words the proxy reads the last message only, and takes the one of
        another user with the same words for it. One message is always a conversation of its own.
        """
        refuse_format(request, who=self.id)
        if self.config.tool_mode == "native":
            return XMLTools.native(request), request
        tools = XMLTools.of(request)
        told = tools.written(request)
        return tools, told.changed(messages=folded(told.messages))

    def known_failure(self, status: int, error: ErrorBody) -> Failure | None:
        """The proxy wraps what chat.qwen.ai says in errors of its own."""
        return known_failure(status, error)

    def read_error(
        self, status: int, body: bytes, headers: Mapping[str, str], *, model: str | None = None
    ) -> ProviderError:
        """As ever, with a word about whose credentials are missing."""
        found = super().read_error(status, body, headers, model=model)
        if found.code == NO_CREDENTIALS:
            found.args = (f"{found.message.rstrip('.')}. Renew the proxy's own credentials for chat.qwen.ai",)
        return found

    def model_info(self, item: Mapping[str, Any]) -> ModelInfo:
        return with_window(super().model_info(item), item)

    @classmethod
    async def recognise(cls, base_url: str) -> Mapping[str, object] | None:
        """Whether the Qwen proxy answers there: by whose models it lists, or by its way to say that it cannot.

        Raises:
            InvalidConfig: for what is no address.
        """
        async with cls.look(base_url) as provider:
            try:
                found = is_qwens_list(await provider.get("models"))
            except ProviderError as error:
                found = error.code == NO_CREDENTIALS
            return {"baseURL": provider.config.base_url} if found else None


@hookimpl
def register_providers() -> Sequence[type[Provider]]:
    """The one type of this plugin."""
    return [QwenProxy]
