"""Hints: what processes on one store tell each other of their providers' health. Pure.

A hint orders, and makes the others check before they trust; only a process's own failures open its breakers, so that
one process with broken DNS does not move everybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import frozen

_CLOCKS_APART: Final = 1.0  # seconds by which the clocks of two processes may differ
_GOOD: Final = ("checks", "test")


@frozen(kw_only=True)
class Note:
    """What one process found.

    Attributes:
        scope: what it is about: an `endpoint`, a `model` there, a `provider`, a model `missing` at a provider,
            whether an endpoint answers `checks`, or that a provider is well (`test`).
        subject: the endpoint, or the provider's id.
        model: as the provider calls it, where it is about one.
        state: `open`, `throttled`, `flagged` or `ready`.
        reason: a few words for people.
        until: when it ends.
        at: when it was found; both in seconds since 1970 on their way, and of a process's own clock inside it.
    """

    scope: str
    subject: str
    model: str | None = None
    state: str
    reason: str = ""
    until: float
    at: float

    def holds(self, now: float) -> bool:
        """Whether it says something at this moment of its clock.

        Not one that has ended; nor one of the future, which was written before the clock was set back: nobody knows how
        old it is.
        """
        return self.until > now and self.at <= now + _CLOCKS_APART

    @property
    def place(self) -> tuple[str, str, str | None]:
        return (self.scope, self.subject, self.model)


class Hints:
    """What the other processes say at present.

    Attributes:
        speak_ill: whether any of them speaks against a candidate.
    """

    def __init__(self) -> None:
        self.speak_ill = False
        self._notes: dict[tuple[str, str, str | None], Note] = {}
        self._forgiven: dict[str, float] = {}  # provider or endpoint: what was found before counts no more

    def hear(self, notes: Iterable[Note]) -> None:
        """These are all that there are now, in moments of this process's clock.

        Of several on one thing the one that ends last counts.
        """
        self._notes = {}
        for note in notes:
            if note.at <= self._forgiven.get(note.subject, float("-inf")):
                continue
            known = self._notes.get(note.place)
            if known is None or note.until > known.until:
                self._notes[note.place] = note
        self._weigh()

    def about(self, provider: str, endpoint: str, model: str | None, *, at: float) -> Note | None:
        """The first thing that speaks against a candidate at this moment, or None."""
        if not self.speak_ill:
            return None
        for place in (
            ("provider", provider, None),
            ("missing", provider, model),
            ("endpoint", endpoint, None),
            ("model", endpoint, model),
        ):
            note = self._notes.get(place)
            if note is not None and note.until > at:
                return note
        return None

    def ends(self) -> list[float]:
        """When each note ends."""
        return [note.until for note in self._notes.values()]

    def models(self, provider: str, endpoint: str, *, at: float) -> set[str | None]:
        """The models there that something is said against at this moment."""
        places = (("model", endpoint), ("missing", provider))
        return {note.model for note in self._notes.values() if (note.scope, note.subject) in places and note.until > at}

    def answers_checks(self, endpoint: str) -> bool:
        """Whether another process, or this one before its restart, has had a check answered there."""
        return ("checks", endpoint, None) in self._notes

    def tests(self) -> list[Note]:
        """The good tests of other processes."""
        return [note for note in self._notes.values() if note.scope == "test"]

    def forgive(self, *subjects: str, at: float) -> None:
        """What was found of these before this moment counts no more."""
        for subject in subjects:
            self._forgiven[subject] = at
        self._notes = {place: note for place, note in self._notes.items() if note.subject not in subjects}
        self._weigh()

    def _weigh(self) -> None:
        self.speak_ill = any(note.scope not in _GOOD for note in self._notes.values())
