"""What the tables hold, as frozen objects, and the one place that turns them into rows and back.

A row is a mapping of column names to what SQLite and JSON both can hold (text, numbers, None), so that a change's
record keeps rows as they were.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, TypeVar, cast

import cattrs
from attrs import Factory, frozen
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from provider_router.errors import InvalidConfig, StoreError
from provider_router.store.values import Json, Kind, json_text, kind_of, read_value, value_text

Row: TypeAlias = Mapping[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def now() -> datetime:
    """The instant as the tables keep it: UTC, whole milliseconds."""
    instant = datetime.now(UTC)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


@frozen(kw_only=True)
class ProviderRecord:
    """One configured provider. The highest priority is asked first."""

    id: str
    name: str
    type: str
    enabled: bool = True
    priority: int = 0
    description: str | None = None
    created_at: datetime = Factory(now)
    updated_at: datetime = Factory(now)


@frozen(kw_only=True)
class OptionRecord:
    """One option of one provider. If `sensitive`, the value is a reference to the secret and the kind `reference`."""

    provider_id: str
    key: str
    value: Json
    kind: Kind = Factory(lambda self: kind_of(self.value), takes_self=True)
    sensitive: bool = False
    created_at: datetime = Factory(now)
    updated_at: datetime = Factory(now)


@frozen(kw_only=True)
class ModelRecord:
    """A model under our name.

    `capabilities` describes and excludes nothing; None says nothing. `fallbacks` are tried, in order, when everybody
    who serves it has failed. `zone` is the farthest that its requests may go: loopback, lan or internet.
    """

    id: str
    name: str
    description: str | None = None
    capabilities: tuple[str, ...] | None = None
    alias_of: str | None = None
    fallbacks: tuple[str, ...] = ()
    zone: str | None = None
    created_at: datetime = Factory(now)
    updated_at: datetime = Factory(now)


@frozen(kw_only=True)
class LinkRecord:
    """This provider serves this model.

    `capabilities` adds to what the provider's type declares or takes from it: `("+tools", "-vision")`. `parameters`
    go into every request. `context_length` is in tokens, prices are for a million tokens. `extra` holds what other
    programs have written beside the known keys.
    """

    provider_id: str
    model_id: str
    default: bool = False
    remote_name: str | None = None
    weight: float | None = None
    context_length: int | None = None
    capabilities: tuple[str, ...] = ()
    parameters: Mapping[str, Json] = Factory(dict)
    input_price: float | None = None
    output_price: float | None = None
    max_parallel: int | None = None
    extra: Mapping[str, Json] = Factory(dict)
    created_at: datetime = Factory(now)
    updated_at: datetime = Factory(now)


@frozen(kw_only=True)
class SettingRecord:
    """One setting of the whole router. The old system's column keeps whole seconds."""

    key: str
    value: Json
    kind: Kind = Factory(lambda self: kind_of(self.value), takes_self=True)
    updated_at: datetime = Factory(lambda: now().replace(microsecond=0))


@frozen(kw_only=True)
class CredentialRecord:
    """A login at chat.qwen.ai. `token` and `cookies` are references, never the secrets. `id` is None until stored."""

    token: str
    cookies: str
    expires_at: datetime | None = None
    id: int | None = None
    created_at: datetime = Factory(now)
    updated_at: datetime = Factory(now)


@frozen(kw_only=True)
class ChangeRecord:
    """One change of the configuration; its number is the configuration's revision from then on.

    Attributes:
        at: when.
        who: who did it: `cli`, `python`, `rest:key-name`, ….
        what: a sentence's predicate: `enabled provider desk`.
        noun, subject: what it was about: `provider`, `desk`.
        before, after: the rows as they were and are; None where there was or is none.
        providers: ids of the providers of which a row was touched (their own, options, links); None: perhaps any.
        models: ids of the models of which a row was touched; None: perhaps any.
        number: None until stored.
    """

    who: str
    what: str
    noun: str
    subject: str
    before: Json = None
    after: Json = None
    providers: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    at: datetime = Factory(now)
    number: int | None = None


Record: TypeAlias = (
    ProviderRecord | OptionRecord | ModelRecord | LinkRecord | SettingRecord | CredentialRecord | ChangeRecord
)
R = TypeVar("R", bound=Record)


def row_of(record: Record) -> dict[str, Any]:
    """The row of a record.

    Raises:
        InvalidConfig: a value does not fit its kind or its column.
    """
    try:
        return cast(dict[str, Any], _rows.unstructure(record))
    except (TypeError, ValueError) as error:
        raise InvalidConfig(f"The {_noun(type(record))} cannot be stored: {error}.") from error


def record_of(cls: type[R], row: Row | sqlite3.Row) -> R:
    """The record of a row; columns of no record are left out.

    Raises:
        StoreError: another program has written something that cannot be read.
    """
    row = dict(row)  # `in` asks a sqlite3.Row for its values, not for its columns
    try:
        return _rows.structure(row, cls)
    except Exception as error:  # whatever a column can hold
        named = " ".join(str(row[column]) for column in ("id", "provider_id", "model_id", "key") if column in row)
        raise StoreError(
            f"The {_noun(cls)} {named} cannot be read: {error}. Another program has written it: correct or remove it."
        ) from error


def _noun(cls: type[object]) -> str:
    return cls.__name__.removesuffix("Record").lower()


