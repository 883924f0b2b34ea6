from __future__ import annotations

import json

import pytest

from provider_router import Admin
from provider_router.backends import Backend, status
from provider_router.cli.drill import FAULTS
from provider_router.drill import DRILLS


def test_the_faults_are_those_that_there_are() -> None:
    assert tuple(DRILLS) == FAULTS


def test_every_attempt_and_who_answered_is_on_stdout(prouter, desk: Backend) -> None:
    result = prouter("drill", "--fault", "503")
    assert (0, "") == (result.exit_code, result.stderr)
    table, end = result.stdout.split("\n\n")
    came_to = [" ".join(line.split()[2:-2]) for line in table.splitlines()]
    assert ["drill server, HTTP 503", "drill server, HTTP 503", "desk ok"] == came_to[2:]
    assert "desk answered: It is the pelican.\n" == end
    assert 1 == len([request for request in desk.requests if request.method == "POST"])


def test_the_model_reaches_the_provider_behind_the_fault(prouter, desk: Backend) -> None:
    assert 0 == prouter("drill", "pelican-7b", "--fault", "refuse").exit_code
    assert "pelican-7b" == desk.requests[-1].json["model"]


def test_json_has_the_attempts_and_the_answer(answer, desk: Backend) -> None:
    told = answer("drill", "--fault", "429")
    assert ("429", "It is the pelican.", "desk", None) == tuple(
        told[name] for name in ("fault", "answer", "provider", "error")
    )
    assert [("drill", "rate_limit"), ("desk", None)] == [(a["provider"], a["failure"]) for a in told["attempts"]]


def test_a_stream_that_is_cut_has_no_answer(prouter, desk: Backend) -> None:
    result = prouter("drill", "--fault", "cut", "--stream")
    assert (1, "") == (result.exit_code, result.stderr)
    assert "drill" in result.stdout
    assert "truncated" in result.stdout
    assert "Nobody answered: " in result.stdout
    assert [] == [request for request in desk.requests if request.method == "POST"]


def test_the_decisive_error_is_told_when_nobody_answers(prouter, desk: Backend) -> None:
    desk.script(status(401))
    result = prouter("drill", "--fault", "refuse", "--json")
    assert (1, "") == (result.exit_code, result.stderr)
    told = json.loads(result.stdout)
    assert (None, None, "auth") == (told["answer"], told["provider"], told["error"]["code"])


def test_afterwards_everybody_stands_as_before(prouter, answer, admin: Admin, desk: Backend) -> None:
    assert 0 == prouter("drill", "--fault", "refuse").exit_code
    assert [("desk", "ready")] == [(step["provider"], step["state"]) for step in answer("plan")]
    assert ["desk"] == [record.id for record in admin.providers.list()]


@pytest.mark.parametrize("arguments", [(), ("--fault", "flood")])
def test_a_fault_has_to_be_named(prouter, arguments: tuple[str, ...], desk: Backend) -> None:
    result = prouter("drill", *arguments)
    assert 2 == result.exit_code
    assert "429" in result.stderr


def test_with_nobody_configured_the_next_step_is_told(prouter) -> None:
    result = prouter("drill", "--fault", "503")
    assert 1 == result.exit_code
    assert "prouter add" in result.stderr
