"""Everything the registry needs to know, as it was at one instant, and how it is read: whole, or what has changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import TypeAlias, TypeVar

from attrs import evolve, frozen

from provider_router.store.changes import Changes
from provider_router.store.connection import Connection
from provider_router.store.credentials import Credentials
from provider_router.store.records import (
    CredentialRecord,
    LinkRecord,
    ModelRecord,
    OptionRecord,
    ProviderRecord,
    R,
    SettingRecord,
    record_of,
)
from provider_router.store.settings import Settings

# More ids than this are not looked up one by one: reading everything is faster. SQLite takes 999 parameters at least.
_MANY = 500

Ids: TypeAlias = frozenset[str]
V = TypeVar("V")
P = TypeVar("P", OptionRecord, LinkRecord)


@frozen(kw_only=True)
class Configuration:
    """The configuration at one revision. Records that did not change are shared with the configuration before.

    Attributes:
        revision: number of the newest change in it.
        file: the file it was read from, to tell it from another one that took its name.
        providers: by id.
        options, links: by provider's id; a provider without any is left out.
        models: by id.
        settings: by key.
        credentials: the newest first.
        renewed: ids of the providers that were read anew or are gone since the configuration that was handed to
            `Store.read`; None if everything was read.
    """

    revision: int
    file: tuple[int, int]
    providers: Mapping[str, ProviderRecord]
    options: Mapping[str, tuple[OptionRecord, ...]]
    links: Mapping[str, tuple[LinkRecord, ...]]
    models: Mapping[str, ModelRecord]
    settings: Mapping[str, SettingRecord]
    credentials: tuple[CredentialRecord, ...]
    renewed: frozenset[str] | None = None


def read_configuration(connection: Connection, since: Configuration | None) -> Configuration:
    """Read in one transaction. `since` spares what has not changed after it.

    Raises:
        StoreError: the database cannot be read.
    """
    with connection.reading():
        changes = Changes(connection)
        revision = changes.newest
        if since is None or since.file != connection.identity:
            return _read(connection, revision)
        if since.revision == revision:
            return evolve(since, renewed=frozenset())
        touched = changes.touched(since.revision, revision)
        if touched is None:
            return _read(connection, revision)
        providers, models = touched
        if models:  # the links of a removed model are gone, and with them what would tell us their providers
            linked = (one for one, links in since.links.items() if any(link.model_id in models for link in links))
            providers = providers.union(linked)
        if len(providers) + len(models) > _MANY:
            return _read(connection, revision)
        fresh = _read(connection, revision, providers, models)
    return evolve(
        fresh,
        providers=_merged(since.providers, fresh.providers, providers),
        options=_merged(since.options, fresh.options, providers),
        links=_merged(since.links, fresh.links, providers),
        models=_merged(since.models, fresh.models, models),
        renewed=providers,
    )


def _read(
    connection: Connection, revision: int, providers: Ids | None = None, models: Ids | None = None
) -> Configuration:
    """What the tables hold of these providers and models, or of all; settings and credentials are few."""
    return Configuration(
        revision=revision,
        file=connection.identity,
        providers={
            record.id: record for record in _records(connection, ProviderRecord, "providers", ["id"], providers)
        },
        options=_by_provider(_records(connection, OptionRecord, "provider_configs", ["provider_id", "key"], providers)),
        links=_by_provider(_records(connection, LinkRecord, "provider_models", ["provider_id", "model_id"], providers)),
        models={record.id: record for record in _records(connection, ModelRecord, "models", ["id"], models)},
        settings={record.key: record for record in Settings(connection).list()},
        credentials=Credentials(connection).list(),
    )


def _records(connection: Connection, cls: type[R], table: str, keys: Sequence[str], ids: Ids | None) -> Iterator[R]:
    among = "" if ids is None else f"WHERE {keys[0]} IN ({', '.join('?' * len(ids))})"
    # Within one provider in the order in which they were added, which outlives that rows are written anew.
    order = ", created_at, ".join(keys)
    sql = f"SELECT * FROM {table} {among} ORDER BY {order}"  # noqa: S608 - names are the program's own
    return (record_of(cls, row) for row in connection.rows(sql, tuple(ids or ())))


def _by_provider(records: Iterable[P]) -> dict[str, tuple[P, ...]]:
    return {provider_id: tuple(group) for provider_id, group in groupby(records, key=attrgetter("provider_id"))}


def _merged(old: Mapping[str, V], fresh: Mapping[str, V], touched: Ids) -> dict[str, V]:
    """The old entries, without those that were touched, and the fresh ones in their place."""
    merged = dict(old)
    for key in touched:
        merged.pop(key, None)
    merged.update(fresh)
    return merged
