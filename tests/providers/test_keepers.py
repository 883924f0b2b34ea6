"""Several keepers as one: whoever has a secret gives it, and a move that is broken off anywhere loses nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from provider_router.errors import ConfigError, MissingSecret
from provider_router.providers.secrets import FileKeeper, Keepers, Kept, KeyringKeeper, Secret

KEY = "sk-c4nary5d1c0ffee"
DAY = 24 * 3600.0
Passwords = dict[tuple[str, str], object]
T = TypeVar("T")


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keyring(tmp_path: Path, clock: Clock, passwords: Passwords) -> KeyringKeeper:
    return KeyringKeeper(tmp_path / "keyring.json", clock=clock, time_limit=5)


@pytest.fixture
def file(tmp_path: Path, clock: Clock) -> FileKeeper:
    return FileKeeper(tmp_path / "secrets.json", clock=clock)


@pytest.fixture
def keepers(file: FileKeeper, keyring: KeyringKeeper) -> Keepers:
    return Keepers((file, keyring), chosen=lambda: "file")


def everyone(kept: Kept) -> bool:
    return True


# ---------------------------------------------------------------------------------------------------- KeyringKeeper


def test_the_keyring_has_the_value_and_the_file_beside_it_has_not(
    keyring: KeyringKeeper, passwords: Passwords, tmp_path: Path
) -> None:
    secret_id = keyring.put(KEY, owner="desk/apiKey")
    assert passwords == {("provider-router", secret_id): KEY}
    assert keyring.get(secret_id) == Secret(KEY)
    assert (keyring.owner(secret_id), keyring.ids()) == ("desk/apiKey", (secret_id,))
    assert KEY not in (tmp_path / "keyring.json").read_text()


def test_the_keyring_keeps_a_removed_secret_for_seven_days(
    keyring: KeyringKeeper, passwords: Passwords, clock: Clock
) -> None:
    first, second = (keyring.put(KEY, owner="desk/apiKey") for _ in range(2))
    keyring.remove(first)
    keyring.remove(second)
    with pytest.raises(MissingSecret, match="in its bin"):
        keyring.get(first)
    assert keyring.get(first, binned=True) == Secret(KEY)
    keyring.restore(first)
    clock.now += 7 * DAY
    assert (keyring.purge(), keyring.purge()) == (1, 0)
    assert list(passwords) == [("provider-router", first)]
    with pytest.raises(MissingSecret, match="not in the bin"):
        keyring.restore(second)
    keyring.forget(first)
    keyring.forget(first)
    assert (passwords, keyring.list()) == ({}, ())


def test_what_somebody_took_out_of_the_keyring_is_missing(keyring: KeyringKeeper, passwords: Passwords) -> None:
    secret_id = keyring.put(KEY, owner="desk/apiKey")
    passwords.clear()
    with pytest.raises(MissingSecret, match="give the value anew"):
        keyring.get(secret_id)
    keyring.forget(secret_id)
    assert keyring.list() == ()


def test_what_the_keyring_does_not_take_is_not_kept(keyring: KeyringKeeper, passwords: Passwords) -> None:
    passwords["provider-router", "set"] = RuntimeError("too long")
    with pytest.raises(ConfigError, match="cannot be used: too long"):
        keyring.put(KEY, owner="desk/apiKey")
    assert keyring.list() == ()


def test_a_locked_keyring_is_waited_for_no_longer_than_the_limit(tmp_path: Path, passwords: Passwords) -> None:
    unlocked = threading.Event()
    passwords["provider-router", "ready"] = unlocked
    with pytest.raises(ConfigError, match=r"did not answer within 0\.1 s; unlock it"):
        KeyringKeeper(tmp_path / "keyring.json", time_limit=0.1).ready()
    unlocked.set()


# ---------------------------------------------------------------------------------------------------------- Keepers


def test_a_secret_is_found_with_whoever_has_it(keepers: Keepers, file: FileKeeper, keyring: KeyringKeeper) -> None:
    ids = [file.put("one", owner="desk/apiKey"), keyring.put("two", owner="loft/apiKey")]
    assert [keepers.get(each) for each in ids] == [Secret("one"), Secret("two")]
    assert [keepers.owner(each) for each in ids] == ["desk/apiKey", "loft/apiKey"]
    assert set(keepers.ids()) == set(ids)
    keepers.remove(ids[1])
    assert keepers.ids() == (ids[0],)
    keepers.restore(ids[1])
    keepers.forget(ids[0])
    assert (file.list(), keepers.ids()) == ((), (ids[1],))
    with pytest.raises(MissingSecret, match="no keeper holds the secret"):
        keepers.get(ids[0])
    with pytest.raises(MissingSecret, match="not in the bin of any keeper"):
        keepers.restore(ids[0])


def test_new_ones_go_to_the_chosen_keeper(file: FileKeeper, keyring: KeyringKeeper) -> None:
    choice = ["keyring"]
    keepers = Keepers((file, keyring), chosen=lambda: choice[0])
    secret_id = keepers.put(KEY, owner="desk/apiKey")
    assert (file.ids(), keyring.ids()) == ((), (secret_id,))
    assert (keepers.name, keepers.place) == ("keyring", keyring.place)
    choice[0] = "vault"
    with pytest.raises(ConfigError, match="no keeper 'vault': there are file, keyring"):
        keepers.put(KEY, owner="desk/apiKey")


def test_a_keeper_that_cannot_be_asked_does_not_hide_what_another_has(
    keepers: Keepers, file: FileKeeper, keyring: KeyringKeeper
) -> None:
    secret_id = keyring.put(KEY, owner="desk/apiKey")
    file.path.write_text("{")
    assert keepers.get(secret_id) == Secret(KEY)
    with pytest.raises(ConfigError, match="is damaged"):
        keepers.get("unknown")


def test_a_move_takes_the_bin_along_and_can_be_done_again(
    keepers: Keepers, file: FileKeeper, keyring: KeyringKeeper, clock: Clock
) -> None:
    kept, binned = (file.put(text, owner="desk/apiKey") for text in ("one", "two"))
    file.remove(binned)
    before = file.list()
    assert [moved.kept.id for moved in keepers.to_move("keyring", mine=everyone)] == [kept, binned]
    assert file.list() == before
    assert [moved.problem for moved in keepers.move("keyring", mine=everyone)] == ["", ""]
    assert (file.list(), keyring.list()) == ((), before)
    assert keepers.move("keyring", mine=everyone) == ()
    clock.now += 7 * DAY
    assert keepers.purge() == 1
    assert keepers.get(kept) == Secret("one")


def test_what_cannot_be_moved_stays_and_says_why(keepers: Keepers, file: FileKeeper, passwords: Passwords) -> None:
    secret_id = file.put(KEY, owner="desk/apiKey")
    passwords["provider-router", "set"] = RuntimeError("too long")
    [moved] = keepers.move("keyring", mine=everyone)
    assert "too long" in moved.problem
    assert keepers.get(secret_id) == Secret(KEY)


class Interrupted(FileKeeper):
    """A keeper during whose nth call the process ends: before it, or when it has just been done."""

    def __init__(self, path: Path, name: str, calls: list[int]) -> None:
        super().__init__(path)
        self.name = name
        self._calls = calls

    def put(self, text: str, *, owner: str, id: str | None = None, purge_at: float | None = None) -> str:
        return self._step(lambda: super(Interrupted, self).put(text, owner=owner, id=id, purge_at=purge_at))

    def forget(self, id: str) -> None:
        self._step(lambda: super(Interrupted, self).forget(id))

    def _step(self, do: Callable[[], T]) -> T:
        self._count()
        done = do()
        self._count()
        return done

    def _count(self) -> None:
        self._calls[0] -= 1
        if self._calls[0] == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", range(1, 13))
def test_a_move_that_is_broken_off_anywhere_loses_nothing_and_goes_on(tmp_path: Path, at: int) -> None:
    calls = [0]
    old, new = (Interrupted(tmp_path / f"{name}.json", name, calls) for name in ("old", "new"))
    texts = {old.put(text, owner=f"{text}/apiKey"): text for text in ("one", "two", "three")}
    keepers = Keepers((old, new), chosen=lambda: "new")
    calls[0] = at
    with pytest.raises(KeyboardInterrupt):
        keepers.move("new", mine=everyone)
    calls[0] = 0
    assert {each: keepers.get(each).reveal() for each in texts} == texts
    assert all(moved.problem == "" for moved in keepers.move("new", mine=everyone))
    assert (old.list(), {kept.id for kept in new.list()}) == ((), set(texts))
    assert {each: new.get(each).reveal() for each in texts} == texts


def test_an_entry_without_its_value_after_a_crash_is_put_anew(
    keepers: Keepers, file: FileKeeper, keyring: KeyringKeeper, tmp_path: Path
) -> None:
    """The list of the keyring's secrets was written, and the process ended before the keyring had the value."""
    secret_id = file.put(KEY, owner="desk/apiKey")
    line = {"value": None, "owner": "desk/apiKey", "purgeAt": None}
    (tmp_path / "keyring.json").write_text(json.dumps({"version": 1, "secrets": {secret_id: line}}))
    assert Keepers((file, keyring), chosen=lambda: "keyring").get(secret_id) == Secret(KEY)
    assert [moved.problem for moved in keepers.move("keyring", mine=everyone)] == [""]
    assert keyring.get(secret_id) == Secret(KEY)
