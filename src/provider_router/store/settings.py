"""The table `settings`: values of the whole router."""

from __future__ import annotations

from attrs import evolve, frozen

from provider_router.store.connection import Connection
from provider_router.store.records import SettingRecord, now, record_of, row_of


@frozen
class Settings:
    """Settings, by key. Whoever changes one writes its change record in the same transaction."""

    _connection: Connection

    def get(self, key: str) -> SettingRecord | None:
        """One setting, or None if it is not set."""
        row = self._connection.row("SELECT * FROM settings WHERE key = ?", (key,))
        return record_of(SettingRecord, row) if row else None

    def list(self) -> tuple[SettingRecord, ...]:
        """All settings that are set, by key."""
        return tuple(
            record_of(SettingRecord, row) for row in self._connection.rows("SELECT * FROM settings ORDER BY key")
        )

    def set(self, record: SettingRecord) -> SettingRecord:
        """Set a setting; `updated_at` becomes now.

        Returns:
            The record as it is now.

        Raises:
            InvalidConfig: the value is not of its kind.
        """
        record = evolve(record, updated_at=now().replace(microsecond=0))
        with self._connection.atomic():
            if not self._connection.update("settings", row_of(record), key=["key"]):
                self._connection.insert("settings", row_of(record))
        return record

    def unset(self, key: str) -> SettingRecord | None:
        """Remove a setting.

        Returns:
            The record as it was, or None if it was not set.
        """
        with self._connection.atomic():
            record = self.get(key)
            self._connection.delete("settings", {"key": key})
        return record
