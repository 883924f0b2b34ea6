"""KeyringKeeper: secrets in the system's keyring, and beside it a file that says which there are."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import evolve

from provider_router.errors import MissingSecret
from provider_router.providers.secrets import system_keyring
from provider_router.providers.secrets.keeper import BIN, Keeper, Kept, new_id, not_kept, not_restorable
from provider_router.providers.secrets.ledger import Entry, Ledger
from provider_router.providers.secrets.secret import Secret

SERVICE: Final = "provider-router"


class KeyringKeeper(Keeper):
    """Secrets in the system's keyring, under the service `provider-router` and their id.

    A keyring tells nobody what is in it, and knows no bin: both is in a file beside, which holds no value.
    """

    name = "keyring"
    place = f"the system's keyring, service {SERVICE}"

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        time_limit: float = system_keyring.WAIT,
    ) -> None:
        """A keeper.

        Args:
            path: the file that says which secrets there are.
            clock: the time, in seconds since 1970.
            time_limit: longest wait for the keyring, in seconds.
        """
        self._ledger = Ledger(path, clock=clock)
        self._time_limit = time_limit

    def ready(self) -> None:
        """See `Keeper`."""
        self._ledger.read()
        system_keyring.password(SERVICE, "ready", time_limit=self._time_limit)

    def get(self, id: str, *, binned: bool = False) -> Secret:
        """See `Keeper`."""
        kept = self.find(id)
        if kept is None or (kept.purge_at is not None and not binned):
            raise not_kept(self.place, id, kept)
        text = system_keyring.password(SERVICE, id, time_limit=self._time_limit)
        if text is None:
            raise MissingSecret(f"the keyring of this user has no {SERVICE}/{id} any more; give the value anew")
        return Secret(text)

    def put(self, text: str, *, owner: str, id: str | None = None, purge_at: float | None = None) -> str:
        """See `Keeper`."""
        kept = Kept(id=id or new_id(), owner=owner, purge_at=purge_at)
        # First the list: what ends between the two is seen there, and nothing lies in the keyring unknown to all.
        with self._ledger.changing() as entries:
            entries[kept.id] = Entry(kept)
        try:
            system_keyring.set_password(SERVICE, kept.id, text, time_limit=self._time_limit)
        except BaseException:
            self._drop(kept.id)
            raise
        return kept.id

    def remove(self, id: str) -> None:
        """See `Keeper`."""
        if id in self.ids():
            self._note(id, purge_at=self._ledger.clock() + BIN)

    def forget(self, id: str) -> None:
        """See `Keeper`."""
        if id in self._ledger.read():
            system_keyring.delete_password(SERVICE, id, time_limit=self._time_limit)
            self._drop(id)

    def restore(self, id: str) -> None:
        """See `Keeper`."""
        if self.find(id) is None:
            raise not_restorable(self.place, id)
        self._note(id, purge_at=None)

    def list(self) -> tuple[Kept, ...]:
        """See `Keeper`."""
        return tuple(entry.kept for entry in self._ledger.unexpired().values())

    def find(self, id: str) -> Kept | None:
        """See `Keeper`."""
        entry = self._ledger.find(id)
        return None if entry is None else entry.kept

    def purge(self) -> int:
        """See `Keeper`."""
        expired = [key for key, entry in self._ledger.read().items() if self._ledger.expired(entry)]
        for key in expired:
            self.forget(key)
        return len(expired)

    def _note(self, id: str, *, purge_at: float | None) -> None:
        with self._ledger.changing() as entries:
            if id in entries:
                entries[id] = Entry(evolve(entries[id].kept, purge_at=purge_at))

    def _drop(self, id: str) -> None:
        with self._ledger.changing() as entries:
            entries.pop(id, None)
