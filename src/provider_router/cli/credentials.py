"""`prouter credentials`: the login at chat.qwen.ai that every provider without one of its own uses."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from provider_router.cli.terminal import Terminal, json_option, table

if TYPE_CHECKING:
    from provider_router.store import CredentialRecord

_HELP: Final = {"token": "value of the header bx-umidtoken", "cookies": "value of the header Cookie"}


@click.group()
def credentials() -> None:
    """Credentials: the login at chat.qwen.ai, for every provider that has none of its own."""


@credentials.command("list")
@json_option
@click.pass_obj
def list_credentials(terminal: Terminal) -> None:
    """Show the logins, the newest first, by their references. No value is shown."""
    with terminal.admin() as admin:
        records, current = admin.credentials.list(), admin.credentials.current()
    found = [_shown(record, current) for record in records]
    cells = [[one["id"], one["token"], one["cookies"], _until(one["expires_at"]), one["state"]] for one in found]
    if found or terminal.json:
        terminal.result(found, table(cells, ("id", "token", "cookies", "ends", "state")))
    else:
        terminal.note("There are no credentials: prouter credentials set")


@credentials.command("set")
@click.option("--token", help=f"The {_HELP['token']}, or a reference to it, such as env:QWEN_TOKEN.")
@click.option("--cookies", help=f"The {_HELP['cookies']}, or a reference to it.")
@click.option("--expires-at", metavar="WHEN", help="When it ends: 2027-01-31T12:00:00+00:00, or seconds since 1970.")
@click.option(
    "--stdin",
    "piped",
    is_flag=True,
    help="Read what is not given from standard input: token, then cookies, a line each.",
)
@json_option
@click.pass_obj
def set_credentials(
    terminal: Terminal, *, token: str | None, cookies: str | None, expires_at: str | None, piped: bool
) -> None:
    """Set the login; it takes the place of every one before it. On a terminal it asks for what is missing, unseen.

    \b
    prouter credentials set --token env:QWEN_TOKEN --cookies env:QWEN_COOKIES
    prouter credentials set --stdin < login.txt
    """  # noqa: D301 - \b is click's: do not wrap
    ends = _moment(expires_at)
    given = {"token": token, "cookies": cookies}
    missing = [name for name, value in given.items() if value is None]
    if missing and not (piped or terminal.interactive):
        raise click.UsageError(f"{' and '.join(f'--{name}' for name in missing)} missing; --stdin reads what is secret")
    ask = _line if piped else _asking(terminal)
    values = {name: ask(name) if value is None else value for name, value in given.items()}
    with terminal.admin() as admin:
        record = admin.credentials.set(**values, expires_at=ends)
        current = admin.credentials.current()
    shown = _shown(record, current)
    terminal.result(shown, f"set the credentials: token {record.token}, cookies {record.cookies}")
    if shown["state"] == "expired":
        terminal.note(f"They ended {_until(record.expires_at)}, so nobody uses them.")


@credentials.command()
@click.argument("id", type=int, required=False)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def remove(terminal: Terminal, *, id: int | None, yes: bool) -> None:
    """Remove the login of this ID, or every one. What was kept stays in the bin for seven days."""
    what = "all credentials" if id is None else f"the credentials {id}"
    if not yes:
        if not terminal.interactive:
            raise click.UsageError("say --yes to remove them: nobody is there to be asked")
        if not terminal.confirm(f"Remove {what}?", default=False):
            terminal.note("Nothing was removed.")
            return
    with terminal.admin() as admin:
        removed = admin.credentials.remove(id)
    ids = [record.id for record in removed]
    terminal.result({"removed": ids}, f"removed {what}" if ids else "There were none.")


def _shown(record: CredentialRecord, current: CredentialRecord | None) -> dict[str, Any]:
    """A login as it is shown: by references, and whether it is the one in use."""
    from provider_router.store import now

    if current is not None and record.id == current.id:
        state = "in use"
    else:
        state = "expired" if record.expires_at is not None and record.expires_at <= now() else "older"
    return {
        "id": record.id,
        "token": record.token,
        "cookies": record.cookies,
        "expires_at": record.expires_at,
        "state": state,
        "created_at": record.created_at,
    }


def _moment(text: str | None) -> datetime | None:
    from provider_router.providers.config import parse_moment

    if text is None:
        return None
    try:
        return parse_moment(text)
    except ValueError as error:
        raise click.UsageError(f"--expires-at: {error}") from None


def _asking(terminal: Terminal) -> Callable[[str], str]:
    return lambda name: terminal.ask(f"{name}, {_HELP[name]} (not shown)", parse=_something, hidden=True)


def _line(name: str) -> str:
    line = sys.stdin.readline().strip() if sys.stdin is not None else ""
    if not line:
        raise click.UsageError(f"nothing came from standard input for {name}")
    return line


def _something(answer: str) -> str:
    if not answer:
        raise ValueError("an answer is needed")
    return answer


def _until(at: datetime | None) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M}" if at else "-"
