"""What the history costs: a request recorded on the loop and in the writer, the loop's delays, and looking back.

`python -m benchmarks.history --rows 5000000` looks back over that many; in the whole table there are fewer.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import QUICK, THOROUGH, Effort, Row
from benchmarks.upstream import BODY, upstream
from provider_router import Admin, AsyncRouter, History, home
from provider_router.chat import ChatRequest, ChatResponse
from provider_router.errors import Failure
from provider_router.routing.candidate import Candidate
from provider_router.routing.driver import new_request_id
from provider_router.routing.history_writer import HistoryWriter
from provider_router.routing.plan import Needs, Plan
from provider_router.routing.recording import Entry, Scribe
from provider_router.routing.snapshot import ProviderView
from provider_router.store import History as HistoryFile
from provider_router.store.batch import Batch
from provider_router.trail import Attempt

BATCH = 500
DAY = 86_400_000
PROVIDERS = ("desk", "loft", "hosted")
MODELS = ("qwen3-8b", "qwen3-coder", "qwen3-max")
ANSWER = {
    "model": "qwen3-8b",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "The pelican."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 120, "completion_tokens": 260, "total_tokens": 380},
}


def rows(base_url: str, effort: Effort) -> Iterator[Row]:
    """All of it; the loop's delays are taken with calls to the backend at `base_url`."""
    yield from recording(effort)
    yield from delays(base_url, effort)
    yield from looking_back(effort.calls * 100 if effort is THOROUGH else 2_000, effort)
    yield from opening(effort)


class Asked:
    """A request that has ended, as a driver leaves it."""

    def __init__(self, plans: list[Plan]) -> None:
        self.request = ChatRequest(BODY)
        self.answer = ChatResponse(ANSWER)
        self.request_id = new_request_id()
        self.machine = Ended(random.choice(plans))


class Ended:
    """The machine of a request that was answered at once, or after a failure (one of twenty)."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.begun = 0.0
        self.error = None
        self.left = False
        self.committed = True
        self.finish_reason = "stop"
        self.policy = argparse.Namespace(stream=False)
        took = random.lognormvariate(0, 1)
        first, second, *_ = plan.candidates
        self.attempts = [Attempt(provider=first.provider, model=first.model, started=0.0, duration=took)]
        if random.random() < 0.05:
            failed = Attempt(
                provider=second.provider, model=second.model, started=0.0, duration=0.01, failure=Failure.SERVER
            )
            self.attempts.insert(0, failed)


def plans() -> list[Plan]:
    """As they come: a few, again and again."""
    views = {name: ProviderView(id=name) for name in PROVIDERS}
    return [
        Plan(
            candidates=tuple(Candidate(provider=name, model=model, asked=model, view=views[name]) for name in order),
            needs=Needs(model=model),
            revision=17,
            at=datetime.fromtimestamp(time.time(), UTC),
        )
        for model in MODELS
        for order in itertools.permutations(PROVIDERS)
    ]


def recording(effort: Effort) -> Iterator[Row]:
    """CPU of the thread that does it: here the loop's part, there the writer's."""
    made = plans()
    on_loop, in_writer = [], []
    with tempfile.TemporaryDirectory() as folder, HistoryFile.open(Path(folder) / "h.db") as file:
        writer = HistoryWriter(Path(folder) / "unused.db", share_health=False)  # whose thread is not started
        scribe = Scribe()
        for _ in range(effort.turns + 1):
            entries: list[Entry] = []
            writer.add = entries.append  # type: ignore[method-assign, assignment]
            for _ in range(max(effort.calls // 100, 2)):
                entries.clear()
                asked = [Asked(made) for _ in range(BATCH)]
                begun = time.thread_time()
                for each in asked:
                    writer.record(each, lambda _: (), now=1.0, session=None)  # type: ignore[arg-type]
                on_loop.append((time.thread_time() - begun) / BATCH)
                begun = time.thread_time()
                file.record(Batch([*map(scribe.line, entries)]), now=int(time.time() * 1000))
                in_writer.append((time.thread_time() - begun) / BATCH)
    yield Row(subject="a request recorded", name="on the loop (goal: 4 µs)", cpu=statistics.median(on_loop))
    yield Row(subject="a request recorded", name="in the writer (goal: 16 µs)", cpu=statistics.median(in_writer))


def delays(base_url: str, effort: Effort) -> Iterator[Row]:
    """How late a loop is that answers requests all the time, in the hundredth part that is the worst of it."""
    late: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "provider-router.db"
        with Admin(database) as admin:
            admin.providers.add("backend", type="openai-compatible", config={"baseURL": base_url})
        for _ in range(effort.turns):
            for history, found in late.items():
                found.append(asyncio.run(_lateness(database, effort.calls * 10, history=history)))
    ratios = [on / off for on, off in zip(late[True], late[False])]
    yield Row(subject="the loop's p99 delay", name="without history", cpu=statistics.median(late[False]))
    yield Row(
        subject="the loop's p99 delay",
        name="with history",
        cpu=statistics.median(late[True]),
        ratio=statistics.median(ratios),
        goal=1.5,
    )


async def _lateness(database: Path, calls: int, *, history: bool) -> float:
    found: list[float] = []
    async with AsyncRouter(database, history=history) as router:
        left = iter(range(calls))

        async def ask() -> None:
            for _ in left:
                await router.chat(BODY)

        async def tick() -> None:
            while True:
                due = time.perf_counter() + 0.002
                await asyncio.sleep(0.002)
                found.append(time.perf_counter() - due)

        await router.chat(BODY)
        ticking = asyncio.create_task(tick())
        await asyncio.gather(*(ask() for _ in range(8)))
        ticking.cancel()
        assert router.recording.lost == 0
    return sorted(found)[len(found) * 99 // 100] if found else 1e-9


def looking_back(count: int, effort: Effort) -> Iterator[Row]:
    """Statistics, a list and a trail among so many requests of one day."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "provider-router.db"
        begun = time.process_time()
        last, size = _build(home.history_path(database), count)
        built = time.process_time() - begun
        yield Row(subject=f"{count:,} requests written", name="each", cpu=built / count)
        yield Row(subject="bytes of a million requests", name="(the figure is in MB)", cpu=size / count / 1e6)
        questions: dict[str, Callable[[History], object]] = {
            "stats of 24 h (goal: 5,000 µs)": lambda history: history.stats(since="24h"),
            "stats of 24 h by provider and model": lambda history: history.stats(since="24h", by="provider"),
            "the last 50": lambda history: history.list(limit=50),
            "the last 50 in which something failed": lambda history: history.list(limit=50, failure="any"),
            "one trail": lambda history: history.show(last),
        }
        with History(database) as history:
            assert history.list(limit=1)  # opened, and the plan of the query known
            for name, ask in questions.items():
                taken = []
                for _ in range(effort.turns):
                    begun = time.process_time()
                    assert ask(history)
                    taken.append(time.process_time() - begun)
                yield Row(subject=f"among {count:,}", name=name, cpu=statistics.median(taken))


