from __future__ import annotations

from pathlib import Path

import pytest

from provider_router import Admin, home
from provider_router.store import Store


def test_a_backup_goes_beside_the_database_unless_somebody_says_where(answer, admin: Admin, tmp_path: Path) -> None:
    admin.models.add("pelican-7b")
    made = Path(answer("db", "backup")["backup"])
    assert home.database_path().with_name("backups") == made.parent
    named = tmp_path / "mine.db"
    assert str(named) == answer("db", "backup", str(named))["backup"]
    for path in (made, named):
        with Store.open(path, read_only=True) as copy:
            assert ["pelican-7b"] == [model.id for model in copy.models.list()]


def test_the_history_is_copied_if_it_is_wanted(answer, desk, prouter) -> None:
    assert 0 == prouter("chat", "hi").exit_code
    made = answer("db", "backup", "--history")
    assert home.history_path(Path(made["backup"])) == Path(made["history"])
    assert Path(made["history"]).exists()


def test_of_two_copies_that_cannot_both_be_made_none_stays(prouter, admin: Admin, tmp_path: Path) -> None:
    admin.models.add("pelican-7b")
    target = tmp_path / "mine.db"
    result = prouter("db", "backup", str(target), "--history")
    assert 1 == result.exit_code
    assert f"There is no database at {home.history_path(home.database_path())}" in result.stderr
    assert [] == list(tmp_path.glob("mine*"))


def test_a_backup_never_overwrites(prouter, admin: Admin, tmp_path: Path) -> None:
    admin.models.add("pelican-7b")
    target = tmp_path / "mine.db"
    target.write_text("precious")
    assert 1 == prouter("db", "backup", str(target)).exit_code
    assert "precious" == target.read_text()


def test_where_nothing_is_there_is_nothing_to_check(prouter) -> None:
    result = prouter("db", "check")
    assert (0, f"{home.database_path()}: does not exist yet\n") == (result.exit_code, result.stdout)


def test_a_sound_database_and_a_sound_copy_are_sound(prouter, answer, admin: Admin) -> None:
    admin.models.add("pelican-7b")
    assert f"{home.database_path()}: sound\n" == prouter("db", "check").stdout
    copy = answer("db", "backup")["backup"]
    assert [{"path": copy, "sound": True, "faults": []}] == answer("db", "check", copy)


def test_a_copy_of_the_history_is_sound_too(answer, desk, prouter) -> None:
    assert 0 == prouter("chat", "hi").exit_code
    for copy in answer("db", "backup", "--history").values():
        assert [{"path": copy, "sound": True, "faults": []}] == answer("db", "check", copy)


def test_a_damaged_one_is_told_with_exit_code_1(prouter, tmp_path: Path) -> None:
    path = tmp_path / "damaged.db"
    path.write_bytes(b"no database" * 1000)
    result = prouter("db", "check", str(path))
    assert 1 == result.exit_code
    assert f"{path}: not sound\n" in result.stdout


def test_without_a_file_the_backups_are_listed(answer, prouter, admin: Admin) -> None:
    admin.models.add("pelican-7b")
    assert "There is no backup of" in prouter("db", "restore").stderr
    made = answer("db", "backup")["backup"]
    assert [made] == [one["path"] for one in answer("db", "restore")]


def test_a_backup_is_restored_as_a_change_and_told(answer, prouter, admin: Admin) -> None:
    admin.models.add("pelican-7b")
    made = answer("db", "backup")["backup"]
    admin.models.remove("pelican-7b")
    assert 2 == prouter("db", "restore", made).exit_code
    assert None is answer("db", "restore", made, "--dry-run")["change"]
    told = answer("db", "restore", made, "--yes")
    assert (3, 3, []) == (told["change"], told["revision"], told["damaged"])
    assert ["pelican-7b"] == [model.id for model in admin.models.list()]
    assert "The configuration is as it is in the backup.\n" == prouter("db", "restore", made, "--yes").stdout


def test_a_quick_check_finds_damaged_pages_too(prouter, admin: Admin) -> None:
    admin.models.add("pelican-7b")
    admin.close()
    assert 0 == prouter("db", "check", "--quick").exit_code
    with admin.path.open("r+b") as file:
        file.seek(8192)
        file.write(b"Z" * 20_000)
    assert 1 == prouter("db", "check", "--quick").exit_code


@pytest.mark.posix
def test_on_a_terminal_it_shows_what_a_backup_would_change_and_asks(dialogue, answer, admin: Admin) -> None:
    admin.models.add("pelican-7b")
    made = answer("db", "backup")["backup"]
    admin.models.remove("pelican-7b")
    for said, code, there in (("n", 0, False), ("", 130, False), ("y", 0, True)):
        typed = dialogue("db", "restore", made)
        assert "+ model pelican-7b" in typed.reads(f"Restore {made}? [y/N]: ")
        typed.types(said) if said else typed.interrupts()
        assert code == typed.ends()[0]
        assert there == ("pelican-7b" in admin.models)
    assert "restored, as change 3" in typed.stdout
