from __future__ import annotations

import json

from provider_router import Admin
from provider_router.backends import CLOSE, Backend, answers, status, streams


def test_the_answer_is_on_stdout_and_who_gave_it_on_stderr(prouter, desk: Backend) -> None:
    result = prouter("chat", "Name", "a", "bird.")
    assert (0, "It is the pelican.\n") == (result.exit_code, result.stdout)
    assert result.stderr.startswith("[desk: ok, ")
    assert "qwen3" in result.stderr
    assert "Name a bird." == desk.requests[-1].json["messages"][0]["content"]


def test_what_failed_before_is_on_stderr(prouter, desk: Backend, loft: Backend) -> None:
    desk.kill()
    result = prouter("chat", "hi")
    assert "The loft says so.\n" == result.stdout
    assert "desk: refused" in result.stderr
    assert "→ loft: ok" in result.stderr


def test_a_text_from_a_pipe_is_the_question(prouter, desk: Backend) -> None:
    prouter("chat", input="a question\n")
    assert "a question" == desk.requests[-1].json["messages"][0]["content"]


def test_a_text_from_a_pipe_follows_the_one_typed(prouter, desk: Backend) -> None:
    prouter("chat", "Summarise:", input="a story\n")
    assert "Summarise:\n\na story" == desk.requests[-1].json["messages"][0]["content"]


def test_it_streams_when_told_to(prouter, desk: Backend) -> None:
    result = prouter("chat", "hi", "--stream")
    assert (0, "It is the pelican.\n") == (result.exit_code, result.stdout)
    assert desk.requests[-1].json["stream"] is True


def test_a_line_break_at_the_end_is_not_doubled(prouter, desk: Backend) -> None:
    desk.script(answers("one\ntwo\n"))
    assert "one\ntwo\n" == prouter("chat", "hi", "--stream").stdout


def test_a_cut_stream_is_an_error_after_what_came(prouter, desk: Backend) -> None:
    story = answers("One pelican flew over the harbour.")
    desk.script(streams(lambda request: [story.opening(request), *story.pieces(request)[:2], CLOSE]))
    result = prouter("chat", "hi", "--stream")
    assert 1 == result.exit_code
    assert result.stdout.startswith("One pelican")
    assert result.stderr.startswith("Error: ")


def test_the_options_reach_the_request(prouter, desk: Backend, loft: Backend) -> None:
    options = ("-m", "qwen3", "-p", "loft", "--zone", "loopback", "--timeout", "30s", "--system", "Be brief.")
    result = prouter("chat", "hi", *options)
    assert "The loft says so.\n" == result.stdout
    assert "qwen3" == loft.requests[-1].json["model"]
    assert {"role": "system", "content": "Be brief."} == loft.requests[-1].json["messages"][0]


def test_a_named_provider_alone_is_asked_unless_the_others_may_help(prouter, desk: Backend, loft: Backend) -> None:
    loft.kill()
    assert 1 == prouter("chat", "hi", "-p", "loft").exit_code
    assert "It is the pelican.\n" == prouter("chat", "hi", "-p", "loft", "--fallback").stdout


def test_json_has_the_answer_and_the_attempts(answer, desk: Backend, loft: Backend) -> None:
    desk.kill()
    told = answer("chat", "hi")
    assert ("The loft says so.", "loft", "qwen3") == (told["text"], told["provider"], told["model"])
    assert ["connect", None] == [attempt["failure"] for attempt in told["attempts"]]


def test_json_and_a_stream_do_not_go_together(prouter, desk: Backend) -> None:
    assert 2 == prouter("chat", "hi", "--json", "--stream").exit_code


def test_when_all_have_failed_every_one_is_named(prouter, desk: Backend, loft: Backend) -> None:
    desk.kill()
    loft.script(status(401))
    result = prouter("chat", "hi")
    assert (1, "") == (result.exit_code, result.stdout)
    assert "desk: refused" in result.stderr
    assert "loft: " in result.stderr
    assert "auth" == json.loads(prouter("chat", "hi", "--json").stderr)["error"]["code"]


def test_a_disabled_provider_is_told_when_nobody_is_left(prouter, admin: Admin, desk: Backend) -> None:
    admin.providers.disable("desk")
    result = prouter("chat", "hi")
    assert 1 == result.exit_code
    assert "desk" in result.stderr
    assert "disabled" in result.stderr
