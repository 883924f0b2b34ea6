"""Each request and each fault, through stock httpx and through ours: the same answer, or the same exception."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from provider_router.backends import FAULTS, Backend, Fault
from provider_router.backends.misbehaviour import does
from provider_router.backends.wire import CLOSE, RESET, STALL, Reply, Request, Step
from provider_router.providers.transport import Transport, shared_context

# Seconds of silence that are borne where the peer will be silent, and where only this machine can be.
SHORT, LONG = 0.6, 20.0
SILENT = ("timeout", "busy", "stalled")
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
# An answer of 65 MiB costs seconds, `make soak` has it; a stream without end has no end here either.
FEW = [fault for fault in FAULTS.values() if fault.available and fault.name not in ("oversized", "endless-preamble")]
SAMPLE = ("closed", "cut", "cut-reset", "cut-unframed", "cut-chunked", "404", "silent", "slow", "byte-by-byte", "reset")
Way = Callable[..., httpx.AsyncHTTPTransport]
Told = tuple[Any, ...]


# By their names: of some, stock httpx lets h11's own through.
async def told(way: Way, method: str, url: str, *, silence: float = LONG, context: Any = None, **request: Any) -> Told:
    """What a client gets to know: what it was answered, or what was raised and when."""
    context = shared_context() if context is None else context
    # A black hole is met in the clear only; a handshake takes its time where the machine has much to do.
    timeout = httpx.Timeout(silence, connect=LONG if url.startswith("https:") else 1.0)
    async with httpx.AsyncClient(transport=way(verify=context), timeout=timeout) as client:
        try:
            response = await client.send(client.build_request(method, url, **request), stream=True)
        except Exception as error:
            return ("before the head", type(error).__name__)
        head = (
            response.status_code,
            response.reason_phrase,
            response.http_version,
            [pair for pair in response.headers.raw if pair[0].lower() != b"date"],
        )
        try:
            pieces = [piece async for piece in response.aiter_raw()]
        except Exception as error:
            return (*head, "in the body", type(error).__name__)
        finally:
            await response.aclose()
        return (*head, b"".join(pieces))


def without_time(seen: Told) -> Told:
    """A Retry-After that is a date depends on when it was said."""
    return tuple(
        [pair for pair in part if pair[0] != b"retry-after"] if isinstance(part, list) else part for part in seen
    )


def where_reset(seen: Told) -> Told:
    """A reset may overtake what was sent before it: only what is raised is certain."""
    return seen[-1:]


async def both(url: Callable[[], str], method: str = "POST", **request: Any) -> tuple[Told, Told]:
    """What stock httpx and what our transport is told, each by a backend of its own."""
    stock, ours = await asyncio.gather(
        told(httpx.AsyncHTTPTransport, method, url(), **request), told(Transport, method, url(), **request)
    )
    return without_time(stock), without_time(ours)


def patience(fault: Fault, *, streamed: bool) -> float:
    return SHORT if (fault.stream if streamed else fault.plain) in SILENT else LONG


def named(fault: Fault) -> str:
    return fault.name


# A stream is asked for where its fault is another one than that of a plain answer.
EVERY = [
    (fault, streamed) for fault in FEW for streamed in (False, True) if not streamed or fault.plain != fault.stream
]


@pytest.mark.parametrize(
    "fault, streamed",
    [*EVERY, pytest.param(FAULTS["oversized"], False, marks=pytest.mark.soak)],
    ids=lambda value: value.name if isinstance(value, Fault) else "streamed" if value else "plain",
)
async def test_every_fault_is_told_alike(fault: Fault, streamed: bool) -> None:
    with fault.backend() as one, fault.backend() as other:
        urls = itertools.cycle([one, other])
        stock, ours = await both(
            lambda: next(urls).base_url + "/chat/completions",
            json=CHAT | {"stream": True} if streamed else CHAT,
            silence=patience(fault, streamed=streamed),
        )
    if fault.name == "cut-reset":
        stock, ours = where_reset(stock), where_reset(ours)
    assert stock == ours


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, marks=() if fault.name in SAMPLE else pytest.mark.soak)
        for fault in FEW
        if fault.scheme == "http" and fault.name not in ("refused", "black-hole")  # which the relay answers
    ],
    ids=named,
)
async def test_every_fault_behind_tls_is_told_alike(
    fault: Fault, streamed: bool, relay: Any, trusting: ssl.SSLContext
) -> None:
    with fault.backend() as one, fault.backend() as other:
        urls = iter([relay(one.port).url, relay(other.port).url])
        stock, ours = await both(
            lambda: next(urls) + "/v1/chat/completions",
            json=CHAT | {"stream": True} if streamed else CHAT,
            context=trusting,
            silence=patience(fault, streamed=streamed),
        )
    if fault.name == "cut-reset":
        stock, ours = where_reset(stock), where_reset(ours)
    assert stock == ours


@contextlib.contextmanager
def twice(reply: Reply) -> Iterator[Callable[[], str]]:
    """Two backends with this reply on every path, one after the other."""
    with Backend() as one, Backend() as other:
        for backend in (one, other):
            backend.script(reply, path="*")
        urls = itertools.cycle([one.base_url, other.base_url])
        yield lambda: next(urls) + "/thing"


OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS: dict[str, tuple[Step, ...]] = {
    "with a length": (OK + b"Content-Length: 5\r\n\r\nhello",),
    "with a length of none": (OK + b"Content-Length: 0\r\n\r\n",),
    "in chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n",),
    "in chunks with trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n",),
    "until the connection's end": (OK + b"Content-Type: text/plain\r\n\r\nhel", b"lo", CLOSE),
    "of HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", CLOSE),
    "of HTTP/1.0 until the end": (b"HTTP/1.0 200 OK\r\n\r\nhello", CLOSE),
    "without a reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi",),
    "with an odd reason": (b"HTTP/1.1 299 \xdcber all\r\nContent-Length: 2\r\n\r\nhi",),
    "after 100": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi",),
    "after 103 and a pause": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", OK + b"Content-Length: 2\r\n\r\nhi"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n",),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",),
    "a header twice, and an empty one": (OK + b"A: 1\r\na: 2\r\nB:\r\nContent-Length: 0\r\n\r\n",),
    "spaces around a value": (OK + b"A: \t x y \t\r\nContent-Length: 0\r\n\r\n",),
    "101 that nobody asked for": (b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",),
    "closed in the body": (OK + b"Content-Length: 9\r\n\r\nhello", CLOSE),
    "closed in a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nhello", CLOSE),
    "closed between chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", CLOSE),
    "closed in the trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n", CLOSE),
    "closed in the head": (OK + b"Content-Le", CLOSE),
    "closed after 100": (b"HTTP/1.1 100 Continue\r\n\r\n", CLOSE),
    "reset in the body": (OK + b"Content-Length: 9\r\n\r\nhello", RESET),
    "reset until the end": (OK + b"\r\nhello", RESET),
    "silent in the head": (OK + b"Content-Le", STALL),
    "silent in the body": (OK + b"Content-Length: 9\r\n\r\nhello", STALL),
    "silent after 100": (b"HTTP/1.1 100 Continue\r\n\r\n", STALL),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", CLOSE),
    "RTSP": (b"RTSP/1.0 200 OK\r\n\r\n", CLOSE),
    "no status": (b"HTTP/1.1 OK\r\n\r\n", CLOSE),
    "an impossible status": (b"HTTP/1.1 099 Odd\r\n\r\n", CLOSE),
    "a NUL in the reason": (b"HTTP/1.1 200 O\x00K\r\n\r\n", CLOSE),
    "a NUL in a header": (OK + b"A: \x00\r\n\r\n", CLOSE),
    "a bare CR in a header": (OK + b"A: x\rB: y\r\n\r\n", CLOSE),
    "a space before the colon": (OK + b"Content-Length : 5\r\n\r\nhello", CLOSE),
    "a header without a colon": (OK + b"Hello\r\n\r\n", CLOSE),
    "a header without a name": (OK + b": x\r\n\r\n", CLOSE),
    "two lengths": (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", CLOSE),
    "two lengths in one": (OK + b"Content-Length: 5, 6\r\n\r\nhello", CLOSE),
    "a signed length": (OK + b"Content-Length: +5\r\n\r\nhello", CLOSE),
    "a length in hex": (OK + b"Content-Length: 0x5\r\n\r\nhello", CLOSE),
    "an empty length": (OK + b"Content-Length: \r\n\r\nhello", CLOSE),
    "a length of many digits": (OK + b"Content-Length: " + b"0" * 30 + b"5\r\n\r\nhello", CLOSE),
    "another coding": (OK + b"Transfer-Encoding: gzip\r\n\r\nhello", CLOSE),
    "another coding first": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", CLOSE),
    "chunked twice": (OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", CLOSE),
    "no chunk size": (OK + b"Transfer-Encoding: chunked\r\n\r\n\r\nhello", CLOSE),
    "a signed chunk size": (OK + b"Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", CLOSE),
    "a chunk size with 0x": (OK + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", CLOSE),
    "a chunk size beyond reason": (OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 21 + b"\r\nhello", CLOSE),
    "a chunk longer than it says": (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n", CLOSE),
    "a good chunk, then a bad one": (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n", CLOSE),
    "a bare LF after a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n", CLOSE),
    "a head without end": (OK + b"A: " + b"x" * 300_000, STALL),
    "headers without end": (OK + b"A: b\r\n" * 60_000, STALL),
}


@pytest.mark.parametrize("steps", ANSWERS.values(), ids=ANSWERS)
async def test_every_form_of_an_answer_is_told_alike(steps: tuple[Step, ...]) -> None:
    with twice(does(*steps)) as url:
        stock, ours = await both(url, "GET", silence=SHORT if STALL in steps else LONG)
    if RESET in steps:
        stock, ours = where_reset(stock), where_reset(ours)
    assert stock == ours


STRICTER: dict[str, bytes] = {
    "a length and chunks": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "the same length twice": OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "the same length twice in one": OK + b"Content-Length: 5, 5\r\n\r\nhello",
    "a folded header": OK + b"A: b\r\n folded\r\nContent-Length: 5\r\n\r\nhello",
    "lines that end in a bare LF": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "a control character in a header": OK + b"A: a\x01b\r\nContent-Length: 5\r\n\r\nhello",
    "a version that does not exist": b"HTTP/3.7 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "more than 256 headers": OK + b"A: b\r\n" * 257 + b"Content-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("answer", STRICTER.values(), ids=STRICTER)
async def test_what_smuggles_is_refused_though_stock_httpx_takes_it(answer: bytes) -> None:
    with twice(does(answer, CLOSE)) as url:
        stock, ours = await both(url, "GET")
    assert (200, ("before the head", "RemoteProtocolError")) == (stock[0], ours)


@pytest.mark.parametrize("answer", ["with a length", "in chunks", "304 with a length", "204", "without a reason"])
async def test_the_answer_to_head_has_no_body(answer: str) -> None:
    head = b"".join(step for step in ANSWERS[answer] if isinstance(step, bytes)).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    with twice(does(head)) as url:
        stock, ours = await both(url, "HEAD")
    assert stock == ours


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


REQUESTS: dict[str, Callable[[], dict[str, Any]]] = {
    "nothing": dict,
    "bytes": lambda: {"content": b"hello"},
    "JSON": lambda: {"json": {"a": [1, "ü"]}},
    "pieces": lambda: {"content": pieces(b"hello", b"", b" world")},
    "no pieces": lambda: {"content": pieces()},
    "pieces of a known length": lambda: {"content": pieces(b"hel", b"lo"), "headers": {"content-length": "5"}},
    "a megabyte": lambda: {"content": b"x" * 2**20},
    "headers": lambda: {"headers": [("X-A", "1"), ("x-a", "2"), ("Y", "\t z ".strip())], "content": b"hi"},
    "a query": lambda: {"params": {"q": "ä b", "r": "/?"}},
    "an end": lambda: {"headers": {"connection": "close"}, "content": b"hi"},
    "100-continue": lambda: {"headers": {"expect": "100-continue"}, "content": b"hi"},
    "chunked bytes": lambda: {"content": b"hello", "headers": {"transfer-encoding": "chunked"}},
}


def echo(request: Request) -> Iterator[Step]:
    """Everything that arrived, in the order that does not matter sorted."""
    headers = {name: value for name, value in request.headers.items() if name != "host"}
    said = repr((request.method, request.path, request.query, sorted(headers.items()), request.body)).encode()
    yield OK + b"Content-Length: %d\r\n\r\n%b" % (len(said), said)


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_arrives_alike(request_: Callable[[], dict[str, Any]], method: str) -> None:
    with twice(echo) as url:
        stock, ours = await asyncio.gather(
            told(httpx.AsyncHTTPTransport, method, url(), **request_()), told(Transport, method, url(), **request_())
        )
    assert 200 == stock[0]
    assert stock == ours


BAD_REQUESTS: dict[str, Callable[[], dict[str, Any]]] = {
    "a header value with a line's end": lambda: {"headers": {"a": "b\r\nc: d"}},
    "a header name with a space": lambda: {"headers": {"a b": "c"}},
    "two hosts": lambda: {"headers": [("host", "a"), ("host", "b")]},
    "too much": lambda: {"content": pieces(b"hello"), "headers": {"content-length": "3"}},
    "too little": lambda: {"content": pieces(b"hello"), "headers": {"content-length": "9"}},
    "too little at once": lambda: {"content": b"hello", "headers": {"content-length": "9"}},
    "a length that is none": lambda: {"content": b"hello", "headers": {"content-length": "five"}},
    "two lengths": lambda: {"content": b"hello", "headers": [("content-length", "5"), ("content-length", "6")]},
    "another coding": lambda: {"content": b"hello", "headers": {"transfer-encoding": "gzip"}},
}


@pytest.mark.parametrize("request_", BAD_REQUESTS.values(), ids=BAD_REQUESTS)
async def test_what_may_not_be_sent_is_refused_alike(request_: Callable[[], dict[str, Any]]) -> None:
    with twice(echo) as url:
        stock, ours = await asyncio.gather(
            told(httpx.AsyncHTTPTransport, "POST", url(), **request_()), told(Transport, "POST", url(), **request_())
        )
    assert ("before the head", "LocalProtocolError") == stock
    assert stock == ours


@pytest.mark.parametrize(
    "url",
    [
        "http://nowhere.invalid/",
        "http://127.0.0.1:1/",
        "https://127.0.0.1:1/",
        "ftp://127.0.0.1:1/",
        "http://127.0.0.1:0/",
        "http:///",
        "http://a..invalid/",
        f"http://{'a' * 64}.invalid/",
        "nothing",
    ],
)
async def test_what_cannot_be_reached_is_told_alike(url: str) -> None:
    stock, ours = await both(lambda: url, "GET")
    assert "before the head" == stock[0]
    assert stock == ours


@pytest.mark.parametrize("whose", ["theirs", "nobody's"])
async def test_a_certificate_that_does_not_fit_is_told_alike(whose: str, relay: Any, trusting: ssl.SSLContext) -> None:
    with Backend() as backend:
        front = relay(backend.port, whose="theirs" if whose == "theirs" else "ours")
        context = trusting if whose == "theirs" else None
        stock, ours = await both(lambda: front.url, "GET", context=context)
    assert ("before the head", "ConnectError") == stock
    assert stock == ours


async def test_an_answer_behind_a_certificate_that_is_not_checked_is_told_alike(relay: Any) -> None:
    with Backend() as backend:
        front = relay(backend.port, whose="theirs")
        stock, ours = await both(lambda: front.url + "/v1/models", "GET", context=False)
    assert 200 == stock[0]
    assert stock == ours


async def test_a_peer_that_does_not_take_the_request_is_given_up(transport: Way) -> None:
    until = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read nothing beyond what the reader takes by itself."""
        await until.wait()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0, limit=1024)
    async with server:
        port = server.sockets[0].getsockname()[1]
        seen = await told(transport, "POST", f"http://127.0.0.1:{port}/", content=b"x" * 2**26, silence=SHORT)
        until.set()
    assert ("before the head", "WriteTimeout") == seen
