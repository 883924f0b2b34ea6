"""Snapshot: the configuration as routing sees it, immutable, made anew when it changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen

from provider_router.chat import Capability
from provider_router.limits import DEFAULT_LIMITS, Limits


@frozen(kw_only=True)
class ProviderLink:
    """This provider serves this model.

    Attributes:
        remote_name: the model as the provider calls it.
        capabilities: what the candidate offers, the link's `+` and `-` already applied.
        parameters: fields of a request that it brings unless the caller says otherwise.
        limits: the link's own bounds, in seconds.
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
        until: when the problem ends by itself, if it does.
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
    until: datetime | None = None
    links: Mapping[str, ProviderLink] = field(factory=dict)

    @property
    def default_link(self) -> ProviderLink | None:
        return next((link for link in self.links.values() if link.default), None)


@frozen(kw_only=True)
class ModelView:
    """A configured model: an alias of another, further models to try after it, how far its requests may go."""

    id: str
    alias_of: str | None = None
    fallbacks: tuple[str, ...] = ()
    zone: str | None = None


@frozen(kw_only=True)
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
class Snapshot:
    """Everything that a plan is made from, but health. `revision` is the number of the newest change in it."""

    revision: int = 0
    providers: tuple[ProviderView, ...] = ()
    models: Mapping[str, ModelView] = field(factory=dict)
    active: str | None = None
    settings: RoutingSettings = RoutingSettings()

    def provider(self, id: str) -> ProviderView | None:
        return self._by_id.get(id)

    _by_id: Mapping[str, ProviderView] = field(init=False, repr=False, eq=False)
    _by_model: dict[str, tuple[ProviderView, ...]] = field(init=False, repr=False, eq=False)

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

    def linked(self, model: str) -> tuple[ProviderView, ...]:
        """The providers that link this model."""
        return self._by_model.get(model, ())

    def model_names(self) -> set[str]:
        """Every model that is known anywhere."""
        return set(self.models) | set(self._by_model)
