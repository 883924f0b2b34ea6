"""Connections that are kept, bounded, given up, and judged."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from provider_router.backends import Backend
from provider_router.backends.misbehaviour import dead_when_reused, does
from provider_router.backends.wire import CLOSE, RESET, STALL, Reply, Request, Step, response
from provider_router.providers.transport import Pool, Transport, Waits
from provider_router.providers.transport.dialer import Address

HELLO = does(response(b"hello"))
WAITS = Waits(5.0, 5.0, 5.0, 5.0)


class Listener:
    """Notes what it is told, and refuses the connections that it is to refuse."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.heard: list[Any] = []
        self.refuses = refuses

    def connected(self, address: str | None, *, fresh: bool) -> None:
        self.heard.append((address, "fresh" if fresh else "reused"))
        if self.refuses:
            raise PermissionError("not there")

    def sending(self) -> None:
        self.heard.append("sending")

    def sent(self) -> None:
        self.heard.append("sent")


@asynccontextmanager
async def pool_to(backend: Backend, **limits: Any) -> AsyncIterator[Pool]:
    async with Transport(limits=httpx.Limits(**limits)) as transport:
        pool = transport.pool_to((b"http", b"127.0.0.1", backend.port, "127.0.0.1"))
        assert pool is not None
        yield pool


REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def ask(pool: Pool, told: Listener | None = None, waits: Waits = WAITS) -> bytes:
    connection = await pool.ask(REQUEST, waits=waits, told=told or Listener())
    body = b""
    while piece := await connection.read(5.0):
        body += piece
    connection.release()
    return body


def backend_with(*replies: Reply) -> Backend:
    backend = Backend()
    backend.script(*replies, path="*")
    return backend


async def test_a_connection_is_used_again() -> None:
    with backend_with(HELLO) as backend:
        async with pool_to(backend) as pool:
            told = Listener()
            assert [b"hello", b"hello"] == [await ask(pool, told), await ask(pool, told)]
    assert 1 == backend.connections
    assert [("127.0.0.1", "fresh"), "sending", "sent", ("127.0.0.1", "reused"), "sending", "sent"] == told.heard


async def test_the_connection_that_was_used_last_is_taken_first() -> None:
    with backend_with(HELLO) as backend:
        async with pool_to(backend) as pool:
            first, second = [await pool.ask(REQUEST, waits=WAITS, told=Listener()) for _ in range(2)]
            for connection in (second, first):
                await connection.read(5.0)
                connection.release()
            assert [first, second, None] == [pool.take(), pool.take(), pool.take()]


@pytest.mark.parametrize("how", [RESET, CLOSE], ids=["reset", "closed"])
async def test_a_connection_that_died_in_its_sleep_is_replaced_at_once(how: Any) -> None:
    with backend_with(dead_when_reused(HELLO, how=how)) as backend:
        async with pool_to(backend) as pool:
            assert [b"hello"] * 3 == [await ask(pool) for _ in range(3)]
    assert 3 == backend.connections


async def test_a_connection_that_is_new_and_dies_is_a_failure() -> None:
    with backend_with(does(RESET)) as backend:
        async with pool_to(backend) as pool:
            with pytest.raises(httpx.ReadError):
                await ask(pool)
    assert 1 == backend.connections


async def test_a_connection_that_dies_with_an_answer_begun_is_a_failure() -> None:
    def reply(request: Request) -> list[Step]:
        return [response(b"hello")] if request.turn == 1 else [b"HTTP/1.1 2", CLOSE]

    with backend_with(reply) as backend:
        async with pool_to(backend) as pool:
            await ask(pool)
            with pytest.raises(httpx.RemoteProtocolError):
                await ask(pool)
    assert 1 == backend.connections


async def test_the_peer_is_judged_on_a_connection_that_is_reused_too() -> None:
    with backend_with(HELLO) as backend:
        async with pool_to(backend) as pool:
            await ask(pool)
            with pytest.raises(PermissionError):
                await ask(pool, Listener(refuses=True))
            assert b"hello" == await ask(pool)
    assert (1, 2) == (backend.connections, len(backend.requests))


