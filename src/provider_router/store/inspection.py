"""Inspection: whether a database's file is sound. Nothing is written, and a file that is in use stays in use."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from attrs import frozen

from provider_router.errors import CorruptDatabase, StoreError
from provider_router.store import file
from provider_router.store.history_schema import HISTORY
from provider_router.store.migrations import CONFIGURATION, Schema

_MOST: Final = 20  # faults of one kind that are told
_APPLICATION_ID: Final = slice(68, 72)  # where the header of SQLite's files has it
_ABORT_EVERY: Final = 200_000  # of SQLite's steps: how often Ctrl-C is noticed

# Where several hosts may have the same file, SQLite's write-ahead log is not safe: it needs memory of one host.
_SHARED_DISKS: Final = frozenset(
    (
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "glusterfs",
        "fuse.sshfs",
        "fuse.glusterfs",
        "virtiofs",
    )
)


@frozen(kw_only=True)
class Fault:
    """Something that is wrong with a file.

    Attributes:
        path: the file.
        check: what was looked at: `integrity`, `foreign keys`, `schema`, `disk`, `permissions`, `file`.
        what: what is wrong, a sentence.
        mend: what to do, a sentence or a command; empty where `what` says it.
        grave: whether the file cannot be relied on; otherwise it works, and could be better.
    """

    path: Path
    check: str
    what: str
    mend: str = ""
    grave: bool = True


def inspect(path: Path, schema: Schema = CONFIGURATION, *, quick: bool = False) -> list[Fault]:
    """Everything that is wrong with a database, which has to be there. A large one takes a while.

    Args:
        path: the file.
        schema: what it should hold.
        quick: leave out whether the indexes fit their tables, which takes most of the time.

    Raises:
        KeyboardInterrupt: at once, also in the middle of a long check.
    """
    faults = [*_permissions(path), *_disk(path)]
    try:
        file.require(path)
        with (
            file.translated(path, instead=schema.instead),
            closing(sqlite3.connect(file.address(path, "ro"), uri=True)) as raw,
        ):
            faults += _contents(raw, path, schema, quick=quick)
    except StoreError as error:
        faults.append(Fault(path=path, check="file", what=str(error)))  # its message says what to do
    return faults


def schema_of(path: Path) -> Schema:
    """What a file holds by its header: the history, or else what holds a configuration, or should."""
    try:
        with path.open("rb") as opened:
            header = opened.read(_APPLICATION_ID.stop)
    except OSError:
        return CONFIGURATION
    return HISTORY if header[_APPLICATION_ID] == HISTORY.application_id.to_bytes(4) else CONFIGURATION


def damages(path: Path, schema: Schema = CONFIGURATION) -> list[Fault]:
    """Why the content of a database, which has to be there, cannot be relied on; no faults if it can.

    Raises:
        StoreError: what is there is held, or of something else, or of a newer version, or cannot be read.
    """
    try:
        with (
            file.translated(path, instead=schema.instead),
            closing(sqlite3.connect(file.address(path, "ro"), uri=True)) as raw,
        ):
            return [fault for fault in _contents(raw, path, schema) if fault.grave]
    except CorruptDatabase as error:
        return [Fault(path=path, check="file", what=str(error))]


_RESTORE: Final = "Restore a backup: prouter db restore shows which there are."


def _contents(raw: sqlite3.Connection, path: Path, schema: Schema, *, quick: bool = False) -> Iterator[Fault]:
    # A signal's handler, such as that of Ctrl-C, runs only in Python: in here. What it raises ends the statement.
    raw.set_progress_handler(lambda: 0, _ABORT_EVERY)
    try:
        pending = schema.pending(raw, path)
        for (said,) in raw.execute(f"PRAGMA {'quick_check' if quick else 'integrity_check'}({_MOST})").fetchall():
            if said != "ok":
                yield Fault(path=path, check="integrity", what=f"It is damaged: {said}.", mend=_RESTORE)
        for table, rowid, parent, _ in raw.execute("PRAGMA foreign_key_check").fetchmany(_MOST):
            yield Fault(
                path=path,
                check="foreign keys",
                what=f"Row {rowid} of {table} refers to a row of {parent} that is not there.",
                mend=_RESTORE,
            )
        if pending:
            yield Fault(
                path=path,
                check="schema",
                what=f"It is of an older version: {', '.join(pending)} is still to come.",
                mend="Nothing: the next command that writes brings it up, after a backup.",
                grave=False,
            )
        else:
            yield from _drift(raw, path, schema)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from None
        raise


def _drift(raw: sqlite3.Connection, path: Path, schema: Schema) -> Iterator[Fault]:
    """What somebody else has changed of the tables."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        schema.migrate(fresh, path)
        wanted = _definitions(fresh)
    there = _definitions(raw)
    for kind, name in sorted(wanted.keys() - there.keys()):
        yield Fault(path=path, check="schema", what=f"The {kind} {name} is missing.", mend=_RESTORE)
    for kind, name in sorted(wanted.keys() & there.keys()):
        if wanted[kind, name] != there[kind, name]:
            yield Fault(
                path=path,
                check="schema",
                what=f"The {kind} {name} is not as this version makes it.",
                mend="If you changed it, take the change back; else restore a backup: prouter db restore.",
            )
    for kind, name in sorted(there.keys() - wanted.keys()):
        yield Fault(
            path=path,
            check="schema",
            what=f"The {kind} {name} is not one of ours.",
            mend="It does no harm; whoever made it should keep it in a database of its own.",
            grave=False,
        )


def _definitions(raw: sqlite3.Connection) -> dict[tuple[str, str], str]:
    rows = raw.execute("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
    return {(kind, name): re.sub(r"\s+", " ", sql or "") for kind, name, sql in rows.fetchall()}


def _permissions(path: Path) -> Iterator[Fault]:
    if sys.platform == "win32":  # there the folder of a user is private, and modes mean nothing
        return
    for each in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        try:
            mode = each.stat().st_mode
        except OSError:
            continue
        if mode & 0o077:
            yield Fault(
                path=path,
                check="permissions",
                what=f"Others on this machine may read {each.name} (mode {mode & 0o777:o}).",
                mend=f"chmod 600 {each}",
                grave=False,
            )
    if path.exists() and not os.access(path, os.W_OK):
        yield Fault(
            path=path,
            check="permissions",
            what="You may not write to it: nothing can be changed.",
            mend=f"Make it yours: chown $USER {path}",
        )


def _disk(path: Path) -> Iterator[Fault]:
    kind = _disk_of(path)
    if kind in _SHARED_DISKS:
        yield Fault(
            path=path,
            check="disk",
            what=f"It is on a network or shared folder ({kind}), where SQLite's write-ahead log is not safe.",
            mend="Move it to a local disk, and name its place with PROUTER_DB or PROUTER_HOME.",
        )


def _disk_of(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """The kind of file system that has a file, where the system tells."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    found: tuple[int, str] = (0, "")
    place = path.resolve()
    for line in lines:
        _, folder, kind, *_ = [*line.split(" "), "", "", ""]
        folder = folder.encode("latin-1", "replace").decode("unicode_escape", "replace")  # a blank is \040 there
        if place.is_relative_to(folder) and len(folder) >= found[0]:
            found = (len(folder), kind)
    return found[1] or None
