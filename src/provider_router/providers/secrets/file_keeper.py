"""FileKeeper: secrets in one private file, in plain text."""

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
from typing import Any

from attrs import evolve, frozen

from provider_router.errors import ConfigError, MissingSecret
from provider_router.providers.secrets.secret import Secret

_BIN = 7 * 24 * 3600.0  # seconds for which a removed secret can be restored

_logger = logging.getLogger("provider_router")


@frozen
class _Kept:
    secret: Secret
    owner: str
    purge_at: float | None = None  # seconds since 1970; set while it is in the bin


class FileKeeper:
    """Secrets in one JSON file in plain text, that only its owner can read, as `gh`, `aws` and `llm` keep theirs.

    Several processes and threads may use it at once. Nothing is created before the first secret is put.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time, lock_wait: float = 10.0) -> None:
        """A keeper.

        Args:
            path: the file.
            clock: the time, in seconds since 1970.
            lock_wait: longest wait for another process that is writing, in seconds.
        """
        self.path = path
        self._clock = clock
        self._lock_wait = lock_wait
        self._warned = False

    def get(self, id: str) -> Secret:
        """See `Keeper`."""
        kept = self._read().get(id)
        if kept is None or kept.purge_at is not None:
            state = "holds no secret" if kept is None else "has in its bin the secret"
            raise MissingSecret(f"{self.path} {state} {id}; give the value anew")
        return kept.secret

    def put(self, text: str, *, owner: str) -> str:
        """See `Keeper`."""
        with self._changing() as kept:
            new = secrets.token_hex(8)
            kept[new] = _Kept(Secret(text), owner)
        return new

    def remove(self, id: str) -> None:
        """See `Keeper`."""
        with self._changing() as kept:
            if id in kept and kept[id].purge_at is None:
                kept[id] = evolve(kept[id], purge_at=self._clock() + _BIN)

    def forget(self, id: str) -> None:
        """See `Keeper`."""
        with self._changing() as kept:
            kept.pop(id, None)

    def restore(self, id: str) -> None:
        """See `Keeper`."""
        with self._changing() as kept:
            if id not in kept:
                raise MissingSecret(f"The secret {id} is not in the bin of {self.path} any more; give the value anew")
            kept[id] = evolve(kept[id], purge_at=None)

    def owner(self, id: str) -> str | None:
        """See `Keeper`."""
        kept = self._read().get(id)
        return None if kept is None else kept.owner

    def ids(self) -> tuple[str, ...]:
        """See `Keeper`."""
        return tuple(key for key, kept in self._read().items() if kept.purge_at is None)

    def purge(self) -> int:
        """See `Keeper`."""
        if len(self._unexpired(before := self._read())) == len(before):
            return 0
        with self._changing() as kept:
            return len(before) - len(kept)

    def warning(self) -> str | None:
        """What is to be said if others on this machine can read the file."""
        if sys.platform == "win32":
            return None
        mode = self.path.stat().st_mode & 0o777 if self.path.exists() else 0
        return f"Others can read {self.path} (mode {mode:o}): chmod 600 {self.path}" if mode & 0o077 else None

    def _unexpired(self, kept: Mapping[str, _Kept]) -> dict[str, _Kept]:
        now = self._clock()
        return {key: one for key, one in kept.items() if one.purge_at is None or one.purge_at > now}

    def _read(self) -> dict[str, _Kept]:
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
            return _kept_from_json(json.loads(content))
        except (ValueError, TypeError, LookupError, AttributeError):
            raise ConfigError(  # without the cause, which would show the file's content
                f"{self.path} is damaged, or was written by a newer version. "
                "Bring it back from a backup; or move it away, and give each secret anew."
            ) from None

    @contextmanager
    def _changing(self) -> Iterator[dict[str, _Kept]]:
        try:
            path = self.path.resolve()  # a link stays one
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(path.with_name(path.name + ".lock"), wait=self._lock_wait):
                kept = self._unexpired(self._read())
                yield kept
                _replace(path, json.dumps(_kept_to_json(kept), indent=1).encode())
        except OSError as error:
            raise ConfigError(
                f"The secrets cannot be written to {self.path}: {error.strerror}. "
                "Make its folder writable, or name another one in PROUTER_HOME."
            ) from error


def _kept_from_json(data: Any) -> dict[str, _Kept]:
    if data["version"] != 1:
        raise ValueError("not our version")
    kept = {}
    for key, entry in data["secrets"].items():
        text, owner, purge_at = entry["value"], entry["owner"], entry.get("purgeAt")
        if not (isinstance(text, str) and isinstance(owner, str) and isinstance(purge_at, int | float | None)):
            raise TypeError("not our shape")
        kept[key] = _Kept(Secret(text), owner, purge_at)
    return kept


def _kept_to_json(kept: Mapping[str, _Kept]) -> dict[str, Any]:
    entries = {}
    for key, one in kept.items():
        entries[key] = {"value": one.secret.reveal(), "owner": one.owner, "purgeAt": one.purge_at}
    return {"version": 1, "secrets": entries}


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
