"""Snapshot: the configuration as routing sees it, immutable, made anew when it changes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from provider_router.chat import Capability
from provider_router.limits import DEFAULT_LIMITS, HISTORY_BYTES, HISTORY_DAYS, Limits

if TYPE_CHECKING:
    from provider_router.routing.plan import Route


@frozen(kw_only=True)
class ProviderLink:
    """This provider serves this model.

    Attributes:
        remote_name: the model as the provider calls it.
        capabilities: what the candidate offers, the link's `+` and `-` already applied.
        parameters: fields of a request that it brings unless the caller says otherwise.
        limits: the link's own bounds, in seconds.
        input_price, output_price: of a million tokens.
    """

    model: str
    remote_name: str
    default: bool = False
    weight: float = 1.0
    context_length: int | None = None
    capabilities: frozenset[Capability] = frozenset()
    parameters: Mapping[str, Any] = field(factory=dict)
    max_parallel: int | None = None
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    input_price: float | None = None
    output_price: float | None = None


@frozen(kw_only=True)
class ProviderView:
    """A configured provider as routing sees it.

    Attributes:
        endpoint: providers on one endpoint share its breaker.
        zone: where it lies.
        takes_any_model: an open provider: it serves any model name.
        default_model: the option `defaultModel`.
        problem: why it cannot be asked at all (a missing secret or plugin, a bad option), or "".
        lacks_secret: whether the problem is a secret that cannot be had; it is looked for again, now and then.
        expires_at: when its credentials cease to hold, if they do.
        stale: why a newer configuration of it cannot be loaded, so that it is asked as it was, or "".
        free_check: whether its check may be asked beside a silent call.
        retry_after_max: longest throttle that it can cause, in seconds.
        links: by model id.
    """

    id: str
    type: str = ""
    enabled: bool = True
    priority: int = 0
    endpoint: str = ""
    zone: str = "loopback"
    capabilities: frozenset[Capability] = frozenset({Capability.CHAT})
    takes_any_model: bool = True
    default_model: str | None = None
    limits: Limits = DEFAULT_LIMITS
    max_parallel: int | None = None
    upstream_stream: bool = False
    retry_after_max: float = 300.0
    free_check: bool = False
    problem: str = ""
    lacks_secret: bool = False
    expires_at: datetime | None = None
    stale: str = ""
    links: Mapping[str, ProviderLink] = field(factory=dict)

    @property
    def default_link(self) -> ProviderLink | None:
        return next((link for link in self.links.values() if link.default), None)

    def expired(self, at: datetime) -> str:
        """That its credentials do not hold at this instant any more, or ""."""
        if self.expires_at is None or at < self.expires_at:
            return ""
        return f"its credentials expired at {self.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


@frozen(kw_only=True)
class ModelView:
    """A configured model: an alias of another, further models to try after it, how far its requests may go."""

    id: str
    alias_of: str | None = None
    fallbacks: tuple[str, ...] = ()
    zone: str | None = None


@frozen(kw_only=True, cache_hash=True)
class RoutingSettings:
    """The settings of routing that hold for a whole request; names as in `limits.ROUTING`."""

    max_attempts: int = 6
    max_wait: float = 30.0
    strategy: str = "priority"
    fallback_on: tuple[str, ...] = ()
    resume: str = "error"
    guards: str = "warn"
    zone: str | None = None


@frozen(kw_only=True)
class HistorySettings:
    """The settings `history.…`."""

    enabled: bool = True
    bodies: str = "off"
    keep_days: int = HISTORY_DAYS
    max_bytes: int = HISTORY_BYTES


@frozen(kw_only=True)
class Recording:
    """How the recording of this process's requests goes.

    Attributes:
        enabled: whether requests are recorded at all.
        written: requests in the history's file.
        waiting: requests on their way to it.
        lost: requests that could not be written.
        trouble: what is wrong with the file now, or "".
    """

    enabled: bool = False
    written: int = 0
    waiting: int = 0
    lost: int = 0
    trouble: str = ""


@frozen(kw_only=True)
class Snapshot:
    """Everything that a plan is made from, but health.

    Attributes:
        revision: the number of the newest change in it.
        open: the providers that take any model name.
        routes: what plans for requests alike have in common, worked out when the first of them comes.
    """

    revision: int = 0
    providers: tuple[ProviderView, ...] = ()
    models: Mapping[str, ModelView] = field(factory=dict)
    active: str | None = None
    settings: RoutingSettings = RoutingSettings()

    open: tuple[ProviderView, ...] = field(init=False, repr=False, eq=False)
    routes: dict[Hashable, Route] = field(init=False, factory=dict, repr=False, eq=False)
    _expiries: tuple[datetime, ...] = field(init=False, repr=False, eq=False)
    _by_id: Mapping[str, ProviderView] = field(init=False, repr=False, eq=False)
    _by_model: dict[str, tuple[ProviderView, ...]] = field(init=False, repr=False, eq=False)

    @open.default
    def _open(self) -> tuple[ProviderView, ...]:
        return tuple(view for view in self.providers if view.takes_any_model)

    @_expiries.default
    def _instants(self) -> tuple[datetime, ...]:
        return tuple(sorted(view.expires_at for view in self.providers if view.expires_at is not None))

    @_by_id.default
    def _index(self) -> Mapping[str, ProviderView]:
        return {view.id: view for view in self.providers}

    @_by_model.default
    def _index_models(self) -> dict[str, tuple[ProviderView, ...]]:
        found: dict[str, list[ProviderView]] = {}
        for view in self.providers:
            for model in view.links:
                found.setdefault(model, []).append(view)
        return {model: tuple(views) for model, views in found.items()}

    def expired(self, at: datetime) -> int:
        """How many providers' credentials have expired by then; as long as it is the same, so are they."""
        return bisect_right(self._expiries, at) if self._expiries else 0

    def provider(self, id: str) -> ProviderView | None:
        return self._by_id.get(id)

    def linked(self, model: str) -> tuple[ProviderView, ...]:
        """The providers that link this model."""
        return self._by_model.get(model, ())

    def model_names(self) -> set[str]:
        """Every model that is known anywhere."""
        return set(self.models) | set(self._by_model)

    def knows(self, model: str) -> bool:
        """Whether a model is known anywhere."""
        return model in self.models or model in self._by_model
