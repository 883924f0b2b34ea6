"""SlotQueue: requests that wait for a free slot, in arrival order."""

from __future__ import annotations

from collections import deque

import anyio


class SlotQueue:
    """Who waits until a call in flight ends. The longest waiting is woken first, and wakes the next if it leaves."""

    def __init__(self) -> None:
        self._waiting: deque[anyio.Event] = deque()

    async def wait(self, seconds: float) -> None:
        """Until a slot may be free, or the seconds are over."""
        event = anyio.Event()
        self._waiting.append(event)
        try:
            with anyio.move_on_after(seconds):
                await event.wait()
        finally:
            if event in self._waiting:
                self._waiting.remove(event)

    def wake(self) -> None:
        """A slot fell free."""
        if self._waiting:
            self._waiting.popleft().set()
