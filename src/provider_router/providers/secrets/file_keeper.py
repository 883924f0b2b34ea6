"""FileKeeper: secrets in one private file, in plain text."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from attrs import evolve

from provider_router.providers.secrets.keeper import BIN, Keeper, Kept, new_id, not_kept, not_restorable
from provider_router.providers.secrets.ledger import Entry, Ledger
from provider_router.providers.secrets.secret import Secret


class FileKeeper(Keeper):
    """Secrets in one JSON file in plain text, that only its owner can read, as `gh`, `aws` and `llm` keep theirs.

    Several processes and threads may use it at once. Nothing is created before the first secret is put.
    """

    name = "file"

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time, lock_wait: float = 10.0) -> None:
        """A keeper.

        Args:
            path: the file.
            clock: the time, in seconds since 1970.
            lock_wait: longest wait for another process that is writing, in seconds.
        """
        self.path = path
        self.place = str(path)
        self._ledger = Ledger(path, clock=clock, lock_wait=lock_wait)

    def ready(self) -> None:
        """See `Keeper`."""
        self._ledger.read()

    def get(self, id: str, *, binned: bool = False) -> Secret:
        """See `Keeper`."""
        entry = self._ledger.find(id)
        if entry is None or entry.secret is None or (entry.kept.purge_at is not None and not binned):
            raise not_kept(self.place, id, None if entry is None else entry.kept)
        return entry.secret

    def put(self, text: str, *, owner: str, id: str | None = None, purge_at: float | None = None) -> str:
        """See `Keeper`."""
        kept = Kept(id=id or new_id(), owner=owner, purge_at=purge_at)
        with self._ledger.changing() as entries:
            entries[kept.id] = Entry(kept, Secret(text))
        return kept.id

    def remove(self, id: str) -> None:
        """See `Keeper`."""
        if id in self.ids():
            with self._ledger.changing() as entries:
                if id in entries and entries[id].kept.purge_at is None:
                    entries[id] = _moved(entries[id], purge_at=self._ledger.clock() + BIN)

    def forget(self, id: str) -> None:
        """See `Keeper`."""
        if self.find(id) is not None:
            with self._ledger.changing() as entries:
                entries.pop(id, None)

    def restore(self, id: str) -> None:
        """See `Keeper`."""
        if self.find(id) is None:
            raise not_restorable(self.place, id)
        with self._ledger.changing() as entries:
            if id not in entries:
                raise not_restorable(self.place, id)
            entries[id] = _moved(entries[id], purge_at=None)

    def list(self) -> tuple[Kept, ...]:
        """See `Keeper`."""
        return tuple(entry.kept for entry in self._ledger.unexpired().values())

    def find(self, id: str) -> Kept | None:
        """See `Keeper`."""
        entry = self._ledger.find(id)
        return None if entry is None else entry.kept

    def purge(self) -> int:
        """See `Keeper`."""
        if len(self._ledger.unexpired()) == len(self._ledger.read()):
            return 0
        with self._ledger.changing() as entries:
            expired = [key for key, entry in entries.items() if self._ledger.expired(entry)]
            for key in expired:
                del entries[key]
        return len(expired)

    def warning(self) -> str | None:
        """See `Keeper`."""
        return self._ledger.warning()


def _moved(entry: Entry, *, purge_at: float | None) -> Entry:
    """The entry in the bin, or out of it."""
    return evolve(entry, kept=evolve(entry.kept, purge_at=purge_at))
