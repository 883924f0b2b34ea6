"""Copies of a database, made by SQLite itself, so that what is still in the write-ahead log is in them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from provider_router.errors import StoreError
from provider_router.store import file


def backup(source: Path, target: Path) -> None:
    """Copy a database while others use it; the copy is whole, and private to its owner.

    Raises:
        StoreError: the target exists already, or a file cannot be read or written. No half copy stays behind.
    """
    if not file.create(target):
        raise StoreError(f"{target} exists already: name another file for the backup.")
    try:
        with (
            file.translated(source),
            closing(sqlite3.connect(file.address(source, "ro"), uri=True)) as original,
            closing(sqlite3.connect(file.address(target, "rw"), uri=True)) as copy,
        ):
            original.backup(copy)
            # A copy is one file: without this it would ask for -wal and -shm beside it as soon as it is read.
            copy.execute("PRAGMA journal_mode = delete")
    except BaseException:
        target.unlink()
        raise


def backup_before(step: str, path: Path) -> Path:
    """Copy a database before its tables change.

    Returns:
        The copy: `provider-router.before-m002_keys-20260131T142233Z.db` beside the original.
    """
    at = datetime.now(UTC)
    target = path.with_name(f"{path.stem}.before-{step}-{at:%Y%m%dT%H%M%SZ}{path.suffix}")
    if target.exists():  # a second one in the same second
        target = path.with_name(f"{path.stem}.before-{step}-{at:%Y%m%dT%H%M%S.%fZ}{path.suffix}")
    backup(path, target)
    return target
