"""Secrets: never shown, found where references say, and kept in a file that several processes share."""

from __future__ import annotations

import base64
import copy
import json
import os
import pickle
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_router.errors import ConfigError, MissingSecret
from provider_router.providers.secrets import (
    FileKeeper,
    Reference,
    Secret,
    mask_text,
    parse_reference,
    resolve,
    side_by_side,
)

KEY = "sk-live/0123456789+äß\"x'"
DAY = 24 * 3600.0


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keeper(tmp_path: Path, clock: Clock) -> FileKeeper:
    return FileKeeper(tmp_path / "conf" / "secrets.json", clock=clock)


def reference(text: str) -> Reference:
    parsed = parse_reference(text)
    assert parsed is not None
    return parsed


# ----------------------------------------------------------------------------------------------------------- Secret


def test_a_secret_shows_itself_only_when_asked_to() -> None:
    secret = Secret(KEY)
    assert (repr(secret), str(secret), f"{secret}", f"{secret:>5}") == ("Secret('***')", "***", "***", "  ***")
    assert secret.reveal() == KEY


def test_secrets_are_equal_by_their_text() -> None:
    assert Secret(KEY) == Secret(KEY)
    assert hash(Secret(KEY)) == hash(Secret(KEY))
    assert Secret(KEY) != Secret("other")
    assert Secret(KEY) != KEY


def test_a_secret_can_be_copied_but_not_pickled() -> None:
    secret = Secret(KEY)
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"key": secret})["key"] is secret
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(secret)


# ------------------------------------------------------------------------------------------------------- references


@pytest.mark.parametrize("text", ["env:KEY", "file:/run/key", "keyring:openai/me", "cmd:pass show key", "secret:a1"])
def test_a_reference_reads_as_it_is_written(text: str) -> None:
    assert str(reference(text)) == text
    assert reference(text).problem == ""
    assert reference(text).local == (not text.startswith("secret:"))


def test_of_a_command_its_program_alone_is_shown() -> None:
    shown = [reference(text).shown for text in ("env:KEY", "secret:a1", "cmd:pass show key", "cmd:get-key")]
    assert shown == ["env:KEY", "secret:a1", "cmd:pass …", "cmd:get-key"]


@pytest.mark.parametrize("text", ["sk-123", "http://host", "environment:KEY", "env", "", "ENV:KEY"])
def test_other_text_is_no_reference(text: str) -> None:
    assert parse_reference(text) is None


@pytest.mark.parametrize("text", ["env:", "file: ", "cmd:", "secret:", "keyring:", "keyring:name", "keyring:service/"])
def test_a_reference_that_names_nothing_says_how_to_write_it(text: str) -> None:
    scheme = text.partition(":")[0]
    assert f"write {scheme}:" in reference(text).problem
    with pytest.raises(MissingSecret, match=f"write {scheme}:"):
        resolve(reference(text))


def test_env_reads_the_environment() -> None:
    assert resolve(reference("env:KEY"), environ={"KEY": KEY}) == Secret(KEY)


@pytest.mark.parametrize("environ", [{}, {"KEY": ""}])
def test_a_variable_that_is_not_set_is_missing(environ: dict[str, str]) -> None:
    with pytest.raises(MissingSecret, match="variable KEY is not set"):
        resolve(reference("env:KEY"), environ=environ)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_file_reads_a_file_without_its_last_line_break(tmp_path: Path, end: str) -> None:
    path = tmp_path / "key"
    path.write_bytes((KEY + end).encode())
    assert resolve(reference(f"file:{path}")) == Secret(KEY)


def test_file_reads_what_windows_editors_write(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("key", encoding="utf-8-sig")
    assert resolve(reference(f"file:{path}")) == Secret("key")


def test_a_file_that_is_not_there_or_empty_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(MissingSecret, match="there is no file"):
        resolve(reference(f"file:{path}"))
    path.write_text("\n")
    with pytest.raises(MissingSecret, match="is empty"):
        resolve(reference(f"file:{path}"))


def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"x" * 70_000)
    with pytest.raises(ConfigError, match="more than 64 KiB"):
        resolve(reference(f"file:{path}"))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="no text"):
        resolve(reference(f"file:{path}"))
    with pytest.raises(ConfigError, match="no ordinary file"):
        resolve(reference(f"file:{tmp_path}"))


@pytest.mark.posix
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = tmp_path / "key"
    path.write_text("key")
    path.chmod(0)
    with pytest.raises(ConfigError, match="cannot be read"):
        resolve(reference(f"file:{path}"))


