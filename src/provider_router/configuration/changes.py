"""Changes: what was changed by whom, what that did, and back again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from attrs import evolve, frozen

from provider_router.configuration.differences import Difference, differences
from provider_router.configuration.editor import Change, Editor, references_in
from provider_router.configuration.options import drop_secrets
from provider_router.errors import ConfigError, MissingSecret
from provider_router.providers.secrets import parse_reference
from provider_router.store import ChangeRecord, Configuration, OptionRecord


@frozen(kw_only=True)
class Rollback:
    """What a rollback has done, or would do.

    Attributes:
        number: the change whose state the configuration has again.
        differences: what was not as it was then.
        missing_secrets: what could not come back, because its secret is no longer in the keeper's bin:
            `desk/apiKey`, `desk/headers.X-Key`, `credentials/token` (then without the login).
        missing_types: providers that came back and whose type is not installed any more.
        change: the new change's record; None if there was nothing to do, or it was not to be done.
    """

    number: int
    differences: tuple[Difference, ...]
    missing_secrets: tuple[str, ...] = ()
    missing_types: tuple[str, ...] = ()
    change: ChangeRecord | None = None


@frozen
class Changes:
    """`admin.changes`. Every change has a number, one more than the one before it."""

    _editor: Editor

    def log(
        self,
        *,
        limit: int | None = None,
        since: int = 0,
        after: datetime | None = None,
        noun: str | None = None,
        subject: str | None = None,
        who: str | None = None,
    ) -> tuple[ChangeRecord, ...]:
        """The changes, newest first. Their rows hold references, never secrets.

        Args:
            limit: at most as many.
            since: only those after this number.
            after: only those after this instant.
            noun: only those about a `provider`, `model`, `link`, `setting`, `credential`, or a `change` gone back to.
            subject: only those about this one: `desk`; of a link provider and model: `desk qwen3-max`.
            who: only those by `cli`, `python`, `rest:key-name`; `rest` is every `rest:…`.
        """
        return self._editor.store.changes.list(
            since=since, after=after, noun=noun, subject=subject, who=who, limit=limit
        )

    def get(self, number: int) -> ChangeRecord:
        """One change.

        Raises:
            ConfigError: there is none of this number.
        """
        return self._editor.store.changes.get(number)

    def at(self, number: int) -> Configuration:
        """The whole configuration as it was right after a change; after change 0 there was nothing.

        Raises:
            ConfigError: there is no such change, or not every change after it is there.
        """
        return self._editor.store.at(number)

    def diff(self, first: int, second: int | None = None) -> tuple[Difference, ...]:
        """What is not the same at two changes; of one number, what that change did.

        Raises:
            ConfigError: there is no such change.
        """
        if second is None:
            self.get(first)
            first, second = first - 1, first
        return differences(self.at(first), self.at(second), self._editor.plugins)

    def rollback(self, number: int, *, dry_run: bool = False, expected: int | None = None) -> Rollback:
        """Bring the whole configuration back to what it was right after a change, as a new change.

        What was removed since comes back with its options, links and secrets, as long as the keeper has them in its
        bin; what came since goes. Going back can be taken back in the same way.

        Args:
            number: the change; 0 is the time before the first one.
            dry_run: change nothing, and only say what would be.
            expected: the newest change that the caller knows of.

        Raises:
            ConfigError: there is no such change, or there is a newer one than `expected`.
        """
        if dry_run:
            return self._planned(number)
        with self._editor.change() as change:
            store = self._editor.store
            if expected is not None and store.revision != expected:
                raise ConfigError(
                    f"Somebody has changed the configuration meanwhile: the newest change is {store.revision}. "
                    "Nothing was done; look at it with `prouter changes log` and try again."
                )
            now, then = store.read(), store.at(number)
            target, missing = self._with_secrets(then, change)
            replaced = store.replace(target)
            result = self._result(number, now, target, missing)
            if not (replaced.before or replaced.after):
                return result
            drop_secrets(change, replaced.before)
            what = f"rolled back to change {number}"
            told = change.tell(what, noun="change", subject=str(number), before=replaced.before, after=replaced.after)
        return evolve(result, change=told)

    def _planned(self, number: int) -> Rollback:
        store = self._editor.store
        target, missing = self._with_secrets(store.at(number), None)
        return self._result(number, store.read(), target, missing)

    def _result(self, number: int, now: Configuration, target: Configuration, missing: tuple[str, ...]) -> Rollback:
        types = self._editor.plugins
        found = differences(now, target, types)
        back = {one.subject for one in found if one.noun == "provider" and one.kind != "removed"}
        return Rollback(
            number=number,
            differences=found,
            missing_secrets=missing,
            missing_types=tuple(sorted(name for name in back if target.providers[name].type not in types.types)),
        )

    def _with_secrets(self, then: Configuration, change: Change | None) -> tuple[Configuration, tuple[str, ...]]:
        """A configuration without the references that lead nowhere any more, and the others' secrets out of the bin.

        Args:
            then: the configuration.
            change: the change in which secrets are taken out; None takes none out, and only looks.
        """
        keeper = self._editor.keeper
        live = set(keeper.ids())

        def has(reference: str) -> bool:
            parsed = parse_reference(reference)
            if parsed is None or parsed.scheme != "secret" or parsed.place in live:
                return True
            if change is None:
                return keeper.owner(parsed.place) is not None
            try:
                change.restore_secret(reference)
            except MissingSecret:
                return False
            live.add(parsed.place)
            return True

        missing: list[str] = []
        options: dict[str, tuple[OptionRecord, ...]] = {}
        for provider, records in then.options.items():
            kept = tuple(one for one in (_without(record, has, missing) for record in records) if one is not None)
            options |= {provider: kept} if kept else {}
        logins = []
        for login in then.credentials:
            gone = [f"credentials/{name}" for name in ("token", "cookies") if not has(getattr(login, name))]
            missing += gone
            logins += [] if gone else [login]
        return evolve(then, options=options, credentials=tuple(logins)), tuple(missing)


def _without(record: OptionRecord, has: Callable[[str], bool], missing: list[str]) -> OptionRecord | None:
    """An option without the references whose secrets are gone; None if nothing is left of it."""
    gone = {reference for reference in references_in(record.value) if not has(reference)}
    label = f"{record.provider_id}/{record.key}"
    if not gone or not (record.sensitive or isinstance(record.value, dict)):
        return record
    if not isinstance(record.value, dict):
        missing.append(label)
        return None
    missing += [f"{label}.{part}" for part, value in record.value.items() if value in gone]
    left = {part: value for part, value in record.value.items() if value not in gone}
    return evolve(record, value=left) if left else None
