"""HistoryWriter: the one thread that writes the history and exchanges health notes, off the hot path.

Nothing waits for it. What it cannot write is dropped and counted, and requests go on.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import Final

from provider_router import limits as numbers
from provider_router.errors import ConfigError, DatabaseLocked, StoreError
from provider_router.routing.note_exchange import NoteExchange
from provider_router.routing.plan import Plan
from provider_router.routing.recording import Entry, Mask, Recordable, Scribe, entry_of
from provider_router.routing.snapshot import HistorySettings, Recording
from provider_router.store import History
from provider_router.store.batch import Batch
from provider_router.store.requests import RequestLine

log: Final = logging.getLogger("provider_router")


class HistoryWriter:
    """The writer of one process.

    Args:
        path: the history's file.
        share_health: whether health notes are exchanged.
        every: seconds between two readings of the others' notes.
        wall: seconds since 1970.
        clock: seconds that only go forward.
        open: opens the file.

    Attributes:
        notes: the exchange of health notes.
        settings: as they are configured.
        bodies: whose bodies are kept: `off`, `errors`, `all`.
    """

    def __init__(
        self,
        path: Path,
        *,
        share_health: bool = True,
        every: float = numbers.NOTES_EVERY,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        open: Callable[[Path], History] = History.open,
    ) -> None:
        self.notes = NoteExchange(self._rouse)
        self.settings = HistorySettings()
        self.bodies = self.settings.bodies
        self.wall = wall
        self._clock = clock
        self._path = path
        self._share_health = share_health
        self._every = every
        self._open = open
        self._queue: deque[Entry] = deque()
        self._scribe = Scribe()
        self._held = Batch()  # worked out, and not written yet
        self._held_since = 0.0
        self._history: History | None = None
        self._roused = False
        self._wake = threading.Event()
        self._many = threading.Event()
        self._process = os.getpid()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._exchange_at = self._prune_at = 0.0
        self._pruning = False  # whether more is known to be too old or too much
        self._written = 0
        self._refused = 0  # lost on the event loop
        self._dropped = 0  # lost in the thread
        self._told = 0  # lost, and counted in the file's sums
        self._trouble = ""
        self._troubled_at: dict[str, float] = {}  # the last time that each came

    # On the event loop

    def start(self) -> None:
        """Read the others' notes once, and go on in a thread of its own."""
        if self._thread is None:
            if self._share_health:
                self._turn()
            self._thread = threading.Thread(target=self._run, name="provider-router-history", daemon=True)
            self._thread.start()
            atexit.register(self.close)

    def follow(self, settings: HistorySettings) -> None:
        """Heed other settings from now on."""
        self.settings = settings
        self.bodies = settings.bodies

    def record(
        self, driver: Recordable, masks: Callable[[Plan], Sequence[Mask]], *, now: float, session: str | None
    ) -> None:
        """Take a request that has ended. Nothing waits for it, and nothing of it can fail the request.

        Args:
            driver: what carried the request out.
            masks: what takes the secrets of a plan's providers out of a text.
            now: the moment of its end, on the machine's clock.
            session: as the caller named it.
        """
        try:
            self.add(entry_of(driver, masks, now=now, wall=self.wall(), session=session, bodies=self.bodies))
        except Exception:
            self._refused += 1
            log.exception("the request %s is not recorded", driver.request_id)

    def add(self, entry: Entry) -> None:
        """Take one request as it is to be worked out."""
        queue = self._queue
        if len(queue) >= numbers.QUEUE_ROWS:
            self._refused += 1
            return
        queue.append(entry)
        if not self._roused:
            self._rouse()
        elif len(queue) == numbers.ROWS_AT_ONCE:
            self._many.set()

    @property
    def state(self) -> Recording:
        """How it goes."""
        return Recording(
            enabled=self.settings.enabled,
            written=self._written,
            waiting=len(self._queue) + len(self._held),
            lost=self._lost,
            trouble=self._trouble,
        )

    def close(self) -> None:
        """Write what is to be written, and end the thread. May be called twice. A forked child closes nothing."""
        if os.getpid() != self._process:
            return
        thread, self._thread = self._thread, None
        self._closed = True
        self._wake.set()
        self._many.set()
        atexit.unregister(self.close)
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join(_CLOSING)

    def _rouse(self) -> None:
        self._roused = True
        self._wake.set()

    @property
    def _lost(self) -> int:
        return self._refused + self._dropped

    # In the thread

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(0.0 if self._pruning else self._every)
            self._wake.clear()
            self._roused = False
            self._turn()
        self._turn()
        self._forget(len(self._held) + len(self._queue))
        self._queue.clear()
        self._close_file()
        if self._lost > self._told:
            log.warning("requests that could not be recorded: %d", self._lost - self._told)

    def _turn(self) -> None:
        """One look at everything that is to be done."""
        try:
            while self._held or self._queue:
                self._work_out()
                self._write()
                if self._queue and not self._closed:  # there are other things to be done as well
                    self._wake.set()
                    break
            if self._lost > self._told:
                self._write()
            if self._share_health and (self.notes.waiting or self._clock() >= self._exchange_at or self._closed):
                self._exchange_at = self._clock() + self._every
                self.notes.exchange(self._opened(), now=self._now())
            if self._clock() >= self._prune_at and self._history is not None and not self._closed:
                self._prune(self._history)
            if self._lost == self._told:  # else the file has not been written since
                self._trouble = ""
        except StoreError as error:
            self._close_file()
            self._pruning = False
            self._warn(str(error))
            if not self._keeps_trying(error):
                self._forget(len(self._held))
        except Exception:  # a fault of ours must not end the thread: notes are to be exchanged
            self._close_file()
            self._forget(len(self._held))
            log.exception("the history is not written")

    def _warn(self, trouble: str) -> None:
        """Tell of a trouble as it begins."""
        self._trouble, now = trouble, self._clock()
        # It is not over with the first batch that is written: on a full disk a small one finds room now and then.
        if now >= self._troubled_at.get(trouble, -inf) + numbers.TROUBLE_OVER:
            log.warning("the history is not written: %s", trouble)
        self._troubled_at[trouble] = now

    def _work_out(self) -> None:
        """Bring what comes into the form in which it is kept, until it is time to write it."""
        if not self._held:
            self._held_since = self._clock()
        until = time.monotonic() + numbers.FLUSH_SECONDS
        while len(self._held) < numbers.FLUSH_ROWS:
            self._rest(until)
            lines: list[RequestLine] = []
            while self._queue and len(lines) < numbers.ROWS_AT_ONCE:
                entry = self._queue.popleft()
                try:
                    lines.append(self._scribe.line(entry))
                except Exception:
                    self._dropped += 1
                    log.exception("the request %s is not recorded", entry.request_id)
            if not lines:
                break
            self._held.add(lines)

    def _rest(self, until: float) -> None:
        """Wait for some more, not beyond this moment.

        Who wants Python's lock gets it from a thread that works on only after 5 ms, and the event loop cannot wait for
        so long. While this thread rests, nobody waits for it.
        """
        self._many.clear()
        if self._hurried:
            return
        if len(self._queue) < numbers.ROWS_AT_ONCE:
            self._many.wait(max(0.0, until - time.monotonic()))
        else:
            time.sleep(numbers.REST)

    @property
    def _hurried(self) -> bool:
        return self._closed or len(self._queue) >= numbers.HURRY_ROWS

    def _write(self) -> None:
        untold = self._lost - self._told
        history = self._opened()
        try:
            pause = 0.0 if self._hurried else numbers.REST
            history.record(self._held, now=self._now(), lost=untold, pause=pause)
            self._written += len(self._held)
            self._told += untold
            self._held = Batch()
        except ConfigError:  # one of them is nothing that can be kept, such as half a character in a name
            self._write_singly(history)

    def _write_singly(self, history: History) -> None:
        left = deque(self._held.lines)
        try:
            while left:
                try:
                    history.record(Batch([left[0]]), now=self._now())
                    self._written += 1
                except ConfigError as error:
                    self._dropped += 1
                    log.warning("the request %s is not recorded: %s", left[0].request_id, error)
                left.popleft()
        finally:
            self._held = Batch(left)

    def _prune(self, history: History) -> None:
        now = self._now()
        removed = history.retention.step(
            before=now - self.settings.keep_days * _DAY, max_bytes=self.settings.max_bytes, now=now
        )
        self._pruning = removed > 0
        self._prune_at = self._clock() + (0.0 if removed else numbers.PRUNE_SECONDS)

    def _opened(self) -> History:
        if self._history is None:
            self._history = self._open(self._path)
        return self._history

    def _keeps_trying(self, error: StoreError) -> bool:
        """Whether what could not be written may be written a moment later."""
        patient = self._clock() - self._held_since < numbers.LOCKED_SECONDS
        return isinstance(error, DatabaseLocked) and patient and not self._closed

    def _forget(self, count: int) -> None:
        if count:
            self._dropped += count
            self._held = Batch()

    def _close_file(self) -> None:
        history, self._history = self._history, None
        if history is not None:
            history.close()

    def _now(self) -> int:
        return int(self.wall() * 1000)


_DAY: Final = 86_400_000
_CLOSING: Final = 5.0  # seconds that closing waits for the disk
