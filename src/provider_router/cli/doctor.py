"""`prouter doctor`: what is wrong here, and what to do about it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import click

from provider_router.cli.terminal import Terminal, json_option

if TYPE_CHECKING:
    from provider_router.doctor import Finding

_SIGNS: Final = {"ok": "✓", "warning": "!", "problem": "×"}


@click.command()
@click.option("--ask/--no-ask", default=True, help="Ask each enabled provider whether it answers. Default: yes.")
@click.option("-q", "--quiet", is_flag=True, help="Leave out what is well.")
@json_option
@click.pass_obj
def doctor(terminal: Terminal, *, ask: bool, quiet: bool) -> None:
    """Look at files, secrets, plugins, clock and providers, and say what to do. The exit code is 1 if one is ill."""
    import anyio

    from provider_router.doctor import Verdict, examine, worst

    def progress(what: str) -> None:
        if terminal.interactive:
            terminal.note(f"Looking at {what} …")

    findings = anyio.run(partial(examine, terminal.database, ask=ask, progress=progress))
    shown = [one for one in findings if not quiet or one.verdict is not Verdict.OK]
    grave = sum(one.verdict is Verdict.PROBLEM for one in findings)
    light = sum(one.verdict is Verdict.WARNING for one in findings)
    end = f"{_count(grave, 'problem')}, {_count(light, 'warning')}." if grave or light else "All is well."
    terminal.result(
        {"verdict": worst(findings), "findings": shown},
        "\n".join([*_told(shown), *([""] if shown else []), end]),
    )
    if grave:
        click.get_current_context().exit(1)


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _told(findings: list[Finding]) -> list[str]:
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{_SIGNS[finding.verdict]} {finding.check}: {finding.subject}: {finding.what}")
        if finding.mend:
            lines.append(f"    → {finding.mend}")
    return lines
