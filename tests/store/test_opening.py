"""Opening a database file: new, ours, somebody else's, broken, not writable."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from provider_router.errors import (
    AlreadyExists,
    CorruptDatabase,
    DatabaseLocked,
    DatabaseNotWritable,
    ForeignDatabase,
    StoreError,
)
from provider_router.store import ChangeRecord, ProviderRecord, SettingRecord, Store
from provider_router.store.wal import enable_wal

DESK = ProviderRecord(id="desk", name="Desk", type="lm-studio")


def raw(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(path, isolation_level=None))


def run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_new_file_gets_its_folder(store: Store, path: Path) -> None:
    assert store.path == path
    assert path.is_file()
    with raw(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA application_id").fetchone()[0] != 0


@pytest.mark.posix
def test_a_new_file_is_private_whatever_the_umask(path: Path) -> None:
    old = os.umask(0)
    try:
        with Store.open(path) as store:
            store.providers.add(DESK)
            beside = sorted(path.parent.iterdir())
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in beside}
    finally:
        os.umask(old)
    assert modes == dict.fromkeys(("provider-router.db", "provider-router.db-shm", "provider-router.db-wal"), 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_odd_names_are_files_like_others(tmp_path: Path) -> None:
    odd = tmp_path / "50% of #1 ä.db"
    with Store.open(str(odd)) as store:
        store.providers.add(DESK)
    assert odd.is_file()
    with Store.open(odd, read_only=True) as store:
        assert store.providers.list() == (DESK,)


def test_an_empty_file_is_taken_over(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with Store.open(path) as store:
        assert store.revision == 0


@pytest.mark.parametrize("read_only", [False, True])
def test_a_database_of_something_else_is_left_alone(path: Path, read_only: bool) -> None:
    path.parent.mkdir()
    with raw(path) as connection:
        connection.execute("CREATE TABLE settings (key TEXT)")
    before = path.read_bytes()
    with pytest.raises(ForeignDatabase, match="database of something else"):
        Store.open(path, read_only=read_only)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_an_empty_database_that_another_program_has_marked_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with raw(path) as connection:
        connection.execute("PRAGMA application_id = 7")
    with pytest.raises(ForeignDatabase):
        Store.open(path)


def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("dear diary " * 100)
    with pytest.raises(CorruptDatabase, match="no SQLite database"):
        Store.open(path)
    assert path.read_text() == "dear diary " * 100


def test_a_damaged_database_is_said_to_be_so(store: Store, path: Path) -> None:
    with store.atomic():
        for number in range(500):
            store.providers.add(ProviderRecord(id=f"p{number}", name=f"P {number}", type="x" * 100))
    store.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(CorruptDatabase, match="damaged"):
        Store.open(path).read()
    path.write_bytes(whole[:8192])
    with pytest.raises(CorruptDatabase, match="damaged"):
        Store.open(path)


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is a folder: name the database file in it"):
        Store.open(tmp_path)


@pytest.mark.posix
def test_a_pipe_is_no_database(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="not a regular file"):
        Store.open(tmp_path / "pipe")


def test_a_folder_that_cannot_be_made_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseNotWritable, match="is not a folder"):
        Store.open(tmp_path / "file" / "store.db")
    with pytest.raises(DatabaseNotWritable, match="cannot be made"):
        Store.open(tmp_path / "file" / "folder" / "store.db")


def test_reading_only_makes_nothing(path: Path) -> None:
    with pytest.raises(StoreError, match="There is no database at"):
        Store.open(path, read_only=True)
    assert not path.parent.exists()


def test_reading_only_refuses_to_write(store: Store, path: Path) -> None:
    with Store.open(path, read_only=True) as reader:
        store.providers.add(DESK)
        assert reader.read().providers == {"desk": DESK}
        with pytest.raises(DatabaseNotWritable):
            reader.providers.remove("desk")


def test_reading_only_does_not_finish_an_empty_file(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with pytest.raises(StoreError, match="older version"):
        Store.open(path, read_only=True)


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder that the test, if it runs as root, gives up its rights to."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    if os.geteuid() != os.getuid():
        os.seteuid(os.getuid())
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.posix
def test_a_folder_that_may_not_be_written_is_said_to_be_so(unprivileged: Path) -> None:
    unprivileged.chmod(0o555)
    if os.getuid() == 0:
        os.seteuid(65534)
    with pytest.raises(DatabaseNotWritable, match="Make its folder writable"):
        Store.open(unprivileged / "store.db")
    assert list(unprivileged.iterdir()) == []


@pytest.mark.posix
def test_a_file_that_may_not_be_written_is_read_all_the_same(unprivileged: Path) -> None:
    path = unprivileged / "store.db"
    with Store.open(path) as writer:
        writer.providers.add(DESK)
        for file in unprivileged.iterdir():
            file.chmod(0o444)
        if os.getuid() == 0:
            os.seteuid(65534)
        with Store.open(path) as store:
            assert store.providers.list() == (DESK,)
            with pytest.raises(DatabaseNotWritable, match="cannot be used"):
                store.providers.remove("desk")
        if os.getuid() == 0:
            os.seteuid(0)


def test_a_database_that_is_held_by_another_is_said_to_be_so(store: Store, path: Path) -> None:
    with raw(path) as other, Store.open(path, busy_timeout=0.05) as impatient:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseLocked, match="held by another process"):
            impatient.providers.add(DESK)
        other.execute("ROLLBACK")
        impatient.providers.add(DESK)
    assert "desk" in store.providers


def test_a_new_file_that_is_held_by_another_is_said_to_be_so(path: Path) -> None:
    path.parent.mkdir()
    with raw(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseLocked):
            Store.open(path, busy_timeout=0.05)
        other.execute("ROLLBACK")
        # A reader does not keep the file from being read, but from the switch to the write-ahead log.
        other.execute("BEGIN")
        other.execute("SELECT * FROM sqlite_master").fetchall()
        with pytest.raises(DatabaseLocked):
            Store.open(path, busy_timeout=0.05)


@pytest.mark.posix
def test_a_full_disk_keeps_nothing_of_the_change(path: Path) -> None:
    code = """
