"""`prouter history`: what was asked, who was tried, and what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from provider_router.cli.jsonable import jsonable
from provider_router.cli.terminal import Terminal, in_a_line, json_option, table

if TYPE_CHECKING:
    from provider_router.history import History
    from provider_router.store.trails import RequestRecord, Trail

_LOOK_AGAIN: Final = 0.3  # seconds
_HEADERS: Final = ("when", "request", "model", "what came of it", "took", "tokens")


def span_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--since` and `--until`."""
    until = click.option("--until", metavar="WHEN", help="Up to then, in the same forms.")
    since = click.option("--since", metavar="WHEN", help="From then on: 90m, 24h, 7d, or 2026-01-31 14:00.")
    return since(until(command))


@contextmanager
def looking_back(terminal: Terminal) -> Iterator[History]:
    """The history of the terminal's database; what cannot be read is wrong use."""
    from provider_router.history import History

    with History(terminal.database) as opened:
        try:
            yield opened
        except ValueError as error:
            raise click.UsageError(str(error)) from None


@click.group(invoke_without_command=True)
@span_options
@click.option("-p", "--provider", metavar="ID", help="Only requests for which it was asked.")
@click.option("-m", "--model", metavar="MODEL", help="Only requests for it, by our name or a provider's.")
@click.option("--class", "failure", metavar="CLASS", help="Only with this failure class; also any, or ok.")
@click.option("-s", "--session", metavar="NAME", help="Only requests of this session.")
@click.option("-l", "--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@json_option
@click.pass_context
def history(ctx: click.Context, /, *, follow: bool, limit: int, **which: Any) -> None:
    """Show what was asked last, who was tried, and what came of it."""
    if ctx.invoked_subcommand is not None:
        return
    terminal = ctx.ensure_object(Terminal)
    _known_class(which["failure"])
    with looking_back(terminal) as opened:
        if follow:
            _follow(terminal, opened, limit=limit, which=which)
            return
        found = opened.list(limit=limit, **which)
        state = opened.state()
    if found or terminal.json:
        terminal.result(found, table([_cells(request) for request in found], _HEADERS))
    elif any(which.values()):
        terminal.note("No request is like that.")
    else:
        terminal.note('Nothing has been recorded yet: prouter chat "Hello" is a beginning.')
    if state.trouble:
        terminal.note(f"Nothing can be recorded now: {state.trouble}")


def _known_class(failure: str | None) -> None:
    from provider_router.routing.recording import CLASSES

    if failure is not None and failure not in (*CLASSES, "any", "ok"):
        raise click.UsageError(f"--class: {failure!r} is not one of ok, any, {', '.join(CLASSES)}")


def _follow(terminal: Terminal, opened: History, *, limit: int, which: Mapping[str, Any]) -> None:
    last = opened.newest()
    for request in reversed(opened.list(limit=limit, **which)):
        _tell(terminal, request)
    while True:
        for request in opened.list(after=last, limit=1000, **which):
            _tell(terminal, request)
            last = request.number
        time.sleep(_LOOK_AGAIN)


def _tell(terminal: Terminal, request: RequestRecord) -> None:
    if terminal.json:
        terminal.piece(json.dumps(jsonable(request)) + "\n")
    else:
        when, key, model, came, took, tokens = map(in_a_line, _cells(request))
        terminal.piece(f"{when}  {key}  {model or '-'}  {came}  {took}  {tokens}\n".rstrip() + "\n")


def _cells(request: RequestRecord) -> tuple[str, ...]:
    from provider_router.trail import duration_text

    return (
        when_text(request.at),
        request.request_id,
        request.model,
        _came_to(request),
        duration_text(request.duration),
        _tokens(request.prompt_tokens, request.completion_tokens, estimated=request.estimated),
    )


def _came_to(request: RequestRecord) -> str:
    trail = " → ".join(
        f"{attempt.provider}: {'ok' if attempt.failure is None else attempt.detail or attempt.failure}"
        for attempt in request.attempts
    )
    return trail or request.failure or "ok"


def _tokens(prompt: int | None, completion: int | None, *, estimated: bool) -> str:
    if prompt is None or completion is None:
        return ""
    return f"{'~' if estimated else ''}{prompt}+{completion}"


def when_text(at: datetime) -> str:
    """A moment on this machine's clock, without the day if it is today."""
    here = at.astimezone()
    return f"{here:%H:%M:%S}" if here.date() == datetime.now().astimezone().date() else f"{here:%Y-%m-%d %H:%M:%S}"


@history.command()
@click.argument("request")
@click.option("--with-config", "number", type=click.IntRange(0), metavar="N", help="Its plan as of change N, too.")
@json_option
@click.pass_obj
def show(terminal: Terminal, *, request: str, number: int | None) -> None:
    """Show one request's whole trail: its plan, who was left out, each attempt."""
    with looking_back(terminal) as opened:
        trail = opened.show(request)
        again = _replanned(terminal, opened, trail, number) if number is not None else None
    value = {**jsonable(trail), **({"with_config": again} if again is not None else {})}
    text = _trail_text(trail)
    if again is not None:
        steps = _steps_table(again)
        text += f"\n\nWith the configuration of change {number}:\n{steps}"
    terminal.result(value, text)


def _replanned(terminal: Terminal, opened: History, trail: Trail, number: int) -> list[dict[str, Any]]:
    with terminal.admin() as admin:
        plan = opened.replan(trail.request.request_id, admin.changes.at(number), plugins=admin.plugins)
    names = ("provider", "model", "state", "reason")
    return [{name: getattr(step, name) for name in names} for step in plan]


def _trail_text(trail: Trail) -> str:
    from provider_router.trail import duration_text

    request = trail.request
    estimated = " (estimated)" if request.estimated else ""
    known: list[tuple[str, object]] = [
        ("request", request.request_id),
        ("when", f"{request.at.astimezone():%Y-%m-%d %H:%M:%S}"),
        ("session", request.session),
        ("path", f"{request.path}{', streamed' if request.stream else ''}"),
        ("model", request.model or "none named"),
        ("came to", "an answer" if request.failure is None else request.failure),
        ("provider", request.provider),
        ("error", request.error),
        ("took", duration_text(request.duration)),
        ("first delta", None if request.first_delta is None else f"after {duration_text(request.first_delta)}"),
        (
            "tokens",
            f"{request.prompt_tokens} + {request.completion_tokens}{estimated}"
            if request.prompt_tokens is not None
            else None,
        ),
        ("cost", None if request.cost is None else f"{request.cost:.6g}"),
        ("finish", request.finish_reason),
        ("plan", f"of change {trail.revision}, seed {trail.seed}"),
    ]
    lines = [f"{name:12} {value}" for name, value in known if value not in (None, "")]
    if steps := _steps_table(_steps(trail)):
        lines += ["", "Plan", steps]
        if more := trail.plan.get("more"):
            lines.append(f"and {more} more")
    if request.attempts:
        cells = [
            (
                duration_text(attempt.started),
                attempt.provider,
                attempt.model,
                "ok" if attempt.failure is None else f"{attempt.failure}, {attempt.detail or attempt.failure}",
                duration_text(attempt.duration),
            )
            for attempt in request.attempts
        ]
        lines += ["", "Attempts", table(cells, ("at", "provider", "model", "came to", "took"))]
    for name, body in (("Request", trail.request_body), ("Response", trail.response_body)):
        if body is not None:
            lines += ["", name, json.dumps(body, indent=2, ensure_ascii=False)]
    return "\n".join(lines)


def _steps(trail: Trail) -> list[Mapping[str, Any]]:
    skipped = [{**step, "state": "skipped"} for step in trail.plan.get("skipped") or ()]
    return [*(trail.plan.get("candidates") or ()), *skipped]


def _steps_table(steps: Sequence[Mapping[str, Any]]) -> str:
    cells = [
        ("-" if step["state"] == "skipped" else place, step["provider"], step["model"], step["state"], step["reason"])
        for place, step in enumerate(steps, 1)
    ]
    return table(cells, ("", "provider", "model", "state", "reason")) if cells else ""


@history.command()
@click.option("-l", "--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
@json_option
@click.pass_obj
def sessions(terminal: Terminal, *, limit: int) -> None:
    """Show the sessions, the one that was used last first."""
    with looking_back(terminal) as opened:
        found = opened.sessions(limit=limit)
    cells = [(each.name, each.requests, when_text(each.created_at), when_text(each.last_accessed)) for each in found]
    if found or terminal.json:
        terminal.result(found, table(cells, ("session", "requests", "since", "used last")))
    else:
        terminal.note("No request has named a session yet: router.chat(…, session=NAME).")


@history.command()
@click.option("--older-than", required=True, metavar="AGE", help="Which requests are to go: 30d, 12h, or a date.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def prune(terminal: Terminal, *, older_than: str, yes: bool) -> None:
    """Remove old requests. The sums of the hours stay, so that the statistics do."""
    _sure(terminal, f"Remove every request older than {older_than}?", yes=yes)
    with looking_back(terminal) as opened:
        removed = opened.prune(older_than)
    terminal.result({"removed": removed}, f"removed {_requests(removed)}")


@history.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def clear(terminal: Terminal, *, yes: bool) -> None:
    """Remove every request, session and sum."""
    _sure(terminal, "Remove the whole history, with its statistics?", yes=yes)
    with looking_back(terminal) as opened:
        removed = opened.clear()
    terminal.result({"removed": removed}, f"removed {_requests(removed)}")


def _requests(count: int) -> str:
    return f"{count:,} request{'' if count == 1 else 's'}"


def _sure(terminal: Terminal, question: str, *, yes: bool) -> None:
    if yes:
        return
    if not terminal.interactive:
        raise click.UsageError("nobody is there to be asked: say --yes")
    if not terminal.confirm(question, default=False):
        terminal.note("Nothing was removed.")
        click.get_current_context().exit()
