"""`prouter provider`: what is configured to answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from provider_router.cli.answers import ask_option, given_options, option_of
from provider_router.cli.check import check, check_all, record_of, verdict
from provider_router.cli.provider_add import add, shown_provider
from provider_router.cli.terminal import Terminal, json_option, table
from provider_router.cli.values import ASSIGNMENT

if TYPE_CHECKING:
    from provider_router.configuration.admin import Admin
    from provider_router.configuration.options import Options
    from provider_router.store import ProviderRecord


@click.group()
def provider() -> None:
    """Providers: what is configured to answer."""


provider.add_command(add)
provider.add_command(check)


@provider.command("list")
@click.option("--type", help="Only those of this type.")
@click.option("--enabled/--disabled", default=None, help="Only those that are asked, or that are not.")
@json_option
@click.pass_obj
def list_providers(terminal: Terminal, *, type: str | None, enabled: bool | None) -> None:
    """Show the providers, the highest priority first."""
    with terminal.admin() as admin:
        active = admin.settings.active
        found = [shown_provider(admin, record) for record in admin.providers.list(type=type, enabled=enabled)]
    cells = [
        [
            record["id"] + (" (active)" if record["id"] == active else ""),
            record["name"],
            record["type"],
            record["priority"],
            "enabled" if record["enabled"] else "disabled",
            record["config"].get("baseURL", ""),
        ]
        for record in found
    ]
    headers = ("provider", "name", "type", "priority", "state", "address")
    if found or terminal.json:
        terminal.result(found, table(cells, headers))
    elif type is None and enabled is None:
        terminal.note("No provider is configured yet: run `prouter add`.")
    else:
        terminal.note("There is no such provider.")


@provider.command()
@click.argument("id")
@json_option
@click.pass_obj
def show(terminal: Terminal, *, id: str) -> None:
    """Show one provider: its options, with secrets masked, and its models."""
    with terminal.admin() as admin:
        record = shown_provider(admin, admin.providers.get(id))
        texts = _texts(admin, id)
        links = admin.links.models_for(id)
    record["models"] = [link.model_id for link in links]
    lines = [
        f"{record['id']}{' (active)' if record['active'] else ''}: {record['name']}",
        f"  type         {record['type']}",
        f"  priority     {record['priority']}",
        f"  state        {'enabled' if record['enabled'] else 'disabled'}",
        *([f"  description  {record['description']}"] if record["description"] else []),
        *(f"  {key:12} {text}" for key, text in texts.items()),
        "  models       " + (", ".join(_link_text(link) for link in links) or "any (none is linked)"),
    ]
    terminal.result(record, "\n".join(lines))


@provider.command()
@click.argument("id")
@click.option("--name", help="For people.")
@click.option("--priority", type=int, help="The highest is asked first.")
@click.option("--enabled/--disabled", default=None, help="Whether it is asked.")
@click.option("--description", help="For people. An empty one removes it.")
@click.option(
    "--config", "pairs", type=ASSIGNMENT, multiple=True, help="An option; may be repeated. See prouter types."
)
@click.option("--unset", multiple=True, metavar="KEY", help="Remove an option; may be repeated.")
@click.option("--stdin", "hidden", metavar="KEY", help="Read this option from standard input, unseen on a terminal.")
@click.option("--check/--no-check", "checks", default=True, help="Ask it afterwards whether it answers. Default: yes.")
@json_option
@click.pass_obj
def edit(
    terminal: Terminal,
    *,
    id: str,
    name: str | None,
    priority: int | None,
    enabled: bool | None,
    description: str | None,
    pairs: tuple[tuple[str, str], ...],
    unset: tuple[str, ...],
    hidden: str | None,
    checks: bool,
) -> None:
    """Change what is given and leave the rest. Without any option it asks, on a terminal."""
    fields: dict[str, Any] = {"name": name, "priority": priority, "enabled": enabled}
    given = {field: value for field, value in fields.items() if value is not None}
    if description is not None:
        given["description"] = description or None
    with terminal.admin() as admin:
        record = admin.providers.get(id)
        options = admin.providers.config(id)
        before = options.all()
        _refuse_unset(options, unset)
        config: dict[str, object] = {}
        if pairs or hidden or unset:
            config = given_options(terminal, admin.plugins.get(record.type).Config, pairs, hidden, unset=unset)
        if not given and not config:
            if not terminal.interactive:
                raise click.UsageError("nothing to change: give at least one option, such as --priority 5")
            given, config = _asked(terminal, admin, record)
        edited = admin.providers.edit(id, **given, config=config)
        shown = shown_provider(admin, admin.providers.get(id))
        cls = admin.plugins.types.get(record.type)
    checked = check_all(terminal, [id])[0] if config and checks and edited.enabled else None
    shown["check"] = record_of(checked) if checked else None
    terminal.result(shown, f"changed {id}" + (f": {verdict(checked, cls)}" if checked and checked.ok else ""))
    _tell_dropped(terminal, id, edited.dropped_secrets)
    _tell_replaced(terminal, before, shown["config"], (*unset, *edited.dropped_secrets))
    if checked and not checked.ok and not terminal.json:
        terminal.note(f"It is saved, but the check failed: {verdict(checked, cls)}")


def _asked(terminal: Terminal, admin: Admin, record: ProviderRecord) -> tuple[dict[str, Any], dict[str, object]]:
    """The name, the priority, and the options that are required or set, each with its value as the default."""
    from provider_router.providers.config import describe_config

    terminal.note("Enter leaves a value as it is.")
    given = {
        "name": terminal.ask("name", default=record.name, parse=str),
        "priority": terminal.ask("priority, the highest is asked first", default=str(record.priority), parse=int),
    }
    declared = admin.plugins.get(record.type).Config
    shown = _texts(admin, record.id)
    values: dict[str, object] = {}
    for info in describe_config(declared):
        if not info.sensitive and (info.required or info.name in shown):
            values[info.name] = ask_option(terminal, declared, info, shown.get(info.name, info.example))
    return given, values


@provider.command()
@click.argument("id")
@click.option("-y", "--yes", is_flag=True, help="Do not ask whether it is meant.")
@click.option("--force", is_flag=True, help="Do not ask, and remove even the active provider; then none is active.")
@json_option
@click.pass_obj
def remove(terminal: Terminal, *, id: str, yes: bool, force: bool) -> None:
    """Remove a provider with its options, links and secrets."""
    with terminal.admin() as admin:
        record = admin.providers.get(id)
        if not (yes or force):
            if not terminal.interactive:
                raise click.UsageError("say --yes to remove it: nobody is there to be asked")
            if not terminal.confirm(f"Remove {id} ({record.name}) with its options, links and secrets?", default=False):
                terminal.note("Nothing was removed.")
                return
        admin.providers.remove(id, force=force)
    terminal.result({"removed": id}, f"removed {id}")


@provider.command()
@click.argument("id")
@json_option
@click.pass_obj
def enable(terminal: Terminal, *, id: str) -> None:
    """Let it be asked, and forget what is held against it."""
    with terminal.admin() as admin:
        admin.providers.enable(id)
        shown = shown_provider(admin, admin.providers.get(id))
    terminal.result(shown, f"enabled {id}")


@provider.command()
@click.argument("id")
@json_option
@click.pass_obj
def disable(terminal: Terminal, *, id: str) -> None:
    """Let it be asked no more. Calls in flight end in peace."""
    with terminal.admin() as admin:
        admin.providers.disable(id)
        shown = shown_provider(admin, admin.providers.get(id))
    terminal.result(shown, f"disabled {id}")


@provider.command()
@click.argument("id")
@json_option
@click.pass_obj
def reload(terminal: Terminal, *, id: str) -> None:
    """Let every running process connect anew at its next request, with the secrets read again."""
    from provider_router.errors import ConfigError

    with terminal.admin() as admin:
        if not admin.providers.get(id).enabled:
            raise ConfigError(f"{id} is disabled, so nobody is connected to it: prouter provider enable {id}")
        admin.providers.enable(id)  # a change that changes nothing: each process makes the provider anew
    terminal.result({"reloaded": id}, f"{id} is made anew by every process at its next request")


@provider.command()
@click.argument("id")
@click.argument("key", required=False)
@click.argument("value", required=False)
@click.option("--unset", multiple=True, metavar="KEY", help="Remove an option; may be repeated.")
@click.option("--stdin", "hidden", is_flag=True, help="Read the value from standard input, unseen on a terminal.")
@json_option
@click.pass_obj
def config(
    terminal: Terminal, *, id: str, key: str | None, value: str | None, unset: tuple[str, ...], hidden: bool
) -> None:
    """Show or change the options of a provider. Secrets are shown masked.

    \b
    prouter provider config desk                     all that are set
    prouter provider config desk timeout             one
    prouter provider config desk timeout 30s         set it
    prouter provider config desk apiKey env:MY_KEY   a secret that stays where it is
    prouter provider config desk apiKey --stdin      a secret, unseen
    prouter provider config desk headers.X-Key 1     one of the headers; the others stay
    prouter provider config desk --unset timeout     remove it
    """  # noqa: D301 - \b is click's: do not wrap
    if (unset and key) or (hidden and (key is None or value is not None)):
        raise click.UsageError("give one of KEY, KEY VALUE, KEY --stdin or --unset KEY")
    if key and "=" in key:
        raise click.UsageError(f"a blank, not a '=': prouter provider config {id} {key.partition('=')[0]} VALUE")
    with terminal.admin() as admin:
        options = admin.providers.config(id)
        before = options.all()
        dropped: tuple[str, ...] = ()
        if unset:
            _refuse_unset(options, unset)
            dropped = options.set_many(dict.fromkeys(unset)).dropped_secrets
        elif key and (value is not None or hidden):
            declared = admin.plugins.get(admin.providers.get(id).type).Config
            pairs = () if value is None else ((key, value),)
            given = given_options(terminal, declared, pairs, key if hidden else None)
            dropped = options.set_many(given).dropped_secrets
        shown, texts = options.all(), _texts(admin, id)
        wanted = options.get(key) if key else None
        unset_option = _unset_option(admin, id, key) if key and wanted is None else None
    if key and value is None and not hidden:
        if unset_option is not None:
            raise unset_option
        terminal.result(wanted, texts.get(key) or _text(wanted))
        return
    terminal.result(shown, "\n".join(f"{name:12} {text}" for name, text in texts.items()) or "no option is set")
    _tell_dropped(terminal, id, dropped)
    _tell_replaced(terminal, before, shown, (*unset, *dropped))


def _unset_option(admin: Admin, id: str, key: str) -> Exception:
    from provider_router.configuration.names import near_miss
    from provider_router.errors import ConfigError
    from provider_router.providers.config import describe_config

    cls = admin.plugins.types.get(admin.providers.get(id).type)
    if cls is not None and option_of(cls.Config, key.partition(".")[0]) is None:
        hint = near_miss(key, (info.name for info in describe_config(cls.Config)))
        return ConfigError(f"{cls.type} has no option {key!r}: {hint} `prouter types {cls.type}` shows all.")
    return ConfigError(f"{id} has no option {key!r} set; `prouter provider config {id}` shows those that are")


def _tell_dropped(terminal: Terminal, id: str, dropped: tuple[str, ...]) -> None:
    for key in dropped:
        terminal.note(
            f"{key} was dropped, because the address leads to another place now. Give it anew: "
            f"prouter provider config {id} {key} --stdin"
        )


def _refuse_unset(options: Options, names: Iterable[str]) -> None:
    for name in names:
        if name not in options:
            options.unset(name)  # tells what is wrong with the name


def _tell_replaced(
    terminal: Terminal, before: Mapping[str, object], after: Mapping[str, object], meant: Iterable[str]
) -> None:
    """Say what went because a mapping was given as a whole."""
    for key, value in before.items():
        now = after.get(key)
        if key in meant or not isinstance(value, Mapping) or not isinstance(now, Mapping):
            continue
        gone = [part for part in value if part not in now and f"{key}.{part}" not in meant]
        if gone:
            terminal.note(
                f"{key} was replaced as a whole, without {', '.join(gone)}; to set one and leave the others: "
                f"{key}.NAME=VALUE"
            )


def _texts(admin: Admin, id: str) -> dict[str, str]:
    """The options that are set, as they could be typed: secrets masked, durations with their unit."""
    cls = admin.plugins.types.get(admin.providers.get(id).type)
    texts = {}
    for key, value in admin.providers.config(id).all().items():
        info = option_of(cls.Config, key) if cls else None
        is_time = info is not None and info.kind == "duration"
        texts[key] = f"{value / 1000:g}s" if is_time and isinstance(value, int) else _text(value)
    return texts


def _text(value: object) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value)


def _link_text(link: Any) -> str:
    note = ", ".join(part for part in (link.remote_name, "default" if link.default else "") if part)
    return f"{link.model_id} ({note})" if note else str(link.model_id)
