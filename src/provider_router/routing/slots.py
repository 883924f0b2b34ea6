"""SlotQueue: where requests sleep until a slot falls free."""

from __future__ import annotations

import anyio


class SlotQueue:
    """Where requests sleep until a call in flight ends. All are woken: the line says whose turn it is."""

    def __init__(self) -> None:
        self._freed: anyio.Event | None = None

    async def wait(self, seconds: float) -> None:
        """Until a slot may be free, or the seconds are over."""
        if self._freed is None:
            self._freed = anyio.Event()
        with anyio.move_on_after(seconds):
            await self._freed.wait()

    def wake(self) -> None:
        """A slot fell free, or somebody left the line."""
        freed, self._freed = self._freed, None
        if freed is not None:
            freed.set()
