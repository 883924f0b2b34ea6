"""The rules that conftest.py sets for every test hold."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import anyio

ROOT = Path(__file__).parent.parent

GUARDED = """
import os, socket
import anyio, pytest

async def test_a_foreign_address_is_refused():
    await anyio.connect_tcp("192.0.2.1", 9)

def test_a_refusal_that_was_caught_is_told_all_the_same():
    try:
        socket.create_connection(("example.com", 80))
    except RuntimeError:
        pass

def test_the_users_variables_are_gone():
    assert [name for name in os.environ if name.endswith(("_API_KEY", "_proxy", "_PROXY"))] == []
    assert [name for name in os.environ if name.startswith("PROUTER_")] == ["PROUTER_HOME"]

def test_an_invalid_name_is_unknown_without_asking():
    with pytest.raises(socket.gaierror):
        socket.create_connection(("nowhere.invalid", 80))
"""


async def test_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with await anyio.connect_tcp("localhost", server.getsockname()[1]):
            pass


async def test_each_test_runs_on_both_event_loops(anyio_backend_name: str) -> None:
    assert anyio_backend_name in {"asyncio", "trio"}
    assert ("trio" in sys.modules) or anyio_backend_name == "asyncio"


def test_the_home_is_a_folder_of_this_test_alone(prouter_home: Path, tmp_path: Path) -> None:
    assert Path(os.environ["PROUTER_HOME"]) == prouter_home
    assert prouter_home.is_relative_to(tmp_path)
    assert not prouter_home.exists()


def test_what_would_leave_this_machine_is_refused(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_bytes((ROOT / "conftest.py").read_bytes())
    (tmp_path / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\naddopts = -p no:cacheprovider\n")
    (tmp_path / "test_guarded.py").write_text(GUARDED)
    foreign = {"PROUTER_DB": "x", "OPENAI_API_KEY": "x", "http_proxy": "http://x", "HTTPS_PROXY": "http://x"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=line"],
        cwd=tmp_path,
        env={**os.environ, **foreign},
        capture_output=True,
        text=True,
    )
    assert "2 failed, 3 passed, 3 errors" in done.stdout
