"""The probe: does it see what others did, and nothing else?"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from provider_router.store import ChangeRecord, Probe, ProviderRecord, Store

CHANGE = ChangeRecord(who="t", what="did it", noun="n", subject="s")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def probe(store: Store, clock: Clock) -> Iterator[Probe]:
    probe = Probe(store.path, clock=clock)
    yield probe
    probe.close()


def test_a_change_by_anybody_is_seen_until_it_is_read(store: Store, probe: Probe, path: Path) -> None:
    held = store.read()
    assert probe.moved(held) is False
    with Store.open(path) as other:
        other.changes.add(CHANGE)
    assert [probe.moved(held), probe.moved(held)] == [True, True]
    held = store.read(held)
    assert probe.moved(held) is False
    store.changes.add(CHANGE)
    assert probe.moved(held) is True


def test_what_is_no_change_of_the_configuration_is_not_seen(store: Store, probe: Probe) -> None:
    held = store.read()
    store.providers.add(ProviderRecord(id="desk", name="Desk", type="t"))
    assert probe.moved(held) is False


def test_a_change_that_is_not_done_yet_is_not_seen(store: Store, probe: Probe) -> None:
    held = store.read()
    with store.atomic():
        store.changes.add(CHANGE)
        assert probe.moved(held) is False
    assert probe.moved(held) is True


def test_a_locked_file_is_asked_again_later(store: Store, probe: Probe, path: Path) -> None:
    held = store.read()
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = delete")
        other.execute("INSERT INTO changes (at, who, what, noun, subject) VALUES (1, 'w', 'w', 'n', 's')")
        other.execute("BEGIN EXCLUSIVE")
        assert probe.moved(held) is False
        other.execute("ROLLBACK")
        assert probe.moved(held) is True


@pytest.mark.posix
def test_a_deleted_file_changes_nothing_and_another_in_its_place_is_noticed(
    store: Store, probe: Probe, path: Path, clock: Clock
) -> None:
    held = store.read()
    assert probe.moved(held) is False
    for file in path.parent.iterdir():
        file.unlink()
    clock.now += 1
    assert probe.moved(held) is False
    with Store.open(path) as other:
        clock.now += 1
        assert probe.moved(held) is True
        held = other.read()
        assert probe.moved(held) is False


def test_a_file_that_is_not_there_says_nothing(store: Store, tmp_path: Path) -> None:
    probe = Probe(tmp_path / "nothing.db")
    assert probe.moved(store.read()) is False
    assert not (tmp_path / "nothing.db").exists()
    probe.close()
    probe.close()


def test_a_probe_does_not_keep_the_log_from_being_written_back(store: Store, probe: Probe, path: Path) -> None:
    held = store.read()
    probe.moved(held)
    store.changes.add(CHANGE)
    with closing(sqlite3.connect(path)) as other:
        busy, _, _ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert busy == 0
