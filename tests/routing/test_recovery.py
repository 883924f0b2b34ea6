"""A secret that cannot be had: named, skipped, and looked for again without hammering what it lies with."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provider_router import Admin, AsyncRouter, NoCandidates
from provider_router.backends import Backend, answers
from provider_router.limits import LONGEST_SECRET_PAUSE, SECRET_PAUSE
from provider_router.plugin import Secret, option
from provider_router.providers.plugins import Plugins
from provider_router.routing.recovery import Recovery
from provider_router.store import new_key


class Clock:
    """Seconds that run, and can be moved on."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def plugins(quick: Any) -> Plugins:
    return Plugins([quick])


@pytest.fixture
def admin(tmp_path: Path, plugins: Plugins) -> Iterator[Admin]:
    with Admin(tmp_path / "router.db", plugins=plugins) as admin:
        yield admin


@pytest.fixture
def desk(admin: Admin) -> Iterator[Backend]:
    with Backend(answers("from the desk"), api_key="sk-pelican") as backend:
        admin.providers.add("desk", type="quick", config={"baseURL": backend.base_url})
        yield backend


def counting(path: Path, secret: Path) -> str:
    """A command that notes that it was run, and prints what a file holds, if it is there."""
    code = f"import pathlib; open({str(path)!r}, 'a').write('x'); print(pathlib.Path({str(secret)!r}).read_text())"
    line = [sys.executable, "-c", code]
    return f"cmd:{subprocess.list2cmdline(line) if sys.platform == 'win32' else shlex.join(line)}"


async def test_a_provider_without_its_secret_is_named_so_and_is_back_when_it_can_be_had(
    admin: Admin, desk: Backend, plugins: Plugins, clock: Clock, tmp_path: Path
) -> None:
    key = tmp_path / "example.key"
    admin.providers.edit("desk", config={"apiKey": f"file:{key}"})
    async with AsyncRouter(admin.path, plugins=plugins, clock=clock) as router:
        with pytest.raises(NoCandidates, match="no secret, option apiKey: there is no file"):
            await router.chat("hi")
        [health] = await router.health()
        assert (health.state, "there is no file" in health.reason) == ("no-secret", True)
        [step] = await router.plan()
        assert (step.state, step.reason.startswith("no secret, option apiKey: there is no file")) == ("skipped", True)
        key.write_text("sk-pelican")
        with pytest.raises(NoCandidates):  # it is not time yet
            await router.chat("hi")
        clock.ahead += SECRET_PAUSE
        assert (await router.chat("hi")).text == "from the desk"
        assert [each.state for each in await router.health()] == ["ready"]


async def test_a_provider_that_went_on_as_it_was_takes_its_change_when_the_secret_can_be_had(
    admin: Admin, desk: Backend, plugins: Plugins, clock: Clock, tmp_path: Path
) -> None:
    secret = tmp_path / "example.key"
    secret.write_text("sk-pelican")
    admin.providers.edit("desk", config={"apiKey": counting(tmp_path / "runs", secret)})
    async with AsyncRouter(admin.path, plugins=plugins, clock=clock) as router:
        await router.chat("hi")
        secret.unlink()  # the command fails
        admin.providers.edit("desk", config={"timeout": "7s"})
        assert (await router.chat("hi")).text == "from the desk"
        [health] = await router.health()
        assert (health.state, "exit code 1" in health.stale) == ("ready", True)
        secret.write_text("sk-pelican")
        clock.ahead += SECRET_PAUSE
        await router.chat("hi")
        router.registry._recovery.wait(30)
        await router.chat("hi")
        assert [each.stale for each in await router.health()] == [""]
        assert 7.0 == router.registry.snapshot.providers[0].limits.timeout


