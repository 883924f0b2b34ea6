"""The table `changes`: who changed what, and what it was before. Its newest number is the configuration's revision."""

from __future__ import annotations

import json

from attrs import evolve, frozen

from provider_router.errors import ConfigError
from provider_router.store.connection import Connection
from provider_router.store.records import ChangeRecord, record_of, row_of

REVISION = "SELECT coalesce(max(number), 0) FROM changes"


@frozen
class Changes:
    """Change records, by number. They are written once, in the transaction of the change they tell of."""

    _connection: Connection

    def add(self, record: ChangeRecord) -> ChangeRecord:
        """Tell of a change. Without it no process would know that there was one.

        Returns:
            The record with its number, which is the revision from now on.
        """
        return evolve(record, number=self._connection.insert("changes", row_of(record)))

    def get(self, number: int) -> ChangeRecord:
        """One change.

        Raises:
            ConfigError: there is none of this number.
        """
        if row := self._connection.row("SELECT * FROM changes WHERE number = ?", (number,)):
            return record_of(ChangeRecord, row)
        raise ConfigError(f"There is no change {number}: `prouter changes log` shows those that there are.")

    def list(self, *, since: int = 0, subject: str | None = None, limit: int | None = None) -> tuple[ChangeRecord, ...]:
        """The changes after number `since`, or those of them about a subject, newest first, at most `limit`."""
        rows = self._connection.rows(
            "SELECT * FROM changes WHERE number > ? AND (? IS NULL OR subject = ?) ORDER BY number DESC LIMIT ?",
            (since, subject, subject, -1 if limit is None else limit),
        )
        return tuple(record_of(ChangeRecord, row) for row in rows)

    def touched(self, since: int, until: int) -> tuple[frozenset[str], frozenset[str]] | None:
        """Ids of the providers and of the models with a row that a change after `since` up to `until` has touched.

        Returns:
            None if that is not known: a change does not say, or some are not there (`since` is of another past).
        """
        sql = "SELECT providers, models FROM changes WHERE number > ? AND number <= ?"
        rows = self._connection.rows(sql, (since, until))
        if len(rows) != until - since or any(row["providers"] is None or row["models"] is None for row in rows):
            return None
        providers, models = (frozenset(one for row in rows for one in json.loads(row[i])) for i in (0, 1))
        return providers, models

    def mention(self, text: str) -> bool:
        """Whether a change tells of rows with this text in them."""
        sql = "SELECT 1 FROM changes WHERE instr(before, ?) OR instr(after, ?) LIMIT 1"
        return self._connection.row(sql, (text, text)) is not None

    @property
    def newest(self) -> int:
        """The number of the newest change, 0 if there is none."""
        return int(self._connection.rows(REVISION)[0][0])
