"""Editor: what every noun of Admin edits with. A change is kept whole, rows, secrets and its record, or not at all."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import define, field

from provider_router import home
from provider_router.errors import ConfigError, DeclaredConfig, StoreError
from provider_router.providers.secrets import Keepers, Secret, parse_reference
from provider_router.store import (
    ChangeRecord,
    Json,
    Kept,
    LinkRecord,
    ModelRecord,
    OptionRecord,
    ProviderRecord,
    Store,
    key_of,
    open_keepers,
    row_of,
)

if TYPE_CHECKING:
    from provider_router.configuration.declared import DeclaredStore
    from provider_router.providers.plugins import Plugins

log = logging.getLogger("provider_router")

_PURGE_EVERY: Final = 3600.0  # seconds


class Editor:
    """The store, the keepers and the installed types, each opened when it is first needed. Threads may share one.

    Args:
        database: the file; PROUTER_DB, PROUTER_HOME or the platform's folder unless given.
        who: who makes the changes, for their records.
        plugins: the installed types; found when they are first needed unless given.
        local: whether the caller may refer to what is on this machine (`env:`, `file:`, `keyring:`, `cmd:`).
    """

    def __init__(
        self, database: str | Path | None, *, who: str, plugins: Plugins | None = None, local: bool = True
    ) -> None:
        declared = home.declared_path(database)
        self.path = declared or home.database_path(database)
        self.who = who
        self.local = local
        self._plugins = plugins
        self._store: Store | None = None
        self._keeper: tuple[Store, Keepers] | None = None
        self._purged_at: float | None = None
        self._declared: DeclaredStore | None = None
        if declared is not None:
            from provider_router.configuration.declared import DeclaredStore

            self._declared = DeclaredStore(declared, lambda: self.plugins)
        self._forget_threads()

    def _forget_threads(self) -> None:
        self._opening = threading.Lock()
        self._change: Change | None = None
        self._pid = os.getpid()

    @property
    def store(self) -> Store:
        """The database for reading, empty as long as there is no file; a forked process opens its own.

        Raises:
            ConfigError: a declarative file stands in its place, and cannot be used.
            StoreError: it cannot be opened; the subclass and the message say why.
        """
        if self._pid != os.getpid():
            self.close()
            self._forget_threads()
        if self._declared is not None:
            return self._declared.store()
        with self._opening:
            self._store = self._store or Store.late(self.path)
            return self._store

    @property
    def keeper(self) -> Keepers:
        """All keepers as one, over the database that is open now."""
        store = self.store
        if self._keeper is None or self._keeper[0] is not store:
            self._keeper = store, open_keepers(store)
        return self._keeper[1]

    @property
    def plugins(self) -> Plugins:
        """The installed types."""
        if self._plugins is None:
            from provider_router.providers.plugins import Plugins

            self._plugins = Plugins.load()
        return self._plugins

    def refuse_from_afar(self) -> None:
        """See that the caller sits at this machine.

        Raises:
            ConfigError: it does not.
        """
        if not self.local:
            raise ConfigError("Who keeps the secrets is decided on this machine only: use prouter or Python there.")

    def refuse_declared(self) -> None:
        """See that there is a database to be changed.

        Raises:
            DeclaredConfig: a declarative file stands in its place.
        """
        if self._declared is not None:
            raise DeclaredConfig(
                f"The configuration comes from {self.path} (PROUTER_CONFIG) and is changed there; a change of the file "
                "is in force at the next request. To change a database, unset PROUTER_CONFIG or name one (--db)."
            )

    def refuse_unseen(self, expected: int | None) -> None:
        """See that nothing was changed since the caller looked.

        Raises:
            ConfigError: there is a newer change than `expected`.
        """
        if expected is not None and self.store.revision != expected:
            raise changed_meanwhile(self.store.revision)

    @contextmanager
    def change(self) -> Iterator[Change]:
        """A block that is kept whole or not at all. Inside another one, its secrets wait for that one's end."""
        store, mine = self._for_writing(), Change(self)
        try:
            with store.atomic():
                # The store's lock is held: no other thread is in here.
                outer, self._change = self._change, mine
                try:
                    yield mine
                    if outer is None:
                        mine.spare_what_is_used()
                finally:
                    self._change = outer
        except BaseException:
            mine.undo()
            raise
        if outer is None:
            mine.settle()
        else:
            outer.take_over(mine)

    def _for_writing(self) -> Store:
        """The database; and the keepers' bins without what lay there for longer than they should."""
        self.refuse_declared()
        store = self.store
        if self._purged_at is None or time.monotonic() > self._purged_at + _PURGE_EVERY:
            self._purged_at = time.monotonic()
            try:
                self.keeper.purge()
            except (ConfigError, StoreError) as error:
                log.warning("removed secrets stay in their bin: %s", error)
        return store

    def close(self) -> None:
        """Close the database. May be called twice; the next use opens it anew."""
        if self._declared is not None:
            self._declared.close()
        if self._store is not None:
            self._store.close()
        self._store = None