async def test_a_command_is_not_run_for_each_request(
    admin: Admin, desk: Backend, plugins: Plugins, clock: Clock, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    admin.providers.edit("desk", config={"apiKey": counting(runs, tmp_path / "example.key")})
    async with AsyncRouter(admin.path, plugins=plugins, clock=clock) as router:
        for _ in range(20):
            with pytest.raises(NoCandidates):
                await router.chat("hi")
        assert runs.read_text() == "x"
        clock.ahead += SECRET_PAUSE
        for _ in range(20):
            with pytest.raises(NoCandidates):
                await router.chat("hi")
            router.registry._recovery.wait(30)
        assert runs.read_text() == "xx"


async def test_nobody_waits_for_a_secret_who_has_somebody_else_to_ask(
    admin: Admin, desk: Backend, plugins: Plugins, clock: Clock, tmp_path: Path
) -> None:
    key = tmp_path / "example.key"
    with Backend(answers("from the loft")) as loft:
        admin.providers.add("loft", type="quick", priority=-1, config={"baseURL": loft.base_url})
        admin.providers.edit("desk", config={"apiKey": counting(tmp_path / "runs", key)})
        async with AsyncRouter(admin.path, plugins=plugins, clock=clock) as router:
            assert (await router.chat("hi")).provider == "loft"
            key.write_text("sk-pelican")
            clock.ahead += SECRET_PAUSE
            assert (await router.chat("hi")).provider == "loft"  # the look has only begun
            router.registry._recovery.wait(30)
            assert (await router.chat("hi")).provider == "desk"


async def test_a_change_that_mends_the_secret_needs_no_waiting(
    admin: Admin, desk: Backend, plugins: Plugins, clock: Clock
) -> None:
    admin.providers.edit("desk", config={"apiKey": "env:NOT_SET"})
    async with AsyncRouter(admin.path, plugins=plugins, clock=clock) as router:
        with pytest.raises(NoCandidates):
            await router.chat("hi")
        admin.providers.edit("desk", config={"apiKey": "sk-pelican"})
        assert (await router.chat("hi")).text == "from the desk"
        assert not router.registry._recovery


async def test_a_disabled_provider_has_nobody_look_for_its_secret(
    admin: Admin, desk: Backend, plugins: Plugins, clock: Clock, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    admin.providers.edit("desk", enabled=False, config={"apiKey": counting(runs, tmp_path / "example.key")})
    async with AsyncRouter(admin.path, plugins=plugins, clock=clock) as router:
        assert [each.state for each in await router.health()] == ["disabled"]
        assert not router.registry._recovery


class SealingKey:
    """The file of the key that seals secrets; it can be taken away, and put back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._text = new_key()
        self.put_back()

    def take_away(self) -> None:
        self.path.write_text("")

    def put_back(self) -> None:
        self.path.write_text(self._text)


@pytest.fixture
def sealing_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SealingKey:
    key = SealingKey(tmp_path / "sealing")
    monkeypatch.setenv("PROUTER_SECRET_KEY_FILE", str(key.path))
    return key


async def test_a_sealed_secret_is_had_again_as_soon_as_its_key_is(
    admin: Admin, desk: Backend, plugins: Plugins, clock: Clock, sealing_key: SealingKey
) -> None:
    admin.settings.set("secrets.keeper", "sealed")
    admin.providers.edit("desk", config={"apiKey": "sk-pelican"})
    sealing_key.take_away()
    async with AsyncRouter(admin.path, plugins=plugins, clock=clock) as router:
        [health] = await router.health()
        assert (health.state, "holds no key" in health.reason) == ("no-secret", True)
        sealing_key.put_back()
        clock.ahead += SECRET_PAUSE
        assert (await router.chat("hi")).text == "from the desk"


def test_what_lacks_is_due_soon_at_first_and_then_ever_more_seldom() -> None:
    now = [0.0]
    recovery: Recovery[str, str] = Recovery(lambda: now[0])
    recovery.note("desk", lacks=True, anew=True)
    looks = []
    for _ in range(400):
        now[0] += 1.0
        if recovery.due():
            recovery.note("desk", lacks=True, anew=False)
            looks.append(now[0])
    pauses = [later - earlier for earlier, later in zip([0.0, *looks], looks, strict=False)]
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0, 60.0, 60.0]
    assert pauses[-1] == LONGEST_SECRET_PAUSE
    recovery.note("desk", lacks=True, anew=True)
    now[0] += SECRET_PAUSE
    assert recovery.due() == ["desk"]
    recovery.note("desk", lacks=False, anew=False)
    assert not recovery


def test_what_was_found_of_another_configuration_is_left() -> None:
    now = [0.0]
    recovery: Recovery[str, str] = Recovery(lambda: now[0])
    recovery.note("desk", lacks=True, anew=True)
    looking, go = threading.Event(), threading.Event()

    def look() -> list[str]:
        looking.set()
        go.wait(10)
        return ["desk"]

    recovery.start("one", look)
    looking.wait(10)
    now[0] += 1000.0
    assert (recovery.due(), recovery.take("one")) == ((), ())  # one look at a time
    go.set()
    recovery.wait(10)
    assert recovery.take("two") == ()
    recovery.start("two", look)
    recovery.wait(10)
    assert list(recovery.take("two")) == ["desk"]


# ----------------------------------------------------------------------------------------------- the shared login


@pytest.fixture
def lender(quick: Any) -> Any:
    class Lender(quick):  # type: ignore[misc]
        """A type that takes its token from the shared login."""

        type = "lender"

        class Config(quick.Config):  # type: ignore[misc]
            base_url: str = option("http://127.0.0.1:9/v1", help="address", unit="url")
            token: Secret = option(help="token", sensitive=True, credentials="qwen")

    return Lender


@pytest.mark.parametrize(
    "address, state",
    [(None, "ready"), ("http://127.0.0.1:9/v2", "ready"), ("http://127.0.0.1:10/v1", "unusable")],
)
async def test_the_shared_login_goes_to_the_types_own_address_only(
    lender: Any, tmp_path: Path, address: str | None, state: str
) -> None:
    plugins = Plugins([lender])
    with Admin(tmp_path / "router.db", plugins=plugins) as admin:
        admin.credentials.set("token-of-all", "cookies-of-all")
        admin.providers.add("mine", type="lender", config={"baseURL": address} if address else {})
    async with AsyncRouter(tmp_path / "router.db", plugins=plugins) as router:
        [health] = await router.health()
        assert health.state == state
        if state == "ready":
            assert router.registry.get("mine").config.token == Secret("token-of-all")
        else:
            assert "where the address is the type's own" in health.reason


async def test_moving_a_borrower_from_afar_takes_the_login_away_from_it(lender: Any, tmp_path: Path) -> None:
    plugins = Plugins([lender])
    path = tmp_path / "router.db"
    with Admin(path, plugins=plugins) as admin, Admin(path, plugins=plugins, local=False) as afar:
        admin.credentials.set("token-of-all", "cookies-of-all")
        admin.providers.add("mine", type="lender")
        async with AsyncRouter(path, plugins=plugins) as router:
            assert [each.state for each in await router.health()] == ["ready"]
            afar.providers.edit("mine", config={"baseURL": "http://127.0.0.1:10/v1"})
            assert [each.state for each in await router.health()] == ["unusable"]
            afar.providers.edit("mine", config={"token": "a token of its own"})
            assert [each.state for each in await router.health()] == ["ready"]
            assert router.registry.get("mine").config.token == Secret("a token of its own")


@pytest.mark.posix
async def test_commands_of_several_providers_are_run_side_by_side(
    admin: Admin, desk: Backend, plugins: Plugins, clock: Clock, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # neither who reads it nor who writes to it gets on without the other
    admin.providers.edit("desk", config={"apiKey": f"cmd:cat {pipe}"})
    admin.providers.add("loft", type="quick", config={"baseURL": desk.base_url})
    key = tmp_path / "example.key"
    key.write_text("sk-pelican")
    admin.providers.config("loft").set("headers", {"X-Key": f"cmd:sh -c 'tee {pipe} < {key}'"})
    async with AsyncRouter(admin.path, plugins=plugins, clock=clock) as router:
        assert ["ready", "ready"] == [each.state for each in await router.health()]