# ------------------------------------------------------------------------------------------------------- rows by cattrs


def _texts(text: str) -> tuple[str, ...]:
    values = json.loads(text)
    if isinstance(values, str):  # the old system's rows are JSON within JSON
        values = json.loads(values)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("not a list of texts")
    return tuple(values)


def _milliseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MILLISECOND


_rows = cattrs.Converter(detailed_validation=False)
_rows.register_structure_hook(bool, lambda value, _: bool(value))
_rows.register_unstructure_hook(bool, int)
_rows.register_structure_hook(datetime, lambda value, _: _EPOCH + value * _MILLISECOND)
_rows.register_unstructure_hook(datetime, _milliseconds)
_rows.register_structure_hook_func(lambda cls: cls == tuple[str, ...], lambda value, _: _texts(value))
_rows.register_unstructure_hook_func(lambda cls: cls == tuple[str, ...], json_text)
_rows.register_structure_hook_func(
    lambda cls: cls == tuple[str, ...] | None, lambda value, _: None if value is None else _texts(value)
)
_rows.register_unstructure_hook_func(
    lambda cls: cls == tuple[str, ...] | None, lambda value: None if value is None else json_text(value)
)

_as_it_is = override(struct_hook=lambda value, _: value, unstruct_hook=lambda value: value)
_whole_seconds = override(
    struct_hook=lambda value, _: _EPOCH + timedelta(seconds=value),
    unstruct_hook=lambda value: _milliseconds(value) // 1000,
)
_as_json = override(
    struct_hook=lambda value, _: None if value is None else json.loads(value),
    unstruct_hook=lambda value: None if value is None else json_text(value),
)
_OVERRIDES: dict[type[Record], dict[str, Any]] = {
    OptionRecord: {"value": _as_it_is, "kind": _as_it_is, "sensitive": override(rename="is_sensitive")},
    SettingRecord: {"value": _as_it_is, "kind": _as_it_is, "updated_at": _whole_seconds},
    ModelRecord: {
        # NULL for none, as in rows that other programs write.
        "fallbacks": override(
            struct_hook=lambda value, _: () if value is None else _texts(value),
            unstruct_hook=lambda value: json_text(value) if value else None,
        )
    },
    ChangeRecord: {"before": _as_json, "after": _as_json},
}
for _cls, _overrides in _OVERRIDES.items():
    _rows.register_structure_hook(_cls, make_dict_structure_fn(_cls, _rows, **_overrides))
    _rows.register_unstructure_hook(_cls, make_dict_unstructure_fn(_cls, _rows, **_overrides))


def _read_valued(cls: type[R]) -> None:
    """Teach cattrs the records whose value is kept as text beside its kind."""
    structure, unstructure = _rows.get_structure_hook(cls), _rows.get_unstructure_hook(cls)

    def read(row: Row, _: object) -> R:
        return cast(R, structure({**row, "value": read_value(row["value"], row["kind"])}, cls))

    def write(record: OptionRecord | SettingRecord) -> dict[str, Any]:
        return {**unstructure(record), "value": value_text(record.value, record.kind)}

    _rows.register_structure_hook(cls, read)
    _rows.register_unstructure_hook(cls, write)


_read_valued(OptionRecord)
_read_valued(SettingRecord)

# The keys of a link's JSON `config`, our names for them, and what they hold.
_LINK_KEYS: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "remoteName": ("remote_name", str),
    "weight": ("weight", (int, float)),
    "contextLength": ("context_length", int),
    "capabilities": ("capabilities", (list, tuple)),
    "parameters": ("parameters", Mapping),
    "inputPrice": ("input_price", (int, float)),
    "outputPrice": ("output_price", (int, float)),
    "maxParallel": ("max_parallel", int),
}


def _check_link(key: str, value: object) -> None:
    _, types = _LINK_KEYS[key]
    if not isinstance(value, types) or (isinstance(value, bool) and types is not bool):
        raise ValueError(f"{key} cannot be {value!r}")


def _read_link(row: Row, _: object) -> LinkRecord:
    config = dict(json.loads(row["config"] or "{}"))
    fields: dict[str, Any] = {}
    for key, (field, _types) in _LINK_KEYS.items():
        if (value := config.pop(key, None)) is not None:
            _check_link(key, value)
            fields[field] = tuple(value) if key == "capabilities" else value
    return LinkRecord(
        provider_id=row["provider_id"],
        model_id=row["model_id"],
        default=bool(row["is_default"]),
        extra=config,
        created_at=_EPOCH + row["created_at"] * _MILLISECOND,
        updated_at=_EPOCH + row["updated_at"] * _MILLISECOND,
        **fields,
    )


def _write_link(link: LinkRecord) -> dict[str, Any]:
    config: dict[str, Any] = dict(link.extra)
    for key, (field, _types) in _LINK_KEYS.items():
        value = getattr(link, field)
        if value is None or value in ((), {}):
            continue
        _check_link(key, value)
        config[key] = value
    return {
        "provider_id": link.provider_id,
        "model_id": link.model_id,
        "is_default": int(link.default),
        "config": json_text(config) if config else None,
        "created_at": _milliseconds(link.created_at),
        "updated_at": _milliseconds(link.updated_at),
    }


_rows.register_structure_hook(LinkRecord, _read_link)
_rows.register_unstructure_hook(LinkRecord, _write_link)
