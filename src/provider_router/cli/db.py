"""`prouter db`: the two database files, copied, looked at, and brought back."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provider_router.cli.terminal import Terminal, json_option, table

if TYPE_CHECKING:
    from provider_router.configuration.restoring import Restored
    from provider_router.store import Fault


@click.group()
def db() -> None:
    """The databases: backup, restore, check."""


@db.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--history", "with_history", is_flag=True, help="Copy the history too, to a file beside it.")
@json_option
@click.pass_obj
def backup(terminal: Terminal, *, file: Path | None, with_history: bool) -> None:
    """Copy the configuration to FILE, while it is in use.

    Without FILE the copy goes to the folder `backups` beside the database. Secrets are not in it: it has references.
    """
    from provider_router import home
    from provider_router.store import backup as copy
    from provider_router.store import backup_path

    source = home.database_path(terminal.database)
    target = file.absolute() if file else backup_path(source)
    pairs = [(source, target)]
    if with_history:
        pairs.append((home.history_path(source), home.history_path(target)))
    copied: list[Path] = []
    try:
        for original, to in pairs:
            with _bar(terminal, f"Copying {original.name}") as bar:
                copy(original, to, progress=_moving(bar))
            copied.append(to)
    except BaseException:
        for to in copied:  # both or none
            to.unlink()
        raise
    terminal.result(
        {"backup": target, **({"history": copied[1]} if with_history else {})},
        "\n".join(f"Copied to {to}" for to in copied),
    )


@db.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--quick", is_flag=True, help="Leave out whether the indexes fit their tables: for a large history.")
@json_option
@click.pass_obj
def check(terminal: Terminal, *, file: Path | None, quick: bool) -> None:
    """Look whether the databases are sound, or FILE, a backup. The exit code is 1 if one is not."""
    from provider_router import home
    from provider_router.store import CONFIGURATION, HISTORY, exists, inspect, schema_of

    path = file.absolute() if file else home.database_path(terminal.database)
    if file is None:
        ours = ((path, CONFIGURATION), (home.history_path(path), HISTORY))
        looked = [one for one in ours if exists(one[0])]
    else:
        looked = [(path, schema_of(path))]
    found: list[tuple[Path, list[Fault]]] = []
    for each, schema in looked:
        if terminal.interactive:
            terminal.note(f"Looking at {each} …")
        found.append((each, inspect(each, schema, quick=quick)))
    lines = [] if found else [f"{path}: does not exist yet"]
    for each, faults in found:
        lines.append(f"{each}: {'sound' if not faults else 'not sound' if _grave(faults) else 'sound, but'}")
        for fault in faults:
            lines += [f"  {fault.check}: {fault.what}", *([f"    → {fault.mend}"] if fault.mend else [])]
    terminal.result(
        [{"path": each, "sound": not _grave(faults), "faults": faults} for each, faults in found], "\n".join(lines)
    )
    if any(_grave(faults) for _, faults in found):
        click.get_current_context().exit(1)


@db.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--history", "with_history", is_flag=True, help="Restore the history too, from the file beside FILE.")
@click.option("--dry-run", is_flag=True, help="Change nothing, and only show what would be.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def restore(terminal: Terminal, *, file: Path | None, with_history: bool, dry_run: bool, yes: bool) -> None:
    """Bring the configuration to what FILE has, a backup, while it is in use. Without FILE, list the backups.

    FILE is looked at first, and what is there now is copied. Then it is a new change, which `prouter changes rollback`
    takes back. A database that is damaged is kept under another name, and one is made anew from FILE.
    """
    if file is None:
        if with_history or dry_run or yes:
            raise click.UsageError("name the FILE to restore; `prouter db restore` alone lists the backups")
        _list_backups(terminal)
        return
    from provider_router.cli.changes import differences_text, tell_missing

    with terminal.admin() as admin:
        planned = admin.restore(file, with_history=with_history, dry_run=True)
        shown = differences_text(planned.differences)
        if not yes and not dry_run:
            if not terminal.interactive:
                raise click.UsageError("say --yes to restore it, or --dry-run to see what would be")
            terminal.note(_announced(planned, shown))
            if not terminal.confirm(f"Restore {file}?", default=False):
                terminal.note("Nothing was restored.")
                return
        done = planned
        if not dry_run:
            done = admin.restore(file, with_history=with_history, expected=planned.revision)
    lines = [shown] if shown and (yes or dry_run) else []
    terminal.result(
        {
            "backup": done.source,
            "change": done.change.number if done.change else None,
            "differences": done.differences,
            "missing_secrets": done.missing_secrets,
            "missing_types": done.missing_types,
            "saved": done.saved,
            "damaged": done.damaged,
            "revision": done.revision,
            "history": done.history,
        },
        "\n".join([*lines, *(_would(done) if dry_run else _restored(done))]),
    )
    tell_missing(terminal, done)


def _list_backups(terminal: Terminal) -> None:
    from datetime import UTC, datetime

    from provider_router import home
    from provider_router.store import backups

    source = home.database_path(terminal.database)
    found = [(path, path.stat()) for path in backups(source)]
    made = [datetime.fromtimestamp(status.st_mtime, UTC) for _, status in found]
    value = [{"path": path, "at": at, "bytes": status.st_size} for (path, status), at in zip(found, made, strict=True)]
    if not found and not terminal.json:
        terminal.note(f"There is no backup of {source}. `prouter db backup` makes one.")
        return
    cells = [
        [f"{at.astimezone():%Y-%m-%d %H:%M:%S}", f"{status.st_size // 1024} KB", path]
        for (path, status), at in zip(found, made, strict=True)
    ]
    terminal.result(value, table(cells, ("made", "size", "file")))


def _announced(planned: Restored, shown: str) -> str:
    history = ["The history is replaced by that of the backup."] if planned.history else []
    return "\n".join([shown or "The configuration is as it is in the backup.", *_damaged(planned), *history])


def _damaged(planned: Restored) -> list[str]:
    return [f"{path} is damaged: it is kept under another name, and made anew." for path in planned.damaged]


def _would(planned: Restored) -> list[str]:
    return _damaged(planned) or ([] if planned.differences else ["The configuration is as it is in the backup."])


def _restored(done: Restored) -> list[str]:
    lines = [f"What was damaged is kept: {path}" for path in done.damaged]
    lines += [f"What was there before is kept: {path}" for path in done.saved]
    if done.change:
        lines.append(f"restored, as change {done.change.number}")
    elif done.differences:
        lines.append(f"restored, with its changes up to {done.revision}")
    else:
        lines.append("The configuration is as it is in the backup.")
    return [*lines, *(["restored the history"] if done.history else [])]


def _grave(faults: list[Fault]) -> bool:
    return any(fault.grave for fault in faults)


def _bar(terminal: Terminal, label: str) -> AbstractContextManager[Any]:
    """A progress bar on stderr where somebody watches."""
    if not terminal.interactive:
        return nullcontext()
    import sys

    return click.progressbar(length=1000, label=label, file=sys.stderr)


def _moving(bar: Any) -> Any:
    if bar is None:
        return None

    def moved(done: int, of: int) -> None:
        bar.update(1000 * done // max(of, 1) - bar.pos)

    return moved
