"""The history's database: its own file beside the configuration's, whose loss harms nothing but memory."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from provider_router.store.connection import Connection
from provider_router.store.health_notes import HealthNotes
from provider_router.store.migrations import Schema

if TYPE_CHECKING:
    from sqlite_utils import Database

_BUSY_TIMEOUT = 2.0  # seconds: who writes here can do without


def m001_health_notes(db: Database) -> None:
    """What processes tell each other of their providers."""
    db.execute(
        """CREATE TABLE health_notes (
            process TEXT NOT NULL,
            scope TEXT NOT NULL,
            subject TEXT NOT NULL,
            model TEXT,
            state TEXT NOT NULL,
            reason TEXT NOT NULL,
            until INTEGER NOT NULL CONSTRAINT "until is whole milliseconds" CHECK (typeof(until) = 'integer'),
            at INTEGER NOT NULL CONSTRAINT "at is whole milliseconds" CHECK (typeof(at) = 'integer')
        )"""
    )
    db.execute("CREATE INDEX idx_health_notes_process ON health_notes(process)")
    db.execute("CREATE INDEX idx_health_notes_until ON health_notes(until)")


HISTORY = Schema(
    name="provider-router-history",
    application_id=int.from_bytes(b"PRHi"),
    steps=(m001_health_notes,),
)


class History:
    """A history's database in use; `History.open` opens one, and who opens it closes it.

    Attributes:
        notes: the health notes.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.notes = HealthNotes(connection)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a history; one that is not there is created.

        Raises:
            StoreError: the file cannot be used; the message says why.
        """
        return cls(Connection(path, schema=HISTORY, read_only=False, busy_timeout=_BUSY_TIMEOUT))

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
