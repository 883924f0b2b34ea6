"""Options: the configuration of one provider, checked against its type, with its secrets handed to the keeper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import frozen

from provider_router.configuration.draft import Draft, split_part
from provider_router.configuration.editor import Change, Editor, references_in
from provider_router.configuration.lending import with_login
from provider_router.configuration.names import near_miss, unknown_provider
from provider_router.errors import ConfigError, InvalidConfig
from provider_router.providers.config import MASK, Config, build_config, describe_config, shown
from provider_router.providers.secrets import Reference, Secret, resolve
from provider_router.store import Json, OptionRecord, ProviderRecord, now


@frozen(kw_only=True)
class EditedConfig:
    """What a change of a provider's options has done.

    Attributes:
        provider: the provider's id.
        before, after: the options that were touched, as they were and as they are.
        dropped_secrets: options whose secrets were dropped because the provider's address leads to another place:
            they must not be sent there unless they are given anew. `headers.X-Key` is one of a mapping.
    """

    provider: str
    before: tuple[OptionRecord, ...] = ()
    after: tuple[OptionRecord, ...] = ()
    dropped_secrets: tuple[str, ...] = ()

    @property
    def touched(self) -> tuple[str, ...]:
        """The options' names."""
        return tuple(sorted({record.key for record in (*self.before, *self.after)}))


@frozen
class Options:
    """`admin.providers.config(id)`. Options have the names they have outside Python; either spelling is taken.

    `headers.X-Key` is one of a mapping: it is read, set and unset alone, and the others stay.

    Every method raises `UnknownProvider` once the provider is gone.
    """

    _editor: Editor
    _provider: str

    def get(self, key: str, default: object = None) -> object:
        """One option as it is shown (secrets as `***`), or `default` if it is not set."""
        name, part = self._split(key)
        value = self.all().get(name, default)
        return value.get(part, default) if part and isinstance(value, Mapping) else value

    def all(self) -> dict[str, object]:
        """Every option that is set, as it is shown: secrets as `***`, references to the environment or a file as such.

        Durations are integer milliseconds, or text with a unit below a second.
        """
        values = {record.key: record.value for record in self.records()}
        config = self._config()
        if config is not None:
            return shown(config, values)
        return {key: MASK if references_in(value) else value for key, value in values.items()}

    def records(self) -> tuple[OptionRecord, ...]:
        """Every option that is set, as it is kept: secrets as references."""
        self._record()
        return self._editor.store.configs.list(self._provider)

    def set(self, key: str, value: object) -> EditedConfig:
        """Set one option. A mask in place of a secret leaves it as it is; None unsets.

        Raises:
            InvalidConfig: the value will not do.
            UnknownProviderType: the provider's type is not installed, so that nothing can be checked.
        """
        return self.set_many({key: value})

    def set_many(self, values: Mapping[str, object]) -> EditedConfig:
        """Set several options at once, and leave the others.

        Raises:
            InvalidConfig: with every problem at once; then nothing has changed.
            UnknownProviderType: the provider's type is not installed, so that nothing can be checked.
        """
        with self._editor.change() as change:
            edited = write_options(self._editor, change, self._record(), values)
            self._tell(change, edited, "set")
        return edited

    def unset(self, key: str) -> EditedConfig:
        """Remove one option, and its secret.

        Raises:
            ConfigError: it is not set.
            InvalidConfig: the provider's type requires it.
        """
        if key not in self:
            hint = near_miss(key, self._names())
            raise ConfigError(f"The provider {self._provider} has no option {key!r} set: {hint}")
        return self._remove([key])

    def clear(self) -> EditedConfig:
        """Remove every option, and the secrets.

        Raises:
            InvalidConfig: the provider's type requires one.
        """
        return self._remove([record.key for record in self.records()])

    def build_config(self) -> Any:
        """The typed configuration, with its secrets looked up.

        Raises:
            UnknownProviderType: the provider's type is not installed.
            InvalidConfig: with every problem at once.
            MissingSecret: a reference leads nowhere.
        """

        def look_up(reference: Reference) -> Secret:
            return resolve(reference, keeper=self._editor.keeper)

        config = self._editor.plugins.get(self._record().type).Config
        own = {record.key: record.value for record in self.records()}
        values = with_login(config, own, self._editor.store.credentials.list(), at=now())
        return build_config(config, values, resolve=look_up, whose=self._provider)

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        name, part = self._split(key)
        record = self._editor.store.configs.get(self._provider, name)
        return record is not None and (not part or (isinstance(record.value, dict) and part in record.value))

    def __len__(self) -> int:
        return len(self.records())

    def _remove(self, names: Iterable[str]) -> EditedConfig:
        with self._editor.change() as change:
            if self._config() is not None:
                edited = write_options(self._editor, change, self._record(), dict.fromkeys(names))
            else:  # without its type nothing is required
                removed = [self._editor.store.configs.unset(self._provider, name) for name in names]
                gone = tuple(option for option in removed if option is not None)
                drop_secrets(change, gone)
                edited = EditedConfig(provider=self._provider, before=gone)
            self._tell(change, edited, "unset")
        return edited

    def _tell(self, change: Change, edited: EditedConfig, verb: str) -> None:
        if edited.touched:
            what = f"{verb} {', '.join(edited.touched)} of provider {self._provider}"
            change.tell(what, noun="provider", subject=self._provider, before=edited.before, after=edited.after)

    def _record(self) -> ProviderRecord:
        return provider_record(self._editor, self._provider)

    def _config(self) -> type[Config] | None:
        cls = self._editor.plugins.types.get(self._record().type)
        return cls.Config if cls else None

    def _split(self, key: str) -> tuple[str, str]:
        config = self._config()
        return split_part(config, key) if config else (key, "")

    def _names(self) -> Iterator[str]:
        for record in self.records():
            yield record.key
            if isinstance(record.value, dict):
                yield from (f"{record.key}.{part}" for part in record.value)


