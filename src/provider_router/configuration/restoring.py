"""Restoring: the configuration as a backup has it. What was there before is saved first."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from attrs import evolve, frozen

from provider_router import home
from provider_router.configuration.differences import Difference
from provider_router.configuration.editor import Editor, changed_meanwhile
from provider_router.configuration.returning import Return, bring_back, told, with_secrets, would_return
from provider_router.errors import CorruptDatabase
from provider_router.store import (
    HISTORY,
    ChangeRecord,
    Configuration,
    Store,
    backup,
    backup_path,
    configuration_of,
    damages,
    exists,
    open_keepers,
    overwrite,
    readable,
    set_aside,
)

_NOTHING = configuration_of((), revision=0)


@frozen(kw_only=True)
class Restored:
    """What restoring a backup has done, or would do.

    Attributes:
        source: the backup.
        differences: what was not as it is in it.
        missing_secrets: what came without its secret, which no keeper has any more: `desk/apiKey`, `credentials/token`.
        missing_types: providers that came back and whose type is not installed.
        change: the new change's record; None if there was nothing to do, it was not to be done, or the backup came with
            its own changes, because there were none here.
        saved: the copies of what was there before.
        damaged: the database files that were damaged, by the names that they have now, or, where it was not to be done,
            have still.
        revision: the newest change from now on; where it was not to be done, until now.
        history: whether the history was restored too, or would be.
    """

    source: Path
    differences: tuple[Difference, ...] = ()
    missing_secrets: tuple[str, ...] = ()
    missing_types: tuple[str, ...] = ()
    change: ChangeRecord | None = None
    saved: tuple[Path, ...] = ()
    damaged: tuple[Path, ...] = ()
    revision: int = 0
    history: bool = False


def restore(editor: Editor, source: Path, *, with_history: bool, dry_run: bool, expected: int | None) -> Restored:
    """See `Admin.restore`."""
    editor.refuse_from_afar()
    editor.refuse_declared()
    with ExitStack() as open_until_the_end:
        # Both are looked at before anything is done with one.
        ready = open_until_the_end.enter_context(readable(source))
        history = home.history_path(source) if with_history else None
        ready_history = open_until_the_end.enter_context(readable(history, HISTORY)) if history else None
        kept = open_until_the_end.enter_context(Store.open(ready, read_only=True))
        mine = home.history_path(editor.path)
        lost = history is not None and exists(mine) and bool(damages(mine, HISTORY))
        broken = _damaged(editor.path)
        if broken or not exists(editor.path) or editor.store.revision == 0:
            restored = _begin(editor, ready, kept, broken=broken, dry_run=dry_run)
        else:
            restored = _change(editor, kept, source, dry_run=dry_run, expected=expected)
        restored = evolve(restored, source=source, history=with_history)
        if ready_history is None:
            return restored
        if dry_run:
            return evolve(restored, damaged=(*restored.damaged, mine)) if lost else restored
        return _with_history(editor.path, ready_history, restored, lost=lost)


def _damaged(path: Path) -> bool:
    """Whether a database is there and cannot be relied on.

    Raises:
        StoreError: it is not ours to touch: of a newer version, of another program, or held by somebody.
    """
    if not exists(path):
        return False
    try:
        Store.open(path).close()
    except CorruptDatabase:
        return True
    return bool(damages(path))


def _change(editor: Editor, kept: Store, source: Path, *, dry_run: bool, expected: int | None) -> Restored:
    """A sound database gets the backup's state as a new change, like a rollback."""
    then = kept.read()
    if dry_run:
        done = would_return(editor, then, sealed=_sealed(kept))
        return _restored(done, revision=editor.store.revision)
    saved = backup_path(editor.path)
    with editor.change() as change:
        store = editor.store
        editor.refuse_unseen(expected)
        backup(store.path, saved)  # others cannot write now, so that it is exactly what is replaced
        try:
            came = store.sealed.take_in(kept.sealed)
            done = bring_back(
                editor, change, then, what=f"restored backup {source.name}", noun="backup", subject=str(source)
            )
        except BaseException:
            saved.unlink()
            raise
    if done.change is None and not came:
        saved.unlink()
        return _restored(done, revision=store.revision)
    return evolve(_restored(done, revision=store.revision), saved=(saved,))


def _begin(editor: Editor, ready: Path, kept: Store, *, broken: bool, dry_run: bool) -> Restored:
    """Where nothing is there, or nothing sound, the backup comes whole, with its changes."""
    then = kept.read()
    if dry_run:
        _, missing = with_secrets(then, open_keepers(None), sealed=_sealed(kept))
        done = told(_NOTHING, then, missing, editor.plugins)
        return evolve(_restored(done, revision=0), damaged=(editor.path,) if broken else ())
    editor.close()
    aside = (set_aside(editor.path),) if broken else ()
    with Store.open(editor.path) as store:
        if not store.fill(ready):
            raise changed_meanwhile(store.revision)
    missing = _secrets_out_of_the_bins(editor, then)
    done = told(_NOTHING, then, missing, editor.plugins)
    return evolve(_restored(done, revision=then.revision), damaged=aside)


def _secrets_out_of_the_bins(editor: Editor, then: Configuration) -> tuple[str, ...]:
    """What the configuration refers to is taken out of the bins; returns what is in none."""
    keeper = editor.keeper
    return with_secrets(then, keeper, restore=lambda reference: keeper.restore(reference.removeprefix("secret:")))[1]


def _sealed(kept: Store) -> list[str]:
    """The ids of the secrets that a backup brings with it; what lies in its bin is none."""
    return [one.id for one in kept.sealed.list() if one.purge_at is None]


def _with_history(database: Path, source: Path, restored: Restored, *, lost: bool) -> Restored:
    path = home.history_path(database)
    if lost:
        restored = evolve(restored, damaged=(*restored.damaged, set_aside(path)))
    elif exists(path):
        # Beside a copy of the configuration, where restoring looks for it.
        beside = restored.saved or (backup_path(database),)
        if not restored.saved:
            backup(database, beside[0])
        saved = home.history_path(beside[0])
        backup(path, saved)
        restored = evolve(restored, saved=(*beside, saved))
    overwrite(source, path)
    return restored


def _restored(done: Return, *, revision: int) -> Restored:
    return Restored(
        source=Path(),
        differences=done.differences,
        missing_secrets=done.missing_secrets,
        missing_types=done.missing_types,
        change=done.change,
        revision=revision,
    )
