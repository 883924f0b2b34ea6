"""The program as a whole: help, exit codes, streams, what it imports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from provider_router import Admin
from provider_router.backends import Backend, answers, silent
from provider_router.cli.program import prouter as program


def commands(
    group: click.Group = program, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = dict(commands())
GROUPS = [(), *(path for path, command in COMMANDS.items() if isinstance(command, click.Group))]
LIGHT = """
import sys
before = set(sys.modules)  # a coverage measurement brings modules of its own
from provider_router.cli import main
sys.argv = ["prouter", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code
heavy = {"httpx", "sqlite_utils", "sqlite3", "pluggy", "cattrs", "tabulate", "anyio", "provider_router.routing"}
sys.exit(", ".join(sorted(heavy & set(sys.modules) - before)) or 0)
"""


def test_whatever_asks_whether_it_is_meant_takes_y_for_yes() -> None:
    asking = [option for command in COMMANDS.values() for option in command.params if option.name == "yes"]
    assert len(asking) > 5
    assert {("-y", "--yes")} == {tuple(option.opts) for option in asking}


@pytest.mark.parametrize("path", GROUPS, ids=lambda path: " ".join(path) or "prouter")
def test_help_imports_nothing_heavy(path: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT, *path, "--help"], capture_output=True, text=True)
    assert (0, "") == (done.returncode, done.stderr)
    assert "Usage: prouter" in done.stdout


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_in_ascii(path: tuple[str, ...], prouter) -> None:
    result = prouter(*path, "--help")
    assert 0 == result.exit_code
    assert result.stdout.isascii()
    assert COMMANDS[path].help


@pytest.mark.parametrize(
    "path", [path for path, command in COMMANDS.items() if not isinstance(command, click.Group)], ids=" ".join
)
def test_every_command_has_json(path: tuple[str, ...]) -> None:
    assert "--json" in [opt for param in COMMANDS[path].params for opt in param.opts]


def test_the_tree_is_the_documented_one() -> None:
    for wanted in (
        "demo chat plan status list set test add types",
        "plugin/list settings/list settings/get settings/set settings/unset settings/explain",
        "provider/list provider/add provider/show provider/edit provider/remove provider/enable provider/disable",
        "provider/test provider/reload provider/config",
        "model/list model/add model/edit model/remove model/link model/unlink model/default",
        "credentials/list credentials/set credentials/remove",
    ):
        for path in wanted.split():
            assert tuple(path.split("/")) in COMMANDS


def test_it_tells_its_version(process) -> None:
    done = process("--version")
    assert (0, "prouter ") == (done.returncode, done.stdout[:8])


def test_alone_it_says_what_to_do_first(prouter, prouter_home: Path) -> None:
    result = prouter()
    assert 0 == result.exit_code
    assert "none yet" in result.stdout
    assert "prouter add" in result.stdout
    assert str(prouter_home / "provider-router.db") in result.stdout
    assert not prouter_home.exists()


def test_alone_it_says_where_you_stand(prouter, answer, admin: Admin, desk: Backend, loft: Backend) -> None:
    admin.settings.set_active("loft")
    admin.providers.disable("desk")
    result = prouter()
    assert "desk (disabled)" in result.stdout
    assert "Active:    loft" in result.stdout
    assert "loft" == answer()["active"]


@pytest.mark.parametrize(
    "arguments", [("chat", "hi"), ("plan",), ("test",), ("set", "desk"), ("test", "desk"), ("provider", "show", "desk")]
)
def test_without_a_provider_it_says_how_to_get_one(prouter, arguments: tuple[str, ...]) -> None:
    result = prouter(*arguments)
    assert 1 == result.exit_code
    assert "prouter add" in result.stderr
    assert "" == result.stdout


@pytest.mark.parametrize("arguments", [("list",), ("status",)])
def test_looking_at_nothing_is_no_error(prouter, arguments: tuple[str, ...]) -> None:
    result = prouter(*arguments)
    assert 0 == result.exit_code
    assert "prouter add" in result.stderr


@pytest.mark.parametrize(
    "arguments", [("frobnicate",), ("chat",), ("plan", "--zone", "mars"), ("chat", "hi", "--timeout", "20"), ("set",)]
)
def test_wrong_use_has_the_exit_code_2(prouter, arguments: tuple[str, ...]) -> None:
    assert 2 == prouter(*arguments).exit_code


def test_errors_are_json_where_json_is_wanted(prouter, desk: Backend) -> None:
    result = prouter("provider", "show", "dask", "--json")
    assert (1, "") == (result.exit_code, result.stdout)
    error = json.loads(result.stderr)["error"]
    assert "unknown_provider" == error["code"]
    assert "did you mean desk?" in error["message"]


def test_wrong_use_is_json_where_json_is_wanted(prouter) -> None:
    result = prouter("plan", "--json", "--zone", "mars")
    assert (2, "usage") == (result.exit_code, json.loads(result.stderr)["error"]["code"])
    assert "Usage:" in prouter("chat", "--nonsense", "--", "--json").stderr


def test_the_database_can_be_named(prouter, tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    prouter("--db", str(path), "model", "add", "qwen3")
    assert path.exists()
    assert "qwen3" in prouter("--db", str(path), "model", "list").stdout
    assert "qwen3" not in prouter("model", "list").stdout


def test_a_fault_of_the_program_is_not_hidden(prouter) -> None:
    with pytest.raises(ValueError, match="null"):
        prouter("--db", "a\0b", "provider", "list")


def test_attempts_are_logged_when_asked_for(process, desk: Backend) -> None:
    assert "desk: ok" in process("-v", "chat", "hi").stderr.splitlines()[0]


@pytest.mark.posix
@pytest.mark.parametrize(
    "command",
    ["list", "chat", "chat hi", "add", "provider add --id x --type openai-compatible", "provider remove desk"],
)
def test_a_closed_stdin_is_no_surprise(command: str, desk: Backend) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$0" -m provider_router {command} <&-', sys.executable],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == (
        0 if command in ("list", "chat hi") else 2 if command in ("chat", "provider remove desk") else 1
    )


@pytest.mark.posix
def test_a_closed_stdout_is_no_surprise(desk: Backend) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" -m provider_router list >&-', sys.executable], capture_output=True, text=True
    )
    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.posix
def test_a_broken_pipe_is_quiet(desk: Backend) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "provider_router", "settings", "list"],
        stdin=subprocess.DEVNULL,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    assert (1, "") == (done.returncode, done.stderr)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", ["list", "chat hi", "chat --stream hi", "--help"])
def test_a_full_disk_under_the_output_is_told(command: str, desk: Backend) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "provider_router", *command.split()],
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (1, "Error: No space left on device\n") == (done.returncode, done.stderr)


@pytest.mark.posix
def test_a_broken_pipe_for_errors_is_quiet_too() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "provider_router", "chat", "hi"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=write,
        text=True,
    )
    os.close(write)
    assert (1, "") == (done.returncode, done.stdout)


@pytest.mark.posix
def test_an_interrupt_ends_a_chat_with_a_silent_backend(admin: Admin) -> None:
    with Backend(silent()) as backend:
        admin.providers.add("mute", type="openai-compatible", config={"baseURL": backend.base_url, "defaultModel": "m"})
        running = subprocess.Popen(
            [sys.executable, "-m", "provider_router", "chat", "hi"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert backend.wait_until(lambda backend: len(backend.requests) == 1, timeout=30)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=20)
    assert (130, "", "") == (running.returncode, out, err.strip())


def test_an_ascii_terminal_gets_ascii(process, admin: Admin, desk: Backend, loft: Backend) -> None:
    admin.providers.add("dead", type="openai-compatible", priority=9, config={"baseURL": "http://127.0.0.1:9/v1"})
    desk.script(answers("héllo ✓ 🐦"))
    done = process("chat", "hi", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert "h?llo ok ?\n" == done.stdout
    assert "dead: refused" in done.stderr
    assert " -> desk: ok" in done.stderr


def test_json_escapes_what_the_terminal_cannot_show(process, desk: Backend) -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    process("provider", "edit", "desk", "--name", "Bücher", "--no-check")
    done = process("provider", "show", "desk", "--json", env=env)
    assert "Bücher" == json.loads(done.stdout)["name"]
    assert done.stdout.isascii()
    assert "Bücher" in process("provider", "show", "desk", "--json", env={**env, "PYTHONIOENCODING": "utf-8"}).stdout


@pytest.mark.posix
def test_on_a_terminal_an_answer_comes_word_by_word(dialogue, desk: Backend) -> None:
    typed = dialogue("chat", "hi", shown=True)
    code, seen = typed.ends()
    assert (0, True) == (code, seen.startswith("It is the pelican.\r\n[desk: ok"))
    assert desk.requests[-1].json["stream"] is True


@pytest.mark.posix
def test_on_a_terminal_an_answer_steers_nothing(dialogue, desk: Backend) -> None:
    desk.script(answers("\x1b[31mred\x07 \x9b2Jé"))
    code, seen = dialogue("chat", "hi", shown=True).ends()
    assert (0, True) == (code, seen.startswith(r"\x1b[31mred\x07 \x9b2Jé"))


@pytest.mark.posix
def test_on_a_terminal_long_texts_are_wrapped(dialogue) -> None:
    code, seen = dialogue("types", "lm-studio", shown=True).ends()
    assert 0 == code
    assert all(len(line) <= 80 for line in seen.splitlines())


@pytest.mark.parametrize(
    "command",
    [
        *("list", "provider list", "model list", "settings list", "settings get routing.zone", "settings explain open"),
        *("provider show x", "provider config x", "model default x", "plan", "chat hi", "status", "test", "types", ""),
        "credentials list",
    ],
)
def test_looking_creates_no_database(prouter, tmp_path: Path, command: str) -> None:
    path = tmp_path / "typo" / "some.db"
    result = prouter("--db", str(path), *command.split())
    assert not path.parent.exists()
    assert command == "types" or f"{path} " in result.output
    assert command == "types" or "does not exist yet" in result.output
    assert "does not exist" not in prouter("--db", str(path), *command.split(), "--json").stderr


@pytest.mark.parametrize(
    "command",
    [
        *(
            "provider enable x",
            "provider disable x",
            "provider remove x --yes",
            "provider edit x --priority 1",
            "set x",
        ),
        *(
            "model remove x --yes",
            "model link desk x",
            "provider add --id x --type lm-studio --config baseURL=nonsense",
        ),
        *("model add x --alias-of nothing", "settings set routing.maxWait 20"),
    ],
)
def test_a_change_that_is_refused_creates_no_database(prouter, tmp_path: Path, command: str) -> None:
    path = tmp_path / "typo" / "some.db"
    result = prouter("--db", str(path), *command.split())
    assert 1 <= result.exit_code <= 2
    assert f"The database {path} does not exist yet." in result.output
    assert not path.parent.exists()


def test_a_change_creates_the_database_and_its_folder(prouter, tmp_path: Path) -> None:
    path = tmp_path / "new" / "some.db"
    result = prouter("--db", str(path), "model", "add", "qwen3")
    assert (0, True) == (result.exit_code, path.exists())
    assert "does not exist" not in result.stderr


def test_what_stands_before_a_command_may_follow_it(process, prouter, tmp_path: Path, desk: Backend) -> None:
    logged = process("-v", "chat", "hi").stderr.splitlines()
    assert 2 == len(logged)
    for arguments in (("chat", "hi", "-v"), ("--verbose", "chat", "-v", "hi")):
        assert len(logged) == len(process(*arguments).stderr.splitlines())
    path = tmp_path / "other.db"
    assert str(path) in prouter("list", "--db", str(path)).stderr


def test_with_every_provider_disabled_the_error_says_how_to_enable_one(prouter, admin: Admin, desk: Backend) -> None:
    admin.providers.disable("desk")
    result = prouter("chat", "hi")
    assert (1, "") == (result.exit_code, result.stdout)
    assert "every provider is disabled: `prouter provider enable desk`" in result.stderr


def test_no_error_of_the_command_speaks_of_python(prouter) -> None:
    for arguments in (("chat", "hi"), ("plan",), ("test",)):
        assert "providers=" not in prouter(*arguments).stderr


def test_a_reason_names_the_provider_once(prouter, admin: Admin, desk: Backend) -> None:
    admin.providers.edit("desk", config={"apiKey": "env:PELICAN_KEY_THAT_IS_NOT_SET"})
    said = prouter("chat", "hi").stderr
    assert "(desk: no secret, option apiKey: " in said


def test_the_help_says_of_each_command_what_it_says_itself(prouter) -> None:
    told = " ".join(prouter("--help").stdout.split())
    context = click.Context(program)
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        assert command is not None
        assert f" {name} {command.get_short_help_str(90)}" in told


def test_the_help_imports_no_command() -> None:
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "provider_router", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    ours = {line.rpartition("|")[2].strip() for line in shown.stderr.splitlines() if "provider_router" in line}
    assert {
        "provider_router",
        "provider_router.cli",
        "provider_router.cli.program",
        "provider_router.cli.terminal",
    } == ours
