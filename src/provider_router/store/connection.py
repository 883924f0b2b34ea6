"""One connection to one SQLite file: opened safely, locked among threads, in transactions, its errors made ours."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeAlias

from provider_router.errors import StoreError
from provider_router.store import file
from provider_router.store.backup import backup_before
from provider_router.store.migrations import Schema
from provider_router.store.wal import enable_wal

Cell: TypeAlias = str | int | float | bytes | None

log = logging.getLogger("provider_router")

# Rows in one statement. Few forms, so that each stays prepared; SQLite before 3.32 takes 999 values at most.
_TOGETHER: Final = (256, 64, 16, 4, 1)
_MANY: Final = 64
_CHECKPOINT_PAGES: Final = 4000  # of 4 KiB in the write-ahead log until they go into the file

# SQLite forbids a forked child even to close what its parent opened: it is kept here until the child ends.
_of_the_parent: list[sqlite3.Connection] = []


class Connection:
    """A database file in use. Any thread may call; they take turns, a whole transaction each.

    Args:
        path: the file; it is created, with its folder, unless `read_only`.
        schema: what it holds. Older files are brought up to it, after a backup.
        read_only: do not create, migrate or write.
        busy_timeout: longest wait for another process's transaction, in seconds.
        lasting: whether a transaction that was kept outlives even a failing of the power. Without it such a failing may
            cost the last ones, and never the file; a failing of the program costs nothing either way.

    Raises:
        StoreError: the file cannot be used; the subclass and the message say why. It is left as it was.
    """

    def __init__(
        self, path: Path, *, schema: Schema, read_only: bool, busy_timeout: float, lasting: bool = True
    ) -> None:
        self.path = path
        self.read_only = read_only
        self._schema = schema
        self._busy_timeout = busy_timeout
        self._lasting = lasting
        self._lock = threading.RLock()
        self._depth = 0
        self._pid = os.getpid()
        self._raw: sqlite3.Connection | None = self._open()

    def close(self) -> None:
        """Close the file. May be called twice."""
        if os.getpid() != self._pid:
            if self._raw is not None:
                _of_the_parent.append(self._raw)
                self._raw = None
            return
        with self._lock:
            if self._raw is not None:
                self._raw.close()
                self._raw = None

    # ---------------------------------------------------------------------------------------------- statements

    def rows(self, sql: str, parameters: Sequence[Cell] = ()) -> list[sqlite3.Row]:
        """Read all rows of a query."""
        return self._execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Sequence[Cell] = ()) -> sqlite3.Row | None:
        """Read the first row of a query, or None."""
        rows = self.rows(sql, parameters)
        return rows[0] if rows else None

    def insert(self, table: str, row: Mapping[str, Cell]) -> int:
        """Add a row.

        Returns:
            Its rowid.
        """
        columns = ", ".join(row)
        marks = ", ".join("?" * len(row))
        sql = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 - names are the program's own
        return self._execute(sql, tuple(row.values())).lastrowid or 0

    def insert_many(
        self,
        table: str,
        columns: Sequence[str],
        cells: list[Cell],
        *,
        conflict: str = "",
        pause: float = 0.0,
        at_once: int = _TOGETHER[0],
    ) -> None:
        """Add rows, many with one statement: that costs a third less, and SQLite works on them without Python's lock.

        Args:
            table: where to. A column in which there may be None has no default.
            columns: their names; in the first there is never None.
            cells: one row's values after the other's.
            conflict: what SQL says of a row that is there already.
            pause: seconds of sleep after each statement of many rows, in which other threads have Python's lock.
            at_once: most rows of one statement: SQLite takes a copy of all its values first, under Python's lock.
        """
        cells = cells.copy()
        # Handing over None costs several times what a number does: a column that has nothing else is left out.
        rows = len(cells) // len(columns)
        for place in range(len(columns) - 1, 0, -1):
            if cells[place :: len(columns)].count(None) == rows:
                del cells[place :: len(columns)]
                columns = (*columns[:place], *columns[place + 1 :])
        at, most = 0, self._usable().getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        for together in _TOGETHER:
            width = together * len(columns)
            while together <= at_once and width <= most and len(cells) - at >= width:
                self._execute(_inserting(table, tuple(columns), together, conflict), cells[at : at + width])
                at += width
                if pause and together >= _MANY:
                    time.sleep(pause)

    def update(self, table: str, row: Mapping[str, Cell], *, key: Sequence[str]) -> int:
        """Write the columns of the row that has the same `key` columns.

        Returns:
            How many rows there were: 1 or 0.
        """
        values = {column: value for column, value in row.items() if column not in key}
        changes = ", ".join(f"{column} = ?" for column in values)
        sql = f"UPDATE {table} SET {changes} WHERE {_all_equal(key)}"  # noqa: S608 - names are the program's own
        return self._execute(sql, (*values.values(), *(row[column] for column in key))).rowcount

    def delete(self, table: str, key: Mapping[str, Cell]) -> int:
        """Remove the rows whose columns have these values.

        Returns:
            How many there were.
        """
        sql = f"DELETE FROM {table} WHERE {_all_equal(key)}"  # noqa: S608 - names are the program's own
        return self._execute(sql, tuple(key.values())).rowcount

    def change(self, sql: str, parameters: Sequence[Cell] = ()) -> int:
        """Do what none of the others can say.

        Returns:
            How many rows were changed.
        """
        return self._execute(sql, parameters).rowcount

    def _execute(self, sql: str, parameters: Sequence[Cell]) -> sqlite3.Cursor:
        self._refuse_other_process()
        with self._lock, file.translated(self.path, instead=self._schema.instead):
            raw = self._usable()
            if self._depth and not raw.in_transaction:
                # SQLite ends the whole transaction by itself when the disk is full or fails: what came after such an
                # error would be kept without what came before it.
                raise self._ended()
            return raw.execute(sql, parameters)

    def size(self) -> int:
        """Bytes in use: of the file, what was removed from it left out."""
        names = ("page_count", "freelist_count", "page_size")
        pages, free, each = (self.rows(f"PRAGMA {name}")[0][0] for name in names)
        return int((pages - free) * each)

    def shrink(self) -> None:
        """Give back to the disk what was removed. Others wait meanwhile, and twice the space is needed."""
        self.change("VACUUM")

    # -------------------------------------------------------------------------------------------- transactions

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Keep everything in the block, or nothing. Nested, it is a savepoint.

        It takes the write lock at once: a transaction that reads first and then wants to write fails with "locked"
        as soon as another one did the same, however long it waits.
        """
        with self._transaction("BEGIN IMMEDIATE"):
            yield

    @contextmanager
    def removing(self) -> Iterator[None]:
        """Like `atomic`, for who removes rows together with everything that refers to them.

        SQLite looks for the latter itself, and reads a whole table for each row where that has no index for it.
        """
        self._refuse_other_process()
        with self._lock:
            self.change("PRAGMA foreign_keys = off")  # means nothing in a transaction
            try:
                with self.atomic():
                    yield
            finally:
                self.change("PRAGMA foreign_keys = on")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See one state of the database in the whole block, whatever others write meanwhile."""
        with self._transaction("BEGIN"):
            yield

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self._refuse_other_process()
        with self._lock:
            raw = self._usable()
            savepoint = f"level_{self._depth}" if self._depth else ""
            self._depth += 1
            try:
                self._step(raw, f"SAVEPOINT {savepoint}" if savepoint else begin)
                yield
                raw = self._raw or raw  # the file may have been begun meanwhile
                if not raw.in_transaction:
                    raise self._ended()
                self._step(raw, f"RELEASE {savepoint}" if savepoint else "COMMIT")
            except BaseException:
                raw = self._raw or raw
                # Not there any more if SQLite has ended it by itself (disk full).
                if raw.in_transaction:
                    for undo in (f"ROLLBACK TO {savepoint}", f"RELEASE {savepoint}") if savepoint else ("ROLLBACK",):
                        self._step(raw, undo)
                raise
            finally:
                self._depth -= 1

    def _step(self, raw: sqlite3.Connection, statement: str) -> None:
        with file.translated(self.path, instead=self._schema.instead):
            raw.execute(statement)

    def _ended(self) -> StoreError:
        return StoreError(f"{self.path}: the transaction was ended by an error before. Nothing of it was kept.")

    # ------------------------------------------------------------------------------------------------- opening

    def _refuse_other_process(self) -> None:
        # Before the lock is touched: in a forked child a thread that is not there may hold it for ever.
        if os.getpid() != self._pid:
            raise StoreError(f"{self.path} was opened before the fork of this process: open it anew here.")

    def _usable(self) -> sqlite3.Connection:
        """The connection, renewed if another file took the place of ours."""
        if self._raw is None:
            raise StoreError(f"{self.path} has been closed.")
        if not self._depth:
            try:
                present = file.identity(self.path)
            except OSError:
                raise StoreError(
                    f"{self.path} is gone: it was deleted or moved while in use. Put it back, or start anew."
                ) from None
            if present != self.identity:
                log.warning("%s was replaced by another file, which is read from now on", self.path)
                self._raw.close()
                self._raw = None
                self._raw = self._open()
        return self._raw

    def _open(self) -> sqlite3.Connection:
        if not self.read_only:
            file.create(self.path)
        file.require(self.path)
        with file.translated(self.path, instead=self._schema.instead):
            raw = sqlite3.connect(
                file.address(self.path, "ro" if self.read_only else "rw"),
                uri=True,
                timeout=self._busy_timeout,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                self.identity = file.identity(self.path)
                self._prepare(raw)
            except BaseException:
                raw.close()
                raise
        return raw

    def _prepare(self, raw: sqlite3.Connection) -> None:
        pending = self._schema.pending(raw, self.path)  # before anything is written: the file may not be ours
        if pending and self.read_only:
            raise StoreError(f"{self.path} is of an older version: open it once for writing, then it is brought up.")
        if not self.read_only:
            enable_wal(raw, self.path, timeout=self._busy_timeout)
        if pending:
            self._migrate(raw)
        if not self._lasting:
            raw.execute("PRAGMA synchronous = normal")
            raw.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        raw.execute("PRAGMA foreign_keys = on")
        raw.row_factory = sqlite3.Row

    def _migrate(self, raw: sqlite3.Connection) -> None:
        raw.execute("PRAGMA foreign_keys = off")
        raw.execute("BEGIN IMMEDIATE")
        try:
            # Asked again under the lock: of several processes that open a new file at once, the first one does it.
            pending = self._schema.pending(raw, self.path)
            if pending and raw.execute("PRAGMA application_id").fetchone()[0]:
                copy = backup_before(pending[0], self.path)
                log.warning("%s is brought up to this version; as it was, it is kept in %s", self.path, copy)
            if pending:
                self._schema.migrate(raw, self.path)
            raw.execute("COMMIT")
        except BaseException:
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            raise


@lru_cache(maxsize=256)
def _inserting(table: str, columns: tuple[str, ...], together: int, conflict: str) -> str:
    rows = ", ".join([f"({', '.join('?' * len(columns))})"] * together)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {rows} {conflict}"  # noqa: S608 - our names


def _all_equal(columns: Iterator[str] | Sequence[str] | Mapping[str, Cell]) -> str:
    return " AND ".join(f"{column} = ?" for column in columns)
