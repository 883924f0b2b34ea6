"""The table `health_notes`: what each process found of its providers, for the others and for after a restart."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from provider_router.store.connection import Connection

_KEPT = 24 * 3600 * 1000  # milliseconds that a note outlives its end


@frozen(kw_only=True)
class HealthNoteRecord:
    """One note. `until` and `at` are milliseconds since 1970."""

    process: str
    scope: str
    subject: str
    model: str | None
    state: str
    reason: str
    until: int
    at: int


@frozen
class HealthNotes:
    """Health notes, by process."""

    _connection: Connection

    def replace(self, process: str, notes: Iterable[HealthNoteRecord], *, now: int) -> None:
        """Write what a process knows now in place of what it knew; what ended long ago is dropped.

        Args:
            process: a name that no other process has.
            notes: all of its notes.
            now: milliseconds since 1970.

        Raises:
            StoreError: the file cannot be written now.
        """
        with self._connection.atomic():
            self._connection.delete("health_notes", {"process": process})
            for note in notes:
                self._connection.insert(
                    "health_notes",
                    {
                        "process": process,
                        "scope": note.scope,
                        "subject": note.subject,
                        "model": note.model,
                        "state": note.state,
                        "reason": note.reason,
                        "until": note.until,
                        "at": note.at,
                    },
                )
            for row in self._connection.rows("SELECT rowid FROM health_notes WHERE until < ?", (now - _KEPT,)):
                self._connection.delete("health_notes", {"rowid": row["rowid"]})

    def others(self, process: str, *, now: int) -> list[HealthNoteRecord]:
        """What the other processes know, and processes that are gone knew, that has not ended yet.

        Raises:
            StoreError: the file cannot be read now.
        """
        rows = self._connection.rows(
            "SELECT * FROM health_notes WHERE process <> ? AND until > ? ORDER BY at", (process, now)
        )
        return [HealthNoteRecord(**dict(row)) for row in rows]
