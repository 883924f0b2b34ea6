"""What every test here relies on, the plugins' too: a home of its own, no network but loopback, both event loops."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The whole suite stays under three minutes on two slow cores; a deadline would measure the machine.
settings.register_profile("house", max_examples=50, deadline=None)
settings.load_profile("house")

_FOREIGN_PREFIXES = ("PROUTER_", "PROVIDER_", "LMSTUDIO_", "LM_STUDIO_", "OPENAI_", "QWEN_")
_FOREIGN_SUFFIXES = ("_API_KEY", "_PROXY", "_TOKEN")

_network_uses: list[str] = []


def _is_near(host: object) -> bool:
    """Tell whether `host` can be reached without a network."""
    name = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else host
    if name is None or not isinstance(name, str):
        return True
    name = name.partition("%")[0].lower()
    if name in {"", "localhost"} or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback or address.is_unspecified


def _is_number(host: object) -> bool:
    try:
        ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return True


def _guard_network(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what would leave this machine; an audit hook sees every event loop's and every library's calls."""
    if event == "socket.getaddrinfo":
        host = arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0]
        if _is_near(host) or _is_number(host):
            return
        if str(host).rstrip(".").endswith(".invalid"):
            # A name that is promised never to exist (RFC 6761): the answer is known without asking a server.
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    elif event in {"socket.connect", "socket.sendto"}:
        address = arguments[1]
        if not isinstance(address, tuple) or _is_near(address[0]):  # a path or nothing: AF_UNIX, a connected socket
            return
        host = address[0]
    else:
        return
    _network_uses.append(f"{event} {host!r}")
    raise RuntimeError(f"A test may use loopback only, this one wanted {host!r} ({event}).")


sys.addaudithook(_guard_network)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Measure nothing in a test marked `no_cover`.

    In a worker of xdist pytest-cov measures twice, and stops only one of the two.
    """
    if item.get_closest_marker("no_cover") is None:
        yield
        return
    here, threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        threading.settrace(threads)
        sys.settrace(here)


@pytest.fixture(autouse=True)
def prouter_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that does not exist yet, and none of the user's own variables."""
    for name in os.environ:
        upper = name.upper()
        if upper.startswith(_FOREIGN_PREFIXES) or upper.endswith(_FOREIGN_SUFFIXES):
            monkeypatch.delenv(name)
    home = tmp_path / "prouter-home"
    monkeypatch.setenv("PROUTER_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def unmeasured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the programs that a test starts run unmeasured too, where the test does: measuring doubles their time."""
    if request.node.get_closest_marker("no_cover"):
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture(autouse=True)
def network_guard() -> Iterator[None]:
    """Fail a test that wanted the network, even if the refusal was caught on its way."""
    _network_uses.clear()
    yield
    assert _network_uses == []


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both event loops, always: trio is the stricter one and finds leaks that asyncio hides."""
    return str(request.param)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip on Windows what only POSIX has, and measure no coverage where traffic is: quicker tests cover it."""
    for item in items:
        if item.get_closest_marker("e2e") or item.get_closest_marker("soak"):
            item.add_marker("no_cover")
    if sys.platform == "win32":
        for item in items:
            if item.get_closest_marker("posix"):
                item.add_marker(pytest.mark.skip(reason="needs POSIX"))
