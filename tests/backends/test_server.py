from __future__ import annotations

import gc
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from provider_router.backends import CLOSE, STALL, Backend, Pause, Request, Step, Until, answers, does, says, silent

CHAT_BODY = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    gc.collect()  # an unclosed socket is a ResourceWarning, and that an error
    assert threading.active_count() <= before  # one that an event loop kept from an earlier test may end meanwhile


def dial(backend: Backend) -> socket.socket:
    return socket.create_connection(("127.0.0.1", backend.port), timeout=5)


def request_bytes(*, body: bytes = b"{}", path: str = "/v1/chat/completions", headers: str = "") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def read_all(peer: socket.socket) -> bytes:
    received = b""
    while data := peer.recv(65_536):
        received += data
    return received


def post(backend: Backend, **fields: object) -> httpx.Response:
    return httpx.post(
        f"{backend.base_url}/chat/completions", json=CHAT_BODY | fields, trust_env=False, verify=False, timeout=5
    )


def test_requests_are_recorded_as_they_came() -> None:
    with Backend() as backend:
        httpx.post(
            f"{backend.url}/v1/chat/completions?a=1",
            json=CHAT_BODY,
            headers={"X-One": "1"},
            trust_env=False,
            verify=False,
        )
        [request] = backend.requests
    assert ("POST", "/v1/chat/completions", "a=1") == (request.method, request.path, request.query)
    assert CHAT_BODY == request.json
    assert "1" == request.headers["x-one"]
    assert (1, 1) == (request.connection, request.turn)


def test_one_connection_serves_many_requests() -> None:
    with Backend(answers("a")) as backend, httpx.Client(trust_env=False, verify=False) as client:
        for _ in range(3):
            client.post(f"{backend.base_url}/chat/completions", json=CHAT_BODY)
        assert [1, 2, 3] == [request.turn for request in backend.requests]
        assert (1, 1) == (backend.connections, backend.open_connections)
        client.close()
        assert backend.wait_closed()
        assert 0 == backend.hang_ups


def test_requests_sent_ahead_are_answered_in_order() -> None:
    with Backend() as backend, dial(backend) as peer:
        first, second = request_bytes(path="/a"), request_bytes(path="/b", headers="Connection: close\r\n")
        peer.sendall(first + second)
        received = read_all(peer)
    assert received.index(b"/a") < received.index(b"/b")


def test_a_chunked_request_body_is_put_together() -> None:
    with Backend() as backend:
        httpx.post(
            f"{backend.base_url}/chat/completions", content=iter([b'{"a"', b": 1}"]), trust_env=False, verify=False
        )
        assert {"a": 1} == backend.requests[0].json


def test_a_request_may_come_byte_by_byte() -> None:
    with Backend() as backend, dial(backend) as peer:
        body = b'4\r\n{"a"\r\n3\r\n:1}\r\n0\r\n\r\n'
        for byte in b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + body:
            peer.sendall(bytes([byte]))
        read_all(peer)
        assert {"a": 1} == backend.requests[0].json


def test_a_caller_that_asks_first_is_told_to_go_on() -> None:
    with Backend() as backend, dial(backend) as peer:
        whole = request_bytes(headers="Expect: 100-continue\r\nConnection: close\r\n")
        peer.sendall(whole[:-2])
        assert peer.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        peer.sendall(whole[-2:])
        assert read_all(peer).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "sent",
    [b"\x16\x03\x01\x02\x00", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\nnonsense\r\n\r\n", b"GET " + b"/" * 66_000],
    ids=["tls", "no version", "no header", "no end"],
)
def test_what_is_no_http_is_refused(sent: bytes) -> None:
    with Backend() as backend, dial(backend) as peer:
        peer.sendall(sent)
        assert peer.recv(100).startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert [] == backend.requests


def test_a_hang_up_is_noticed_at_once() -> None:
    with Backend(silent()) as backend:
        with dial(backend) as peer:
            peer.sendall(request_bytes())
            assert backend.wait_until(lambda seen: len(seen.requests) == 1)
            assert not backend.wait_closed(timeout=0.01)
        assert backend.wait_closed()
        assert 1 == backend.hang_ups


def test_a_hang_up_in_the_middle_of_a_stream_is_noticed() -> None:
    def endless(_: Request) -> Iterator[Step]:
        while True:
            yield b"x" * 100_000

    with Backend(endless) as backend:
        with dial(backend) as peer:
            peer.sendall(request_bytes())
            assert peer.recv(10)
        assert backend.wait_until(lambda seen: seen.hang_ups == 1)


def test_a_busy_reply_does_not_keep_others_waiting() -> None:
    answered = threading.Event()

    def busy(_: Request) -> Iterator[Step]:
        while not answered.is_set():
            yield Pause(0)
        yield CLOSE

    def quick(_: Request) -> Iterator[Step]:
        answered.set()
        yield CLOSE

    with Backend(busy, quick) as backend, dial(backend) as first, dial(backend) as second:
        first.sendall(request_bytes())
        second.sendall(request_bytes())
        assert [b"", b""] == [read_all(first), read_all(second)]


