"""`prouter provider add`: a new provider, option by option."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any

import click

from provider_router.cli.answers import ask_option, given_options
from provider_router.cli.check import check_all, record_of, verdict
from provider_router.cli.terminal import Terminal, json_option
from provider_router.cli.values import ASSIGNMENT

if TYPE_CHECKING:
    from provider_router.configuration.admin import Admin
    from provider_router.providers.config import Config
    from provider_router.store import ProviderRecord


@click.command()
@click.option("--id", help="How it is called everywhere, such as lm-studio-home.")
@click.option("--name", help="For people. Default: the id.")
@click.option("--type", help="Its provider type; prouter types lists them.")
@click.option("--priority", type=int, default=0, help="The highest is asked first. Default: 0.")
@click.option("--enabled/--disabled", default=True, help="Whether it is asked. Default: enabled.")
@click.option("--description", help="For people.")
@click.option(
    "--config", "pairs", type=ASSIGNMENT, multiple=True, help="An option; may be repeated. See prouter types."
)
@click.option("--stdin", "hidden", metavar="KEY", help="Read this option from standard input, unseen on a terminal.")
@click.option("--check/--no-check", "checks", default=True, help="Ask it afterwards whether it answers. Default: yes.")
@json_option
@click.pass_obj
def add(
    terminal: Terminal,
    *,
    id: str | None,
    name: str | None,
    type: str | None,
    priority: int,
    enabled: bool,
    description: str | None,
    pairs: tuple[tuple[str, str], ...],
    hidden: str | None,
    checks: bool,
) -> None:
    """Add a provider. On a terminal it asks for what is missing; prouter add finds most of it itself.

    \b
    prouter provider add --id desk --type lm-studio --config baseURL=http://localhost:1234/v1
    prouter provider add --id hosted --type openai-compatible --config apiKey=env:MY_KEY \\
        --config baseURL=https://api.example.com/v1
    """  # noqa: D301 - \b is click's: do not wrap
    missing = [option for option, value in (("--id", id), ("--type", type)) if value is None]
    if missing and not terminal.interactive:
        hint = "; `prouter types` lists the types" if type is None else ""
        raise click.UsageError(f"{' and '.join(missing)} missing{hint}")
    with terminal.admin() as admin:
        chosen = type or _ask_type(terminal, admin)
        declared = admin.plugins.get(chosen).Config
        called = id or ask_id(terminal, chosen, admin.providers)
        config = given_options(terminal, declared, pairs, hidden)
        if terminal.interactive:
            _ask_required(terminal, declared, config)
        record = admin.providers.add(
            called,
            type=chosen,
            name=name,
            priority=priority,
            enabled=enabled,
            description=description,
            config=config,
        )
        shown = shown_provider(admin, record)
        cls = admin.plugins.get(chosen)
    checked = check_all(terminal, [called])[0] if checks and enabled else None
    said = verdict(checked, cls) if checked else ""
    shown["check"] = record_of(checked) if checked else None
    terminal.result(shown, f"added {called}" + (f": {said}" if checked and checked.ok else ""))
    if checked and not checked.ok and not terminal.json:
        terminal.note(f"It is saved, but the check failed: {said}\nAfterwards: prouter test {called}")


def shown_provider(admin: Admin, record: ProviderRecord) -> dict[str, Any]:
    """A provider with its options; secrets are masked."""
    return {
        "id": record.id,
        "name": record.name,
        "type": record.type,
        "enabled": record.enabled,
        "priority": record.priority,
        "description": record.description,
        "active": admin.settings.active == record.id,
        "config": admin.providers.config(record.id).all(),
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }


def ask_id(terminal: Terminal, suggestion: str, taken: Container[str]) -> str:
    """An id that is free and well formed."""
    from provider_router.configuration.names import provider_id_problems

    def parse(answer: str) -> str:
        for problem in provider_id_problems(answer):
            raise ValueError(problem)
        if answer in taken:
            raise ValueError(f"there is a provider {answer} already")
        return answer

    free = next(name for name in (suggestion, *(f"{suggestion}-{n}" for n in range(2, 1000))) if name not in taken)
    return terminal.ask("id, how it is called everywhere", default=free, parse=parse)


def _ask_type(terminal: Terminal, admin: Admin) -> str:
    from provider_router.errors import UnknownProviderType

    types = admin.plugins.types
    if not types:
        raise UnknownProviderType("no provider type is installed: pip install 'provider-router[all]' brings some")
    terminal.note("Which provider type?")
    names = sorted(types, key=lambda name: (types[name].generic, name))
    return terminal.choose("type", [(name, types[name].label) for name in names], default=names[0])


def _ask_required(terminal: Terminal, declared: type[Config], config: dict[str, object]) -> None:
    from provider_router.providers.config import describe_config

    for info in describe_config(declared):
        if info.required and not {info.name, info.field} & set(config):
            config[info.name] = ask_option(terminal, declared, info, info.example)
