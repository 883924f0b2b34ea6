"""Writes the parts of the documentation that the code knows better, between their marks.

A mark is `<!-- generated: NAME -->`, its end `<!-- end -->`; what lies between them is replaced. With `--check` nothing
is written, and the exit code is 1 if something would be.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import attrs
import click

import provider_router
from provider_router import errors, home, limits, plugin
from provider_router.chat import Capability
from provider_router.cli.program import prouter
from provider_router.configuration.settings import SETTINGS
from provider_router.providers.config import OptionInfo, describe_config
from provider_router.providers.config.declaration import Config
from provider_router.providers.hookspecs import register_providers
from provider_router.providers.provider import Provider
from provider_router.routing.effect import Effect
from provider_router.routing.table import TABLE
from provider_router.store import History, Store

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])

_MARKED = re.compile(r"(<!-- generated: ([\w-]+(?: [\w-]+)?) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [headers, tuple("---" for _ in headers), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def code(text: object) -> str:
    return f"`{text}`" if text not in (None, "") else ""


# The command


def commands() -> Iterator[tuple[tuple[str, ...], click.Command, click.Context]]:
    """Every command of the tree, the groups among them, in the order of the help."""

    def below(
        command: click.Command, name: str, parent: click.Context | None
    ) -> Iterator[tuple[tuple[str, ...], click.Command, click.Context]]:
        context = click.Context(command, info_name=name, parent=parent, terminal_width=100, max_content_width=100)
        path = tuple(context.command_path.split())
        yield path, command, context
        if isinstance(command, click.Group):
            for sub in command.list_commands(context):
                found = command.get_command(context, sub)
                if found is not None and not found.hidden:
                    yield from below(found, sub, context)

    yield from below(prouter, "prouter", None)


def cli() -> str:
    parts = []
    for path, command, context in commands():
        mark = "##" if len(path) < 3 else "###"
        parts.append(f"{mark} {' '.join(path)}\n\n```text\n{command.get_help(context).rstrip()}\n```")
    return "\n\n".join(parts)


# Provider types


def first_party() -> list[tuple[str, type[Provider]]]:
    """The types of the plugins in `plugins/`, with the name of their package."""
    found = []
    for folder in sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml")):
        module = importlib.import_module(f"provider_router_{folder.name}")
        found += [(f"provider-router-{folder.name.replace('_', '-')}", cls) for cls in module.register_providers()]
    return found


def option_row(info: OptionInfo) -> tuple[str, ...]:
    kind = ("secret" if info.kind == "text" else f"{info.kind} of secrets") if info.sensitive else info.kind
    if info.choices:
        kind = " ".join(info.choices)
    default = "required" if info.required else code(str(info.default).lower() if info.default not in (None, {}) else "")
    example = f", such as `{info.example}`" if info.example else ""
    return code(info.name), code(info.field), kind, default, info.help + example


_OPTION_HEADERS = ("option", "in Python", "kind", "default", "meaning")


def types() -> str:
    common = {info.field for info in describe_config(Config)}
    parts = []
    for package, cls in first_party():
        infos = describe_config(cls.Config)
        # A common option is told again where the type says something else of it.
        own = [info for info in infos if info.field not in common]
        near = "; ".join(f"`{url}`" for url in cls.default_urls)
        parts.append(
            f"## {cls.type}\n\n{cls.label}. Package `{package}`, class `{cls.__module__}.{cls.__name__}`. "
            f"`prouter add` looks for it at {near}.\n\n" + table(_OPTION_HEADERS, [option_row(info) for info in own])
        )
    return "\n\n".join(parts)


def common_options() -> str:
    return table(_OPTION_HEADERS, [option_row(info) for info in describe_config(Config)])


def capabilities() -> str:
    found = first_party()
    rows = [
        (code(capability.value), *("yes" if capability in cls.capabilities else "no" for _, cls in found))
        for capability in Capability
    ]
    return table(("capability", *(code(cls.type) for _, cls in found)), rows)


# Settings and variables


def settings() -> str:
    rows = []
    for info in SETTINGS.values():
        duration = info.key.startswith("routing.") and limits.ROUTING[info.key.removeprefix("routing.")].duration
        default = f"{info.default / 1000:g}s" if duration and isinstance(info.default, int) else info.default
        shown = "" if default in (None, []) else code(str(default).lower() if isinstance(default, bool) else default)
        rows.append((code(info.key), code(info.variable), shown, info.help))
    return table(("setting", "environment variable", "default", "meaning"), rows)


def variables() -> list[str]:
    """Every variable `PROUTER_…` that the code reads."""
    named = re.findall(r"environ\.get\(\"(PROUTER_\w+)\"", inspect.getsource(home))
    return [*dict.fromkeys(named), *(option.variable for option in limits.ROUTING.values())]


# Errors and the table of failures


def error_classes() -> list[type[errors.ProviderRouterError]]:
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type)
        and issubclass(value, errors.ProviderRouterError)
        and value.__module__ == errors.__name__
    ]


def error_tree() -> str:
    drawing = inspect.cleandoc(errors.__doc__ or "").split("\n\n")[1]
    return "```text\n" + inspect.cleandoc(drawing) + "\n```"


def error_list() -> str:
    public = set(provider_router.__all__)
    parts = []
    for cls in error_classes():
        where = "provider_router" if cls.__name__ in public else "provider_router.errors"
        failure = vars(cls).get("failure")
        klass = f" Failure class `{failure}`." if failure and cls is not errors.ProviderError else ""
        base = cls.__bases__[0].__name__
        parts.append(
            f"### {cls.__name__}\n\n`from {where} import {cls.__name__}`, from `{base}`.{klass}\n\n{prose(cls)}"
        )
    return "\n\n".join(parts)


def _seconds(value: float) -> str:
    return f"{value:g} s" if value < 120 else f"{value / 60:g} min"


_OPENING = f"{_seconds(limits.OPENING)}, doubling with each failed trial up to {_seconds(limits.OPENING_MAX)}"
EFFECTS = {
    Effect.NONE: "none",
    Effect.ENDPOINT_DOWN: "the endpoint's breaker opens at once",
    Effect.ENDPOINT_FAULT: f"the endpoint's breaker opens at {limits.TIMEOUTS_IN_A_ROW} in a row",
    Effect.MODEL_FAULT: f"the breaker of this model there opens at {limits.SERVER_FAULTS_IN_A_ROW} in a row, or when "
    f"{limits.FAULT_WINDOW_RATIO:.0%} of the last {_seconds(limits.FAULT_WINDOW)} failed "
    f"({limits.FAULT_WINDOW_LEAST} calls or more)",
    Effect.MODEL_MISSING: f"this model there is asked last for {_seconds(limits.MODEL_FLAG)}",
    Effect.THROTTLE: "the provider is left alone for as long as it said (at most `retryAfterMax`), else "
    f"{_seconds(limits.THROTTLE_FIRST)}, doubling up to {_seconds(limits.THROTTLE_LAST)}",
    Effect.QUOTA: f"the provider is left alone for {_seconds(limits.QUOTA_THROTTLE)}",
    Effect.AUTH: f"the provider is asked last for {_seconds(limits.AUTH_FLAG)}, doubling up to "
    f"{_seconds(limits.AUTH_FLAG_MAX)}",
    Effect.CRASH: f"the provider is asked last for {_seconds(limits.CRASH_FLAG)}, doubling up to "
    f"{_seconds(limits.AUTH_FLAG_MAX)}",
    Effect.BUSY: f"asked after free ones for {_seconds(limits.BUSY_MOMENT)}",
}


def failures() -> str:
    leaves = {cls.failure: cls.__name__ for cls in error_classes() if issubclass(cls, errors.ProviderError)}
    leaves[errors.Failure.TRUNCATED] = leaves[errors.Failure.STALLED] = errors.StreamInterrupted.__name__
    leaves.pop(errors.Failure.CANCELLED, None)
    leaves[errors.Failure.SERVER] = errors.ServerFault.__name__
    rows = []
    for failure, row in TABLE.items():
        again = str(row.again) if row.again_alone <= row.again else f"{row.again} (alone {row.again_alone})"
        rows.append(
            (
                code(failure),
                code(leaves.get(failure)),
                again if row.again else "no",
                "yes" if row.next else "no",
                EFFECTS[row.effect],
            )
        )
    return table(("class", "exception", "same provider again", "next provider", "health"), rows)


def numbers() -> str:
    rows = []
    for name, what in (
        ("timeout", "a plain call, from sent to complete"),
        ("connectTimeout", "until a connection stands"),
        ("firstTokenTimeout", "a stream, between two signs of life until its first token"),
        ("idleTimeout", "a stream, between two bytes after that"),
        ("checkAfter", "silence after which the backend's cheap check is asked beside the call"),
        ("maxWait", "waiting for a free slot"),
        ("maxAttempts", "upstream calls for one request"),
        ("maxAnswerBytes", "size of a plain answer"),
        ("retryAfterMax", "throttle that a backend can cause"),
    ):
        option = limits.ROUTING[name]
        match name:
            case "connectTimeout":
                bound = f"{_seconds(limits.CONNECT_NEAR)} near, {_seconds(limits.CONNECT_FAR)} on the internet"
            case "firstTokenTimeout":
                bound = f"{_seconds(option.default)}; {_seconds(limits.FIRST_TOKEN_LOCAL)} where a model may be loaded"
            case "idleTimeout":
                bound = f"{_seconds(option.default)}; {limits.REASONING_IDLE_FACTOR:g} times that while reasoning"
            case "maxAnswerBytes":
                bound = f"{option.default // 1024 // 1024} MiB"
            case _:
                bound = _seconds(option.default) if option.duration else str(option.default)
        rows.append((code(name), bound, what))
    share = f"{limits.RETRY_BUDGET_RATIO:.0%} of the requests of the last {_seconds(limits.RETRY_BUDGET_WINDOW)}"
    free = f"{limits.RETRY_BUDGET_FLOOR:g} a second"
    rows.append(("", f"{share}, and {free}", "retries, of all requests together; fallbacks are none"))
    rows.append(("", _OPENING, "an opening of a breaker"))
    return table(("option", "default", "bounds"), rows)


# Python


def signature(function: Callable[..., Any], name: str) -> str:
    """As one would write it, on one line where it fits."""
    found = inspect.signature(function)
    shown: list[str] = []
    keywords = False
    for parameter in found.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keywords:
            shown.append("*")
        keywords = keywords or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        star = (
            "**"
            if parameter.kind is parameter.VAR_KEYWORD
            else "*"
            if parameter.kind is parameter.VAR_POSITIONAL
            else ""
        )
        text = f"{star}{parameter.name}"
        if parameter.annotation is not parameter.empty:
            text += f": {_annotation(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            text += f" = {_default(parameter.default)}"
        shown.append(text)
    after = "" if found.return_annotation is found.empty else f" -> {_annotation(found.return_annotation)}"
    one = f"{name}({', '.join(shown)}){after}"
    if len(one) <= 110:
        return one
    return f"{name}(\n" + "".join(f"    {text},\n" for text in shown) + f"){after}"


def _annotation(annotation: Any) -> str:
    return annotation.strip("'\"") if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _default(default: Any) -> str:
    if default is ...:
        return "..."
    if attrs.has(type(default)):
        return f"{type(default).__name__}()"
    if isinstance(default, Enum) and not isinstance(default, str):  # attrs.NOTHING
        return "…"
    if callable(default):
        return f"{default.__module__}.{default.__name__}"
    text = repr(default.value if isinstance(default, Enum) else default)
    return "…" if " at 0x" in text else text


def prose(thing: Any) -> str:
    """A docstring in Google's style as Markdown."""
    lines: list[str] = []
    section = ""
    for line in inspect.cleandoc(thing.__doc__ or "").splitlines():
        if re.fullmatch(r"(Args|Raises|Returns|Attributes):", line):
            section = line
            lines += [f"{line}", ""]
        elif section and line.startswith("    "):
            text = line[4:]
            if text.startswith("    ") or section == "Returns:":
                lines.append(f"  {text.strip()}" if section != "Returns:" else text)
            else:
                named, colon, what = text.partition(":")
                lines.append(f"- `{named}`: {what.strip()}" if colon else f"- {text}")
        else:
            section = section if not line else ""
            lines.append(line)
    return "\n".join(lines).strip()


