"""How figures are taken: the things compared take turns in one run, and only CPU time and ratios are told.

On a machine that others use too, seconds mean little; what a thing costs in CPU, against another thing a moment ago,
means much. A ratio is the median of the ratios of each turn, so that a disturbance hits both sides of it or neither.
"""

from __future__ import annotations

import contextlib
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from attrs import frozen

Run = Callable[[int], None]
"""Do the thing that many times."""
Contestants = Mapping[str, contextlib.AbstractContextManager[Run]]
"""What is compared, by name; the first is the reference."""


@frozen(kw_only=True)
class Effort:
    """How long to measure: how many turns, and how many calls in each."""

    turns: int
    calls: int
    starts: int
    providers: int


THOROUGH = Effort(turns=15, calls=300, starts=15, providers=10_000)
QUICK = Effort(turns=3, calls=10, starts=2, providers=100)


@frozen(kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        subject: what is measured.
        name: who did it.
        cpu: CPU time of one call, in seconds (median of the turns).
        figure: what is shown in its place, where it is something else that was measured.
        ratio: against the reference (median of the turns' ratios); None for the reference itself.
        goal: the largest ratio that the project allows itself, if there is one.
    """

    subject: str
    name: str
    cpu: float
    figure: str = ""
    ratio: float | None = None
    goal: float | None = None


def compare(
    subject: str, contestants: Contestants, *, effort: Effort, goals: Mapping[str, float], per_call: int = 1
) -> Iterator[Row]:
    """Let the contestants take turns.

    Args:
        subject: what is measured.
        contestants: what is compared.
        effort: how long.
        goals: largest ratios, by name.
        per_call: what one call counts for, such as the chunks of a stream.
    """
    with contextlib.ExitStack() as opened:
        runs = {name: opened.enter_context(contestant) for name, contestant in contestants.items()}
        for run in runs.values():
            run(max(effort.calls // 10, 2))
        turns: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(effort.turns):
            for name, run in runs.items():
                gc.collect()
                begun = time.process_time()
                run(effort.calls)
                turns[name].append((time.process_time() - begun) / effort.calls / per_call)
    yield from rows(subject, turns, goals=goals)


def compare_processes(
    subject: str, programs: Mapping[str, Sequence[str]], *, effort: Effort, goals: Mapping[str, float]
) -> Iterator[Row]:
    """Let programs take turns; each writes the CPU time to be counted, in seconds, as its last line on stderr."""
    turns: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(effort.starts + 1):
        for name, program in programs.items():
            done = subprocess.run([sys.executable, *program], capture_output=True, text=True, check=True, timeout=60)
            if turn:  # the first one finds cold disks
                turns[name].append(float(done.stderr.splitlines()[-1]))
    yield from rows(subject, turns, goals=goals)


def rows(subject: str, turns: Mapping[str, Sequence[float]], *, goals: Mapping[str, float]) -> Iterator[Row]:
    reference, *others = turns
    yield Row(subject=subject, name=reference, cpu=statistics.median(turns[reference]))
    for name in others:
        ratios = [mine / its for mine, its in zip(turns[name], turns[reference], strict=True)]
        yield Row(
            subject=subject,
            name=name,
            cpu=statistics.median(turns[name]),
            ratio=statistics.median(ratios),
            goal=goals.get(name),
        )
