"""What a command has of the outside: its two outputs, the questions it may ask, and the doors to the library."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar

import click

if TYPE_CHECKING:
    from pathlib import Path

    from provider_router.configuration.admin import Admin
    from provider_router.routing.sync import Router

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_PLAIN: Final[Mapping[int, str]] = str.maketrans(
    {"→": "->", "…": "...", "✓": "ok", "·": "-", "–": "-", "—": "-", "’": "'", "“": '"', "”": '"', "×": "x", "█": "#"}
)


def _in_plain(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that an output cannot show: two or three of ASCII, else a question mark."""
    assert isinstance(error, UnicodeEncodeError)
    part = error.object[error.start : error.end].translate(_PLAIN)
    return "".join(character if character.isascii() else "?" for character in part), error.end


codecs.register_error("prouter", _in_plain)


@contextlib.contextmanager
def speaking() -> Iterator[None]:
    """A block in which no character that an output cannot show is an error."""
    changed: list[tuple[io.TextIOWrapper, str]] = []
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            changed.append((stream, stream.errors or "strict"))
            stream.reconfigure(errors="prouter")
    try:
        yield
    finally:
        for stream, errors in changed:
            if not stream.closed:
                stream.reconfigure(errors=errors)


@contextlib.contextmanager
def logging_attempts() -> Iterator[None]:
    """A block in which the library's log goes to stderr, a line for each attempt."""
    import logging

    log, handler = logging.getLogger("provider_router"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


# What steers a terminal, in an answer or a name: it is shown, and not done. Tabs and ends of lines are harmless.
_SHOWN: Final[Mapping[int, str]] = {
    code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"
}


def _write(stream: TextIO | None, text: str) -> None:
    """Write at once. click.echo would not do: it writes UTF-8 where the terminal said ASCII."""
    if stream is not None:  # it is None where the caller has closed it
        if stream.isatty():
            text = text.translate(_SHOWN)
        stream.write(text)
        stream.flush()


def tell_error(code: str, message: str, details: Mapping[str, object] | None = None, *, as_json: bool) -> None:
    """Say on stderr what went wrong; as JSON `{"error": {"code": …, "message": …}}` with what else is known."""
    if as_json:
        _write(sys.stderr, json_text({"error": {"code": code, "message": message, **(details or {})}}) + "\n")
    else:
        _write(sys.stderr, f"Error: {message}\n")


def json_text(value: object) -> str:
    """A value for machines; characters are escaped only where the output could not show them."""
    import json

    from provider_router.cli.jsonable import jsonable

    text = json.dumps(jsonable(value), indent=2, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return json.dumps(jsonable(value), indent=2)
    return text


class Terminal:
    """What commands get as their first argument.

    Attributes:
        database: as `--db` names it.
        json: whether results are JSON.
        verbose: whether every attempt is logged.
    """

    def __init__(self) -> None:
        self.database: str | None = None
        self.json = False
        self.verbose = False

    # Saying

    def result(self, value: object, text: str) -> None:
        """The answer, on stdout.

        Args:
            value: for machines.
            text: for people.
        """
        _write(sys.stdout, (json_text(value) if self.json else text) + "\n")

    def piece(self, text: str) -> None:
        """A piece of an answer, on stdout at once."""
        _write(sys.stdout, text)

    def note(self, text: str) -> None:
        """Something beside the answer, on stderr."""
        _write(sys.stderr, text + "\n")

    @property
    def shows_at_once(self) -> bool:
        """Whether somebody watches stdout."""
        return sys.stdout is not None and sys.stdout.isatty()

    # Asking

    @property
    def interactive(self) -> bool:
        """Whether somebody is there to answer questions."""
        return (
            not self.json
            and sys.stdin is not None
            and sys.stderr is not None
            and sys.stdin.isatty()
            and sys.stderr.isatty()
        )

    def ask(self, question: str, *, default: str | None = None, parse: Callable[[str], T], hidden: bool = False) -> T:
        """An answer that will do; a wrong one is told what is wrong, and asked again.

        The question goes to stderr, so that the answer on stdout can be redirected.

        Args:
            question: without a colon.
            default: what Enter means.
            parse: what the answer means; raises ValueError with a phrase.
            hidden: whether the answer must not be seen.
        """
        prompt = f"{question} [{default}]: " if default else f"{question}: "
        while True:
            answer = self._line(prompt, hidden=hidden).strip() or default or ""
            try:
                return parse(answer)
            except ValueError as error:
                self.note(f"  {error}")

    def confirm(self, question: str, *, default: bool) -> bool:
        """Yes or no."""

        def parse(answer: str) -> bool:
            if answer.lower() in ("y", "yes", "n", "no", ""):
                return answer.lower().startswith("y") if answer else default
            raise ValueError("answer y or n")

        return self.ask(f"{question} [{'Y/n' if default else 'y/N'}]", parse=parse)

    def choose(self, question: str, choices: Sequence[tuple[str, str]], *, default: str | None = None) -> str:
        """One of several, by its number or its name.

        Args:
            question: without a colon.
            choices: names, and what is said of each.
            default: what Enter means.
        """
        names = [name for name, _ in choices]
        for number, (name, what) in enumerate(choices, 1):
            self.note(f"  {number}. {name}{f'  {what}' if what else ''}")

        def parse(answer: str) -> str:
            if answer.isdecimal() and 0 < int(answer) <= len(names):
                return names[int(answer) - 1]
            if answer in names:
                return answer
            raise ValueError(f"answer with a number from 1 to {len(names)}, or a name")

        return self.ask(question, default=default, parse=parse)

    def _line(self, prompt: str, *, hidden: bool) -> str:
        if hidden:
            import getpass

            return getpass.getpass(prompt)
        _write(sys.stderr, prompt)
        line = sys.stdin.readline()
        if not line:
            self.note("")
            raise click.UsageError("the input ended in the middle of the questions; every answer has an option, too")
        return line

    # Opening

    @contextlib.contextmanager
    def admin(self) -> Iterator[Admin]:
        """The door for changes. If there is still no file afterwards, that is said."""
        from provider_router.configuration.admin import Admin

        with Admin(self.database, who="cli") as admin, self._telling_where(admin.path):
            yield admin

    @contextlib.contextmanager
    def router(self) -> Iterator[Router]:
        """The door for requests. If there is no file, that is said."""
        from provider_router import home
        from provider_router.routing.sync import Router

        with self._telling_where(home.database_path(self.database)), Router(self.database) as router:
            yield router

    @contextlib.contextmanager
    def _telling_where(self, path: Path) -> Iterator[None]:
        try:
            yield
        finally:
            from provider_router.home import declared_path

            if not self.json and not declared_path(self.database) and not os.path.lexists(path):
                self.note(f"The database {path} does not exist yet.")


def _wants_json(ctx: click.Context, _: click.Parameter, value: Any) -> None:
    if value:
        ctx.ensure_object(Terminal).json = True


def _wants_log(ctx: click.Context, _: click.Parameter, value: Any) -> None:
    terminal = ctx.ensure_object(Terminal)
    if value and not terminal.verbose:
        terminal.verbose = True
        ctx.with_resource(logging_attempts())


def _names_database(ctx: click.Context, _: click.Parameter, value: Any) -> None:
    if value is not None:
        ctx.ensure_object(Terminal).database = value


def common_options(*, hidden: bool = False) -> Callable[[F], F]:
    """Give a command `--json`, `--verbose` and `--db`; `hidden`, its help has the first of them only."""
    database = click.option(
        "--db",
        metavar="PATH",
        expose_value=False,
        callback=_names_database,
        hidden=hidden,
        help="The configuration's database. Also PROUTER_DB.",
    )
    verbose = click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_wants_log,
        hidden=hidden,
        help="Log every attempt to stderr.",
    )
    as_json = click.option(
        "--json", is_flag=True, expose_value=False, callback=_wants_json, help="Print JSON, for programs."
    )
    return lambda command: database(verbose(as_json(command)))


json_option: Final = common_options(hidden=True)
"""What every command takes: `--json`, and unsaid in its help `--verbose` and `--db`, which the program's help has."""


def piped_text() -> str | None:
    """Everything that another program pipes in, or None where no pipe and no file is there to be read."""
    if sys.stdin is None or sys.stdin.isatty():
        return None
    return sys.stdin.read()


def table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    """Rows for people."""
    from tabulate import tabulate

    cells = [["" if cell is None else in_a_line(str(cell)) for cell in row] for row in rows]
    last = _room(cells, headers) if cells and sys.stdout is not None and sys.stdout.isatty() else None
    widths = [*[None] * (len(headers) - 1), last] if last else None
    text = tabulate(cells, headers=headers, tablefmt="simple", disable_numparse=True, maxcolwidths=widths)
    return "\n".join(line.rstrip() for line in text.splitlines())


def in_a_line(text: str) -> str:
    """A text that a name's line breaks do not split."""
    return " ".join(text.splitlines())


def _room(cells: Sequence[Sequence[str]], headers: Sequence[str]) -> int:
    """Columns that the terminal leaves to the last column of a table, whose text is wrapped there."""
    import shutil

    others = [max(len(header) + 2, *(len(row[at]) for row in cells)) for at, header in enumerate(headers[:-1])]
    return max(24, shutil.get_terminal_size().columns - sum(others) - 2 * len(others))
