"""From records and live providers to what a snapshot holds of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from provider_router import home
from provider_router.chat import Capability
from provider_router.errors import ConfigError, MissingSecret
from provider_router.limits import ROUTING, Limits
from provider_router.providers.config import describe_config
from provider_router.providers.provider import Provider
from provider_router.routing.snapshot import (
    HistorySettings,
    ModelView,
    ProviderLink,
    ProviderView,
    RoutingSettings,
    Snapshot,
)

if TYPE_CHECKING:
    from provider_router.store import Configuration, LinkRecord, ModelRecord, ProviderRecord

Options: TypeAlias = Mapping[str, object]

ACTIVE_PROVIDER = "active_provider"

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
        expires_at=_expires_at(provider),
        links={link.model_id: link_view(link, provider.capabilities) for link in links},
    )


def broken_view(record: ProviderRecord, links: Sequence[LinkRecord], error: ConfigError) -> ProviderView:
    """What a snapshot holds of a provider that cannot be made: why."""
    return ProviderView(
        id=record.id,
        type=record.type,
        enabled=record.enabled,
        priority=record.priority,
        endpoint=record.id,
        takes_any_model=not links,
        problem=problem_text(record, error),
        lacks_secret=isinstance(error, MissingSecret),
        links={link.model_id: link_view(link, frozenset()) for link in links},
    )


def problem_text(record: ProviderRecord, error: ConfigError) -> str:
    """Why a provider cannot be made, in one line."""
    problems = getattr(error, "problems", ()) or (str(error).splitlines()[0].removeprefix(f"{record.id}, "),)
    return "; ".join(problems)


def goes_on(provider: Provider, before: Options, after: Options) -> bool:
    """Whether a provider may be asked as it was, though its newer options cannot be loaded.

    Only if these leave alone where requests go and as whom: an address, a zone or a secret that was taken from it must
    not be used on.
    """
    guarded = [o.name for o in describe_config(type(provider).Config) if o.kind == "url" or o.sensitive]
    return all(before.get(name) == after.get(name) for name in (*guarded, "zone"))


def _expires_at(provider: Provider) -> datetime | None:
    expires_at = getattr(provider.config, "expires_at", None)
    return expires_at if isinstance(expires_at, datetime) else None


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
        input_price=link.input_price,
        output_price=link.output_price,
    )


def model_view(record: ModelRecord) -> ModelView:
    return ModelView(id=record.id, alias_of=record.alias_of, fallbacks=record.fallbacks, zone=record.zone)


def snapshot_view(
    configuration: Configuration | None, views: Iterable[ProviderView], values: Mapping[str, Any]
) -> Snapshot:
    """What plans are made from: these views of its providers, and the routing options of environment and settings."""
    active = configuration.settings.get(ACTIVE_PROVIDER) if configuration else None
    return Snapshot(
        revision=configuration.revision if configuration else 0,
        providers=tuple(sorted(views, key=lambda view: (-view.priority, view.id))),
        models={m.id: model_view(m) for m in configuration.models.values()} if configuration else {},
        active=str(active.value) if active and active.value else None,
        settings=routing_settings(values),
    )


def environment_values() -> dict[str, Any]:
    """The routing options of the environment, read.

    Raises:
        ConfigError: naming the variable.
    """
    given = home.routing_environment()
    return _parsed({name: (o.variable, given[o.variable]) for name, o in ROUTING.items() if o.variable in given})


def routing_values(
    configuration: Configuration, last: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The routing options of environment and settings; the environment is nearer.

    Args:
        configuration: has the settings.
        last: what was in force before, from which those are taken that cannot be read.

    Returns:
        The options, and what is wrong with those that cannot be read.

    Raises:
        ConfigError: one cannot be read, and there is no `last`.
    """
    given, environment = dict[str, tuple[str, object]](), home.routing_environment()
    for name, option in ROUTING.items():
        record = configuration.settings.get(option.setting)
        if option.variable in environment:
            given[name] = option.variable, environment[option.variable]
        elif record is not None:
            given[name] = f"the setting {option.setting}", record.value
    if last is None:
        return _parsed(given), ()
    faults: list[str] = []
    return _parsed(given, last, faults), tuple(faults)


def _parsed(
    given: Mapping[str, tuple[str, object]], last: Mapping[str, Any] | None = None, faults: list[str] | None = None
) -> dict[str, Any]:
    values = {}
    for name, (where, value) in given.items():
        try:
            values[name] = ROUTING[name].parse(value)
        except ValueError as error:
            if last is None or faults is None:
                raise ConfigError(f"{where}: {error}") from None
            faults.append(f"{where}: {error}")
            values |= {name: last[name]} if name in last else {}
    return values


def history_settings(configuration: Configuration) -> HistorySettings:
    """What is recorded, and for how long it is kept."""
    names = {"enabled": "enabled", "bodies": "bodies", "keepDays": "keep_days", "maxBytes": "max_bytes"}
    records = {field: configuration.settings.get(f"history.{name}") for name, field in names.items()}
    given: dict[str, Any] = {field: record.value for field, record in records.items() if record is not None}
    return HistorySettings(**given)


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
