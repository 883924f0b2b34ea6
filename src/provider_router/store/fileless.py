"""Connections without a file: LateFile, whose file comes with its first write, and MemoryFile, which never has one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from provider_router.errors import StoreError
from provider_router.store import file
from provider_router.store.connection import Cell, Connection


class LateFile(Connection):
    """A file that need not be there yet: until then its tables are empty, and the first write creates it.

    What is refused before anything was written leaves no file behind. One that others create meanwhile is taken up at
    the next statement outside a transaction, or at the first write in one.
    """

    identity = (0, 0)  # of no file

    def insert(self, table: str, row: Mapping[str, Cell]) -> int:
        self._begin_file()
        return super().insert(table, row)

    def update(self, table: str, row: Mapping[str, Cell], *, key: Sequence[str]) -> int:
        self._begin_file()
        return super().update(table, row, key=key)

    def delete(self, table: str, key: Mapping[str, Cell]) -> int:
        self._begin_file()
        return super().delete(table, key)

    def _open(self) -> sqlite3.Connection:
        self._in_memory = not file.exists(self.path)
        if not self._in_memory:
            return super()._open()
        raw = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._migrate(raw)
        raw.row_factory = sqlite3.Row
        return raw

    def _usable(self) -> sqlite3.Connection:
        if self._raw is not None and self._in_memory:
            if self._depth or not file.exists(self.path):
                return self._raw
            self._begin_file()
        return super()._usable()

    def _begin_file(self) -> None:
        """Put the file in the place of the empty tables, in the midst of whatever transaction there is."""
        self._refuse_other_process()
        with self._lock:
            if self._raw is None or not self._in_memory:
                return
            raw, memory = super()._open(), self._raw
            self._raw, self._in_memory = raw, False
            memory.close()
            for level in range(self._depth):
                self._step(raw, f"SAVEPOINT level_{level}" if level else "BEGIN IMMEDIATE")


class MemoryFile(Connection):
    """What is read like a database that no file has: tables in memory, which are filled once."""

    identity = (0, 0)

    def _open(self) -> sqlite3.Connection:
        raw = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._migrate(raw)
        raw.execute("PRAGMA query_only = on")
        raw.row_factory = sqlite3.Row
        return raw

    @contextmanager
    def filling(self) -> Iterator[None]:
        """A block in which the tables can be written, before anybody reads them."""
        raw = self._usable()
        raw.execute("PRAGMA query_only = off")
        yield
        raw.execute("PRAGMA query_only = on")

    def _usable(self) -> sqlite3.Connection:
        if self._raw is None:
            raise StoreError(f"{self.path} has been closed.")
        return self._raw
