"""The configuration's database: its tables, in transactions, and its state at one instant."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

from provider_router.store.backup import backup
from provider_router.store.changes import Changes
from provider_router.store.configs import Configs
from provider_router.store.configuration import Configuration, read_configuration
from provider_router.store.connection import Connection, LateFile
from provider_router.store.credentials import Credentials
from provider_router.store.links import Links
from provider_router.store.migrations import CONFIGURATION
from provider_router.store.models import Models
from provider_router.store.providers import Providers
from provider_router.store.sealed import SealedKeeper
from provider_router.store.settings import Settings

BUSY_TIMEOUT = 10.0  # seconds


class Store:
    """A configuration's database in use; `Store.open` opens one, and who opens it closes it.

    Threads may share one and take turns. A forked process opens its own.

    Attributes:
        providers, configs, models, links, settings, credentials, changes: the tables.
        sealed: the keeper of the secrets that lie in the database, encrypted.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.providers = Providers(connection)
        self.configs = Configs(connection)
        self.models = Models(connection)
        self.links = Links(connection)
        self.settings = Settings(connection)
        self.credentials = Credentials(connection)
        self.changes = Changes(connection)
        self.sealed = SealedKeeper(connection)

    @classmethod
    def open(cls, path: str | Path, *, read_only: bool = False, busy_timeout: float = BUSY_TIMEOUT) -> Self:
        """Open a database; one that is not there is created, an older one is brought up after a backup.

        Args:
            path: the file. New ones are private to their owner, and so is a new folder.
            read_only: do not create, change or write anything.
            busy_timeout: longest wait for another process's transaction, in seconds.

        Raises:
            NewerDatabase: a newer version made the file.
            ForeignDatabase: another program made it.
            CorruptDatabase: it is damaged, or no database.
            DatabaseLocked: another process holds it for longer than `busy_timeout`.
            DatabaseNotWritable: the file or its folder cannot be written.
            StoreError: it is a folder, or not there and `read_only`.
        """
        where = Path(path).expanduser().absolute()
        return cls(Connection(where, schema=CONFIGURATION, read_only=read_only, busy_timeout=busy_timeout))

    @classmethod
    def late(cls, path: Path) -> Self:
        """What can be read where no file may be yet: nothing, until the first write creates it, or somebody does.

        Raises:
            StoreError: there is one, and it cannot be used.
        """
        return cls(LateFile(path, schema=CONFIGURATION, read_only=False, busy_timeout=BUSY_TIMEOUT))

    @property
    def path(self) -> Path:
        """The file, as an absolute path."""
        return self._connection.path

    @property
    def revision(self) -> int:
        """The number of the newest change, 0 if nothing was changed yet."""
        return self.changes.newest

    def atomic(self) -> AbstractContextManager[None]:
        """A block of which all is kept, or, when it raises, nothing. It may be nested.

        Other writers wait from its beginning to its end, so keep it short, and no network in it.
        """
        return self._connection.atomic()

    def read(self, since: Configuration | None = None) -> Configuration:
        """Everything the registry needs, as it is at this instant.

        Args:
            since: a configuration read before; only what changed after it is read then, the rest is taken over.

        Raises:
            StoreError: the database cannot be read.
        """
        return read_configuration(self._connection, since)

    def backup(self, target: Path) -> None:
        """Copy the database to a file that is not there yet, while others use it.

        Raises:
            StoreError: the target exists already or cannot be written. No half copy stays behind.
        """
        backup(self.path, target)

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
