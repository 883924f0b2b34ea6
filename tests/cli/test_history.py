"""`prouter history` and `prouter stats`: what was asked, who was tried, what came of it, and the sums."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from provider_router import Admin, Router, home
from provider_router.backends import Backend, status

Prouter = Callable[..., Any]
Answer = Callable[..., Any]


@pytest.fixture
def asked(admin: Admin, desk: Backend, loft: Backend) -> list[str]:
    """Ids of three requests: one answered by desk, one by loft after desk had failed, one that failed at both."""
    ids = []
    with Router() as router:
        ids.append(router.chat("hi", model="qwen3", session="talk").request_id)
        desk.script(status(401), status(401))
        ids.append(router.chat("hi", model="qwen3").request_id)
    with Router(share_health=False) as router:  # which has not heard of desk's failure
        loft.kill()
        with pytest.raises(Exception, match="tried"):
            router.chat("hi", model="other")
    return ids


def test_without_any_request_it_says_how_to_begin(prouter: Prouter, prouter_home: Path) -> None:
    for command in (("history",), ("stats",), ("history", "sessions")):
        result = prouter(*command)
        assert (0, "") == (result.exit_code, result.stdout)
        assert re.search("recorded|named a session", result.stderr)
    assert not prouter_home.exists()


def test_the_newest_requests_come_first_with_their_trail(prouter: Prouter, asked: list[str]) -> None:
    lines = prouter("history").stdout.splitlines()[2:]
    assert 3 == len(lines)
    assert re.search(r"desk: HTTP 401 → loft: refused", lines[0])
    assert re.search(rf"{asked[1]}  qwen3 +desk: HTTP 401 → loft: ok", lines[1])
    assert re.search(rf"{asked[0]}  qwen3 +desk: ok .*\d+\+\d+", lines[2])


def test_a_name_with_line_breaks_splits_no_row(prouter: Prouter, desk: Backend) -> None:
    with Router() as router:
        router.chat("hi", model="qwen3", session="one\ntwo\r\nthree")
    assert "one two three" in prouter("history", "sessions").stdout
    assert 3 == len(prouter("history", "sessions").stdout.splitlines())


def test_they_are_found_by_what_tells_them_apart(answer: Answer, asked: list[str]) -> None:
    def found(*options: str) -> list[str]:
        return [request["request_id"] for request in answer("history", *options)]

    everything = found()
    assert [*reversed(asked)] == everything[1:]
    assert everything[:1] == found("--limit", "1")
    assert everything[:2] == found("--class", "auth")
    assert everything[:1] == found("--class", "connect", "-m", "other")
    assert everything[1:] == found("--class", "ok")
    assert everything[:2] == found("-p", "loft", "--since", "1h")
    assert [] == found("--until", "1h")
    assert asked[:1] == found("--session", "talk")


@pytest.mark.parametrize("options", [("--class", "nothing"), ("--since", "yesterday")])
def test_what_cannot_be_meant_is_wrong_use(prouter: Prouter, options: tuple[str, str]) -> None:
    result = prouter("history", *options)
    assert 2 == result.exit_code
    assert options[1] in result.stderr


def test_a_request_is_shown_with_its_whole_trail(prouter: Prouter, answer: Answer, asked: list[str]) -> None:
    text = prouter("history", "show", asked[1]).stdout
    for part in ("came to +an answer", r"1 +desk +qwen3 +ready", r"desk +qwen3 +auth, HTTP 401", r"loft +qwen3 +ok"):
        assert re.search(part, text), part
    trail = answer("history", "show", asked[1])
    assert ["desk", "loft"] == [attempt["provider"] for attempt in trail["request"]["attempts"]]
    result = prouter("history", "show", "req_nobody")
    assert 1 == result.exit_code
    assert "no request" in result.stderr


def test_the_sums_tell_of_requests_and_of_calls(prouter: Prouter, answer: Answer, asked: list[str]) -> None:
    text = prouter("stats").stdout
    assert re.search(r"3 requests, 66.7 % answered, 1 saved by a fallback", text)
    assert re.search(r"\ndesk +3 +33.3 % +1 .* auth 2", text)
    assert "█" not in text
    found = answer("stats", "--by", "provider-model", "-p", "desk")
    assert [("desk", "qwen3", 2), ("desk", "other", 1)] == [
        (row["provider"], row["model"], row["requests"]) for row in found["rows"]
    ]
    assert 3 == found["total"]["requests"]
    assert re.search(r"auth +2 +0\n", prouter("stats", "--by", "class").stdout + "\n")
    assert re.search(r"connect +1 +1\n", prouter("stats", "--by", "class").stdout + "\n")


def test_sessions_are_listed(prouter: Prouter, asked: list[str]) -> None:
    assert re.search(r"^talk +1 ", prouter("history", "sessions").stdout, re.MULTILINE)


def test_nothing_goes_without_a_yes(prouter: Prouter, answer: Answer, asked: list[str]) -> None:
    assert 2 == prouter("history", "clear").exit_code
    assert {"removed": 0} == answer("history", "prune", "--older-than", "1d", "--yes")
    assert 3 == len(answer("history"))
    assert {"removed": 3} == answer("history", "clear", "--yes")
    assert [] == answer("history")
    assert 0 == answer("stats")["total"]["requests"]


def test_old_requests_go_and_their_sums_stay(prouter: Prouter, answer: Answer, asked: list[str]) -> None:
    assert "removed 3 requests\n" == prouter("history", "prune", "--older-than", "1ms", "--yes").stdout
    assert [] == answer("history")
    assert 3 == answer("stats")["total"]["requests"]


def test_status_says_what_cannot_be_recorded(prouter: Prouter, answer: Answer, admin: Admin, desk: Backend) -> None:
    place = admin.path.with_name("provider-router.history.db")
    place.mkdir()
    with Router() as router:
        router.chat("hi")
    result = prouter("status", "--no-check")
    assert "Nothing can be recorded now" in result.stderr
    assert "is a folder" in json.loads(prouter("status", "--no-check", "--json").stdout)["history"]["trouble"]


def test_an_old_configuration_is_asked_for_its_plan(prouter: Prouter, admin: Admin, asked: list[str]) -> None:
    admin.providers.edit("loft", config={"apiKey": "sk-long-gone"})
    admin.providers.disable("desk")
    then = admin.revision
    admin.providers.edit("loft", config={"apiKey": None})
    for entry in admin.secrets.list():
        admin.secrets.remove(entry.reference, for_good=True)
    result = prouter("history", "show", asked[0], "--with-config", str(then))
    assert re.search("1 +loft +qwen3 +ready", result.stdout)
    assert re.search("- +desk +qwen3 +skipped +disabled", result.stdout)


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """End it, whatever comes: its own end waits for it."""
    try:
        yield
    finally:
        process.terminate()


@pytest.mark.posix
def test_follow_prints_what_comes_as_a_line_of_json_each(asked: list[str]) -> None:
    command = [sys.executable, "-m", "provider_router", "history", "--follow", "--json", "-l", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, ended(process):
        assert process.stdout is not None
        assert asked[1] == json.loads(process.stdout.readline())["request_id"]
        assert "connect" == json.loads(process.stdout.readline())["failure"]
        with Router() as router, pytest.raises(Exception, match="tried"):
            router.chat("hi", model="new")
        assert "new" == json.loads(process.stdout.readline())["model"]


@pytest.mark.posix
def test_a_terminal_gets_bars_and_is_asked(dialogue: Any, asked: list[str]) -> None:
    os.environ["PYTHONIOENCODING"] = "utf-8"
    try:
        code, text = dialogue("stats", shown=True).ends()
    finally:
        del os.environ["PYTHONIOENCODING"]
    assert 0 == code
    assert "█" in text


def test_a_damaged_history_is_told_with_what_to_do_and_harms_nothing_else(prouter: Prouter, desk: Backend) -> None:
    assert 0 == prouter("chat", "hi").exit_code
    path = home.history_path(home.database_path())
    path.write_bytes(b"no database" * 1000)
    for command in (("history",), ("history", "show", "req_0123"), ("history", "clear", "--yes"), ("stats",)):
        result = prouter(*command)
        assert (1, "") == (result.exit_code, result.stdout)
        assert f"Error: {path} is no SQLite database" in result.stderr
        assert "move it away, and a new one is begun" in result.stderr
        assert "--db" not in result.stderr
    assert "Nothing can be recorded now: " in prouter("status", "--no-check").stderr
    said = prouter("chat", "hi")
    assert (0, "It is the pelican.\n") == (said.exit_code, said.stdout)
    path.unlink()
    assert "Nothing has been recorded yet" in prouter("history").stderr


@pytest.mark.posix
def test_on_a_terminal_clearing_is_asked_about(dialogue: Any, prouter: Prouter, asked: list[str]) -> None:
    for said, left in (("n", 3), ("y", 0)):
        typed = dialogue("history", "clear")
        typed.reads("Remove the whole history, with its statistics? [y/N]: ")
        typed.types(said)
        assert 0 == typed.ends()[0]
        assert left == len(json.loads(prouter("history", "--json").stdout))
