"""The table `qwen_credentials`: logins at chat.qwen.ai, as references to secrets."""

from __future__ import annotations

from datetime import datetime

from attrs import evolve, frozen

from provider_router.errors import ConfigError
from provider_router.store.connection import Connection
from provider_router.store.records import CredentialRecord, now, record_of, row_of


@frozen
class Credentials:
    """Logins, by number. Whoever changes one writes its change record in the same transaction."""

    _connection: Connection

    def add(self, record: CredentialRecord) -> CredentialRecord:
        """Add a login; one that has an `id`, restored from a change, keeps it.

        Returns:
            The record with its `id`.

        Raises:
            InvalidConfig: the token or the cookies are no references.
        """
        return evolve(record, id=self._connection.insert("qwen_credentials", row_of(record)))

    def get(self, credential_id: int) -> CredentialRecord:
        """One login.

        Raises:
            ConfigError: there is none of this number.
        """
        if row := self._connection.row("SELECT * FROM qwen_credentials WHERE id = ?", (credential_id,)):
            return record_of(CredentialRecord, row)
        raise ConfigError(
            f"There are no credentials {credential_id}: `prouter credentials list` shows those there are."
        )

    def list(self) -> tuple[CredentialRecord, ...]:
        """All logins, the newest first."""
        rows = self._connection.rows("SELECT * FROM qwen_credentials ORDER BY created_at DESC, id DESC")
        return tuple(record_of(CredentialRecord, row) for row in rows)

    def current(self, at: datetime) -> CredentialRecord | None:
        """The newest login that has not expired at an instant, or None."""
        return next((record for record in self.list() if record.expires_at is None or record.expires_at > at), None)

    def update(self, record: CredentialRecord) -> CredentialRecord:
        """Write every field of the login of the same `id`; `updated_at` becomes now.

        Returns:
            The record as it is now.

        Raises:
            ConfigError: there is none of this number.
            InvalidConfig: the token or the cookies are no references.
        """
        record = evolve(record, updated_at=now())
        with self._connection.atomic():
            if not self._connection.update("qwen_credentials", row_of(record), key=["id"]):
                raise ConfigError(f"There are no credentials {record.id}: they have been removed meanwhile.")
        return record

    def remove(self, credential_id: int) -> CredentialRecord:
        """Remove a login.

        Returns:
            The record as it was.

        Raises:
            ConfigError: there is none of this number.
        """
        with self._connection.atomic():
            record = self.get(credential_id)
            self._connection.delete("qwen_credentials", {"id": credential_id})
        return record
