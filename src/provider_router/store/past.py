"""The configuration as it was at a change, read backwards through the change records, and the tables brought there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Final, TypeAlias, TypeVar, cast

from attrs import frozen

from provider_router.errors import ConfigError
from provider_router.store.changes import Changes
from provider_router.store.configuration import Configuration, read_configuration
from provider_router.store.connection import Connection
from provider_router.store.records import (
    CredentialRecord,
    LinkRecord,
    ModelRecord,
    OptionRecord,
    ProviderRecord,
    SettingRecord,
    record_of,
    row_of,
)

Kept: TypeAlias = ProviderRecord | OptionRecord | ModelRecord | LinkRecord | SettingRecord | CredentialRecord
Key: TypeAlias = tuple[str, ...]
K = TypeVar("K", bound=Kept)

NOUNS: Final[Mapping[str, type[Kept]]] = {
    "provider": ProviderRecord,
    "model": ModelRecord,
    "option": OptionRecord,
    "link": LinkRecord,
    "setting": SettingRecord,
    "credential": CredentialRecord,
}
"""What change records call the rows they keep. Rows of other nouns are of no state that anybody goes back to."""

_NOUN_OF: Final[Mapping[type[Kept], str]] = {cls: noun for noun, cls in NOUNS.items()}
_TABLES: Final[Mapping[type[Kept], tuple[str, Key]]] = {
    ProviderRecord: ("providers", ("id",)),
    ModelRecord: ("models", ("id",)),
    OptionRecord: ("provider_configs", ("provider_id", "key")),
    LinkRecord: ("provider_models", ("provider_id", "model_id")),
    SettingRecord: ("settings", ("key",)),
    CredentialRecord: ("qwen_credentials", ("id",)),
}


@frozen(kw_only=True)
class Replaced:
    """What it took to bring the tables to another state: rows as they were, and rows as they are."""

    before: tuple[Kept, ...]
    after: tuple[Kept, ...]


def key_of(record: Kept) -> Key:
    """What tells a record from all others: `("option", "desk", "baseURL")`."""
    return (_NOUN_OF[type(record)], *(str(getattr(record, column)) for column in _TABLES[type(record)][1]))


def records_of(configuration: Configuration) -> dict[Key, Kept]:
    """Every record of a configuration."""
    records: list[Kept] = [*configuration.providers.values(), *configuration.models.values()]
    records += [option for options in configuration.options.values() for option in options]
    records += [link for links in configuration.links.values() for link in links]
    records += [*configuration.settings.values(), *configuration.credentials]
    return {key_of(record): record for record in records}


def configuration_of(records: Iterable[Kept], *, revision: int, file: tuple[int, int] = (0, 0)) -> Configuration:
    """A configuration of these records, in the order in which a database would give them."""
    kept = list(records)

    def of(cls: type[K], *by: str) -> list[K]:
        found = [cast(K, record) for record in kept if type(record) is cls]
        return sorted(found, key=lambda record: tuple(getattr(record, name) for name in by))

    def of_providers(found: list[K]) -> dict[str, tuple[K, ...]]:
        groups = groupby(found, key=lambda record: cast("OptionRecord | LinkRecord", record).provider_id)
        return {provider: tuple(group) for provider, group in groups}

    return Configuration(
        revision=revision,
        file=file,
        providers={record.id: record for record in of(ProviderRecord, "id")},
        options=of_providers(of(OptionRecord, "provider_id", "created_at", "key")),
        links=of_providers(of(LinkRecord, "provider_id", "created_at", "model_id")),
        models={record.id: record for record in of(ModelRecord, "id")},
        settings={record.key: record for record in of(SettingRecord, "key")},
        credentials=tuple(of(CredentialRecord, "created_at", "id")[::-1]),
    )


def configuration_at(connection: Connection, number: int) -> Configuration:
    """The configuration right after a change: from what it is now, every later change is taken back, newest first.

    Raises:
        ConfigError: there is no such change, or not every change after it is there.
        StoreError: the database cannot be read.
    """
    with connection.reading():
        changes = Changes(connection)
        now = read_configuration(connection, None)
        if not 0 <= number <= now.revision:
            newest = f"the newest is {now.revision}" if now.revision else "there is none yet"
            raise ConfigError(f"There is no change {number}: {newest}. `prouter changes log` shows them.")
        later = changes.list(since=number)
    if len(later) != now.revision - number:
        raise ConfigError(
            f"What the configuration was at change {number} is not known: of the {now.revision - number} changes "
            f"since then {len(later)} are there. Restore a backup of that time."
        )
    records = records_of(now)
    for change in later:
        for record in _rows(change.after):
            records.pop(key_of(record), None)
        records.update((key_of(record), record) for record in _rows(change.before))
    return configuration_of(records.values(), revision=number, file=now.file)


def replace(connection: Connection, target: Configuration) -> Replaced:
    """Bring the tables to another state, rows with their times and numbers as they are in it.

    Who does it writes the change record in the same transaction.
    """
    with connection.atomic():
        present, wanted = records_of(read_configuration(connection, None)), records_of(target)
        gone = {key: record for key, record in present.items() if not _same(record, wanted.get(key))}
        come = {key: record for key, record in wanted.items() if not _same(record, present.get(key))}
        # Two names may have changed places, and no two rows may have one even for a moment.
        for record in gone.values():
            if isinstance(record, ProviderRecord):
                connection.update("providers", {"id": record.id, "name": f"\0{record.id}"}, key=["id"])
        # Links and options first: they hang on the others. A provider or model that stays is written over, because
        # its removal would take what hangs on it along.
        for key, record in reversed(gone.items()):
            if key not in come or not isinstance(record, ProviderRecord | ModelRecord):
                table, columns = _TABLES[type(record)]
                connection.delete(table, {column: getattr(record, column) for column in columns})
        for key, record in come.items():
            table, columns = _TABLES[type(record)]
            if key in gone and isinstance(record, ProviderRecord | ModelRecord):
                connection.update(table, row_of(record), key=columns)
            else:
                connection.insert(table, row_of(record))
    return Replaced(before=tuple(gone.values()), after=tuple(come.values()))


def _rows(side: object) -> Iterable[Kept]:
    """The records of a change's `before` or `after`."""
    if isinstance(side, dict):
        for noun, rows in side.items():
            if noun in NOUNS:
                for row in cast(Iterable[dict[str, object]], rows):
                    yield record_of(NOUNS[noun], row)


def _same(record: Kept, other: Kept | None) -> bool:
    """Whether two records are one row: 1, 1.0 and True are equal to Python, and not in a row."""
    return other is not None and row_of(record) == row_of(other)
