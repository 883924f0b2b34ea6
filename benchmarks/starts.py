"""What it costs to begin: the import, a process until its first answer, `prouter --help`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Effort, Row, compare_processes
from provider_router import Admin

_IMPORT = "import sys, time; t = time.process_time(); {0}; print(time.process_time() - t, file=sys.stderr)"
# The whole process counts, the interpreter's own start too.
_WHOLE = "import atexit, sys, time; atexit.register(lambda: print(time.process_time(), file=sys.stderr))\n"
_HTTPX = """
import httpx
body = {{"model": "small-model", "messages": [{{"role": "user", "content": "hi"}}]}}
with httpx.Client() as client:
    assert client.post("{0}/chat/completions", json=body).json()["choices"]
"""
_ROUTER = """
from provider_router import Router
from provider_router_openai_compatible import OpenAICompatible
with Router(providers=[OpenAICompatible("backend", base_url="{0}")]) as router:
    assert router.chat("hi", model="small-model").text
"""
_DATABASE = """
from provider_router import Router
with Router({0!r}) as router:
    assert router.chat("hi", model="small-model").text
"""
_HELLO = """
import click
@click.group()
def hello():
    "Say hello."
@hello.command()
def world():
    "Say it to the world."
sys.argv = ["hello", "--help"]
hello()
"""
_HELP = """
from provider_router.cli import main
sys.argv = ["prouter", "--help"]
main()
"""


def rows(base_url: str, effort: Effort) -> Iterator[Row]:
    """All of them; the first answers come from the backend at `base_url`."""
    yield from compare_processes(
        "import",
        {
            "httpx": ["-c", _IMPORT.format("import httpx")],
            "provider_router": ["-c", _IMPORT.format("import provider_router")],
            "provider_router, and its Router": ["-c", _IMPORT.format("from provider_router import Router")],
        },
        effort=effort,
        goals={"provider_router": 0.5},
    )
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "provider-router.db"
        with Admin(database) as admin:
            admin.providers.add("backend", type="openai-compatible", config={"baseURL": base_url})
        yield from compare_processes(
            "a process until its first answer",
            {
                "httpx.Client": ["-c", _WHOLE + _HTTPX.format(base_url)],
                "Router(providers=…)": ["-c", _WHOLE + _ROUTER.format(base_url)],
                "Router, with a database": ["-c", _WHOLE + _DATABASE.format(str(database))],
            },
            effort=effort,
            goals={"Router(providers=…)": 1.3},
        )
    yield from compare_processes(
        "the help of a command",
        {"click, hello world": ["-c", _WHOLE + _HELLO], "prouter --help": ["-c", _WHOLE + _HELP]},
        effort=effort,
        goals={"prouter --help": 1.5},
    )
