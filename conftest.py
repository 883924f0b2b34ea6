"""What every test here relies on, the plugins' too: a home of its own, no network but loopback, both event loops."""

from __future__ import annotations

import base64
import importlib
import importlib.util
import ipaddress
import os
import pkgutil
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The whole suite stays under three minutes on two slow cores; a deadline would measure the machine.
settings.register_profile("house", max_examples=50, deadline=None)
settings.register_profile("long", max_examples=1000, deadline=None)  # `make soak`
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


# --------------------------------------------------------------------------- coverage, where there is something to see

# While Python is traced, everything takes twice its time or more, also what is not ours and not looked at. So the
# import of our modules is measured, and the tests that are the first to run a line; not how tests are found and handed
# out, not the same lines on another event loop or with hundreds of examples, and no program that a test starts.
_EXAMPLES = Path(__file__).parent / "examples"
_OURS = tuple(
    f"provider_router{end}" for end in ("", "_lm_studio", "_openai_compatible", "_qwen_direct", "_qwen_proxy")
)


class Measuring:
    """Takes the tracers away that pytest-cov has put into a process, and lends them to what is to be measured."""

    def __init__(self, *, imports: bool) -> None:
        self._tracers = sys.gettrace(), threading.gettrace()
        if imports:
            for package in filter(importlib.util.find_spec, _OURS):
                for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
                    if not module.name.endswith(".__main__"):
                        importlib.import_module(module.name)
        self._trace(on=False)

    def _trace(self, *, on: bool) -> None:
        here, threads = self._tracers if on else (None, None)
        threading.settrace(threads)
        sys.settrace(here)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Measure a test on asyncio, not on trio; and examples, not properties."""
        here = sys.gettrace()
        if here is not None:  # after a test marked `no_cover` pytest-cov takes others
            self._tracers = here, threading.gettrace()
        callspec = getattr(item, "callspec", None)
        on_trio = callspec is not None and callspec.params.get("anyio_backend") == "trio"
        wanted = not on_trio and not any(map(item.get_closest_marker, ("no_cover", "hypothesis")))
        if wanted != (here is not None):
            self._trace(on=wanted)
        return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """In a worker of xdist pytest-cov measures twice, and for `no_cover` stops only one of the two."""
        if item.get_closest_marker("no_cover"):
            self._trace(on=False)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        """Give back what was taken."""
        self._trace(on=True)
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Begin before the tests are looked for, when pytest-cov has begun."""
    if sys.gettrace() is not None:
        once = not hasattr(session.config, "workerinput")
        session.config.pluginmanager.register(Measuring(imports=once), "measuring")
    return (yield)


# ------------------------------------------------------------------------------------------------------- every test


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a whole run go over httpx's own transport: what is promised holds over both."""
    parser.addoption("--transport", choices=("own", "httpx"), default="own", help="who carries the requests")


@pytest.fixture(autouse=True)
def prouter_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> Path:
    """A home that does not exist yet, and none of the user's own variables."""
    for name in os.environ:
        upper = name.upper()
        if upper.startswith(_FOREIGN_PREFIXES) or upper.endswith(_FOREIGN_SUFFIXES):
            monkeypatch.delenv(name)
    home = tmp_path / "prouter-home"
    monkeypatch.setenv("PROUTER_HOME", str(home))
    if pytestconfig.getoption("transport") == "httpx":
        monkeypatch.setenv("PROUTER_TRANSPORT", "httpx")
    return home


@pytest.fixture(autouse=True)
def network_guard() -> Iterator[None]:
    """Fail a test that wanted the network, even if the refusal was caught on its way."""
    _network_uses.clear()
    yield
    assert _network_uses == []


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait longer for the end of a body after its answer's: a machine may stand still for that quarter of a second."""
    monkeypatch.setattr("provider_router.providers.exchange._REST_SECONDS", 2.5)


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both event loops, always: trio is the stricter one and finds leaks that asyncio hides."""
    return str(request.param)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip on Windows what only POSIX has, and measure no coverage where traffic is: quicker tests cover it."""
    for item in items:
        if item.get_closest_marker("e2e") or item.get_closest_marker("soak") or _EXAMPLES in item.path.parents:
            item.add_marker("no_cover")
    if sys.platform == "win32":
        for item in items:
            if item.get_closest_marker("posix"):
                item.add_marker(pytest.mark.skip(reason="needs POSIX"))


