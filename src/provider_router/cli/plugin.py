"""`prouter plugin`: what is installed, and what failed."""

from __future__ import annotations

import click

from provider_router.cli.terminal import Terminal, json_option, table


@click.group()
def plugin() -> None:
    """Plugins: the packages that bring provider types."""


@plugin.command("list")
@json_option
@click.pass_obj
def list_plugins(terminal: Terminal) -> None:
    """Show the installed plugins, their types, and why one could not be loaded."""
    from provider_router.providers.plugins import Plugins

    plugins = Plugins.load().plugins
    cells = [
        [info.name, info.version, ", ".join(info.types), f"{info.seconds * 1000:.0f} ms", info.problem or "ok"]
        for info in plugins
    ]
    found = [
        {
            "name": info.name,
            "version": info.version,
            "types": info.types,
            "duration": round(info.seconds, 6),
            "problem": info.problem,
        }
        for info in plugins
    ]
    terminal.result(found, table(cells, ("plugin", "version", "types", "loaded in", "state")))
    if not plugins:
        terminal.note("No plugin is installed: pip install 'provider-router[all]' brings those of this project.")
