"""A loopback HTTP/1.1 server that can die, freeze and come back: one thread, one selector, replies step by step."""

from __future__ import annotations

import os
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from provider_router.backends.connection import Connection
from provider_router.backends.listener import HOST, Listener
from provider_router.backends.traffic import Traffic
from provider_router.backends.wire import (
    CLOSE,
    RESET,
    STALL,
    NotHTTP,
    Pause,
    Reply,
    Step,
    Until,
    expects_continue,
    read_request,
    response,
)

_READ_BYTES: Final = 65_536
# Steps that one connection takes before the others get their turn: a reply may have no end.
_STEPS_PER_TURN: Final = 64
# threading.Event has nothing a selector could wait for, so an awaited one is looked at this often, in seconds.
_EVENT_INTERVAL: Final = 0.005
_NO_LINGER: Final = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
_NOT_HTTP: Final = response(b"This port speaks HTTP.\n", status=400, content_type="text/plain")


class Server(Traffic):
    """A server on a free port of 127.0.0.1, from enter to exit of its `with` block.

    All methods may be called from any thread. Everything that was
    opened is closed at exit; an exception raised by a reply is raised there.
    """

    def __init__(self, reply_to: Reply, *, port: int = 0, scheme: str = "http", greeting: bytes = b"") -> None:
        """Prepare a server.

        Args:
            reply_to: What is done with a request; called in the server's own thread.
            port: The port to listen on; 0 takes a free one.
            scheme: What `url` begins with. No TLS is spoken: with "https" every handshake fails.
            greeting: What a caller is sent before it has said anything; it gets nothing else then.
        """
        super().__init__()
        self._reply_to = reply_to
        self.port = port
        self.scheme = scheme
        self.greeting = greeting
        self._open: set[Connection] = set()
        self._frozen = False
        self._stopping = False
        self._failure: Exception | None = None
        self._actions: deque[tuple[Callable[[], None], threading.Event]] = deque()
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The origin, such as `http://127.0.0.1:49152`."""
        return f"{self.scheme}://{HOST}:{self.port}"

    @property
    def base_url(self) -> str:
        """What a provider is configured with: the origin and `/v1`."""
        return f"{self.url}/v1"

    def __enter__(self) -> Self:
        self._listener = Listener(self.port)
        self.port = self._listener.port
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._selector.register(self._wake_in, selectors.EVENT_READ, lambda: self._wake_in.recv(_READ_BYTES))
        self._stopping = self._frozen = False
        self._listen()
        self._thread = threading.Thread(target=self._run, name=f"backend-{self.port}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._do(self._stop)
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        failure, self._failure = self._failure, None
        if failure is not None and error is None:
            raise failure

    def kill(self) -> None:
        """Die: reset every connection and refuse new ones. The port stays ours until exit, for `revive`."""
        self._do(self._kill)

    def revive(self) -> None:
        """Listen again, on the same port."""
        self._do(self._revive)

    def freeze(self) -> None:
        """Stop answering, as a stopped process does: connections are accepted, requests noted, nothing is said."""
        self._do(self._freeze)

    def thaw(self) -> None:
        """Go on where `freeze` stopped."""
        self._do(self._thaw)

    def swallow(self) -> None:
        """Become a black hole: connecting to the port neither succeeds nor fails. `revive` ends it.

        The backlog is filled with connections of our own, so that further ones are dropped without a word. Linux and
        macOS do that; Windows refuses them instead.
        """
        self._do(self._swallow)

    def _do(self, action: Callable[[], None]) -> None:
        thread = self._thread
        if thread is threading.current_thread():
            action()
        elif thread is not None:
            done = threading.Event()
            self._actions.append((action, done))
            with suppress(OSError):  # it stopped while we asked
                self._wake_out.send(b"!")
            while not done.wait(0.1) and thread.is_alive():
                pass

    # All that follows runs in the server's own thread

    def _run(self) -> None:
        try:
            while not self._stopping:
                for key, _ in self._selector.select(self._longest_sleep()):
                    key.data()
                while self._actions:
                    action, done = self._actions.popleft()
                    action()
                    done.set()
                for connection in list(self._open):
                    self._advance(connection)
        finally:
            for connection in list(self._open):
                self._close(connection)
            self._listener.close()
            self._wake_in.close()
            self._wake_out.close()
            self._selector.close()

    def _longest_sleep(self) -> float | None:
        if self._frozen:
            return None
        waits: list[float] = []
        for connection in self._open:
            if connection.stalled or connection.outgoing:
                continue
            if connection.event is not None:
                waits.append(_EVENT_INTERVAL)
            elif connection.wake_at is not None:
                waits.append(max(0.0, connection.wake_at - time.monotonic()))
            elif connection.steps is not None:
                waits.append(0.0)
        return min(waits, default=None)

    def _stop(self) -> None:
        self._stopping = True

    def _freeze(self) -> None:
        self._frozen = True
        for connection in self._open:  # else the selector would go on telling what can be written to
            self._watch(connection, selectors.EVENT_READ)

    def _thaw(self) -> None:
        self._frozen = False

    def _kill(self) -> None:
        self._unlisten()
        for connection in list(self._open):
            self._reset(connection)

    def _revive(self) -> None:
        self._unlisten()
        self._listen()

    def _swallow(self) -> None:
        self._kill()
        self._listener.swallow()

    def _listen(self) -> None:
        self._listener.listen()
        self._selector.register(self._listener.socket, selectors.EVENT_READ, self._accept)

    def _unlisten(self) -> None:
        if self._listener.socket in self._selector.get_map():
            self._selector.unregister(self._listener.socket)
        self._listener.refuse()

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.socket.accept()
        except OSError:  # gone again before it was accepted
            return
        peer.setblocking(False)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._note(accepted=1)
        connection = Connection(peer, self.connections)
        self._open.add(connection)
        self._selector.register(peer, selectors.EVENT_READ, lambda: self._read(connection))
        if self.greeting:
            connection.outgoing += self.greeting
            connection.stalled = True

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(_READ_BYTES)
        except BlockingIOError:  # woken because it can be written to
            return
        except OSError:
            data = b""
        if data:
            connection.received += data
        else:
            self._hang_up(connection)

    def _advance(self, connection: Connection) -> None:
        taken = 0
        while connection in self._open:
            if connection.steps is None and not connection.stalled and not self._begin(connection):
                return
            if self._frozen or (connection.outgoing and not self._flush(connection)):
                return
            if connection.steps is None or connection.waits(time.monotonic()) or taken == _STEPS_PER_TURN:
                return
            taken += 1
            self._take_step(connection, connection.steps)

    def _begin(self, connection: Connection) -> bool:
        try:
            request = read_request(connection.received, connection=connection.serial, turn=connection.turn + 1)
        except NotHTTP:
            connection.received.clear()
            connection.steps = iter((_NOT_HTTP, CLOSE))
            return True
        if request is None:
            if not connection.continued and expects_continue(connection.received):
                connection.continued = True
                connection.outgoing += b"HTTP/1.1 100 Continue\r\n\r\n"
            return bool(connection.outgoing)
        connection.turn += 1
        connection.continued = False
        connection.last_turn = request.headers.get("connection", "").lower() == "close"
        self._note(request=request)
        try:
            connection.steps = iter(self._reply_to(request))
        except Exception as error:
            self._fail(connection, error)
            return False
        return True

    def _take_step(self, connection: Connection, steps: Iterator[Step]) -> None:
        try:
            step = next(steps, None)
        except Exception as error:
            self._fail(connection, error)
            return
        if step is None:
            connection.steps = None
            if connection.last_turn:
                self._close(connection)
        elif isinstance(step, bytes):
            connection.outgoing += step
        elif isinstance(step, Pause):
            connection.wake_at = time.monotonic() + step.seconds
        elif isinstance(step, Until):
            connection.event = step.event
        elif step is STALL:
            connection.stalled = True
        elif step is RESET:
            self._reset(connection)
        else:
            self._close(connection)

    def _flush(self, connection: Connection) -> bool:
        try:
            sent = connection.socket.send(connection.outgoing)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._hang_up(connection)
            return False
        del connection.outgoing[:sent]
        rest = bool(connection.outgoing)
        self._watch(connection, selectors.EVENT_READ | (selectors.EVENT_WRITE if rest else 0))
        return not rest

    def _watch(self, connection: Connection, events: int) -> None:
        key = self._selector.get_key(connection.socket)
        if key.events != events:
            self._selector.modify(connection.socket, events, key.data)

    def _fail(self, connection: Connection, error: Exception) -> None:
        self._failure = self._failure or error
        self._reset(connection)

    def _hang_up(self, connection: Connection) -> None:
        self._close(connection, hang_ups=int(connection.steps is not None))

    def _reset(self, connection: Connection) -> None:
        with suppress(OSError):  # macOS: the caller was faster
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._close(connection)

    def _close(self, connection: Connection, *, hang_ups: int = 0) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()
        connection.steps = None
        self._open.discard(connection)
        self._note(closed=1, hang_ups=hang_ups)
