"""`prouter status`, and `prouter` alone: where you stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from provider_router.cli.check import check_all, record_of, verdict
from provider_router.cli.terminal import Terminal, json_option, table

if TYPE_CHECKING:
    from pathlib import Path

    from provider_router.routing.report import ModelHealth, ProviderHealth


@click.command()
@click.option("--check/--no-check", default=True, help="Ask each enabled provider whether it answers. Default: yes.")
@json_option
@click.pass_obj
def status(terminal: Terminal, *, check: bool) -> None:
    """Show the providers in their order, and whether each one answers."""
    from provider_router import home
    from provider_router.history import History
    from provider_router.providers.plugins import Plugins
    from provider_router.routing.sync import Router

    path, declared = home.database_path(terminal.database), home.declared_path(terminal.database)
    with Router(terminal.database) as router:
        providers = router.health()
    usable = [
        provider.provider for provider in providers if provider.state not in ("disabled", "no-secret", "unusable")
    ]
    checked = {result.provider: result for result in check_all(terminal, usable)} if check and usable else {}
    types = Plugins.load().types if checked else {}
    with History(path) as history:
        recorded = history.state()
    value = {
        "database": None if declared else path,
        "declared": declared,
        "active": next((provider.provider for provider in providers if provider.active), None),
        "providers": [
            {
                "provider": provider.provider,
                "type": provider.type,
                "priority": provider.priority,
                "active": provider.active,
                "state": provider.state,
                "reason": provider.reason,
                "until": provider.until,
                "models": provider.models,
                "stale": provider.stale,
                "check": record_of(checked[provider.provider]) if provider.provider in checked else None,
            }
            for provider in providers
        ],
        "history": recorded,
    }
    cells = [
        [
            f"{provider.provider}{' (active)' if provider.active else ''}",
            provider.type,
            provider.priority,
            _told(provider, verdict(result, types.get(provider.type)) if result else ""),
        ]
        for provider in providers
        for result in [checked.get(provider.provider)]
    ]
    listed = "\n\n" + table(cells, ("provider", "type", "priority", "state")) if cells else ""
    terminal.result(value, f"{_place(path, declared)}{listed}")
    if not providers:
        terminal.note("No provider is configured yet: run `prouter add`.")
    if recorded.lost:
        terminal.note(f"{recorded.lost:,} requests of the last 24 hours could not be recorded (prouter stats).")
    if recorded.trouble:
        terminal.note(f"Nothing can be recorded now: {recorded.trouble}")


def _told(provider: ProviderHealth, verdict: str) -> str:
    """What its check said, if it was asked, how it stood before that, and its models that are not well."""
    told = [verdict] if verdict else []
    if not verdict or provider.state != "ready":
        told.append(_standing(provider))
    return "; ".join([*told, *(f"{model.model}: {_standing(model)}" for model in provider.models)])


def _standing(health: ProviderHealth | ModelHealth) -> str:
    until = f"until {health.until.astimezone():%H:%M:%S}" if health.until else ""
    return ", ".join(part for part in (health.state, health.reason, until) if part)


def _place(path: Path, declared: Path | None) -> str:
    if declared:
        return f"Declared:  {declared} (PROUTER_CONFIG)"
    return f"Database:  {path}" if path.exists() else f"Database:  {path} (does not exist yet)"


def where_you_stand(terminal: Terminal) -> None:
    """The database, the providers, and what to do next."""
    from provider_router import home
    from provider_router.routing.sync import Router

    path, declared = home.database_path(terminal.database), home.declared_path(terminal.database)
    with Router(terminal.database) as router:
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
        _place(path, declared),
        f"Providers: {', '.join(names) or 'none yet'}",
        *([f"Active:    {active}"] if active else []),
        "",
        "Next:",
        *(f"  {command:30}{what}" for command, what in steps),
    ]
    terminal.result(
        {
            "database": None if declared else path,
            "declared": declared,
            "providers": [provider.provider for provider in providers],
            "active": active,
            "next": [command for command, _ in steps],
        },
        "\n".join(lines),
    )
