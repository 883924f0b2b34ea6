"""What a loopback server has seen: requests, connections, callers who went away. Safe to read from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

from provider_router.backends.wire import Request


class Traffic:
    """A record of what came in, and a way to wait for it without sleeping."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: list[Request] = []
        self._connections = 0
        self._open_connections = 0
        self._hang_ups = 0

    @property
    def requests(self) -> list[Request]:
        """Every request that has arrived whole, in that order (a copy)."""
        with self._changed:
            return list(self._requests)

    @property
    def connections(self) -> int:
        """How many connections have been accepted."""
        with self._changed:
            return self._connections

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        with self._changed:
            return self._open_connections

    @property
    def hang_ups(self) -> int:
        """How many callers have gone away before their reply was at its end."""
        with self._changed:
            return self._hang_ups

    def wait_until(self, reached: Callable[[Self], bool], *, timeout: float = 5.0) -> bool:
        """Wait until something can be seen, such as `lambda backend: backend.hang_ups == 1`.

        Args:
            reached: Asked at every change.
            timeout: Longest wait, in seconds.

        Returns:
            Whether it was reached in time.
        """
        with self._changed:
            return self._changed.wait_for(lambda: reached(self), timeout)

    def wait_closed(self, *, timeout: float = 5.0) -> bool:
        """Wait until no connection is open; says whether that came within `timeout` seconds."""
        return self.wait_until(lambda traffic: traffic.open_connections == 0, timeout=timeout)

    def _note(self, *, request: Request | None = None, accepted: int = 0, closed: int = 0, hang_ups: int = 0) -> None:
        with self._changed:
            if request is not None:
                self._requests.append(request)
            self._connections += accepted
            self._open_connections += accepted - closed
            self._hang_ups += hang_ups
            self._changed.notify_all()
