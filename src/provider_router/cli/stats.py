"""`prouter stats`: how many requests, how they ended, how long they took, what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from provider_router.cli.history import looking_back, span_options, when_text
from provider_router.cli.terminal import Terminal, json_option, table

if TYPE_CHECKING:
    from provider_router.statistics import Statistics

_BAR: Final = 12  # letters of the longest


@click.command()
@span_options
@click.option(
    "--by",
    type=click.Choice(["provider", "model", "class", "provider-model"]),
    default="provider",
    show_default=True,
    help="A row for each of these.",
)
@click.option("-p", "--provider", metavar="ID", help="Only its calls.")
@click.option("-m", "--model", metavar="MODEL", help="Only calls for it.")
@json_option
@click.pass_obj
def stats(
    terminal: Terminal, *, since: str | None, until: str | None, by: str, provider: str | None, model: str | None
) -> None:
    """Show how many requests there were, how they ended, and how long they took.

    Without --since those of the last 24 hours; whole hours count.
    """
    with looking_back(terminal) as opened:
        rows = "provider" if by == "class" else by
        found = opened.stats(since=since or "24h", until=until, by=rows, provider=provider, model=model)  # type: ignore[arg-type]
        state = opened.state()
    if not found.total.requests and not found.total.lost and not terminal.json:
        terminal.note(f"Nothing has been recorded since {when_text(found.since)}.")
    else:
        text = _summary(found, calls=provider is not None or model is not None)
        more = _classes(terminal, found) if by == "class" else _rows(terminal, found)
        terminal.result(found, f"{text}\n\n{more}" if more else text)
    if state.trouble:
        terminal.note(f"Nothing can be recorded now: {state.trouble}")


def _summary(found: Statistics, *, calls: bool) -> str:
    total = found.total
    parts = [f"{total.requests:,} {'call' if calls else 'request'}{'' if total.requests == 1 else 's'}"]
    if total.requests:
        parts.append(f"{_share(total.answered, total.requests)} answered")
    if total.absorbed:
        parts.append(f"{total.absorbed:,} {'failures absorbed' if calls else 'saved by a fallback'}")
    if total.prompt_tokens or total.completion_tokens:
        parts.append(f"{total.prompt_tokens:,} + {total.completion_tokens:,} tokens")
    if total.cost:
        parts.append(f"cost {total.cost:,.4g}")
    lines = [f"Since {when_text(found.since)}: {', '.join(parts)}."]
    if total.latency.p50 is not None:
        lines.append(f"Answers took {_times(total.latency.p50, total.latency.p95, total.latency.p99)}.")
    if total.first_delta.p50 is not None:
        times = _times(total.first_delta.p50, total.first_delta.p95, total.first_delta.p99)
        lines.append(f"First deltas took {times}.")
    if total.estimated:
        lines.append(f"The tokens of {total.estimated:,} are estimated: their backends told none.")
    if total.lost:
        lines.append(f"{total.lost:,} more could not be recorded.")
    return "\n".join(lines)


def _times(half: float | None, p95: float | None, p99: float | None) -> str:
    return f"{_time(half)} (half of them), {_time(p95)} (95 %), {_time(p99)} (99 %) at most"


def _rows(terminal: Terminal, found: Statistics) -> str:
    most = max((row.requests for row in found.rows), default=0)
    cells = [
        (
            " ".join(part or "-" for part in (row.provider, row.model) if part is not None),
            f"{row.requests:,}",
            *((_bar(row.requests, most),) if terminal.shows_at_once else ()),
            _share(row.answered, row.requests),
            f"{row.absorbed:,}" if row.absorbed else "",
            f"{row.prompt_tokens + row.completion_tokens:,}",
            f"{row.cost:,.4g}" if row.cost else "",
            _time(row.latency.p50),
            _time(row.latency.p95),
            _time(row.first_delta.p50),
            ", ".join(f"{name} {count:,}" for name, count in row.failures.items()),
        )
        for row in found.rows
    ]
    bar = ("",) if terminal.shows_at_once else ()
    headers = ("", "calls", *bar, "ok", "absorbed", "tokens", "cost", "p50", "p95", "first delta", "failures")
    return table(cells, headers) if cells else ""


def _classes(terminal: Terminal, found: Statistics) -> str:
    calls: dict[str, int] = {}
    for row in found.rows:
        for name, count in row.failures.items():
            calls[name] = calls.get(name, 0) + count
    ended = found.total.failures
    names = sorted({*calls, *ended}, key=lambda name: (-calls.get(name, 0), -ended.get(name, 0), name))
    most = max(calls.values(), default=0)
    cells = [
        (
            name,
            f"{calls.get(name, 0):,}",
            *((_bar(calls.get(name, 0), most),) if terminal.shows_at_once else ()),
            f"{ended.get(name, 0):,}",
        )
        for name in names
    ]
    bar = ("",) if terminal.shows_at_once else ()
    return table(cells, ("class", "calls", *bar, "requests that ended so")) if cells else "Nothing has failed."


def _bar(count: int, most: int) -> str:
    return "█" * max(1, round(_BAR * count / most)) if count else ""


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def _time(seconds: float | None) -> str:
    from provider_router.trail import duration_text

    return "" if seconds is None else duration_text(seconds)
