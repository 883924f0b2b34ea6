"""`prouter model`: models, and who serves them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from provider_router.cli.model_sync import sync
from provider_router.cli.terminal import Terminal, json_option, table
from provider_router.cli.values import ASSIGNMENT, CAPABILITY, ZONE

if TYPE_CHECKING:
    from provider_router.store import LinkRecord, ModelRecord

_EMPTY = "An empty text removes it."


@click.group()
def model() -> None:
    """Models: what is asked for by name, and who serves it."""


model.add_command(sync)


@model.command("list")
@click.option(
    "--capability", type=CAPABILITY, metavar="NAME", help="Only those that say they can do this, such as tools."
)
@click.option("--provider", metavar="ID", help="Only those that this provider serves.")
@json_option
@click.pass_obj
def list_models(terminal: Terminal, *, capability: str | None, provider: str | None) -> None:
    """Show the models and their providers."""
    from provider_router.cli.jsonable import jsonable

    with terminal.admin() as admin:
        found = admin.models.list(capability=capability)
        if provider is not None:
            served = {link.model_id for link in admin.links.models_for(provider)}
            found = tuple(record for record in found if record.id in served)
        links = admin.links.list()
    serving = {record.id: [link for link in links if link.model_id == record.id] for record in found}
    cells = [
        [
            record.id,
            ", ".join(_link_text(link) for link in serving[record.id]),
            " ".join(record.capabilities or ()),
            _ways(record),
        ]
        for record in found
    ]
    rows = [{**jsonable(record), "links": serving[record.id]} for record in found]
    if rows or terminal.json:
        terminal.result(rows, table(cells, ("model", "providers", "capabilities", "notes")))
    else:
        which = "No model" if capability is None and provider is None else "No such model"
        terminal.note(f"{which} is configured. Providers without a link take any: prouter plan MODEL tells who.")


@model.command()
@click.argument("id")
@click.option("--name", help="For people. Default: the id.")
@click.option("--description", help="For people.")
@click.option("--capability", multiple=True, metavar="NAME", help="What it can do, such as tools; may be repeated.")
@click.option("--alias-of", metavar="MODEL", help="The model that is asked in its place.")
@click.option("--fallback", multiple=True, metavar="MODEL", help="Asked when everybody has failed; may be repeated.")
@click.option("--zone", type=ZONE, help="How far its requests may go: loopback, lan or internet.")
@json_option
@click.pass_obj
def add(
    terminal: Terminal,
    *,
    id: str,
    name: str | None,
    description: str | None,
    capability: tuple[str, ...],
    alias_of: str | None,
    fallback: tuple[str, ...],
    zone: str | None,
) -> None:
    """Add a model."""
    with terminal.admin() as admin:
        record = admin.models.add(
            id,
            name=name,
            description=description,
            capabilities=capability or None,
            alias_of=alias_of,
            fallbacks=fallback,
            zone=zone,
        )
    terminal.result(record, f"added model {id}")
    if not alias_of:
        terminal.note(f"Say who serves it: prouter model link PROVIDER {id}")


@model.command()
@click.argument("id")
@click.option("--name", help="For people.")
@click.option("--description", help=f"For people. {_EMPTY}")
@click.option("--capability", multiple=True, metavar="NAME", help=f"All that it can do; may be repeated. {_EMPTY}")
@click.option("--alias-of", metavar="MODEL", help=f"The model that is asked in its place. {_EMPTY}")
@click.option("--fallback", multiple=True, metavar="MODEL", help=f"All its fallbacks; may be repeated. {_EMPTY}")
@click.option("--zone", type=str, metavar="ZONE", help=f"loopback, lan or internet. {_EMPTY}")
@json_option
@click.pass_obj
def edit(
    terminal: Terminal,
    *,
    id: str,
    name: str | None,
    description: str | None,
    capability: tuple[str, ...],
    alias_of: str | None,
    fallback: tuple[str, ...],
    zone: str | None,
) -> None:
    """Change what is given and leave the rest."""
    given: dict[str, Any] = {}
    if name is not None:
        given["name"] = name
    for field, text in (("description", description), ("alias_of", alias_of), ("zone", zone)):
        if text is not None:
            given[field] = text or None
    for field, words in (("capabilities", capability), ("fallbacks", fallback)):
        if words:
            given[field] = [word for word in words if word]
    if given.get("capabilities") == []:
        given["capabilities"] = None
    if not given:
        raise click.UsageError("nothing to change: give at least one option, such as --zone lan")
    with terminal.admin() as admin:
        record = admin.models.edit(id, **given)
    terminal.result(record, f"changed model {id}")


@model.command()
@click.argument("id")
@click.option("-y", "--yes", is_flag=True, help="Do not ask whether it is meant.")
@json_option
@click.pass_obj
def remove(terminal: Terminal, *, id: str, yes: bool) -> None:
    """Remove a model with its links."""
    with terminal.admin() as admin:
        providers = [link.provider_id for link in admin.links.providers_for(id)]
        if not yes:
            if not terminal.interactive:
                raise click.UsageError("say --yes to remove it: nobody is there to be asked")
            served = f" with its links to {', '.join(providers)}" if providers else ""
            if not terminal.confirm(f"Remove {id}{served}?", default=False):
                terminal.note("Nothing was removed.")
                return
        admin.models.remove(id)
    terminal.result({"removed": id}, f"removed model {id}")


@model.command()
@click.argument("provider")
@click.argument("model")
@click.option("--default/--no-default", default=None, help="For requests to this provider that name no model.")
@click.option("--remote-name", help="What the provider calls it, if not the same.")
@click.option(
    "--capability", multiple=True, metavar="[+-]NAME", help="What it can do there (+tools) and what not (-vision)."
)
@click.option("--context-length", type=int, metavar="TOKENS", help="How much it takes there.")
@click.option("--max-parallel", type=int, metavar="CALLS", help="Calls in flight there at most.")
@click.option("--weight", type=float, help="Its share under the strategy weighted.")
@click.option("--parameter", type=ASSIGNMENT, multiple=True, help="A field of every request, such as top_k=40.")
@click.option("--limit", type=ASSIGNMENT, multiple=True, help="A limit of its own, such as timeout=2m.")
@click.option("--input-price", type=float, help="Of a million tokens.")
@click.option("--output-price", type=float, help="Of a million tokens.")
@click.option("--create", is_flag=True, help="Add the model if it is not there.")
@json_option
@click.pass_obj
def link(
    terminal: Terminal,
    /,
    *,
    provider: str,
    model: str,
    capability: tuple[str, ...],
    parameter: tuple[tuple[str, str], ...],
    limit: tuple[tuple[str, str], ...],
    create: bool,
    **fields: Any,
) -> None:
    """Say that PROVIDER serves MODEL, or change how it does."""
    given = {field: value for field, value in fields.items() if value is not None}
    if capability:
        given["capabilities"] = capability
    if parameter:
        given["parameters"] = {key: _json(text) for key, text in parameter}
    if limit:
        given["limits"] = dict(limit)
    with terminal.admin() as admin:
        if (provider, model) in admin.links:
            terminal.result(
                admin.links.edit(provider, model, **given),
                f"changed the link of {provider} and {model}"
                if given
                else f"{provider} and {model} are linked already",
            )
            return
        record = admin.links.link(provider, model, create=create, **given)
    terminal.result(record, f"linked {model} to {provider}")
    if record.closed_provider:
        terminal.note(f"{provider} took any model name until now; from now on it takes linked models only.")


@model.command()
@click.argument("provider")
@click.argument("model", required=False)
@click.option("--all", "everything", is_flag=True, help="Every model of the provider.")
@json_option
@click.pass_obj
def unlink(terminal: Terminal, *, provider: str, model: str | None, everything: bool) -> None:
    """Say that PROVIDER serves MODEL no more."""
    if everything == (model is not None):
        raise click.UsageError("name a model, or say --all")
    with terminal.admin() as admin:
        if model is not None:
            removed = admin.links.unlink(provider, model)
            gone, opened = [model], removed.opened_provider
        else:
            links = admin.links.unlink_all(provider)
            gone, opened = [record.model_id for record in links], any(record.opened_provider for record in links)
    terminal.result(
        {"provider": provider, "unlinked": gone}, f"unlinked {', '.join(gone) or 'nothing'} from {provider}"
    )
    if opened and not terminal.json:
        terminal.note(f"That was its last one: {provider} takes any model name now.")


@model.command("default")
@click.argument("provider")
@click.argument("model", required=False)
@json_option
@click.pass_obj
def set_default(terminal: Terminal, *, provider: str, model: str | None) -> None:
    """Show or set the model of requests to PROVIDER that name none. It has to be linked."""
    with terminal.admin() as admin:
        if model is not None:
            admin.links.set_default(provider, model)
        default = admin.links.default_for(provider)
    name = default.model_id if default else None
    terminal.result({"provider": provider, "default": name}, name or "none")


def _json(text: str) -> Any:
    """`40` is a number and `true` a truth; what is no JSON is a text."""
    import json

    try:
        return json.loads(text)
    except ValueError:
        return text


def _link_text(link: LinkRecord) -> str:
    note = ", ".join(part for part in (link.remote_name, "default" if link.default else "") if part)
    return f"{link.provider_id} ({note})" if note else link.provider_id


def _ways(record: ModelRecord) -> str:
    parts = [f"alias of {record.alias_of}" if record.alias_of else ""]
    parts.append(f"then {', '.join(record.fallbacks)}" if record.fallbacks else "")
    parts.append(f"stays within {record.zone}" if record.zone else "")
    return "; ".join(part for part in parts if part)