async def test_the_peer_is_judged_before_anything_is_said() -> None:
    with backend_with(HELLO) as backend:
        async with pool_to(backend) as pool:
            with pytest.raises(PermissionError):
                await ask(pool, Listener(refuses=True))
    assert [] == backend.requests


async def test_a_peer_is_judged_before_tls_names_the_host() -> None:
    said: list[bytes] = []
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.append(await reader.read())
        writer.close()
        over.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, Transport(verify=False) as transport:
        port = server.sockets[0].getsockname()[1]
        pool = transport.pool_to((b"https", b"127.0.0.1", port, "secret.example"))
        assert pool is not None
        with pytest.raises(PermissionError):
            await ask(pool, Listener(refuses=True))
        await over.wait()
    assert [b""] == said


async def test_beyond_the_bound_a_request_waits_for_a_connection() -> None:
    with backend_with(HELLO) as backend:
        async with pool_to(backend, max_connections=1) as pool:
            assert [b"hello"] * 5 == await asyncio.gather(*(ask(pool) for _ in range(5)))
    assert 1 == backend.connections


async def test_who_waits_too_long_for_a_connection_is_told_so() -> None:
    with backend_with(does(STALL)) as backend:
        async with pool_to(backend, max_connections=1) as pool:
            first = asyncio.create_task(ask(pool))
            with pytest.raises(httpx.PoolTimeout):
                await asyncio.gather(ask(pool, waits=Waits(5.0, 5.0, 5.0, 0.05)))
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first


async def test_a_place_is_passed_on_when_a_connection_fails() -> None:
    with backend_with(does(RESET), HELLO) as backend:
        async with pool_to(backend, max_connections=1) as pool:
            ends = await asyncio.gather(ask(pool), ask(pool), return_exceptions=True)
    assert [httpx.ReadError, bytes] == [type(end) for end in ends]


async def test_whoever_gives_up_waiting_takes_no_place() -> None:
    with backend_with(HELLO) as backend:
        async with pool_to(backend, max_connections=1) as pool:
            held = await pool.ask(REQUEST, waits=WAITS, told=Listener())
            waiting = [asyncio.create_task(ask(pool)) for _ in range(3)]
            await asyncio.sleep(0)
            await held.read(5.0)
            held.release()
            waiting[0].cancel()  # with the connection in its hand already
            assert [b"hello"] * 2 == await asyncio.gather(*waiting[1:])


async def test_only_so_many_connections_lie_idle() -> None:
    with backend_with(HELLO) as backend:
        async with pool_to(backend, max_keepalive_connections=1) as pool:
            await asyncio.gather(*(ask(pool) for _ in range(3)))
            assert [True, False] == [pool.take() is not None, pool.take() is not None]


async def test_a_connection_that_lay_idle_too_long_is_closed() -> None:
    with backend_with(HELLO) as backend:
        async with pool_to(backend, keepalive_expiry=0.02) as pool:
            await ask(pool)
            assert await asyncio.to_thread(backend.wait_closed)
            assert pool.take() is None


async def test_what_an_idle_connection_says_ends_it() -> None:
    with backend_with(does(response(b"hello"), b"HTTP/1.1 200 OK\r\n")) as backend:
        async with pool_to(backend) as pool:
            for _ in range(3):
                assert b"hello" == await ask(pool)
                assert await asyncio.to_thread(backend.wait_closed)  # what it says more may come a little later
    assert 3 == backend.connections


