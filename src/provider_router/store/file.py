"""A database's file on the disk: how it is created, addressed and told from another, and what SQLite's errors mean."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from provider_router.errors import (
    AlreadyExists,
    CorruptDatabase,
    DatabaseLocked,
    DatabaseNotWritable,
    InvalidConfig,
    ProviderRouterError,
    StoreError,
)

_creating = threading.Lock()


def create(path: Path) -> bool:
    """Make an empty file that only its owner may read, in a folder that only its owner may enter.

    SQLite gives the files it puts beside it (-wal, -shm) the same mode.

    Returns:
        Whether the file was made; False if something of this name is there.

    Raises:
        DatabaseNotWritable: the folder or the file cannot be made.
    """
    try:
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        # O_EXCL, so that an existing file is never opened here: closing any descriptor of a file drops every POSIX lock
        # that this process holds on it, those of SQLite included. The lock keeps our own threads from connecting before
        # the descriptor of a new file is closed.
        with _creating:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        if not path.parent.is_dir():
            raise DatabaseNotWritable(f"{path} cannot be made: {path.parent} is not a folder.") from None
        return False
    except OSError as error:
        raise DatabaseNotWritable(
            f"{path} cannot be made: {error.strerror}. Make its folder writable, or name another place with --db, "
            "PROUTER_DB or PROUTER_HOME."
        ) from error
    return True


def exists(path: Path) -> bool:
    """Whether something is there, be it of use or not."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # there may be; opening it tells what is wrong
        return True
    return True


def require(path: Path) -> None:
    """See that a file is there.

    Raises:
        StoreError: nothing is there, or something that is no file.
    """
    if path.is_dir():
        raise StoreError(f"{path} is a folder: name the database file in it, such as {path / 'provider-router.db'}.")
    if not path.exists():
        raise StoreError(f"There is no database at {path}.")
    if not path.is_file():
        raise StoreError(f"{path} is not a regular file: name another one with --db or PROUTER_DB.")


def address(path: Path, mode: str) -> str:
    """The URI by which SQLite opens an existing file: `ro` to read, `rw` to write; neither creates one."""
    posix = quote(os.fsencode(path.as_posix()), safe="/:")
    return f"file://{'' if posix.startswith('/') else '/'}{posix}?mode={mode}"


def identity(path: Path) -> tuple[int, int]:
    """What tells a file from another one that took its name.

    Raises:
        OSError: nothing is there.
    """
    status = os.stat(path)  # noqa: PTH116 - on the way of every request, and twice as fast as Path.stat()
    return status.st_dev, status.st_ino


@contextmanager
def translated(path: Path, *, instead: str = "restore a backup, or name another file") -> Iterator[None]:
    """Turn what sqlite3 raises into our errors. The one place that knows SQLite's result codes.

    Args:
        path: the file.
        instead: what to do if it is damaged.

    Raises:
        StoreError: or the subclass that fits.
        ConfigError: the database refuses a value.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _our_error(error, path, instead) from error
    except OverflowError as error:
        raise InvalidConfig("A number is too large: a whole number may have 63 bits.") from error
    except UnicodeEncodeError as error:
        raise InvalidConfig("A text has half of a surrogate pair in it, which cannot be stored.") from error


def _our_error(error: sqlite3.Error, path: Path, instead: str) -> ProviderRouterError:
    name = getattr(error, "sqlite_errorname", "")
    match name.split("_")[1] if "_" in name else "":
        case "CONSTRAINT" if name in {"SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE"}:
            return AlreadyExists(f"There is one already: {str(error).partition(': ')[2]} must be the only one.")
        case "CONSTRAINT":
            return InvalidConfig(f"The database refuses the value: {str(error).partition(': ')[2] or error}.")
        case "BUSY" | "LOCKED":
            return DatabaseLocked(
                f"{path} is held by another process for longer than we wait. Nothing was changed: try again, "
                "or end the program that holds it."
            )
        case "CORRUPT":
            return CorruptDatabase(f"{path} is damaged ({error}): {instead}.")
        case "NOTADB":
            return CorruptDatabase(
                f"{path} is no SQLite database, or its beginning is damaged. It was left as it is: {instead}."
            )
        case "FULL":
            return DatabaseNotWritable(f"The disk of {path} is full. Nothing was changed: free some space, try again.")
        case "READONLY" | "CANTOPEN" | "PERM" | "IOERR":
            return DatabaseNotWritable(
                f"{path} cannot be used ({error}). The file and its folder must be readable and writable for you, "
                "and the disk sound: SQLite keeps two more files (-wal, -shm) beside it."
            )
        case _:
            return StoreError(f"{path} cannot be used: {error}.")
