"""Databases that cannot be used: one clear sentence, and the file as it was."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from provider_router import Admin


def corrupt(path: Path) -> None:
    path.write_bytes(b"no database at all, but long enough to be one" * 40)


def foreign(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE birds (name TEXT)")
    database.commit()
    database.close()


def newer(path: Path) -> None:
    with Admin(path) as admin:
        admin.models.add("qwen3")
    database = sqlite3.connect(path)
    database.execute("UPDATE _sqlite_migrations SET name = 'm999_of_the_future' WHERE name LIKE 'm001%'")
    database.commit()
    database.close()


def folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [corrupt, foreign, newer, folder], ids=lambda make: make.__name__)
@pytest.mark.parametrize("command", [("list",), ("chat", "hi"), ("status",), ("model", "add", "x")], ids=" ".join)
def test_an_unusable_database_is_told_and_left_alone(
    prouter, tmp_path: Path, make: Callable[[Path], None], command: tuple[str, ...]
) -> None:
    path = tmp_path / "some.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    result = prouter("--db", str(path), *command)
    assert (1, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith("Error: ")
    assert "some.db" in result.stderr
    assert before == (path.read_bytes() if path.is_file() else None)


@pytest.mark.parametrize("make", [corrupt, folder], ids=lambda make: make.__name__)
def test_the_program_ends_in_nothing_but_that_sentence(process, tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "some.db"
    make(path)
    done = process("--db", str(path), "chat", "hi")
    assert (1, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_told(process, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    done = process("--db", str(tmp_path / "new.db"), "model", "add", "x")
    tmp_path.chmod(0o700)
    assert (1, "") == (done.returncode, done.stdout)
    assert "Make its folder writable" in done.stderr


def test_a_place_that_cannot_be_written_is_told(process, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = process("--db", str(tmp_path / "file" / "new.db"), "model", "add", "x")
    assert (1, "") == (done.returncode, done.stdout)
    assert "cannot be made" in done.stderr
