"""LoopEnd: closes with an event loop what belongs to it, where its owner outlives the loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

import anyio


class LoopEnd:
    """The end of the event loop that is running now. It has to be kept as long as the loop is in use.

    Args:
        close: called when the loop ends, or with `aclose`, once.
    """

    def __init__(self, close: Callable[[], Awaitable[object]]) -> None:
        # Both kinds of loop close, as they end, the generators that are half-run.
        self._waiting = _until_the_end(close)
        try:
            self._waiting.asend(None).send(None)  # its first step, which waits for nothing
        except StopIteration:
            pass

    async def aclose(self) -> None:
        """Close now. May be called twice."""
        await self._waiting.aclose()


async def _until_the_end(close: Callable[[], Awaitable[object]]) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await close()
