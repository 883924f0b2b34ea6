"""The provider type `openai-compatible`: any server that speaks OpenAI's chat completions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from provider_router.plugin import (
    FIRST_TOKEN_LOCAL,
    ErrorBody,
    Failure,
    Limits,
    OpenAICompatibleProvider,
    Provider,
    ProviderError,
    hookimpl,
    option,
)
from provider_router_openai_compatible.failures import known_failure

__all__ = ["OpenAICompatible"]

_LOCAL = Limits(first_token=FIRST_TOKEN_LOCAL)


class OpenAICompatible(OpenAICompatibleProvider):
    """A backend of OpenAI's dialect, hosted or local."""

    type: ClassVar[str] = "openai-compatible"
    label: ClassVar[str] = "OpenAI-compatible"
    generic: ClassVar[bool] = True
    default_urls: ClassVar[tuple[str, ...]] = (
        "http://localhost:11434/v1",  # Ollama
        "http://localhost:8080/v1",  # llama.cpp, LocalAI, MLX
        "http://localhost:8000/v1",  # vLLM
        "http://localhost:30000/v1",  # SGLang
        "http://localhost:1337/v1",  # Jan
    )
    free_check: ClassVar[bool] = True  # a list of models costs no tokens anywhere

    class Config(OpenAICompatibleProvider.Config):
        """Where the server is, and who pays."""

        base_url: str = option(
            help="address of the API: what stands before /chat/completions",
            example="https://api.openai.com/v1",
            unit="url",
        )
        organization: str | None = option(None, help="organization that pays, sent as OpenAI-Organization")

    config: Config

    def auth_headers(self) -> dict[str, str]:
        """The key, and the organization that it is used for."""
        organization = self.config.organization
        return super().auth_headers() | ({"openai-organization": organization} if organization else {})

    def bounds(self, nearer_than_type: Limits | None = None) -> Limits:
        """As for every provider, but that a server nearby may load a model or prefill a long prompt first."""
        nearer = nearer_than_type or Limits()
        return super().bounds(nearer if self.zone == "internet" else nearer.over(_LOCAL))

    def known_failure(self, status: int, error: ErrorBody) -> Failure | None:
        """Some servers say in a text alone what others say by a code."""
        return known_failure(status, error)

    @classmethod
    async def recognise(cls, base_url: str) -> Mapping[str, object] | None:
        """Whether an OpenAI list of models lies there, or below `/v1` there, be it behind a key.

        Raises:
            InvalidConfig: for what is no address.
        """
        given = base_url.strip().rstrip("/")
        tries = [given] if re.search(r"/v\d+\w*\Z", given) else [f"{given}/v1", given]
        for address in tries:
            async with cls.look(address) as provider:
                try:
                    body = await provider.get("models")
                except ProviderError as error:
                    # An error with a code: a login page in front of something else has none.
                    found = error.failure is Failure.AUTH and error.code is not None
                else:
                    found = isinstance(body, Mapping) and isinstance(body.get("data"), list)
                if found:
                    return {"baseURL": provider.config.base_url}
        return None


@hookimpl
def register_providers() -> Sequence[type[Provider]]:
    """The one type of this plugin."""
    return [OpenAICompatible]
