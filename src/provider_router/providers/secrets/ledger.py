"""Ledger: a private JSON file of entries by id, whole at every moment, that several processes change in turn."""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from provider_router.errors import ConfigError
from provider_router.providers.secrets.keeper import Kept
from provider_router.providers.secrets.secret import Secret

_TICK: Final = 2_000_000_000  # nanoseconds; file systems count in steps of up to two seconds

_logger = logging.getLogger("provider_router")


@frozen
class Entry:
    """A line of the ledger; `secret` is None where the value is kept elsewhere."""

    kept: Kept
    secret: Secret | None = None


class Ledger:
    """`{"version": 1, "secrets": {"ID": {"value": …, "owner": "desk/apiKey", "purgeAt": null}}}` in one file."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time, lock_wait: float = 10.0) -> None:
        """A ledger. Nothing is created before the first change.

        Args:
            path: the file.
            clock: the time, in seconds since 1970.
            lock_wait: longest wait for another process that is writing, in seconds.
        """
        self.path = path
        self.clock = clock
        self._lock_wait = lock_wait
        self._warned = False
        self._held: tuple[tuple[int, int, int], Mapping[str, Entry]] | None = None

    def warning(self) -> str | None:
        """What is to be said if others on this machine can read the file. Windows has no such modes."""
        if sys.platform == "win32":
            return None
        mode = self.path.stat().st_mode & 0o777 if self.path.exists() else 0
        return f"Others can read {self.path} (mode {mode:o}): chmod 600 {self.path}" if mode & 0o077 else None

    def expired(self, entry: Entry) -> bool:
        """Whether it has been in the bin for long enough."""
        return entry.kept.purge_at is not None and entry.kept.purge_at <= self.clock()

    def find(self, id: str) -> Entry | None:
        """The entry of this id, unless it is to be purged."""
        entry = self.read().get(id)
        return None if entry is None or self.expired(entry) else entry

    def unexpired(self) -> dict[str, Entry]:
        """Every entry that is not to be purged, by id."""
        return {key: entry for key, entry in self.read().items() if not self.expired(entry)}

    def read(self) -> Mapping[str, Entry]:
        """Every entry, by id. The file is parsed again only if it may have changed.

        Raises:
            ConfigError: the file cannot be read.
        """
        try:
            status = self.path.stat()
        except OSError:
            return self._parsed()
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        held = self._held
        if held is None or held[0] != seen:
            held = seen, self._parsed()
            # What was written a moment ago may be written again within the same tick of the file's clock.
            self._held = held if time.time_ns() - status.st_mtime_ns > _TICK else None
        return held[1]

    def _parsed(self) -> dict[str, Entry]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigError(
                f"The secrets in {self.path} cannot be read: {error.strerror}. Let the user of this process read it."
            ) from error
        if not self._warned and (warning := self.warning()):
            self._warned = True
            _logger.warning(warning)
        try:
            return _from_json(json.loads(content))
        except (ValueError, TypeError, LookupError, AttributeError):
            raise ConfigError(  # without the cause, which would show the file's content
                f"{self.path} is damaged, or was written by a newer version. "
                "Bring it back from a backup; or move it away, and give each secret anew."
            ) from None

    @contextmanager
    def changing(self) -> Iterator[dict[str, Entry]]:
        """A block whose changes of the entries are written at its end, while nobody else writes.

        Raises:
            ConfigError: the file cannot be written, or somebody else holds it for too long.
        """
        try:
            path = self.path.resolve()  # a link stays one
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(path.with_name(path.name + ".lock"), wait=self._lock_wait):
                entries = self._parsed()
                yield entries
                _replace(path, json.dumps(_to_json(entries), indent=1).encode())
        except OSError as error:
            raise ConfigError(
                f"The secrets cannot be written to {self.path}: {error.strerror}. "
                "Make its folder writable, or name another one in PROUTER_HOME."
            ) from error


def _from_json(data: Any) -> dict[str, Entry]:
    if data["version"] != 1:
        raise ValueError("not our version")
    entries = {}
    for key, entry in data["secrets"].items():
        text, owner, purge_at = entry["value"], entry["owner"], entry.get("purgeAt")
        if not (isinstance(text, str | None) and isinstance(owner, str) and isinstance(purge_at, int | float | None)):
            raise TypeError("not our shape")
        kept = Kept(id=key, owner=owner, purge_at=purge_at)
        entries[key] = Entry(kept, None if text is None else Secret(text))
    return entries


def _to_json(entries: Mapping[str, Entry]) -> dict[str, Any]:
    lines = {
        key: {
            "value": None if entry.secret is None else entry.secret.reveal(),
            "owner": entry.kept.owner,
            "purgeAt": entry.kept.purge_at,
        }
        for key, entry in entries.items()
    }
    return {"version": 1, "secrets": lines}


def _replace(path: Path, content: bytes) -> None:
    """Write a file that is whole at every moment, and private from its first."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        for tries_left in range(50, -1, -1):
            try:
                new.replace(path)
                return
            except PermissionError:
                # Windows replaces no file that somebody has open; readers are done in a moment.
                if sys.platform != "win32" or not tries_left:
                    raise
                time.sleep(0.02)
    finally:
        new.unlink(missing_ok=True)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def _locked(path: Path, *, wait: float) -> Iterator[None]:
    """Be the only one. The lock is the system's, so that a process that dies leaves none behind."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        until = time.monotonic() + wait
        while not _try_lock(descriptor):
            if time.monotonic() > until:
                raise ConfigError(
                    f"Another process has been writing to the secrets for {wait:g} s ({path}). Try again."
                )
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)
