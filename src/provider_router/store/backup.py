"""Copies of a database, made by SQLite itself, so that what is still in the write-ahead log is in them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

from provider_router.errors import StoreError
from provider_router.store import file

KEPT_BEFORE_STEPS: Final = 3
"""How many copies from before a change of the tables are kept, the newest ones."""

_STEP: Final = 4096  # pages copied under one lock: 16 MB

Progress: TypeAlias = Callable[[int, int], object]
"""Told the pages that are copied, and how many there are."""


def backup(source: Path, target: Path, *, progress: Progress | None = None) -> None:
    """Copy a database while others use it; the copy is whole, and private to its owner.

    Args:
        source: a database.
        target: a file that is not there yet.
        progress: told now and then how far it is.

    Raises:
        StoreError: the target exists already, or a file cannot be read or written. No half copy stays behind.
    """
    file.require(source)
    if not file.create(target):
        raise StoreError(f"{target} exists already: name another file for the backup.")
    try:
        with (
            file.translated(source),
            closing(sqlite3.connect(file.address(source, "ro"), uri=True)) as original,
            closing(sqlite3.connect(file.address(target, "rw"), uri=True)) as copy,
        ):
            # In one step unless somebody watches: a step in which others write makes it begin anew.
            original.backup(
                copy,
                pages=-1 if progress is None else _STEP,
                progress=None if progress is None else lambda _, left, pages: progress(pages - left, pages),
            )
            # A copy is one file: without this it would ask for -wal and -shm beside it as soon as it is read.
            copy.execute("PRAGMA journal_mode = delete")
    except BaseException:
        target.unlink()
        raise


def backup_path(source: Path) -> Path:
    """Where a copy goes that nobody named: `backups/router-backup-2026-01-31-142233.db` beside `router.db`."""
    at = datetime.now(UTC)
    return free_name(source.with_name("backups"), f"{source.stem}-backup-{at:%Y-%m-%d-%H%M%S}", source.suffix)


def backups(source: Path) -> list[Path]:
    """The copies that are there of a database, the newest first."""
    named = source.with_name("backups").glob(f"{source.stem}-backup-*{source.suffix}")
    return sorted((*named, *_before_steps(source)), key=lambda path: path.stat().st_mtime, reverse=True)


def backup_before(step: str, path: Path) -> Path:
    """Copy a database before its tables change; of such copies the newest few are kept.

    Returns:
        The copy: `provider-router.before-m002_keys-20260131T142233Z.db` beside the original.
    """
    at = datetime.now(UTC)
    target = free_name(path.parent, f"{path.stem}.before-{step}-{at:%Y%m%dT%H%M%SZ}", path.suffix)
    backup(path, target)
    for old in _before_steps(path)[KEPT_BEFORE_STEPS:]:
        with suppress(OSError):  # one too many harms nobody
            old.unlink()
    return target


def _before_steps(path: Path) -> list[Path]:
    found = path.parent.glob(f"{path.stem}.before-*{path.suffix}")
    return sorted(found, key=lambda copy: (copy.stat().st_mtime_ns, copy.name), reverse=True)


def free_name(folder: Path, stem: str, suffix: str) -> Path:
    """A path that is free in a folder: a second copy in the same second gets a number."""
    target, number = folder / f"{stem}{suffix}", 2
    while file.exists(target):
        target, number = folder / f"{stem}-{number}{suffix}", number + 1
    return target