def described(name: str, thing: Any, *, mark: str = "###", members: bool = True) -> str:
    if isinstance(thing, type) and issubclass(thing, Enum):
        listed = " ".join(f"`{member.value}`" for member in thing)
        return f"{mark} {name}\n\n{prose(thing)}\n\nOne of {listed}."
    if thing is plugin.hookimpl:
        return f"{mark} {name}\n\n{HOOKIMPL}\n\n```text\n{signature(register_providers, 'register_providers')}\n```"
    if not callable(thing):
        return f"{mark} {name}\n\n`{name} = {thing!r}`"
    told = f"{mark} {name}\n\n```text\n{_signed(thing, name)}\n```\n\n{prose(thing)}"
    if isinstance(thing, type) and members:
        told += "".join(f"\n\n{_member(name, *each)}" for each in _members(thing))
    return told.rstrip()


def _signed(thing: Any, name: str) -> str:
    told = signature(thing, name)
    return f"class {told.removesuffix(' -> None')}" if isinstance(thing, type) else told


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    for name, value in vars(cls).items():
        if name.startswith("_"):
            continue
        if isinstance(value, property | classmethod | staticmethod) or inspect.isfunction(value):
            yield name, value


def _member(owner: str, name: str, value: Any) -> str:
    if isinstance(value, property):
        hint = value.fget.__annotations__.get("return", "") if value.fget else ""
        head = f"{owner}.{name}: {_annotation(hint)}"
        thing: Any = value.fget
    else:
        thing = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        plain = inspect.unwrap(thing)
        asynchronous = inspect.iscoroutinefunction(plain)
        head = ("async " if asynchronous else "") + signature(thing, f"{owner}.{name}")
    told = prose(thing) if thing is not None and thing.__doc__ else ""
    return f"```text\n{head}\n```\n\n{told}".rstrip()


