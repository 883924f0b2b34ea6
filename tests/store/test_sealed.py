"""SealedKeeper: secrets in the database that nobody reads without the key, and keys that take each other's place."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from provider_router import home
from provider_router.errors import ConfigError, MissingSecret
from provider_router.providers.secrets import Secret
from provider_router.store import Store, new_key
from provider_router.store.sealed import SealedKeeper

KEY = "sk-c4nary5d1c0ffee-äß"
DAY = 24 * 3600.0
OLD, NEW, OTHER = (new_key() for _ in range(3))


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


Sealed = Callable[..., SealedKeeper]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sealed(store: Store, clock: Clock) -> Sealed:
    """Keepers over one database, each with its own idea of the key."""

    def open_with(key: str | Path | None = OLD) -> SealedKeeper:
        return SealedKeeper(store._connection, key=lambda: key, clock=clock)

    return open_with


def test_what_is_sealed_can_be_got_with_the_key_and_is_nowhere_in_the_file(sealed: Sealed, store: Store) -> None:
    secret_id = sealed().put(KEY, owner="desk/apiKey")
    assert sealed().get(secret_id) == Secret(KEY)
    assert (sealed().owner(secret_id), sealed().ids()) == ("desk/apiKey", (secret_id,))
    copy = store.path.with_name("copy.db")
    store.backup(copy)
    store.close()
    files = [file.read_bytes() for file in store.path.parent.iterdir()]
    assert len(files) >= 2
    assert not any(KEY.encode() in content for content in files)


def test_without_the_key_it_says_where_to_give_it(sealed: Sealed) -> None:
    secret_id = sealed().put(KEY, owner="desk/apiKey")
    with pytest.raises(ConfigError, match="no key is given: set PROUTER_SECRET_KEY"):
        sealed(None).get(secret_id)
    with pytest.raises(ConfigError, match=r"needs a key\. Make one with `prouter secrets key`"):
        sealed(None).put(KEY, owner="desk/apiKey")
    with pytest.raises(ConfigError, match="not among those given"):
        sealed(OTHER).get(secret_id)
    assert sealed(None).ids() == (secret_id,)  # what there is can be told without it


@pytest.mark.parametrize("key", ["hunter2", ",", "{old},hunter2", "{old}hunter2"])
def test_what_is_no_key_is_refused_and_not_shown(sealed: Sealed, key: str) -> None:
    with pytest.raises(ConfigError, match="PROUTER_SECRET_KEY holds no key") as caught:
        sealed(key.format(old=OLD)).ready()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["{old}\n", "{new}\n{old}\n", "{new}, {old}", "\ufeff{old}\r\n"])
def test_the_key_may_lie_in_a_file(sealed: Sealed, tmp_path: Path, text: str) -> None:
    secret_id = sealed().put(KEY, owner="desk/apiKey")
    (tmp_path / "key").write_text(text.format(old=OLD, new=NEW), encoding="utf-8")
    assert sealed(tmp_path / "key").get(secret_id) == Secret(KEY)


def test_a_key_file_that_cannot_be_used_says_why(sealed: Sealed, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not there"):
        sealed(tmp_path / "key").ready()
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="holds no text"):
        sealed(tmp_path / "key").ready()


def test_the_key_is_looked_for_in_three_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home.sealing_key() is None
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert home.sealing_key() is None
    (tmp_path / "prouter-secret-key").write_text(OLD)
    assert home.sealing_key() == tmp_path / "prouter-secret-key"
    monkeypatch.setenv("PROUTER_SECRET_KEY_FILE", str(tmp_path / "named"))
    assert home.sealing_key() == tmp_path / "named"
    monkeypatch.setenv("PROUTER_SECRET_KEY", f" {OLD} ")
    assert home.sealing_key() == OLD


def test_a_new_key_opens_what_an_old_one_sealed_and_takes_its_place(sealed: Sealed) -> None:
    first, binned = (sealed().put(KEY, owner="desk/apiKey") for _ in range(2))
    sealed().remove(binned)
    lost = sealed(OTHER).put(KEY, owner="loft/apiKey")
    both = sealed(f"{NEW},{OLD}")
    second = both.put(KEY, owner="desk/secondKey")
    assert both.get(first) == Secret(KEY)
    rotated = both.rotate()
    assert (rotated.sealed, rotated.current, rotated.unreadable) == ((first, binned), (second,), (lost,))
    assert both.rotate().current == (first, binned, second)
    assert [sealed(NEW).get(each, binned=True) for each in (first, binned, second)] == [Secret(KEY)] * 3
    with pytest.raises(ConfigError, match="not among those given"):
        sealed(OLD).get(first)
    assert sealed(OTHER).get(lost) == Secret(KEY)


def test_what_is_sealed_in_a_transaction_that_is_given_up_is_not_there(sealed: Sealed, store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.atomic():
        sealed().put(KEY, owner="desk/apiKey")
        raise ZeroDivisionError
    assert sealed().list() == ()


def test_a_removed_one_can_be_restored_for_seven_days(sealed: Sealed, clock: Clock) -> None:
    keeper = sealed()
    first, second = (keeper.put(KEY, owner="desk/apiKey") for _ in range(2))
    keeper.remove(first)
    keeper.remove(second)
    with pytest.raises(MissingSecret, match=f"prouter secrets restore {first}"):
        keeper.get(first)
    clock.now += 7 * DAY - 1
    keeper.remove(second)  # again: the time runs from the first
    assert keeper.purge() == 0
    keeper.restore(first)
    clock.now += 1
    assert keeper.owner(second) is None
    assert keeper.purge() == 1
    with pytest.raises(MissingSecret, match="not in the bin"):
        keeper.restore(second)
    assert [(kept.id, kept.purge_at) for kept in keeper.list()] == [(first, None)]
    keeper.forget(first)
    keeper.forget(first)
    assert keeper.list() == ()


def test_the_table_takes_nothing_in_clear(store: Store) -> None:
    row = ("a1", "desk/apiKey", KEY, 0)
    with (
        closing(sqlite3.connect(store.path)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="token is sealed"),
    ):
        connection.execute("INSERT INTO sealed_secrets (id, owner, token, created_at) VALUES (?, ?, ?, ?)", row)


def test_without_the_extra_sealed_says_what_to_install(sealed: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
    secret_id = sealed().put(KEY, owner="desk/apiKey")
    monkeypatch.setitem(sys.modules, "cryptography.fernet", None)
    for use in (lambda: sealed().get(secret_id), lambda: sealed().put(KEY, owner="x/y"), new_key):
        with pytest.raises(ConfigError, match=r"provider-router\[crypto\]"):
            use()
