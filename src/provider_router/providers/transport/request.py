"""A request's head in bytes, and how its body is framed; h11's rules, whose breach is a LocalProtocolError."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import httpx

_TOKEN: Final = re.compile(rb"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")
_VALUE: Final = re.compile(rb"([^\x00\s]+(?:[ \t]+[^\x00\s]+)*)?")
_TARGET: Final = re.compile(rb"[\x21-\x7e]+")
_LENGTH: Final = re.compile(rb"[0-9]{1,20}")

Headers = Iterable[tuple[bytes, bytes]]


class Head:
    """The head of one request.

    Attributes:
        data: its bytes, up to and with the empty line.
        length: of the body, in bytes; None for a chunked one.
        last: whether it asks for the connection's end.
        upgrades: whether it asks for another protocol, which is none of ours.
    """

    __slots__ = ("data", "last", "length", "upgrades")

    def __init__(self, method: bytes, target: bytes, headers: Headers) -> None:
        """A head that may be sent.

        Raises:
            httpx.LocalProtocolError: for what HTTP forbids.
        """
        if not _TOKEN.fullmatch(method):
            raise httpx.LocalProtocolError("Illegal method characters")
        if not _TARGET.fullmatch(target):
            raise httpx.LocalProtocolError("Illegal target characters")
        self.length: int | None = 0
        self.last = False
        self.upgrades = method == b"CONNECT"
        hosts: list[bytes] = []
        others: list[bytes] = []
        lengths: set[bytes] = set()
        chunked = False
        for name, value in headers:
            if not _TOKEN.fullmatch(name):
                raise httpx.LocalProtocolError(f"Illegal header name {name!r}")
            if not _VALUE.fullmatch(value):
                raise httpx.LocalProtocolError("Illegal header value")  # which may be a secret
            line = b"%b: %b\r\n" % (name, value)
            match name.lower():
                case b"host":
                    hosts.append(line)
                    continue
                case b"content-length":
                    said_before = bool(lengths)
                    lengths.update(length.strip() for length in value.split(b","))
                    if len(lengths) != 1 or not _LENGTH.fullmatch(min(lengths)):
                        raise httpx.LocalProtocolError("bad Content-Length")
                    if said_before:
                        continue
                case b"transfer-encoding":
                    if chunked or value.lower() != b"chunked":
                        raise httpx.LocalProtocolError("only one Transfer-Encoding, chunked, can be sent")
                    chunked = True
                case b"connection":
                    self.last = self.last or b"close" in [token.strip() for token in value.lower().split(b",")]
                case b"upgrade":
                    self.upgrades = self.upgrades or bool(value)
            others.append(line)
        if len(hosts) != 1:
            raise httpx.LocalProtocolError("a request has one Host: header")
        if chunked:
            self.length = None
        elif lengths:
            self.length = int(lengths.pop())
        self.data = b"".join([b"%b %b HTTP/1.1\r\n" % (method, target), *hosts, *others, b"\r\n"])

    def framed(self, body: bytes) -> bytes:
        """A whole body as it goes over the wire.

        Raises:
            httpx.LocalProtocolError: where it is not as long as the head says.
        """
        if self.length is None:
            return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        if len(body) != self.length:
            much = "much" if len(body) > self.length else "little"
            raise httpx.LocalProtocolError(f"Too {much} data for declared Content-Length")
        return body
