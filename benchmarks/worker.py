"""One contestant in a process of its own, under whatever interpreter has it: `python -m benchmarks.worker NAME`.

It reads a job as a line of JSON, `{"job": "calls", "url": …, "authority": …, …}`, does it, and writes what it measured
as another.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.contestants import CONTESTANTS, Contestant
from benchmarks.upstream import many_files


async def calls(who: Contestant, *, callers: int, seconds: float) -> dict[str, float]:
    """CPU seconds of a call, with so many callers for so many seconds."""
    cpu, count = await _together(who.chat, callers, seconds)
    return {"cpu": cpu / count}


async def streams(who: Contestant, *, callers: int, seconds: float) -> dict[str, float]:
    """CPU seconds of a chunk, with so many streams at once for so many seconds."""
    chunks = 0

    def seen() -> None:
        nonlocal chunks
        chunks += 1

    cpu, _ = await _together(lambda: who.stream(seen), callers, seconds)
    return {"cpu": cpu / chunks}


async def first(who: Contestant, *, count: int) -> dict[str, float]:
    """Seconds until the first chunk of a stream: of the quickest, for whatever else the machine does only adds."""

    def note(moments: list[float]) -> None:
        moments.append(time.perf_counter())

    taken = []
    for _ in range(count):
        moments: list[float] = []
        begun = time.perf_counter()
        await who.stream(partial(note, moments))
        taken.append(moments[0] - begun)
    return {"seconds": min(taken)}


async def memory(who: Contestant, *, few: int, many: int) -> dict[str, float]:
    """Bytes resident after a few calls, and after many more."""
    for _ in range(few):
        await who.chat()
    before = resident()
    for _ in range(many - few):
        await who.chat()
    return {"before": before, "after": resident()}


async def held(who: Contestant, *, streams: int) -> dict[str, float]:
    """So many paced streams at once: bytes for each, the slowest one's time against the median, the loop's delays."""
    await who.stream(lambda: None)
    gc.collect()
    before = resident()
    delays: list[float] = []
    durations: list[float] = []
    used = 0.0

    async def one() -> None:
        moments: list[float] = []
        await who.stream(lambda: moments.append(time.perf_counter()))
        durations.append(moments[-1] - moments[0])

    running = [asyncio.ensure_future(one()) for _ in range(streams)]
    while not all(task.done() for task in running):
        due = time.perf_counter() + 0.01
        await asyncio.sleep(0.01)
        delays.append(time.perf_counter() - due)
        used = max(used, resident() - before)
    for task in running:
        task.result()
    return {
        "bytes": used / streams,
        "slowest": max(durations) / statistics.median(durations),
        "p99": statistics.quantiles(delays, n=100)[98],
    }


def resident() -> float:
    """Bytes of this process in memory; 0 where the system does not tell."""
    status = Path("/proc/self/statm")
    return float(status.read_text().split()[1]) * 4096 if status.exists() else 0.0


async def _together(once: Callable[[], Awaitable[Any]], callers: int, seconds: float) -> tuple[float, int]:
    count = 0

    async def caller() -> None:
        nonlocal count
        while count < callers or time.perf_counter() < end:
            count += 1
            await once()

    await asyncio.gather(*(once() for _ in range(callers)))  # connections stand
    gc.collect()
    end = time.perf_counter() + seconds
    begun = time.process_time()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return time.process_time() - begun, count


JOBS: dict[str, Callable[..., Coroutine[Any, Any, dict[str, float]]]] = {
    job.__name__: job for job in (calls, streams, first, memory, held)
}


def main(name: str) -> None:
    many_files()
    opened: dict[str, Contestant] = {}

    async def contestant(url: str, authority: str | None) -> Contestant:
        if url not in opened:
            opened[url] = CONTESTANTS[name](url, authority)
        return opened[url]

    with asyncio.Runner() as runner:
        print("ready", flush=True)
        for line in sys.stdin:
            job = json.loads(line)
            who = runner.run(contestant(job.pop("url"), job.pop("authority", None)))
            print(json.dumps(runner.run(JOBS[job.pop("job")](who, **job))), flush=True)
        for who in opened.values():
            runner.run(who.close())


if __name__ == "__main__":
    main(*sys.argv[1:])