# ------------------------------------------------------------------------------------------- no secret leaks, anywhere

# Whatever needs a secret in a test takes one with one of these in it; each is long enough to be nothing else.
CANARIES = ("c4nary5d1c0ffee", "sk-pelican", "sk-brown", "sk-white", "sk-right")
# Where a secret may lie in clear: the file of the keeper `file`, files that a `file:` reference names, and this one.
IN_CLEAR = ("secrets.json", "example.key", "conftest.py")


def _forms(canary: str) -> Iterator[bytes]:
    """What of a canary stays the same within a longer text, in every encoding; URLs, JSON and HTML leave it alone."""
    content = canary.encode()
    yield content
    yield content.hex().encode()
    yield canary.encode("utf-16-le")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for offset in range(3):  # base64 of a longer text looks different at each of three offsets
            yield encode(bytes(offset) + content)[(0, 2, 3)[offset] : (offset + len(content)) * 8 // 6]


_FORMS = sorted({form for canary in CANARIES for form in _forms(canary)})


class LeakWatch:
    """Searches everything that a run has written into its temporary folder, and printed, for the canaries.

    Each worker searches its own folder, at the same time as the others; the process over them does the rest.
    """

    def __init__(self, workers: dict[str, Any] | None = None) -> None:
        self.leaks: list[str] = []
        self.searched = 0
        self._output = workers  # of a worker: what is sent to the process over it
        self._done: set[str] = set()  # folders of workers

    def search(self, content: bytes, whence: str) -> None:
        self.searched += len(content)
        for form in _FORMS:
            if (at := content.find(form)) >= 0:
                self.leaks.append(f"{whence}: {content[max(at - 60, 0) : at + 60]!r}")
                return

    def search_folder(self, folder: Path) -> None:
        for parent, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if str(Path(parent, name)) not in self._done]
            for name in names:
                path = Path(parent, name)
                compiled = name.startswith("conftest.") and name.endswith(".pyc")  # of a copy of this file
                if name not in IN_CLEAR and not compiled and path.is_file() and not path.is_symlink():
                    self.search(path.read_bytes(), str(path))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """What a test printed and logged, in this process or a worker's."""
        for title, text in report.sections if self._output is None else ():
            self.search(text.encode("utf-8", "surrogatepass"), f"{report.nodeid}, {title}")

    @pytest.hookimpl(trylast=True)  # when the workers have ended
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Every file of every test: databases, their logs, backups, what was captured."""
        folder = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        self.search_folder(folder)
        if self._output is not None:
            self._output["searched"] = str(folder), self.searched, self.leaks
        elif self.leaks and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)  # of pytest-xdist
    def pytest_testnodedown(self, node: Any) -> None:
        """What a worker has searched; one that died leaves it to this process."""
        if found := getattr(node, "workeroutput", {}).get("searched"):
            folder, searched, leaks = found
            self._done.add(folder)
            self.searched += searched
            self.leaks += leaks

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """What was found."""
        for leak in self.leaks:
            terminalreporter.write_line(f"A SECRET LEAKED: {leak}", red=True)
        if self.searched:
            terminalreporter.write_line(f"{self.searched / 1e6:.1f} MB searched for secrets")


def pytest_configure(config: pytest.Config) -> None:
    """Watch over the whole run."""
    config.pluginmanager.register(LeakWatch(getattr(config, "workeroutput", None)), "leak-watch")


@pytest.fixture
def leaks_in() -> Callable[[Path], list[str]]:
    """The search itself, for tests that need its answer at once: what of the canaries is in a folder."""

    def search(folder: Path) -> list[str]:
        watch = LeakWatch()
        watch.search_folder(folder)
        return watch.leaks

    return search
