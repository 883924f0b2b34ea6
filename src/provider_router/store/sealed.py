"""SealedKeeper: secrets in the database itself, encrypted with a key from outside; the table `sealed_secrets`.

Whoever has a copy of the database, a backup too, and not the key, has nothing.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen

from provider_router import home
from provider_router.errors import ConfigError
from provider_router.providers.secrets import BIN, Keeper, Kept, Secret
from provider_router.providers.secrets.keeper import new_id, not_kept, not_restorable
from provider_router.store.connection import Cell, Connection

if TYPE_CHECKING:
    from cryptography.fernet import Fernet, MultiFernet

_GIVE_KEY: Final = (
    "Make one with `prouter secrets key`, and give it in PROUTER_SECRET_KEY, or in a file that PROUTER_SECRET_KEY_FILE "
    "names, wherever this configuration is used"
)
_UNEXPIRED: Final = "SELECT * FROM sealed_secrets WHERE (purge_at IS NULL OR purge_at > ?)"
_KEY_FILE_BYTES: Final = 64 * 1024


@frozen(kw_only=True)
class Rotated:
    """What became of the sealed secrets, by id: sealed anew, under the first key already, opened by no given key."""

    sealed: tuple[str, ...] = ()
    current: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


class SealedKeeper(Keeper):
    """Secrets in the database, each sealed by Fernet (AES-128-CBC and HMAC-SHA256, of the package cryptography).

    What is put inside a transaction of the store is kept or given up with it.
    """

    name = "sealed"
    shared = False

    def __init__(
        self,
        connection: Connection,
        *,
        key: Callable[[], str | Path | None] = home.sealing_key,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """A keeper.

        Args:
            connection: to the configuration's database.
            key: the keys as text, or the file that has them; several with commas or on lines of their own. The first
                one seals, all of them open.
            clock: the time, in seconds since 1970.
        """
        self._connection = connection
        self._key = key
        self._clock = clock
        self.place = f"sealed in {connection.path}"

    def ready(self) -> None:
        """See `Keeper`."""
        if self._key() is None:
            raise ConfigError(f"The keeper sealed needs a key. {_GIVE_KEY}.")
        self._fernet()

    def get(self, id: str, *, binned: bool = False) -> Secret:
        """See `Keeper`."""
        row = self._connection.row(f"{_UNEXPIRED} AND id = ?", (self._now(), id))
        if row is None or (row["purge_at"] is not None and not binned):
            raise not_kept(str(self._connection.path), id, None if row is None else _kept(row))
        return Secret(self._opened(row["token"]))

    def put(self, text: str, *, owner: str, id: str | None = None, purge_at: float | None = None) -> str:
        """See `Keeper`."""
        self.ready()
        token = self._fernet().encrypt(text.encode("utf-8", "surrogatepass")).decode()
        row: dict[str, Cell] = {
            "id": id or new_id(),
            "owner": owner,
            "token": token,
            "created_at": self._now(),
            "purge_at": None if purge_at is None else round(purge_at * 1000),
        }
        with self._connection.atomic():
            self._connection.delete("sealed_secrets", {"id": row["id"]})
            self._connection.insert("sealed_secrets", row)
        return str(row["id"])

    def remove(self, id: str) -> None:
        """See `Keeper`."""
        kept = self.find(id)
        if kept is not None and kept.purge_at is None:
            self._update(id, purge_at=self._now() + round(BIN * 1000))

    def forget(self, id: str) -> None:
        """See `Keeper`."""
        if self.find(id) is not None:
            self._connection.delete("sealed_secrets", {"id": id})

    def restore(self, id: str) -> None:
        """See `Keeper`."""
        if self.find(id) is None or not self._update(id, purge_at=None):
            raise not_restorable(str(self._connection.path), id)

    def list(self) -> tuple[Kept, ...]:
        """See `Keeper`."""
        return tuple(_kept(row) for row in self._rows())

    def find(self, id: str) -> Kept | None:
        """See `Keeper`."""
        row = self._connection.row(f"{_UNEXPIRED} AND id = ?", (self._now(), id))
        return None if row is None else _kept(row)

    def purge(self) -> int:
        """See `Keeper`."""
        rows = self._connection.rows("SELECT id FROM sealed_secrets WHERE purge_at <= ?", (self._now(),))
        return sum(self._connection.delete("sealed_secrets", {"id": row["id"]}) for row in rows)

    def take_in(self, other: SealedKeeper) -> tuple[str, ...]:
        """Take those secrets of another database that are missing here, as they are sealed there.

        Returns:
            Their ids.
        """
        with self._connection.atomic():
            self.purge()
            rows = [row for row in other._rows() if self.find(row["id"]) is None]
            for row in rows:
                self._connection.insert("sealed_secrets", dict(row))
        return tuple(row["id"] for row in rows)

    def rotate(self) -> Rotated:
        """Seal everything anew that is not under the first key, the bin too, all at once or nothing.

        Afterwards the other keys are needed no more; except by what could not be opened, which stays as it is.

        Raises:
            ConfigError: the extra or the key is missing.
        """
        self.ready()
        from cryptography.fernet import InvalidToken

        every = self._fernet()
        first = self._fernets()[0]
        found: dict[str, list[str]] = {"sealed": [], "current": [], "unreadable": []}
        with self._connection.atomic():
            for row in self._connection.rows("SELECT id, token FROM sealed_secrets ORDER BY rowid"):
                try:
                    first.decrypt(row["token"])
                    found["current"].append(row["id"])
                    continue
                except InvalidToken:
                    pass
                try:
                    self._update(row["id"], token=every.rotate(row["token"]).decode())
                    found["sealed"].append(row["id"])
                except InvalidToken:
                    found["unreadable"].append(row["id"])
        return Rotated(**{name: tuple(ids) for name, ids in found.items()})

    def _rows(self) -> Sequence[sqlite3.Row]:
        return self._connection.rows(f"{_UNEXPIRED} ORDER BY rowid", (self._now(),))

    def _now(self) -> int:
        return round(self._clock() * 1000)

    def _update(self, id: str, **columns: str | int | None) -> int:
        return self._connection.update("sealed_secrets", {"id": id, **columns}, key=["id"])

    def _opened(self, token: str) -> str:
        fernet = self._fernet()
        from cryptography.fernet import InvalidToken

        try:
            return fernet.decrypt(token).decode("utf-8", "surrogatepass")
        except InvalidToken:
            raise ConfigError(
                "it is sealed with a key that is not among those given: add the old key to PROUTER_SECRET_KEY, after a "
                "comma, or give the secret anew"
            ) from None

    def _fernet(self) -> MultiFernet:
        fernets = self._fernets()
        from cryptography.fernet import MultiFernet

        return MultiFernet(fernets)

    def _fernets(self) -> Sequence[Fernet]:
        fernet = _extra()
        key = self._key()
        if key is None:
            raise ConfigError(
                "it is sealed, and no key is given: set PROUTER_SECRET_KEY, or name the key's file in "
                "PROUTER_SECRET_KEY_FILE, where this program is started"
            )
        whence = "PROUTER_SECRET_KEY" if isinstance(key, str) else str(key)
        texts = [text for text in re.split(r"[,\s]+", key if isinstance(key, str) else _file_text(key)) if text]
        # base64 itself would overlook what follows the padding.
        if not texts or not all(re.fullmatch(r"[\w-]{43}=", text, re.ASCII) for text in texts):
            raise ConfigError(f"{whence} holds no key (44 letters, digits, - and _). {_GIVE_KEY}.")
        return [fernet(text) for text in texts]


def _kept(row: sqlite3.Row) -> Kept:
    purge_at = row["purge_at"]
    return Kept(id=row["id"], owner=row["owner"], purge_at=None if purge_at is None else purge_at / 1000)


def new_key() -> str:
    """A new key for `PROUTER_SECRET_KEY`, of 32 random bytes.

    Raises:
        ConfigError: the extra is missing.
    """
    return _extra().generate_key().decode()


def _extra() -> type[Fernet]:
    try:
        from cryptography.fernet import Fernet
    except ImportError as error:
        raise ConfigError(
            "the keeper sealed needs an extra; install it: pip install 'provider-router[crypto]'"
        ) from error
    return Fernet


def _file_text(path: Path) -> str:
    try:
        if not path.is_file():
            raise ConfigError(f"the file of the key that seals secrets, {path}, is not there")
        with path.open("rb") as file:
            return file.read(_KEY_FILE_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"the key that seals secrets cannot be read from {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{path} holds no text (UTF-8), and so no key") from None
