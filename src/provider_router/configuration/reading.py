"""Reading: a document's table as the record that it stands for; what is wrong with it is told to the tables. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from attrs import evolve

from provider_router.configuration.link_terms import LIMITS, checked_limits, link_problems, signed
from provider_router.configuration.models import model_problems, words_of
from provider_router.configuration.names import near_miss
from provider_router.configuration.settings import ACTIVE_PROVIDER, SETTINGS
from provider_router.configuration.tables import Tables
from provider_router.configuration.toml import toml_key
from provider_router.errors import InvalidConfig
from provider_router.store import LinkRecord, ModelRecord, SettingRecord

_MODEL: Final = ("name", "description", "capabilities", "aliasOf", "fallbacks", "zone")
LINK: Final = (
    *LIMITS,
    "default",
    "remoteName",
    "weight",
    "contextLength",
    "capabilities",
    "parameters",
    "inputPrice",
    "outputPrice",
    "maxParallel",
)


def model_of(tables: Tables, id: str, table: object, old: ModelRecord | None) -> ModelRecord:
    """A model, over what there was of it."""
    path = ("models", id)
    fields = {_field(name): value for name, value in tables.fields(table, _MODEL, path).items()}
    for name in ("capabilities", "fallbacks"):
        if name in fields and fields[name] is not None:
            fields[name] = words_of(tables.texts(fields[name], path, name))
    if fields.get("fallbacks", ()) is None:
        fields["fallbacks"] = ()
    record = evolve(old, **fields) if old else ModelRecord(id=id, **{"name": id, **fields})
    tables.tell_all(path, model_problems(record))
    return record


def link_of(tables: Tables, path: tuple[str, ...], fields: dict[str, Any], old: LinkRecord) -> LinkRecord:
    """A link, over what there was of it.

    Args:
        tables: told what is wrong.
        path: of the table.
        fields: of `LINK`.
        old: the link as it was, or a new one.
    """
    limits: dict[str, object] = {name: fields.pop(name) for name in LIMITS if name in fields}
    values = {_field(name): value for name, value in fields.items()}
    if "capabilities" in values:
        values["capabilities"] = signed(tables.texts(values["capabilities"], path, "capabilities"))
    if not isinstance(values.get("parameters", {}), Mapping):
        tables.tell(path, "parameters", "has to be a table: parameters = { top_k = 40 }")
        del values["parameters"]
    link = evolve(old, **values)
    tables.tell_all(path, link_problems(link))
    try:
        extra = {**link.extra, **checked_limits(limits)}
        return evolve(link, extra={name: value for name, value in extra.items() if value is not None})
    except InvalidConfig as error:
        tables.tell_all(path, error.problems)
        return link


def settings_of(tables: Tables, given: Mapping[str, object], providers: Iterable[str]) -> Iterator[SettingRecord]:
    """The settings that can be read, of a table in which dots may be tables."""
    for key, value in _flat(given):
        info = SETTINGS.get(key)
        if info is None:
            tables.tell(("settings",), toml_key(key), f"there is no such setting; {near_miss(key, SETTINGS)}")
            continue
        try:
            parsed = info.parse(value)
        except ValueError as error:
            tables.tell(("settings",), toml_key(key), str(error))
            continue
        known = [*providers]
        if key == ACTIVE_PROVIDER and parsed not in known:
            tables.tell(("settings",), key, f"there is no provider {parsed!r}; {near_miss(str(parsed), known)}")
        yield SettingRecord(key=key, value=parsed)


def moment_of(tables: Tables, path: tuple[str, ...], name: str, value: Any) -> Any:
    """A moment, to the millisecond; what is none, as it was."""
    try:
        until = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        if until.tzinfo is None:
            raise ValueError("no time zone")
        return until.replace(microsecond=until.microsecond // 1000 * 1000)
    except (TypeError, ValueError):
        tables.tell(path, name, "has to be a time with a time zone, such as 2027-01-31T12:00:00+00:00")
        return value


def _field(name: str) -> str:
    """`aliasOf` → `alias_of`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _flat(given: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """`{"routing": {"maxWait": "30s"}}` is `{"routing.maxWait": "30s"}`: TOML's dotted keys make tables."""
    for key, value in given.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
