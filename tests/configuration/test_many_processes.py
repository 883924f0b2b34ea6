"""Eight processes change, go back, read and write the history over one file; and writers that are killed."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from provider_router import Admin
from provider_router.store import Configuration, records_of, row_of

WRITER = """
    import random, sys, time
    from pathlib import Path
    from provider_router import Admin, home
    from provider_router.errors import ConfigError
    from provider_router.store import HealthNoteRecord, History

    path, name, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    rng = random.Random(name)
    mine, done = f"p-{name}", 0

    def raised(admin):  # read, modify, write: what is lost here is lost for good
        with admin.atomic():
            admin.providers.edit("shared", priority=admin.providers.get("shared").priority + 1)
        return "raised"

    def key(admin):
        admin.providers.config("shared").set("apiKey", f"sk-{rng.random()}")

    def back(admin):  # to where this process was a moment ago, and forth: nothing of the others' is lost for good
        with admin.atomic():
            newest = admin.revision
            admin.changes.rollback(max(0, newest - rng.randrange(4)))
            admin.changes.rollback(newest)

    def come_and_go(admin):
        admin.providers.add(mine, type="openai-compatible", config={"baseURL": "http://localhost:9/v1"})
        admin.links.link(mine, "pelican", create=True, default=True)
        admin.providers.remove(mine)

    def look(admin):
        admin.changes.at(rng.randrange(admin.revision + 1))
        admin.changes.diff(admin.revision)

    def note(history):
        record = HealthNoteRecord(
            process=name, scope="provider", subject="shared", model=None, state="open", reason="r", until=2**45, at=1
        )
        history.notes.replace(name, [record], now=1)

    print("ready", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + seconds
    with Admin(path, who=name) as admin, History.open(home.history_path(path)) as history:
        while done < 1 or time.monotonic() < end:
            done += 1
            for act in rng.sample([raised, key, back, come_and_go, look], 5):
                if act(admin) == "raised":
                    print("raised", admin.revision, flush=True)
            note(history)
    print("done", flush=True)
"""


def start(path: Path, name: str, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(WRITER), str(path), name, str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def go(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdin is not None
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "router.db"
    with Admin(path) as admin:
        admin.providers.add("shared", type="openai-compatible", config={"baseURL": "http://localhost:9/v1"})
    return path


def rows(configuration: Configuration) -> dict[Any, Any]:
    return {key: row_of(record) for key, record in records_of(configuration).items()}


def assert_sound(path: Path) -> None:
    """The file is whole, its changes have no gap, and each of them tells exactly what it did."""
    with closing(sqlite3.connect(path)) as raw:
        assert [("ok",)] == raw.execute("PRAGMA integrity_check").fetchall()
        assert [] == raw.execute("PRAGMA foreign_key_check").fetchall()
    with Admin(path) as admin:
        log = admin.changes.log()
        assert [one.number for one in log] == list(range(len(log), 0, -1))
        assert {} == rows(admin.changes.at(0))
        state = rows(admin.changes.at(len(log)))
        nouns = {"provider": ("id",), "model": ("id",), "option": ("provider_id", "key")}
        nouns |= {"link": ("provider_id", "model_id"), "setting": ("key",), "credential": ("id",)}

        def of(side: Any) -> dict[Any, Any]:
            found = ((noun, row) for noun, listed in (side or {}).items() for row in listed)
            return {(noun, *(str(row[column]) for column in nouns[noun])): row for noun, row in found}

        for change in log:  # backwards: what it says it left is there, and what it says it found comes back
            before, after = of(change.before), of(change.after)
            assert after == {key: state.get(key) for key in after}, change
            assert not [key for key in before if key not in after and key in state], change
            state = {key: row for key, row in state.items() if key not in after} | before
        assert {} == state


def eight_at_once(path: Path, seconds: float) -> None:
    processes = [start(path, str(number), seconds) for number in range(8)]
    go(*processes)
    ends = [process.communicate(timeout=seconds + 100) for process in processes]
    assert [""] * 8 == [errors for _, errors in ends]
    assert all(output.endswith("done\n") for output, _ in ends)
    raised = sum(output.count("raised") for output, _ in ends)
    with Admin(path) as admin:
        assert raised == admin.providers.get("shared").priority
        who = Counter(one.who for one in admin.changes.log())
    assert {str(number) for number in range(8)} <= who.keys()
    assert_sound(path)


def kill_writers(path: Path, times: int) -> None:
    rng = random.Random(7)
    acknowledged: list[int] = []
    for number in range(times):
        process = start(path, f"k{number}", 60)
        go(process)
        assert process.stdout is not None
        for _ in range(rng.randrange(3)):  # anywhere between two signs of life, or before the first one
            line = process.stdout.readline()
            assert line.startswith("raised"), process.stderr and process.stderr.read()
            acknowledged.append(int(line.split()[1]))
        try:
            process.wait(rng.random() * 0.1)
        except subprocess.TimeoutExpired:
            pass
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
        acknowledged += [int(line.split()[1]) for line in output.splitlines() if line.startswith("raised ")]
        with Admin(path) as admin:
            if f"p-k{number}" in admin.providers:
                admin.providers.remove(f"p-k{number}")
    with Admin(path) as admin:
        priority = {one.number for one in admin.changes.log() if one.what == "changed priority of provider shared"}
        assert len(acknowledged) <= admin.providers.get("shared").priority
        assert set(acknowledged) <= priority
    assert_sound(path)


def test_eight_processes_lose_nothing_and_nobody_sees_a_lock(path: Path) -> None:
    eight_at_once(path, 0)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_eight_processes_lose_nothing_in_a_minute(path: Path) -> None:
    eight_at_once(path, 60)


@pytest.mark.posix
def test_writers_that_are_killed_leave_a_sound_file(path: Path) -> None:
    kill_writers(path, 3)


@pytest.mark.posix
@pytest.mark.soak
@pytest.mark.timeout(600)
def test_fifty_writers_that_are_killed_leave_a_sound_file(path: Path) -> None:
    kill_writers(path, 50)
