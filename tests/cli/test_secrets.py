"""`prouter secrets`: where they are, whether they can be had, and who keeps them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from provider_router import Admin, home
from provider_router.backends import Backend

KEY = "sk-c4nary5d1c0ffee"
Prouter = Callable[..., Any]


def told(prouter: Prouter, *arguments: str) -> Any:
    return json.loads(prouter(*arguments, "--json").stdout)


@pytest.fixture
def sealing(prouter: Prouter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROUTER_SECRET_KEY", prouter("secrets", "key").stdout.strip())


@pytest.fixture
def keyed(desk: Backend, admin: Admin) -> Admin:
    """A provider `desk` with a key that is kept, and a header from the environment, where it is not."""
    admin.providers.edit("desk", config={"apiKey": KEY, "headers": {"X-Team": "env:NOT_SET"}})
    return admin


def test_where_nothing_is_that_is_said(prouter: Prouter, desk: Backend) -> None:
    assert "There is no secret." in prouter("secrets", "list").stderr
    assert "New secrets are kept by: file" in prouter("secrets", "list").stderr
    assert "The bin is empty." in prouter("secrets", "list", "--bin").stderr
    assert "Nothing refers to a secret." in prouter("secrets", "check").stderr


def test_the_list_tells_all_but_the_values(prouter: Prouter, keyed: Admin) -> None:
    lines = [line.split() for line in prouter("secrets", "list").stdout.splitlines()[2:]]
    assert [(line[0], line[1].partition(":")[0], line[2], line[3]) for line in lines] == [
        ("desk/apiKey", "secret", "file", "used"),
        ("desk/headers.X-Team", "env", "-", "used"),
    ]
    value = told(prouter, "secrets", "list")
    assert (value["keeper"], [one["owner"] for one in value["secrets"]]) == (
        "file",
        ["desk/apiKey", "desk/headers.X-Team"],
    )
    assert KEY not in json.dumps(value)


def test_a_check_ends_with_1_if_a_secret_cannot_be_had(
    prouter: Prouter, keyed: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = prouter("secrets", "check")
    assert result.exit_code == 1
    assert "variable NOT_SET is not set; set it where this program is started" in result.stdout
    assert prouter("secrets", "check", "--json").exit_code == 1
    monkeypatch.setenv("NOT_SET", "pelicans")
    assert prouter("secrets", "check").exit_code == 0


def test_secrets_are_moved_after_a_look_at_what_would_be(prouter: Prouter, keyed: Admin, sealing: None) -> None:
    result = prouter("secrets", "move", "sealed", "--dry-run")
    assert result.stdout.startswith("would move desk/apiKey (secret:")
    assert keyed.secrets.keeper == "file"
    value = told(prouter, "secrets", "move", "sealed")
    assert (value["keeper"], [one["from"] for one in value["moved"]], value["failed"]) == ("sealed", ["file"], [])
    again = prouter("secrets", "move", "sealed")
    assert (again.exit_code, again.stdout) == (0, "nothing to move to sealed\n")
    assert "sealed (from the setting)" in prouter("settings", "explain", "secrets.keeper").stdout


def test_a_keeper_that_can_take_nothing_is_an_error(prouter: Prouter, keyed: Admin) -> None:
    result = prouter("secrets", "move", "sealed")
    assert (result.exit_code, "Make one with `prouter secrets key`" in result.stderr) == (1, True)
    assert prouter("secrets", "move", "vault").exit_code == 2
    assert prouter("settings", "set", "secrets.keeper", "vault").exit_code == 1


def test_what_is_sealed_with_an_unknown_key_is_told_by_the_rotation(
    prouter: Prouter, keyed: Admin, sealing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    prouter("secrets", "move", "sealed")
    assert prouter("secrets", "rotate").stdout == "sealed anew: 0; under the first key already: 1\n"
    monkeypatch.setenv("PROUTER_SECRET_KEY", prouter("secrets", "key").stdout.strip())
    result = prouter("secrets", "rotate")
    assert (result.exit_code, "not opened by any key: 1" in result.stdout) == (1, True)
    assert "Add the key they were sealed with." in result.stderr


def test_a_removed_secret_is_in_the_bin_and_comes_back(prouter: Prouter, keyed: Admin) -> None:
    [entry, _] = keyed.secrets.list()
    keyed.providers.edit("desk", config={"apiKey": "another"})
    assert "in the bin until 20" in prouter("secrets", "list", "--bin").stdout
    restored = prouter("secrets", "restore", entry.reference)
    assert restored.stdout == f"restored {entry.reference} of desk/apiKey\n"
    assert f"prouter provider config desk apiKey {entry.reference}" in restored.stderr
    prouter("provider", "config", "desk", "apiKey", entry.reference)
    used = prouter("secrets", "remove", entry.reference)
    assert (used.exit_code, "is used by desk/apiKey" in used.stderr) == (1, True)
    prouter("provider", "edit", "desk", "--unset", "apiKey", "--no-check")
    gone = prouter("secrets", "remove", "--for-good", entry.reference)
    assert gone.stdout == f"removed {entry.reference} of desk/apiKey\n"
    assert prouter("secrets", "restore", entry.reference).exit_code == 1


def test_a_provider_without_its_secret_is_shown_by_status(prouter: Prouter, keyed: Admin) -> None:
    result = prouter("status", "--no-check")
    assert "no-secret, option headers: the environment variable NOT_SET is not set" in result.stdout
    assert "no secret, option headers" in prouter("plan").stdout


def test_what_a_kill_in_the_midst_of_a_change_has_left_with_the_keeper_is_named(
    prouter: Prouter, keyed: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOT_SET", "pelicans")
    killed = """
        import os
        from provider_router import Admin
        with Admin() as admin, admin.atomic():
            admin.providers.add("loft", type="lm-studio", config={"baseURL": "http://localhost:9", "apiKey": "sk-1"})
            os._exit(9)
    """
    assert 9 == subprocess.run([sys.executable, "-c", textwrap.dedent(killed)], timeout=60).returncode
    assert "loft" not in keyed.providers
    result = prouter("secrets", "check")
    found = re.search(
        r"^secret:(\w+) of loft/apiKey is kept by file, and nothing here refers to it. If no other configuration needs "
        r"it: prouter secrets remove (secret:\w+)$",
        result.stderr,
        re.MULTILINE,
    )
    assert 0 == result.exit_code
    assert found is not None
    told = prouter("doctor", "-q", "--no-ask").stdout
    assert f"! secrets: loft/apiKey: secret:{found[1]} is kept, and nothing here refers to it" in told
    assert 0 == prouter("secrets", "remove", found[2]).exit_code
    assert "" == prouter("secrets", "check").stderr
    assert "All is well." in prouter("doctor", "-q", "--no-ask").stdout


def test_a_keeper_that_cannot_be_read_is_told_with_each_secret(prouter: Prouter, keyed: Admin) -> None:
    home.secrets_path().write_text("no ledger")
    result = prouter("secrets", "check")
    assert 1 == result.exit_code
    assert re.search(r"desk/apiKey +secret:\w+ +unreadable +.*secrets.json is damaged", result.stdout)
    assert "× secrets: desk/apiKey: secret:" in prouter("doctor", "--no-ask").stdout
