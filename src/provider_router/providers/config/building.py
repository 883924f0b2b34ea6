"""A whole configuration: checked with every problem at once, built, and translated for the store and for a display."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from provider_router.errors import ConfigError, InvalidConfig, MissingSecret, StoreError
from provider_router.providers.config.declaration import Config, describe_config
from provider_router.providers.config.values import checked, inward, outward
from provider_router.providers.secrets import MASK, MASKS, Reference, Secret, parse_reference
from provider_router.providers.secrets import resolve as resolve_reference


def canonical(cls: type[Config], values: Mapping[str, object]) -> dict[str, object]:
    """The values as the store keeps them, under the names that options have outside Python.

    Durations are integer milliseconds, addresses end without a slash. Masks are left out: they stand for what is
    there already.

    Raises:
        InvalidConfig: with every problem at once.
    """
    problems: list[str] = []
    kept = dict(_canonical(cls, values, problems))
    if problems:
        raise InvalidConfig("the options are not valid:", problems)
    return kept


def check_config(cls: type[Config], values: Mapping[str, object]) -> tuple[str, ...]:
    """Every problem of these values, taken as the whole configuration; secrets are not looked up."""
    problems: list[str] = []
    given = {name for name, _ in _canonical(cls, values, problems)}
    named = {re.split("[:.]", problem, maxsplit=1)[0] for problem in problems}
    for info in describe_config(cls):
        if info.required and info.name not in given | named and not info.credentials:
            example = f", such as {info.example}" if info.example else ""
            problems.append(f"{info.name}: is required ({info.help}{example})")
    return tuple(problems)


def build_config(
    cls: type[Config],
    values: Mapping[str, object],
    *,
    options: Mapping[str, object] | None = None,
    resolve: Callable[[Reference], Secret] | None = None,
    whose: str = "",
) -> Any:
    """The typed configuration.

    Args:
        cls: the type's `Config`.
        values: as in the store or in `config={…}`: either spelling, durations in milliseconds or with a unit.
        options: as Python spells them; durations in seconds.
        resolve: looks references up; `env:`, `file:`, `keyring:` and `cmd:` unless given.
        whose: the provider's id, for messages.

    Raises:
        InvalidConfig: with every problem at once.
        MissingSecret: a reference leads nowhere, or to what cannot be read, or is no secret.
    """
    infos = {info.field: info for info in describe_config(cls)}
    merged: dict[str, object] = dict(values)
    problems: list[str] = []
    for field, value in (options or {}).items():
        info = infos.get(field)
        if info is None:
            problems.append(_unknown(field, [*infos]))
        elif value is not None:
            merged.pop(info.name, None)
            merged[field] = outward(info, value)
    problems += check_config(cls, merged)
    if problems:
        raise InvalidConfig(f"the options of {whose or 'the provider'} are not valid:", problems)
    by_name = {info.name: info for info in infos.values()}
    ready: dict[str, Any] = {}
    for name, value in canonical(cls, merged).items():
        info = by_name[name]
        try:
            ready[info.field] = inward(info, value, resolve or resolve_reference)
        except (ConfigError, StoreError) as error:  # the store's, of a keeper in a database
            raise MissingSecret(f"{whose or 'provider'}, option {info.name}: {error}") from error
    # What a credential set could have given, and did not.
    problems = [
        f"{info.name}: is required ({info.help}); set it, or, where the address is the type's own, "
        "`prouter credentials set`"
        for info in infos.values()
        if info.required and info.field not in ready
    ]
    if not problems:
        try:
            return cls(**ready)
        except ValueError as error:  # from the type's own __attrs_post_init__
            problems = [str(error)]
    raise InvalidConfig(f"the options of {whose or 'the provider'} are not valid:", problems)


def shown(cls: type[Config], values: Mapping[str, object]) -> dict[str, object]:
    """Stored values for a display: secrets as `***`, references to the environment or a file as they are."""
    infos = {info.name: info for info in describe_config(cls)}
    result: dict[str, object] = {}
    for name, value in values.items():
        info = infos.get(name)
        if info is None:
            result[name] = _masked(value)  # of a type that knew it, it may have been a secret
        elif not info.sensitive:
            # Another program may have written an address with a password in it.
            result[name] = re.sub(r"://[^/@\s]+@", f"://{MASK}@", value) if isinstance(value, str) else value
        elif isinstance(value, Mapping):
            result[name] = {key: _masked(item) for key, item in value.items()}
        else:
            result[name] = _masked(value)
    return result


def _masked(value: object) -> str:
    reference = parse_reference(value) if isinstance(value, str) else None
    return str(reference) if reference and reference.scheme in ("env", "file", "keyring") else MASK


def _canonical(cls: type[Config], values: Mapping[str, object], problems: list[str]) -> Iterator[tuple[str, object]]:
    infos = describe_config(cls)
    by_name = {info.name: info for info in infos} | {info.field: info for info in infos}
    seen: set[str] = set()
    for name, value in values.items():
        info = by_name.get(name)
        if info is None:
            problems.append(_unknown(str(name), [info.name for info in infos]))
            continue
        if info.name in seen:
            problems.append(f"{info.name}: is given twice, also as {info.field}")
            continue
        seen.add(info.name)
        if value is None or (info.sensitive and isinstance(value, str) and value in MASKS):
            continue
        faults: list[str] = []
        kept = checked(info, value, faults)
        if faults:
            problems += faults
        else:
            yield info.name, kept


def _unknown(name: str, known: Sequence[str]) -> str:
    folded = {re.sub(r"[^a-z0-9]", "", other.lower()): other for other in known}
    key = re.sub(r"[^a-z0-9]", "", name.lower())
    near = [folded[key]] if key in folded else difflib.get_close_matches(name, known, 1, 0.6)
    hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known[:12])}"
    return f"{name}: unknown option{hint}"