def python(code: str) -> Reference:
    command = [sys.executable, "-c", code]
    return Reference("cmd", subprocess.list2cmdline(command) if sys.platform == "win32" else shlex.join(command))


def test_cmd_takes_what_a_command_prints() -> None:
    assert resolve(python("print('  key ')")) == Secret("key")


def test_a_command_does_not_see_the_key_of_the_sealed_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROUTER_SECRET_KEY", "sealing")
    monkeypatch.setenv("PROUTER_OTHER", "other")
    code = "import os; print(os.environ.get('PROUTER_SECRET_KEY', 'unseen'), os.environ['PROUTER_OTHER'])"
    assert resolve(python(code)) == Secret("unseen other")


def test_cmd_knows_no_shell() -> None:
    assert resolve(python("import sys; print('$HOME;x')")) == Secret("$HOME;x")


@pytest.mark.parametrize(
    "code, message",
    [
        ("", "printed nothing"),
        ("print('hush'); raise SystemExit(3)", "exit code 3"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "no text"),
    ],
)
def test_a_command_that_fails_shows_nothing_of_what_it_printed(code: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        resolve(python(code))
    assert "hush" not in str(caught.value).replace(code, "")


def test_a_command_that_does_not_end_is_left() -> None:
    with pytest.raises(ConfigError, match=r"was not done within 0\.2 s"):
        resolve(python("import time; time.sleep(60)"), time_limit=0.2)


def test_a_command_that_is_not_there_says_so() -> None:
    with pytest.raises(ConfigError, match="no-such-command cannot be started"):
        resolve(reference("cmd:no-such-command --secret"))


@pytest.mark.posix
def test_a_command_line_with_an_open_quote_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        resolve(reference("cmd:pass 'key"))


def test_secret_asks_the_keeper(keeper: FileKeeper) -> None:
    secret_id = keeper.put(KEY, owner="desk/apiKey")
    assert resolve(Reference("secret", secret_id), keeper=keeper) == Secret(KEY)
    with pytest.raises(ConfigError, match="needs the keeper"):
        resolve(Reference("secret", secret_id))


# ---------------------------------------------------------------------------------------------------------- keyring


def test_keyring_asks_the_keyring(passwords: dict[tuple[str, str], object]) -> None:
    passwords["openai.com/api", "me"] = KEY
    assert resolve(reference("keyring:openai.com/api/me")) == Secret(KEY)
    with pytest.raises(MissingSecret, match="keyring set openai you"):
        resolve(reference("keyring:openai/you"))


def test_a_keyring_that_fails_gives_its_reason(passwords: dict[tuple[str, str], object]) -> None:
    passwords["openai", "me"] = RuntimeError("No backend\nfor you")
    with pytest.raises(ConfigError, match="cannot be used: No backend; use env"):
        resolve(reference("keyring:openai/me"))


def test_a_keyring_that_waits_for_somebody_is_left(passwords: dict[tuple[str, str], object]) -> None:
    unlocked = threading.Event()
    passwords["openai", "me"] = unlocked
    with pytest.raises(ConfigError, match=r"did not answer within 0\.1 s"):
        resolve(reference("keyring:openai/me"), time_limit=0.1)
    unlocked.set()


def test_a_system_without_a_keyring_says_what_else_there_is(passwords: dict[tuple[str, str], object]) -> None:
    from keyring.errors import NoKeyringError

    passwords["openai", "me"] = NoKeyringError("No recommended backend was available")
    with pytest.raises(ConfigError, match="no keyring that can be used; use env:"):
        resolve(reference("keyring:openai/me"))


def test_without_the_extra_keyring_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigError, match=r"provider-router\[keyring\]"):
        resolve(reference("keyring:openai/me"))


# ---------------------------------------------------------------------------------------------------------- masking


def test_a_secret_is_masked_in_every_form() -> None:
    forms = [
        KEY,
        quote(KEY),
        quote(KEY, safe=""),
        json.dumps(KEY),
        json.dumps(KEY, ensure_ascii=False),
        base64.b64encode(KEY.encode()).decode(),
        base64.urlsafe_b64encode(KEY.encode()).decode(),
    ]
    masked = mask_text(" | ".join(forms), [Secret("unused-key"), Secret(KEY)])
    assert masked == " | ".join(["***", "***", "***", '"***"', '"***"', "***", "***"])


