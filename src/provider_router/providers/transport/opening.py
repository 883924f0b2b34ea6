"""Openings: how the requests of one provider begin, in bytes that are made once."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
from attrs import frozen

from provider_router.providers.transport.request import Head
from provider_router.providers.transport.transport import PORTS, Origin, port_of

# What changes how a request is framed is httpx's to weigh.
_FRAMING = frozenset(["content-length", "transfer-encoding", "upgrade"])


@frozen
class Opening:
    """A request's head without its end.

    Attributes:
        origin: where it goes.
        data: the bytes up to the last header.
        last: whether it asks for the connection's end.
    """

    origin: Origin
    data: bytes
    last: bool

    def request(self, body: bytes | None) -> bytes:
        """The whole request."""
        if body is None:
            return self.data + b"\r\n"
        return b"%bContent-Length: %d\r\n\r\n%b" % (self.data, len(body), body)


def opening(method: str, url: str, headers: Mapping[str, str]) -> Opening | None:
    """How a request to this address begins; None where httpx has to see to it.

    Raises:
        httpx.InvalidURL: for an address that is none.
        httpx.LocalProtocolError: for what HTTP forbids.
        UnicodeError: for a header that is not ASCII.
    """
    where = httpx.URL(url)
    if where.raw_scheme not in PORTS or where.userinfo or not where.host or not _FRAMING.isdisjoint(headers):
        return None
    raw = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
    if "host" not in headers:
        raw.append((b"Host", where.netloc))
    head = Head(method.encode("ascii"), where.raw_path, raw)
    host = where.raw_host.decode("ascii")
    return Opening((where.raw_scheme, where.raw_host, port_of(where), host), head.data[:-2], head.last)
