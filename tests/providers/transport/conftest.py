"""The transport beside stock httpx, over real sockets, with and without TLS; asyncio only: on trio it steps aside."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from provider_router.providers.transport import Transport

RESET = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def own_transport(prouter_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the transport is the subject: `--transport` chooses for all others."""
    monkeypatch.delenv("PROUTER_TRANSPORT", raising=False)


def certificate(name: str, folder: Path, *names: str) -> Path:
    """A file with a self-signed certificate for these names, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    alternatives: list[x509.GeneralName] = []
    for alternative in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(alternative)))
        except ValueError:
            alternatives.append(x509.DNSName(alternative))
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A good one for this machine, and one for somebody else."""
    folder = tmp_path_factory.mktemp("certificates")
    return {
        "ours": certificate("ours", folder, "localhost", "127.0.0.1", "other.localhost"),
        "theirs": certificate("theirs", folder, "elsewhere.example"),
    }


@pytest.fixture(scope="session")
def trusting(certificates: dict[str, Path]) -> ssl.SSLContext:
    """A client's context that trusts both."""
    context = ssl.create_default_context()
    for path in certificates.values():
        context.load_verify_locations(path)
    return context


class Relay:
    """Speaks TLS to callers and plain HTTP to the backend behind it; ends as the backend ends: in order, or by reset.

    Attributes:
        names: the names that callers asked for (SNI).
        versions: of TLS, as agreed with each caller.
    """

    def __init__(self, certificate: Path, backend_port: int) -> None:
        self.names: list[str | None] = []
        self.protocols: list[str | None] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._context.set_alpn_protocols(["h2", "http/1.1"])
        self._context.sni_callback = lambda sock, name, context: self.names.append(name)
        self._backend_port = backend_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._threads.append(threading.Thread(target=self._accept, daemon=True))
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for opened in list(self._open):
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(caller,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, caller: socket.socket) -> None:
        self._open.append(caller)
        try:
            with self._context.wrap_socket(caller, server_side=True) as outer:
                self._open.append(outer)
                self.protocols.append(outer.selected_alpn_protocol())
                with socket.create_connection(("127.0.0.1", self._backend_port)) as inner:
                    self._open.append(inner)
                    self._pump(outer, inner)
        except OSError:
            caller.close()

    def _pump(self, outer: ssl.SSLSocket, inner: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(outer, selectors.EVENT_READ)
            selector.register(inner, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is inner:
                        try:
                            data = inner.recv(65536)
                        except OSError:
                            outer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                            return
                        if not data:
                            return
                        outer.sendall(data)
                    else:
                        data = outer.recv(65536)
                        while outer.pending():
                            data += outer.recv(65536)
                        if not data:
                            return
                        inner.sendall(data)


@pytest.fixture
def relay(certificates: dict[str, Path]) -> Iterator[Callable[..., Relay]]:
    """TLS in front of a backend: `relay(backend.port)`."""
    with contextlib.ExitStack() as opened:

        def make(port: int, *, whose: str = "ours") -> Relay:
            made = Relay(certificates[whose], port)
            opened.callback(made.close)
            return made

        yield make


@pytest.fixture(params=["stock", "ours"])
def transport(request: pytest.FixtureRequest) -> Callable[..., httpx.AsyncHTTPTransport]:
    """Either transport, by its class."""
    made: Any = httpx.AsyncHTTPTransport if request.param == "stock" else Transport
    return made  # type: ignore[no-any-return]
