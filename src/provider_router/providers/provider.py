"""Provider: what a provider type must offer. The contract, without any I/O."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any, ClassVar, Final, Protocol

from attrs import frozen

from provider_router import limits as numbers
from provider_router.chat import Capability, ChatChunk, ChatRequest, ChatResponse
from provider_router.dialects.failures import ErrorBody, error_of, retry_after
from provider_router.errors import Failure, NotCapable, ProviderError
from provider_router.limits import DEFAULT_LIMITS, Limits
from provider_router.providers.config import Config as BaseConfig
from provider_router.providers.config import build_config
from provider_router.providers.secrets import Secret, mask_text

CONTRACT: Final = 1
"""The number of this contract. A plugin built for another is refused with a sentence."""


@frozen(kw_only=True)
class ModelInfo:
    """A model as a backend lists it.

    Attributes:
        id: as the backend calls it.
        context_length: largest number of tokens it takes, prompt and answer together, if the backend says.
        loaded: whether it is in memory, if the backend says.
        parallel: calls that it serves at once, if the backend says.
        chat: whether it can chat (an embedding model cannot).
        capabilities: what the backend says of it, or None.
        raw: the backend's own record.
    """

    id: str
    context_length: int | None = None
    loaded: bool | None = None
    parallel: int | None = None
    chat: bool = True
    capabilities: frozenset[Capability] | None = None
    raw: Mapping[str, Any] = {}


@frozen(kw_only=True)
class Checked:
    """What a good check found: a few words (`3 models`), and how many models, if it asked."""

    detail: str = ""
    models: int | None = None


class Transport(Protocol):
    """Whatever carries requests in place of the network; for `HTTPProvider`, an `httpx.AsyncBaseTransport`."""

    async def aclose(self) -> None: ...


class Provider:
    """One configured thing that answers, of one provider type.

    A type overrides the class attributes, `Config`, and `chat`; `stream`, `models` and `check` where it can do
    better than the defaults; `embed` and `complete` where it declares them. It never retries, never falls back
    and never looks at the store: the Router decides.

    Attributes:
        type: the type's name, as in `prouter provider add --type`.
        label: the type's name for people.
        contract: the number of the contract that the type was written for.
        capabilities: what every provider of the type offers, unless a link says otherwise.
        generic: whether the type takes any backend of its dialect, so that where another type recognises a backend
            too, the other one is meant.
        default_urls: where such a backend listens on this machine, if it has a usual port.
        limits: the type's defaults, in seconds, where they differ from the project's.
        free_check: whether `check()` costs nothing, so that it may be asked beside a silent call.
        config: the validated options.
    """

    type: ClassVar[str] = ""
    label: ClassVar[str] = ""
    contract: ClassVar[int] = CONTRACT
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.CHAT})
    generic: ClassVar[bool] = False
    default_urls: ClassVar[tuple[str, ...]] = ()
    limits: ClassVar[Limits] = numbers.UNSAID
    free_check: ClassVar[bool] = False

    class Config(BaseConfig):
        """The options of a type without any of its own."""

    config: BaseConfig

    def __init__(
        self,
        id: str,
        config: Mapping[str, object] | BaseConfig | None = None,
        *,
        transport: Transport | None = None,
        **options: object,
    ) -> None:
        """A provider from its options.

        Args:
            id: how it is called in plans, trails and errors.
            config: options as in the store (`{"baseURL": …, "timeout": "30s"}`, either spelling), or a `Config`.
            transport: carries requests in place of the network.
            **options: options as Python spells them (`base_url=…`); durations in seconds.

        Raises:
            InvalidConfig: with every problem at once.
            MissingSecret: where a reference leads nowhere.
        """
        self.id = id
        self.transport = transport
        if isinstance(config, BaseConfig):
            self.config = config
        else:
            self.config = build_config(self.Config, config or {}, options=options, whose=id)

    @property
    def endpoint(self) -> str:
        """Scheme, host and port; providers on one endpoint share its breaker. Its own id where there is none."""
        return self.id

    @property
    def zone(self) -> str:
        """Where this provider lies: `loopback`, `lan` or `internet`."""
        return self.config.zone or "loopback"

    def bounds(self, nearer_than_type: Limits = numbers.UNSAID) -> Limits:
        """The bounds of an attempt here, in seconds; every one is set.

        Args:
            nearer_than_type: bounds of the environment and the settings, which come after this provider's own
                options and before its type's defaults.
        """
        config = self.config
        own = Limits(
            timeout=config.timeout,
            connect=config.connect_timeout,
            first_token=config.first_token_timeout,
            idle=config.idle_timeout,
            check_after=config.check_after,
            max_answer_bytes=config.max_answer_bytes,
        )
        near = numbers.UNSAID if self.zone == "internet" else Limits(connect=numbers.CONNECT_NEAR)
        return own.over(nearer_than_type).over(self.limits).over(near).over(DEFAULT_LIMITS)

    def prepare(self) -> None:
        """Load whatever the first call would have to load, inside a running event loop and without any network."""

    async def chat(self, request: ChatRequest) -> ChatResponse:
        """One complete answer.

        Raises:
            ProviderError: of the class that fits; never an error as text.
        """
        raise NotCapable(f"{self.id} cannot chat", provider=self.id, detail="cannot chat")

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk]:
        """The same answer in pieces. Holds no cancel scope and no task group across a `yield`.

        Raises:
            ProviderError: before the first chunk or between two.
        """
        answer = await self.chat(request.plain())
        yield whole_chunk(answer)

    async def models(self) -> list[ModelInfo]:
        """The models that the backend lists.

        Raises:
            ProviderError: of the class that fits.
        """
        raise NotCapable(f"{self.id} lists no models", provider=self.id, detail="lists no models")

    async def check(self) -> Checked:
        """Whether the backend answers.

        Raises:
            ProviderError: if it does not.
        """
        count = len(await self.models())
        return Checked(detail=f"{count} model{'' if count == 1 else 's'}", models=count)

    async def embed(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """An embeddings request, passed through: `{"model": …, "input": …}` → `{"data": [{"embedding": …}]}`.

        Raises:
            ProviderError: of the class that fits.
        """
        raise NotCapable(f"{self.id} makes no embeddings", provider=self.id, detail="makes no embeddings")

    async def complete(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """A text completion, passed through: `{"model": …, "prompt": …}` → `{"choices": [{"text": …}]}`.

        Raises:
            ProviderError: of the class that fits.
        """
        raise NotCapable(f"{self.id} completes no text", provider=self.id, detail="completes no text")

    def read_error(
        self, status: int, body: bytes, headers: Mapping[str, str], *, model: str | None = None
    ) -> ProviderError:
        """The exception for an error answer. A type whose errors look different overrides this.

        One that only knows what some texts mean says so in `known_failure`.

        Args:
            status: HTTP status; 200 for an error inside a good answer or in a stream.
            body: as it came, bounded.
            headers: with lower-case names.
            model: the model asked for.
        """
        error = ErrorBody.parse(body)
        failure = self.known_failure(status, error)
        return error_of(status, error, who=self.id, model=model, retry_after=retry_after(headers), failure=failure)

    def known_failure(self, status: int, error: ErrorBody) -> Failure | None:
        """The class of an error that this type knows better than codes and status tell, or None.

        Args:
            status: HTTP status; 200 for an error inside a good answer or in a stream.
            error: what the body says.
        """
        return None

    @classmethod
    async def recognise(cls, base_url: str) -> Mapping[str, object] | None:
        """Options for a provider at this address if a backend of this type answers there, else None."""
        return None

    def mask(self, text: str) -> str:
        """The text without this provider's secrets: what a backend says may echo a key."""
        return mask_text(text, self.secrets())

    def secrets(self) -> Iterable[Secret]:
        """Every secret in the options, those inside mappings included."""
        for value in vars(self.config).values():
            if isinstance(value, Secret):
                yield value
            elif isinstance(value, Mapping):
                yield from (item for item in value.values() if isinstance(item, Secret))

    async def aclose(self) -> None:
        """Close what is open. May be called twice."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id!r}>"


def whole_chunk(answer: ChatResponse) -> ChatChunk:
    """A complete answer as the one chunk of a stream."""
    raw = {name: value for name, value in answer.raw.items() if name != "choices"}
    raw["object"] = "chat.completion.chunk"
    raw["choices"] = [_whole_choice(choice) for choice in answer.raw.get("choices") or ()]
    return ChatChunk(raw)


def _whole_choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    whole = {name: value for name, value in choice.items() if name != "message"}
    delta = dict(choice.get("message") or {})
    if calls := delta.get("tool_calls"):
        delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(calls)]
    whole["delta"] = delta
    return whole
