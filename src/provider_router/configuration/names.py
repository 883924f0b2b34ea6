"""The ids of providers and models: what they may look like, and which ones are near to a mistyped one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from provider_router.errors import InvalidConfig

_PROVIDER_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_MODEL_ID_MOST = 200


def check_provider_id(id: str) -> None:
    """Refuse an id that could not stand in a URL, in `id/model`, or in a header.

    Raises:
        InvalidConfig: with an id that would do.
    """
    if not isinstance(id, str) or not _PROVIDER_ID.fullmatch(id):
        mended = re.sub(r"[^a-z0-9._-]+", "-", str(id).lower()).strip("-._")[:63]
        advice = f"; {mended} would do" if mended else ""
        raise InvalidConfig(
            f"A provider cannot have the id {id!r}.",
            (f"id: 1 to 63 lower-case letters, digits, '-', '.' and '_', beginning with a letter or digit{advice}",),
        )


def check_model_id(id: str) -> None:
    """Refuse an id that no backend would use and no shell could quote; `Qwen/Qwen3:30b@q4` is fine.

    Raises:
        InvalidConfig: with what is wrong.
    """
    if not isinstance(id, str) or not id or len(id) > _MODEL_ID_MOST or id.startswith("-"):
        problem = f"id: 1 to {_MODEL_ID_MOST} characters, of which the first is no '-'"
    elif not id.isprintable() or any(character.isspace() for character in id):
        problem = "id: no spaces and no control characters"
    else:
        return
    raise InvalidConfig(f"A model cannot have the id {id!r}.", (problem,))


def check_name(name: object, *, of: str) -> None:
    """Refuse a display name that would show nothing, or break the line it stands in.

    Raises:
        InvalidConfig: with what is wrong.
    """
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise InvalidConfig(f"{of} cannot be named {name!r}.", ("name: one line of text that is not empty",))


def near_miss(name: str, known: Iterable[str]) -> str:
    """`Did you mean desk?`, with what is near; else what there is, if that is not much; else nothing."""
    there = sorted(known)
    if near := difflib.get_close_matches(name, there, 3, 0.6):
        return f"Did you mean {' or '.join(near)}?"
    return f"There is {', '.join(there)}." if 0 < len(there) <= 5 else ""
