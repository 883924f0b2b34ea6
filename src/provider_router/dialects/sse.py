"""Server-sent events in and out, without I/O (https://html.spec.whatwg.org/multipage/server-sent-events.html).

Lines end at CR, LF or CRLF and nowhere else: `str.splitlines` would also cut at U+2028, U+0085 and form feeds, which
JSON may hold unescaped. Two things are more tolerant than the standard, because backends need it: the
Content-Type does not matter, and an event without a blank line at the very end still counts.
"""

from __future__ import annotations

from attrs import frozen

COMMENT = "comment"


@frozen
class Event:
    """One event. `event` is its type, `message` where none is given, `COMMENT` for a comment (a ping)."""

    data: bytes
    event: str = "message"
    id: str = ""


class EventParser:
    """Bytes in, events out, whatever the cutting of the bytes."""

    __slots__ = ("_data", "_event", "_id", "_rest", "_seen_cr", "_start")

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # an unfinished line, in the pieces in which it came
        self._seen_cr = False  # the last piece ended in CR: an LF that follows belongs to it
        self._start = True
        self._data: list[bytes] = []
        self._event = ""
        self._id = ""

    @property
    def pending(self) -> int:
        """Bytes held back of an event that is not complete yet."""
        return sum(map(len, self._rest)) + sum(map(len, self._data))

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
                self._rest.append(piece)
            return []
        lines = piece.split(b"\n")
        if self._rest:
            lines[0] = b"".join([*self._rest, lines[0]])
            self._rest = []
        if lines[-1]:
            self._rest.append(lines[-1])
        lines.pop()
        events: list[Event] = []
        for line in lines:
            self._line(line, events)
        return events

    def close(self) -> list[Event]:
        """The event that the end of the stream cut off from its blank line, if there is one."""
        events: list[Event] = []
        if self._rest:
            line, self._rest = b"".join(self._rest), []
            self._line(line, events)
        self._line(b"", events)
        return events

    def _line(self, line: bytes, events: list[Event]) -> None:
        if self._start:
            self._start = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            if self._data:
                data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                events.append(Event(data, self._event or "message", self._id))
                self._data = []
            self._event = ""
            return
        if line[:5] == b"data:":
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            return
        if line[:1] == b":":
            events.append(Event(line[1:], COMMENT))
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")


def write_event(data: bytes, *, event: str = "") -> bytes:
    """One event as bytes. Data of several lines goes out as several `data:` fields."""
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    head = f"event: {event}\n".encode() if event else b""
    return head + b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"


def write_comment(text: str = "ping") -> bytes:
    """A comment, which keeps a connection alive and is no event."""
    return b": " + text.replace("\r", " ").replace("\n", " ").encode() + b"\n\n"