async def test_an_answer_that_is_not_read_to_its_end_costs_its_connection() -> None:
    with backend_with(
        does(response(b"hello")), does(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel", STALL)
    ) as backend:
        async with pool_to(backend) as pool:
            await ask(pool)
            connection = await pool.ask(REQUEST, waits=WAITS, told=Listener())
            connection.release()
            assert pool.take() is None
            assert await asyncio.to_thread(backend.wait_closed)


async def test_whoever_is_cancelled_leaves_nothing_open() -> None:
    with backend_with(does(STALL)) as backend:
        async with pool_to(backend) as pool:
            task = asyncio.create_task(ask(pool))
            assert await asyncio.to_thread(backend.wait_until, lambda traffic: bool(traffic.requests))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(backend.wait_closed)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
async def test_whoever_is_cancelled_at_whatever_step_is_in_nobody_s_way(
    secure: bool, certificates: dict[str, Path]
) -> None:
    """A socket that is closed below its connection, whose number the next one gets, would be."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(response(b"hello"))
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates["ours"])
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context if secure else None) as server:
        port = server.sockets[0].getsockname()[1]
        for steps in itertools.count(1):
            limits = httpx.Limits(max_connections=1)
            async with Transport(verify=False, limits=limits) as transport:
                pool = transport.pool_to((b"https" if secure else b"http", b"127.0.0.1", port, "127.0.0.1"))
                assert pool is not None
                asking = asyncio.create_task(ask(pool))
                for _ in range(steps):
                    await asyncio.sleep(0)
                if not asking.cancel():
                    break
                with pytest.raises(asyncio.CancelledError):
                    await asking
                assert b"hello" == await ask(pool)
    assert b"hello" == await asking
    assert steps > 5


async def test_a_port_that_cannot_be_is_one_that_cannot_be_reached() -> None:
    async with httpx.AsyncClient(transport=Transport()) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("http://127.0.0.1:65536/")


def resolves_to(*addresses: Address) -> Any:
    async def resolve(host: str, port: int) -> Sequence[Address]:
        return [(family, (number, port)) for family, number in addresses]

    return resolve


@pytest.mark.parametrize(
    "addresses",
    [
        [(socket.AF_INET, "127.0.0.1")],
        [(socket.AF_INET, "127.0.0.2"), (socket.AF_INET, "127.0.0.1")],
        [(socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")],
    ],
    ids=["one", "the first refuses", "two families"],
)
@pytest.mark.posix
async def test_the_address_that_answers_is_taken(addresses: list[Address]) -> None:
    with backend_with(HELLO) as backend:
        async with httpx.AsyncClient(transport=Transport(resolve=resolves_to(*addresses))) as client:
            answer = await client.get(f"http://somewhere.example:{backend.port}/")
    assert "hello" == answer.text
    assert f"somewhere.example:{backend.port}" == backend.requests[0].headers["host"]


@pytest.mark.posix
async def test_an_address_that_does_not_answer_is_not_waited_for() -> None:
    with backend_with(HELLO) as backend, Backend() as hole:
        hole.swallow()

        async def resolve(host: str, port: int) -> Sequence[Address]:
            return [(socket.AF_INET, ("127.0.0.1", hole.port)), (socket.AF_INET, ("127.0.0.1", backend.port))]

        async with httpx.AsyncClient(transport=Transport(resolve=resolve)) as client:
            assert "hello" == (await client.get("http://somewhere.example/")).text


async def test_where_no_address_answers_the_causes_are_told() -> None:
    with Backend() as backend:
        backend.kill()
        resolve = resolves_to((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.0.0.1"))
        async with httpx.AsyncClient(transport=Transport(resolve=resolve)) as client:
            with pytest.raises(httpx.ConnectError) as raised:
                await client.get(f"http://somewhere.example:{backend.port}/")
    cause: Any = raised.value.__cause__.__cause__  # type: ignore[union-attr]
    assert [ConnectionRefusedError] * 2 == [type(error) for error in cause.exceptions]


@pytest.mark.posix
async def test_a_unix_socket_is_spoken_to(tmp_path: Any) -> None:
    path = str(tmp_path / "s")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response(b"hello"))
        writer.close()

    async with await asyncio.start_unix_server(serve, path):
        async with httpx.AsyncClient(transport=Transport(uds=path)) as client:
            assert "hello" == (await client.get("http://somewhere.example/")).text
        async with httpx.AsyncClient(transport=Transport(uds=path + "x")) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("http://somewhere.example/")
