"""Schemas: known, brought up after a backup, or refused."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from provider_router.errors import CorruptDatabase, InvalidConfig, NewerDatabase, StoreError
from provider_router.store import ProviderRecord, Store
from provider_router.store.backup import KEPT_BEFORE_STEPS, backup, backup_before
from provider_router.store.connection import Connection
from provider_router.store.migrations import CONFIGURATION, Schema

DESK = ProviderRecord(id="desk", name="Desk", type="lm-studio")


def m002_colours(db: Any) -> None:
    db.execute("ALTER TABLE providers ADD COLUMN colour TEXT")


def m003_breaks(db: Any) -> None:
    db.execute("DROP TABLE settings")
    raise InvalidConfig("a step that fails")


def m003_orphans(db: Any) -> None:
    db.execute("DELETE FROM providers")


NEXT = evolve(CONFIGURATION, steps=(*CONFIGURATION.steps, m002_colours))


def opened(path: Path, schema: Schema) -> closing[Connection]:
    return closing(Connection(path, schema=schema, read_only=False, busy_timeout=5))


def columns(path: Path, table: str) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return [(row[1], row[2]) for row in connection.execute(f"PRAGMA table_info({table})")]


SEED = {
    "providers": "id TEXT,name TEXT,type TEXT,enabled BOOLEAN,priority INTEGER,description TEXT,created_at INTEGER,"
    "updated_at INTEGER",
    "provider_configs": "id INTEGER,provider_id TEXT,key TEXT,value TEXT,is_sensitive BOOLEAN,created_at INTEGER,"
    "updated_at INTEGER",
    "models": "id TEXT,name TEXT,description TEXT,capabilities TEXT,created_at INTEGER,updated_at INTEGER",
    "provider_models": "id INTEGER,provider_id TEXT,model_id TEXT,is_default BOOLEAN,config TEXT,created_at INTEGER,"
    "updated_at INTEGER",
    "settings": "key TEXT,value TEXT,updated_at INTEGER",
    "qwen_credentials": "id INTEGER,token TEXT,cookies TEXT,expires_at INTEGER,created_at INTEGER,updated_at INTEGER",
}


@pytest.mark.parametrize("table", SEED)
def test_tables_begin_with_the_columns_that_users_know(store: Store, table: str) -> None:
    known = [tuple(column.split(" ")) for column in SEED[table].split(",")]
    assert columns(store.path, table)[: len(known)] == known


def test_indexes_have_the_names_that_users_know(store: Store) -> None:
    with closing(sqlite3.connect(store.path)) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    assert names >= {
        "idx_providers_type",
        "idx_providers_enabled",
        "idx_providers_priority",
        "idx_provider_configs_provider_id",
        "idx_provider_models_provider_id",
        "idx_provider_models_model_id",
    }


def test_a_setting_written_by_sql_alone_gets_the_time_in_seconds(store: Store) -> None:
    with closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO settings (key, value) VALUES ('logging.level', 'info')")
    setting = store.settings.get("logging.level")
    assert setting is not None
    assert setting.updated_at.year > 2020


def test_an_older_file_is_brought_up_and_kept_as_it_was(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Store.open(path) as store:
        store.providers.add(DESK)
    with caplog.at_level(logging.WARNING), opened(path, NEXT):
        pass
    assert ("colour", "TEXT") in columns(path, "providers")
    (copy,) = path.parent.glob("provider-router.before-m002_colours-*.db")
    assert str(copy) in caplog.text
    assert ("colour", "TEXT") not in columns(copy, "providers")
    with Store.open(copy) as old:
        assert old.providers.list() == (DESK,)


def test_a_new_file_needs_no_backup(path: Path) -> None:
    with opened(path, NEXT):
        assert sorted(file.name for file in path.parent.iterdir()) == [
            "provider-router.db",
            "provider-router.db-shm",
            "provider-router.db-wal",
        ]


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_of_a_newer_version_is_left_alone(path: Path, read_only: bool) -> None:
    with opened(path, NEXT):
        pass
    before = path.read_bytes()
    with pytest.raises(NewerDatabase, match=r"newer provider-router \(it has m002_colours\)"):
        Store.open(path, read_only=read_only)
    assert path.read_bytes() == before


def test_a_file_of_an_older_version_is_not_brought_up_by_a_reader(path: Path) -> None:
    with Store.open(path):
        pass
    with pytest.raises(StoreError, match="older version"):
        Connection(path, schema=NEXT, read_only=True, busy_timeout=5)
    assert ("colour", "TEXT") not in columns(path, "providers")


def test_of_steps_that_fail_nothing_stays(path: Path) -> None:
    with Store.open(path) as store:
        store.providers.add(DESK)
    for _ in range(2):  # two backups in one second have two names
        with pytest.raises(InvalidConfig, match="a step that fails"):
            opened(path, evolve(NEXT, steps=(*NEXT.steps, m003_breaks)))
    assert len(list(path.parent.glob("*.before-m002_colours-*"))) == 2
    with Store.open(path) as store:
        assert store.providers.list() == (DESK,)
        assert store.settings.list() == ()


def test_steps_that_would_leave_orphans_are_undone(path: Path) -> None:
    with Store.open(path) as store:
        store.providers.add(DESK)
        store.configs._connection.insert(
            "provider_configs", {"provider_id": "desk", "key": "k", "value": "v", "created_at": 0, "updated_at": 0}
        )
    with pytest.raises(CorruptDatabase, match="1 rows of provider_configs refer to rows that are gone"):
        opened(path, evolve(CONFIGURATION, steps=(*CONFIGURATION.steps, m003_orphans)))
    with Store.open(path) as store:
        assert store.providers.list() == (DESK,)


def test_a_backup_holds_what_is_still_in_the_log(store: Store, tmp_path: Path) -> None:
    store.providers.add(DESK)
    copy = tmp_path / "copies" / "copy.db"
    store.backup(copy)
    assert [file.name for file in copy.parent.iterdir()] == ["copy.db"]
    with Store.open(copy) as other:
        assert other.providers.list() == (DESK,)
    with pytest.raises(StoreError, match="exists already"):
        store.backup(copy)


def test_a_backup_that_fails_leaves_no_half_copy(store: Store, path: Path, tmp_path: Path) -> None:
    store.close()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(CorruptDatabase):
        store.backup(tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_of_the_copies_from_before_a_step_the_newest_few_stay(path: Path) -> None:
    with Store.open(path):
        pass
    copies = [backup_before(f"m{number:03}", path) for number in range(5)]
    assert copies[-KEPT_BEFORE_STEPS:] == sorted(path.parent.glob("*.before-*"))


def test_a_backup_tells_how_far_it_is(store: Store, path: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    backup(path, tmp_path / "copy.db", progress=lambda done, of: told.append((done, of)))
    assert told
    assert told[-1][0] == told[-1][1] > 0
