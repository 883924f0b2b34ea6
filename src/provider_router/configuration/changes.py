"""Changes: what was changed by whom, what that did, and back again."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from provider_router.configuration.differences import Difference, differences
from provider_router.configuration.editor import Editor
from provider_router.configuration.returning import Return, bring_back, would_return
from provider_router.store import ChangeRecord, Configuration


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
        store = self._editor.store
        if dry_run:
            return self._rollback(number, would_return(self._editor, store.at(number)))
        with self._editor.change() as change:
            self._editor.refuse_unseen(expected)
            what = f"rolled back to change {number}"
            done = bring_back(self._editor, change, store.at(number), what=what, noun="change", subject=str(number))
        return self._rollback(number, done)

    def _rollback(self, number: int, done: Return) -> Rollback:
        return Rollback(
            number=number,
            differences=done.differences,
            missing_secrets=done.missing_secrets,
            missing_types=done.missing_types,
            change=done.change,
        )