def provider_record(editor: Editor, id: str) -> ProviderRecord:
    """One provider.

    Raises:
        UnknownProvider: there is none of this id; the message names near ones.
    """
    if id in editor.store.providers:
        return editor.store.providers.get(id)
    raise unknown_provider(id, (record.id for record in editor.store.providers.list()))


def write_options(
    editor: Editor, change: Change, provider: ProviderRecord, values: Mapping[str, object]
) -> EditedConfig:
    """Write options of a provider: None removes, a mask leaves a secret as it is.

    Raises:
        UnknownProviderType: the provider's type is not installed.
        InvalidConfig: with every problem at once.
    """
    if not values:
        return EditedConfig(provider=provider.id)
    config = editor.plugins.get(provider.type).Config
    infos = {info.name: info for info in describe_config(config)}
    stored = {record.key: record for record in editor.store.configs.list(provider.id)}
    draft = Draft.of(config, {key: record.value for key, record in stored.items()}, values, local=editor.local)
    if draft.problems:
        raise InvalidConfig(f"The options of {provider.id} cannot be like this:", draft.problems)
    kept = draft.kept(config)
    before: list[OptionRecord] = []
    after: list[OptionRecord] = []
    for key in sorted(draft.touched):
        was = stored.get(key)
        if key not in kept:
            if was is not None:
                editor.store.configs.unset(provider.id, key)
                before.append(was)
        elif was is None or (was.value, type(was.value)) != (kept[key], type(kept[key])):
            sensitive = infos[key].sensitive
            record = _option(change, provider.id, key, kept[key], sensitive=sensitive)
            before += [was] if was is not None else []
            after.append(editor.store.configs.set(record))
    drop_secrets(change, before)
    return EditedConfig(
        provider=provider.id, before=tuple(before), after=tuple(after), dropped_secrets=draft.dropped_secrets
    )


def drop_secrets(change: Change, options: Iterable[OptionRecord]) -> None:
    """Put the secrets of options that are gone or have others now into the bin."""
    for option in options:
        for reference in references_in(option.value):
            change.drop_secret(reference)


def _option(change: Change, provider: str, key: str, value: Any, *, sensitive: bool) -> OptionRecord:
    """The record of an option; a secret that is not kept yet goes to the keeper."""
    if not sensitive:
        plain = list(value) if isinstance(value, tuple) else value
        return OptionRecord(provider_id=provider, key=key, value=plain)
    owner = f"{provider}/{key}"
    if isinstance(value, Mapping):
        references: Json = {part: change.reference(one, owner=f"{owner}.{part}") for part, one in value.items()}
        return OptionRecord(provider_id=provider, key=key, value=references)
    reference = change.reference(value, owner=owner)
    return OptionRecord(provider_id=provider, key=key, value=reference, kind="reference", sensitive=True)
