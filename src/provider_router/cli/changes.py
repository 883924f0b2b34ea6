"""`prouter changes`: what was changed by whom, what that did, back again, out to a file and in."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provider_router.cli.terminal import Terminal, json_option, table
from provider_router.cli.values import SINCE

if TYPE_CHECKING:
    from datetime import datetime

    from provider_router.configuration.changes import Rollback
    from provider_router.configuration.differences import Difference
    from provider_router.configuration.document import Document
    from provider_router.configuration.restoring import Restored
    from provider_router.store import ChangeRecord


@click.group()
def changes() -> None:
    """Changes: what was changed by whom, back again, and the configuration out to a file and in."""


@changes.command()
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most as many.")
@click.option("--since", type=SINCE, help="Only those after: a number, a time, or how long ago (2h, 30m).")
@click.option("--noun", help="Only those about a provider, model, link, setting or credential.")
@click.option("--subject", help="Only those about this one, such as a provider's id.")
@click.option("--who", help="Only those by cli, python, rest or rest:KEY.")
@json_option
@click.pass_obj
def log(
    terminal: Terminal,
    *,
    limit: int,
    since: int | datetime | None,
    noun: str | None,
    subject: str | None,
    who: str | None,
) -> None:
    """Show the changes, newest first."""
    where: dict[str, Any] = {"since": since} if isinstance(since, int) else {"after": since}
    with terminal.admin() as admin:
        found = admin.changes.log(limit=limit, noun=noun, subject=subject, who=who, **where)
    cells = [[one.number, f"{one.at.astimezone():%Y-%m-%d %H:%M:%S}", one.who, one.what] for one in found]
    if found or terminal.json:
        value = [
            {name: getattr(one, name) for name in ("number", "at", "who", "what", "noun", "subject")} for one in found
        ]
        terminal.result(value, table(cells, ("change", "at", "who", "what")))
    else:
        terminal.note("There is no such change." if any((since, noun, subject, who)) else "Nothing was changed yet.")


@changes.command()
@click.argument("first", type=click.IntRange(min=0), metavar="A")
@click.argument("second", type=click.IntRange(min=0), metavar="[B]", required=False)
@json_option
@click.pass_obj
def diff(terminal: Terminal, *, first: int, second: int | None) -> None:
    """Show what is not the same at change A and at change B; of one alone, what it did. Secrets are masked.

    \b
    prouter changes diff 12      what change 12 did
    prouter changes diff 3 12    from the configuration at change 3 to that at change 12
    prouter changes diff 0 12    from nothing
    """  # noqa: D301 - \b is click's: do not wrap
    with terminal.admin() as admin:
        found = admin.changes.diff(first, second)
        record = admin.changes.get(first) if second is None else None
    if record is not None:
        terminal.note(_told(record))
    _show(terminal, found)


@changes.command()
@click.argument("number", type=click.IntRange(min=0))
@click.option("--dry-run", is_flag=True, help="Change nothing, and only show what would be.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def rollback(terminal: Terminal, *, number: int, dry_run: bool, yes: bool) -> None:
    """Bring the whole configuration back to what it was right after change NUMBER, as a new change.

    What was removed since comes back with its options, links and secrets; what was added since goes. To undo change 12
    and all after it: prouter changes rollback 11. Going back can be taken back in the same way.
    """
    with terminal.admin() as admin:
        newest = admin.revision
        planned = admin.changes.rollback(number, dry_run=True)
        if not yes and not dry_run and planned.differences:
            if not terminal.interactive:
                raise click.UsageError("say --yes to go back, or --dry-run to see what would be")
            terminal.note(differences_text(planned.differences))
            if not terminal.confirm(f"Go back to change {number}?", default=False):
                terminal.note("Nothing was changed.")
                return
        done = planned if dry_run else admin.changes.rollback(number, expected=newest)
    value = {
        "rolled_back_to": number,
        "change": done.change.number if done.change else None,
        "differences": done.differences,
        "missing_secrets": done.missing_secrets,
        "missing_types": done.missing_types,
    }
    what = f"back at change {number}, as change {done.change.number}" if done.change else ""
    shown = differences_text(done.differences) if yes or dry_run else ""
    nothing = f"The configuration is as it was at change {number}."
    terminal.result(value, "\n".join(part for part in (shown, what) if part) or nothing)
    tell_missing(terminal, done)


@changes.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), required=False)
@click.option("--toml", "as_toml", is_flag=True, help="TOML in place of JSON, as PROUTER_CONFIG takes it.")
@json_option
@click.pass_obj
def export(terminal: Terminal, *, file: Path | None, as_toml: bool) -> None:
    """Write the whole configuration to FILE, or to the output: for another machine, or for PROUTER_CONFIG.

    References (env:, file:, keyring:, cmd:) are in it as they are. The values that a keeper of ours has are not, and
    are named. A FILE whose name ends in .toml is TOML.
    """
    as_toml = as_toml or (file is not None and file.suffix.lower() == ".toml")
    if as_toml and terminal.json and file is None:
        raise click.UsageError("--toml and --json exclude each other")
    with terminal.admin() as admin:
        document = admin.export()
    text = document.toml() if as_toml else document.json()
    if file is None or str(file) == "-":
        terminal.piece(text)
    else:
        file.write_text(text, encoding="utf-8", newline="\n")
        value = {"file": file, "left_out": document.left_out}
        terminal.result(value, f"{file}: {_counted(document)}")
    if document.left_out and not terminal.json:
        terminal.note(f"Left out, because only the keeper here has the values: {', '.join(document.left_out)}")


@changes.command("import")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Change nothing, and only show what would be.")
@json_option
@click.pass_obj
def import_(terminal: Terminal, *, file: Path, dry_run: bool) -> None:
    """Bring in a FILE that `prouter changes export` wrote, whole or not at all, as one change.

    What it has is added or changed, nothing is removed; a second time it changes nothing. A reference that is there
    already stays; a new one is left out and named, because whoever wrote the file could read with it what is not
    theirs. `-` reads the standard input.
    """
    from provider_router.configuration.transfer import parse_document

    source: Any = file
    if str(file) == "-":
        content = sys.stdin.buffer.read() if sys.stdin is not None else b""
        source = parse_document(content, "the input", toml=not content.lstrip().startswith(b"{"))
    with terminal.admin() as admin:
        done = admin.import_document(source, dry_run=dry_run)
    value = {
        "change": done.change.number if done.change else None,
        "differences": done.differences,
        "left_out": done.left_out,
    }
    lines = [differences_text(done.differences)] if done.differences else ["Everything in it is here already."]
    lines += [f"imported, as change {done.change.number}"] if done.change else []
    terminal.result(value, "\n".join(lines))
    if not terminal.json:
        for label in done.left_out:
            terminal.note(f"{label} was left out. Give it: {_giving(label)}")


# Saying


def _show(terminal: Terminal, found: Sequence[Difference]) -> None:
    if found or terminal.json:
        terminal.result(found, differences_text(found))
    else:
        terminal.note("Nothing is different.")


def differences_text(found: Sequence[Difference]) -> str:
    """Differences for people, a block for each thing."""
    lines = []
    for one in found:
        lines.append(f"{_SIGNS[one.kind]} {one.noun} {one.subject}")
        width = max((len(name) for name in one.fields), default=0)
        for name, (before, after) in one.fields.items():
            told = {"added": _value(after), "removed": _value(before)}.get(one.kind)
            lines.append(f"    {name:{width}}  {told or f'{_value(before)} → {_value(after)}'}")
    return "\n".join(lines)


_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def _value(value: object) -> str:
    import json

    if value is None:
        return "(none)"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _told(record: ChangeRecord) -> str:
    return f"Change {record.number}, {record.at.astimezone():%Y-%m-%d %H:%M:%S}, by {record.who}: {record.what}"


def tell_missing(terminal: Terminal, done: Rollback | Restored) -> None:
    """Say what did not come back whole."""
    if terminal.json:
        return
    for label in done.missing_secrets:
        terminal.note(f"{label} is not in the bin any more, and stays empty. Give it anew: {_giving(label)}")
    for provider in done.missing_types:
        terminal.note(f"{provider} is back, and its type is not installed any more: see `prouter plugin list`")


def _giving(label: str) -> str:
    provider, _, key = label.partition("/")
    return (
        "prouter credentials set" if provider == "credentials" else f"prouter provider config {provider} {key} --stdin"
    )


def _counted(document: Document) -> str:
    counts = ((len(document.content.get(part, ())), part) for part in ("providers", "models", "settings"))
    return ", ".join(f"{count} {part if count != 1 else part[:-1]}" for count, part in counts)
