"""`prouter chat`: one question, one answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from provider_router.cli.terminal import Terminal, json_option, piped_text
from provider_router.cli.values import DURATION, ZONE

if TYPE_CHECKING:
    from provider_router.trail import Attempt


@click.command()
@click.argument("text", nargs=-1)
@click.option("-m", "--model", help="The model to ask; PROVIDER/MODEL names the provider too.")
@click.option("-p", "--provider", metavar="ID", help="The only provider to ask, or the first one with --fallback.")
@click.option("--fallback", is_flag=True, help="Ask the others if the named provider fails.")
@click.option("--zone", type=ZONE, help="How far the request may go: loopback, lan or internet.")
@click.option("--timeout", type=DURATION, help="Longest time for everything, such as 30s or 2m.")
@click.option("--system", "system_text", metavar="TEXT", help="What the model is told before the question.")
@click.option(
    "--stream/--no-stream", default=None, help="Word by word, or at once. Default: as words come, on a terminal."
)
@json_option
@click.pass_obj
def chat(
    terminal: Terminal,
    *,
    text: tuple[str, ...],
    model: str | None,
    provider: str | None,
    fallback: bool,
    zone: str | None,
    timeout: float | None,
    system_text: str | None,
    stream: bool | None,
) -> None:
    """Ask a question, in TEXT or through a pipe.

    The answer goes to stdout; who gave it, and what failed before, to stderr. With both, TEXT comes first and what is
    piped in after it:

        git diff | prouter chat "Write a commit message for this change:"
    """
    if terminal.json and stream:
        raise click.UsageError("--json prints the whole answer at once: leave out --stream")
    question = "\n\n".join(part for part in (" ".join(text).strip(), (piped_text() or "").strip()) if part)
    if not question:
        raise click.UsageError('nothing is asked: write prouter chat "Why is the sky blue?", or pipe a text in')
    from provider_router.chat import system, user

    messages = [*([system(system_text)] if system_text else []), user(question)]
    options: dict[str, Any] = {
        "model": model,
        "provider": provider,
        "fallback": fallback,
        "zone": zone,
        "timeout": timeout,
    }
    if stream is None:
        stream = not terminal.json and terminal.shows_at_once
    if stream:
        _stream(terminal, messages, options)
    else:
        _answer(terminal, messages, options)


def _answer(terminal: Terminal, messages: list[dict[str, Any]], options: dict[str, Any]) -> None:
    with terminal.router() as router:
        answer = router.chat(messages, **options)
    terminal.result(
        {
            "text": answer.text,
            "provider": answer.provider,
            "model": answer.model,
            "finish_reason": answer.finish_reason,
            "usage": answer.usage,
            "attempts": answer.attempts,
            "skipped": answer.skipped,
        },
        answer.text,
    )
    if not terminal.json:
        terminal.note(_who(answer.provider, answer.model, answer.attempts))


def _stream(terminal: Terminal, messages: list[dict[str, Any]], options: dict[str, Any]) -> None:
    with terminal.router() as router, router.stream(messages, **options) as stream:
        last = ""
        try:
            for chunk in stream:
                if chunk.text:
                    last = chunk.text
                    terminal.piece(last)
        finally:
            if not last.endswith("\n"):
                terminal.piece("\n")
        terminal.note(_who(stream.provider, stream.model, stream.attempts))


def _who(provider: str, model: str | None, attempts: Sequence[Attempt]) -> str:
    """Who answered, and what failed before."""
    from provider_router.trail import trail_text

    return f"[{trail_text(attempts) or provider}{f', {model}' if model else ''}]"
