"""Options of a provider as a command line gives them: KEY=VALUE, from stdin, or as answers to questions."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import click

from provider_router.cli.terminal import Terminal

if TYPE_CHECKING:
    from provider_router.providers.config import Config, OptionInfo


def given_options(
    terminal: Terminal,
    config: type[Config],
    pairs: Iterable[tuple[str, str]],
    hidden: str | None,
    *,
    unset: Iterable[str] = (),
) -> dict[str, object]:
    """The typed values of `--config KEY=VALUE …`, `--stdin KEY` and `--unset KEY`.

    What cannot be read stays text, so that the library tells every problem at once. `headers.X-Key=VALUE`, or
    `headers=X-Key=VALUE`, is one of a mapping, whose others stay; a JSON object is the whole of it.

    Raises:
        UsageError: a key is given twice, or nothing comes from stdin.
    """
    from provider_router.configuration.draft import split_part

    values: dict[str, object] = {}

    def put(key: str, value: object) -> None:
        name = ".".join(part for part in split_part(config, key) if part)
        if name in values:
            raise click.UsageError(f"{name} is given twice")
        values[name] = value

    for key in unset:
        put(key, None)
    for key, text in pairs:
        value = typed(config, key, text)
        if isinstance(value, Mapping) and not text.lstrip().startswith("{"):
            for part, one in value.items():
                put(f"{key}.{part}", one)
        else:
            put(key, value)
    if hidden is not None:
        put(hidden, secret_text(terminal, hidden))
    return values


def option_of(config: type[Config], key: str) -> OptionInfo | None:
    """The option of this name, in either spelling."""
    from provider_router.providers.config import describe_config

    return next((info for info in describe_config(config) if key in (info.name, info.field)), None)


def typed(config: type[Config], key: str, text: str) -> object:
    """A text as the typed value of an option."""
    from provider_router.providers.config import parse_option

    info = option_of(config, key)
    try:
        return text if info is None else parse_option(info, text)
    except ValueError:
        return text


def secret_text(terminal: Terminal, key: str) -> str:
    """A value that stands on no command line: asked for without being shown, or read from a pipe.

    Raises:
        UsageError: nothing comes.
    """
    if terminal.interactive:
        return terminal.ask(f"{key} (not shown)", parse=_something, hidden=True)
    text = sys.stdin.read().strip() if sys.stdin is not None else ""
    if not text:
        raise click.UsageError(f"nothing came from standard input for {key}")
    return text


def ask_option(
    terminal: Terminal, config: type[Config], info: OptionInfo, default: str | None, *, later: bool = False
) -> object:
    """An answer for one option, checked at once; None if it may come `later` and Enter says so."""
    from provider_router.errors import InvalidConfig
    from provider_router.providers.config import canonical

    def parse(answer: str) -> object:
        if later and not answer:
            return None
        value = typed(config, info.name, _something(answer))
        try:
            canonical(config, {info.name: value})
        except InvalidConfig as error:
            raise ValueError("; ".join(error.problems)) from None
        return value

    question = f"{info.name}, {info.help}" + (" (Enter: later)" if later else "")
    return terminal.ask(question, default=None if info.sensitive else default, parse=parse, hidden=info.sensitive)


def _something(answer: str) -> str:
    if not answer:
        raise ValueError("an answer is needed")
    return answer
