"""NoteExchange: writes this process's health notes and reads the others', where the history is written.

A disk that is slow, full or locked never touches a request: what cannot be written now is written later.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable

from attrs import evolve

from provider_router.errors import StoreError
from provider_router.routing.health import Health
from provider_router.routing.hints import Note
from provider_router.store import HealthNoteRecord, History


class NoteExchange:
    """The exchange of one process. `tell` and `heard` are for the event loop, `exchange` for the history's thread.

    Args:
        wake: called when there is something to write.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self.heard: tuple[Note, ...] = ()
        self.process = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._own: deque[tuple[Note, ...]] = deque(maxlen=1)  # still to be written
        self._wake = wake

    @property
    def waiting(self) -> bool:
        """Whether there is something to write."""
        return bool(self._own)

    def tell(self, notes: tuple[Note, ...]) -> None:
        """What this process knows now; costs nothing here."""
        self._own.append(notes)
        self._wake()

    def exchange(self, history: History, *, now: int) -> None:
        """Write what this process knows, and read what the others do.

        Raises:
            StoreError: that cannot be done now; what was to be written still waits.
        """
        own = self._own.pop() if self._own else None
        try:
            if own is not None:
                history.notes.replace(self.process, [_record(self.process, note) for note in own], now=now)
            others = map(_note, history.notes.others(self.process, now=now))
            self.heard = tuple(note for note in others if note.holds(now / 1000))
        except StoreError:
            if own is not None and not self._own:
                self._own.append(own)
            raise


class HealthSharing:
    """A process's health and its exchange with the others, brought together on the event loop."""

    def __init__(self, health: Health, exchange: NoteExchange, clock: Callable[[], float]) -> None:
        self._health = health
        self._exchange = exchange
        self._clock = clock
        self._heard: tuple[Note, ...] = ()
        self._told = health.changes

    def hear(self) -> None:
        """Take in what the others know; costs nothing if nothing new has been read."""
        heard = self._exchange.heard
        if heard is not self._heard:
            self._heard = heard
            self._health.hear(_shifted(heard, self._clock() - time.time()))

    def tell(self) -> None:
        """Let the others hear what has changed here; costs nothing if nothing has."""
        if self._health.changes != self._told:
            self._told = self._health.changes
            now = self._clock()
            self._exchange.tell(tuple(_shifted(self._health.notes(now), time.time() - now)))


def _shifted(notes: Iterable[Note], seconds: float) -> list[Note]:
    """Notes on another clock."""
    return [evolve(note, until=note.until + seconds, at=note.at + seconds) for note in notes]


def _record(process: str, note: Note) -> HealthNoteRecord:
    return HealthNoteRecord(
        process=process,
        scope=note.scope,
        subject=note.subject,
        model=note.model,
        state=note.state,
        reason=note.reason,
        until=round(note.until * 1000),
        at=round(note.at * 1000),
    )


def _note(record: HealthNoteRecord) -> Note:
    return Note(
        scope=record.scope,
        subject=record.subject,
        model=record.model,
        state=record.state,
        reason=record.reason,
        until=record.until / 1000,
        at=record.at / 1000,
    )
