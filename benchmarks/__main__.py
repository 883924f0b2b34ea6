"""Measure what is claimed about speed, and print it as a Markdown table."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import io
import itertools
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from benchmarks import calls, history, many, peers, recovery, starts
from benchmarks.measure import QUICK, THOROUGH, Row
from benchmarks.upstream import upstream

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "speed.md"
PARTS = {
    "calls": calls,
    "starts": starts,
    "many": many,
    "history": history,
    "recovery": recovery,
    "peers": peers,
}
HEAD = """\
# Speed

What the Router costs, beside what others cost for the same request. `make bench` measures it anew and writes this page.
Everything in one group took turns in one run, so the ratios hold where the figures themselves do not. A figure is CPU
time, of one call or of one chunk of a stream, unless it says something else; a ratio is the median of the turns'
ratios against the first line of its group. Which goals are missed now and then, and what stands in the way:
[goals](speed-goals.md).

"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="see that it runs; the figures mean nothing")
    parser.add_argument("--page", action="store_true", help=f"write docs/explanation/{PAGE.name} too")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part alone (repeatable)")
    options = parser.parse_args()
    effort = QUICK if options.quick else THOROUGH
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    parts = [PARTS[name] for name in options.only or PARTS]
    with upstream() as base_url:
        lines = list(shown(table(itertools.chain.from_iterable(part.rows(base_url, effort) for part in parts))))
    if options.page:
        PAGE.write_text(HEAD + machine() + "\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


def shown(lines: Iterable[str], to: TextIO | None = None) -> Iterator[str]:
    """Print each line as soon as it is known."""
    for line in lines:
        print(line, file=to or sys.stdout, flush=True)
        yield line


def table(rows: Iterable[Row]) -> Iterator[str]:
    yield "| what | who | figure | ratio | goal |"
    yield "|---|---|---:|---:|---:|"
    for row in rows:
        figure = row.figure or f"{row.cpu * 1e6:,.1f} µs"
        ratio = "1" if row.ratio is None else f"{row.ratio:.2f}"
        goal = "" if row.goal is None else f"≤ {row.goal:.2f}"
        yield f"| {row.subject} | {row.name} | {figure} | {ratio} | {goal} |"


def machine() -> str:
    """What it was measured on, and with which versions."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    versions = [f"{name} {version}" for name in peers.EVERYBODY[1:] if (version := peers.version(name)) is not None]
    return (
        f"Measured on {datetime.datetime.now(datetime.UTC):%Y-%m-%d}: {model}, {os.cpu_count()} cores, "
        f"{platform.system()}, Python {platform.python_version()}; {', '.join(versions)}."
    )


if __name__ == "__main__":
    main()
