"""The benchmarks run and print figures; what these are is no test's business, since they measure the machine too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.e2e
@pytest.mark.parametrize(
    "parts",
    [["calls"], pytest.param(["starts", "many", "recovery", "peers", "history"], marks=pytest.mark.soak)],
    ids="+".join,
)
def test_the_quick_form_prints_a_row_of_figures_for_everything_that_is_compared(parts: list[str]) -> None:
    only = [word for part in parts for word in ("--only", part)]
    command = [sys.executable, "-W", "error", "-m", "benchmarks", "--quick", *only]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=300)
    assert (done.stderr, done.returncode) == ("", 0)
    head, _, *rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("|")]
    assert ["what", "who", "figure", "ratio", "goal"] == head
    assert len({row[0] for row in rows}) >= len(parts) * 2
    for row in rows:
        assert float(row[2].split()[0].replace(",", "")) > 0
        assert float(row[3]) > 0
