"""`prouter secrets`: where they are, whether they can be had, and who keeps them. No command shows a value."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import click

from provider_router.cli.terminal import Terminal, json_option, table

if TYPE_CHECKING:
    from provider_router.configuration.secrets import SecretEntry

_KEEPER: Final = click.Choice(("file", "keyring", "sealed"))


@click.group()
def secrets() -> None:
    """Secrets: where they are, whether they can be had, and who keeps them."""


@secrets.command("list")
@click.option("--bin", "only_bin", is_flag=True, help="Only those that were removed and can be restored.")
@json_option
@click.pass_obj
def list_secrets(terminal: Terminal, *, only_bin: bool) -> None:
    """Show every secret's owner, reference, keeper and place. Nothing is fetched, no value is shown."""
    with terminal.admin() as admin:
        entries = [entry for entry in admin.secrets.list() if entry.state == "bin" or not only_bin]
        keeper = admin.secrets.keeper
    cells = [[entry.owner, entry.reference, entry.keeper or "-", _state(entry), entry.place] for entry in entries]
    if entries or terminal.json:
        terminal.result(
            {"keeper": keeper, "secrets": entries}, table(cells, ("owner", "reference", "keeper", "state", "where"))
        )
    else:
        terminal.note("The bin is empty." if only_bin else "There is no secret.")
    if not only_bin:
        terminal.note(f"New secrets are kept by: {keeper} (prouter secrets move KEEPER).")


@secrets.command()
@json_option
@click.pass_obj
def check(terminal: Terminal) -> None:
    """Fetch every secret that a provider or a login refers to. The exit code is 1 if one cannot be had.

    Commands are run, the keyring is asked; the values are thrown away. What is kept, and nothing refers to, is named.
    """
    with terminal.admin() as admin:
        checks = admin.secrets.check()
        unused = admin.secrets.unused()
        warning = admin.secrets.warning()
    cells = [[one.owner, one.reference, one.state, one.problem] for one in checks]
    if checks or terminal.json:
        terminal.result(checks, table(cells, ("owner", "reference", "state", "what is wrong, and what to do")))
    else:
        terminal.note("Nothing refers to a secret.")
    for entry in unused:
        terminal.note(
            f"{entry.reference} of {entry.owner} is kept by {entry.keeper}, and nothing here refers to it. If no other "
            f"configuration needs it: prouter secrets remove {entry.reference}"
        )
    if warning:
        terminal.note(warning)
    if not all(one.state == "ok" for one in checks):
        click.get_current_context().exit(1)


@secrets.command()
@click.argument("keeper", type=_KEEPER)
@click.option("--dry-run", is_flag=True, help="Only tell what would be moved.")
@json_option
@click.pass_obj
def move(terminal: Terminal, *, keeper: str, dry_run: bool) -> None:
    """Give every kept secret to KEEPER, which takes new ones from now on.

    KEEPER is file (plain text, for you alone), keyring (the system's), or sealed (in the database, encrypted with
    PROUTER_SECRET_KEY). References stay as they are. The bin is moved too. What is broken off can be run again.
    """
    with terminal.admin() as admin:
        found = admin.secrets.move(keeper, dry_run=dry_run)
    moved, failed = ([one for one in found if bool(one.problem) is bad] for bad in (False, True))
    verb = "would move" if dry_run else "moved"
    lines = [f"{verb} {one.kept.owner} (secret:{one.kept.id}) from {one.source} to {keeper}" for one in moved]
    value = {
        "keeper": keeper,
        "dry_run": dry_run,
        "moved": [{"owner": one.kept.owner, "id": one.kept.id, "from": one.source} for one in moved],
        "failed": [
            {"owner": one.kept.owner, "id": one.kept.id, "from": one.source, "problem": one.problem} for one in failed
        ],
    }
    terminal.result(value, "\n".join(lines or [f"nothing to move to {keeper}"]))
    for one in failed:
        terminal.note(f"{one.kept.owner} (secret:{one.kept.id}) stays with {one.source}: {one.problem}")
    if not dry_run:
        terminal.note(f"New secrets are kept by: {keeper}.")
    if failed:
        click.get_current_context().exit(1)


@secrets.command()
@click.argument("id")
@json_option
@click.pass_obj
def restore(terminal: Terminal, *, id: str) -> None:
    """Take a removed secret out of the bin: ID as `prouter secrets list --bin` shows it."""
    with terminal.admin() as admin:
        kept = admin.secrets.restore(id)
        entry = next(one for one in admin.secrets.list() if one.reference == f"secret:{kept.id}")
    terminal.result(entry, f"restored {entry.reference} of {entry.owner}")
    provider, _, option = entry.owner.partition("/")
    if entry.state == "unused" and provider != "credentials":
        terminal.note(f"Nothing refers to it: prouter provider config {provider} {option} {entry.reference}")


@secrets.command()
@click.argument("id")
@click.option("--for-good", is_flag=True, help="Forget it at once, also from the bin. It cannot be restored.")
@json_option
@click.pass_obj
def remove(terminal: Terminal, *, id: str, for_good: bool) -> None:
    """Put a secret that nothing refers to into the bin, for seven days."""
    with terminal.admin() as admin:
        kept = admin.secrets.remove(id, for_good=for_good)
    until = None if for_good else kept.until
    what = f"removed secret:{kept.id} of {kept.owner}" + (f"; in the bin until {_moment(until)}" if until else "")
    terminal.result({"id": kept.id, "owner": kept.owner, "until": until}, what)


@secrets.command()
@json_option
@click.pass_obj
def rotate(terminal: Terminal) -> None:
    """Seal the secrets in the database anew under the first key of PROUTER_SECRET_KEY.

    Put the new key first, the old one after a comma: PROUTER_SECRET_KEY=NEW,OLD. When this is done everywhere, take the
    old one away. The exit code is 1 if one is sealed with a key that is not given.
    """
    with terminal.admin() as admin:
        rotated = admin.secrets.rotate()
    done, current, not_read = len(rotated.sealed), len(rotated.current), len(rotated.unreadable)
    text = f"sealed anew: {done}; under the first key already: {current}"
    terminal.result(rotated, text + (f"; not opened by any key: {not_read}" if not_read else ""))
    if not_read:
        terminal.note(f"These stay as they are: {', '.join(rotated.unreadable)}. Add the key they were sealed with.")
        click.get_current_context().exit(1)


@secrets.command()
@json_option
@click.pass_obj
def key(terminal: Terminal) -> None:
    """Make a new key for the keeper sealed. It is printed, and kept nowhere."""
    from provider_router.configuration.secrets import Secrets

    made = Secrets.new_key()
    terminal.result({"key": made}, made)
    terminal.note("Keep it apart from the database, and give it as PROUTER_SECRET_KEY to whatever uses the database.")


def _state(entry: SecretEntry) -> str:
    return f"in the bin until {_moment(entry.until)}" if entry.state == "bin" and entry.until else entry.state


def _moment(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M}"
