from __future__ import annotations

import json
from pathlib import Path

import pytest

from provider_router import Admin
from provider_router.backends import Backend

DEAD = "baseURL=http://127.0.0.1:9/v1"


def test_a_provider_is_added_and_checked_at_once(prouter, admin: Admin) -> None:
    with Backend(models=("a", "b", "c")) as backend:
        config = ("--config", f"baseURL={backend.base_url}", "--config", "timeout=30s", "--config", "open=no")
        more = (
            "--name",
            "The desk",
            "--priority",
            "7",
            "--description",
            "Under the lamp",
            "--type",
            "openai-compatible",
        )
        result = prouter("provider", "add", "--id", "desk", *more, *config)
    assert (0, "") == (result.exit_code, result.stderr)
    assert result.stdout.startswith("added desk: ok, ")
    assert result.stdout.endswith(" ms, 3 models\n")
    record = admin.providers.get("desk")
    assert ("The desk", 7, "Under the lamp") == (record.name, record.priority, record.description)
    assert {"baseURL": backend.base_url, "timeout": 30000, "open": False} == admin.providers.config("desk").all()


def test_a_failed_check_still_saves_and_says_what_to_do(prouter, admin: Admin) -> None:
    result = prouter("provider", "add", "--id", "x", "--type", "lm-studio", "--config", DEAD)
    assert (0, "added x\n") == (result.exit_code, result.stdout)
    assert "nothing listens there: start LM Studio's server" in result.stderr
    assert "x" in admin.providers


def test_a_check_can_be_left_out(prouter, answer) -> None:
    arguments = ("provider", "add", "--type", "openai-compatible", "--config", DEAD)
    assert "added x\n" == prouter(*arguments, "--id", "x", "--no-check").stdout
    assert answer(*arguments, "--id", "y", "--disabled")["check"] is None
    assert answer(*arguments, "--id", "z")["check"]["error"]["code"] == "connect"


def test_a_secret_comes_from_a_pipe_and_is_never_shown(prouter, admin: Admin, prouter_home: Path) -> None:
    with Backend(api_key="sk-pelican") as backend:
        arguments = ("provider", "add", "--id", "x", "--type", "openai-compatible", "--stdin", "apiKey")
        config = (
            "--config",
            f"baseURL={backend.base_url}",
            "--config",
            "headers.X-One=alpha",
            "--config",
            "headers.X-Two=beta",
        )
        result = prouter(*arguments, *config, "--json", input="sk-pelican\n")
        assert "beta" == backend.requests[-1].headers["x-two"]
    told = json.loads(result.stdout)
    assert told["check"]["ok"]
    assert {"X-One": "***", "X-Two": "***"} == told["config"]["headers"]
    shown = prouter("provider", "show", "x").output + prouter("provider", "config", "x").output + result.output
    assert "sk-pelican" not in shown
    assert "alpha" not in shown
    assert b"sk-pelican" not in (prouter_home / "provider-router.db").read_bytes()


def test_a_missing_key_is_said_with_the_way_to_set_it(prouter) -> None:
    with Backend(api_key="k") as backend:
        config = ("--config", f"baseURL={backend.base_url}")
        result = prouter("provider", "add", "--id", "x", "--type", "openai-compatible", *config)
    assert 0 == result.exit_code
    assert "prouter provider config x apiKey --stdin" in result.stderr


