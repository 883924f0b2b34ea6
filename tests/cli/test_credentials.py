"""`prouter credentials`: the login at chat.qwen.ai, by references only."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from provider_router import Admin, home
from provider_router.providers.secrets import FileKeeper

TOKEN, COOKIES = "T2gAc4nary5d1c0ffee", "cna=abc; token=eyJc4nary5d1c0ffee"
Prouter = Callable[..., Any]


def kept(reference: str) -> str:
    return FileKeeper(home.secrets_path()).get(reference.removeprefix("secret:")).reveal()


@pytest.fixture
def login(prouter: Prouter) -> None:
    result = prouter("credentials", "set", "--stdin", "--expires-at", "4000000000", input=f"{TOKEN}\n{COOKIES}\n")
    assert (0, "") == (result.exit_code, result.stderr)


def test_without_any_that_is_said_with_what_to_do(prouter: Prouter) -> None:
    assert "There are no credentials: prouter credentials set" in prouter("credentials", "list").stderr
    assert [] == json.loads(prouter("credentials", "list", "--json").stdout)


def test_a_login_is_read_from_a_pipe_and_shown_by_its_references(prouter: Prouter, login: None, admin: Admin) -> None:
    current = admin.credentials.current()
    assert current is not None
    assert (TOKEN, COOKIES) == (kept(current.token), kept(current.cookies))
    (shown,) = json.loads(prouter("credentials", "list", "--json").stdout)
    assert ("in use", "2096-10-02T07:06:40.000+00:00") == (shown["state"], shown["expires_at"])
    assert (current.token, current.cookies) == (shown["token"], shown["cookies"])
    assert "c4nary" not in prouter("credentials", "list").output


def test_references_and_times_are_taken_as_options(prouter: Prouter, admin: Admin) -> None:
    options = ["--token", "env:QWEN_TOKEN", "--cookies", "env:QWEN_COOKIES"]
    for written in ("4000000000", "4000000000000", "2096-10-02T07:06:40+00:00"):
        result = prouter("credentials", "set", *options, "--expires-at", written, "--json")
        assert "2096-10-02T07:06:40.000+00:00" == json.loads(result.stdout)["expires_at"]
    (record,) = admin.credentials.list()
    assert ("env:QWEN_TOKEN", "env:QWEN_COOKIES") == (record.token, record.cookies)


def test_only_what_is_not_given_is_read_from_a_pipe(prouter: Prouter, admin: Admin) -> None:
    prouter("credentials", "set", "--token", "env:QWEN_TOKEN", "--stdin", input=f"{COOKIES}\n")
    (record,) = admin.credentials.list()
    assert ("env:QWEN_TOKEN", COOKIES) == (record.token, kept(record.cookies))


def test_a_login_that_has_ended_is_kept_and_said_to_be_of_no_use(prouter: Prouter) -> None:
    result = prouter("credentials", "set", "--token", "env:A", "--cookies", "env:B", "--expires-at", "1000")
    assert (0, True) == (result.exit_code, "so nobody uses them" in result.stderr)
    assert "expired" in prouter("credentials", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "--token and --cookies missing"),
        (["--token", "a", "--cookies", "b", "--expires-at", "soon"], 2, "'soon' is no time"),
        (["--stdin"], 2, "nothing came from standard input for token"),
        (["--token", "***", "--cookies", " "], 1, "this is the mask"),
    ],
)
def test_what_will_not_do_is_refused(arguments: list[str], code: int, said: str, prouter: Prouter) -> None:
    result = prouter("credentials", "set", *arguments, input="")
    assert (code, True) == (result.exit_code, said in result.stderr)


def test_a_login_is_removed_after_a_yes(prouter: Prouter, login: None, admin: Admin) -> None:
    assert 2 == prouter("credentials", "remove").exit_code
    assert 1 == prouter("credentials", "remove", "99", "--yes").exit_code
    (record,) = admin.credentials.list()
    assert [record.id] == json.loads(prouter("credentials", "remove", "--yes", "--json").stdout)["removed"]
    assert "There were none." in prouter("credentials", "remove", "--yes").stdout
    assert () == admin.credentials.list()


@pytest.mark.posix
def test_on_a_terminal_it_asks_unseen(dialogue, admin: Admin) -> None:
    typist = dialogue("credentials", "set")
    typist.reads("token, value of the header bx-umidtoken (not shown): ")
    typist.types(TOKEN)
    typist.reads("cookies, value of the header Cookie (not shown): ")
    typist.types(COOKIES)
    code, seen = typist.ends()
    assert (0, False) == (code, "c4nary" in seen + typist.stdout)
    (record,) = admin.credentials.list()
    assert COOKIES == kept(record.cookies)
