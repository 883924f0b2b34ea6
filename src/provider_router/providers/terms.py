"""Terms: what the Router decided for one attempt, in force for every request that a provider makes in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from attrs import frozen

from provider_router.chat import UNWATCHED, Progress
from provider_router.limits import UNSAID, Limits


@frozen(kw_only=True)
class Terms:
    """What holds for requests whose body does not carry it, as a `ChatRequest` does.

    Attributes:
        limits: how long it may take.
        zone: how far it may go (`loopback`, `lan`, `internet`), or None.
        progress: whom the HTTP door tells how far it is.
    """

    limits: Limits = UNSAID
    zone: str | None = None
    progress: Progress = UNWATCHED


_NONE: Final = Terms()
# Of the task: an author's `embed(body)` may well make another body, and a zone must not get lost on the way.
_in_force: Final = ContextVar("provider_router_terms", default=_NONE)


def terms_in_force() -> Terms:
    return _in_force.get()


@contextmanager
def under(terms: Terms) -> Iterator[None]:
    """Make what is asked inside be asked under these terms."""
    before = _in_force.set(terms)
    try:
        yield
    finally:
        _in_force.reset(before)
