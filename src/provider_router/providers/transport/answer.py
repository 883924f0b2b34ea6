"""Answer: what a peer says to one request, read with llhttp and checked further; it does no I/O.

It is taken more strictly than llhttp takes it by itself, and nowhere less strictly than h11 does. What smuggles is
refused: a length beside chunks, a length twice, folded headers, bare line ends.
"""

from __future__ import annotations

import re
from typing import Final

import httpx

try:
    import httptools
except ImportError:  # a platform without it: stock httpx does everything
    httptools = None  # type: ignore[assignment]

PARSES: Final = httptools is not None
"""Whether there is a parser."""

MOST_HEAD_BYTES: Final = 100 * 1024  # h11's bound as httpx sets it
MOST_HEADERS: Final = 256

_H: Final = ord("H")
_MOST_DIGITS: Final = 20  # of a Content-Length, as with h11
_ILLEGAL_IN_REASON: Final = re.compile(rb"[\x00\x0b\x0c]")
_FRAMING: Final = frozenset([b"connection", b"content-encoding", b"content-length", b"transfer-encoding"])
_WITHOUT_BODY: Final = frozenset([204, 304])


class _Refused(Exception):
    """What llhttp would let pass, and must not."""


class Answer:
    """The answers on one connection, one after the other.

    Attributes:
        status: HTTP status; 0 until the head is here. Heads of 1xx are passed over.
        version: such as `1.1`.
        reason: the status in words.
        headers: as they came, names too.
        encoding: the Content-Encoding, in lower case.
        ended: whether all of it is here.
        reusable: whether another answer may follow on the connection.
        touched: whether any byte of it came.
        unread: bytes of the body that wait for `take`.
    """

    __slots__ = (
        "_bodiless",
        "_head_bytes",
        "_parser",
        "_pieces",
        "_until_close",
        "encoding",
        "ended",
        "headers",
        "reason",
        "reusable",
        "status",
        "touched",
        "unread",
        "version",
    )

    def __init__(self) -> None:
        self._parser: httptools.HttpResponseParser | None = None
        self._bodiless = False
        self.begin()

    def begin(self) -> None:
        """Be ready for the next answer."""
        if self._bodiless:
            self._parser = None  # which waits for the body still
        self._bodiless = False
        self._until_close = False
        self._head_bytes = 0
        self._pieces: list[bytes] = []
        self.status = 0
        self.version = ""
        self.reason = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.encoding = b""
        self.ended = False
        self.reusable = True
        self.touched = False
        self.unread = 0

    def expect(self, *, bodiless: bool) -> None:
        """A request was made; the answer to HEAD is bodiless whatever its head says."""
        self._bodiless = bodiless
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
            # h11 bears them too, "because some servers on the wild use it".
            self._parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)

    def feed(self, data: bytes) -> None:
        """Take in what arrived.

        Raises:
            httpx.RemoteProtocolError: for what is no HTTP, or no answer that may be trusted.
        """
        if not self.touched:
            self.touched = True
            if data[0] != _H:
                raise httpx.RemoteProtocolError("illegal status line")
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.reusable = False
            if not self.ended:
                raise httpx.RemoteProtocolError(str(error.__context__ or error)) from None
            return
        if not self.status:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                raise httpx.RemoteProtocolError("the head is too long")

    def close(self) -> None:
        """The peer will say no more.

        Raises:
            httpx.RemoteProtocolError: where the answer is not whole.
        """
        self.reusable = False
        if self.ended:
            return
        if not self.status:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        if not self._until_close:
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")
        self.ended = True

    def take(self) -> bytes:
        """What lies here unread of the body."""
        pieces = self._pieces
        self._pieces = []
        self.unread = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def forget(self) -> None:
        """Let go of the parser, which refers to us."""
        self._parser = None

    # What llhttp tells

    def on_message_begin(self) -> None:
        if self.ended:
            raise _Refused("more than one answer")

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        headers = self.headers
        if self.status:  # trailers; they count, and nobody asks for them
            self._head_bytes += len(name) + len(value)
            if self._head_bytes > MOST_HEAD_BYTES:
                raise _Refused("the trailers are too long")
            return
        if len(headers) == MOST_HEADERS:
            raise _Refused("too many headers")
        headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        status = parser.get_status_code()
        if status < 100 or status == 101:
            raise _Refused(f"status {status} was not asked for")
        if _ILLEGAL_IN_REASON.search(self.reason):
            raise _Refused("illegal status line")
        framed = close = False
        encoding = b""
        for name, value in self.headers:
            known = name.lower()
            if known not in _FRAMING:
                continue
            if known == b"content-encoding":
                encoding = value.strip().lower()
            elif known == b"content-length":
                if len(value) > _MOST_DIGITS:
                    raise _Refused("bad Content-Length")
                framed = True
            elif known == b"transfer-encoding":
                if framed or value.lower() != b"chunked":
                    raise _Refused("only one Transfer-Encoding, chunked, is understood")
                framed = True
            elif b"close" in [token.strip() for token in value.lower().split(b",")]:
                close = True
        if status < 200:
            self.headers.clear()
            self.reason = b""
            return
        self.version = parser.get_http_version()
        self.encoding = encoding
        self._head_bytes = 0
        self.status = status
        if self._bodiless or status in _WITHOUT_BODY:
            self.ended = True
        elif not framed:
            self._until_close = True
        if close or self._until_close or self.version < "1.1":
            self.reusable = False

    def on_body(self, data: bytes) -> None:
        if self.ended:
            self.reusable = False
            return
        self._pieces.append(data)
        self.unread += len(data)

    def on_message_complete(self) -> None:
        if self.status:
            self.ended = True
