"""Measure everything and print it as a Markdown table."""

from __future__ import annotations

import argparse
import io
import itertools
import platform
import sys
from collections.abc import Iterable

from benchmarks import calls, many, recovery, starts
from benchmarks.measure import QUICK, THOROUGH, Row
from benchmarks.upstream import upstream


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="see that it runs; the figures mean nothing")
    effort = QUICK if parser.parse_args().quick else THOROUGH
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    print(f"CPU time of one call, median of {effort.turns} interleaved turns, on {system}.\n", flush=True)
    with upstream() as base_url:
        table(itertools.chain(*(part.rows(base_url, effort) for part in (calls, starts, many, recovery))))


def table(rows: Iterable[Row]) -> None:
    """Print each row as soon as it is known."""
    print("| what | who | CPU, µs | ratio | goal |\n|---|---|---:|---:|---:|")
    for row in rows:
        ratio = "1" if row.ratio is None else f"{row.ratio:.2f}"
        goal = "" if row.goal is None else f"≤ {row.goal:.2f}"
        print(f"| {row.subject} | {row.name} | {row.cpu * 1e6:,.1f} | {ratio} | {goal} |", flush=True)


if __name__ == "__main__":
    main()
