"""Admin: the one door for changes of the configuration. It asks nothing of the network."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from provider_router.configuration.credentials import Credentials
from provider_router.configuration.editor import Editor
from provider_router.configuration.links import Links
from provider_router.configuration.model_sync import ModelSync
from provider_router.configuration.models import Models
from provider_router.configuration.providers import Providers
from provider_router.configuration.settings import Settings

if TYPE_CHECKING:
    from provider_router.providers.plugins import Plugins


class Admin:
    """Everything that can be changed, by noun. Every change is checked, kept whole or not at all, and recorded.

        with Admin() as admin:
            admin.providers.add("desk", type="lm-studio", config={"baseURL": "http://localhost:1234/v1"})

    Threads may share one; `with` is optional. What it changes is in force for the next request of every process.

    Args:
        database: the file; PROUTER_DB, PROUTER_HOME or the platform's folder unless given. It is opened
            at first use; if it is not there, nothing is configured, and the first change creates it.
        who: who makes the changes, for their records: `cli`, `python`, `rest:key-name`.
        plugins: the installed provider types; found when they are first needed unless given.
        local: whether the caller may refer to secrets on this machine (`env:`, `file:`, `keyring:`, `cmd:`). Whoever
            changes things from afar may give secrets only: a reference would let them read what is not theirs.

    Attributes:
        providers, models, links, settings, credentials: the nouns.
        sync: takes over what backends list as models and links.
    """

    def __init__(
        self,
        database: str | Path | None = None,
        *,
        who: str = "python",
        plugins: Plugins | None = None,
        local: bool = True,
    ) -> None:
        self._editor = Editor(database, who=who, plugins=plugins, local=local)
        self.providers = Providers(self._editor)
        self.models = Models(self._editor)
        self.links = Links(self._editor)
        self.sync = ModelSync(self._editor)
        self.settings = Settings(self._editor)
        self.credentials = Credentials(self._editor)

    @property
    def path(self) -> Path:
        """The database's file, which need not be there yet."""
        return self._editor.path

    @property
    def plugins(self) -> Plugins:
        """The provider types that options are checked against."""
        return self._editor.plugins

    @property
    def revision(self) -> int:
        """The number of the newest change, 0 if nothing was changed yet."""
        return self._editor.store.revision

    def atomic(self) -> AbstractContextManager[object]:
        """A block of several changes of which all are kept, or, when it raises, none. Each has its own record."""
        return self._editor.change()

    def close(self) -> None:
        """Close the database. May be called twice; the next use opens it anew."""
        self._editor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
