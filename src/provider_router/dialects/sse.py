"""Server-sent events in and out, without I/O (https://html.spec.whatwg.org/multipage/server-sent-events.html).

Lines end at CR, LF or CRLF and nowhere else: `str.splitlines` would also cut at U+2028, U+0085 and form feeds, which
JSON may hold unescaped. Two things are more tolerant than the standard, because backends need it: the
Content-Type does not matter, and an event without a blank line at the very end still counts.
"""

from __future__ import annotations

from typing import NamedTuple

COMMENT = ":\n"  # no event can be of this type, for a type holds no line end


class Event(NamedTuple):
    """One event. `event` is its type, `message` where none is given, `COMMENT` for a comment (a ping)."""

    data: bytes
    event: str = "message"
    id: str = ""


class EventParser:
    """Bytes in, events out, whatever the cutting of the bytes."""

    __slots__ = ("_data", "_data_size", "_event", "_id", "_rest", "_rest_size", "_seen_cr", "_start")

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # an unfinished line, in the pieces in which it came
        self._rest_size = 0
        self._seen_cr = False  # the last piece ended in CR: an LF that follows belongs to it
        self._start = True
        self._data: list[bytes] = []
        self._data_size = 0
        self._event = ""
        self._id = ""

    @property
    def pending(self) -> int:
        """Bytes held back of an event that is not complete yet."""
        return self._rest_size + self._data_size

    def feed(self, piece: bytes) -> list[Event]:
        """The events that this piece completes, comments among them, in order."""
        if not piece:
            return []
        if self._seen_cr:
            self._seen_cr = False
            if piece[0] == 0x0A:
                piece = piece[1:]
        if piece[-1:] == b"\r":
            self._seen_cr = True
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in piece:
            if piece:
                self._hold(piece)
            return []
        lines = piece.split(b"\n")
        if self._rest:
            lines[0] = self._held() + lines[0]
        if rest := lines.pop():
            self._hold(rest)
        events: list[Event] = []
        for line in lines:
            if not line and len(self._data) == 1 and not self._event:  # nearly every event is one line of data
                events.append(Event(self._data.pop(), "message", self._id))
                self._data_size = 0
            elif line[:6] == b"data: ":
                self._add(line[6:])
            else:
                self._line(line, events)
        return events

    def close(self) -> list[Event]:
        """The event that the end of the stream cut off from its blank line, if there is one."""
        events: list[Event] = []
        if self._rest:
            self._line(self._held(), events)
        self._line(b"", events)
        return events

    def _hold(self, piece: bytes) -> None:
        self._rest.append(piece)
        self._rest_size += len(piece)

    def _held(self) -> bytes:
        line = b"".join(self._rest)
        self._rest = []
        self._rest_size = 0
        return line

    def _add(self, line: bytes) -> None:
        self._data.append(line)
        self._data_size += len(line) + 1

    def _line(self, line: bytes, events: list[Event]) -> None:
        if self._start:
            self._start = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            if self._data:
                data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                events.append(Event(data, self._event or "message", self._id))
                self._data = []
                self._data_size = 0
            self._event = ""
            return
        if line[:5] == b"data:":
            self._add(line[6:] if line[5:6] == b" " else line[5:])
            return
        if line[:1] == b":":
            events.append(Event(line[1:], COMMENT))
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._add(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")


def write_event(data: bytes, *, event: str = "") -> bytes:
    """One event as bytes. Data of several lines goes out as several `data:` fields; an event's type is one line."""
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    head = f"event: {_one_line(event)}\n".encode() if event else b""
    return head + b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"


def write_comment(text: str = "ping") -> bytes:
    """A comment, which keeps a connection alive and is no event."""
    return f": {_one_line(text)}\n\n".encode()


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")
