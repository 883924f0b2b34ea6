"""`prouter types`: the provider types there are, and their options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from provider_router.cli.terminal import Terminal, json_option, table

if TYPE_CHECKING:
    from provider_router.providers.config import OptionInfo
    from provider_router.providers.provider import Provider


@click.command()
@click.argument("type", required=False)
@json_option
@click.pass_obj
def types(terminal: Terminal, *, type: str | None) -> None:
    """Show the provider types that are installed, or the options of one TYPE."""
    from provider_router.providers.config import Config, describe_config
    from provider_router.providers.plugins import Plugins

    plugins = Plugins.load()
    if type is None:
        found = [plugins.types[name] for name in sorted(plugins.types)]
        cells = [
            [
                cls.type,
                cls.label,
                ", ".join(info.name for info in describe_config(cls.Config) if info.required),
                " ".join(sorted(cls.capabilities)),
            ]
            for cls in found
        ]
        text = table(cells, ("type", "for", "required options", "capabilities"))
        terminal.result([_type(cls) for cls in found], text)
        if not found:
            terminal.note("No provider type is installed: pip install 'provider-router[all]' brings some.")
        return
    cls = plugins.get(type)
    options = describe_config(cls.Config)
    common = {info.name for info in describe_config(Config)}
    parts = [
        f"{cls.type}: {cls.label}",
        f"Can do: {' '.join(sorted(cls.capabilities))}",
        _options([info for info in options if info.name not in common]),
        "Options of every type:",
        _options([info for info in options if info.name in common]),
    ]
    terminal.result(_type(cls), "\n\n".join(parts))


# In which unit a bare number of this kind is meant.
_UNITS = {"duration": "ms", "moment": "ms since 1970"}


def _type(cls: type[Provider]) -> dict[str, Any]:
    from provider_router.providers.config import describe_config

    return {
        "type": cls.type,
        "label": cls.label,
        "capabilities": cls.capabilities,
        "default_urls": cls.default_urls,
        "options": [
            {
                "name": info.name,
                "kind": info.kind,
                "unit": _UNITS.get(info.kind) or ("bytes" if info.name.endswith("Bytes") else None),
                "required": info.required,
                "default": _default(info),
                "sensitive": info.sensitive,
                "help": info.help,
                "example": info.example,
                "env": info.env,
                "choices": info.choices,
            }
            for info in describe_config(cls.Config)
        ],
    }


def _default(info: OptionInfo) -> object:
    """As people would write it: durations with their unit."""
    if info.default in (None, {}, (), ""):
        return None
    return f"{info.default:g}s" if info.kind == "duration" else info.default


def _options(infos: list[OptionInfo]) -> str:
    cells = []
    for info in infos:
        default = _default(info)
        shown = "required" if info.required else "" if default is None else str(default).lower()
        example = f", such as {info.example}" if info.example else ""
        example += f" (formerly {info.env})" if info.env else ""
        cells.append([info.name, "secret" if info.sensitive else info.kind, shown, info.help + example])
    return table(cells, ("option", "kind", "default", "meaning"))
