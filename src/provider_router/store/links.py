"""The table `provider_models`: which provider serves which model."""

from __future__ import annotations

from attrs import evolve, frozen

from provider_router.errors import AlreadyExists, ConfigError, UnknownModel, UnknownProvider
from provider_router.store.connection import Connection
from provider_router.store.records import LinkRecord, now, record_of, row_of


@frozen
class Links:
    """Links, by provider and model. Whoever changes one writes its change record in the same transaction.

    A provider has one default link at most: a new one takes the place of the old one.
    """

    _connection: Connection

    def add(self, record: LinkRecord) -> None:
        """Link a model to a provider.

        Raises:
            UnknownProvider: there is no such provider.
            UnknownModel: there is no such model.
            AlreadyExists: they are linked.
            InvalidConfig: a value that the table refuses.
        """
        with self._connection.atomic():
            if not self._connection.row("SELECT 1 FROM providers WHERE id = ?", (record.provider_id,)):
                raise UnknownProvider(f"There is no provider {record.provider_id}: add it before its links.")
            if not self._connection.row("SELECT 1 FROM models WHERE id = ?", (record.model_id,)):
                raise UnknownModel(f"There is no model {record.model_id}: add it before its links.")
            if self.find(record.provider_id, record.model_id):
                raise AlreadyExists(f"{record.provider_id} and {record.model_id} are linked already: edit that link.")
            self._yield_default(record)
            self._connection.insert("provider_models", row_of(record))

    def find(self, provider_id: str, model_id: str) -> LinkRecord | None:
        """One link, or None."""
        sql = "SELECT * FROM provider_models WHERE provider_id = ? AND model_id = ?"
        row = self._connection.row(sql, (provider_id, model_id))
        return record_of(LinkRecord, row) if row else None

    def get(self, provider_id: str, model_id: str) -> LinkRecord:
        """One link.

        Raises:
            ConfigError: they are not linked.
        """
        if link := self.find(provider_id, model_id):
            return link
        raise ConfigError(
            f"{provider_id} and {model_id} are not linked: `prouter model link {provider_id} {model_id}` links them."
        )

    def list(self, *, provider_id: str | None = None, model_id: str | None = None) -> tuple[LinkRecord, ...]:
        """All links, or those of a provider or a model or both, by provider and model."""
        rows = self._connection.rows(
            "SELECT * FROM provider_models WHERE (? IS NULL OR provider_id = ?) AND (? IS NULL OR model_id = ?) "
            "ORDER BY provider_id, model_id",
            (provider_id, provider_id, model_id, model_id),
        )
        return tuple(record_of(LinkRecord, row) for row in rows)

    def default_for(self, provider_id: str) -> LinkRecord | None:
        """The link that serves requests that name no model, or None."""
        sql = "SELECT * FROM provider_models WHERE provider_id = ? AND is_default = 1"
        row = self._connection.row(sql, (provider_id,))
        return record_of(LinkRecord, row) if row else None

    def set_default(self, provider_id: str, model_id: str) -> LinkRecord:
        """Make a link its provider's default.

        Returns:
            The record as it is now.

        Raises:
            ConfigError: they are not linked.
        """
        with self._connection.atomic():
            return self.update(evolve(self.get(provider_id, model_id), default=True))

    def update(self, record: LinkRecord) -> LinkRecord:
        """Write every field of the link of the same provider and model; `updated_at` becomes now.

        Returns:
            The record as it is now.

        Raises:
            ConfigError: they are not linked.
            InvalidConfig: a value that the table refuses.
        """
        record = evolve(record, updated_at=now())
        with self._connection.atomic():
            self.get(record.provider_id, record.model_id)
            self._yield_default(record)
            self._connection.update("provider_models", row_of(record), key=["provider_id", "model_id"])
        return record

    def remove(self, provider_id: str, model_id: str) -> LinkRecord:
        """Remove a link.

        Returns:
            The record as it was.

        Raises:
            ConfigError: they are not linked.
        """
        with self._connection.atomic():
            record = self.get(provider_id, model_id)
            self._connection.delete("provider_models", {"provider_id": provider_id, "model_id": model_id})
        return record

    def remove_all(self, provider_id: str) -> int:
        """Remove every link of a provider.

        Returns:
            How many there were.
        """
        return self._connection.delete("provider_models", {"provider_id": provider_id})

    def _yield_default(self, record: LinkRecord) -> None:
        """Take the default from the provider's other link, if the record claims it."""
        old = self.default_for(record.provider_id) if record.default else None
        if old and old.model_id != record.model_id:
            row = row_of(evolve(old, default=False, updated_at=now()))
            self._connection.update("provider_models", row, key=["provider_id", "model_id"])
