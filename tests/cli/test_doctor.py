from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial

import anyio
import pytest

from provider_router import Admin, doctor, home
from provider_router.backends import EVERY_PATH, Backend, silent
from provider_router.doctor import Verdict
from provider_router.providers.plugins import Plugins


@pytest.fixture
def dead_url() -> str:
    """An address at which nothing listens any more."""
    with Backend() as backend:
        return backend.base_url


def findings(told, check: str) -> list[tuple[str, str]]:
    return [(one["subject"], one["verdict"]) for one in told["findings"] if one["check"] == check]


def test_where_nothing_is_configured_nothing_is_wrong(prouter, answer) -> None:
    told = answer("doctor")
    assert "ok" == told["verdict"]
    assert [(str(home.database_path()), "ok")] == findings(told, "database")
    assert not home.database_path().exists()
    assert "All is well.\n" == prouter("doctor", "--quiet").stdout


def test_a_provider_that_answers_is_well(prouter, desk: Backend) -> None:
    result = prouter("doctor")
    assert (0, "") == (result.exit_code, result.stderr)
    assert "✓ providers: desk: answers, " in result.stdout
    assert result.stdout.endswith("\nAll is well.\n")


def test_of_what_is_wrong_it_says_what_to_do(prouter, admin: Admin, dead_url: str) -> None:
    admin.providers.add("loft", type="openai-compatible", config={"baseURL": dead_url})
    result = prouter("doctor", "--quiet")
    assert 1 == result.exit_code
    assert "× providers: loft: " in result.stdout
    assert "    → Start its server, or mend its address: prouter provider config loft baseURL URL\n" in result.stdout
    assert result.stdout.endswith("\n1 problem, no warnings.\n")


def test_nobody_is_asked_with_no_ask(prouter, desk: Backend) -> None:
    assert "✓ providers: desk: ready\n" in prouter("doctor", "--no-ask").stdout
    assert [] == desk.requests


def test_a_key_that_is_refused_is_told_with_the_command_for_a_new_one(prouter, admin: Admin) -> None:
    with Backend(api_key="sk-1") as backend:
        admin.providers.add("keyed", type="openai-compatible", config={"baseURL": backend.base_url})
        stdout = prouter("doctor", "-q").stdout
    assert "→ Give it a new key: prouter provider config keyed apiKey --stdin\n" in stdout


def test_a_secret_that_is_not_there_is_told(answer, prouter, admin: Admin) -> None:
    config = {"baseURL": "http://localhost:9/v1", "apiKey": "env:NO_SUCH_NAME"}
    admin.providers.add("keyed", type="openai-compatible", config=config)
    result = prouter("doctor", "-q")
    assert 1 == result.exit_code
    assert "NO_SUCH_NAME" in result.stdout


def test_a_damaged_database_is_told_and_nothing_else_is_tried_with_it(prouter, admin: Admin) -> None:
    admin.models.add("pelican-7b")
    path = admin.path
    admin.close()
    path.write_bytes(b"no database" * 1000)
    result = prouter("doctor", "-q")
    assert 1 == result.exit_code
    assert "× database: " in result.stdout
    assert "providers" not in result.stdout


async def test_a_clock_that_stands_before_the_newest_change_is_told(admin: Admin) -> None:
    admin.models.add("m")
    with closing(admin):
        then = (datetime.now(UTC) - timedelta(days=400)).timestamp()
    found = await doctor.examine(plugins=Plugins.load([]), ask=False, wall=lambda: then)
    assert [Verdict.WARNING] == [one.verdict for one in found if one.check == "clock"]


@pytest.mark.posix
def test_secrets_that_others_may_read_are_told(prouter, admin: Admin) -> None:
    config = {"baseURL": "http://localhost:9/v1", "apiKey": "sk-synthetic-0001"}
    admin.providers.add("keyed", type="openai-compatible", config=config)
    home.secrets_path().chmod(0o644)
    result = prouter("doctor", "-q", "--no-ask")
    assert f"chmod 600 {home.secrets_path()}" in result.stdout
    assert "sk-synthetic-0001" not in result.stdout


