"""Inspection: what is wrong with a file is told, and a sound one stays untouched."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from provider_router.store import Store, inspect
from provider_router.store.inspection import _disk_of


@pytest.fixture
def damage(store: Store, path: Path) -> Callable[..., list[str]]:
    """Do something to the file of a store behind its back, and see what the inspection says of it."""

    def run(*statements: str) -> list[str]:
        store.close()
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            for statement in statements:
                raw.execute(statement)
        return [f"{fault.check}: {fault.what}" for fault in inspect(path)]

    return run


def test_a_sound_file_has_no_faults_while_it_is_in_use(store: Store, path: Path) -> None:
    assert [] == inspect(path)
    store.settings.list()


def test_a_row_without_its_parent_is_told(damage) -> None:
    assert ["foreign keys: Row 1 of provider_configs refers to a row of providers that is not there."] == damage(
        "INSERT INTO provider_configs (provider_id, key, value, created_at, updated_at) VALUES ('no', 'k', 'v', 0, 0)"
    )


def test_what_somebody_did_to_the_tables_is_told(damage) -> None:
    assert [
        "schema: The index idx_providers_type is missing.",
        "schema: The table settings is not as this version makes it.",
        "schema: The table mine is not one of ours.",
    ] == damage("DROP INDEX idx_providers_type", "ALTER TABLE settings ADD COLUMN colour TEXT", "CREATE TABLE mine (x)")


def test_only_what_is_ours_and_wrong_is_grave(damage, path: Path) -> None:
    damage("CREATE TABLE mine (x)")
    assert [False] == [fault.grave for fault in inspect(path)]


def test_damaged_pages_are_told(store: Store, path: Path) -> None:
    store.close()
    data = bytearray(path.read_bytes())
    data[8192:] = b"Z" * len(data[8192:])
    path.write_bytes(data)
    assert {"integrity", "file"} & {fault.check for fault in inspect(path)}


@pytest.mark.parametrize("content", [b"", b"no database" * 1000])
def test_what_is_no_database_of_ours_is_told(store: Store, path: Path, content: bytes) -> None:
    store.close()
    path.write_bytes(content)
    (fault,) = inspect(path)
    assert ("schema" if not content else "file") == fault.check
    assert content == path.read_bytes()


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    (fault,) = inspect(tmp_path / "none.db")
    assert ("file", True) == (fault.check, fault.grave)


@pytest.mark.posix
@pytest.mark.skipif(sys.platform == "win32", reason="modes mean nothing there")
def test_a_file_that_others_may_read_is_told(store: Store, path: Path) -> None:
    store.close()
    path.chmod(0o644)
    (fault,) = inspect(path)
    assert ("permissions", False, f"chmod 600 {path}") == (fault.check, fault.grave, fault.mend)


def test_the_disk_of_a_file_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    shared = tmp_path.resolve() / "my share"
    shared.mkdir()
    (tmp_path / "other").mkdir()
    escaped = str(shared).replace(" ", "\\040")
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {escaped} nfs4 rw 0 0\n")
    assert "nfs4" == _disk_of(shared / "router.db", mounts)
    assert None is _disk_of(shared / "router.db", tmp_path / "none")
    if sys.platform != "win32":
        assert "ext4" == _disk_of(tmp_path / "other" / "router.db", mounts)