def test_a_reference_is_shown_as_it_is(answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-1")
    config = ("--config", DEAD, "--config", "apiKey=env:MY_KEY")
    told = answer("provider", "add", "--id", "x", "--type", "openai-compatible", "--no-check", *config)
    assert "env:MY_KEY" == told["config"]["apiKey"]


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--id", "x"), 2, "--type missing"),
        ((), 2, "--id and --type missing"),
        (("--id", "x", "--type", "lmstudio"), 1, "did you mean lm-studio?"),
        (("--id", "x", "--type", "lm-studio"), 1, "baseURL: is required"),
        (("--id", "x", "--type", "lm-studio", "--config", "baseurl=http://h:1/v1"), 1, "did you mean baseURL?"),
        (("--id", "x", "--type", "lm-studio", "--config", DEAD, "--config", "timeout=20"), 1, "write 20s or 20ms"),
        (("--id", "x", "--type", "lm-studio", "--config", DEAD, "--config", "open=maybe"), 1, "open: "),
        (("--id", "x", "--type", "lm-studio", "--config", DEAD, "--config", "maxParallel=two"), 1, "maxParallel: "),
        (("--id", "x", "--type", "lm-studio", "--config", "baseURL=desk"), 1, "http://"),
        (("--id", "X y", "--type", "lm-studio", "--config", DEAD), 1, "x-y would do"),
        (("--id", "desk", "--type", "lm-studio", "--config", DEAD), 1, "There is a provider desk already"),
        (("--id", "x", "--name", "desk", "--type", "lm-studio", "--config", DEAD), 1, "is named desk already"),
        (("--id", "x", "--type", "lm-studio", "--config", "baseURL"), 2, "no KEY=VALUE"),
        (("--id", "x", "--type", "lm-studio", "--config", DEAD, "--config", DEAD), 2, "given twice"),
        (("--id", "x", "--type", "lm-studio", "--priority", "high", "--config", DEAD), 2, "high"),
        (("--id", "x", "--type", "lm-studio", "--config", DEAD, "--stdin", "apiKey"), 2, "nothing came"),
    ],
)
def test_bad_input_is_told_and_nothing_is_written(
    prouter, admin: Admin, arguments: tuple[str, ...], code: int, says: str
) -> None:
    before = admin.revision
    result = prouter("provider", "add", "--no-check", *arguments)
    assert (code, "") == (result.exit_code, result.stdout)
    assert says in result.stderr
    assert before == admin.revision


def test_every_problem_is_told_at_once(prouter) -> None:
    config = [part for text in ("timeout=20", "maxParallel=no", "baseurl=x") for part in ("--config", text)]
    result = prouter("provider", "add", "--id", "A b", "--type", "openai-compatible", *config)
    assert 5 == result.stderr.count("\n  - ")


@pytest.mark.posix
def test_on_a_terminal_it_asks_for_what_is_missing(dialogue, admin: Admin) -> None:
    with Backend(models=("a",), dialect="lm-studio") as backend:
        typed = dialogue("provider", "add")
        assert "1. lm-studio  LM Studio" in typed.reads("type [lm-studio]: ")
        typed.types("7")
        typed.reads("answer with a number from 1 to ")
        typed.reads("type [lm-studio]: ")
        typed.types("1")
        typed.reads("how it is called everywhere [lm-studio]: ")
        typed.types("My Desk")
        typed.reads("my-desk would do")
        typed.types("my-desk")
        typed.reads("[http://localhost:1234/v1]: ")
        typed.types("localhost")
        typed.reads("has to begin with http://")
        typed.types(backend.base_url)
        code, _ = typed.ends()
    assert 0 == code
    assert typed.stdout.startswith("added my-desk: ok, ")
    assert "lm-studio" == admin.providers.get("my-desk").type


@pytest.mark.posix
def test_enter_takes_what_is_offered_and_a_dead_backend_is_saved(dialogue, admin: Admin) -> None:
    typed = dialogue("provider", "add", "--no-check")
    for question in ("type [", "everywhere [", "ending in /v1 ["):
        typed.reads(question)
        typed.types("")
    assert 0 == typed.ends()[0]
    assert "http://localhost:1234/v1" == admin.providers.config("lm-studio").get("baseURL")


@pytest.mark.posix
def test_a_secret_is_not_seen_on_the_terminal(dialogue, admin: Admin) -> None:
    arguments = ("--id", "x", "--type", "openai-compatible", "--config", DEAD, "--no-check", "--stdin", "apiKey")
    typed = dialogue("provider", "add", *arguments)
    typed.reads("apiKey (not shown): ")
    typed.types("sk-pelican")
    code, seen = typed.ends()
    assert (0, "added x\n") == (code, typed.stdout)
    assert "sk-pelican" not in seen
    assert "***" == admin.providers.config("x").get("apiKey")


@pytest.mark.posix
def test_an_interrupted_dialogue_changes_nothing(dialogue, admin: Admin) -> None:
    typed = dialogue("provider", "add")
    typed.reads("type [")
    typed.interrupts()
    code, seen = typed.ends()
    assert 130 == code
    assert "Traceback" not in seen
    assert 0 == admin.revision


@pytest.mark.posix
def test_the_end_of_the_input_is_told(dialogue) -> None:
    typed = dialogue("provider", "add")
    typed.reads("type [")
    typed.types("\x04")
    typed.types("\x04")
    code, seen = typed.ends()
    assert code in (1, 2)
    assert "Traceback" not in seen
