"""`prouter add`: find a backend, and take it in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from provider_router.cli.answers import ask_option, given_options
from provider_router.cli.check import check_all, record_of, verdict
from provider_router.cli.provider_add import ask_id, shown_provider
from provider_router.cli.terminal import Terminal, json_option
from provider_router.cli.values import ASSIGNMENT

if TYPE_CHECKING:
    from provider_router.configuration.admin import Admin
    from provider_router.discover import Found

_SHOWN_MODELS = 8


@click.command()
@click.argument("url", required=False)
@click.option("--id", help="How it is called everywhere. Default: after its type and host.")
@click.option("--name", help="For people. Default: the id.")
@click.option("--priority", type=int, default=0, help="The highest is asked first. Default: 0.")
@click.option("--config", "pairs", type=ASSIGNMENT, multiple=True, help="A further option, such as apiKey=env:MY_KEY.")
@click.option("--stdin", "hidden", metavar="KEY", help="Read this option from standard input, unseen on a terminal.")
@click.option("--link/--no-link", default=None, help="Link its models: then only those are asked of it. Default: ask.")
@click.option(
    "-y", "--yes", is_flag=True, help="Ask nothing: add everything that is found and new, under suggested ids."
)
@json_option
@click.pass_obj
def add(
    terminal: Terminal,
    *,
    url: str | None,
    id: str | None,
    name: str | None,
    priority: int,
    pairs: tuple[tuple[str, str], ...],
    hidden: str | None,
    link: bool | None,
    yes: bool,
) -> None:
    """Find out what runs at URL, or on this machine, and add it as a provider.

    \b
    prouter add                                   looks at the usual ports of this machine
    prouter add 192.168.0.22:1234                 asks what runs there
    prouter add https://api.example.com/v1 --config apiKey=env:MY_KEY
    """  # noqa: D301 - \b is click's: do not wrap
    asks = terminal.interactive and not yes
    with terminal.admin() as admin:
        found = _at(admin, url, again=id is not None) if url else _around(terminal, admin)
        if not url and asks and len(found) > 1:
            terminal.note("Which one?")
            wanted = terminal.choose("backend", [(one.address, one.label) for one in found], default=found[0].address)
            found = [one for one in found if one.address == wanted]
        if not url and not asks and not yes:
            raise click.UsageError(
                f"found {', '.join(one.address for one in found)}: say --yes to add, or name one: prouter add URL"
            )
        if len(found) > 1 and (id or name or pairs or hidden):
            raise click.UsageError("several backends are found: name the URL of the one that the options are for")
        added = []
        for one in found:
            config = {**one.config, **given_options(terminal, admin.plugins.get(one.type).Config, pairs, hidden)}
            added.append(
                _take_in(terminal, admin, one, id=id, name=name, priority=priority, config=config, link=link, asks=asks)
            )
    if terminal.json:
        terminal.result(added, "")


def _at(admin: Admin, url: str, *, again: bool) -> list[Found]:
    """What runs at an address; `again` even if it is configured already."""
    import anyio

    from provider_router.discover import recognise
    from provider_router.errors import AlreadyExists, ConfigError

    found = anyio.run(recognise, url, admin.plugins)
    if found is None:
        address = url if "://" in url else f"http://{url}"
        raise ConfigError(
            f"Nothing that an installed provider type knows answers at {address}. If it will run there later: "
            f"`prouter provider add --type TYPE --id ID --config baseURL={address}`; `prouter types` lists the types."
        )
    there = _known(admin).get(found.address)
    if there and not again:
        raise AlreadyExists(
            f"{found.label} at {found.address} is there already: {there}. To change it: prouter provider edit {there}; "
            "to add it a second time, name it with --id."
        )
    return [found]


def _known(admin: Admin) -> dict[object, str]:
    """The providers by their addresses."""
    return {admin.providers.config(record.id).get("baseURL"): record.id for record in admin.providers.list()}


def _around(terminal: Terminal, admin: Admin) -> list[Found]:
    """What runs on this machine and is not configured yet."""
    import anyio

    from provider_router.discover import look_around, usual_addresses
    from provider_router.errors import ConfigError

    known = _known(admin)
    found = anyio.run(look_around, admin.plugins)
    for one in found:
        if one.address in known:
            terminal.note(f"{one.label} at {one.address} is there already: {known[one.address]}")
    new = [one for one in found if one.address not in known]
    if not new:
        looked = ", ".join(usual_addresses(admin.plugins))
        raise ConfigError(
            f"Nothing {'else ' if found else ''}runs at the usual addresses of this machine ({looked}). Start a "
            "backend, or name one: prouter add http://HOST:PORT"
        )
    return new


def _take_in(
    terminal: Terminal,
    admin: Admin,
    found: Found,
    *,
    id: str | None,
    name: str | None,
    priority: int,
    config: dict[str, object],
    link: bool | None,
    asks: bool,
) -> dict[str, Any]:
    """Add one backend, with what is asked and answered on the way."""
    terminal.note(f"{found.label} at {found.address}: {_models_text(found)}")
    if asks and found.wants_key:
        _ask_key(terminal, admin, found, config)
    called = id or found.suggested_id(admin.providers)
    if asks and id is None:
        called = ask_id(terminal, called, admin.providers)
    record = admin.providers.add(called, type=found.type, name=name, priority=priority, config=config)
    checked = check_all(terminal, [called])[0]
    said = verdict(checked, admin.plugins.types[found.type])
    if not terminal.json:
        terminal.result(None, f"added {called}" + (f": {said}" if checked.ok else ""))
        if not checked.ok:
            terminal.note(f"It is saved, but the check failed: {said}")
            terminal.note(f"Then: prouter test {called}")
    models = [model.id for model in found.models if model.chat]
    if link is None and asks and models:
        many = f"these {len(models)} models" if len(models) > 1 else models[0]
        link = terminal.confirm(f"Link {many}, so that nothing else is asked of {called}?", default=False)
    linked = models if link else []
    with admin.atomic():
        for model in linked:
            admin.links.link(called, model, create=True)
    if not terminal.json:
        if linked:
            terminal.result(None, f"linked {', '.join(linked)}")
        if checked.ok:
            terminal.note('Next: prouter chat "Hello"')
    return shown_provider(admin, record) | {
        "models": [model.id for model in found.models],
        "linked": linked,
        "check": record_of(checked),
    }


def _ask_key(terminal: Terminal, admin: Admin, found: Found, config: dict[str, object]) -> None:
    """Ask for the first secret that the type takes, unless it was given."""
    from provider_router.providers.config import describe_config

    declared = admin.plugins.types[found.type].Config
    for info in describe_config(declared):
        if info.sensitive and info.kind == "text":
            if not {info.name, info.field} & set(config):
                config[info.name] = ask_option(terminal, declared, info, None, later=True)
            return


def _models_text(found: Found) -> str:
    names = [model.id for model in found.models]
    if found.wants_key:
        return "it wants a key"
    if not names:
        return "it lists no model"
    more = f" and {len(names) - _SHOWN_MODELS} more" if len(names) > _SHOWN_MODELS else ""
    return f"{', '.join(names[:_SHOWN_MODELS])}{more}"