HOOKIMPL = "Marks a function of the plugin's module as the implementation of a hook. There is one hook:"


def python_names() -> str:
    leave = {cls.__name__ for cls in error_classes()}
    return "\n\n".join(
        described(name, getattr(provider_router, name)) for name in provider_router.__all__ if name not in leave
    )


def python_errors() -> str:
    return " · ".join(
        f"[`{name}`](errors.md#{name.lower()})"
        for name in provider_router.__all__
        if name in {cls.__name__ for cls in error_classes()}
    )


def call_options() -> str:
    from provider_router.routing.call import CallOptions

    return prose(CallOptions)


def admin_nouns() -> str:
    from provider_router.configuration.credentials import Credentials
    from provider_router.configuration.links import Links
    from provider_router.configuration.models import Models
    from provider_router.configuration.options import Options
    from provider_router.configuration.providers import Providers
    from provider_router.configuration.settings import Settings

    nouns = {
        "admin.providers": Providers,
        "admin.providers.config(id)": Options,
        "admin.models": Models,
        "admin.links": Links,
        "admin.settings": Settings,
        "admin.credentials": Credentials,
    }
    return "\n\n".join(
        f"### {name}\n\n{prose(cls)}" + "".join(f"\n\n{_member(name, *each)}" for each in _members(cls))
        for name, cls in nouns.items()
    )


