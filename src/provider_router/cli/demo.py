"""`prouter demo`."""

from __future__ import annotations

import sys
from io import StringIO

import click

from provider_router.cli.terminal import Terminal, json_option


@click.command()
@json_option
@click.pass_obj
def demo(terminal: Terminal) -> None:
    """Watch requests survive a backend that dies. Takes a few seconds.

    Three small backends on this machine, a temporary configuration; nothing of yours is touched.
    """
    from provider_router.demo import run_demo

    out = (sys.stderr if terminal.json else sys.stdout) or StringIO()
    steps = run_demo(out)
    if terminal.json:
        terminal.result(steps, "")
