"""The table `providers`."""

from __future__ import annotations

from attrs import evolve, frozen

from provider_router.errors import AlreadyExists, UnknownProvider
from provider_router.store.connection import Connection
from provider_router.store.records import ProviderRecord, now, record_of, row_of


@frozen
class Providers:
    """Configured providers, by id. Whoever changes one writes its change record in the same transaction."""

    _connection: Connection

    def add(self, record: ProviderRecord) -> None:
        """Add a provider.

        Raises:
            AlreadyExists: the id or the name is taken.
            InvalidConfig: a value that the table refuses.
        """
        with self._connection.atomic():
            if record.id in self:
                raise AlreadyExists(f"There is a provider {record.id} already: choose another id, or edit that one.")
            self._refuse_taken_name(record)
            self._connection.insert("providers", row_of(record))

    def get(self, provider_id: str) -> ProviderRecord:
        """One provider.

        Raises:
            UnknownProvider: there is none of this id.
        """
        if row := self._connection.row("SELECT * FROM providers WHERE id = ?", (provider_id,)):
            return record_of(ProviderRecord, row)
        raise UnknownProvider(f"There is no provider {provider_id}: `prouter list` shows those that there are.")

    def list(self, *, type: str | None = None, enabled: bool | None = None) -> tuple[ProviderRecord, ...]:
        """All providers, or those of a type, or those that are on or off; highest priority first, then by id."""
        rows = self._connection.rows(
            "SELECT * FROM providers WHERE (? IS NULL OR type = ?) AND (? IS NULL OR enabled = ?) "
            "ORDER BY priority DESC, id",
            (type, type, enabled, enabled),
        )
        return tuple(record_of(ProviderRecord, row) for row in rows)

    def update(self, record: ProviderRecord) -> ProviderRecord:
        """Write every field of the provider of the same id; `updated_at` becomes now.

        Returns:
            The record as it is now.

        Raises:
            UnknownProvider: there is none of this id.
            AlreadyExists: another one has the name.
            InvalidConfig: a value that the table refuses.
        """
        record = evolve(record, updated_at=now())
        with self._connection.atomic():
            self.get(record.id)
            self._refuse_taken_name(record)
            self._connection.update("providers", row_of(record), key=["id"])
        return record

    def remove(self, provider_id: str) -> ProviderRecord:
        """Remove a provider with its options and links.

        Returns:
            The record as it was.

        Raises:
            UnknownProvider: there is none of this id.
        """
        with self._connection.atomic():
            record = self.get(provider_id)
            self._connection.delete("providers", {"id": provider_id})
        return record

    def _refuse_taken_name(self, record: ProviderRecord) -> None:
        other = self._connection.row("SELECT id FROM providers WHERE name = ? AND id <> ?", (record.name, record.id))
        if other:
            raise AlreadyExists(f"The provider {other['id']} is named {record.name} already: choose another name.")

    def __contains__(self, provider_id: object) -> bool:
        return (
            isinstance(provider_id, str)
            and self._connection.row("SELECT 1 FROM providers WHERE id = ?", (provider_id,)) is not None
        )

    def __len__(self) -> int:
        return int(self._connection.rows("SELECT count(*) FROM providers")[0][0])
