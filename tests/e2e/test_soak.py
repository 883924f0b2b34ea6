"""Traffic for a long time, while backends die, freeze and come back at random: no request fails, nothing piles up."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from provider_router import AsyncRouter, Router, StreamInterrupted
from provider_router_openai_compatible import OpenAICompatible

CALLERS = 32
TEXT = "A pelican stands on the quay, as large as a small child."
GROWTH = 5 * 1024 * 1024  # bytes

durations = pytest.mark.parametrize(
    "seconds", [pytest.param(1.0, id="short"), pytest.param(60.0, id="long", marks=pytest.mark.soak)]
)

# In a process of their own, since they remember every request.
BACKENDS = """
    import sys
    from contextlib import ExitStack
    from provider_router.backends import Backend, answers

    with ExitStack() as opened:
        backends = [opened.enter_context(Backend(answers(sys.argv[1]))) for _ in range(3)]
        print(*(backend.base_url for backend in backends), flush=True)
        for line in sys.stdin:
            action, number = line.split()
            getattr(backends[int(number)], action)()
            print("done", flush=True)
"""
UNDONE = {"kill": "revive", "freeze": "thaw"}


class Backends:
    """Three backends, of which the first two come and go, and the last one always answers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._commands, self._replies = process.stdin, process.stdout
        self._urls = self._replies.readline().split()

    @property
    def providers(self) -> list[OpenAICompatible]:
        """The troubled ones are given up soon, the good one is not, however slow this machine is."""
        *troubled, good = self._urls
        quick = {"timeout": 1.0, "first_token_timeout": 1.0, "idle_timeout": 1.0}
        made = [OpenAICompatible(f"troubled-{n}", base_url=url, **quick) for n, url in enumerate(troubled)]
        return [*made, OpenAICompatible("good", base_url=good, timeout=60.0)]

    def do(self, action: str, number: int) -> None:
        print(action, number, file=self._commands, flush=True)
        assert self._replies.readline() == "done\n"

    @contextmanager
    def trouble(self, seed: int) -> Iterator[None]:
        """A block in which they die, freeze and come back, in an order that the seed says; at its end all are well."""
        ended = threading.Event()

        def run() -> None:
            rng = random.Random(seed)
            undone: dict[int, str] = {}
            while not ended.wait(rng.uniform(0.02, 0.4)):
                number = rng.randrange(2)
                action = undone.pop(number, None) or rng.choice(list(UNDONE))
                self.do(action, number)
                if action in UNDONE:
                    undone[number] = UNDONE[action]
            for number, action in undone.items():
                self.do(action, number)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@pytest.fixture
def backends() -> Iterator[Backends]:
    command = [sys.executable, "-c", textwrap.dedent(BACKENDS), TEXT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Backends(process)
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def traced() -> Iterator[Callable[[], int]]:
    """The bytes that are allocated now."""

    def allocated() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    yield allocated
    tracemalloc.stop()


def threads() -> set[threading.Thread]:
    """Running threads, without those that the event loops keep at hand for the next name to look up."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith(("Trio thread", "AnyIO worker"))}


def descriptors() -> int:
    """Open files and sockets of this process, where the system tells."""
    folder = Path("/proc/self/fd") if sys.platform == "linux" else Path("/dev/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


# The short run is on one loop (chaos has the other), the long one on both.
@pytest.mark.parametrize(
    ("anyio_backend", "seconds"),
    [
        pytest.param("trio", 1.0, id="short"),
        *(pytest.param(loop, 60.0, id=f"{loop}-long", marks=pytest.mark.soak) for loop in ("asyncio", "trio")),
    ],
)
async def test_an_async_router_lives_through_it(
    anyio_backend: str, seconds: float, backends: Backends, traced: Callable[[], int]
) -> None:
    done = {"plain": 0, "streamed": 0, "cut": 0, "wrong": 0}

    async def ask(router: AsyncRouter, until: float) -> None:
        while time.monotonic() < until:
            assert (await router.chat("hi", model="m")).text == TEXT
            done["plain"] += 1
            try:
                async with router.stream("hi", model="m") as stream:
                    assert "".join([chunk.text async for chunk in stream]) == TEXT
                done["streamed"] += 1
            except StreamInterrupted as error:  # after its first words nobody else can go on with a stream
                done["cut" if TEXT.startswith(error.text) else "wrong"] += 1

    async def traffic(router: AsyncRouter, seconds: float) -> None:
        until = time.monotonic() + seconds
        async with anyio.create_task_group() as tasks:
            for _ in range(CALLERS):
                tasks.start_soon(ask, router, until)

    tasks_before, threads_before, open_before = len(anyio.get_running_tasks()), threads(), descriptors()
    async with AsyncRouter(providers=backends.providers) as router:
        with backends.trouble(seed=1):
            await traffic(router, seconds / 4)
            start = traced()
            await traffic(router, seconds)
            growth = traced() - start
    gc.collect()
    print(f"{done}, {growth / 1024:+.0f} KiB")
    assert tasks_before == len(anyio.get_running_tasks())
    assert threads() <= threads_before  # one of an earlier test may end meanwhile, and close its files
    assert descriptors() <= open_before
    assert growth < GROWTH
    assert done["plain"] > CALLERS
    assert done["cut"] < done["streamed"]
    assert done["wrong"] == 0


@durations
def test_a_blocking_router_lives_through_it(seconds: float, backends: Backends, traced: Callable[[], int]) -> None:
    answers: list[int] = []
    failures: list[BaseException] = []

    def ask(router: Router, until: float) -> None:
        count = 0
        try:
            while time.monotonic() < until:
                assert router.chat("hi", model="m").text == TEXT
                count += 1
                try:
                    with router.stream("hi", model="m") as stream:
                        assert "".join(chunk.text for chunk in stream) == TEXT
                except StreamInterrupted:
                    pass
        except BaseException as error:
            failures.append(error)
        answers.append(count)

    def traffic(router: Router, seconds: float) -> None:
        until = time.monotonic() + seconds
        callers = [threading.Thread(target=ask, args=(router, until)) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()

    threads_before, open_before = threads(), descriptors()
    with Router(providers=backends.providers) as router, backends.trouble(seed=2):
        traffic(router, seconds / 4)
        start = traced()
        traffic(router, seconds)
        growth = traced() - start
    gc.collect()
    print(f"{sum(answers)} answers, {growth / 1024:+.0f} KiB")
    assert failures == []
    assert threads() <= threads_before
    assert descriptors() <= open_before
    assert growth < GROWTH
    assert sum(answers) > CALLERS
