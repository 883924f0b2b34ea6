"""Every Python block and every `$ prouter …` of the README, the tutorial and the how-tos does what is written there.

The blocks of a document run in order and share their names. A hidden block (`<!-- run` … `-->`) prepares what the
reader has and a test has not: `backend("loft:1234", …)` starts a loopback backend that stands at the shown address,
`port(7001)` lets a free port stand for a shown one. A Python block with a title is saved as a file, for `$ python …`. A
`text` block after a Python block is what that prints.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import logging
import random
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import define, field, frozen
from click.testing import CliRunner

from provider_router import Admin, Router
from provider_router.backends import Backend, answers
from provider_router.cli.program import prouter

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/how-to").glob("*.md"))]

_BLOCK = re.compile(r"^(?:```(\w*)(?: title=\"([^\"\n]+)\")?\n(.*?)^```|<!-- run\n(.*?)^-->)", re.DOTALL | re.MULTILINE)


@frozen
class Block:
    """A block of a document: `python`, `console`, `text`, … or `hidden`."""

    kind: str
    text: str
    line: int
    title: str


def blocks(document: Path) -> list[Block]:
    text = document.read_text(encoding="utf-8")
    return [
        Block(match[1] or "hidden", match[3] or match[4] or "", text.count("\n", 0, match.start()) + 1, match[2] or "")
        for match in _BLOCK.finditer(text)
    ]


def free_port() -> int:
    """A port for a program that takes it only later: none of those that the system hands out to others meanwhile."""
    for port in random.SystemRandom().sample(range(20_000, 30_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


@define
class Reader:
    """Somebody who types what a document shows."""

    document: Path
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    stack: contextlib.ExitStack
    names: dict[str, Any] = field(factory=dict)
    stand_ins: dict[str, str] = field(factory=dict)
    programs: dict[str, subprocess.Popen[str]] = field(factory=dict)

    def read(self) -> None:
        self.monkeypatch.chdir(self.folder)  # what a command writes is not to lie in the repository
        self.names |= {"backend": self.backend, "port": self.port, "file": self.file, "end": self.end}
        self.names |= {"answers": answers, "reader": self}
        printed = None
        for block in blocks(self.document):
            match block.kind:
                case "hidden":
                    self.run(block)
                case "python" if block.title:
                    (self.folder / block.title).write_text(block.text, encoding="utf-8")
                case "python":
                    printed = self.run(block)
                    continue
                case "text" if printed is not None:
                    if not matches(told := self.shown(printed), block.text):
                        pytest.fail(f"{self.document.name}, line {block.line}:\n{told}", pytrace=False)
                case "console":
                    self.type_in(block)
            printed = None

    # What a hidden block can do

    def backend(self, address: str, *replies: Any, **options: Any) -> Backend:
        started = self.stack.enter_context(Backend(*replies, **options))
        self.stand_ins[address] = f"127.0.0.1:{started.port}"
        return started

    def port(self, shown: int) -> None:
        self.stand_ins[str(shown)] = str(free_port())

    def file(self, shown: str, text: str) -> Path:
        path = self.folder / Path(shown).name
        path.write_text(text, encoding="utf-8")
        self.stand_ins[shown] = path.as_posix()
        return path

    def end(self, shown: int) -> None:
        """Press Enter where a program runs that was started with this port."""
        program = self.programs.pop(str(shown))
        program.communicate("\n", timeout=30)
        assert program.returncode == 0

    def start(self, typed: str, line: str) -> str:
        """Start a program of the document, and return the first line that it says."""
        program = subprocess.Popen(
            [sys.executable, *shlex.split(line)[1:]],
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.programs[typed.rsplit(maxsplit=1)[-1]] = program
        assert program.stdout is not None
        return program.stdout.readline()

    def close(self) -> None:
        for shown in list(self.programs):
            self.end(int(shown))
        for value in self.names.values():
            if isinstance(value, Router | Admin):
                value.close()

    def real(self, text: str) -> str:
        for shown, actual in sorted(self.stand_ins.items(), key=lambda pair: -len(pair[0])):
            text = re.sub(rf"(?<![\w.]){re.escape(shown)}(?!\w)", lambda _, actual=actual: actual, text)  # type: ignore[misc]
        return text

    def shown(self, text: str) -> str:
        for shown, actual in sorted(self.stand_ins.items(), key=lambda pair: -len(pair[1])):
            text = text.replace(actual, shown)
        return text

    # Blocks

    def run(self, block: Block) -> str:
        """Run Python, `await` at the top included, and return what it prints."""
        # Lines are counted as in the document, so that a traceback leads there.
        source = "\n" * block.line + (block.text if block.kind == "hidden" else self.real(block.text))
        code = compile(source, str(self.document), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            if code.co_flags & inspect.CO_COROUTINE:

                async def run() -> None:
                    await eval(code, self.names)

                anyio.run(run)
            else:
                exec(code, self.names)
        return out.getvalue()

    def type_in(self, block: Block) -> None:
        for typed, output in commands(block.text):
            line = self.real(typed)
            if line.startswith("export "):
                name, _, value = shlex.split(line)[1].partition("=")
                if name != "PROUTER_HOME":  # the test has one of its own already
                    self.monkeypatch.setenv(name, value)
                continue
            if line.startswith("python "):
                assert matches(self.shown(self.start(typed, line)), output)
                continue
            variables, piped, arguments = command_line(line)
            if arguments[:1] != ["prouter"]:  # of another program: pip, make, git
                continue
            with self.monkeypatch.context() as patch, lonely_log():
                for name, value in variables.items():
                    patch.setenv(name, value)
                result = CliRunner().invoke(prouter, arguments[1:], input=piped, prog_name="prouter")
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                raise result.exception
            told = self.shown(result.output)
            if not (matches(told, output) if output else result.exit_code == 0):
                pytest.fail(f"{self.document.name}, line {block.line}: {typed}\n{told}", pytrace=False)


@contextlib.contextmanager
def lonely_log() -> Iterator[None]:
    """Without pytest's own handlers, so that warnings go to stderr, as they do at a terminal."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    try:
        yield
    finally:
        root.handlers = handlers


