"""`prouter set`: the provider that is asked first."""

from __future__ import annotations

import click

from provider_router.cli.terminal import Terminal, json_option


@click.command("set")
@click.argument("provider", required=False)
@click.option("--none", is_flag=True, help="No provider goes before the others; priorities alone decide.")
@json_option
@click.pass_obj
def set_active(terminal: Terminal, *, provider: str | None, none: bool) -> None:
    """Choose the active provider: it is asked first, whatever the priorities say."""
    if none == (provider is not None):
        raise click.UsageError("name a provider, or say --none")
    with terminal.admin() as admin:
        admin.settings.set_active(provider)
        enabled = provider is None or admin.providers.get(provider).enabled
    terminal.result({"active": provider}, f"active: {provider}" if provider else "no provider is active")
    if not enabled:
        terminal.note(f"{provider} is disabled, so it is not asked: prouter provider enable {provider}")
