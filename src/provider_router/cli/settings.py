"""`prouter settings`: values of the whole router."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from provider_router.cli.terminal import Terminal, json_option, table

if TYPE_CHECKING:
    from provider_router.configuration.settings import Setting

_NOT_USED: Final = "not used yet by this version"


@click.group()
def settings() -> None:
    """Settings: values of the whole router, and where each one comes from."""


@settings.command("list")
@click.option("--set", "only_set", is_flag=True, help="Only those that are not at their default.")
@json_option
@click.pass_obj
def list_settings(terminal: Terminal, *, only_set: bool) -> None:
    """Show every setting with its value in force."""
    with terminal.admin() as admin:
        found = [setting for setting in admin.settings.list() if not only_set or setting.source != "default"]
    cells = [[setting.key, _text(setting.key, setting.value), setting.source, _meaning(setting)] for setting in found]
    if found or terminal.json:
        terminal.result(found, table(cells, ("setting", "value", "from", "meaning")))
    else:
        terminal.note("Every setting is at its default.")


@settings.command()
@click.argument("key")
@json_option
@click.pass_obj
def get(terminal: Terminal, *, key: str) -> None:
    """Show one setting's value in force."""
    with terminal.admin() as admin:
        value = admin.settings.get(key)
    terminal.result(value, _text(key, value))


@settings.command("set")
@click.argument("key")
@click.argument("value")
@json_option
@click.pass_obj
def set_setting(terminal: Terminal, *, key: str, value: str) -> None:
    """Set one. Durations have a unit: 30s, 500ms, 2m."""
    with terminal.admin() as admin:
        setting = admin.settings.set(key, value)
    terminal.result(setting, f"{key}: {_text(key, setting.kept)}")
    if setting.source == "environment":
        terminal.note(f"The environment goes first: {setting.variable} makes it {_text(setting.key, setting.value)}.")
    if not setting.used:
        terminal.note(f"It is kept, but {key} is {_NOT_USED}.")


@settings.command()
@click.argument("key")
@json_option
@click.pass_obj
def unset(terminal: Terminal, *, key: str) -> None:
    """Take one back to its default."""
    with terminal.admin() as admin:
        setting = admin.settings.unset(key)
    terminal.result(setting, f"{key}: {_text(setting.key, setting.value)} (from {_whence(setting)})")


@settings.command()
@click.argument("key")
@json_option
@click.pass_obj
def explain(terminal: Terminal, *, key: str) -> None:
    """Show what one means, its value in force, and where that comes from."""
    with terminal.admin() as admin:
        setting = admin.settings.explain(key)
    lines = [
        f"{setting.key}: {_meaning(setting)}",
        f"  in force     {_text(setting.key, setting.value)} (from {_whence(setting)})",
        f"  setting      {'not set' if setting.kept is None else _text(setting.key, setting.kept)}",
        f"  default      {_text(setting.key, setting.default)}",
    ]
    if setting.variable:
        lines.append(f"  environment  {setting.variable}")
    terminal.result(setting, "\n".join(lines))


def _meaning(setting: Setting) -> str:
    return setting.help if setting.used else f"{setting.help} ({_NOT_USED})"


def _whence(setting: Setting) -> str:
    return {"environment": f"the environment, {setting.variable}", "setting": "the setting", "default": "the default"}[
        setting.source
    ]


def _text(key: str, value: object) -> str:
    """A value as it could be typed."""
    import json

    from provider_router.limits import ROUTING

    option = ROUTING.get(key.removeprefix("routing."))
    if value is None or value in ([], ""):
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, int) and (key == "server.timeout" or (option and option.duration)):
        return f"{value / 1000:g}s"
    return ",".join(map(str, value)) if isinstance(value, list) else json.dumps(value)
