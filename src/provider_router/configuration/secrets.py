"""Secrets: which there are, whether they can be had, who keeps them. Never their values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Final, Literal, TypeAlias

from attrs import frozen

from provider_router.configuration.editor import Editor
from provider_router.configuration.settings import Settings
from provider_router.errors import ConfigError, MissingSecret, StoreError
from provider_router.providers.config import describe_config, fetch_secret
from provider_router.providers.secrets import (
    Keepers,
    Kept,
    Moved,
    Reference,
    Secret,
    parse_reference,
    resolve,
    side_by_side,
)
from provider_router.store import KEEPER_SETTING, OptionRecord, Rotated, new_key

SecretState: TypeAlias = Literal["used", "unused", "bin", "missing"]

_PLACES: Final[Mapping[str, str]] = {
    "env": "the environment of each process",
    "file": "that file",
    "keyring": "the system's keyring",
    "cmd": "what the command prints",
}


@frozen(kw_only=True)
class SecretEntry:
    """A secret, without its value.

    Attributes:
        owner: `desk/apiKey`, `desk/headers.X-Key`, `credentials/token`.
        reference: where its value lies, as it may be shown: of a `cmd:` the program alone.
        keeper: who keeps it: `file`, `keyring`, `sealed`; None for other references.
        place: where that is, for people.
        state: `used`; `unused`: nothing in this configuration refers to it; `bin`: removed, can be restored; `missing`:
            something refers to it, and nobody keeps it.
        until: how long it stays in the bin.
    """

    owner: str
    reference: str
    keeper: str | None = None
    place: str = ""
    state: SecretState = "used"
    until: datetime | None = None


@frozen(kw_only=True)
class SecretCheck:
    """How fetching a secret went: `ok`, `missing` (nothing is there), `unreadable` (something is, and cannot be had).

    `problem` says what is wrong and what to do.
    """

    owner: str
    reference: str
    state: Literal["ok", "missing", "unreadable"]
    problem: str = ""


@frozen
class Secrets:
    """`admin.secrets`. From afar (`Admin(local=False)`) they can be listed and checked, and nothing else."""

    _editor: Editor

    @property
    def keeper(self) -> str:
        """The keeper that takes new secrets: the setting `secrets.keeper`."""
        return self._keepers.name

    def ready(self) -> None:
        """See that the keeper of new secrets could take one now.

        Raises:
            ConfigError: it could not: its package or its key is missing, or others hold it.
        """
        self._keepers.ready()

    def list(self) -> tuple[SecretEntry, ...]:
        """Every secret that something refers to, then those that are kept beside, in the bin too. None is fetched.

        Raises:
            ConfigError: a keeper cannot be asked which it has.
        """
        kept: dict[str, tuple[str, Kept]] = {}
        for name, one in self._keepers.inventory():
            if one.id not in kept or one.purge_at is None:
                kept[one.id] = name, one
        entries = []
        uses = self._uses()
        for owner, reference in uses:
            if reference.scheme == "secret":
                entries.append(self._entry(owner, reference.place, kept.get(reference.place), used=True))
            else:
                place = reference.place if reference.scheme == "file" else _PLACES[reference.scheme]
                entries.append(SecretEntry(owner=owner, reference=reference.shown, place=place))
        used = {reference.place for _, reference in uses if reference.scheme == "secret"}
        entries += [
            self._entry(found[1].owner, each, found, used=False) for each, found in kept.items() if each not in used
        ]
        return tuple(entries)

    def check(self, *, time_limit: float | None = None) -> tuple[SecretCheck, ...]:
        """Fetch every secret that something refers to, and throw it away. Runs commands, asks the keyring.

        Args:
            time_limit: longest wait for all of them, in seconds; those that are not there by then are unreadable.
        """
        uses, keepers = self._uses(), self._keepers

        def fetch(reference: Reference) -> Secret:
            return fetch_secret(str(reference), lambda one: resolve(one, keeper=keepers))

        found = {
            reference: _outcome(future)
            for reference, future in side_by_side((one for _, one in uses), fetch, time_limit=time_limit).items()
        }
        return tuple(
            SecretCheck(owner=owner, reference=reference.shown, state=found[reference][0], problem=found[reference][1])
            for owner, reference in uses
        )

    def unused(self) -> tuple[SecretEntry, ...]:
        """What is kept, not in the bin, and nothing in this configuration refers to.

        A process that was killed in the midst of a change leaves such a secret. So do other configurations that share
        the keeper: their secrets are in use there. Nothing is told where a keeper cannot be asked: `check` says that.
        """
        try:
            return tuple(entry for entry in self.list() if entry.state == "unused")
        except (ConfigError, StoreError):
            return ()

    def warning(self) -> str | None:
        """What is to be said of the keepers: that others can read a file of theirs."""
        return self._keepers.warning()

    def move(self, keeper: str, *, dry_run: bool = False) -> tuple[Moved, ...]:
        """Give every kept secret, the bin too, to one keeper, which takes new ones from now on.

        References stay as they are. Each secret is written, read back, and only then forgotten where it was: a move
        that was broken off loses nothing, and the next one goes on from there. To `sealed`, which is in this
        configuration's database, go those alone that this configuration has or had.

        Args:
            keeper: `file`, `keyring` or `sealed`.
            dry_run: only tell.

        Returns:
            What was moved, and with a `problem` what stayed where it was.

        Raises:
            ConfigError: there is no such keeper, or it can take nothing.
        """
        self._editor.refuse_from_afar()
        self._keepers.called(keeper).ready()
        if dry_run:
            return self._keepers.to_move(keeper, mine=self._mine())
        Settings(self._editor).set(KEEPER_SETTING, keeper)
        return self._keepers.move(keeper, mine=self._mine())

    def restore(self, id: str) -> Kept:
        """Take a secret out of the bin again. What refers to it is not changed.

        Args:
            id: of the secret, or its reference.

        Raises:
            MissingSecret: it is not there any more.
        """
        self._editor.refuse_from_afar()
        kept = self._known(id)
        self._keepers.restore(kept.id)
        return self._known(kept.id)

    def remove(self, id: str, *, for_good: bool = False) -> Kept:
        """Put a secret that nothing refers to into the bin, or, `for_good`, forget it at once.

        Args:
            id: of the secret, or its reference.
            for_good: also one that is in the bin already; it cannot be restored.

        Raises:
            MissingSecret: there is none.
            ConfigError: something refers to it.
        """
        self._editor.refuse_from_afar()
        kept = self._known(id)
        if users := [owner for owner, reference in self._uses() if reference == Reference("secret", kept.id)]:
            raise ConfigError(f"The secret {kept.id} is used by {', '.join(users)}: unset that first.")
        if not for_good:
            self._keepers.remove(kept.id)
            return self._known(kept.id)
        self._keepers.forget(kept.id)
        return kept

    def rotate(self) -> Rotated:
        """Seal the secrets of the keeper `sealed` anew under the first key of `PROUTER_SECRET_KEY`.

        Raises:
            ConfigError: the extra or the key is missing.
        """
        self._editor.refuse_from_afar()
        return self._editor.store.sealed.rotate()

    @staticmethod
    def new_key() -> str:
        """A new key for the keeper `sealed`. It is kept nowhere.

        Raises:
            ConfigError: the extra is missing.
        """
        return new_key()

    @property
    def _keepers(self) -> Keepers:
        return self._editor.keeper

    def _known(self, id: str) -> Kept:
        id_alone = id.removeprefix("secret:")
        if kept := self._keepers.find(id_alone):
            return kept
        raise MissingSecret(f"No keeper has a secret {id_alone}: `prouter secrets list` shows those there are.")

    def _entry(self, owner: str, id: str, found: tuple[str, Kept] | None, *, used: bool) -> SecretEntry:
        if found is None:
            return SecretEntry(owner=owner, reference=f"secret:{id}", place="nowhere", state="missing")
        keeper, kept = found
        return SecretEntry(
            owner=owner,
            reference=f"secret:{id}",
            keeper=keeper,
            place=self._keepers.called(keeper).place,
            state="bin" if kept.purge_at is not None else "used" if used else "unused",
            until=kept.until,
        )

    def _uses(self) -> Sequence[tuple[str, Reference]]:
        """Every reference of every provider and login, with its owner."""
        now = self._editor.store.read()
        uses = [
            (owner, reference)
            for provider in sorted(now.options)
            for option in now.options[provider]
            for owner, reference in self._in_option(now.providers[provider].type, option)
        ]
        for login in now.credentials:
            for field, text in (("token", login.token), ("cookies", login.cookies)):
                if reference := parse_reference(text):
                    uses.append((f"credentials/{field}", reference))
        return uses

    def _in_option(self, type: str, option: OptionRecord) -> Iterator[tuple[str, Reference]]:
        cls = self._editor.plugins.types.get(type)
        if cls is not None and not any(i.sensitive and i.name == option.key for i in describe_config(cls.Config)):
            return
        parts = option.value if isinstance(option.value, dict) else {"": option.value}
        for part, value in parts.items():
            owner = f"{option.provider_id}/{option.key}{f'.{part}' if part else ''}"
            if isinstance(value, str) and (reference := parse_reference(value)):
                yield owner, reference

    def _mine(self) -> Callable[[Kept], bool]:
        """Tells what this configuration refers to, or did: others on this machine may have theirs in the same file."""
        used = {str(reference) for _, reference in self._uses()}
        changes = self._editor.store.changes

        def mine(kept: Kept) -> bool:
            return f"secret:{kept.id}" in used or changes.mention(f"secret:{kept.id}")

        return mine


def _outcome(fetched: Future[Secret]) -> tuple[Literal["ok", "missing", "unreadable"], str]:
    try:
        fetched.result()
    except MissingSecret as error:
        return "missing", str(error)
    except (ConfigError, StoreError) as error:
        return "unreadable", str(error)
    return "ok", ""