@pytest.mark.parametrize("user", ["", "a", "ab", "abc"])
def test_a_secret_is_masked_inside_basic_credentials(user: str) -> None:
    text = base64.b64encode(f"{user}:sk-0123456789".encode()).decode()
    masked = mask_text(f"Basic {text}", [Secret("sk-0123456789")])
    assert "***" in masked
    assert len(masked) < len(text)


def test_the_words_of_a_secret_are_masked_too() -> None:
    secrets = [Secret("Bearer sk-0123456789"), Secret("cna=abc; token=eyJabcdefgh; x")]
    assert mask_text("bad key sk-0123456789, token eyJabcdefgh", secrets) == "bad key ***, token ***"


def test_a_very_short_secret_leaves_messages_readable() -> None:
    assert mask_text("1 of 10 models", [Secret("1"), Secret("")]) == "1 of 10 models"


def test_a_longer_secret_is_masked_before_the_shorter_one_in_it() -> None:
    assert mask_text("sk-key-long", [Secret("sk-key"), Secret("sk-key-long")]) == "***"


@given(st.text(min_size=4, max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_no_secret_survives_masking(secret: str, before: str, after: str) -> None:
    masked = mask_text(before + secret + after, [Secret(secret)])
    assert secret not in masked or "*" in secret


# ------------------------------------------------------------------------------------------------------- FileKeeper


def test_what_is_put_can_be_got_by_another_process(keeper: FileKeeper) -> None:
    secret_id = keeper.put(KEY, owner="desk/apiKey")
    other = FileKeeper(keeper.path)
    assert other.get(secret_id).reveal() == KEY
    assert other.owner(secret_id) == "desk/apiKey"
    assert other.ids() == (secret_id,)


def test_what_another_process_writes_is_seen_at_once_also_in_a_file_that_was_long_at_rest(keeper: FileKeeper) -> None:
    first = keeper.put(KEY, owner="desk/apiKey")
    os.utime(keeper.path, (1_000_000_000, 1_000_000_000))
    assert keeper.ids() == (first,)
    other = FileKeeper(keeper.path)
    second = other.put("another", owner="loft/apiKey")
    assert keeper.get(second) == Secret("another")
    other.forget(first)
    assert keeper.ids() == (second,)


def test_nothing_is_created_before_the_first_secret(keeper: FileKeeper) -> None:
    assert keeper.ids() == ()
    assert keeper.owner("none") is None
    assert keeper.warning() is None
    assert keeper.purge() == 0
    assert not keeper.path.parent.exists()


@pytest.mark.posix
def test_only_the_owner_can_read_the_file_whatever_the_umask(keeper: FileKeeper) -> None:
    before = os.umask(0)
    try:
        keeper.put(KEY, owner="desk/apiKey")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in keeper.path.parent.iterdir()}
    assert modes == {"secrets.json": 0o600, "secrets.json.lock": 0o600}
    assert keeper.path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.posix
def test_a_file_that_others_can_read_is_reported_once_and_mended_by_the_next_writing(
    keeper: FileKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    secret_id = keeper.put(KEY, owner="desk/apiKey")
    keeper.path.chmod(0o644)
    keeper.get(secret_id)
    keeper.get(secret_id)
    assert [record.message for record in caplog.records] == [keeper.warning()]
    assert f"chmod 600 {keeper.path}" in str(keeper.warning())
    keeper.put("another", owner="loft/apiKey")
    assert keeper.warning() is None


@pytest.mark.posix
def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    link = tmp_path / "secrets.json"
    link.symlink_to(tmp_path / "dotfiles.json")
    FileKeeper(link).put(KEY, owner="desk/apiKey")
    assert link.is_symlink()
    assert (tmp_path / "dotfiles.json").exists()


def test_a_removed_secret_can_be_restored_for_seven_days(keeper: FileKeeper, clock: Clock) -> None:
    secret_id = keeper.put(KEY, owner="desk/apiKey")
    keeper.remove(secret_id)
    with pytest.raises(MissingSecret, match="in its bin"):
        keeper.get(secret_id)
    assert keeper.ids() == ()
    assert keeper.owner(secret_id) == "desk/apiKey"
    clock.now += 7 * DAY - 1
    assert keeper.purge() == 0
    keeper.restore(secret_id)
    assert keeper.get(secret_id) == Secret(KEY)


def test_after_seven_days_a_removed_secret_is_gone_from_the_file(keeper: FileKeeper, clock: Clock) -> None:
    kept, removed = keeper.put("kept", owner="desk/apiKey"), keeper.put(KEY, owner="desk/apiKey")
    keeper.remove(removed)
    clock.now += 3 * DAY
    keeper.remove(removed)  # again: the time runs from the first
    clock.now += 4 * DAY
    assert keeper.purge() == 1
    assert keeper.ids() == (kept,)
    assert json.dumps(KEY) not in keeper.path.read_text()
    with pytest.raises(MissingSecret, match="not in the bin"):
        keeper.restore(removed)


def test_a_forgotten_secret_is_gone_at_once(keeper: FileKeeper) -> None:
    secret_id = keeper.put(KEY, owner="desk/apiKey")
    keeper.forget(secret_id)
    keeper.forget(secret_id)
    keeper.remove(secret_id)
    with pytest.raises(MissingSecret, match="holds no secret"):
        keeper.get(secret_id)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"version": 2, "secrets": {}}',
        '{"version": 1}',
        '{"version": 1, "secrets": []}',
        '{"version": 1, "secrets": {"a": "sk-hush"}}',
        '{"version": 1, "secrets": {"a": {"value": ["sk-hush"], "owner": "desk"}}}',
    ],
)
def test_a_damaged_file_is_left_as_it_is_and_says_what_to_do(keeper: FileKeeper, content: str) -> None:
    keeper.path.parent.mkdir()
    keeper.path.write_text(content)
    for use in (lambda: keeper.get("a"), lambda: keeper.put(KEY, owner="desk/apiKey")):
        with pytest.raises(ConfigError, match=r"is damaged.*backup") as caught:
            use()
        assert "hush" not in str(caught.value)
    assert keeper.path.read_text() == content


