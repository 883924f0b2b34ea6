"""A listening socket on 127.0.0.1 that can stop listening and begin again on the same port."""

from __future__ import annotations

import os
import selectors
import socket
from typing import Final

HOST: Final = "127.0.0.1"
# Connections that may be needed to fill a backlog of "none": systems round it up.
_MAX_FILLERS: Final = 64
# How long a connection of our own may take before the backlog counts as full, in seconds.
_FULL_AFTER: Final = 0.05


class Listener:
    """A port that is listening, closed (but kept), or a black hole."""

    def __init__(self, port: int) -> None:
        """Bind to the port; 0 takes a free one.

        Raises:
            OSError: The port is taken.
        """
        self.port = port
        self._fillers: list[socket.socket] = []
        self._bind()

    def listen(self) -> None:
        """Accept connections, whatever the port was before."""
        self.refuse()
        self.socket.listen(128)
        self.socket.setblocking(False)

    def refuse(self) -> None:
        """Refuse connections: the port is bound, so that nobody else gets it, and nothing listens."""
        self.close()
        self._bind()

    def swallow(self) -> None:
        """Let connections neither succeed nor fail: the backlog is filled with some of our own."""
        self.refuse()
        self.socket.listen(0)
        for _ in range(_MAX_FILLERS):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((HOST, self.port))
            self._fillers.append(filler)
            with selectors.DefaultSelector() as connected:
                connected.register(filler, selectors.EVENT_WRITE)
                if not connected.select(_FULL_AFTER):
                    return

    def close(self) -> None:
        """Give up the port."""
        self.socket.close()
        while self._fillers:
            self._fillers.pop().close()

    def _bind(self) -> None:
        self.socket = socket.socket()
        if os.name == "posix":  # on Windows the same option would let others take the port
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.socket.bind((HOST, self.port))
        except OSError:
            self.socket.close()
            raise
        self.port = self.socket.getsockname()[1]
