"""The HTTP/1.1 that a loopback backend reads and writes, as values: requests, the steps of a reply, their framing."""

from __future__ import annotations

import enum
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

if TYPE_CHECKING:
    from provider_router.backends.voice import Voice

MAX_HEAD_BYTES: Final = 65_536


@frozen(kw_only=True)
class Request:
    """One request as it arrived.

    Attributes:
        path: The path without its query.
        headers: Names in lower case; a repeated header's values are joined by ", ".
        body: The bytes as sent, already taken out of a chunked coding.
        connection: Which connection of the backend brought it, from 1.
        turn: Which request on that connection it is, from 1.
        default_model: The model that the backend serves when the request names none.
        voice: How the backend that got it says things; OpenAI's way if None.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = b""
    connection: int = 1
    turn: int = 1
    default_model: str = ""
    voice: Voice | None = field(default=None, repr=False, eq=False)

    @property
    def json(self) -> Any:
        """The decoded body.

        Raises:
            ValueError: The body is no JSON.
        """
        return json.loads(self.body)

    @property
    def fields(self) -> dict[str, Any]:
        """The decoded body if it is a JSON object, else an empty one."""
        try:
            decoded = self.json
        except ValueError:
            return {}
        return decoded if isinstance(decoded, dict) else {}

    @property
    def model(self) -> str:
        """The model asked for, else the backend's own."""
        return str(self.fields.get("model") or self.default_model)

    @property
    def streamed(self) -> bool:
        """Whether the answer is to be a stream."""
        return self.fields.get("stream") is True if self.voice is None else self.voice.streamed(self)


class End(enum.Enum):
    """How a reply can stop being one."""

    CLOSE = "close"
    """Close the connection in order (FIN), whatever was promised."""
    RESET = "reset"
    """Drop the connection (RST)."""
    STALL = "stall"
    """Say nothing more and keep the connection, until the caller goes away or the backend stops."""


CLOSE: Final = End.CLOSE
RESET: Final = End.RESET
STALL: Final = End.STALL


@frozen
class Pause:
    """Say nothing for that many seconds, then go on."""

    seconds: float


@frozen
class Until:
    """Say nothing until the event is set, then go on."""

    event: threading.Event


Step = bytes | Pause | Until | End
"""What a backend does next on the connection: bytes are written as they are, at once."""

Reply = Callable[[Request], Iterable[Step]]
"""What a backend does with a request. It may be a generator: a step is taken when the one before it is done."""


def encode(value: object) -> bytes:
    """Encode a value as compact JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Return a response's status line and headers, up to and with the empty line."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:  # 529 and its like are in use, but in no list
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def response(
    body: bytes, *, status: int = 200, content_type: str = "application/json", headers: Mapping[str, str] | None = None
) -> bytes:
    """Return a whole response, framed by its Content-Length."""
    framing = {"content-type": content_type, "content-length": str(len(body))}
    return head(status, framing | dict(headers or {})) + body


def event(data: object, *, name: str = "") -> bytes:
    """Return one server-sent event; a text is taken as it is, anything else becomes JSON."""
    line = data.encode() if isinstance(data, str) else encode(data)
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + line + b"\n\n"


DONE: Final = event("[DONE]")


def chunked(data: bytes) -> bytes:
    """Return the bytes as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK: Final = b"0\r\n\r\n"


def stream(pieces: Iterable[Step], *, content_type: str = "text/event-stream") -> Iterator[Step]:
    """Return a chunked response of these pieces; the end is only reached where no piece ended it before.

    A piece that is empty is left out: as a chunk it would be the end.
    """
    yield head(200, {"content-type": content_type, "cache-control": "no-cache", "transfer-encoding": "chunked"})
    for piece in pieces:
        if piece != b"":
            yield chunked(piece) if isinstance(piece, bytes) else piece
    yield LAST_CHUNK


class NotHTTP(ValueError):
    """What arrived is no HTTP/1.1 request."""


def read_request(received: bytearray, *, connection: int, turn: int) -> Request | None:
    """Take one whole request off the front of what was received.

    Returns:
        The request, or None if it is not all there yet; then nothing is taken.

    Raises:
        NotHTTP: The bytes are no HTTP/1.1 request.
    """
    if received and not (0x41 <= received[0] <= 0x5A):  # a TLS handshake begins with 0x16, and no empty line ever comes
        raise NotHTTP("a request begins with a method in capitals")
    end = received.find(b"\r\n\r\n")
    if end < 0:
        if len(received) > MAX_HEAD_BYTES:
            raise NotHTTP("the head has no end")
        return None
    request_line, *lines = received[:end].decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    try:
        method, target, _ = request_line.split(" ")
        for line in lines:
            name, value = line.split(":", 1)
            known = headers.get(name.lower())
            headers[name.lower()] = value.strip() if known is None else f"{known}, {value.strip()}"
        found = _read_body(received, end + 4, headers)
    except ValueError as error:
        raise NotHTTP(str(error)) from error
    if found is None:
        return None
    body, length = found
    del received[:length]
    path, _, query = target.partition("?")
    return Request(method=method, path=path, query=query, headers=headers, body=body, connection=connection, turn=turn)


def expects_continue(received: bytearray) -> bool:
    """Tell whether the caller holds its body back until it is told to go on."""
    end = received.find(b"\r\n\r\n")
    return end >= 0 and b"expect: 100-continue" in received[:end].lower()


def _read_body(received: bytearray, start: int, headers: Mapping[str, str]) -> tuple[bytes, int] | None:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        end = start + int(headers.get("content-length", "0"))
        return (bytes(received[start:end]), end) if len(received) >= end else None
    body = bytearray()
    while (line_end := received.find(b"\r\n", start)) >= 0:
        size = int(received[start:line_end].split(b";")[0], 16)
        start = line_end + 2
        if len(received) < start + size + 2:
            break
        if size == 0:
            return bytes(body), start + 2
        body += received[start : start + size]
        start += size + 2
    return None