def test_a_file_that_cannot_be_read_or_written_says_so(tmp_path: Path) -> None:
    folder = FileKeeper(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        folder.ids()
    (tmp_path / "file").write_text("")
    below = FileKeeper(tmp_path / "file" / "secrets.json")
    with pytest.raises(ConfigError, match="cannot be written"):
        below.put(KEY, owner="desk/apiKey")


def test_threads_and_processes_lose_nothing_of_each_other(keeper: FileKeeper) -> None:
    code = (
        "import pathlib, sys\n"
        "from provider_router.providers.secrets import FileKeeper\n"
        "keeper = FileKeeper(pathlib.Path(sys.argv[1]))\n"
        "for _ in range(15): keeper.put('x', owner='desk/apiKey')\n"
    )
    others = [subprocess.Popen([sys.executable, "-c", code, str(keeper.path)]) for _ in range(3)]

    def put() -> None:
        for _ in range(15):
            keeper.put("y", owner="loft/apiKey")

    threads = [threading.Thread(target=put) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait() for other in others] == [0, 0, 0]
    assert len(keeper.ids()) == 5 * 15
    assert sorted(path.name for path in keeper.path.parent.iterdir()) == ["secrets.json", "secrets.json.lock"]


def test_a_writer_that_holds_on_is_not_waited_for_without_end(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    keeper = FileKeeper(path, lock_wait=0.05)
    holding, done = threading.Event(), threading.Event()

    def slow_clock() -> float:
        holding.set()
        done.wait(10)
        return time.time()

    def hold() -> None:
        FileKeeper(path, clock=slow_clock).remove(secret_id)

    secret_id = keeper.put(KEY, owner="desk/apiKey")
    holder = threading.Thread(target=hold)
    holder.start()
    holding.wait(10)
    try:
        with pytest.raises(ConfigError, match="Another process"):
            keeper.put("another", owner="desk/apiKey")
        assert keeper.get(secret_id) == Secret(KEY)  # readers wait for nobody
    finally:
        done.set()
        holder.join()
    assert keeper.ids() == ()


def test_what_takes_long_is_fetched_side_by_side_and_each_once() -> None:
    together = threading.Barrier(3)  # which nobody passes alone
    asked = [Reference("cmd", name) for name in ("one", "two", "three", "one")]

    def fetch(reference: Reference) -> str:
        together.wait(30)
        return reference.place

    found = side_by_side(asked, fetch, time_limit=None)
    assert ["one", "two", "three"] == [found[reference].result() for reference in asked[:3]]


def test_what_is_not_there_in_time_is_an_error_and_nobody_waits_for_it() -> None:
    come = threading.Event()

    def fetch(reference: Reference) -> None:
        if reference.place == "late":
            come.wait(30)

    late, soon = Reference("cmd", "late"), Reference("cmd", "soon")
    found = side_by_side([soon, late], fetch, time_limit=1.0)  # so much time as a slow machine needs for the one
    come.set()
    assert found[soon].result() is None
    with pytest.raises(ConfigError, match="not there in time"):
        found[late].result()
