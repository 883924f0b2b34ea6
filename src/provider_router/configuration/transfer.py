"""Transfer: the configuration out as a document, and a document in, as one change."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from provider_router.configuration.differences import Difference, differences
from provider_router.configuration.document import Document, document_of
from provider_router.configuration.editor import Editor
from provider_router.configuration.intake import Intake
from provider_router.configuration.options import drop_secrets
from provider_router.errors import ConfigError, InvalidConfig, MissingSecret
from provider_router.providers.secrets import Secret, parse_reference
from provider_router.store import ChangeRecord


@frozen(kw_only=True)
class Import:
    """What an import has done, or would do.

    Attributes:
        differences: what is not as it was.
        left_out: secrets to be given by hand, because a document's references are not taken from it, or because an
            address leads to another place now: `desk/apiKey`, `desk/headers.X-Key`, `credentials/token`.
        change: the change's record; None if there was nothing to do, or it was not to be done.
    """

    differences: tuple[Difference, ...]
    left_out: tuple[str, ...] = ()
    change: ChangeRecord | None = None


def export_document(editor: Editor) -> Document:
    """The configuration as a document."""
    return document_of(editor.store.read(), editor.plugins)


def import_document(editor: Editor, source: Path | Mapping[str, Any], *, dry_run: bool) -> Import:
    """Join a document to the configuration, whole or not at all.

    Raises:
        ConfigError: the file cannot be read, or is no document.
        InvalidConfig: with every problem at once.
    """
    content = source if isinstance(source, Mapping) else read_document(source)
    name = "the document" if isinstance(source, Mapping) else source.name

    def look_up(reference: str) -> Secret | None:
        parsed = parse_reference(reference)
        try:
            return editor.keeper.get(parsed.place) if parsed and parsed.scheme == "secret" else None
        except MissingSecret:
            return None

    def intake() -> Intake:
        joined = Intake(content, editor.store.read(), editor.plugins, trusted=False, look_up=look_up)
        if joined.problems:
            raise InvalidConfig(f"Nothing was imported, because {name} cannot be used:", joined.problems)
        return joined

    if dry_run:
        joined = intake()
        target = joined.target(_would_keep)
        found = differences(editor.store.read(), target, editor.plugins)
        return Import(differences=found, left_out=tuple(joined.left_out))
    with editor.change() as change:
        joined = intake()
        before, target = editor.store.read(), joined.target(change.reference)
        replaced = editor.store.replace(target)
        result = Import(differences=differences(before, target, editor.plugins), left_out=tuple(joined.left_out))
        if not (replaced.before or replaced.after):
            return result
        drop_secrets(change, replaced.before)
        told = change.tell(
            f"imported {name}", noun="import", subject=name, before=replaced.before, after=replaced.after
        )
    return evolve(result, change=told)


def read_document(path: Path) -> Mapping[str, Any]:
    """What a document's file holds: JSON where its name ends so, TOML otherwise.

    Raises:
        ConfigError: it cannot be read, or is neither.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}. Correct the path, or let this user read it."
        ) from error
    return parse_document(content, str(path), toml=path.suffix.lower() != ".json")


def parse_document(content: bytes, name: str, *, toml: bool) -> Mapping[str, Any]:
    """A document's text.

    Raises:
        ConfigError: it is not what it should be; the message names the line.
    """
    try:
        text = content.decode("utf-8-sig")
        document = tomllib.loads(text) if toml else json.loads(text)
    except UnicodeDecodeError:
        raise ConfigError(f"{name} is no text (UTF-8).") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name} is no {'TOML' if toml else 'JSON'}: {error}.") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{name} is no document: `prouter changes export` shows what one looks like.")
    return document


def _would_keep(value: str | Secret, *, owner: str) -> str:
    """What stands for a secret that nobody keeps yet."""
    return value if isinstance(value, str) and parse_reference(value) else "secret:to-be-kept"
