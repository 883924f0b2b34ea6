"""Three processes over one store: what the CLI changes, two running programs obey at their next request."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from provider_router.backends import DONE, Backend, Request, Step, Until, answers, event, streams

pytestmark = pytest.mark.e2e

# A program that asks once for every line it is given, and holds a stream open over several lines.
PROGRAM = """
    import sys
    import anyio
    from provider_router import AsyncRouter

    async def line():
        return (await anyio.to_thread.run_sync(sys.stdin.readline)).strip()

    async def main():
        async with AsyncRouter() as router:
            while asked := await line():
                if asked != "stream":
                    print(await router.chat(asked), flush=True)
                    continue
                async with router.stream("hi") as stream:
                    async for chunk in stream:
                        if chunk.text:
                            print(chunk.text, flush=True)
                            await line()
                print("whole", flush=True)

    anyio.run(main, backend=sys.argv[1])
"""


class Program:
    """A running program that answers line by line."""

    def __init__(self, loop: str) -> None:
        command = [sys.executable, "-W", "error", "-c", textwrap.dedent(PROGRAM), loop]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(line, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def end(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(30)


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    with ExitStack() as cleanup:
        started = []
        for loop in ("asyncio", "trio"):
            program = Program(loop)
            cleanup.callback(program.process.wait)
            cleanup.callback(program.process.kill)
            started.append(program)
        yield started
        assert [program.end() for program in started] == [0, 0]


def prouter(*arguments: str) -> str:
    command = [sys.executable, "-m", "provider_router", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout


def add(id: str, backend: Backend, *, priority: int) -> None:
    options = ["--id", id, "--type", "openai-compatible", "--priority", str(priority), "--no-check"]
    prouter("provider", "add", *options, "--config", f"baseURL={backend.base_url}")


def test_a_change_is_in_force_for_the_next_request_of_every_process(programs: list[Program]) -> None:
    def ask() -> list[str]:
        return [program.ask("hi") for program in programs]

    with Backend(answers("desk")) as desk, Backend(answers("loft")) as loft, Backend(answers("attic")) as attic:
        add("desk", desk, priority=10)
        assert ask() == ["desk", "desk"]
        add("loft", loft, priority=20)
        assert ask() == ["loft", "loft"]
        prouter("provider", "edit", "loft", "--priority", "5")
        assert ask() == ["desk", "desk"]
        prouter("set", "loft")
        assert ask() == ["loft", "loft"]
        prouter("provider", "edit", "loft", "--no-check", "--config", f"baseURL={attic.base_url}")
        assert ask() == ["attic", "attic"]
        prouter("provider", "disable", "loft")
        assert ask() == ["desk", "desk"]
        prouter("provider", "remove", "desk", "--yes")
        prouter("changes", "rollback", "5", "--yes")  # loft at its new address, active, and desk is there again
        assert ask() == ["attic", "attic"]
        prouter("changes", "rollback", "1", "--yes")
        assert ask() == ["desk", "desk"]


def test_a_stream_in_flight_ends_whole_though_its_provider_is_removed(programs: list[Program]) -> None:
    removed = threading.Event()

    def pieces(request: Request) -> Iterator[Step]:
        for word, reason in (("one", None), ("two", "stop")):
            choice = {"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": reason}
            yield event({"id": "1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]})
            yield Until(removed)
        yield DONE

    with Backend(streams(pieces)) as desk, Backend(answers("loft")) as loft:
        add("desk", desk, priority=10)
        assert [program.ask("stream") for program in programs] == ["one", "one"]
        add("loft", loft, priority=20)
        prouter("provider", "remove", "desk", "--yes")
        removed.set()
        assert [program.ask("") for program in programs] == ["two", "two"]
        assert [program.ask("") for program in programs] == ["whole", "whole"]
        assert [program.ask("hi") for program in programs] == ["loft", "loft"]
