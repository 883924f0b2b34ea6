"""The write-ahead log: with it readers and a writer of one SQLite file do not wait for each other."""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path

log = logging.getLogger("provider_router")


def enable_wal(raw: sqlite3.Connection, path: Path, *, timeout: float) -> None:
    """Let readers and a writer work at the same time; warn where the file's place does not allow it.

    Raises:
        sqlite3.OperationalError: the file is held by others for longer than `timeout` seconds.
    """
    mode = raw.execute("PRAGMA journal_mode").fetchone()[0]
    deadline = time.monotonic() + timeout
    while mode == "delete":
        try:
            mode = raw.execute("PRAGMA journal_mode = wal").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            # The switch does not wait by itself, however long the connection's timeout.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
    if mode != "wal":
        log.warning(
            "%s is on a disk where SQLite cannot use its write-ahead log (its answer: %s): a network or shared folder? "
            "Readers and writers will wait for each other. A local disk is better.",
            path,
            mode,
        )
