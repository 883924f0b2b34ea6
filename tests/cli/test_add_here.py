"""`prouter add` without an address: on the usual ports of a made-up plugin, so that nothing of this machine is seen."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from provider_router import Admin
from provider_router.backends import Backend

PLUGIN = """
from provider_router.plugin import OpenAICompatibleProvider, hookimpl

class Shed(OpenAICompatibleProvider):
    type = "shed"
    label = "Shed"
    default_urls = ({urls})

    @classmethod
    async def recognise(cls, base_url):
        provider = cls("shed", base_url=base_url)
        try:
            await provider.models()
        except Exception:
            return None
        finally:
            await provider.aclose()
        return {{"baseURL": base_url}}

@hookimpl
def register_providers():
    return [Shed]
"""
# The plugins of this environment are left out: their usual ports may be in use here.
RUN = """
import importlib.metadata, sys
found = importlib.metadata.EntryPoint("shed", "shed", "provider_router")
importlib.metadata.entry_points = lambda **_: [found]
from provider_router.cli import main
main()
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    with Backend(models=("a",)) as one, Backend(models=("b",)) as two, Backend() as far:

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-c", RUN, "add", *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                cwd=tmp_path,
            )

        urls = [one.base_url, two.base_url, one.base_url, "http://192.0.2.1:1/v1", "http://127.0.0.1:9/v1"]
        (tmp_path / "shed.py").write_text(PLUGIN.format(urls=", ".join(map(repr, urls))))
        run.one, run.two, run.far = one, two, far  # type: ignore[attr-defined]
        yield run


def test_everything_that_is_found_is_added_with_yes(here, admin: Admin) -> None:
    done = here("--yes")
    assert 0 == done.returncode, done.stderr
    assert ["added shed: ok", "added shed-2: ok"] == [line.partition(",")[0] for line in done.stdout.splitlines()]
    assert here.two.base_url == admin.providers.config("shed-2").get("baseURL")


def test_without_a_terminal_nothing_is_added_unasked(here, admin: Admin) -> None:
    done = here()
    assert 2 == done.returncode
    assert here.one.base_url in done.stderr
    assert "--yes" in done.stderr
    assert 0 == admin.revision


def test_what_is_there_already_is_not_added_again(here) -> None:
    here("--yes")
    here.two.kill()
    done = here("--yes", "--json")
    assert (1, "") == (done.returncode, done.stdout)
    assert f"Shed at {here.one.base_url} is there already: shed" in done.stderr
    assert "Nothing else runs" in done.stderr


def test_one_that_is_left_is_added(here) -> None:
    here.two.kill()
    done = here("--yes", "--id", "garden", "--json")
    assert ["garden"] == [added["id"] for added in json.loads(done.stdout)]


def test_options_for_one_are_not_for_several(here) -> None:
    assert 2 == here("--yes", "--id", "x").returncode


def test_nothing_found_says_what_to_do(here) -> None:
    here.one.kill()
    here.two.kill()
    done = here()
    assert 1 == done.returncode
    assert "prouter add http://HOST:PORT" in done.stderr
