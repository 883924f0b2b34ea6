"""The provider type `lm-studio`: LM Studio's local server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit

from provider_router.plugin import (
    FIRST_TOKEN_LOCAL,
    ChatRequest,
    Checked,
    ErrorBody,
    Failure,
    Limits,
    ModelInfo,
    OpenAICompatibleProvider,
    Provider,
    ProviderError,
    Secret,
    hookimpl,
    option,
)
from provider_router_lm_studio.address import EXAMPLE, mended_address, with_version
from provider_router_lm_studio.failures import is_unknown_path, known_failure
from provider_router_lm_studio.models import LISTS, is_own_list
from provider_router_lm_studio.tools import normalised

__all__ = ["LMStudio"]


class LMStudio(OpenAICompatibleProvider):
    """LM Studio over its OpenAI-compatible API; what is loaded, its own API tells."""

    type: ClassVar[str] = "lm-studio"
    label: ClassVar[str] = "LM Studio"
    default_urls: ClassVar[tuple[str, ...]] = (EXAMPLE,)
    limits: ClassVar[Limits] = Limits(first_token=FIRST_TOKEN_LOCAL)
    free_check: ClassVar[bool] = True  # the server answers lists at once, also while a model generates or loads

    class Config(OpenAICompatibleProvider.Config):
        """Where LM Studio's server is, and its token, if it asks for one."""

        base_url: str = option(
            help="address of LM Studio's server, ending in /v1",
            example=EXAMPLE,
            unit="url",
            env="LM_STUDIO_BASE_URL",
            parse=with_version,
        )
        api_key: Secret | None = option(
            None, help="API token, if LM Studio's server asks for one (0.4)", sensitive=True, env="LM_API_TOKEN"
        )
        default_model: str | None = option(
            None, help="model to ask for where a request names none", env="LM_STUDIO_DEFAULT_MODEL"
        )
        timeout: float | None = option(
            None, help="longest plain attempt, from sent to complete", unit="duration", env="REQUEST_TIMEOUT"
        )

    config: Config

    def prepared(self, request: ChatRequest) -> ChatRequest:
        """The request with its tools as LM Studio takes them."""
        return request.changed(tools=normalised(request.tools)) if request.tools else request

    def known_failure(self, status: int, error: ErrorBody) -> Failure | None:
        """LM Studio says much in texts without a code, and some of it with status 200."""
        return known_failure(status, error)

    def read_error(
        self, status: int, body: bytes, headers: Mapping[str, str], *, model: str | None = None
    ) -> ProviderError:
        """As ever, with a word about an address that lacks its ending."""
        found = super().read_error(status, body, headers, model=model)
        if is_unknown_path(ErrorBody.parse(body)) and not self.config.base_url.endswith("/v1"):
            found.args = (f"{found.message.rstrip('.')}. baseURL has to end in /v1, as {EXAMPLE} does",)
        return found

    async def models(self) -> list[ModelInfo]:
        """The models that LM Studio has, those in memory first."""
        for path, key, read in LISTS:
            if (listed := await self._listed(path, key)) is not None:
                return sorted((read(item) for item in listed), key=lambda info: not info.loaded)
        return await super().models()

    async def _listed(self, path: str, key: str) -> Sequence[Mapping[str, Any]] | None:
        """The list at a path of LM Studio's own API, or None where this version has none there."""
        try:
            body = await self.get(self._own(path))
        except ProviderError as error:
            if error.status in (404, 405):
                return None
            raise
        return body[key] if is_own_list(body, key) else None

    def _own(self, path: str) -> str:
        """A path of LM Studio's own API, which lies beside `/v1`: also behind a proxy's prefix."""
        return urlsplit(self.config.base_url).path.removesuffix("/v1") + path

    async def check(self) -> Checked:
        """Whether the server answers, at the very address where it will be asked to chat."""
        count = len(await super().models())
        return Checked(detail=f"{count} model{'' if count == 1 else 's'}", models=count)

    @classmethod
    async def recognise(cls, base_url: str) -> Mapping[str, object] | None:
        """Whether LM Studio answers there: by the lists of its own API, by its way with unknown paths, by its name.

        Raises:
            InvalidConfig: for what is no address.
        """
        async with cls.look(mended_address(base_url.strip())) as provider:
            found = {"baseURL": provider.config.base_url}
            for path, key, _ in LISTS:
                try:
                    body = await provider.get(provider._own(path))
                except ProviderError as error:
                    if "LM Studio" in error.message:  # it wants a token, and says whose
                        return found
                    continue
                error_body = ErrorBody.read(body)
                if is_own_list(body, key) or (error_body and is_unknown_path(error_body)):
                    return found
        return None


@hookimpl
def register_providers() -> Sequence[type[Provider]]:
    """The one type of this plugin."""
    return [LMStudio]
