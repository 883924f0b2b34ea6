"""`prouter plan`: who would be asked, and why not the others."""

from __future__ import annotations

from datetime import datetime

import click

from provider_router.cli.terminal import Terminal, json_option, table
from provider_router.cli.values import ZONE


@click.command()
@click.argument("model", required=False)
@click.option("-p", "--provider", metavar="ID", help="As for chat: the only provider, or the first one.")
@click.option("--fallback", is_flag=True, help="As for chat: the others after the named provider.")
@click.option("--zone", type=ZONE, help="As for chat: loopback, lan or internet.")
@click.option("--needs", multiple=True, metavar="CAPABILITY", help="What a request would need, such as tools.")
@json_option
@click.pass_obj
def plan(
    terminal: Terminal,
    *,
    model: str | None,
    provider: str | None,
    fallback: bool,
    zone: str | None,
    needs: tuple[str, ...],
) -> None:
    """Show who would be asked now, in which order, and why the others not."""
    with terminal.router() as router:
        try:
            steps = router.plan(model, provider=provider, fallback=fallback, zone=zone, needs=("chat", *needs))
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    names = ("provider", "model", "state", "reason", "until")
    rows = [{name: getattr(step, name) for name in names} for step in steps]
    count = len(steps.candidates)
    cells = [
        [
            number if number <= count else "-",
            row["provider"],
            row["model"] or ("its own choice" if number <= count else ""),
            row["state"],
            _because(row["reason"], row["until"]),
        ]
        for number, row in enumerate(rows, 1)
    ]
    terminal.result(rows, table(cells, ("", "provider", "model", "state", "reason")))
    if not count:
        terminal.note("Nobody can be asked.")


def _because(reason: str, until: datetime | None) -> str:
    if until is None:
        return reason
    moment = f"until {until.astimezone():%H:%M:%S}"
    return f"{reason}, {moment}" if reason else moment
