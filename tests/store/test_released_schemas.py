"""Every schema that was ever released is brought up, by several processes at once, and nothing of it is lost.

A file of `tests/data/schemas` is a database as that version left it, named after its newest step. A new step brings its
own file with it; a released one is never changed.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from provider_router.store import Store
from provider_router.store.migrations import CONFIGURATION

RELEASED = sorted((Path(__file__).parents[1] / "data" / "schemas").glob("*.sql"))

OPEN = """
import sys
from provider_router.store import Store
print("ready", flush=True)
sys.stdin.readline()
with Store.open(sys.argv[1]) as store:
    print(store.revision, *store.at(3).models)
"""


def test_every_step_but_one_that_is_not_released_yet_has_a_database_of_its_time() -> None:
    steps = [step.__name__ for step in CONFIGURATION.steps]
    missing = set(steps) - {file.stem for file in RELEASED}
    assert missing <= set(steps[1:][-1:])


@pytest.mark.parametrize("released", RELEASED, ids=lambda file: file.stem)
def test_a_released_database_is_brought_up_by_several_processes_at_once(released: Path, path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(released.read_text(encoding="utf-8"))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    assert [process.communicate("go\n", timeout=60)[0] for process in processes] == ["7 pelican\n"] * 3
    with Store.open(path) as store:
        now = store.read()
        assert 7 == now.providers["desk"].priority
        assert {"apiKey": "env:DESK_KEY", "baseURL": "http://localhost:1234/v1", "timeout": 30000} == {
            option.key: option.value for option in now.options["desk"]
        }
        assert [("pelican", True)] == [(link.model_id, link.default) for link in now.links["desk"]]
        assert {"active_provider": "desk", "routing.maxWait": 5000} == {s.key: s.value for s in store.settings.list()}
        assert "env:TOKEN" == now.credentials[0].token
        assert {} == store.at(0).providers
