"""`prouter model sync`: what the backends list becomes models and links."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

from provider_router.cli.terminal import Terminal, json_option

if TYPE_CHECKING:
    from provider_router.configuration.admin import Admin
    from provider_router.configuration.model_sync import ModelDiff
    from provider_router.model_lists import ModelList
    from provider_router.store import LinkRecord


@click.command()
@click.argument("provider", required=False)
@click.option("--prune", is_flag=True, help="Remove links to what a backend does not list any more; asks first.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before links are removed.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@json_option
@click.pass_obj
def sync(terminal: Terminal, *, provider: str | None, prune: bool, yes: bool, dry_run: bool) -> int:
    """Link what PROVIDER, or every enabled one, lists. Your links, defaults and parameters stay as they are."""
    import anyio

    from provider_router.configuration.names import near_miss
    from provider_router.errors import UnknownProvider
    from provider_router.model_lists import list_models

    with terminal.admin() as admin:
        if provider is not None and provider not in admin.providers:
            known = near_miss(provider, (record.id for record in admin.providers.list()))
            raise UnknownProvider(f"There is no provider {provider!r}: {known}")

        async def ask() -> list[ModelList]:
            def told(listed: ModelList) -> None:
                if not terminal.json:
                    terminal.note(f"{listed.provider}: {_came(listed)}")

            named = None if provider is None else [provider]
            return await list_models(named, database=terminal.database, told=told)

        lists = anyio.run(ask)
        if not lists:
            terminal.note("No provider is enabled: prouter provider list shows those that there are.")
        diffs = {
            listed.provider: admin.sync.diff(listed.provider, listed.models) for listed in lists if not listed.error
        }
        if not terminal.json:
            for diff in diffs.values():
                terminal.result(None, "\n".join(_lines(diff, prune=prune)))
        gone = _to_prune(terminal, diffs, lists) if prune else {}
        if gone and not yes and not dry_run:
            gone = _confirmed(terminal, gone)
        if not dry_run:
            diffs |= _applied(admin, lists, diffs, gone)
    failed = [listed for listed in lists if listed.error]
    if terminal.json:
        terminal.result([_row(listed, diffs.get(listed.provider), dry_run=dry_run) for listed in lists], "")
    elif lists:
        terminal.result(None, _summary(diffs, gone, failed=len(failed), dry_run=dry_run))
    return 1 if failed else 0


def _came(listed: ModelList) -> str:
    if listed.error:
        return str(listed.error)
    count = len(listed.models)
    return f"lists {count} model{'' if count == 1 else 's'}, {listed.duration * 1000:.0f} ms"


def _to_prune(
    terminal: Terminal, diffs: dict[str, ModelDiff], lists: list[ModelList]
) -> dict[str, tuple[LinkRecord, ...]]:
    """Links to be removed, by provider. A backend that lists nothing at all has lost nothing: it is starting."""
    empty = {listed.provider for listed in lists if not listed.models}
    for provider in empty & diffs.keys():
        if diffs[provider].unlisted:
            terminal.note(f"{provider} lists nothing at all, so nothing is removed from it.")
    return {diff.provider: diff.unlisted for diff in diffs.values() if diff.unlisted and diff.provider not in empty}


def _confirmed(terminal: Terminal, gone: dict[str, tuple[LinkRecord, ...]]) -> dict[str, tuple[LinkRecord, ...]]:
    if not terminal.interactive:
        raise click.UsageError("say --yes to remove links, or --dry-run to see which: nobody is there to be asked")
    kept = {}
    for provider, links in gone.items():
        names = ", ".join(link.model_id for link in links)
        if terminal.confirm(f"Remove the links of {provider} to {names}?", default=False):
            kept[provider] = links
    return kept


def _applied(
    admin: Admin, lists: list[ModelList], diffs: dict[str, ModelDiff], gone: dict[str, tuple[LinkRecord, ...]]
) -> dict[str, ModelDiff]:
    """Each provider is a change of its own."""
    done = {}
    for listed in lists:
        if listed.provider in diffs:
            prune = [link.model_id for link in gone.get(listed.provider, ())]
            found = admin.sync.apply(listed.provider, listed.models, prune=prune)
            done[listed.provider] = evolve(found, closes=diffs[listed.provider].closes)
    return done


def _lines(diff: ModelDiff, *, prune: bool) -> Iterator[str]:
    parts = [f"{len(diff.added)} new"] if diff.added else []
    parts += [f"{len(diff.unlisted)} not listed any more"] if diff.unlisted else []
    yield f"{diff.provider}: {', '.join(parts) or 'nothing new'}"
    for name in diff.added:
        yield f"  + {name}{'' if name in diff.created else ' (the model is there already)'}"
    for link in diff.unlisted:
        yield f"  {'-' if prune else ' '} {link.model_id}{_own(link)}{'' if prune else ': stays; --prune removes it'}"
    for name in diff.unfit:
        yield f"    {name!r} can be no model's id and is left out"
    if diff.closes:
        yield f"    {diff.provider} took any model name until now; with these links it takes linked models only"


def _own(link: LinkRecord) -> str:
    """What the user has made of a link."""
    own = ["the default"] if link.default else []
    own += ["with parameters"] if link.parameters else []
    own += [f"there called {link.remote_name}"] if link.remote_name else []
    return f" ({', '.join(own)})" if own else ""


def _summary(
    diffs: dict[str, ModelDiff], gone: dict[str, tuple[LinkRecord, ...]], *, failed: int, dry_run: bool
) -> str:
    linked = sum(len(diff.added) for diff in diffs.values())
    pruned = sum(map(len, gone.values())) if dry_run else sum(len(diff.pruned) for diff in diffs.values())
    said = [f"{'would link' if dry_run else 'linked'} {linked} model{'' if linked == 1 else 's'}"]
    said += [f"{'remove' if dry_run else 'removed'} {pruned} link{'' if pruned == 1 else 's'}"] if pruned else []
    said += [f"{failed} provider{'' if failed == 1 else 's'} could not be asked"] if failed else []
    return ", ".join(said)


def _row(listed: ModelList, diff: ModelDiff | None, *, dry_run: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"provider": listed.provider, "listed": len(listed.models), "dry_run": dry_run}
    if diff is not None:
        row |= {
            "added": diff.added,
            "created": diff.created,
            "unlisted": [link.model_id for link in diff.unlisted],
            "pruned": diff.pruned,
            "unfit": diff.unfit,
            "closes": diff.closes,
        }
    return row | {"error": str(listed.error) if listed.error else None}
