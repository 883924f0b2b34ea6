"""PROUTER_CONFIG: a file in place of a database, in force as it stands, and never written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from provider_router import Admin, AsyncRouter, ConfigError, Router
from provider_router.backends import Backend, answers
from provider_router.errors import DeclaredConfig, InvalidConfig

TYPE = 'type = "openai-compatible"'


@pytest.fixture
def backends() -> Iterator[tuple[Backend, Backend]]:
    with Backend(answers("from desk")) as desk, Backend(answers("from loft"), api_key="sk-loft") as loft:
        yield desk, loft


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "conf" / "providers.toml"
    path.parent.mkdir()
    monkeypatch.setenv("PROUTER_CONFIG", str(path))
    monkeypatch.setenv("LOFT_KEY", "sk-loft")
    return path


def left_behind(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.exists() else []


def write(file: Path, content: str | None) -> None:
    """Save the file, or remove it."""
    if content is None:
        file.unlink()
    else:
        file.write_text(content)


def text(backends: tuple[Backend, Backend], *, first: str = "desk", more: str = "") -> str:
    desk, loft = backends
    return textwrap.dedent(f"""
        [settings]
        active_provider = "{first}"
        routing.maxWait = "5s"
        [providers.desk]
        {TYPE}
        priority = 10
        config = {{ baseURL = "{desk.base_url}" }}
        [providers.loft]
        {TYPE}
        [providers.loft.config]
        base_url = "{loft.base_url}"
        api_key = "env:LOFT_KEY"
        [providers.loft.models."qwen/3"]
        remote_name = "q3"
        {more}
    """)


async def test_it_serves_what_the_file_says_and_the_next_request_obeys_a_change(
    file: Path, backends: tuple[Backend, Backend], prouter_home: Path
) -> None:
    write(file, text(backends))
    async with AsyncRouter(share_health=False, history=False) as router:
        assert "from desk" == (await router.chat("hi")).text
        kept = router.registry.get("desk")
        write(file, text(backends, first="loft"))
        assert "from loft" == (await router.chat("hi", model="qwen/3")).text
        assert "q3" == backends[1].requests[-1].json["model"]
        assert kept is router.registry.get("desk")
        write(file, text(backends).replace("10\n", "-1\n"))
        assert -1 == next(one.priority for one in await router.health() if one.provider == "desk")
        assert kept is not router.registry.get("desk")
        write(file.with_name("new.toml"), text(backends).partition("[providers.loft]")[0])
        file.with_name("new.toml").replace(file)
        assert ["desk"] == [one.provider for one in await router.health()]
    assert [] == left_behind(prouter_home)
    assert [file] == left_behind(file.parent)


async def test_a_broken_file_leaves_the_last_good_one_in_use_and_says_so(
    file: Path, backends: tuple[Backend, Backend]
) -> None:
    write(file, text(backends))
    async with AsyncRouter(share_health=False) as router:
        assert "from desk" == (await router.chat("hi")).text
        for broken, told in (
            (
                text(backends, more='timeout = "soon"'),
                "[providers.loft.models.\"qwen/3\"] timeout: 'soon' is no duration",
            ),
            ("[providers.desk\n", "is no TOML"),
        ):
            write(file, broken)
            assert "from desk" == (await router.chat("hi")).text
            assert told in (await router.health())[0].stale
        write(file, None)
        assert "from desk" == (await router.chat("hi")).text
        assert "cannot be read: No such file" in (await router.health())[0].stale
        write(file, text(backends, first="loft"))
        assert "from loft" == (await router.chat("hi")).text
        assert "" == (await router.health())[0].stale


async def test_a_change_right_after_another_one_of_the_same_length_is_seen(
    file: Path, backends: tuple[Backend, Backend]
) -> None:
    async with AsyncRouter(share_health=False) as router:
        for number in range(20):
            name = ("desk", "loft")[number % 2]
            write(file, text(backends, first=name))
            assert f"from {name}" == (await router.chat("hi")).text


def test_a_file_that_was_never_good_is_told_by_file_table_key_and_mend(
    file: Path, backends: tuple[Backend, Backend]
) -> None:
    write(file, text(backends, more='timeout = "soon"').replace("base_url", "bas_url"))
    with Router(share_health=False) as router, pytest.raises(InvalidConfig) as raised:
        router.chat("hi")
    assert f"The configuration {file} cannot be used:" in str(raised.value)
    assert "[providers.loft.config] bas_url: unknown option" in str(raised.value)
    file.unlink()
    with Router(share_health=False) as router, pytest.raises(ConfigError, match=r"providers\.toml cannot be read"):
        router.chat("hi")


def test_a_secret_itself_may_not_stand_in_the_file(file: Path, backends: tuple[Backend, Backend]) -> None:
    write(file, text(backends).replace("env:LOFT_KEY", "sk-loft"))
    with Admin() as admin, pytest.raises(InvalidConfig) as raised:
        admin.providers.list()
    assert "[providers.loft.config] apiKey: holds the secret itself" in str(raised.value)
    assert "sk-loft" not in str(raised.value)


def test_a_secret_that_cannot_be_had_takes_only_its_own_provider_out(
    file: Path, backends: tuple[Backend, Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOFT_KEY")
    write(file, text(backends))
    with Router(share_health=False) as router:
        assert "from desk" == router.chat("hi").text
        assert ["LOFT_KEY" in one.reason for one in router.health()] == [False, True]


def test_it_can_be_read_and_not_be_changed(file: Path, backends: tuple[Backend, Backend], prouter_home: Path) -> None:
    write(file, text(backends))
    with Admin() as admin:
        assert ["desk", "loft"] == [record.id for record in admin.providers.list()]
        assert {"apiKey": "env:LOFT_KEY", "baseURL": backends[1].base_url} == admin.providers.config("loft").all()
        assert 5000 == admin.settings.get("routing.maxWait")
        with pytest.raises(DeclaredConfig, match=r"comes from .*\.toml \(PROUTER_CONFIG\) and is changed there"):
            admin.providers.disable("desk")
        with pytest.raises(DeclaredConfig):
            admin.changes.rollback(0)
        write(file, text(backends, first="loft"))
        assert "loft" == admin.settings.active
    assert not prouter_home.exists()


def test_what_was_exported_from_a_database_serves_as_such_a_file(
    file: Path, backends: tuple[Backend, Backend], tmp_path: Path
) -> None:
    with Admin(tmp_path / "router.db") as admin:
        admin.providers.add("desk", type="openai-compatible", config={"baseURL": backends[0].base_url})
        admin.models.add("pelican", fallbacks=[])
        admin.links.link("desk", "pelican", default=True, limits={"timeout": "30s"})
        write(file, admin.export().toml())
        expected = admin.export().content
    with Admin() as admin:
        assert expected == admin.export().content
    with Router(share_health=False) as router:
        assert ("from desk", "pelican") == ((answer := router.chat("hi")).text, answer.attempts[-1].model)


def test_a_database_that_is_named_outright_goes_before_the_file(file: Path, tmp_path: Path) -> None:
    with Admin(tmp_path / "router.db") as admin:
        assert () == admin.providers.list()
        admin.models.add("pelican")


PROGRAM = """
import sys
from provider_router import Router
with Router() as router:
    print(router.chat("hi"), flush=True)
    sys.stdin.readline()
"""


@pytest.mark.posix
def test_ctrl_c_leaves_nothing_behind(file: Path, backends: tuple[Backend, Backend], tmp_path: Path) -> None:
    write(file, text(backends))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "TMPDIR": str(temporary), "HOME": str(tmp_path / "nobody")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert program.stdout is not None
    assert "from desk\n" == program.stdout.readline()
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=30)
    assert [] == list(temporary.iterdir())
    assert ["providers.toml"] == [path.name for path in file.parent.iterdir()]
