"""`prouter status`, and `prouter` alone: where you stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from provider_router.cli.check import check_all, record_of, verdict
from provider_router.cli.terminal import Terminal, json_option, table

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.option("--check/--no-check", default=True, help="Ask each enabled provider whether it answers. Default: yes.")
@json_option
@click.pass_obj
def status(terminal: Terminal, *, check: bool) -> None:
    """Show the providers in their order, and whether each one answers."""
    from provider_router import home
    from provider_router.providers.plugins import Plugins
    from provider_router.routing.sync import Router

    path = home.database_path(terminal.database)
    with Router(path) as router:
        providers = router.health()
    usable = [
        provider.provider for provider in providers if provider.state not in ("disabled", "no-secret", "unusable")
    ]
    checked = {result.provider: result for result in check_all(terminal, usable)} if check and usable else {}
    types = Plugins.load().types if checked else {}
    value = {
        "database": path,
        "active": next((provider.provider for provider in providers if provider.active), None),
        "providers": [
            {
                "provider": provider.provider,
                "type": provider.type,
                "priority": provider.priority,
                "active": provider.active,
                "state": provider.state,
                "reason": provider.reason,
                "check": record_of(checked[provider.provider]) if provider.provider in checked else None,
            }
            for provider in providers
        ],
    }
    cells = [
        [
            f"{provider.provider}{' (active)' if provider.active else ''}",
            provider.type,
            provider.priority,
            verdict(checked[provider.provider], types.get(provider.type))
            if provider.provider in checked
            else ", ".join(part for part in (provider.state, provider.reason) if part),
        ]
        for provider in providers
    ]
    listed = "\n\n" + table(cells, ("provider", "type", "priority", "state")) if cells else ""
    terminal.result(value, f"Database: {_place(path)}{listed}")
    if not providers:
        terminal.note("No provider is configured yet: run `prouter add`.")


def _place(path: Path) -> str:
    return str(path) if path.exists() else f"{path} (does not exist yet)"


def where_you_stand(terminal: Terminal) -> None:
    """The database, the providers, and what to do next."""
    from provider_router import home
    from provider_router.routing.sync import Router

    path = home.database_path(terminal.database)
    with Router(path) as router:
        providers = router.health()
    active = next((provider.provider for provider in providers if provider.active), None)
    names = [
        f"{provider.provider}{'' if provider.state == 'ready' else f' ({provider.state})'}" for provider in providers
    ]
    if providers:
        steps = [('prouter chat "Hello"', "ask"), ("prouter status", "see whether they answer")]
        steps += [("prouter plan", "see who would be asked, and why"), ("prouter add", "add another provider")]
    else:
        steps = [
            ("prouter add", "look for backends on this machine"),
            ("prouter add http://HOST:PORT", "or add one that runs elsewhere"),
            ("prouter demo", "or watch what this does, with nothing of your own"),
        ]
    steps.append(("prouter --help", "see every command"))
    lines = [
        f"Database:  {_place(path)}",
        f"Providers: {', '.join(names) or 'none yet'}",
        *([f"Active:    {active}"] if active else []),
        "",
        "Next:",
        *(f"  {command:30}{what}" for command, what in steps),
    ]
    terminal.result(
        {
            "database": path,
            "providers": [provider.provider for provider in providers],
            "active": active,
            "next": [command for command, _ in steps],
        },
        "\n".join(lines),
    )
