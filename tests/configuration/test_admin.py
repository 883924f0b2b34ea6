"""Admin as a whole: opening, closing, two at once, threads, forks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from provider_router.configuration.admin import Admin
from provider_router.errors import InvalidConfig, UnknownModel
from provider_router.providers.plugins import Plugins
from provider_router.providers.secrets import FileKeeper
from provider_router.store import ChangeRecord, Store


def test_nothing_is_opened_before_first_use(admin: Admin, path: Path) -> None:
    assert admin.path == path
    assert (admin.revision, admin.providers.list(), admin.settings.get("routing.maxWait")) == (0, (), 30000)
    with pytest.raises(UnknownModel):
        admin.models.get("qwen3")
    assert not path.parent.exists()
    admin.models.add("qwen3")
    assert path.exists()
    assert admin.revision == 1


def test_what_another_process_creates_meanwhile_is_seen(admin: Admin, path: Path) -> None:
    assert len(admin.models) == 0
    with Admin(path) as other:
        other.models.add("qwen3")
    assert "qwen3" in admin.models


def test_what_another_process_creates_inside_a_change_is_joined(admin: Admin, path: Path) -> None:
    with admin.atomic():
        assert len(admin.models) == 0
        with Admin(path) as other:
            other.models.add("qwen3")
        admin.models.add("small")
        assert "qwen3" in admin.models
    with Admin(path) as other:
        assert ("qwen3" in other.models, "small" in other.models) == (True, True)


def test_a_first_change_that_is_given_up_keeps_nothing_and_the_next_one_is_whole(admin: Admin, path: Path) -> None:
    def change(*, then: type[Exception] | None) -> None:
        with admin.atomic(), admin.atomic():
            admin.models.add("qwen3")
            with admin.atomic():
                admin.models.add("small")
            if then is not None:
                raise then

    with pytest.raises(ZeroDivisionError):
        change(then=ZeroDivisionError)
    assert (len(admin.models), admin.revision) == (0, 0)
    change(then=None)
    with Admin(path) as other:
        assert (len(other.models), other.revision) == (2, 2)


def test_the_first_change_empties_the_bin_of_what_is_too_old(
    open_admin: Callable[..., Admin], keeper: FileKeeper
) -> None:
    past = FileKeeper(keeper.path, clock=lambda: time.time() - 8 * 24 * 3600)
    keeper.remove(new := keeper.put("sk-new", owner="desk/apiKey"))
    past.remove(old := past.put("sk-old", owner="desk/apiKey"))
    admin = open_admin()
    assert len(admin.providers) == 0
    assert old in keeper.path.read_text()
    admin.models.add("qwen3")
    assert (keeper.owner(old), keeper.owner(new)) == (None, "desk/apiKey")


def test_a_keeper_that_cannot_be_read_keeps_no_change_from_being_made(
    admin: Admin, keeper: FileKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    keeper.path.parent.mkdir(parents=True, exist_ok=True)
    keeper.path.write_text("{")
    admin.models.add("qwen3")
    assert "removed secrets stay in their bin" in caplog.text
    assert "qwen3" in admin.models


def test_it_opens_anew_after_it_was_closed(admin: Admin, desk: str) -> None:
    with admin as same:
        assert same is admin
    admin.close()
    assert desk in admin.providers


def test_without_a_path_it_is_the_home_s_database(prouter_home: Path) -> None:
    with Admin() as admin:
        admin.models.add("a")
        assert admin.path == prouter_home / "provider-router.db"
    assert (prouter_home / "provider-router.db").exists()


def test_types_are_found_when_none_are_given() -> None:
    assert isinstance(Admin().plugins, Plugins)


def test_two_admins_on_one_file_see_each_others_changes(open_admin: Callable[..., Admin]) -> None:
    one, other = open_admin(who="one"), open_admin(who="other")
    one.providers.add("nest", type="wren")
    assert other.providers.edit("nest", priority=4).priority == 4
    assert one.providers.get("nest").priority == 4
    assert one.revision == other.revision == 2


def test_several_changes_are_kept_together_or_not_at_all(
    admin: Admin, changes: Callable[[], tuple[ChangeRecord, ...]]
) -> None:
    with pytest.raises(InvalidConfig), admin.atomic():
        admin.models.add("a")
        admin.settings.set("server.port", 0)
    assert (len(admin.models), admin.revision) == (0, 0)
    with admin.atomic():
        admin.models.add("a")
        admin.settings.set("server.port", 8080)
    assert [change.noun for change in changes()] == ["model", "setting"]


def test_threads_share_one_without_losing_a_change(admin: Admin, desk: str) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                admin.links.link(desk, f"model-{number}-{turn}", create=True)
                with admin.atomic():
                    admin.providers.set_priority(desk, admin.providers.get(desk).priority + 1)
                admin.providers.config(desk).set("apiKey", f"sk-{number}-{turn}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert admin.providers.get(desk).priority == 20
    assert len(admin.links.models_for(desk)) == 20
    assert admin.revision == 1 + 3 * 20


def test_every_change_can_be_undone_from_its_record(admin: Admin, desk: str) -> None:
    """What `after` holds and `before` does not was added; what `before` holds is how it was."""
    admin.models.add("a")
    admin.links.link(desk, "a", default=True)
    admin.links.link(desk, "b", default=True, create=True)
    admin.providers.edit(desk, priority=3, config={"timeout": "30s", "apiKey": "sk-x-y-z"})
    admin.settings.set_active(desk)
    admin.providers.remove(desk, force=True)
    keys = {
        "provider": ("id",),
        "option": ("provider_id", "key"),
        "model": ("id",),
        "link": ("provider_id", "model_id"),
        "setting": ("key",),
    }
    tables: dict[str, dict[tuple[str, ...], object]] = {noun: {} for noun in keys}
    with Store.open(admin.path) as store:
        for change in store.changes.list()[::-1]:
            for side in ("before", "after"):
                rows = getattr(change, side) or {}
                for noun, of_noun in rows.items():
                    for row in of_noun:
                        key = tuple(row[column] for column in keys[noun])
                        if side == "before":
                            assert tables[noun].pop(key) == row  # each row is as the changes before have left it
                        else:
                            tables[noun][key] = row
    assert {noun: sorted(rows) for noun, rows in tables.items() if rows} == {"model": [("a",), ("b",)]}


@pytest.mark.posix
def test_a_forked_child_opens_its_own(admin: Admin, desk: str) -> None:
    assert desk in admin.providers
    child = os.fork()
    if not child:
        code = 1
        try:
            admin.models.add("from-the-child")
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert "from-the-child" in admin.models


def test_importing_it_imports_neither_httpx_nor_sqlite_utils() -> None:
    program = "import sys, provider_router.configuration.admin; print({'httpx', 'sqlite_utils'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
