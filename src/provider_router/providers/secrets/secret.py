"""Secret: a text that shows itself to nobody, and the mask that stands for it."""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import Final, NoReturn, final
from urllib.parse import quote, quote_plus

MASK: Final = "***"
MASKS: Final = frozenset({MASK, "***MASKED***"})
"""What is shown in place of a secret, here and in the old system. Written back, it never overwrites a value."""

_LEAST_MASKED = 4  # shorter values are flags and numbers; without them no message would be readable
_LEAST_ENCODED = 7


@final
class Secret:
    """A text that shows itself to nobody but `reveal()`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text in clear. Ask for it where it is sent, and keep it nowhere."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        mine, theirs = (secret._text.encode("utf-8", "surrogatepass") for secret in (self, other))
        return hmac.compare_digest(mine, theirs)

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret cannot be pickled: it would lie there in clear. Hand on its reference.")


def mask_text(text: str, secrets: Iterable[Secret]) -> str:
    """The text with `***` for every secret in it, also where it is quoted for a URL or JSON, or in base64.

    Of a secret of several words (`Bearer …`, cookies) each long word counts too. Values under four characters stay.
    """
    forms = {form for secret in secrets for form in _forms(secret.reveal())}
    if not forms:
        return text
    return re.sub("|".join(_pattern(form) for form in sorted(forms, key=len, reverse=True)), MASK, text)


def _pattern(form: str) -> str:
    """The form also where it was escaped, however often: a gateway hands on another's JSON as text inside its own."""
    parts = re.findall(r"""\\+|["'/]|[^\\"'/]+""", form)
    return "".join(
        r"\\++" if part[0] == "\\" else (r"\\*+" if part in "\"'/" else "") + re.escape(part) for part in parts
    )


def _forms(value: str) -> Iterator[str]:
    if len(value) < _LEAST_MASKED:
        return
    yield value
    for word in {value, *re.split(r"[\s;,]+", value), *re.split(r"[\s;,]+|(?<=\w)=(?=.)", value)}:
        if len(word) < _LEAST_ENCODED:
            continue
        content = word.encode("utf-8", "surrogatepass")
        yield word
        yield quote(content)
        yield quote(content, safe="")
        yield quote_plus(content)
        yield escape(word)
        yield json.dumps(word)[1:-1]
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(content).decode()
            # In the midst of a longer text (`user:password`) base64 looks different at each of three offsets.
            for offset in range(3):
                encoded = encode(bytes(offset) + content).decode()
                yield encoded[(0, 2, 3)[offset] : (offset + len(content)) * 8 // 6]
