"""A backup brought back: over what is sound, over what is damaged, where nothing is, and while others serve."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from provider_router import Admin, AsyncRouter, home
from provider_router.backends import Backend, answers
from provider_router.errors import ConfigError, DeclaredConfig, ForeignDatabase, StoreError
from provider_router.store import HISTORY, History, Store, backup, inspect
from provider_router.store.batch import Batch

URL = "http://localhost:9/v1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "router.db"


@pytest.fixture
def admin(path: Path) -> Iterator[Admin]:
    with Admin(path) as admin:
        admin.providers.add("desk", type="openai-compatible", config={"baseURL": URL, "apiKey": "sk-desk"})
        yield admin


@pytest.fixture
def copy(admin: Admin, tmp_path: Path) -> Path:
    """A backup that has desk alone; since then desk went and loft came."""
    copy = tmp_path / "copy.db"
    backup(admin.path, copy)
    admin.providers.remove("desk")
    admin.providers.add("loft", type="openai-compatible", config={"baseURL": URL})
    return copy


def providers(admin: Admin) -> list[str]:
    return [provider.id for provider in admin.providers.list()]


def damage(path: Path, *, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"Z" * 20_000)


def test_a_restore_is_a_change_that_can_be_taken_back(admin: Admin, copy: Path) -> None:
    done = admin.restore(copy)
    assert ["desk"] == providers(admin)
    assert done.change is not None
    assert (4, "restored backup copy.db") == (done.change.number, done.change.what)
    assert [4, 3, 2, 1] == [change.number for change in admin.changes.log()]
    admin.changes.rollback(3)
    assert ["loft"] == providers(admin)


def test_a_removed_secret_comes_back_with_its_provider(admin: Admin, copy: Path) -> None:
    assert () == admin.restore(copy).missing_secrets
    assert ["ok"] == [one.state for one in admin.secrets.check()]


def test_a_secret_that_nobody_has_any_more_is_named(admin: Admin, copy: Path) -> None:
    (binned,) = admin.secrets.list()
    admin.secrets.remove(binned.reference, for_good=True)
    assert ("desk/apiKey",) == admin.restore(copy, dry_run=True).missing_secrets
    assert ("desk/apiKey",) == admin.restore(copy).missing_secrets


def test_what_was_there_before_is_saved_as_it_was(admin: Admin, copy: Path) -> None:
    (saved,) = admin.restore(copy).saved
    with Store.open(saved, read_only=True) as before:
        assert (3, ["loft"]) == (before.revision, list(before.read().providers))


def test_a_dry_run_says_the_same_and_does_nothing(admin: Admin, copy: Path) -> None:
    planned = admin.restore(copy, dry_run=True)
    assert (3, ["loft"], ()) == (admin.revision, providers(admin), planned.saved)
    assert planned.differences == admin.restore(copy).differences


def test_restoring_again_changes_nothing_and_saves_nothing(admin: Admin, copy: Path) -> None:
    admin.restore(copy)
    again = admin.restore(copy)
    assert (None, (), (), 4) == (again.change, again.differences, again.saved, admin.revision)


def test_who_has_seen_another_state_does_not_restore_over_it(admin: Admin, copy: Path) -> None:
    with pytest.raises(ConfigError, match="Somebody has changed the configuration meanwhile"):
        admin.restore(copy, expected=2)
    assert ["loft"] == providers(admin)
    assert not admin.path.with_name("backups").exists() or [] == list(admin.path.with_name("backups").iterdir())


@pytest.mark.parametrize("empty", [False, True])
def test_where_nothing_is_the_backup_comes_with_its_changes(copy: Path, tmp_path: Path, empty: bool) -> None:
    path = tmp_path / "new" / "router.db"
    if empty:
        Store.open(path).close()
    with Admin(path) as admin:
        assert [] == providers(admin)
        done = admin.restore(copy)
        assert (None, 1, ["desk"]) == (done.change, done.revision, providers(admin))
        assert ["ok"] == [one.state for one in admin.secrets.check()]
        admin.models.add("heron")
        assert 2 == admin.revision
    assert [] == inspect(path)


@pytest.mark.parametrize("at", [0, 8192])
def test_a_damaged_database_is_set_aside_and_made_anew(admin: Admin, copy: Path, at: int) -> None:
    admin.close()
    damage(admin.path, at=at)
    damaged = admin.path.read_bytes()
    assert (admin.path,) == admin.restore(copy, dry_run=True).damaged
    assert damaged == admin.path.read_bytes()
    done = admin.restore(copy)
    assert (["desk"], 1) == (providers(admin), admin.revision)
    (aside,) = done.damaged
    assert damaged == aside.read_bytes()
    assert [] == inspect(admin.path)


def test_a_database_of_something_else_is_never_set_aside(copy: Path, tmp_path: Path) -> None:
    other = tmp_path / "photos.db"
    with closing(sqlite3.connect(other)) as raw:
        raw.execute("CREATE TABLE photos (x)")
    before = other.read_bytes()
    with Admin(other) as admin, pytest.raises(ForeignDatabase):
        admin.restore(copy)
    assert before == other.read_bytes()


@pytest.mark.parametrize("content", [b"", b"no database" * 1000])
def test_what_is_no_backup_is_refused_and_nothing_is_done(admin: Admin, tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "wrong.db"
    source.write_bytes(content)
    with pytest.raises(StoreError, match=r"wrong\.db"):
        admin.restore(source)
    assert (1, content) == (admin.revision, source.read_bytes())


def test_a_damaged_backup_is_refused(admin: Admin, copy: Path) -> None:
    damage(copy, at=8192)
    with pytest.raises(StoreError, match=r"copy\.db"):
        admin.restore(copy)
    assert 3 == admin.revision


def test_a_backup_of_an_older_version_is_brought_up_in_a_copy(admin: Admin, copy: Path) -> None:
    with closing(sqlite3.connect(copy, isolation_level=None)) as raw:
        raw.execute("DROP TABLE sealed_secrets")
        raw.execute("DELETE FROM _sqlite_migrations WHERE name = 'm002_sealed_secrets'")
    before = copy.read_bytes()
    admin.restore(copy)
    assert (["desk"], before) == (providers(admin), copy.read_bytes())


def test_sealed_secrets_that_are_missing_come_back_as_they_were_sealed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography")
    with Admin(path) as admin:
        monkeypatch.setenv("PROUTER_SECRET_KEY", admin.secrets.new_key())
        admin.settings.set("secrets.keeper", "sealed")
        admin.providers.add("desk", type="openai-compatible", config={"baseURL": URL, "apiKey": "sk-sealed"})
        copy = tmp_path / "copy.db"
        backup(path, copy)
        admin.providers.remove("desk")
        (binned,) = admin.secrets.list()
        admin.secrets.remove(binned.reference, for_good=True)
        assert () == admin.restore(copy, dry_run=True).missing_secrets
        assert () == admin.restore(copy).missing_secrets
        assert ["ok"] == [one.state for one in admin.secrets.check()]


def test_the_history_comes_back_too_if_it_is_wanted(admin: Admin, copy: Path) -> None:
    mine = home.history_path(admin.path)
    with History.open(mine) as history:
        history.record(Batch(), now=0, lost=3)
        backup(mine, home.history_path(copy))
        history.record(Batch(), now=0, lost=4)
        done = admin.restore(copy, with_history=True)
        assert [3] == lost(mine)
        assert 2 == len(done.saved)
        assert [7] == lost(done.saved[1])
        history.record(Batch(), now=0, lost=1)  # who has it open goes on
    assert ([4], []) == (lost(mine), inspect(mine, HISTORY))


def test_a_history_that_was_replaced_can_be_had_back(admin: Admin, copy: Path) -> None:
    mine = home.history_path(admin.path)
    with History.open(mine) as history:
        history.record(Batch(), now=0, lost=3)
        backup(mine, home.history_path(copy))
        admin.restore(copy)
        history.record(Batch(), now=0, lost=4)
    done = admin.restore(copy, with_history=True)
    assert (None, [3]) == (done.change, lost(mine))  # nothing but the history was not as it is in the backup
    admin.restore(done.saved[0], with_history=True)
    assert [7] == lost(mine)


def lost(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as raw:
        return [row[0] for row in raw.execute("SELECT sum(lost) FROM rollups")]


def test_without_a_history_beside_the_backup_nothing_is_restored(admin: Admin, copy: Path) -> None:
    with pytest.raises(StoreError, match="There is no database at"):
        admin.restore(copy, with_history=True)
    assert 3 == admin.revision


def test_from_afar_and_over_a_declared_file_nothing_is_restored(
    admin: Admin, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Admin(admin.path, local=False) as far, pytest.raises(ConfigError, match="on this machine only"):
        far.restore(copy)
    declared = tmp_path / "providers.toml"
    declared.write_text("")
    monkeypatch.setenv("PROUTER_CONFIG", str(declared))
    with Admin() as other, pytest.raises(DeclaredConfig):
        other.restore(copy)


async def test_a_router_goes_on_with_what_was_restored(path: Path, tmp_path: Path) -> None:
    with Backend(answers("desk")) as desk, Backend(answers("loft")) as loft, Admin(path) as admin:
        admin.providers.add("desk", type="openai-compatible", config={"baseURL": desk.base_url})
        copy = tmp_path / "copy.db"
        backup(path, copy)
        admin.providers.add("loft", type="openai-compatible", priority=9, config={"baseURL": loft.base_url})
        async with AsyncRouter(path) as router:
            assert "loft" == (await router.chat("hi", model="m")).text
            admin.restore(copy)
            assert "desk" == (await router.chat("hi", model="m")).text


SERVER = """
    import sys, time
    from provider_router import Router

    with Router(sys.argv[1]) as router:
        for line in sys.stdin:
            until = time.monotonic() + 20
            names = []
            while True:  # a file that is replaced is noticed after a second at most
                names = sorted(stands.provider for stands in router.health())
                if names == line.split() or time.monotonic() > until:
                    break
                time.sleep(0.02)
            print(*names, flush=True)