def commands(text: str) -> Iterator[tuple[str, str]]:
    """What is typed in a console block, and what comes out; an empty text means that it is not shown."""
    typed, output = "", ""
    for line in text.splitlines():
        if line.startswith("$ "):
            if typed:
                yield typed, output
            typed, output = line[2:], ""
        elif typed.endswith("\\"):
            typed = typed[:-1] + line.strip()
        else:
            output += line + "\n"
    if typed:
        yield typed, output


def command_line(line: str) -> tuple[dict[str, str], str | None, list[str]]:
    """Variables set for it, what `echo` pipes in, and the words of a command."""
    piped = None
    if match := re.fullmatch(r"echo (.+?) \| (.+)", line):
        piped, line = " ".join(shlex.split(match[1])) + "\n", match[2]
    words = shlex.split(line, comments=True)
    variables = {}
    while words and re.match(r"[A-Z_]+=", words[0]):
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    return variables, piped, words


def matches(told: str, expected: str) -> bool:
    """Whether an output is the expected one: spaces, ruled lines and durations aside; `...` stands for anything."""
    pattern = re.escape(plain(expected)).replace(re.escape("..."), ".*?")
    return re.fullmatch(pattern, plain(told), re.DOTALL) is not None


def plain(text: str) -> str:
    text = re.sub(r"\d+(\.\d+)? m?s\b", "N ms", text)
    return "\n".join(" ".join(re.sub(r"-{2,}", "--", line).split()) for line in text.splitlines() if line.strip())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_is_shown_is_what_happens(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as stack:
        monkeypatch.chdir(tmp_path)  # what an example writes stays out of the repository
        reader = Reader(document, tmp_path, monkeypatch, stack)
        stack.callback(reader.close)
        reader.read()
