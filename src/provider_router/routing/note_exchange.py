"""NoteExchange: a thread that writes this process's health notes and reads the others', off the hot path.

A disk that is slow, full or locked never touches a request: what cannot be written now is written later.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from attrs import evolve

from provider_router.errors import StoreError
from provider_router.limits import NOTES_EVERY
from provider_router.routing.health import Health
from provider_router.routing.hints import Note
from provider_router.store import HealthNoteRecord, History

log = logging.getLogger("provider_router")


class NoteExchange:
    """The exchange of one process.

    Args:
        path: the history's file.
        every: seconds between two readings.
        wall: seconds since 1970.
    """

    def __init__(self, path: Path, *, every: float = NOTES_EVERY, wall: Callable[[], float] = time.time) -> None:
        self.heard: tuple[Note, ...] = ()
        self.process = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._path = path
        self._every = every
        self._wall = wall
        self._own: deque[tuple[Note, ...]] = deque(maxlen=1)  # still to be written
        self._wake = threading.Event()
        self._closed = False
        self._trouble = ""
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Read once, and go on in a thread of its own."""
        if self._thread is None:
            self._exchange()
            self._thread = threading.Thread(target=self._run, name="provider-router-notes", daemon=True)
            self._thread.start()

    def tell(self, notes: tuple[Note, ...]) -> None:
        """What this process knows now; costs nothing here."""
        self._own.append(notes)
        self._wake.set()

    def close(self) -> None:
        """Write what is to be written, and end the thread. May be called twice."""
        thread, self._thread = self._thread, None
        self._closed = True
        self._wake.set()
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join(self._every)

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(self._every)
            self._wake.clear()
            self._exchange()
        if self._own:  # told while the last exchange ran
            self._exchange()

    def _exchange(self) -> None:
        own = self._own.pop() if self._own else None
        try:
            # Opened for each exchange: a file that was moved, deleted or mended meanwhile is no trouble.
            with History.open(self._path) as history:
                wall = self._wall()
                now = round(wall * 1000)
                if own is not None:
                    history.notes.replace(self.process, [_record(self.process, note) for note in own], now=now)
                others = map(_note, history.notes.others(self.process, now=now))
                self.heard = tuple(note for note in others if note.holds(wall))
            self._trouble = ""
        except StoreError as error:
            if own is not None and not self._own:
                self._own.append(own)
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.warning("health notes are not exchanged: %s", error)


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

    def close(self) -> None:
        """Write what is to be written, and end the exchange. May be called twice."""
        self._exchange.close()


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
