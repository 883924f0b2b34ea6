"""How the tests type a command: in this process for most, as a program where streams and signals matter."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from provider_router import Admin
from provider_router.backends import Backend, answers
from provider_router.cli.program import prouter as program

Prouter = Callable[..., Result]
Running = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def prouter() -> Prouter:
    """Type a command; `.stdout`, `.stderr`, `.exit_code`."""

    def run(*arguments: str, input: str | None = None) -> Result:
        result = CliRunner().invoke(program, arguments, input=input, prog_name="prouter")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def answer(prouter: Prouter) -> Callable[..., Any]:
    """What a command that succeeds prints with `--json`."""

    def run(*arguments: str, input: str | None = None) -> Any:
        result = prouter(*arguments, "--json", input=input)
        assert (0, "") == (result.exit_code, result.stderr), result.output
        return json.loads(result.stdout)

    return run


@pytest.fixture
def process() -> Running:
    """Run the command as a program, without a terminal; `prouter` runs the same in this process."""

    def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(
            [sys.executable, "-m", "provider_router", *arguments],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            **options,
        )

    return run


@pytest.fixture
def admin(prouter_home: Path) -> Iterator[Admin]:
    with Admin() as opened:
        yield opened


@pytest.fixture
def desk(admin: Admin) -> Iterator[Backend]:
    """A good backend that is configured as `desk`."""
    with Backend(answers("It is the pelican."), models=("qwen3", "pelican-7b")) as backend:
        admin.providers.add("desk", type="openai-compatible", priority=5, config={"baseURL": backend.base_url})
        yield backend


@pytest.fixture
def loft(admin: Admin) -> Iterator[Backend]:
    """A second one, of less priority, configured as `loft`."""
    with Backend(answers("The loft says so."), models=("qwen3",)) as backend:
        admin.providers.add("loft", type="openai-compatible", config={"baseURL": backend.base_url})
        yield backend


_ON_A_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "provider_router", *sys.argv[1:]])
"""


class Dialogue:
    """The command on a terminal of its own, with somebody who reads and types.

    stdout is apart, in `.stdout`, unless it is `shown` there too.
    """

    def __init__(self, *arguments: str, shown: bool = False) -> None:
        self._ours, theirs = os.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _ON_A_TERMINAL, *arguments],
            stdin=theirs,
            stdout=theirs if shown else subprocess.PIPE,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = ""
        self._interrupting = False

    def reads(self, text: str) -> str:
        """Wait until the terminal shows a text; returns what it showed up to there."""
        while text not in self.seen:
            piece = self._piece()
            assert piece, f"{text!r} never came after {self.seen!r}"
            self.seen += piece
        before, _, self.seen = self.seen.partition(text)
        return before

    def types(self, line: str) -> None:
        os.write(self._ours, f"{line}\n".encode())

    def interrupts(self) -> None:
        self._interrupting = True
        os.write(self._ours, b"\x03")

    def ends(self) -> tuple[int, str]:
        """Wait for the end: the exit code, and what the terminal showed last."""
        while piece := self._piece():
            self.seen += piece
        if self._process.stdout is not None:
            self.stdout = self._process.stdout.read().decode()
            self._process.stdout.close()
        os.close(self._ours)
        return self._process.wait(30), self.seen

    def _piece(self) -> str:
        ready, _, _ = select.select([self._ours], [], [], 5 if self._interrupting else 30)
        if not ready and self._interrupting:
            # Python does not see a signal that comes between its last look and the system's read(): press it again.
            os.write(self._ours, b"\x03")
            ready, _, _ = select.select([self._ours], [], [], 30)
        assert ready, f"nothing came after {self.seen!r}"
        try:
            return os.read(self._ours, 4096).decode()
        except OSError:  # the other end has gone: Linux says EIO
            return ""


@pytest.fixture
def dialogue() -> type[Dialogue]:
    return Dialogue