"""


def serve(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(SERVER), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ask(process: subprocess.Popen[str], expected: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{expected}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


@pytest.mark.posix
def test_processes_that_serve_survive_a_restore_and_see_it(admin: Admin, copy: Path) -> None:
    processes = [serve(admin.path) for _ in range(2)]
    assert ["loft"] * 2 == [ask(process, "loft") for process in processes]
    admin.restore(copy)
    assert ["desk"] * 2 == [ask(process, "desk") for process in processes]
    admin.providers.add("shed", type="openai-compatible", config={"baseURL": URL})
    assert ["desk shed"] * 2 == [ask(process, "desk shed") for process in processes]
    admin.close()
    with closing(sqlite3.connect(admin.path)) as raw:  # or all of it would be in the log still, and sound
        raw.execute("PRAGMA wal_checkpoint(truncate)")
    damage(admin.path, at=0)
    assert 1 == len(admin.restore(copy).damaged)
    assert ["desk"] * 2 == [ask(process, "desk") for process in processes]
    admin.models.add("heron")  # and what is written now goes to the file that they read
    admin.providers.add("barn", type="openai-compatible", config={"baseURL": URL})
    assert ["barn desk"] * 2 == [ask(process, "barn desk") for process in processes]
    ends = [process.communicate(timeout=30) for process in processes]
    assert [0, 0] == [process.returncode for process in processes], ends
    assert [] == inspect(admin.path)
    with Admin(admin.path) as again:
        assert [3, 2, 1] == [change.number for change in again.changes.log()]