def test_a_killed_backend_resets_and_refuses_and_comes_back_on_its_port() -> None:
    with Backend(does(b"HTTP/1.1 200 OK\r\n", STALL)) as backend:
        url = backend.url
        with dial(backend) as peer:
            peer.sendall(request_bytes())
            assert peer.recv(10)
            backend.kill()
            with pytest.raises(ConnectionResetError):
                read_all(peer)
        assert 0 == backend.open_connections
        with pytest.raises(ConnectionRefusedError):
            dial(backend)
        backend.revive()
        backend.revive()
        backend.script(says({"ok": True}))
        assert url == backend.url
        assert {"ok": True} == post(backend).json()


def test_a_port_can_be_taken_again() -> None:
    with Backend() as first:
        post(first)
    with Backend(port=first.port) as second:
        assert first.url == second.url
        assert 200 == post(second).status_code
        with pytest.raises(OSError, match=r"in use|only one usage"), Backend(port=second.port):
            pass


def test_a_frozen_backend_says_nothing_until_it_thaws() -> None:
    with Backend(answers("Hi")) as backend:
        backend.freeze()
        with dial(backend) as peer:
            peer.sendall(request_bytes(headers="Connection: close\r\n"))
            assert backend.wait_until(lambda seen: len(seen.requests) == 1)
            peer.settimeout(0.05)
            with pytest.raises(TimeoutError):
                peer.recv(1)
            backend.thaw()
            peer.settimeout(5)
            assert read_all(peer).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_backend_frozen_while_it_writes_goes_on_where_it_stopped() -> None:
    body = b"x" * 20_000_000
    with Backend(says(body)) as backend, dial(backend) as peer:
        peer.sendall(request_bytes(headers="Connection: close\r\n"))
        received = len(peer.recv(10))
        backend.freeze()
        backend.thaw()
        received += len(read_all(peer))
        assert received > len(body)


@pytest.mark.posix
def test_a_black_hole_neither_accepts_nor_refuses_until_it_is_revived() -> None:
    with Backend() as backend:
        backend.swallow()
        with socket.socket() as peer:
            peer.settimeout(0.2)
            with pytest.raises(TimeoutError):
                peer.connect(("127.0.0.1", backend.port))
        backend.revive()
        assert 200 == post(backend).status_code


def test_a_reply_can_wait_for_a_time_and_for_an_event() -> None:
    gate = threading.Event()
    with Backend(does(Pause(0.02), Until(gate), b"HTTP/1.1 204 No Content\r\n\r\n", CLOSE)) as backend:
        with dial(backend) as peer:
            began = time.monotonic()
            peer.sendall(request_bytes())
            peer.settimeout(0.05)
            with pytest.raises(TimeoutError):
                peer.recv(1)
            gate.set()
            peer.settimeout(5)
            assert read_all(peer).startswith(b"HTTP/1.1 204")
        assert time.monotonic() - began >= 0.02


def test_leaving_ends_every_wait_at_once() -> None:
    began = time.monotonic()
    with Backend(does(Pause(60)), does(Until(threading.Event())), silent()) as backend:
        peers = [dial(backend) for _ in range(3)]
        for peer in peers:
            peer.sendall(request_bytes())
        assert backend.wait_until(lambda seen: len(seen.requests) == 3)
    assert [b"", b"", b""] == [peer.recv(1) for peer in peers]
    for peer in peers:
        peer.close()
    assert time.monotonic() - began < 5


def test_what_a_reply_raises_is_raised_at_the_end() -> None:
    def wrong_at_once(_: Request) -> list[Step]:
        raise LookupError("at once")

    def wrong_later(_: Request) -> Iterator[Step]:
        yield b"HTTP"
        raise LookupError("later")

    for wrong in (wrong_at_once, wrong_later):
        with pytest.raises(LookupError), Backend(wrong) as backend, pytest.raises(httpx.TransportError):
            post(backend)


def test_what_the_test_itself_raises_counts_more() -> None:
    def wrong(_: Request) -> list[Step]:
        raise LookupError

    with pytest.raises(httpx.ReadError), Backend(wrong) as backend:
        post(backend)


def test_a_reply_can_kill_its_own_backend() -> None:
    with Backend() as backend:

        def suicide(_: Request) -> Iterator[Step]:
            backend.kill()
            yield b"never seen"

        backend.script(suicide)
        with pytest.raises(httpx.ReadError):
            post(backend)
        with pytest.raises(httpx.ConnectError):
            post(backend)


def test_a_stopped_backend_bears_what_comes_too_late() -> None:
    with Backend() as backend:
        pass
    backend.kill()
    assert 0 == backend.open_connections


def test_it_starts_quickly() -> None:
    took = []
    for _ in range(3):  # the machine may have other things to do, but hardly each time
        began = time.monotonic()
        with Backend() as backend:
            assert backend.port
        took.append(time.monotonic() - began)
    assert min(took) < 0.5  # ten times what it may take


def test_a_program_that_leaves_without_closing_ends_all_the_same() -> None:
    code = "from provider_router.backends import Backend; Backend().__enter__(); print('up')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (0, "up\n") == (done.returncode, done.stdout)