@define(eq=False)
class Change:
    """One change in the making: rows go into the open transaction, secrets are kept account of until it ends."""

    _editor: Editor
    _kept: list[str] = field(factory=list)
    _dropped: set[str] = field(factory=set)

    def reference(self, value: str | Secret, *, owner: str) -> str:
        """A reference as it is; the reference of what is none, or is a `Secret` and so never one, once it is kept.

        Raises:
            ConfigError: the keeper cannot take it.
        """
        if isinstance(value, Secret):
            return self.keep_secret(value.reveal(), owner=owner)
        return value if parse_reference(value) else self.keep_secret(value, owner=owner)

    def keep_secret(self, value: str, *, owner: str) -> str:
        """Give a secret to the keeper that takes new ones.

        Returns:
            Its reference, `secret:<id>`.

        Raises:
            ConfigError: the keeper cannot take it.
        """
        kept = self._editor.keeper.put(value, owner=owner)
        self._kept.append(kept)
        return f"secret:{kept}"

    def restore_secret(self, reference: str) -> None:
        """Take a secret out of the keeper's bin again.

        Raises:
            MissingSecret: it is not there any more.
            ConfigError: the keeper cannot write.
        """
        restored = reference.removeprefix("secret:")
        self._editor.keeper.restore(restored)
        self._kept.append(restored)

    def drop_secret(self, reference: str) -> None:
        """Put a secret into the keeper's bin once the change is kept. What other references lead to stays there."""
        parsed = parse_reference(reference)
        if parsed is not None and parsed.scheme == "secret":
            self._dropped.add(str(parsed).removeprefix("secret:"))

    def tell(
        self, what: str, *, noun: str, subject: str, before: Iterable[Kept] = (), after: Iterable[Kept] = ()
    ) -> ChangeRecord:
        """Write the change's record.

        Its `before` and `after` are `{"provider": [row, …], "option": [row, …]}`, or None without rows, so that
        whoever goes back removes the rows of `after` and writes those of `before`.

        Args:
            what: a sentence's predicate: `enabled provider desk`.
            noun: what it is about: `provider`.
            subject: which one: `desk`.
            before: every row that was changed or removed, as it was.
            after: every row that was changed or added, as it is.

        Returns:
            The record with its number.
        """
        before, after = tuple(before), tuple(after)
        providers: set[str] = set()
        models: set[str] = set()
        for row in (*before, *after):
            match row:
                case ProviderRecord():
                    providers.add(row.id)
                case OptionRecord() | LinkRecord():  # a link is a row of its provider, its model stays as it was
                    providers.add(row.provider_id)
                case ModelRecord():
                    models.add(row.id)
        return self._editor.store.changes.add(
            ChangeRecord(
                who=self._editor.who,
                what=what,
                noun=noun,
                subject=subject,
                before=_rows(before),
                after=_rows(after),
                providers=tuple(sorted(providers)),
                models=tuple(sorted(models)),
            )
        )

    def spare_what_is_used(self) -> None:
        """Leave with the keeper what something else still refers to."""
        if not self._dropped:
            return
        now = self._editor.store.read()
        used = {one for login in now.credentials for one in (login.token, login.cookies)}
        for options in now.options.values():
            used |= {reference for option in options for reference in references_in(option.value)}
        self._dropped = {one for one in self._dropped if f"secret:{one}" not in used}

    def take_over(self, inner: Change) -> None:
        """What an inner change has done becomes part of this one."""
        self._kept += inner._kept
        self._dropped |= inner._dropped

    def undo(self) -> None:
        """The transaction was given up: nothing refers to the secrets that were kept for it."""
        self._remove(self._kept)

    def settle(self) -> None:
        """The transaction is kept."""
        self._remove(self._dropped)

    def _remove(self, secrets: Iterable[str]) -> None:
        for secret in secrets:
            try:
                self._editor.keeper.remove(secret)
            except (
                ConfigError,
                StoreError,
            ) as error:  # what was decided in the database stands, whether this works or not
                log.warning("a secret that nothing refers to stays with its keeper: %s", error)


def changed_meanwhile(newest: int) -> ConfigError:
    """The error of who has looked at what is not there any more."""
    return ConfigError(
        f"Somebody has changed the configuration meanwhile: the newest change is {newest}. "
        "Nothing was done; look at it with `prouter changes log` and try again."
    )


def references_in(value: Json) -> tuple[str, ...]:
    """The references that an option's value is or, as a mapping such as `headers`, holds."""
    values = value.values() if isinstance(value, dict) else (value,)
    return tuple(one for one in values if isinstance(one, str) and parse_reference(one))


def _rows(records: tuple[Kept, ...]) -> Json:
    if not records:
        return None
    rows: dict[str, Json] = {}
    for record in records:
        of_noun = rows.setdefault(key_of(record)[0], [])
        assert isinstance(of_noun, list)
        of_noun.append(dict(row_of(record)))
    return rows
