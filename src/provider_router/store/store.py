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
from provider_router.store.connection import Connection
from provider_router.store.credentials import Credentials
from provider_router.store.fileless import LateFile, MemoryFile
from provider_router.store.links import Links
from provider_router.store.migrations import CONFIGURATION
from provider_router.store.models import Models
from provider_router.store.past import Replaced, configuration_at, replace
from provider_router.store.providers import Providers
from provider_router.store.restoring import fill
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

    @classmethod
    def of(cls, configuration: Configuration, path: Path) -> Self:
        """A configuration that no database has, to be read as one. It makes no file, and cannot be written.

        Args:
            configuration: what is read.
            path: the file that it was read from, for messages.
        """
        connection = MemoryFile(path, schema=CONFIGURATION, read_only=True, busy_timeout=BUSY_TIMEOUT)
        with connection.filling():
            replace(connection, configuration)
        return cls(connection)

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

    def at(self, number: int) -> Configuration:
        """Everything as it was right after a change; after change 0 there was nothing.

        Raises:
            ConfigError: there is no such change, or not every change after it is there.
            StoreError: the database cannot be read.
        """
        return configuration_at(self._connection, number)

    def replace(self, target: Configuration) -> Replaced:
        """Bring every table but `changes` to another state. Who does it writes its change record in the same block.

        Returns:
            The rows that were changed or removed, as they were, and those that were changed or added, as they are.

        Raises:
            ConfigError: the target is no state that the tables can have.
        """
        return replace(self._connection, target)

    def fill(self, source: Path) -> bool:
        """Take every row of another database in, changes and sealed secrets too, if nothing was changed here yet.

        Args:
            source: a sound database of this version.

        Returns:
            Whether it was done: False if somebody has changed something by now.
        """
        return fill(self._connection, source)

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
