"""Draft: a provider's options as they would be after an edit, and everything that speaks against it. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast
from urllib.parse import urlsplit

from attrs import frozen

from provider_router.configuration.durations import kept_duration
from provider_router.providers.config import MASK, MASKS, Config, canonical, check_config, describe_config
from provider_router.providers.secrets import parse_reference

_NOT_FROM_AFAR: Final = "a reference can be set with prouter on this machine or in Python only; give the secret itself"
_GIVE_ANEW: Final = "has to be given anew, because the provider's address leads to another place now"

_NOTHING_MASKED: Final = "*** stands for the secret that is there, and none is: give the secret itself"


@frozen(kw_only=True)
class Draft:
    """Options under their names outside Python.

    Attributes:
        values: what they would be; new secrets are still themselves, kept ones are references.
        touched: options to be written, or removed where `values` has none.
        dropped_secrets: options whose secrets go because the address changed, `headers.X-Key` for one of a mapping.
        problems: every one that this edit brings; those that were there before and stay untouched are left out.
    """

    values: Mapping[str, Any]
    touched: frozenset[str]
    dropped_secrets: tuple[str, ...]
    problems: tuple[str, ...]

    @classmethod
    def of(
        cls, config: type[Config], stored: Mapping[str, object], given: Mapping[str, object], *, local: bool
    ) -> Draft:
        """Join what is stored and what was given.

        Args:
            config: the options' declarations.
            stored: what is there, by names outside Python.
            given: in either spelling, `headers.X-Key` for one of a mapping, whose others stay; None removes, a mask
                leaves a secret as it is.
            local: whether references may be given.
        """
        infos = {info.name: info for info in describe_config(config)}
        problems: list[str] = []
        wanted: dict[str, object] = {}
        for name, value in _named(config, stored, given, problems).items():
            if not (name in infos and infos[name].sensitive and _is_mask(value)):
                wanted[name] = value
            elif name not in stored and not infos[name].required:
                problems.append(f"{name}: {_NOTHING_MASKED}")
        addresses = (name for name, info in infos.items() if info.kind == "url" and name in wanted)
        moved = any(
            origin(stored.get(name, infos[name].default)) != origin(_or(wanted[name], infos[name].default))
            for name in addresses
        )
        values = {name: value for name, value in {**stored, **wanted}.items() if value is not None}
        touched, dropped = set(wanted), list[str]()
        for name, info in infos.items():
            if info.sensitive and (name in values or name in stored):
                old = _parts(stored.get(name))
                new = _parts(wanted[name]) if name in wanted else dict.fromkeys(old, MASK)
                kept = _joined_secrets(name, old, new, moved=moved, local=local, dropped=dropped, problems=problems)
                touched |= {name} if moved else set()
                values.pop(name, None)
                if kept or (name in wanted and isinstance(wanted[name], Mapping)):
                    values[name] = kept.get("", kept)
        lost = {label.partition(".")[0] for label in dropped}
        refused = {problem.partition(":")[0].partition(".")[0] for problem in problems}
        before = check_config(config, stored) if stored else ()
        for problem in check_config(config, values):
            name = problem.partition(":")[0]
            if name in lost:
                problems.append(f"{name}: {_GIVE_ANEW}")
            elif name not in refused and (name in touched or problem not in before):
                problems.append(problem)
        return cls(values=values, touched=frozenset(touched), dropped_secrets=tuple(dropped), problems=tuple(problems))

    def kept(self, config: type[Config]) -> dict[str, Any]:
        """The touched options as they are kept, those to be removed left out."""
        values = canonical(config, {name: self.values[name] for name in self.touched if name in self.values})
        for info in describe_config(config):
            if info.kind == "duration" and info.name in values:
                values[info.name] = kept_duration(cast(int, values[info.name]) / 1000)
        return values


def outside_names(config: type[Config]) -> dict[str, str]:
    """The options' names outside Python, by either spelling."""
    infos = describe_config(config)
    return {info.field: info.name for info in infos} | {info.name: info.name for info in infos}


def split_part(config: type[Config], key: str) -> tuple[str, str]:
    """`headers.X-Key` → `("headers", "X-Key")`, one of a mapping; any other option alone: `("baseURL", "")`."""
    name, _, part = key.partition(".")
    for info in describe_config(config):
        if part and info.kind == "mapping" and name in (info.name, info.field):
            return info.name, part
    return outside_names(config).get(key, key), ""


def _named(
    config: type[Config], stored: Mapping[str, object], given: Mapping[str, object], problems: list[str]
) -> dict[str, object]:
    """What is given by names outside Python, with what is given for one of a mapping joined to the others."""
    sensitive = {info.name for info in describe_config(config) if info.sensitive}
    named: dict[str, object] = {}
    parts: dict[str, dict[str, object]] = {}
    for key, value in given.items():
        name, part = split_part(config, key)
        place, at = (parts.setdefault(name, {}), part) if part else (named, name)
        if at in place:
            problems.append(f"{name}: is given twice")
        place[at] = value
    for name, changes in parts.items():
        there = _parts(stored.get(name))
        others = _parts(named[name]) if name in named else dict.fromkeys(there, MASK) if name in sensitive else there
        joined = {part: one for part, one in {**others, **changes}.items() if one is not None}
        named[name] = joined or None
    return named


def reference_problems(value: object, *, local: bool) -> Iterator[str]:
    """What is wrong with a reference; nothing with anything else.

    Args:
        value: a secret or a reference to one.
        local: whether the caller may set references.
    """
    reference = parse_reference(value) if isinstance(value, str) else None
    if reference is not None and not local:
        yield _NOT_FROM_AFAR
    elif reference is not None and reference.problem:
        yield reference.problem


def _joined_secrets(
    name: str,
    old: Mapping[str, object],
    new: Mapping[str, object],
    *,
    moved: bool,
    local: bool,
    dropped: list[str],
    problems: list[str],
) -> dict[str, object]:
    """The parts of a secret option after the edit; one that is no mapping has the one part ""."""
    kept: dict[str, object] = {}
    for part, value in new.items():
        label = f"{name}.{part}" if part else name
        # From afar, what was shown may be written back, and says as little as a mask.
        if _is_mask(value) or (not local and part in old and value == old[part]):
            if part in old and moved:
                dropped.append(label)
            elif part in old:
                kept[part] = old[part]
            else:
                problems.append(f"{label}: {_NOTHING_MASKED}")
        elif faults := list(reference_problems(value, local=local)):
            problems += (f"{label}: {fault}" for fault in faults)
        else:
            kept[part] = value
    return kept


def _is_mask(value: object) -> bool:
    return isinstance(value, str) and value in MASKS


def _parts(value: object) -> dict[str, object]:
    if value is None:
        return {}
    return {str(part): one for part, one in value.items()} if isinstance(value, Mapping) else {"": value}


def _or(value: object, default: object) -> object:
    return default if value is None else value


def origin(address: object) -> object:
    """Scheme, host and port of an address."""
    if not isinstance(address, str):
        return address
    try:
        url = urlsplit(address.strip())
        return url.scheme, url.hostname, url.port or {"http": 80, "https": 443}.get(url.scheme)
    except ValueError:  # no address at all, which is told elsewhere
        return address
