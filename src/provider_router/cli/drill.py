"""`prouter drill`: a fault put before the first candidate, to see what follows from it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import click

from provider_router.cli.terminal import Terminal, json_option, table

if TYPE_CHECKING:
    from provider_router.drill import DrillResult

# Those of `provider_router.drill.DRILLS`, which is too much to import for a help text.
FAULTS: Final = ("503", "refuse", "hang", "cut", "429")


@click.command()
@click.argument("model", required=False)
@click.option("--fault", type=click.Choice(FAULTS), required=True, help="What the first one asked suffers from.")
@click.option("--stream", is_flag=True, help="Ask for a stream; a cut shows its whole effect only there.")
@json_option
@click.pass_obj
def drill(terminal: Terminal, *, model: str | None, fault: str, stream: bool) -> None:
    """Ask for real, with a fault put before the first candidate.

    The fault is a small backend on this machine, called `drill`; whoever is behind it is asked as in every other
    request, and nothing is held against anybody afterwards. The exit code is 1 if nobody answered.
    """
    import anyio

    from provider_router.cli.failures import record_of
    from provider_router.drill import run_drill

    result = anyio.run(partial(run_drill, model, fault, database=terminal.database, stream=stream))
    terminal.result(
        {
            "fault": result.fault,
            "answer": result.answer,
            "provider": result.provider or None,
            "attempts": result.attempts,
            "error": record_of(result.error) if result.error else None,
        },
        _told(result),
    )
    if result.error is not None:
        click.get_current_context().exit(1)


def _told(result: DrillResult) -> str:
    """What each attempt came to, and what the caller got in the end."""
    from provider_router.trail import duration_text

    rows = [
        (
            duration_text(attempt.started),
            attempt.provider,
            "ok" if attempt.failure is None else ", ".join(filter(None, (str(attempt.failure), attempt.detail))),
            duration_text(attempt.duration),
        )
        for attempt in result.attempts
    ]
    end = f"Nobody answered: {result.error}" if result.error else f"{result.provider} answered: {result.answer}"
    return "\n\n".join([table(rows, ("at", "provider", "came to", "took")), end])