def _build(path: Path, count: int) -> tuple[str, int]:
    """Write so many requests of the last 24 hours; the id of the last one, and the file's size."""
    made, scribe, now = plans(), Scribe(), int(time.time() * 1000)
    lines = []
    with HistoryFile.open(path) as file:
        for _ in range(min(count, 20 * BATCH)):
            asked = Asked(made)
            entry = Entry(
                request_id="", at=0.0, duration=1.0, session=None, request=asked.request, answer=asked.answer,
                usage=ANSWER["usage"], plan=asked.machine.plan, attempts=asked.machine.attempts, stream=False,
                finish="stop", committed=True, failure=None, error=None, masks=(), bodies=None,
            )  # fmt: skip
            lines.append(scribe.line(entry))
        key = ""
        for first in range(0, count, BATCH):
            batch = []
            for number in range(first, min(first + BATCH, count)):
                at = now - DAY + 60_000 + (DAY - 60_000) * number // count
                key = f"req_{at:012x}{number:012x}"
                batch.append(lines[number % len(lines)]._replace(request_id=key, at=at))
            file.record(Batch(batch), now=now)
        return key, file.size


def opening(effort: Effort) -> Iterator[Row]:
    """A store with many providers opened, and renewed after one change."""
    count = effort.providers
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "provider-router.db"
        with Admin(database) as admin:
            with admin.atomic():
                for number in range(count):
                    address = f"http://127.0.0.1:{1024 + number % 60000}/v1"
                    admin.providers.add(f"backend-{number}", type="openai-compatible", config={"baseURL": address})
            opened, renewed = asyncio.run(_opened(database, admin))
    yield Row(subject=f"{count:,} providers", name="opened", cpu=opened)
    yield Row(subject=f"{count:,} providers", name="renewed after one change", cpu=renewed, ratio=renewed / opened)


async def _opened(database: Path, admin: Admin) -> tuple[float, float]:
    async with AsyncRouter(database, history=False, share_health=False) as router:
        begun = time.process_time()
        await router.registry.refresh()
        opened = time.process_time() - begun
        taken = []
        for priority in range(1, 6):
            admin.providers.edit("backend-1", priority=priority)
            begun = time.process_time()
            await router.registry.refresh()
            taken.append(time.process_time() - begun)
    return opened, statistics.median(taken)


def main() -> None:
    from benchmarks.__main__ import table

    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000, help="requests to look back on")
    parser.add_argument("--quick", action="store_true", help="see that it runs; the figures mean nothing")
    given = parser.parse_args()
    effort = QUICK if given.quick else THOROUGH
    with upstream() as base_url:
        parts = recording(effort), delays(base_url, effort), looking_back(given.rows, effort), opening(effort)
        for line in table(itertools.chain.from_iterable(parts)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
