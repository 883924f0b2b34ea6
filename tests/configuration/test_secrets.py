"""admin.secrets: which there are, whether they can be had, and who keeps them."""

from __future__ import annotations

import shlex
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from provider_router import home
from provider_router.configuration.admin import Admin
from provider_router.errors import ConfigError, InvalidConfig, MissingSecret
from provider_router.plugin import Secret
from provider_router.providers.secrets import FileKeeper
from provider_router.store import new_key

KEY = "sk-c4nary5d1c0ffee"
SEALING = new_key()


@pytest.fixture
def sealing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROUTER_SECRET_KEY", SEALING)


def command(code: str) -> str:
    line = [sys.executable, "-c", code]
    return f"cmd:{subprocess.list2cmdline(line) if sys.platform == 'win32' else shlex.join(line)}"


def states(admin: Admin) -> list[tuple[str, str | None, str]]:
    return [(entry.owner, entry.keeper, entry.state) for entry in admin.secrets.list()]


def test_every_secret_is_listed_without_its_value(admin: Admin, desk: str, tmp_path: Path) -> None:
    config = {"apiKey": KEY, "secondKey": command("print('hush')"), "headers": {"X-A": KEY, "X-B": "env:B"}}
    admin.providers.edit(desk, config=config)
    admin.credentials.set(f"file:{tmp_path}/token", "keyring:qwen/cookies")
    entries = admin.secrets.list()
    assert [(entry.owner, entry.reference.partition(":")[0], entry.keeper) for entry in entries] == [
        ("desk/apiKey", "secret", "file"),
        ("desk/headers.X-A", "secret", "file"),
        ("desk/headers.X-B", "env", None),
        ("desk/secondKey", "cmd", None),
        ("credentials/token", "file", None),
        ("credentials/cookies", "keyring", None),
    ]
    assert not any(hidden in repr(entries) for hidden in (KEY, "hush"))
    assert entries[0].place == str(home.secrets_path())


def test_the_bin_is_shown_with_its_end_and_what_is_restored_is_unused(admin: Admin, desk: str) -> None:
    admin.providers.edit(desk, config={"apiKey": KEY})
    admin.providers.edit(desk, config={"apiKey": "another"})
    used, binned = admin.secrets.list()
    assert (used.state, used.until) == ("used", None)
    assert (binned.state, binned.owner) == ("bin", "desk/apiKey")
    assert binned.until is not None
    assert 7 * 86400 - 60 < binned.until.timestamp() - time.time() <= 7 * 86400
    admin.secrets.restore(binned.reference)
    assert states(admin) == [("desk/apiKey", "file", "used"), ("desk/apiKey", "file", "unused")]
    admin.providers.edit(desk, config={"apiKey": binned.reference})
    assert admin.providers.config(desk).build_config().api_key == Secret(KEY)


def test_what_is_used_is_not_removed_and_what_is_not_goes_to_the_bin_or_for_good(
    admin: Admin, desk: str, keeper: FileKeeper
) -> None:
    admin.providers.edit(desk, config={"apiKey": KEY})
    [entry] = admin.secrets.list()
    with pytest.raises(ConfigError, match="is used by desk/apiKey"):
        admin.secrets.remove(entry.reference)
    unused = keeper.put(KEY, owner="gone/apiKey")
    assert admin.secrets.remove(unused).until is not None
    assert states(admin)[-1] == ("gone/apiKey", "file", "bin")
    admin.secrets.remove(unused, for_good=True)
    assert states(admin) == [("desk/apiKey", "file", "used")]
    for use in (admin.secrets.restore, admin.secrets.remove):
        with pytest.raises(MissingSecret, match="No keeper has a secret"):
            use(unused)


