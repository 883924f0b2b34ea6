"""The table `models`."""

from __future__ import annotations

from attrs import evolve, frozen

from provider_router.errors import AlreadyExists, UnknownModel
from provider_router.store.connection import Connection
from provider_router.store.records import ModelRecord, now, record_of, row_of


@frozen
class Models:
    """Models under our names, by id. Whoever changes one writes its change record in the same transaction."""

    _connection: Connection

    def add(self, record: ModelRecord) -> None:
        """Add a model.

        Raises:
            AlreadyExists: the id is taken.
            InvalidConfig: a value that the table refuses.
        """
        with self._connection.atomic():
            if record.id in self:
                raise AlreadyExists(f"There is a model {record.id} already: choose another id, or edit that one.")
            self._connection.insert("models", row_of(record))

    def get(self, model_id: str) -> ModelRecord:
        """One model.

        Raises:
            UnknownModel: there is none of this id.
        """
        if row := self._connection.row("SELECT * FROM models WHERE id = ?", (model_id,)):
            return record_of(ModelRecord, row)
        raise UnknownModel(f"There is no model {model_id}: `prouter model list` shows those that there are.")

    def list(self, *, capability: str | None = None) -> tuple[ModelRecord, ...]:
        """All models, or those that say they have a capability, by id."""
        rows = self._connection.rows("SELECT * FROM models ORDER BY id")
        records = (record_of(ModelRecord, row) for row in rows)
        return tuple(r for r in records if capability is None or capability in (r.capabilities or ()))

    def update(self, record: ModelRecord) -> ModelRecord:
        """Write every field of the model of the same id; `updated_at` becomes now.

        Returns:
            The record as it is now.

        Raises:
            UnknownModel: there is none of this id.
            InvalidConfig: a value that the table refuses.
        """
        record = evolve(record, updated_at=now())
        with self._connection.atomic():
            self.get(record.id)
            self._connection.update("models", row_of(record), key=["id"])
        return record

    def remove(self, model_id: str) -> ModelRecord:
        """Remove a model with its links. Aliases of it and fallbacks to it stay, and are names without a model.

        Returns:
            The record as it was.

        Raises:
            UnknownModel: there is none of this id.
        """
        with self._connection.atomic():
            record = self.get(model_id)
            self._connection.delete("models", {"id": model_id})
        return record

    def __contains__(self, model_id: object) -> bool:
        return (
            isinstance(model_id, str)
            and self._connection.row("SELECT 1 FROM models WHERE id = ?", (model_id,)) is not None
        )

    def __len__(self) -> int:
        return int(self._connection.rows("SELECT count(*) FROM models")[0][0])
