"""What a request wants of its answer and a backend would drop without a word: refused before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from provider_router.chat import ChatRequest
from provider_router.errors import NotCapable

_LETTERS: Final = 40  # of what the caller wrote, in a message


def refuse_format(request: ChatRequest, *, who: str) -> None:
    """Raise where the answer is to be JSON (`response_format`), for a backend that answers in prose.

    Args:
        request: as it came.
        who: the provider's id, for the message.

    Raises:
        NotCapable: for any `response_format` but `{"type": "text"}`.
    """
    form = request.raw.get("response_format")
    kind = form.get("type") if isinstance(form, Mapping) else form
    if kind not in (None, "text"):
        kind = kind[:_LETTERS] if isinstance(kind, str) else type(kind).__name__
        raise NotCapable(
            f"{who} has no response_format ({kind}): its backend would answer in prose. Ask for JSON in the prompt, "
            "or another provider",
            provider=who,
            detail=f"response_format {kind}",
        )


def refuse_several(request: ChatRequest, *, who: str) -> None:
    """Raise where more than one answer is wanted (`n`), for a backend that gives one at a time.

    Args:
        request: as it came.
        who: the provider's id, for the message.

    Raises:
        NotCapable: for `n` above 1.
    """
    wanted = request.raw.get("n")
    if isinstance(wanted, int) and wanted > 1:
        raise NotCapable(f"{who} gives one answer at a time, not {wanted}", provider=who, detail="n above 1")