def results() -> str:
    from provider_router.history import HistoryState
    from provider_router.routing.candidate import Candidate
    from provider_router.routing.plan import Plan
    from provider_router.routing.report import CheckResult, ModelHealth, ProviderHealth
    from provider_router.routing.snapshot import Recording
    from provider_router.routing.stream import AsyncChatStream
    from provider_router.statistics import Percentiles, Statistics, Sums
    from provider_router.store.sessions import SessionRecord
    from provider_router.store.trails import AttemptRecord, RequestRecord, Trail
    from provider_router.trail import Attempt, Skipped

    values = (Attempt, Skipped, Plan, Candidate, CheckResult, ProviderHealth, ModelHealth, Recording)
    looked_back = (RequestRecord, AttemptRecord, Trail, SessionRecord, Statistics, Sums, Percentiles, HistoryState)
    stream = "".join(f"\n\n{_member('stream', *each)}" for each in _members(AsyncChatStream))
    return "\n\n".join(
        [
            *(described(cls.__name__, cls, members=False) for cls in (*values, *looked_back)),
            f"### AsyncChatStream, ChatStream\n\n{prose(AsyncChatStream)}{stream}",
        ]
    )


def plugin_names() -> str:
    leave = set(provider_router.__all__) | {"ProviderError"}
    return "\n\n".join(described(name, getattr(plugin, name)) for name in plugin.__all__ if name not in leave)


