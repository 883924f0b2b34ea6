"""Has anybody changed the configuration? Asked at the start of every request, so it must cost next to nothing."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from provider_router.store import file
from provider_router.store.changes import REVISION
from provider_router.store.configuration import Configuration

# How often to look whether another file took the place of ours, in seconds: it is rare, and asking is not free.
_REPLACED_EVERY = 1.0


class Probe:
    """A connection of its own that only reads and never waits, so that every commit of others shows on it.

    It is opened at the first question and anew when another file took the place of the first. One thread at a time
    may ask. A forked process makes its own.

    Args:
        path: the database file of a store.
        clock: seconds that only go forward.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._raw: sqlite3.Connection | None = None
        self._cursor: sqlite3.Cursor | None = None
        self._file = (0, 0)
        self._looked = 0.0
        self._version = -1
        self._revision = 0

    def moved(self, held: Configuration) -> bool:
        """Whether a configuration is out of date.

        A file that is locked, broken or gone at this moment says no: what is held stays good until it can be asked.
        """
        try:
            now = self._clock()
            if self._cursor is None or now - self._looked >= _REPLACED_EVERY:
                self._look(now)
            assert self._cursor is not None
            # All rows are fetched: a statement that is not at its end would hold this connection at an old state.
            [(version,)] = self._cursor.execute("PRAGMA data_version").fetchall()
            if version != self._version:
                [(self._revision,)] = self._cursor.execute(REVISION).fetchall()
                self._version = version
        except (sqlite3.Error, OSError):
            return False
        return self._revision != held.revision or self._file != held.file

    @property
    def seen(self) -> tuple[int, ...]:
        """What was there when it was asked last: the file, and its revision."""
        return *self._file, self._revision

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self._raw is not None:
            self._raw.close()
        self._raw = self._cursor = None

    def _look(self, now: float) -> None:
        """Open the file, if that is not done or it is another one by now."""
        present = file.identity(self._path)
        if self._cursor is None or present != self._file:
            self.close()
            self._raw = sqlite3.connect(
                file.address(self._path, "ro"), uri=True, timeout=0, isolation_level=None, check_same_thread=False
            )
            self._cursor = self._raw.cursor()
            self._file, self._version = present, -1
        self._looked = now
