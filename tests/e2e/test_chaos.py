"""Backends in processes of their own are killed, frozen and restarted under traffic: every request is answered.

The limits are small ones, in the proportions of the defaults; what a breaker does is in real time.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest
from anyio.to_thread import run_sync
from attrs import define, field, frozen

from provider_router import AsyncRouter
from provider_router_lm_studio import LMStudio
from provider_router_openai_compatible import OpenAICompatible

pytestmark = [pytest.mark.e2e, pytest.mark.posix]

TEXT = "A pelican stands on the quay and thinks of herring, as pelicans do."
REQUESTS = 200
AT_ONCE = 32
SLOTS = 10  # of each backend, so that the traffic needs all four, and still has room with two
PACE = 0.05  # seconds between two words
PLAIN = 0.6  # seconds that a plain answer takes
# Seconds. A backend is given up after them, the longest request has one such silence and twice its own length.
SILENCE = 1.0
HEALTHY = 2 * (SILENCE + 2 * PLAIN)
GROWTH = 5 * 1024 * 1024  # bytes
PATIENCE = 40.0  # seconds until everybody must be back in use

# It tells when each request came and when the first byte of its answer went.
BACKEND = """
    import json, sys, time
    from provider_router.backends import CHAT, MODELS, Backend, answers, lists, slow

    text, port, pace, plain = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    seen = []

    def noted(reply):
        def note(request):
            entry = {"path": request.path, "came": time.monotonic(), "answered": None}
            seen.append(entry)
            for step in reply(request):
                if isinstance(step, bytes) and entry["answered"] is None:
                    entry["answered"] = time.monotonic()
                yield step
        return note

    streamed, whole = answers(text, pace=pace), slow(answers(text), by=plain)
    with Backend(port=port) as backend:
        backend.script(noted(lambda request: (streamed if request.streamed else whole)(request)), path=CHAT)
        backend.script(noted(lists("m")), path=MODELS)
        print(backend.port, flush=True)
        for _ in sys.stdin:
            print(json.dumps(seen), flush=True)