def testing_names() -> str:
    from provider_router import testing

    return "\n\n".join(
        described(name, getattr(testing, name), members=name in {"Fake", "Make"})
        for name in testing.__all__
        if name != "RULES"
    )


def testing_rules() -> str:
    from provider_router.testing import RULES

    return "| rule | the contract |\n|---|---|\n" + "\n".join(f"| `{name}` | {said} |" for name, said in RULES.items())


def testing_faults() -> str:
    from provider_router.backends import FAULTS

    rows = [
        f"| `{fault.name}` | {fault.says} | {fault.plain or ''} | {fault.stream or ''} |" for fault in FAULTS.values()
    ]
    return "| fault | what is on the wire | a chat comes to | a stream comes to |\n|---|---|---|---|\n" + "\n".join(
        rows
    )


# The database


def schema() -> dict[str, list[tuple[str, ...]]]:
    """The columns of every table of a fresh store and a fresh history."""
    found: dict[str, list[tuple[str, ...]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in (Store, History):
            path = Path(folder) / f"{kind.__name__}.db"
            kind.open(path).close()
            connection = sqlite3.connect(path)
            try:
                tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")
                names = [name for (name,) in tables if not name.startswith(("sqlite_", "_"))]
                found |= {name: list(_columns(connection, name)) for name in names}
            finally:
                connection.close()
    return found


def _columns(connection: sqlite3.Connection, name: str) -> Iterator[tuple[str, ...]]:
    refers = {
        row[3]: f"refers to `{row[2]}.{row[4]}`, {'removed' if row[6] == 'CASCADE' else 'emptied'} with it"
        for row in connection.execute(f"PRAGMA foreign_key_list({name})")
    }
    for _, column, kind, not_null, default, key in connection.execute(f"PRAGMA table_info({name})"):
        notes = ["primary key"] if key else []
        notes += ["may be NULL"] if not not_null and not key else []
        notes += [f"default `{default}`"] if default is not None else []
        notes += [refers[column]] if column in refers else []
        yield code(column), kind, ", ".join(notes)


def database_table(name: str) -> str:
    return table(("column", "type", "notes"), schema()[name])


PARTS: dict[str, Callable[..., str]] = {
    "cli": cli,
    "types": types,
    "common-options": common_options,
    "capabilities": capabilities,
    "settings": settings,
    "error-tree": error_tree,
    "errors": error_list,
    "failures": failures,
    "numbers": numbers,
    "python": python_names,
    "python-errors": python_errors,
    "call-options": call_options,
    "admin": admin_nouns,
    "results": results,
    "plugin": plugin_names,
    "testing": testing_names,
    "rules": testing_rules,
    "faults": testing_faults,
    "table": database_table,
}


def renewed(text: str) -> str:
    """A document with its marked parts as they should be."""

    def part(match: re.Match[str]) -> str:
        name, *arguments = match[2].split()
        return f"{match[1]}{PARTS[name](*arguments)}\n{match[3]}"

    return _MARKED.sub(part, text)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; say what is stale")
    check = parser.parse_args().check
    stale = []
    for document in DOCUMENTS:
        before = document.read_text(encoding="utf-8")
        after = renewed(before)
        if after != before:
            stale.append(document.relative_to(ROOT).as_posix())
            if not check:
                document.write_text(after, encoding="utf-8", newline="\n")
    for name in stale:
        print(f"{name} {'is stale: run make docs' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
