"""The configuration as one document: the seed's names, durations with their unit, and no secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from provider_router.configuration.durations import shown_duration
from provider_router.configuration.editor import references_in
from provider_router.configuration.link_terms import LIMITS
from provider_router.configuration.settings import SETTINGS
from provider_router.configuration.toml import toml_text
from provider_router.limits import ROUTING
from provider_router.providers.config import MASK, Config, describe_config, shown
from provider_router.providers.plugins import Plugins
from provider_router.providers.secrets import parse_reference
from provider_router.store import (
    Configuration,
    CredentialRecord,
    LinkRecord,
    ModelRecord,
    OptionRecord,
    ProviderRecord,
    SettingRecord,
)

VERSION: Final = 1


@frozen(kw_only=True)
class Document:
    """A configuration that can be kept in a file, sent to somebody, and brought in again.

    Attributes:
        content: `{"version": 1, "settings": {…}, "models": {…}, "providers": {…}, "credentials": {…}}`.
        left_out: what a keeper has and no document tells: `desk/apiKey`, `desk/headers.X-Key`, `credentials/token`.
    """

    content: Mapping[str, Any]
    left_out: tuple[str, ...] = ()

    def json(self) -> str:
        """The document as JSON."""
        return json.dumps(self.content, indent=2, ensure_ascii=False) + "\n"

    def toml(self) -> str:
        """The document as TOML, as a declarative file has it.

        Raises:
            ConfigError: a value is one that TOML does not know.
        """
        return toml_text(self.content)


def document_of(configuration: Configuration, plugins: Plugins) -> Document:
    """The document of a configuration. References are in it as they are, what a `secret:` leads to is not."""
    left_out: list[str] = []
    providers: dict[str, Any] = {}
    for record in sorted(configuration.providers.values(), key=lambda record: (-record.priority, record.id)):
        cls = plugins.types.get(record.type)
        options = {}
        for option in configuration.options.get(record.id, ()):
            value = _told(cls.Config if cls else None, option, left_out)
            if value not in (None, {}):
                options[option.key] = value
        links = {link.model_id: link_fields(link) for link in configuration.links.get(record.id, ())}
        parts = {"config": options, "models": links}
        providers[record.id] = {**provider_fields(record), **{name: part for name, part in parts.items() if part}}
    content: dict[str, Any] = {
        "version": VERSION,
        "settings": {record.key: setting_value(record) for record in configuration.settings.values()},
        "models": {record.id: model_fields(record) for record in configuration.models.values()},
        "providers": providers,
    }
    if configuration.credentials:
        login = credential_fields(configuration.credentials[0])
        kept = [name for name in ("token", "cookies") if login[name].startswith("secret:")]
        left_out += [f"credentials/{name}" for name in kept]
        if not kept:
            content["credentials"] = login
    return Document(content=content, left_out=tuple(left_out))


def provider_fields(record: ProviderRecord) -> dict[str, Any]:
    """A provider without its options."""
    fields = {"name": record.name, "type": record.type, "enabled": record.enabled, "priority": record.priority}
    return {**fields, **({"description": record.description} if record.description is not None else {})}


def option_value(config: type[Config] | None, record: OptionRecord) -> object:
    """An option as it is shown: secrets masked, durations with their unit."""
    if config is None:
        return MASK if references_in(record.value) else record.value
    value = shown(config, {record.key: record.value})[record.key]
    kinds = {info.name: info.kind for info in describe_config(config)}
    return shown_duration(value) if kinds.get(record.key) == "duration" else value


def model_fields(record: ModelRecord) -> dict[str, Any]:
    """A model without its id."""
    fields: dict[str, Any] = {
        "name": record.name,
        "description": record.description,
        "capabilities": None if record.capabilities is None else list(record.capabilities),
        "aliasOf": record.alias_of,
        "fallbacks": list(record.fallbacks) or None,
        "zone": record.zone,
    }
    return {name: value for name, value in fields.items() if value is not None}


def link_fields(record: LinkRecord) -> dict[str, Any]:
    """A link without its provider and model."""
    fields: dict[str, Any] = {
        "default": record.default or None,
        "remoteName": record.remote_name,
        "weight": record.weight,
        "contextLength": record.context_length,
        "capabilities": list(record.capabilities) or None,
        "parameters": dict(record.parameters) or None,
        "inputPrice": record.input_price,
        "outputPrice": record.output_price,
        "maxParallel": record.max_parallel,
        **{
            name: shown_duration(record.extra[name]) if ROUTING[name].duration else record.extra[name]
            for name in LIMITS
            if name in record.extra
        },
    }
    return {name: value for name, value in fields.items() if value is not None}


def setting_value(record: SettingRecord) -> object:
    """A setting, durations with their unit."""
    option = ROUTING.get(record.key.removeprefix("routing."))
    is_duration = record.key == "server.timeout" or (record.key in SETTINGS and option is not None and option.duration)
    return shown_duration(record.value) if is_duration else record.value


def credential_fields(record: CredentialRecord) -> dict[str, Any]:
    """A login, as references."""
    fields: dict[str, Any] = {"token": record.token, "cookies": record.cookies}
    return {**fields, **({"expiresAt": record.expires_at.isoformat()} if record.expires_at else {})}


def _told(config: type[Config] | None, record: OptionRecord, left_out: list[str]) -> object:
    """What of an option a document may tell; None if nothing."""
    label = f"{record.provider_id}/{record.key}"
    if record.sensitive or references_in(record.value):
        if isinstance(record.value, dict):
            parts = {part: value for part, value in record.value.items() if _points(value)}
            left_out += [f"{label}.{part}" for part in record.value if part not in parts]
            return parts
        if _points(record.value):
            return record.value
        left_out.append(label)
        return None
    value = option_value(config, record)
    if MASK in str(value) and MASK not in str(record.value):  # another program has put a password into an address
        left_out.append(label)
        return None
    return value


def _points(value: object) -> bool:
    """Whether it says where a secret lies that no keeper of ours has."""
    reference = parse_reference(value) if isinstance(value, str) else None
    return reference is not None and reference.scheme != "secret"
