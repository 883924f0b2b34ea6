"""Recovery: when providers that lack their secret are looked at again. A thread does it, beside the requests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from provider_router import limits as numbers

C = TypeVar("C")
M = TypeVar("M")


class Recovery(Generic[C, M]):
    """Who lacks a secret, and when it is looked for again: soon at first, then more and more seldom.

    A command, a keyring or a keeper is asked once in that time, however many requests there are.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pauses: dict[str, float] = {}
        self._next: dict[str, float] = {}
        self._thread: threading.Thread | None = None
        self._found: tuple[C, Sequence[M]] | None = None

    def note(self, id: str, *, lacks: bool, anew: bool) -> None:
        """What became of a provider; `anew` if its configuration changed, so that it is looked for soon again."""
        if not lacks:
            self._pauses.pop(id, None)
            self._next.pop(id, None)
        elif anew or id not in self._pauses:
            self._pauses[id] = numbers.SECRET_PAUSE
            self._next[id] = self._clock() + numbers.SECRET_PAUSE

    def due(self) -> Sequence[str]:
        """Ids of those to look at now; nobody while the last look is not over. Each is told once in its time."""
        if self._thread is not None:
            return ()
        now = self._clock()
        due = [provider for provider, at in self._next.items() if at <= now]
        for provider in due:
            self._pauses[provider] = min(2 * self._pauses[provider], numbers.LONGEST_SECRET_PAUSE)
            self._next[provider] = now + self._pauses[provider]
        return due

    def start(self, configuration: C, look: Callable[[], Sequence[M]]) -> None:
        """Look, in a thread: it may take as long as a command may."""

        def work() -> None:
            found: Sequence[M] = ()
            try:
                found = look()
            finally:
                self._found = configuration, found

        self._thread = threading.Thread(target=work, name="provider-router-secrets", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait for a look that runs. Blocks."""
        if self._thread is not None:
            self._thread.join(seconds)

    def take(self, configuration: C) -> Sequence[M]:
        """What a look that is over has found, once; nothing if it looked at another configuration."""
        if self._found is None:
            return ()
        (of, found), self._found, self._thread = self._found, None, None
        return found if of is configuration else ()

    def __bool__(self) -> bool:
        return bool(self._next) or self._thread is not None
