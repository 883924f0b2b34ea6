"""Where things are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from provider_router.home import config_folder, data_folder, database_path, secrets_path


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROUTER_HOME")


def test_prouter_home_is_one_folder_for_everything(prouter_home: Path) -> None:
    assert (config_folder(), data_folder()) == (prouter_home, prouter_home)
    assert database_path() == prouter_home / "provider-router.db"
    assert secrets_path() == prouter_home / "secrets.json"


def test_prouter_db_names_the_database_alone(
    prouter_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROUTER_DB", str(tmp_path / "mine.db"))
    assert database_path() == tmp_path / "mine.db"
    assert secrets_path() == prouter_home / "secrets.json"


def test_a_path_that_is_given_comes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROUTER_DB", str(tmp_path / "mine.db"))
    assert database_path(tmp_path / "given.db") == tmp_path / "given.db"


def test_paths_are_absolute_and_know_the_users_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROUTER_HOME", "~/router")
    assert config_folder() == Path.home() / "router"
    assert database_path("here.db") == Path.cwd() / "here.db"


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROUTER_DB", "")
    monkeypatch.setenv("PROUTER_HOME", "")
    assert database_path() == data_folder() / "provider-router.db"


@pytest.mark.usefixtures("no_home")
def test_the_secrets_do_not_lie_in_the_data_folder() -> None:
    assert data_folder() not in secrets_path().parents
    assert data_folder() in database_path().parents


@pytest.mark.posix
@pytest.mark.usefixtures("no_home")
def test_where_the_platform_has_one_folder_the_data_gets_a_folder_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_folder() not in secrets_path().parents


def test_asking_makes_no_folder(prouter_home: Path) -> None:
    database_path()
    secrets_path()
    assert not prouter_home.exists()
