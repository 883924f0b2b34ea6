"""Returning: the configuration brought to another state of it, as a change, with the secrets that it had then."""

from __future__ import annotations

from collections.abc import Callable, Collection

from attrs import evolve, frozen

from provider_router.configuration.differences import Difference, differences
from provider_router.configuration.editor import Change, Editor, references_in
from provider_router.configuration.options import drop_secrets
from provider_router.errors import MissingSecret
from provider_router.providers.plugins import Plugins
from provider_router.providers.secrets import Keepers, parse_reference
from provider_router.store import ChangeRecord, Configuration, OptionRecord


@frozen(kw_only=True)
class Return:
    """What a return has done, or would do; `Rollback` says what its attributes are."""

    differences: tuple[Difference, ...]
    missing_secrets: tuple[str, ...] = ()
    missing_types: tuple[str, ...] = ()
    change: ChangeRecord | None = None


def bring_back(editor: Editor, change: Change, then: Configuration, *, what: str, noun: str, subject: str) -> Return:
    """Bring the configuration to another state, in a change that is open, and write its record if it does anything.

    Args:
        editor: of the configuration.
        change: what it is part of.
        then: the state.
        what, noun, subject: for the record.
    """
    now = editor.store.read()
    target, missing = with_secrets(then, editor.keeper, restore=change.restore_secret)
    replaced = editor.store.replace(target)
    done = told(now, target, missing, editor.plugins)
    if not (replaced.before or replaced.after):
        return done
    drop_secrets(change, replaced.before)
    record = change.tell(what, noun=noun, subject=subject, before=replaced.before, after=replaced.after)
    return evolve(done, change=record)


def would_return(editor: Editor, then: Configuration, *, sealed: Collection[str] = ()) -> Return:
    """What `bring_back` would do.

    Args:
        editor: of the configuration.
        then: the state.
        sealed: ids of secrets that would come with it.
    """
    target, missing = with_secrets(then, editor.keeper, sealed=sealed)
    return told(editor.store.read(), target, missing, editor.plugins)


def told(now: Configuration, target: Configuration, missing: tuple[str, ...], plugins: Plugins) -> Return:
    """What is not the same in a state that the configuration was or would be brought to."""
    found = differences(now, target, plugins)
    back = {one.subject for one in found if one.noun == "provider" and one.kind != "removed"}
    return Return(
        differences=found,
        missing_secrets=missing,
        missing_types=tuple(sorted(name for name in back if target.providers[name].type not in plugins.types)),
    )


def with_secrets(
    then: Configuration,
    keeper: Keepers,
    *,
    restore: Callable[[str], object] | None = None,
    sealed: Collection[str] = (),
) -> tuple[Configuration, tuple[str, ...]]:
    """A configuration without the references that lead nowhere any more, and the others' secrets out of the bin.

    Args:
        then: the configuration.
        keeper: who has the secrets.
        restore: takes the secret of a reference out of the bin, and raises MissingSecret if it is not there; None takes
            none out, and only looks.
        sealed: ids of more secrets that there are.

    Returns:
        The configuration, and the labels of what is missing in it.
    """
    live = {*keeper.ids(), *sealed}

    def has(reference: str) -> bool:
        parsed = parse_reference(reference)
        if parsed is None or parsed.scheme != "secret" or parsed.place in live:
            return True
        if restore is None:
            return keeper.owner(parsed.place) is not None
        try:
            restore(reference)
        except MissingSecret:
            return False
        live.add(parsed.place)
        return True

    missing: list[str] = []
    options: dict[str, tuple[OptionRecord, ...]] = {}
    for provider, records in then.options.items():
        kept = tuple(one for one in (_without(record, has, missing) for record in records) if one is not None)
        options |= {provider: kept} if kept else {}
    logins = []
    for login in then.credentials:
        gone = [f"credentials/{name}" for name in ("token", "cookies") if not has(getattr(login, name))]
        missing += gone
        logins += [] if gone else [login]
    return evolve(then, options=options, credentials=tuple(logins)), tuple(missing)


def _without(record: OptionRecord, has: Callable[[str], bool], missing: list[str]) -> OptionRecord | None:
    """An option without the references whose secrets are gone; None if nothing is left of it."""
    gone = {reference for reference in references_in(record.value) if not has(reference)}
    label = f"{record.provider_id}/{record.key}"
    if not gone or not (record.sensitive or isinstance(record.value, dict)):
        return record
    if not isinstance(record.value, dict):
        missing.append(label)
        return None
    missing += [f"{label}.{part}" for part, value in record.value.items() if value in gone]
    left = {part: value for part, value in record.value.items() if value not in gone}
    return evolve(record, value=left) if left else None
