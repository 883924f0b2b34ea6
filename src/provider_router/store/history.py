"""The history's database: its own file beside the configuration's, whose loss harms nothing but memory."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from provider_router.errors import StoreError
from provider_router.store import file
from provider_router.store.batch import Batch
from provider_router.store.connection import Connection
from provider_router.store.fileless import MemoryFile
from provider_router.store.health_notes import HealthNotes
from provider_router.store.history_schema import HISTORY
from provider_router.store.retention import Retention
from provider_router.store.rollups import HOUR, Rollups, Subject, Tally
from provider_router.store.sessions import Sessions
from provider_router.store.trails import Trails

_BUSY_TIMEOUT = 2.0  # seconds: who writes here can do without


class History:
    """A history's database in use; `History.open` opens one, and who opens it closes it.

    Attributes:
        notes: the health notes.
        trails: the requests, to be read.
        sessions: the sessions.
        rollups: the sums of each hour.
        retention: what is to go.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.notes = HealthNotes(connection)
        self.trails = Trails(connection)
        self.sessions = Sessions(connection)
        self.rollups = Rollups(connection)
        self.retention = Retention(connection)

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False, max_bytes: int | None = None) -> Self:
        """Open a history; one that is not there is created, or, to be read only, taken for an empty one.

        Args:
            path: the file.
            read_only: write nothing.
            max_bytes: SQLite is to say that the disk is full when the file would grow beyond this.

        Raises:
            StoreError: the file cannot be used; the message says why.
        """
        kind = MemoryFile if read_only and not file.exists(path) else Connection
        connection = kind(path, schema=HISTORY, read_only=read_only, busy_timeout=_BUSY_TIMEOUT, lasting=False)
        if max_bytes is not None:
            [(each,)] = connection.rows("PRAGMA page_size")
            connection.rows(f"PRAGMA max_page_count = {max_bytes // each}")
        return cls(connection)

    def record(self, batch: Batch, *, now: int, lost: int = 0, pause: float = 0.0) -> None:
        """Write requests, and the sums of their hours, in one transaction.

        Args:
            batch: what is to be written.
            now: milliseconds since 1970.
            lost: how many more there were that could not be recorded.
            pause: seconds of sleep between two large statements, for the threads that wait for Python's lock.

        Raises:
            StoreError: the file cannot be written now; nothing of it was kept.
        """
        with self._connection.atomic():
            batch.cells.write(self._connection, self.sessions.reuse(batch.lines), now=now, pause=pause)
            self.rollups.add(batch.tallies)
            if lost:
                self.rollups.add({Subject(now - now % HOUR): Tally(lost=lost)})

    @property
    def empty(self) -> bool:
        """Whether this stands for a file that was not there."""
        return isinstance(self._connection, MemoryFile)

    @property
    def trouble(self) -> str:
        """Why nothing can be written now, or ""."""
        try:
            with self._connection.atomic():
                # Of a file that may only be read SQLite makes the transaction one for reading, and says nothing.
                self._connection.change("DELETE FROM plans WHERE 0")
                return ""
        except StoreError as error:
            return str(error)

    @property
    def size(self) -> int:
        """Bytes in use."""
        return self._connection.size()

    def shrink(self) -> None:
        """Give the room of what was removed back to the disk.

        Raises:
            StoreError: somebody else is using the file, or the disk has no room for the copy that it takes.
        """
        self._connection.shrink()

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