def test_without_a_plugin_it_says_what_to_install() -> None:
    async def examined() -> list[doctor.Finding]:
        return await doctor.examine(plugins=Plugins.load([]))

    (found,) = [one for one in anyio.run(examined) if one.check == "plugins"]
    assert ("pip install 'provider-router[all]'", Verdict.PROBLEM) == (found.mend, found.verdict)


def test_each_secret_that_cannot_be_had_is_told_with_its_command(prouter, admin: Admin) -> None:
    config = {"baseURL": "http://localhost:9/v1", "apiKey": "env:NO_SUCH_NAME"}
    admin.providers.add("keyed", type="openai-compatible", config=config)
    stdout = prouter("doctor", "-q", "--no-ask").stdout
    assert "× secrets: keyed/apiKey: env:NO_SUCH_NAME: " in stdout
    assert "    → prouter provider config keyed apiKey --stdin\n" in stdout


def test_the_keeper_of_new_secrets_is_told_and_what_it_lacks(prouter, admin: Admin, monkeypatch) -> None:
    admin.models.add("m")
    assert "✓ secrets: file: keeps new secrets\n" in prouter("doctor", "--no-ask").stdout
    pytest.importorskip("cryptography")
    monkeypatch.setenv("PROUTER_SECRET_KEY", admin.secrets.new_key())
    admin.settings.set("secrets.keeper", "sealed")
    monkeypatch.delenv("PROUTER_SECRET_KEY")
    assert "× secrets: sealed: The keeper sealed needs a key. " in prouter("doctor", "--no-ask").stdout


def test_a_declared_file_is_looked_at_in_place_of_the_database(prouter, tmp_path, monkeypatch) -> None:
    declared = tmp_path / "providers.toml"
    monkeypatch.setenv("PROUTER_CONFIG", str(declared))
    desk = '[providers.desk]\ntype = "openai-compatible"\nconfig = { baseURL = "http://localhost:9/v1" }\n'
    declared.write_text(desk)
    stdout = prouter("doctor", "--no-ask").stdout
    assert f"✓ declared: {declared}: in use (PROUTER_CONFIG)\n" in stdout
    assert "✓ providers: desk: ready\n" in stdout
    declared.write_text('[providers.desk]\ntype = "no-such-type"\n')
    result = prouter("doctor", "-q", "--no-ask")
    assert 1 == result.exit_code
    assert f"× configuration: {declared}: " in result.stdout


async def test_silent_providers_are_told_as_such_and_those_whose_turn_never_came_too(admin: Admin) -> None:
    with Backend() as backend, closing(admin):
        backend.script(silent(), path=EVERY_PATH)
        with admin.atomic():
            for number in range(100):  # three rounds of 32, and more
                admin.providers.add(f"p{number:03}", type="openai-compatible", config={"baseURL": backend.base_url})
        found = await doctor.examine(patience=0.5)
    told = [one for one in found if one.check == "providers"]
    assert 100 == len(told)
    asked = [one for one in told if one.verdict is Verdict.PROBLEM]
    assert {"silent for 500 ms"} == {one.what for one in asked}
    assert len(asked) <= 96
    unasked = [one for one in told if one.verdict is Verdict.WARNING]
    assert {"not asked: the others took 1.5 s"} == {one.what for one in unasked}
    assert f"prouter test {unasked[0].subject}" == unasked[0].mend


@pytest.mark.posix
def test_secrets_that_hang_are_not_waited_for_one_after_the_other(admin: Admin) -> None:
    with closing(admin):
        for number in range(5):
            config = {"baseURL": "http://localhost:9/v1", "apiKey": f"cmd:sleep 1.{5 + number}"}
            admin.providers.add(f"p{number}", type="openai-compatible", config=config)
    found = anyio.run(partial(doctor.examine, patience=0.1, ask=False))
    hung = [one for one in found if one.check == "secrets" and "it was not there in time" in one.what]
    assert 5 == len(hung)


def test_a_setting_of_the_environment_that_cannot_be_read_is_told(prouter, desk: Backend, monkeypatch) -> None:
    monkeypatch.setenv("PROUTER_ROUTING_MAX_WAIT", "pelican")
    stdout = prouter("doctor", "-q").stdout
    assert f"× configuration: {home.database_path()}: PROUTER_ROUTING_MAX_WAIT: 'pelican' is no duration" in stdout