def test_a_check_fetches_each_secret_and_says_what_to_do(admin: Admin, desk: str, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("two\nlines\n")
    config = {
        "apiKey": KEY,
        "secondKey": "env:NOT_SET",
        "headers": {
            "A": f"file:{tmp_path}/lines",
            "B": command("print('fine')"),
            "C": command("raise SystemExit(3)"),
            "D": "secret:0123456789abcdef",
        },
    }
    admin.providers.edit(desk, config=config)
    checks = {check.owner.partition("/")[2]: (check.state, check.problem) for check in admin.secrets.check()}
    assert {owner: state for owner, (state, _) in checks.items()} == {
        "apiKey": "ok",
        "secondKey": "missing",
        "headers.A": "unreadable",
        "headers.B": "ok",
        "headers.C": "unreadable",
        "headers.D": "missing",
    }
    assert "set it where this program is started" in checks["secondKey"][1]
    assert "line break" in checks["headers.A"][1]
    assert "run it yourself" in checks["headers.C"][1]
    assert "give the value anew" in checks["headers.D"][1]


def test_a_reference_is_fetched_once_however_many_use_it(admin: Admin, desk: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    once = command(f"open({str(log)!r}, 'a').write('x'); print('key')")
    admin.providers.edit(desk, config={"apiKey": once, "secondKey": once})
    assert [check.state for check in admin.secrets.check()] == ["ok", "ok"]
    assert log.read_text() == "x"


@pytest.mark.usefixtures("sealing")
def test_secrets_move_into_the_database_and_back_with_every_reference_as_it_was(
    admin: Admin, desk: str, keeper: FileKeeper
) -> None:
    admin.providers.edit(desk, config={"apiKey": "before", "headers": {"X": KEY}})
    admin.providers.edit(desk, config={"apiKey": KEY})  # the first one is in the bin now
    records, listed = admin.providers.config(desk).records(), states(admin)
    assert [moved.kept.owner for moved in admin.secrets.move("sealed", dry_run=True)] == [
        "desk/apiKey",
        "desk/headers.X",
        "desk/apiKey",
    ]
    assert (states(admin), admin.secrets.keeper) == (listed, "file")
    assert [moved.problem for moved in admin.secrets.move("sealed")] == [""] * 3
    assert keeper.list() == ()
    assert states(admin) == [(owner, "sealed", state) for owner, _, state in listed]
    assert admin.providers.config(desk).records() == records
    assert admin.providers.config(desk).build_config().api_key == Secret(KEY)
    assert admin.settings.explain("secrets.keeper").value == "sealed"
    assert admin.secrets.move("sealed") == ()
    admin.providers.edit(desk, config={"secondKey": KEY})
    assert keeper.list() == ()
    assert len(admin.secrets.move("file")) == 4
    assert len(keeper.list()) == 4


@pytest.mark.usefixtures("sealing")
def test_only_what_is_of_this_configuration_is_sealed_into_its_database(
    admin: Admin, desk: str, keeper: FileKeeper
) -> None:
    admin.providers.edit(desk, config={"apiKey": KEY})
    others = keeper.put("another configuration's", owner="desk/apiKey")
    admin.secrets.move("sealed")
    assert keeper.ids() == (others,)


def test_a_keeper_that_can_take_nothing_is_refused_before_anything_is_moved(admin: Admin, desk: str) -> None:
    admin.providers.edit(desk, config={"apiKey": KEY})
    with pytest.raises(ConfigError, match="needs a key"):
        admin.secrets.move("sealed")
    with pytest.raises(ConfigError, match="There is no keeper 'vault'"):
        admin.secrets.move("vault")
    assert (states(admin), admin.secrets.keeper) == ([("desk/apiKey", "file", "used")], "file")


@pytest.mark.usefixtures("sealing")
def test_a_change_that_fails_leaves_nothing_sealed(admin: Admin, desk: str) -> None:
    admin.settings.set("secrets.keeper", "sealed")
    with pytest.raises(ZeroDivisionError), admin.atomic():
        admin.providers.edit(desk, config={"apiKey": KEY})
        raise ZeroDivisionError
    assert admin.secrets.list() == ()


@pytest.mark.usefixtures("sealing")
def test_a_rollback_takes_the_sealed_secrets_out_of_the_bin_and_puts_the_others_there(admin: Admin, desk: str) -> None:
    def sealed() -> dict[str, str]:
        """What the rows hold, by id: no rollback seals anything anew."""
        with closing(sqlite3.connect(admin.path)) as raw:
            return dict(raw.execute("SELECT id, token FROM sealed_secrets").fetchall())

    admin.settings.set("secrets.keeper", "sealed")
    admin.providers.edit(desk, config={"apiKey": KEY})
    then = admin.revision
    admin.providers.edit(desk, config={"apiKey": "another", "headers": {"X-A": "a header"}})
    now, rows = admin.revision, sealed()
    with pytest.raises(ZeroDivisionError), admin.atomic():
        admin.changes.rollback(then)
        raise ZeroDivisionError
    in_use, binned = ("desk/apiKey", "sealed", "used"), ("desk/apiKey", "sealed", "bin")
    header = ("desk/headers.X-A", "sealed", "used")
    assert (states(admin), sealed()) == ([in_use, header, binned], rows)
    admin.changes.rollback(then)
    assert admin.providers.config(desk).build_config().api_key == Secret(KEY)
    assert states(admin)[0] == in_use
    assert sorted(states(admin)[1:]) == [binned, ("desk/headers.X-A", "sealed", "bin")]
    admin.changes.rollback(now)
    assert admin.providers.config(desk).build_config().api_key == Secret("another")
    assert (states(admin), sealed()) == ([in_use, header, binned], rows)
    assert {check.state for check in admin.secrets.check()} == {"ok"}


def test_without_the_key_nothing_is_sealed_and_nothing_is_changed(admin: Admin, desk: str) -> None:
    admin.settings.set("secrets.keeper", "sealed")
    before = admin.revision
    with pytest.raises(ConfigError, match="needs a key"):
        admin.providers.edit(desk, config={"apiKey": KEY, "defaultModel": "qwen3"})
    assert (admin.revision, "apiKey" in admin.providers.config(desk)) == (before, False)


def test_sealed_secrets_go_to_the_bin_and_are_rotated(
    admin: Admin, desk: str, monkeypatch: pytest.MonkeyPatch, sealing: None
) -> None:
    admin.settings.set("secrets.keeper", "sealed")
    admin.providers.edit(desk, config={"apiKey": "before"})
    admin.providers.edit(desk, config={"apiKey": KEY})
    assert states(admin) == [("desk/apiKey", "sealed", "used"), ("desk/apiKey", "sealed", "bin")]
    new = admin.secrets.new_key()
    monkeypatch.setenv("PROUTER_SECRET_KEY", f"{new},{SEALING}")
    assert len(admin.secrets.rotate().sealed) == 2
    monkeypatch.setenv("PROUTER_SECRET_KEY", new)
    assert [check.state for check in admin.secrets.check()] == ["ok"]
    monkeypatch.setenv("PROUTER_SECRET_KEY", SEALING)
    [check] = admin.secrets.check()
    assert (check.state, "not among those given" in check.problem) == ("unreadable", True)


def test_from_afar_secrets_are_listed_and_checked_only(
    admin: Admin, open_admin: Callable[..., Admin], desk: str, keeper: FileKeeper
) -> None:
    admin.providers.edit(desk, config={"apiKey": KEY})
    unused = keeper.put(KEY, owner="gone/apiKey")
    afar = open_admin(local=False)
    assert [check.state for check in afar.secrets.check()] == ["ok"]
    assert afar.secrets.list() == admin.secrets.list()
    for use in (
        lambda: afar.secrets.move("file"),
        lambda: afar.secrets.restore(unused),
        lambda: afar.secrets.remove(unused),
        afar.secrets.rotate,
        lambda: afar.settings.set("secrets.keeper", "keyring"),
        lambda: afar.settings.unset("secrets.keeper"),
    ):
        with pytest.raises(ConfigError, match="on this machine only"):
            use()


REFERENCES = ["env:HOME", "file:/etc/passwd", "keyring:a/b", "cmd:id", "secret:0123456789abcdef"]


@pytest.mark.parametrize("reference", REFERENCES)
def test_from_afar_no_reference_gets_in_anywhere(
    admin: Admin, open_admin: Callable[..., Admin], desk: str, reference: str
) -> None:
    admin.providers.edit(desk, config={"headers": {"X": KEY}})
    afar = open_admin(local=False)
    before = admin.revision
    for use in (
        lambda: afar.providers.edit(desk, config={"apiKey": reference}),
        lambda: afar.providers.edit(desk, config={"headers": {"X": reference}}),
        lambda: afar.providers.edit(desk, config={"headers.Y": reference}),
        lambda: afar.providers.config(desk).set("headers", {"X": "***", "Y": reference}),
        lambda: afar.providers.add("loft", type="heron", config={"token": reference}),
        lambda: afar.credentials.set(reference, "cookies"),
        lambda: afar.credentials.set("token", reference),
    ):
        with pytest.raises(InvalidConfig, match="on this machine or in Python only"):
            use()
    assert admin.revision == before


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_secret_object_is_the_value_itself_and_never_a_reference(
    open_admin: Callable[..., Admin], desk: str, reference: str
) -> None:
    afar = open_admin(local=False)
    afar.providers.edit(desk, config={"apiKey": Secret(reference), "headers": {"X": Secret(reference)}})
    afar.credentials.set(Secret(reference), Secret(reference))
    config = afar.providers.config(desk).build_config()
    assert (config.api_key, config.headers["X"]) == (Secret(reference), Secret(reference))
    assert afar.credentials.list()[0].token.startswith("secret:")


def test_a_secret_of_another_provider_can_be_shared_from_this_machine(
    admin: Admin, open_admin: Callable[..., Admin], desk: str
) -> None:
    admin.providers.edit(desk, config={"apiKey": KEY})
    [entry] = admin.secrets.list()
    with pytest.raises(InvalidConfig, match="on this machine or in Python only"):
        open_admin(local=False).providers.add("loft", type="heron", config={"token": entry.reference})
    admin.providers.add("loft", type="heron", config={"token": entry.reference})
    assert admin.providers.config("loft").build_config().token == Secret(KEY)


@pytest.mark.posix
def test_a_check_does_not_wait_longer_than_it_may(tmp_path: Path) -> None:
    with Admin(tmp_path / "router.db") as admin:
        config = {"baseURL": "http://localhost:9/v1", "apiKey": "cmd:sleep 2"}
        admin.providers.add("slow", type="openai-compatible", config=config)
        (checked,) = admin.secrets.check(time_limit=0.05)
    assert ("unreadable", "it was not there in time; does it wait for somebody?") == (checked.state, checked.problem)
