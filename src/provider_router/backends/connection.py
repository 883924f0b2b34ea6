"""Connection: what a server remembers of one caller."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

from attrs import define, field

from provider_router.backends.wire import Step


@define(eq=False)
class Connection:
    """One accepted connection, between two of its steps.

    Attributes:
        serial: its number, from 1.
        received: what came and is not yet a whole request.
        outgoing: what the caller has not taken yet.
        turn: how many requests came on it.
        steps: what is left of the reply; None between two.
        last_turn: whether it is closed after this reply.
        continued: whether 100 Continue was said for the request that is arriving.
        wake_at: when a pause ends, on the monotonic clock.
        event: what the next step waits for.
        stalled: whether nothing will ever be said again.
    """

    socket: socket.socket
    serial: int
    received: bytearray = field(factory=bytearray)
    outgoing: bytearray = field(factory=bytearray)
    turn: int = 0
    steps: Iterator[Step] | None = None
    last_turn: bool = False
    continued: bool = False
    wake_at: float | None = None
    event: threading.Event | None = None
    stalled: bool = False

    def waits(self, now: float) -> bool:
        """Tell whether the next step has to wait still."""
        if self.event is not None and self.event.is_set():
            self.event = None
        if self.wake_at is not None and self.wake_at <= now:
            self.wake_at = None
        return self.stalled or self.event is not None or self.wake_at is not None
