"""Admin: the one door for changes of the configuration. It asks nothing of the network."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from provider_router.configuration.changes import Changes
from provider_router.configuration.credentials import Credentials
from provider_router.configuration.document import Document
from provider_router.configuration.editor import Editor
from provider_router.configuration.links import Links
from provider_router.configuration.model_sync import ModelSync
from provider_router.configuration.models import Models
from provider_router.configuration.providers import Providers
from provider_router.configuration.restoring import Restored, restore
from provider_router.configuration.secrets import Secrets
from provider_router.configuration.settings import Settings
from provider_router.configuration.transfer import Import, export_document, import_document

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
        providers, models, links, settings, credentials, secrets: the nouns.
        changes: what was changed, and back again.
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
        self.secrets = Secrets(self._editor)
        self.changes = Changes(self._editor)

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

    def export(self) -> Document:
        """The whole configuration as a document, for a file or another machine: `print(admin.export().toml())`.

        References are in it as they are; what a `secret:` leads to stays with its keeper, and is named.
        """
        return export_document(self._editor)

    def import_document(self, source: str | Path | Mapping[str, Any], *, dry_run: bool = False) -> Import:
        """Join a document to the configuration, as one change: what it has is added or changed, nothing is removed.

        Importing it again changes nothing. A reference that is there already stays; a new one is left out and named,
        because whoever wrote the document could read with it what is not theirs.

        Args:
            source: a file (`.json`, else TOML), or a document's content.
            dry_run: change nothing, and only say what would be.

        Raises:
            ConfigError: the file cannot be read, or is no document.
            InvalidConfig: with every problem at once; then nothing was changed.
        """
        document = source if isinstance(source, Mapping) else Path(source).expanduser()
        return import_document(self._editor, document, dry_run=dry_run)

    def restore(
        self, source: str | Path, *, with_history: bool = False, dry_run: bool = False, expected: int | None = None
    ) -> Restored:
        """Bring the configuration to what a backup has, after it was looked at, and what is there now was saved.

        Where something is configured, that is a new change, which can be rolled back; secrets that were removed since
        come back as with a rollback. Where nothing is, or the database is damaged, the backup comes with all its
        changes, and a damaged file is kept under another name. Every process goes on with it at its next request.

        Args:
            source: a copy that `prouter db backup` made, or another database; it is not changed.
            with_history: restore the history too, all of it, from the file beside the backup.
            dry_run: change nothing, and only say what would be.
            expected: the newest change that the caller knows of.

        Raises:
            StoreError: the backup cannot be restored, or the database not be written; the message says why.
            ConfigError: there is a newer change than `expected`, or a declarative file stands in the database's place.
        """
        return restore(
            self._editor,
            Path(source).expanduser().absolute(),
            with_history=with_history,
            dry_run=dry_run,
            expected=expected,
        )

    def close(self) -> None:
        """Close the database. May be called twice; the next use opens it anew."""
        self._editor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
