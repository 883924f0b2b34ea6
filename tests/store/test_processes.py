"""Several processes at one file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from provider_router.store import ProviderRecord, Store

pytestmark = pytest.mark.no_cover  # many programs; quicker tests cover what they run

OPEN = """
import sys
from provider_router.store import Store
print("ready", flush=True)
sys.stdin.readline()
with Store.open(sys.argv[1]) as store:
    print(store.revision, len(store.providers))
"""

pytestmark = pytest.mark.no_cover  # many programs; quicker tests cover what they run

WRITE = """
import sys
from attrs import evolve
from provider_router.store import ChangeRecord, Store
with Store.open(sys.argv[1]) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(25):
        with store.atomic():
            record = store.providers.get("desk")
            store.providers.update(evolve(record, priority=record.priority + 1))
            store.changes.add(ChangeRecord(who="w", what="raised", noun="provider", subject="desk"))
    print("done")
"""


def at_once(code: str, path: Path, count: int) -> list[str]:
    """What `count` processes print that begin when all of them are ready."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ends = [process.communicate(timeout=60) for process in processes]
    assert [errors for _, errors in ends] == [""] * count
    return [output for output, _ in ends]


@pytest.mark.parametrize("attempt", range(3))
def test_six_processes_open_one_new_file_at_once(path: Path, attempt: int) -> None:
    assert at_once(OPEN, path, 6) == ["0 0\n"] * 6
    Store.open(path).close()  # of two that leave at the same moment, neither may be the last, who removes the log
    assert [file.name for file in path.parent.iterdir()] == ["provider-router.db"]


def test_four_processes_write_at_once_and_no_update_is_lost(path: Path) -> None:
    with Store.open(path) as store:
        store.providers.add(ProviderRecord(id="desk", name="Desk", type="lm-studio"))
        assert at_once(WRITE, path, 4) == ["done\n"] * 4
        assert store.providers.get("desk").priority == 100
        assert [change.number for change in store.changes.list()] == list(range(100, 0, -1))


def test_an_ordinary_opening_does_without_sqlite_utils(path: Path) -> None:
    Store.open(path).close()
    code = (
        "import sys; from provider_router.store import Store; Store.open(sys.argv[1]).close(); "
        "print('sqlite_utils' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
