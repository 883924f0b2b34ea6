"""A gate against regressions, without the noise of time: `python -m benchmarks.gate`, or `make gate`.

It counts instructions (valgrind's callgrind) of a call through the Router and of the same by hand over a socket, in the
same run; their ratio moves with the code and hardly with the machine. Without valgrind it says so and lets everything
pass.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.contestants import CONTESTANTS
from benchmarks.upstream import CHUNKS, upstream

ROOT = Path(__file__).parents[1]
FLOOR, OURS = "a socket", "AsyncRouter"
# What is counted: how often it is done, what one counts for, and the largest ratio allowed. The ratios were 3.31 and
# 1.15 when this was written; what goes beyond is a regression that somebody should know of.
COUNTED = {"chat": (100, 1, 3.6), "stream": (5, CHUNKS, 1.25)}


def main() -> int:
    if shutil.which("valgrind") is None:
        print("The instructions of a call are not counted: valgrind is not installed.")
        return 0
    failed = False
    with upstream() as base_url, concurrent.futures.ThreadPoolExecutor() as pool:
        floors, counts = pool.map(lambda name: instructions(name, base_url), (FLOOR, OURS))
        for (what, (times, per, most)), floor, count in zip(COUNTED.items(), floors, counts, strict=True):
            ratio = count / floor
            failed = failed or ratio > most
            verdict = "ok" if ratio <= most else f"more than the {most} that are allowed"
            shown = [f"{each / times / per / 1e3:,.0f}" for each in (count, floor)]
            print(f"{what}: {' against '.join(shown)} thousand instructions, {ratio:.2f}: {verdict}")
    return int(failed)


def instructions(name: str, base_url: str) -> list[int]:
    """Of each thing that is counted, in a process that does them one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        # A dump before each getppid(), which nobody calls but `repeated`: so that what comes before the first is apart.
        options = ["--tool=callgrind", f"--callgrind-out-file={folder}/out", "--dump-before=getppid"]
        subprocess.run(
            ["valgrind", *options, sys.executable, "-m", "benchmarks.gate", name, base_url],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": "0"},
            capture_output=True,
            check=True,
            timeout=300,
        )
        dumps = [Path(folder, f"out.{number + 2}").read_text() for number in range(len(COUNTED))]
    return [int(found[1]) for dump in dumps if (found := re.search(r"^totals: (\d+)", dump, re.MULTILINE))]


async def repeated(name: str, base_url: str) -> None:
    who = CONTESTANTS[name](base_url, None)
    once: dict[str, Callable[[], Awaitable[object]]] = {"chat": who.chat, "stream": lambda: who.stream(lambda: None)}
    for what in COUNTED:
        await once[what]()
    os.getppid()
    for what, (times, _, _) in COUNTED.items():
        for _ in range(times):
            await once[what]()
        os.getppid()
    await who.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(repeated(*sys.argv[1:]))
    else:
        sys.exit(main())
