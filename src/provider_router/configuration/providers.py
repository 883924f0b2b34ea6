"""Providers: what is configured to answer, with its options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import EllipsisType
from typing import Any

from attrs import asdict, evolve, frozen

from provider_router.configuration.draft import Draft
from provider_router.configuration.editor import Editor
from provider_router.configuration.names import provider_id_problems, text_problems
from provider_router.configuration.options import Options, drop_secrets, provider_record, write_options
from provider_router.configuration.settings import ACTIVE_PROVIDER
from provider_router.errors import AlreadyExists, ConfigError, InvalidConfig
from provider_router.store import Kept, ProviderRecord


@frozen(kw_only=True)
class EditedProvider(ProviderRecord):
    """A provider after an edit.

    `dropped_secrets` are the options whose secrets were dropped because its address leads to another place now: they
    must not be sent there unless they are given anew.
    """

    dropped_secrets: tuple[str, ...] = ()


@frozen
class Providers:
    """`admin.providers`."""

    _editor: Editor

    def add(
        self,
        id: str,
        *,
        type: str,
        name: str | None = None,
        priority: int = 0,
        enabled: bool = True,
        description: str | None = None,
        config: Mapping[str, object] | None = None,
    ) -> ProviderRecord:
        """Add a provider. Nobody asks whether it answers; that is `router.check()`.

        Args:
            id: how it is called everywhere: lower-case letters, digits, `-`, `.`, `_`.
            type: an installed provider type (`prouter types`).
            name: for people; the id unless given.
            priority: the highest is asked first.
            enabled: whether it is asked.
            description: for people.
            config: its options in either spelling (`{"baseURL": …, "timeout": "30s"}`); durations in milliseconds or
                with a unit, secrets themselves or references to them (`env:NAME`).

        Raises:
            AlreadyExists: the id or the name is taken.
            UnknownProviderType: no installed plugin offers the type.
            InvalidConfig: with every problem at once.
        """
        config = config or {}
        record = ProviderRecord(
            id=id,
            name=id if name is None else name,
            type=type,
            enabled=enabled,
            priority=priority,
            description=description,
        )
        declared = self._editor.plugins.get(type).Config
        problems = [*provider_id_problems(id), *provider_problems(record)]
        problems += Draft.of(declared, {}, config, local=self._editor.local).problems
        with self._editor.change() as change:
            if id in self:
                raise AlreadyExists(f"There is a provider {id} already: choose another id, or edit that one.")
            if problems:
                raise InvalidConfig(f"The provider {id} cannot be like this:", problems)
            self._editor.store.providers.add(record)
            options = write_options(self._editor, change, record, config)
            what = f"added provider {id} of type {type}"
            change.tell(what, noun="provider", subject=id, after=[record, *options.after])
        return record

    def get(self, id: str) -> ProviderRecord:
        """One provider.

        Raises:
            UnknownProvider: there is none of this id; the message names near ones.
        """
        return provider_record(self._editor, id)

    def list(self, *, type: str | None = None, enabled: bool | None = None) -> tuple[ProviderRecord, ...]:
        """All providers, or those of a type, or those that are on or off; highest priority first, then by id."""
        return self._editor.store.providers.list(type=type, enabled=enabled)

    def edit(
        self,
        id: str,
        *,
        name: str | EllipsisType = ...,
        priority: int | EllipsisType = ...,
        enabled: bool | EllipsisType = ...,
        description: str | EllipsisType | None = ...,
        config: Mapping[str, object] | None = None,
    ) -> EditedProvider:
        """Change what is given and leave the rest, options too: of those, None removes one.

        A new scheme, host or port in an address drops the provider's secrets that are not given anew with it.

        Returns:
            The record as it is now, and which secrets were dropped.

        Raises:
            UnknownProvider: there is none of this id.
            AlreadyExists: another one has the name.
            UnknownProviderType: options are given, and the provider's type is not installed.
            InvalidConfig: with every problem at once.
        """
        fields = {"name": name, "priority": priority, "enabled": enabled, "description": description}
        given: dict[str, Any] = {field: value for field, value in fields.items() if value is not ...}
        with self._editor.change() as change:
            before = self.get(id)
            wanted = evolve(before, **given)
            if problems := list(provider_problems(wanted)):
                raise InvalidConfig(f"The provider {id} cannot be like this:", problems)
            options = write_options(self._editor, change, before, config or {})
            after = self._editor.store.providers.update(wanted) if wanted != before else before
            changed = [field for field in given if getattr(before, field) != getattr(after, field)]
            changed += options.touched
            if changed:
                rows = ([before], [after]) if after is not before else ([], [])
                what = f"changed {', '.join(changed)} of provider {id}"
                change.tell(
                    what,
                    noun="provider",
                    subject=id,
                    before=[*rows[0], *options.before],
                    after=[*rows[1], *options.after],
                )
        return EditedProvider(**asdict(after, recurse=False), dropped_secrets=options.dropped_secrets)

    def enable(self, id: str) -> ProviderRecord:
        """Let it be asked, and make every process forget what it holds against it.

        Raises:
            UnknownProvider: there is none of this id.
        """
        return self._switch(id, enabled=True)

    def disable(self, id: str) -> ProviderRecord:
        """Let it be asked no more. Calls in flight end in peace.

        Raises:
            UnknownProvider: there is none of this id.
        """
        return self._switch(id, enabled=False)

    def set_priority(self, id: str, priority: int) -> ProviderRecord:
        """Give it another priority; the highest is asked first.

        Raises:
            UnknownProvider: there is none of this id.
            InvalidConfig: it is no whole number.
        """
        self.edit(id, priority=priority)
        return self.get(id)

    def remove(self, id: str, *, force: bool = False) -> ProviderRecord:
        """Remove a provider with its options, links and secrets.

        Args:
            id: which one.
            force: even the active one; then none is active.

        Returns:
            The record as it was.

        Raises:
            UnknownProvider: there is none of this id.
            ConfigError: it is the active one.
        """
        with self._editor.change() as change:
            store = self._editor.store
            record = self.get(id)
            active = store.settings.get(ACTIVE_PROVIDER)
            is_active = active is not None and active.value == id
            if is_active and not force:
                raise ConfigError(
                    f"{id} is the active provider: choose another with `prouter set`, or remove it with --force "
                    "(force=True in Python), then none is active."
                )
            options, links = store.configs.list(id), store.links.list(provider_id=id)
            store.providers.remove(id)
            drop_secrets(change, options)
            was_active = store.settings.unset(ACTIVE_PROVIDER) if is_active else None
            before: list[Kept] = [record, *options, *links]
            before += [was_active] if was_active else []
            change.tell(f"removed provider {id}", noun="provider", subject=id, before=before)
        return record

    def config(self, id: str) -> Options:
        """The options of a provider.

        Raises:
            UnknownProvider: there is none of this id.
        """
        self.get(id)
        return Options(self._editor, id)

    def __contains__(self, id: object) -> bool:
        return id in self._editor.store.providers

    def __len__(self) -> int:
        return len(self._editor.store.providers)

    def _switch(self, id: str, *, enabled: bool) -> ProviderRecord:
        with self._editor.change() as change:
            before = self.get(id)
            # Told even if it was on already: a change is what resets its health everywhere.
            after = self._editor.store.providers.update(evolve(before, enabled=enabled))
            what = f"{'enabled' if enabled else 'disabled'} provider {id}"
            change.tell(what, noun="provider", subject=id, before=[before], after=[after])
        return after


def provider_problems(record: ProviderRecord) -> Iterator[str]:
    """What is wrong with a provider's own fields; its id is looked at when it is added."""
    yield from text_problems("name", record.name, required=True)
    yield from text_problems("description", record.description, required=False)
    priority: object = record.priority
    enabled: object = record.enabled
    if isinstance(priority, bool) or not isinstance(priority, int) or abs(priority) >= 2**63:
        yield f"priority: {priority!r} is no whole number"
    if not isinstance(enabled, bool):
        yield f"enabled: {enabled!r} is neither true nor false"
