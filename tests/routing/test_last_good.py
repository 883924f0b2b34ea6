"""A change that cannot be loaded: who goes on as it was, who must not, and that both is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve

from provider_router import Admin, AsyncRouter, NoCandidates
from provider_router.backends import Backend, answers
from provider_router.providers.plugins import Plugins
from provider_router.routing.maker import Maker
from provider_router.store import ChangeRecord, History, OptionRecord, SettingRecord, Store


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "router.db"


@pytest.fixture
def plugins(quick: Any) -> Plugins:
    return Plugins([quick])


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend(answers("It is the pelican.")) as backend:
        yield backend


@pytest.fixture
def admin(database: Path, plugins: Plugins, backend: Backend) -> Iterator[Admin]:
    with Admin(database, plugins=plugins) as admin:
        admin.providers.add("desk", type="quick", config={"baseURL": backend.base_url, "apiKey": "env:DESK_KEY"})
        yield admin


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESK_KEY", "sk-pelican")


def write(database: Path, **options: Any) -> None:
    """What another program could write past every check, or another version with other types: and it tells of it."""
    with Store.open(database) as store, store.atomic():
        for key, value in options.items():
            store.configs.set(OptionRecord(provider_id="desk", key=key, value=value))
        change = ChangeRecord(who="x", what="wrote", noun="provider", subject="desk", providers=("desk",), models=())
        store.changes.add(change)


async def health(router: AsyncRouter) -> Mapping[str, str]:
    [desk] = await router.health()
    return {"state": desk.state, "reason": desk.reason, "stale": desk.stale}


async def test_a_bad_option_leaves_the_provider_as_it_was_and_says_so(
    admin: Admin, database: Path, plugins: Plugins
) -> None:
    async with AsyncRouter(database, plugins=plugins) as router:
        await router.chat("hi")
        before = router.registry.get("desk")
        write(database, timeout="soon")
        assert "It is the pelican." == (await router.chat("hi")).text
        assert before is router.registry.get("desk")
        told = await health(router)
        assert ("ready", "timeout: 'soon' is no duration; write 30s, 500ms or 2m") == (told["state"], told["stale"])
        admin.providers.config("desk").set("timeout", "30s")
        assert "It is the pelican." == (await router.chat("hi")).text
        assert "" == (await health(router))["stale"]
        assert before is not router.registry.get("desk")


async def test_a_plugin_that_is_gone_leaves_the_provider_as_it_was(
    admin: Admin, database: Path, plugins: Plugins
) -> None:
    async with AsyncRouter(database, plugins=plugins) as router:
        await router.chat("hi")
        types, plugins.types = plugins.types, {}
        admin.providers.edit("desk", description="edited")
        assert "It is the pelican." == (await router.chat("hi")).text
        assert "no provider type is called 'quick'" in (await health(router))["stale"]
        plugins.types = types


async def test_what_is_asked_and_when_is_obeyed_though_the_options_cannot_be_loaded(
    admin: Admin, database: Path, plugins: Plugins
) -> None:
    async with AsyncRouter(database, plugins=plugins) as router:
        await router.chat("hi")
        write(database, timeout="soon")
        admin.models.add("pelican")
        admin.links.link("desk", "pelican", remote_name="p-7b", default=True)
        assert "p-7b" == (await router.chat("hi")).attempts[-1].model
        admin.settings.set("routing.idleTimeout", "7s")
        assert "soon" in (await health(router))["stale"]
        admin.providers.disable("desk")
        with pytest.raises(NoCandidates):
            await router.chat("hi")
        admin.providers.enable("desk")
        await router.chat("hi")
        admin.providers.remove("desk")
        with pytest.raises(NoCandidates):
            await router.chat("hi")


@pytest.mark.parametrize(
    "options",
    [
        {"baseURL": "http://127.0.0.1:1/v1"},
        {"zone": "internet"},
        {"apiKey": "env:OTHER_KEY"},
        {"headers": {"X": "env:H"}},
    ],
    ids=lambda options: next(iter(options)),
)
async def test_where_requests_go_and_as_whom_is_never_left_as_it_was(
    admin: Admin, database: Path, plugins: Plugins, options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER_KEY", "sk-heron")
    monkeypatch.setenv("H", "x")
    async with AsyncRouter(database, plugins=plugins) as router:
        await router.chat("hi")
        write(database, timeout="soon", **options)
        with pytest.raises(NoCandidates, match="'soon' is no duration"):
            await router.chat("hi")
        assert "unusable" == (await health(router))["state"]


async def test_a_secret_that_was_taken_away_is_not_used_on(
    admin: Admin, database: Path, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncRouter(database, plugins=plugins) as router:
        await router.chat("hi")
        monkeypatch.delenv("DESK_KEY")
        await router.chat("hi")
        admin.providers.enable("desk")  # prouter provider reload
        with pytest.raises(NoCandidates, match="DESK_KEY is not set"):
            await router.chat("hi")


@pytest.mark.posix
async def test_a_secret_that_cannot_be_asked_for_now_is_used_on(
    admin: Admin, database: Path, plugins: Plugins, tmp_path: Path
) -> None:
    script = tmp_path / "vault"
    script.write_text("#!/bin/sh\necho sk-pelican\n")
    script.chmod(0o700)
    admin.providers.config("desk").set("apiKey", f"cmd:{script}")
    async with AsyncRouter(database, plugins=plugins) as router:
        await router.chat("hi")
        script.write_text("#!/bin/sh\nexit 3\n")
        admin.providers.edit("desk", priority=3)
        assert "It is the pelican." == (await router.chat("hi")).text
        assert "ended with exit code 3" in (await health(router))["stale"]


async def test_a_type_whose_class_fails_takes_only_its_own_provider_out(
    admin: Admin, database: Path, quick: Any, backend: Backend
) -> None:
    class Crooked(quick):  # type: ignore[misc]
        type = "crooked"

        def __init__(self, *args: Any, **options: Any) -> None:
            raise ZeroDivisionError("sk-pelican")

    types = Plugins([quick, Crooked])
    with Admin(database, plugins=types) as other:
        other.providers.add("bent", type="crooked", priority=99, config={"baseURL": backend.base_url})
    async with AsyncRouter(database, plugins=types) as router:
        assert "desk" == (await router.chat("hi")).provider
        [bent] = [one for one in await router.health() if one.provider == "bent"]
        assert ("unusable", "the type crooked failed with ZeroDivisionError: tell its author") == (
            bent.state,
            bent.reason,
        )
        with Store.open(database) as store:  # and so it is under another configuration
            view = Maker(types).snapshot_of(store.read()).provider("bent")
        assert view is not None
        assert bent.reason == view.problem


async def test_a_setting_that_cannot_be_read_stays_as_it_was_and_the_others_change(
    admin: Admin, database: Path, plugins: Plugins
) -> None:
    admin.settings.set("routing.maxAttempts", 3)
    async with AsyncRouter(database, plugins=plugins) as router:
        await router.chat("hi")
        with Store.open(database) as store, store.atomic():
            store.settings.set(SettingRecord(key="routing.maxAttempts", value="many"))
            store.settings.set(SettingRecord(key="routing.zone", value="loopback"))
            store.changes.add(ChangeRecord(who="x", what="w", noun="setting", subject="s", providers=(), models=()))
        await router.chat("hi")
        settings = router.registry.snapshot.settings
        assert (3, "loopback") == (settings.max_attempts, settings.zone)
        assert "'many' is no whole number" in (await health(router))["stale"]
        admin.settings.set("routing.maxAttempts", 4)
        await router.chat("hi")
        assert ("", 4) == ((await health(router))["stale"], router.registry.snapshot.settings.max_attempts)


async def test_rows_that_cannot_be_read_leave_everything_as_it_was_until_they_can(
    admin: Admin, database: Path, plugins: Plugins
) -> None:
    admin.models.add("pelican")
    async with AsyncRouter(database, plugins=plugins) as router:
        await router.chat("hi")
        with closing(sqlite3.connect(database)) as raw, raw:
            raw.execute("UPDATE models SET fallbacks = '[1]'")
        with Store.open(database) as store, store.atomic():
            store.providers.update(evolve(store.providers.get("desk"), priority=3))
            store.changes.add(
                ChangeRecord(who="x", what="w", noun="n", subject="s", providers=("desk",), models=("pelican",))
            )
        for _ in range(3):
            assert "It is the pelican." == (await router.chat("hi")).text
        assert "The model pelican cannot be read" in (await health(router))["stale"]
        assert 0 == router.registry.snapshot.providers[0].priority
        with closing(sqlite3.connect(database)) as raw, raw:
            raw.execute("UPDATE models SET fallbacks = NULL")
        # Another change: it is tried again at once, and not only after a while.
        admin.providers.edit("desk", priority=4)
        await router.chat("hi")
        assert ("", 4) == ((await health(router))["stale"], router.registry.snapshot.providers[0].priority)


async def starve_nobody(admin: Admin, database: Path, plugins: Plugins, *, changes: int) -> None:
    """Change on and on, until each of sixteen callers was answered again and again."""
    over = anyio.Event()
    answered = [0] * 16

    async def ask(router: AsyncRouter, caller: int) -> None:
        while not over.is_set():
            await router.chat("hi")
            answered[caller] += 1

    def change() -> None:
        for number in range(100 * changes):
            if number >= changes and min(answered) >= 3:
                return
            admin.providers.edit("desk", priority=number + 1)

    async with AsyncRouter(database, plugins=plugins) as router:
        await router.chat("hi")
        async with anyio.create_task_group() as tasks:
            for caller in range(len(answered)):
                tasks.start_soon(ask, router, caller)
            await anyio.to_thread.run_sync(change)
            over.set()
        assert min(answered) >= 3
        await router.chat("hi")
        assert admin.revision == router.registry.snapshot.revision
        assert [] == router.registry._retired


async def test_changes_in_a_row_starve_nobody(admin: Admin, database: Path, plugins: Plugins) -> None:
    await starve_nobody(admin, database, plugins, changes=100)


@pytest.mark.soak
async def test_a_thousand_changes_in_a_row_starve_nobody(admin: Admin, database: Path, plugins: Plugins) -> None:
    await starve_nobody(admin, database, plugins, changes=1000)


async def test_a_flush_of_the_history_renews_nothing(admin: Admin, database: Path, plugins: Plugins) -> None:
    from provider_router import home
    from provider_router.store import HealthNoteRecord

    async with AsyncRouter(database, plugins=plugins) as router:
        before = await router.registry.refresh()
        note = HealthNoteRecord(
            process="p", scope="provider", subject="x", model=None, state="open", reason="r", until=2**45, at=1
        )
        with History.open(home.history_path(database)) as history:
            for _ in range(50):
                history.notes.replace("p", [note], now=1)
                assert before is await router.registry.refresh()
        assert 1 == router.registry._begun


async def test_whoever_waits_for_a_reading_is_served_by_the_next_one(
    admin: Admin, database: Path, plugins: Plugins
) -> None:
    async with AsyncRouter(database, plugins=plugins) as router:
        await router.registry.refresh()
        admin.providers.edit("desk", priority=7)
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(router.registry.refresh)
        assert (7, 2) == (router.registry.snapshot.providers[0].priority, router.registry._begun)
