"""`prouter plugin`: what is installed and what failed, whether one keeps the contract, and a new one."""

from __future__ import annotations

from pathlib import Path

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


@plugin.command()
@click.argument("name", metavar="PACKAGE_OR_TYPE")
@json_option
@click.pass_obj
def check(terminal: Terminal, *, name: str) -> int:
    """Look whether an installed type keeps the contract, as far as that shows without a backend."""
    from provider_router.plugin_check import check_plugin
    from provider_router.providers.plugins import Plugins

    plugins = Plugins.load()
    findings = check_plugin(name, plugins)
    states = {True: "ok", False: "broken", None: "advice"}
    terminal.result(
        findings, table([[one.subject, states[one.ok], one.what] for one in findings], ("of", "state", "what was seen"))
    )
    broken = [one for one in findings if one.ok is False]
    if not terminal.json:
        terminal.note(_HOW_TO_TEST)
    return 1 if broken else 0


_HOW_TO_TEST = """
What a backend has to do with it, the conformance suite tests, on asyncio and trio:
  pip install 'provider-router[testing]'
  a test class that inherits from provider_router.testing.ProviderSuite, with the fixtures `fake` and `make`
`prouter plugin new NAME` writes a package that has one."""


@plugin.command()
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to. Default: provider-router-NAME, here.")
@json_option
@click.pass_obj
def new(terminal: Terminal, *, name: str, folder: Path | None) -> None:
    """Write a package for a provider type called NAME, with tests that pass."""
    from provider_router.plugin_template import write_plugin

    written = write_plugin(name, folder)
    lines = [f"{written.folder}:", *(f"  {file}" for file in written.files)]
    terminal.result(written, "\n".join(lines))
    if not terminal.json:
        install = f"pip install -e '{written.folder}[test]'"
        terminal.note(f"Next: {install}, then pytest in there, and prouter plugin check {written.type}")
