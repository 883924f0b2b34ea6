"""What is taken out of a body before it is kept: secrets, images and sound."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from provider_router.limits import BODY_LETTERS
from provider_router.providers.secrets import MASK

_DATA_URL: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,[A-Za-z0-9+/=_-]*")
_BLOB: Final = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{256,}={0,2}(?![A-Za-z0-9+/_-])")
_NAMED: Final = re.compile(
    r"authorization|cookies?|passw(or)?d|secret|credentials?|(api|private|access|secret)[-_]?key|"
    r"(access|auth|refresh|id|session|bearer|api)[-_]?token",
    re.IGNORECASE,
)
_BY_LOOKS: Final = (
    (re.compile(r"\b(Bearer|Basic)(\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1\2{MASK}"),
    (re.compile(r"\b(?:sk|pk|rk|ghp|gho|xox[abp]|hf|glpat|AKIA|AIza)[-_]?[A-Za-z0-9_-]{16,}"), MASK),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), MASK),
    (
        re.compile(
            r"\b((?:api|access|secret)[-_]?key|password|(?:access|auth)[-_]?token)(\s*[=:]\s*)[^\s,;\"'}]{6,}", re.I
        ),
        rf"\1\2{MASK}",
    ),
)


def masked_text(text: str, masks: Sequence[Callable[[str], str]] = ()) -> str:
    """The text without secrets and blobs.

    Args:
        text: of a message, an error, ….
        masks: what knows the secrets that are configured; the rest is known by its looks.
    """
    for mask in masks:
        text = mask(text)
    if "base64," in text:
        text = _DATA_URL.sub(lambda found: f"data:{found[1] or ''};base64,{MASK}({len(found[0])} letters)", text)
    if len(text) >= 256:
        text = _BLOB.sub(lambda found: f"{MASK}({len(found[0])} letters)", text)
    for pattern, instead in _BY_LOOKS:
        text = pattern.sub(instead, text)
    return text


def masked_body(body: bytes | None, masks: Sequence[Callable[[str], str]] = ()) -> str | None:
    """A body as JSON text without secrets and blobs, at most `BODY_LETTERS` long.

    A longer one is kept as `{"cut": "its beginning", "letters": 1234567}`.
    """
    if body is None:
        return None
    try:
        value = json.loads(body)
    except ValueError:
        value = body.decode("utf-8", "replace")
    text = json.dumps(_masked(value, masks), ensure_ascii=False)
    for mask in masks:  # what was hidden by the quoting of JSON inside JSON
        text = mask(text)
    if len(text) > BODY_LETTERS:
        text = json.dumps({"cut": text[:BODY_LETTERS], "letters": len(text)}, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()


def _masked(value: Any, masks: Sequence[Callable[[str], str]]) -> Any:
    if isinstance(value, str):
        return masked_text(value, masks)
    if isinstance(value, Mapping):
        return {
            masked_text(name, masks): MASK if isinstance(item, str) and _NAMED.search(name) else _masked(item, masks)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_masked(item, masks) for item in value]
    return value
