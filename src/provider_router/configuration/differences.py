"""Differences between two states of the configuration, by noun, with secrets masked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from attrs import frozen

from provider_router.configuration.document import (
    credential_fields,
    link_fields,
    model_fields,
    option_value,
    provider_fields,
    setting_value,
)
from provider_router.providers.plugins import Plugins
from provider_router.providers.secrets import MASK, parse_reference
from provider_router.store import Configuration, CredentialRecord, Json, ProviderRecord

_ANOTHER = f"{MASK} (another one)"


@frozen(kw_only=True)
class Difference:
    """One thing that is not the same.

    Attributes:
        noun: `provider` (with its options), `model`, `link`, `setting` or `credential`.
        subject: which one: `desk`; of a link provider and model: `desk qwen3-max`.
        kind: whether it was added, removed or changed.
        fields: what is not the same, `(before, after)` by the names outside Python; None where nothing is. Secrets
            are `***`, and `*** (another one)` if they changed.
    """

    noun: str
    subject: str
    kind: Literal["added", "removed", "changed"]
    fields: Mapping[str, tuple[Json, Json]]


@frozen
class _Thing:
    """What is compared, and what is shown of it."""

    kept: Mapping[str, Any]
    shown: Mapping[str, Any]


def differences(before: Configuration, after: Configuration, plugins: Plugins) -> tuple[Difference, ...]:
    """What is not the same; times are no difference."""
    return tuple(_compared(dict(_things(before, plugins)), dict(_things(after, plugins))))


def _compared(old: dict[tuple[str, str], _Thing], new: dict[tuple[str, str], _Thing]) -> Iterator[Difference]:
    nothing = _Thing({}, {})
    for key in [*new, *(key for key in old if key not in new)]:
        was, now = old.get(key, nothing), new.get(key, nothing)
        fields: dict[str, tuple[Json, Json]] = {}
        for name in {**now.kept, **was.kept}:
            # By their text: 1, 1.0 and True are equal to Python.
            if repr(was.kept.get(name)) != repr(now.kept.get(name)):
                shown = was.shown.get(name), now.shown.get(name)
                fields[name] = (shown[0], _ANOTHER) if shown[0] == shown[1] == MASK else shown
        if key not in old or key not in new or fields:
            kind: Literal["added", "removed", "changed"] = (
                "added" if key not in old else "removed" if key not in new else "changed"
            )
            yield Difference(noun=key[0], subject=key[1], kind=kind, fields=fields)


def _things(configuration: Configuration, plugins: Plugins) -> Iterator[tuple[tuple[str, str], _Thing]]:
    for name, provider in sorted(configuration.providers.items()):
        yield ("provider", name), _provider(provider, configuration, plugins)
    for name, model in sorted(configuration.models.items()):
        yield ("model", name), _plain(model_fields(model))
    for name, links in sorted(configuration.links.items()):
        for link in sorted(links, key=lambda link: link.model_id):
            yield ("link", f"{name} {link.model_id}"), _plain({**link.extra, **link_fields(link)})
    for key, setting in sorted(configuration.settings.items()):
        yield ("setting", key), _plain({"value": setting_value(setting)})
    for login in configuration.credentials:
        yield ("credential", str(login.id)), _login(login)


def _provider(record: ProviderRecord, configuration: Configuration, plugins: Plugins) -> _Thing:
    cls = plugins.types.get(record.type)
    kept: dict[str, Any] = provider_fields(record)
    shown = dict(kept)
    for option in configuration.options.get(record.id, ()):
        value = option_value(cls.Config if cls else None, option)
        if isinstance(value, dict) and isinstance(option.value, dict):  # a part changes alone
            kept |= {f"{option.key}.{part}": one for part, one in option.value.items()}
            shown |= {f"{option.key}.{part}": one for part, one in value.items()}
        else:
            kept[option.key], shown[option.key] = option.value, value
    return _Thing(kept, shown)


def _login(record: CredentialRecord) -> _Thing:
    kept = credential_fields(record)
    shown = {name: _masked(text) if name in ("token", "cookies") else text for name, text in kept.items()}
    return _Thing(kept, shown)


def _masked(reference: str) -> str:
    parsed = parse_reference(reference)
    return reference if parsed and parsed.scheme in ("env", "file", "keyring") else MASK


def _plain(fields: Mapping[str, Any]) -> _Thing:
    return _Thing(fields, fields)
