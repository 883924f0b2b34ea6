"""Restoring: a backup is looked at before it is used, written through SQLite, and nothing that is damaged is lost."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from provider_router.errors import CorruptDatabase, DatabaseNotWritable, StoreError
from provider_router.store import file
from provider_router.store.backup import backup, free_name
from provider_router.store.connection import Connection
from provider_router.store.inspection import damages
from provider_router.store.migrations import CONFIGURATION, Schema
from provider_router.store.wal import enable_wal

_BUSY_TIMEOUT: Final = 10.0  # seconds
_TABLES: Final = (
    "providers",
    "models",
    "provider_configs",
    "provider_models",
    "settings",
    "qwen_credentials",
    "changes",
)


@contextmanager
def readable(path: Path, schema: Schema = CONFIGURATION) -> Iterator[Path]:
    """A backup that can be restored: the file itself, or, if it is of an older version, a copy that was brought up.

    The file is not changed, and a copy is removed at the end.

    Raises:
        StoreError: it is not there, damaged, of a newer version, or no database of this kind; the message says which.
    """
    file.require(path)
    with file.translated(path), closing(sqlite3.connect(file.address(path, "ro"), uri=True)) as raw:
        pending = schema.pending(raw, path)
        if not raw.execute("PRAGMA application_id").fetchone()[0]:
            raise StoreError(f"{path} is an empty database, and no backup.")
    if faults := damages(path, schema):
        more = f" (and {len(faults) - 1} more: prouter db check {path})" if len(faults) > 1 else ""
        raise CorruptDatabase(f"{path} cannot be restored: {faults[0].what}{more}")
    if not pending:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="prouter-") as folder:
        copy = Path(folder) / path.name
        backup(path, copy)
        with (
            file.translated(path),
            closing(sqlite3.connect(file.address(copy, "rw"), uri=True, isolation_level=None)) as raw,
        ):
            raw.execute("BEGIN IMMEDIATE")
            schema.migrate(raw, path)
            raw.execute("COMMIT")
        yield copy


def set_aside(path: Path) -> Path:
    """Give a damaged database another name, together with what SQLite keeps beside it, so that nothing of it is lost.

    It cannot be emptied in place: who has it open goes on with the log and the shared memory that it has, and a new
    file under them would be damaged at once. A file that is moved is noticed, by SQLite and by `Connection`.

    Returns:
        Its name from now on: `router.damaged-20260131T142233Z.db`.

    Raises:
        DatabaseNotWritable: it cannot be moved; on Windows as long as somebody has it open.
    """
    path = path.resolve()  # SQLite keeps its files beside the file that a link leads to
    at = datetime.now(UTC)
    aside = free_name(path.parent, f"{path.stem}.damaged-{at:%Y%m%dT%H%M%SZ}", path.suffix)
    try:
        # The database first: from then on nobody takes the log for that of a sound one.
        path.rename(aside)
        for beside in ("-wal", "-shm", "-journal"):
            each = path.with_name(f"{path.name}{beside}")
            if file.exists(each):
                each.rename(aside.with_name(f"{aside.name}{beside}"))
    except OSError as error:
        raise DatabaseNotWritable(
            f"{path} is damaged and cannot be moved aside: {error.strerror}. End the programs that use it, and try "
            "again."
        ) from error
    return aside


def overwrite(source: Path, target: Path) -> None:
    """Bring a database to the content of another one, all at once; a new file is made if there is none.

    Who uses it goes on, and sees it at the next statement.

    Raises:
        DatabaseLocked: others have it for longer than we wait; then nothing was changed.
        StoreError: a file cannot be read or written.
    """
    file.create(target)
    with (
        file.translated(target),
        closing(sqlite3.connect(file.address(source, "ro"), uri=True)) as original,
        closing(sqlite3.connect(file.address(target, "rw"), uri=True, timeout=_BUSY_TIMEOUT)) as raw,
    ):
        raw.execute("PRAGMA synchronous = full")
        original.backup(raw, pages=-1, sleep=0.01)
        enable_wal(raw, target, timeout=_BUSY_TIMEOUT)


def fill(connection: Connection, source: Path) -> bool:
    """Take every row of another database, changes and sealed secrets too, into one in which nothing was changed yet.

    Returns:
        Whether it was done: False if somebody has changed something meanwhile.
    """
    connection.change("ATTACH ? AS backup", (file.address(source, "ro"),))
    try:
        with connection.atomic():
            if connection.rows("SELECT 1 FROM main.changes LIMIT 1"):
                return False
            for table in _TABLES:
                connection.change(f"INSERT INTO main.{table} SELECT * FROM backup.{table}")  # noqa: S608 - our names
            connection.change("INSERT OR IGNORE INTO main.sealed_secrets SELECT * FROM backup.sealed_secrets")
    finally:
        connection.change("DETACH backup")
    return True