import resource, sys
from provider_router.errors import DatabaseNotWritable, StoreError
from provider_router.store import Store, ProviderRecord
store = Store.open(sys.argv[1])
limit = 200_000
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    with store.atomic():
        for number in range(5000):
            store.providers.add(ProviderRecord(id=f"p{number}", name=f"P {number}", type="x" * 100))
except DatabaseNotWritable:
    print("said", len(store.providers))
"""
    assert run(code, str(path)) == "said 0\n"


def test_a_database_that_may_not_grow_keeps_nothing_of_the_change(store: Store) -> None:
    store._connection.rows("PRAGMA max_page_count = 40")
    with pytest.raises(DatabaseNotWritable, match="is full"), store.atomic():
        for number in range(5000):
            store.providers.add(ProviderRecord(id=f"p{number}", name=f"P {number}", type="x" * 100))
    assert store.providers.list() == ()


def test_what_sqlite_says_is_ours_whatever_it_is(store: Store) -> None:
    store.settings.set(SettingRecord(key="a", value=1))
    with pytest.raises(AlreadyExists, match=r"settings\.key must be the only one"):
        store._connection.insert("settings", {"key": "a", "value": "2"})
    with pytest.raises(StoreError, match="cannot be used: no such table"):
        store._connection.rows("SELECT * FROM nowhere")


def test_nothing_follows_in_a_transaction_that_sqlite_has_ended(store: Store) -> None:
    inner = store._connection
    with pytest.raises(StoreError, match="ended by an error before"), store.atomic():
        store.providers.add(DESK)
        assert inner._raw is not None
        inner._raw.execute("ROLLBACK")
        store.providers.list()
    with pytest.raises(StoreError, match="ended by an error before"), store.atomic():
        store.providers.add(DESK)
        inner._raw.execute("ROLLBACK")
    assert store.providers.list() == ()


def test_a_row_that_another_program_has_spoilt_is_named(store: Store, path: Path) -> None:
    store.providers.add(DESK)
    with raw(path) as other:
        other.execute("INSERT INTO provider_configs VALUES (1, 'desk', 'timeout', 'soon', 0, 0, 0, 'int')")
    with pytest.raises(StoreError, match=r"option .*desk timeout cannot be read"):
        store.configs.list("desk")
    with raw(path) as other:
        other.execute("UPDATE provider_configs SET value = 'yes', kind = 'bool'")
        other.execute("INSERT INTO models VALUES ('m', 'M', NULL, '[1]', 0, 0, NULL, NULL, NULL)")
    with pytest.raises(StoreError, match="neither true nor false"):
        store.configs.list("desk")
    with pytest.raises(StoreError, match="model m cannot be read: not a list of texts"):
        store.models.get("m")


def test_json_within_json_of_the_old_system_is_understood(store: Store, path: Path) -> None:
    with raw(path) as other:
        other.execute("PRAGMA ignore_check_constraints = on")
        other.execute("""INSERT INTO models VALUES ('m', 'M', NULL, '"[\\"chat\\"]"', 0, 0, NULL, NULL, NULL)""")
    assert store.models.get("m").capabilities == ("chat",)


@pytest.mark.posix
def test_a_deleted_file_is_said_to_be_gone(store: Store, path: Path) -> None:
    path.unlink()
    with pytest.raises(StoreError, match="is gone"):
        store.providers.add(DESK)
    with pytest.raises(StoreError, match="is gone"):
        store.read()


@pytest.mark.posix
def test_another_file_in_its_place_is_read_from_then_on(
    store: Store, path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    held = store.read()
    with Store.open(tmp_path / "other.db") as other:
        other.providers.add(DESK)
    for beside in path.parent.glob("*-*l*"):
        beside.unlink()
    (tmp_path / "other.db").rename(path)
    with caplog.at_level(logging.WARNING):
        renewed = store.read(held)
    assert renewed.providers == {"desk": DESK}
    assert renewed.renewed is None
    assert "was replaced" in caplog.text


def test_a_disk_without_shared_memory_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), closing(sqlite3.connect(":memory:")) as connection:
        enable_wal(connection, Path("/net/store.db"), timeout=0)
    assert "network or shared folder" in caplog.text


@pytest.mark.posix
def test_a_store_from_before_a_fork_is_refused_and_a_new_one_works(path: Path) -> None:
    code = """
import os, sys
from provider_router.errors import StoreError
from provider_router.store import Store, ProviderRecord
store = Store.open(sys.argv[1])
child = os.fork()
if child == 0:
    for use in (store.read, store.atomic().__enter__, lambda: store.revision):
        try:
            use()
        except StoreError as error:
            assert "before the fork" in str(error)
        else:
            os._exit(1)
    store.close()
    store.close()
    with Store.open(sys.argv[1]) as store:
        store.providers.add(ProviderRecord(id="child", name="Child", type="t"))
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
store.providers.add(ProviderRecord(id="parent", name="Parent", type="t"))
print(*[record.id for record in store.providers.list()])
store.close()
"""
    assert run(code, str(path)) == "child parent\n"


def test_a_change_is_no_python_object_to_the_database(store: Store) -> None:
    store.changes.add(ChangeRecord(who="t", what="w", noun="n", subject="s"))
    with raw(store.path) as other:
        row = other.execute("SELECT before, after, providers, models FROM changes").fetchone()
    assert row == (None, None, None, None)