"""


class Unchecked(OpenAICompatible):
    """One without a check, whose trial is a real request."""

    type = "unchecked"
    free_check: ClassVar[bool] = False


@define
class Program:
    """One backend, and what was done to it."""

    port: int = 0
    well_since: float = 0.0
    troubles: list[str] = field(factory=list)
    _process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Start it, on the same port as before."""
        command = [sys.executable, "-c", textwrap.dedent(BACKEND), TEXT, str(self.port), str(PACE), str(PLAIN)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.well_since = time.monotonic()

    def kill(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            with process:  # closes its pipes and waits for it
                process.kill()

    def freeze(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)
        self.well_since = time.monotonic()

    def seen(self) -> list[dict[str, Any]]:
        """What came since it was started."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        entries: list[dict[str, Any]] = json.loads(self._process.stdout.readline())
        return entries

    def served_since(self, moment: float) -> bool:
        """Whether it has begun to answer a chat that came after a moment."""
        return any(e["path"].endswith("completions") and e["came"] > moment and e["answered"] for e in self.seen())


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    with ExitStack() as opened:
        made = [Program() for _ in range(4)]
        for program in made:
            opened.callback(program.kill)
            program.start()
        yield made


def providers(programs: list[Program]) -> list[Any]:
    """Two of a type with a cheap check, for whom that is the trial, and two for whom a request is."""
    quick = {"first_token_timeout": SILENCE, "idle_timeout": SILENCE, "timeout": 10 * SILENCE, "check_after": 0.2}
    types = (LMStudio, Unchecked, LMStudio, Unchecked)
    return [
        cls(f"backend-{number}", base_url=program.url, max_parallel=SLOTS, **quick)
        for number, (cls, program) in enumerate(zip(types, programs))
    ]


@frozen
class Trouble:
    """What happens to a backend, how long it lasts, and how long it is until the next one has its turn."""

    kind: str
    victim: int
    lasts: float
    then: float


def schedule(seed: int, troubles: int) -> list[Trouble]:
    """Troubles in an order that the seed says, the backends in turn, so that one of them is always well."""
    rng = random.Random(seed)
    order: list[int] = []
    while len(order) < troubles:
        order += [victim for victim in rng.sample(range(4), 4) if victim not in order[-2:]]
    return [
        Trouble(
            "kill" if number % 2 == 0 else "freeze",
            victim,
            lasts=rng.uniform(0.3, 0.8) if number % 2 == 0 else rng.uniform(1.5, 2.5),
            then=rng.uniform(1.5, 2.5),  # so that nobody is hit in the middle of each of its attempts
        )
        for number, victim in enumerate(order[:troubles])
    ]


async def suffer(programs: list[Program], troubles: list[Trouble]) -> None:
    for trouble in troubles:
        program = programs[trouble.victim]
        await anyio.sleep(max(0.0, program.well_since + HEALTHY - time.monotonic()) if program.troubles else 0.0)
        await run_sync(program.kill if trouble.kind == "kill" else program.freeze)
        await anyio.sleep(trouble.lasts)
        await run_sync(program.start if trouble.kind == "kill" else program.thaw)
        program.troubles.append(trouble.kind)
        await anyio.sleep(trouble.then)


def recover(programs: list[Program]) -> None:
    """Wait until everybody who had trouble is in use again."""
    until = time.monotonic() + PATIENCE
    for program in programs:
        while not program.served_since(program.well_since):
            assert time.monotonic() < until, "a backend that is well again is not asked"
            time.sleep(0.1)


async def traffic(router: AsyncRouter, enough: anyio.Event) -> int:
    """So many requests as there have to be, and more until it is enough; half of them streams."""
    numbers = count()

    async def ask_on() -> None:
        while (number := next(numbers)) < REQUESTS or not enough.is_set():
            if number % 2:
                async with router.stream("hi", model="m", resume="replay") as stream:
                    assert "".join([chunk.text async for chunk in stream]) == TEXT
            else:
                assert (await router.chat("hi", model="m")).text == TEXT

    async with anyio.create_task_group() as callers:
        for _ in range(AT_ONCE):
            callers.start_soon(ask_on)
    return next(numbers) - AT_ONCE


def trial_of(entries: list[dict[str, Any]]) -> str:
    """The path of the one request that a restarted backend got before it had answered anything."""
    trial, *others = entries
    early = [entry["path"] for entry in others if entry["came"] < trial["answered"]]
    assert early == []
    return str(trial["path"])


def threads() -> set[threading.Thread]:
    """Running threads, without those that the event loops keep at hand for the next call."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith(("Trio thread", "AnyIO worker"))}


def descriptors() -> int:
    """Open files and sockets of this process, where the system tells."""
    folder = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
    return len(list(folder.iterdir()))


@pytest.fixture
def traced() -> Iterator[Callable[[], int]]:
    """The bytes that are allocated now."""

    def allocated() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    yield allocated
    tracemalloc.stop()


# The short run is on one loop, the soak on both.
@pytest.mark.parametrize(
    ("anyio_backend", "seed", "troubles"),
    [
        pytest.param("asyncio", 1, 2, id="short"),
        *(
            pytest.param(loop, seed, 12, id=f"{loop}-seed-{seed}", marks=pytest.mark.soak)
            for loop in ("asyncio", "trio")
            for seed in (2, 3, 4)
        ),
    ],
)
async def test_no_request_fails_while_backends_are_killed_frozen_and_restarted(
    anyio_backend: str, seed: int, troubles: int, programs: list[Program], traced: Callable[[], int]
) -> None:
    enough, done = anyio.Event(), 0

    async def trouble() -> None:
        await suffer(programs, schedule(seed, troubles))
        await run_sync(recover, programs)
        enough.set()

    await run_sync(gc.collect)  # what an event loop starts once is there
    tasks_before, threads_before, open_before = len(anyio.get_running_tasks()), threads(), descriptors()
    async with AsyncRouter(providers=providers(programs), seed=seed) as router:
        async with anyio.create_task_group() as group:  # everything that is made once is made
            for _ in range(AT_ONCE):
                group.start_soon(lambda: router.chat("hi", model="m"))
        start = traced()
        async with anyio.create_task_group() as group:
            group.start_soon(trouble)
            done = await traffic(router, enough)
        growth = traced() - start
        assert router.registry.health.in_flight == {}
    gc.collect()
    print(f"{done} requests, {growth / 1024:+.0f} KiB")
    assert done >= REQUESTS
    assert growth < GROWTH
    assert tasks_before == len(anyio.get_running_tasks())
    assert threads() <= threads_before  # one of an earlier test may end meanwhile, and close its files
    assert descriptors() <= open_before
    for number, program in enumerate(programs):
        if program.troubles[-1:] == ["kill"]:
            assert trial_of(program.seen()).endswith("/models" if number % 2 == 0 else "/chat/completions")
