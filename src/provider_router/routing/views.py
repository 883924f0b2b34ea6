"""From records and live providers to what a snapshot holds of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from provider_router import home
from provider_router.chat import Capability
from provider_router.errors import ConfigError, MissingSecret
from provider_router.limits import ROUTING, Limits
from provider_router.providers.provider import Provider
from provider_router.routing.snapshot import ModelView, ProviderLink, ProviderView, RoutingSettings

if TYPE_CHECKING:
    from provider_router.store import Configuration, LinkRecord, ModelRecord, ProviderRecord

_LIMIT_OPTIONS = {
    "timeout": "timeout",
    "connectTimeout": "connect",
    "firstTokenTimeout": "first_token",
    "idleTimeout": "idle",
    "checkAfter": "check_after",
    "maxAnswerBytes": "max_answer_bytes",
}


def provider_view(
    provider: Provider,
    record: ProviderRecord | None,
    links: Sequence[LinkRecord],
    settings: Mapping[str, Any],
    *,
    priority: int = 0,
) -> ProviderView:
    """What a snapshot holds of a live provider; `settings` are the routing options of environment and settings."""
    config = provider.config
    bounds = Limits(**{field: settings[name] for name, field in _LIMIT_OPTIONS.items() if name in settings})

    def nearest(own: Any, name: str) -> Any:
        return own if own is not None else settings.get(name, ROUTING[name].default)

    takes_any = nearest(config.open, "open")
    return ProviderView(
        id=provider.id,
        type=provider.type,
        enabled=record.enabled if record else True,
        priority=record.priority if record else priority,
        endpoint=provider.endpoint,
        zone=provider.zone,
        capabilities=provider.capabilities,
        takes_any_model=not links if takes_any is None else takes_any,
        default_model=config.default_model,
        limits=provider.bounds(bounds),
        max_parallel=nearest(config.max_parallel, "maxParallel"),
        upstream_stream=nearest(config.upstream_stream, "upstreamStream"),
        retry_after_max=nearest(config.retry_after_max, "retryAfterMax"),
        free_check=provider.free_check,
        until=None,
        problem=_expired(provider),
        links={link.model_id: link_view(link, provider.capabilities) for link in links},
    )


def broken_view(record: ProviderRecord, links: Sequence[LinkRecord], error: ConfigError) -> ProviderView:
    """What a snapshot holds of a provider that cannot be made: why."""
    problems = getattr(error, "problems", ()) or (str(error).splitlines()[0].removeprefix(f"{record.id}, "),)
    return ProviderView(
        id=record.id,
        type=record.type,
        enabled=record.enabled,
        priority=record.priority,
        endpoint=record.id,
        takes_any_model=not links,
        problem="; ".join(problems),
        lacks_secret=isinstance(error, MissingSecret),
        links={link.model_id: link_view(link, frozenset()) for link in links},
    )


def _expired(provider: Provider) -> str:
    expires_at = getattr(provider.config, "expires_at", None)
    if isinstance(expires_at, datetime) and expires_at <= datetime.now(UTC):
        return f"its credentials expired at {expires_at:%Y-%m-%d %H:%M} UTC"
    return ""


def link_view(link: LinkRecord, offered: frozenset[Capability]) -> ProviderLink:
    for word in link.capabilities:
        capability = Capability(word.lstrip("+-"))
        offered = offered - {capability} if word.startswith("-") else offered | {capability}
    bounds = {
        field: ROUTING[name].parse(link.extra[name]) for name, field in _LIMIT_OPTIONS.items() if name in link.extra
    }
    return ProviderLink(
        model=link.model_id,
        remote_name=link.remote_name or link.model_id,
        default=link.default,
        weight=link.weight or 1.0,
        context_length=link.context_length,
        capabilities=offered,
        parameters=link.parameters,
        max_parallel=link.max_parallel,
        limits=Limits(**bounds),
    )


def model_view(record: ModelRecord) -> ModelView:
    return ModelView(id=record.id, alias_of=record.alias_of, fallbacks=record.fallbacks, zone=record.zone)


def environment_values() -> dict[str, Any]:
    """The routing options of the environment, read.

    Raises:
        ConfigError: naming the variable.
    """
    values = {}
    given = home.routing_environment()
    for name, option in ROUTING.items():
        text = given.get(option.variable)
        if text is not None:
            try:
                values[name] = option.parse(text)
            except ValueError as error:
                raise ConfigError(f"{option.variable}: {error}") from None
    return values


def routing_values(configuration: Configuration) -> dict[str, Any]:
    """The routing options of environment and settings; the environment is nearer."""
    values = {}
    for name, option in ROUTING.items():
        record = configuration.settings.get(option.setting)
        if record is not None:
            try:
                values[name] = option.parse(record.value)
            except ValueError as error:
                raise ConfigError(f"the setting {option.setting}: {error}") from None
    return {**values, **environment_values()}


def routing_settings(values: Mapping[str, Any]) -> RoutingSettings:
    def value(name: str) -> Any:
        return values.get(name, ROUTING[name].default)

    return RoutingSettings(
        max_attempts=value("maxAttempts"),
        max_wait=value("maxWait"),
        strategy=value("strategy"),
        fallback_on=value("fallbackOn"),
        resume=value("resume"),
        guards=value("guards"),
        zone=values.get("zone"),
    )
