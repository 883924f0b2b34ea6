"""The ids and names of what is configured: what they may look like, and which are near to a mistyped one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator

from provider_router.errors import UnknownProvider

_PROVIDER_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_LONGEST_MODEL_ID = 200


def provider_id_problems(id: object) -> Iterator[str]:
    """What keeps an id from standing in a URL, in `id/model` or in a header."""
    if not isinstance(id, str) or not _PROVIDER_ID.fullmatch(id):
        mended = re.sub(r"[^a-z0-9._-]+", "-", str(id).lower()).strip("-._")[:63]
        yield (
            f"id: {id!r} has to be 1 to 63 lower-case letters, digits, '-', '.' and '_', beginning with a letter "
            "or a digit" + (f"; {mended} would do" if mended else "")
        )


def model_id_problems(id: object, *, field: str = "id") -> Iterator[str]:
    """What keeps an id from being one that a backend could use; `Qwen/Qwen3:30b@q4` is fine."""
    if not isinstance(id, str) or not 0 < len(id) <= _LONGEST_MODEL_ID or id.startswith("-"):
        yield f"{field}: {id!r} has to be 1 to {_LONGEST_MODEL_ID} characters, the first of them no '-'"
    elif not id.isprintable() or any(character.isspace() for character in id):
        yield f"{field}: {id!r} must hold no space and no control character"


def text_problems(field: str, text: object, *, required: bool) -> Iterator[str]:
    """What keeps a name (`required`) or a description from being shown."""
    if text is None and not required:
        return
    if not isinstance(text, str) or (required and not (text.strip() and text.isprintable())):
        yield f"{field}: {text!r} has to be " + ("one line of text that is not empty" if required else "a text")


def near_miss(name: str, known: Iterable[str]) -> str:
    """`did you mean desk?`; without anything near, what there is, if that is not much."""
    there = {one.lower(): one for one in sorted(known)}
    if near := difflib.get_close_matches(str(name).lower(), there, 3, 0.6):
        return f"did you mean {' or '.join(there[one] for one in near)}?"
    if not there:
        return "there is none yet."
    names = [*there.values()]
    return f"there {'is' if len(names) == 1 else 'are'} {', '.join(names[:8])}{', …' if len(names) > 8 else ''}."


def unknown_provider(id: str, known: Iterable[str]) -> UnknownProvider:
    """The error for an id that no provider has; it names near ones, or how to get the first one."""
    there = list(known)
    return UnknownProvider(
        f"There is no provider {id!r}: {near_miss(id, there)}{'' if there else ' Run `prouter add`.'}"
    )
