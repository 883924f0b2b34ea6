"""A router over a real database: whatever anybody changes is in force for the next request."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from provider_router import Admin, AsyncRouter, ConfigError, NoCandidates, StoreError
from provider_router.backends import Backend, answers
from provider_router.errors import UnknownModel, UnknownProvider
from provider_router.providers.plugins import Plugins


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "router.db"


@pytest.fixture
def plugins(quick: Any) -> Plugins:
    return Plugins([quick])


@pytest.fixture
def admin(database: Path, plugins: Plugins) -> Iterator[Admin]:
    with Admin(database, plugins=plugins) as admin:
        yield admin


@pytest.fixture
def two(admin: Admin) -> Iterator[tuple[Backend, Backend]]:
    """Two providers, `one` before `two`, each over a backend that says its name."""
    with Backend(answers("from one")) as one, Backend(answers("from two")) as two:
        admin.providers.add("one", type="quick", priority=10, config={"baseURL": one.base_url})
        admin.providers.add("two", type="quick", priority=5, config={"baseURL": two.base_url})
        yield one, two


async def test_priority_decides_and_a_change_of_it_is_in_force_at_once(
    admin: Admin, two: Any, database: Path, plugins: Plugins
) -> None:
    async with AsyncRouter(database, plugins=plugins) as router:
        assert (await router.chat("hi")).text == "from one"
        admin.providers.edit("two", priority=20)
        assert (await router.chat("hi")).text == "from two"
        admin.settings.set_active("one")
        assert (await router.chat("hi")).text == "from one"
        admin.providers.disable("one")
        assert (await router.chat("hi")).text == "from two"
        admin.providers.enable("one")
        assert (await router.chat("hi")).text == "from one"


async def test_a_change_by_another_process_is_seen_by_the_next_request(
    admin: Admin, two: Any, database: Path, plugins: Plugins
) -> None:
    script = """
    import sys
    from provider_router import Admin
    with Admin(sys.argv[1]) as admin:
        admin.providers.set_priority("two", 99)
    """
    async with AsyncRouter(database, plugins=plugins) as router:
        assert (await router.chat("hi")).provider == "one"
        await anyio.run_process([sys.executable, "-c", textwrap.dedent(script), str(database)])
        assert (await router.chat("hi")).provider == "two"


async def test_an_option_that_changes_gives_new_connections_and_lets_running_calls_end(
    admin: Admin, database: Path, plugins: Plugins
) -> None:
    with Backend(answers("a long old answer", pace=0.1)) as old, Backend(answers("new")) as new:
        admin.providers.add("one", type="quick", config={"baseURL": old.base_url})
        async with AsyncRouter(database, plugins=plugins) as router:
            async with router.stream("hi") as stream:
                await anext(stream)
                admin.providers.edit("one", config={"baseURL": new.base_url})
                assert (await router.chat("hi")).text == "new"
                rest = [chunk.text async for chunk in stream]
            assert "".join(rest).endswith("answer")
            assert await anyio.to_thread.run_sync(old.wait_closed)


async def test_a_link_routes_by_model_under_its_remote_name_with_its_parameters(
    admin: Admin, two: tuple[Backend, Backend], database: Path, plugins: Plugins
) -> None:
    admin.models.add("pelican", name="Pelican")
    admin.links.link("two", "pelican", remote_name="pelican-7b-q4", parameters={"top_k": 40, "temperature": 0.1})
    async with AsyncRouter(database, plugins=plugins) as router:
        answer = await router.chat("hi", model="pelican", temperature=0.9)
        assert (answer.provider, two[1].requests[-1].json["model"]) == ("two", "pelican-7b-q4")
        assert (two[1].requests[-1].json["top_k"], two[1].requests[-1].json["temperature"]) == (40, 0.9)
        steps = {step.provider: (step.state, step.model) for step in await router.plan("pelican")}
        assert steps == {"two": ("ready", "pelican-7b-q4"), "one": ("ready", "pelican")}
        two[1].kill()
        assert (await router.chat("hi", model="pelican")).provider == "one"


async def test_the_first_link_closes_an_open_provider(admin: Admin, two: Any, database: Path, plugins: Plugins) -> None:
    for model in ("pelican", "heron"):
        admin.models.add(model)
    admin.links.link("one", "pelican")
    admin.links.link("two", "pelican")
    async with AsyncRouter(database, plugins=plugins) as router:
        with pytest.raises(UnknownModel, match="did you mean pelican"):
            await router.chat("hi", model="pelikan")
        with pytest.raises(NoCandidates, match="does not serve heron"):
            await router.chat("hi", model="heron")


async def test_a_default_link_names_the_model_where_the_request_names_none(
    admin: Admin, two: tuple[Backend, Backend], database: Path, plugins: Plugins
) -> None:
    admin.models.add("pelican")
    admin.links.link("one", "pelican", default=True, remote_name="p-7b")
    async with AsyncRouter(database, plugins=plugins) as router:
        await router.chat("hi")
    assert two[0].requests[-1].json["model"] == "p-7b"


async def test_aliases_and_fallback_models(
    admin: Admin, two: tuple[Backend, Backend], database: Path, plugins: Plugins
) -> None:
    admin.models.add("small")
    admin.models.add("large", fallbacks=["small"])
    admin.models.add("best", alias_of="large")
    admin.links.link("one", "large")
    admin.links.link("two", "small")
    async with AsyncRouter(database, plugins=plugins) as router:
        assert (await router.chat("hi", model="best")).provider == "one"
        assert two[0].requests[-1].json["model"] == "large"
        two[0].kill()
        answer = await router.chat("hi", model="best")
    assert [(a.provider, a.model) for a in answer.attempts] == [("one", "large"), ("two", "small")]


async def test_a_secret_that_cannot_be_had_skips_its_provider_and_says_why(
    admin: Admin, two: Any, database: Path, plugins: Plugins
) -> None:
    admin.providers.edit("one", config={"apiKey": "env:NO_SUCH_VARIABLE"})
    async with AsyncRouter(database, plugins=plugins) as router:
        assert (await router.chat("hi")).provider == "two"
        [skipped] = [step for step in await router.plan() if step.state == "skipped"]
        states = {state.provider: (state.state, state.reason) for state in await router.health()}
        with pytest.raises(ConfigError, match="NO_SUCH_VARIABLE"):
            await router.check("one")
    assert "NO_SUCH_VARIABLE" in skipped.reason
    assert states["one"][0] == "no-secret"
    assert "NO_SUCH_VARIABLE" in states["one"][1]


async def test_a_missing_plugin_is_a_reason_and_no_crash(admin: Admin, two: Any, database: Path, quick: Any) -> None:
    async with AsyncRouter(database, plugins=Plugins([])) as router:
        with pytest.raises(NoCandidates, match="no provider type is called 'quick'"):
            await router.chat("hi")


async def test_settings_and_environment_bound_the_attempts(
    admin: Admin, two: Any, database: Path, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.settings.set("routing.maxAttempts", 2)
    admin.settings.set("routing.zone", "lan")
    admin.settings.set("routing.idleTimeout", "7s")
    async with AsyncRouter(database, plugins=plugins) as router:
        snapshot = await router.registry.refresh()
        assert (snapshot.settings.max_attempts, snapshot.settings.zone) == (2, "lan")
        assert {view.limits.idle for view in snapshot.providers} == {7.0}
        monkeypatch.setenv("PROUTER_ROUTING_MAX_ATTEMPTS", "4")
        admin.settings.unset("routing.idleTimeout")
        snapshot = await router.registry.refresh()
        assert snapshot.settings.max_attempts == 4
        assert {view.limits.idle for view in snapshot.providers} == {60.0}
        monkeypatch.setenv("PROUTER_ROUTING_MAX_WAIT", "soon")
        admin.settings.set("routing.zone", "loopback")
        snapshot = await router.registry.refresh()
        assert (snapshot.settings.zone, snapshot.settings.max_wait) == ("loopback", 30.0)
        assert "PROUTER_ROUTING_MAX_WAIT: 'soon' is no duration" in (await router.health())[0].stale
    with pytest.raises(ConfigError, match="PROUTER_ROUTING_MAX_WAIT: 'soon' is no duration"):
        AsyncRouter(database, plugins=plugins)


async def test_a_database_that_is_not_there_yet_is_used_as_soon_as_it_is(database: Path, plugins: Plugins) -> None:
    async with AsyncRouter(database, plugins=plugins) as router:
        with pytest.raises(NoCandidates, match="prouter add"):
            await router.chat("hi")
        assert not await anyio.Path(database).exists()
        with Backend(answers("from one")) as one, Admin(database, plugins=plugins) as admin:
            admin.providers.add("one", type="quick", config={"baseURL": one.base_url})
            assert (await router.chat("hi")).text == "from one"


async def test_a_file_that_is_no_database_is_told_and_left_as_it_is(tmp_path: Path, plugins: Plugins) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("Dear pelican, " * 100)
    async with AsyncRouter(file, plugins=plugins) as router:
        with pytest.raises(StoreError, match=r"letter\.txt"):
            await router.chat("hi")
    assert file.read_text() == "Dear pelican, " * 100


async def test_the_registry_has_the_seeds_methods(
    admin: Admin, two: Any, database: Path, plugins: Plugins, quick: Any
) -> None:
    async with AsyncRouter(database, plugins=plugins) as router:
        registry = router.registry
        await registry.load()
        assert sorted(registry) == ["one", "two"]
        assert [provider.id for provider in registry.by_type("quick")] == [p.id for p in registry.all()]
        before = registry.get("one")
        await registry.reload("one")
        assert registry.get("one") is not before
        with pytest.raises(UnknownProvider):
            await registry.reload("three")
        with pytest.raises(UnknownProvider, match="there are one, two"):
            registry.get("three")
        registry.register(quick("three", base_url=two[0].base_url), priority=99)
        assert (await router.chat("hi")).provider == "three"
        await registry.unregister("three")
        assert (await router.chat("hi")).provider == "one"


async def test_an_edit_ends_what_was_held_against_a_provider(
    admin: Admin, two: tuple[Backend, Backend], database: Path, plugins: Plugins
) -> None:
    async with AsyncRouter(database, plugins=plugins) as router:
        two[0].kill()
        await router.chat("hi")
        assert {state.provider: state.state for state in await router.health()}["one"] == "open"
        two[0].revive()
        admin.providers.edit("one", description="back again")
        assert (await router.chat("hi")).provider == "one"


def test_many_processes_may_route_over_one_file(admin: Admin, database: Path) -> None:
    script = """
    import sys
    from provider_router import Router, NoCandidates
    try:
        Router(sys.argv[1]).chat("hi")
    except NoCandidates as error:
        print("nobody")
    """
    assert len(admin.providers) == 0
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), str(database)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    assert [process.communicate(timeout=60)[0] for process in processes] == ["nobody\n"] * 3


async def test_the_environment_holds_for_providers_without_a_database_too(
    quick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROUTER_ROUTING_MAX_PARALLEL", "3")
    monkeypatch.setenv("PROUTER_ROUTING_TIMEOUT", "7s")
    own = quick("own", base_url="http://localhost:1/v1", timeout=5.0, max_parallel=1)
    async with AsyncRouter(providers=[quick("a", base_url="http://localhost:1/v1"), own]) as router:
        views = {view.id: (view.max_parallel, view.limits.timeout) for view in router.registry.snapshot.providers}
    assert views == {"a": (3, 7.0), "own": (1, 5.0)}
