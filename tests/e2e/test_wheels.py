"""Wheels of the core, the first-party plugins and a third party's one, in an environment with nothing else of ours."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from provider_router.backends import Backend, answers

pytestmark = pytest.mark.e2e


class Cage(BaseHTTPRequestHandler):
    """A parrot over HTTP: a server of its own kind, in a dialect of its own."""

    def do_POST(self) -> None:
        line = json.loads(self.rfile.read(int(self.headers["content-length"])))["line"]
        body = json.dumps({"reply": f"{line}!", "words": 1}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def cage() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Cage) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def prouter(environment: Any) -> Any:
    def run(*arguments: str, expect: int = 0) -> Any:
        done = environment.run("prouter", *arguments)
        assert (done.returncode, "Traceback" in done.stderr) == (expect, False), done.stderr
        return done

    return run


def test_a_wheel_has_its_package_types_and_licence_and_nothing_else(wheels: dict[str, Path]) -> None:
    for package, wheel in wheels.items():
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            folders = {name.partition("/")[0] for name in names}
            assert folders == {package, f"{package}-{wheel.name.split('-')[1]}.dist-info"}
            assert f"{package}/py.typed" in names
            assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
            assert not [name for name in names if "test" in name.rpartition("/")[2] or name.endswith(".pyc")]


def test_no_package_of_ours_comes_from_anywhere_but_its_wheel(environment: Any, wheels: dict[str, Path]) -> None:
    code = f"import importlib; print(*(importlib.import_module(n).__file__ for n in {sorted(wheels)!r}), sep='\\n')"
    done = environment.run(environment.python, "-W", "error", "-c", code)
    assert done.stderr == ""
    assert [environment.packages / name / "__init__.py" for name in sorted(wheels)] == [
        Path(line) for line in done.stdout.splitlines()
    ]


def test_a_provider_is_added_asked_and_the_next_one_answers_when_it_dies(prouter: Any) -> None:
    with Backend(answers("From the desk")) as desk, Backend(answers("From the loft")) as loft:
        for called, priority, backend in (("desk", "10", desk), ("loft", "5", loft)):
            options = ["--priority", priority, "--config", f"baseURL={backend.base_url}"]
            prouter("provider", "add", "--id", called, "--name", called.title(), "--type", "lm-studio", *options)
        first = prouter("chat", "hi")
        desk.kill()
        second = prouter("chat", "hi")
    assert ("From the desk\n", "From the loft\n") == (first.stdout, second.stdout)
    assert "desk" in first.stderr
    assert "desk: refused" in second.stderr
    assert "loft: ok" in second.stderr


def test_openai_compatible_asks_with_its_key_from_the_environment(environment: Any, prouter: Any) -> None:
    with Backend(answers("Good morning"), api_key="sk-right") as backend:
        options = ["--config", f"baseURL={backend.base_url}", "--config", "apiKey=env:THE_KEY"]
        prouter("provider", "add", "--id", "hosted", "--name", "Hosted", "--type", "openai-compatible", *options)
        done = environment.run("prouter", "chat", "--stream", "hi", THE_KEY="sk-right")
        assert ("Good morning\n", 0) == (done.stdout, done.returncode)
        missing = prouter("chat", "hi", expect=1)
    assert "THE_KEY" in missing.stderr


def test_a_third_partys_type_is_listed_configured_and_answers(prouter: Any, cage: str) -> None:
    plugins = json.loads(prouter("plugin", "list", "--json").stdout)
    types = prouter("types").stdout
    assert "parrot" in json.dumps(plugins)
    assert all(name in types for name in ("parrot", "lm-studio", "openai-compatible"))
    config = ["--config", f"baseURL={cage}", "--config", "voice=loud"]
    prouter("provider", "add", "--id", "polly", "--name", "Polly", "--type", "parrot", *config)
    done = prouter("chat", "--no-stream", "Pretty bird")
    assert done.stdout == "Pretty bird!\n"
    assert "polly" in done.stderr
