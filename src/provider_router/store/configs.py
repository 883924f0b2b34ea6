"""The table `provider_configs`: the options of each provider."""

from __future__ import annotations

from attrs import evolve, frozen

from provider_router.errors import UnknownProvider
from provider_router.store.connection import Connection
from provider_router.store.records import OptionRecord, now, record_of, row_of


@frozen
class Configs:
    """Options, by provider and key. Whoever changes one writes its change record in the same transaction."""

    _connection: Connection

    def get(self, provider_id: str, key: str) -> OptionRecord | None:
        """One option, or None if it is not set."""
        sql = "SELECT * FROM provider_configs WHERE provider_id = ? AND key = ?"
        row = self._connection.row(sql, (provider_id, key))
        return record_of(OptionRecord, row) if row else None

    def list(self, provider_id: str) -> tuple[OptionRecord, ...]:
        """All options of a provider, by key."""
        sql = "SELECT * FROM provider_configs WHERE provider_id = ? ORDER BY key"
        return tuple(record_of(OptionRecord, row) for row in self._connection.rows(sql, (provider_id,)))

    def set(self, record: OptionRecord) -> OptionRecord:
        """Set an option; of one that was set already, `created_at` stays and `updated_at` becomes now.

        Returns:
            The record as it is now.

        Raises:
            UnknownProvider: there is no such provider.
            InvalidConfig: the value is not of its kind, or sensitive and no reference.
        """
        with self._connection.atomic():
            if before := self.get(record.provider_id, record.key):
                record = evolve(record, created_at=before.created_at, updated_at=now())
                self._connection.update("provider_configs", row_of(record), key=["provider_id", "key"])
            elif self._connection.row("SELECT 1 FROM providers WHERE id = ?", (record.provider_id,)):
                self._connection.insert("provider_configs", row_of(record))
            else:
                raise UnknownProvider(f"There is no provider {record.provider_id}: add it before its options.")
        return record

    def unset(self, provider_id: str, key: str) -> OptionRecord | None:
        """Remove an option.

        Returns:
            The record as it was, or None if it was not set.
        """
        with self._connection.atomic():
            record = self.get(provider_id, key)
            self._connection.delete("provider_configs", {"provider_id": provider_id, "key": key})
        return record

    def clear(self, provider_id: str) -> int:
        """Remove every option of a provider.

        Returns:
            How many there were.
        """
        return self._connection.delete("provider_configs", {"provider_id": provider_id})
