"""`prouter db`: the two database files, copied, looked at, and brought back."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provider_router.cli.terminal import Terminal, json_option

if TYPE_CHECKING:
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
@json_option
@click.pass_obj
def check(terminal: Terminal, *, file: Path | None) -> None:
    """Look whether the databases are sound, or FILE, a backup. The exit code is 1 if one is not."""
    from provider_router import home
    from provider_router.store import CONFIGURATION, HISTORY, exists, inspect

    path = file.absolute() if file else home.database_path(terminal.database)
    looked = [(path, CONFIGURATION)]
    if file is None:
        looked = [one for one in (*looked, (home.history_path(path), HISTORY)) if exists(one[0])]
    found: list[tuple[Path, list[Fault]]] = []
    for each, schema in looked:
        if terminal.interactive:
            terminal.note(f"Looking at {each} …")
        found.append((each, inspect(each, schema)))
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
