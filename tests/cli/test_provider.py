from __future__ import annotations

import json

import pytest

from provider_router import Admin
from provider_router.backends import MODELS, Backend, status


def test_the_list_is_in_the_order_of_the_plan(prouter, answer, admin: Admin, desk: Backend, loft: Backend) -> None:
    admin.settings.set_active("loft")
    lines = prouter("list").stdout.splitlines()
    assert ["desk", "loft"] == [line.split()[0] for line in lines[2:]]
    assert "(active)" in lines[3]
    assert [True, False] == [record["id"] == "desk" for record in answer("provider", "list")]


def test_the_list_can_be_narrowed(answer, prouter, admin: Admin, desk: Backend, loft: Backend) -> None:
    admin.providers.disable("loft")
    assert ["desk"] == [record["id"] for record in answer("list", "--enabled")]
    assert ["loft"] == [record["id"] for record in answer("list", "--disabled")]
    assert [] == answer("list", "--type", "lm-studio")
    assert "no such provider" in prouter("list", "--type", "lm-studio").stderr


def test_a_provider_is_shown_whole(prouter, answer, admin: Admin, desk: Backend) -> None:
    admin.providers.edit("desk", description="Under the lamp", config={"timeout": "30s", "apiKey": "sk-pelican"})
    admin.links.link("desk", "qwen3", default=True, remote_name="q3", create=True)
    text = prouter("provider", "show", "desk").stdout
    for part in ("Under the lamp", "30s", "***", desk.base_url, "qwen3 (q3, default)"):
        assert part in text
    told = answer("provider", "show", "desk")
    assert (["qwen3"], 30000, "***") == (told["models"], told["config"]["timeout"], told["config"]["apiKey"])


def test_an_edit_changes_what_is_given(prouter, admin: Admin, desk: Backend) -> None:
    result = prouter(
        "provider", "edit", "desk", "--priority", "9", "--name", "Desk", "--disabled", "--description", "x"
    )
    assert (0, "changed desk\n") == (result.exit_code, result.stdout)
    record = admin.providers.get("desk")
    assert ("Desk", 9, False, "x") == (record.name, record.priority, record.enabled, record.description)
    prouter("provider", "edit", "desk", "--description", "")
    assert admin.providers.get("desk").description is None


def test_an_edit_of_the_options_is_checked(prouter, admin: Admin, desk: Backend) -> None:
    assert "ok, " in prouter("provider", "edit", "desk", "--config", "timeout=30s").stdout
    assert 30000 == admin.providers.config("desk").get("timeout")
    prouter("provider", "edit", "desk", "--unset", "timeout")
    assert "timeout" not in admin.providers.config("desk")
    result = prouter("provider", "edit", "desk", "--config", "baseURL=http://127.0.0.1:9/v1")
    assert (0, "changed desk\n") == (result.exit_code, result.stdout)
    assert "nothing listens there: start its server" in result.stderr


def test_an_edit_of_nothing_is_wrong_use(prouter, desk: Backend) -> None:
    assert 2 == prouter("provider", "edit", "desk").exit_code


def test_secrets_that_an_edit_drops_are_told(prouter, admin: Admin, desk: Backend) -> None:
    admin.providers.edit("desk", config={"apiKey": "sk-1", "headers": {"X-Key": "a"}})
    result = prouter("provider", "edit", "desk", "--no-check", "--config", "baseURL=http://127.0.0.1:9/v1")
    assert "prouter provider config desk apiKey --stdin" in result.stderr
    assert "prouter provider config desk headers.X-Key --stdin" in result.stderr
    prouter("provider", "config", "desk", "headers.X-Key", "--stdin", input="b")
    prouter("provider", "config", "desk", "headers.X-Two", "c")
    assert {"X-Key": "***", "X-Two": "***"} == admin.providers.config("desk").get("headers")


def test_a_provider_is_removed_only_when_that_is_meant(prouter, answer, admin: Admin, desk: Backend) -> None:
    assert 2 == prouter("provider", "remove", "desk").exit_code
    admin.settings.set_active("desk")
    assert "--force" in prouter("provider", "remove", "desk", "--yes").stderr
    assert "desk" in admin.providers
    assert {"removed": "desk"} == answer("provider", "remove", "desk", "--yes", "--force")
    assert ("desk" in admin.providers, admin.settings.active) == (False, None)


@pytest.mark.posix
def test_on_a_terminal_a_removal_is_asked_about(dialogue, admin: Admin, desk: Backend) -> None:
    for said, left in (("perhaps", True), ("", True), ("y", False)):
        typed = dialogue("provider", "remove", "desk")
        typed.reads("[y/N]: ")
        typed.types(said)
        if said == "perhaps":
            typed.reads("answer y or n")
            typed.types("no")
        assert 0 == typed.ends()[0]
        assert left == ("desk" in admin.providers)


@pytest.mark.posix
def test_on_a_terminal_an_edit_offers_what_is_there(dialogue, admin: Admin, desk: Backend) -> None:
    admin.providers.edit("desk", config={"timeout": "30s"})
    typed = dialogue("provider", "edit", "desk", "--no-check")
    typed.reads("name [desk]: ")
    typed.types("")
    typed.reads("first [5]: ")
    typed.types("many")
    typed.reads("first [5]: ")
    typed.types("8")
    typed.reads(f"[{desk.base_url}]: ")
    typed.types("")
    typed.reads("[30s]: ")
    typed.types("20")
    typed.reads("write 20s or 20ms")
    typed.types("20s")
    assert 0 == typed.ends()[0]
    assert 8 == admin.providers.get("desk").priority
    assert {"baseURL": desk.base_url, "timeout": 20000} == admin.providers.config("desk").all()


def test_a_provider_is_switched_off_and_on(prouter, answer, admin: Admin, desk: Backend) -> None:
    assert "disabled desk\n" == prouter("provider", "disable", "desk").stdout
    assert not admin.providers.get("desk").enabled
    assert "is disabled" in prouter("provider", "reload", "desk").stderr
    assert answer("provider", "enable", "desk")["enabled"]


def test_a_reload_is_a_change_for_every_process(prouter, admin: Admin, desk: Backend) -> None:
    before = admin.revision
    assert 0 == prouter("provider", "reload", "desk").exit_code
    assert before + 1 == admin.revision


def test_options_are_shown_set_and_removed(prouter, answer, admin: Admin, desk: Backend) -> None:
    assert "30s" in prouter("provider", "config", "desk", "timeout", "30s").stdout
    assert "30s\n" == prouter("provider", "config", "desk", "timeout").stdout
    assert 30000 == answer("provider", "config", "desk", "timeout")
    assert {"baseURL": desk.base_url, "timeout": 30000} == answer("provider", "config", "desk")
    prouter("provider", "config", "desk", "--unset", "timeout")
    assert "timeout" not in admin.providers.config("desk")
    result = prouter("provider", "config", "desk", "timeout")
    assert (1, "") == (result.exit_code, result.stdout)


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("timeout", "20"), 1, "write 20s or 20ms"),
        (("timeuot", "20s"), 1, "did you mean timeout?"),
        (("--unset", "timeout"), 1, "timeout"),
        (("--unset", "baseURL"), 1, "required"),
        (("apiKey", "x", "--stdin"), 2, "KEY --stdin"),
        (("apiKey", "--stdin"), 2, "nothing came"),
    ],
)
def test_bad_options_are_told_and_nothing_is_written(
    prouter, admin: Admin, arguments: tuple[str, ...], code: int, says: str
) -> None:
    before = admin.revision
    result = prouter("provider", "config", "desk", *arguments)
    assert (code, "") == (result.exit_code, result.stdout)
    assert says in result.stderr
    assert before == admin.revision


def test_a_test_asks_every_enabled_provider(prouter, answer, admin: Admin, desk: Backend, loft: Backend) -> None:
    result = prouter("test")
    assert 0 == result.exit_code
    assert ["desk:", "loft:"] == [line.split()[0] for line in result.stdout.splitlines()]
    loft.kill()
    result = prouter("provider", "test", "--json")
    assert 1 == result.exit_code
    assert [True, False] == [told["ok"] for told in json.loads(result.stdout)]
    admin.providers.disable("loft")
    assert ["desk"] == [told["provider"] for told in answer("test")]
    assert 1 == prouter("test", "loft").exit_code


def test_what_cannot_even_be_asked_has_failed(prouter, admin: Admin, desk: Backend) -> None:
    admin.providers.edit("desk", config={"apiKey": "env:NOT_SET_ANYWHERE"})
    result = prouter("test")
    assert 1 == result.exit_code
    assert "NOT_SET_ANYWHERE" in result.stdout


def test_a_check_that_fails_otherwise_says_how(prouter, desk: Backend) -> None:
    desk.script(status(500), path=MODELS)
    result = prouter("test", "desk")
    assert 1 == result.exit_code
    assert "500" in result.stdout


def test_the_active_provider_is_chosen_and_unchosen(prouter, answer, admin: Admin, desk: Backend) -> None:
    assert {"active": "desk"} == answer("set", "desk")
    assert "desk" == admin.settings.active
    assert 0 == prouter("set", "--none").exit_code
    assert admin.settings.active is None
    assert "did you mean desk?" in prouter("set", "dask").stderr
    admin.providers.disable("desk")
    assert "is disabled" in prouter("set", "desk").stderr


def test_the_status_tells_who_answers(prouter, answer, admin: Admin, desk: Backend, loft: Backend) -> None:
    loft.kill()
    admin.providers.add("off", type="lm-studio", enabled=False, config={"baseURL": "http://127.0.0.1:9/v1"})
    admin.providers.add("odd", type="openai-compatible", config={"baseURL": loft.base_url, "apiKey": "env:NO_SUCH_KEY"})
    admin.settings.set_active("desk")
    text = prouter("status").stdout
    for part in ("desk (active)", "ok, ", "nothing listens there", "disabled", "NO_SUCH_KEY"):
        assert part in text
    told = answer("status", "--no-check")
    assert "desk" == told["active"]
    assert [None] * 4 == [provider["check"] for provider in told["providers"]]


def test_the_plan_tells_the_order_and_why(prouter, answer, admin: Admin, desk: Backend, loft: Backend) -> None:
    admin.providers.add("off", type="lm-studio", enabled=False, config={"baseURL": "http://127.0.0.1:9/v1"})
    steps = answer("plan", "qwen3")
    assert ["desk", "loft", "off"] == [step["provider"] for step in steps]
    assert ("skipped", "disabled") == (steps[2]["state"], steps[2]["reason"])
    assert [("desk", "qwen3"), ("loft", "qwen3")] == [(s["provider"], s["model"]) for s in answer("plan")[:2]]
    loft.script(status(500), path=MODELS)
    assert "its own choice" in prouter("plan").stdout
    assert ["loft", "desk"] == [step["provider"] for step in answer("plan", "-p", "loft", "--fallback")][:2]
    assert "lacks audio" in prouter("plan", "--needs", "audio").stdout
    assert "Nobody can be asked." in prouter("plan", "--needs", "audio").stderr
    assert 2 == prouter("plan", "--needs", "magic").exit_code


def test_headers_are_set_one_by_one_or_as_a_whole(prouter, answer, admin: Admin, desk: Backend) -> None:
    config = admin.providers.config("desk")
    prouter("provider", "config", "desk", "headers", "A=1")
    prouter("provider", "edit", "desk", "--config", "headers=B=2", "--config", "headers=C=3", "--no-check")
    assert {"A", "B", "C"} == set(config.get("headers"))
    assert ("***\n", "***") == (
        prouter("provider", "config", "desk", "headers.A").stdout,
        answer("provider", "config", "desk", "headers.A"),
    )
    result = prouter("provider", "config", "desk", "headers", '{"C": "***", "D": "4"}')
    assert {"C", "D"} == set(config.get("headers"))
    assert "headers was replaced as a whole, without A, B" in result.stderr
    assert "" == prouter("provider", "config", "desk", "--unset", "headers.C").stderr
    assert "" == prouter("provider", "edit", "desk", "--no-check", "--unset", "headers.D").stderr
    assert "headers" not in config


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--config", "headers=A=1", "--config", "headers.A=2"), 2, "headers.A is given twice"),
        (("--config", "timeout=1m", "--config", "timeout=2m"), 2, "timeout is given twice"),
        (("--config", "base_url=http://a/v1", "--config", "baseURL=http://b/v1"), 2, "baseURL is given twice"),
        (("--config", "headers.A=***"), 1, "headers.A: *** stands for"),
        (("--config", "headers=nonsense"), 1, "headers: has to be a mapping: NAME=VALUE, or JSON"),
        (("--unset", "headers.A"), 1, "no option 'headers.A' set"),
        (("--config", "baseURL=http://a/v1", "--unset", "baseURL"), 2, "baseURL is given twice"),
        (("--unset", "nonsense"), 1, "no option 'nonsense' set"),
    ],
)
def test_what_cannot_be_meant_is_told(prouter, desk: Backend, arguments: tuple[str, ...], code: int, says: str) -> None:
    result = prouter("provider", "edit", "desk", "--no-check", *arguments)
    assert (code, "") == (result.exit_code, result.stdout)
    assert says in result.stderr


def test_a_measured_time_is_in_seconds(answer, desk: Backend) -> None:
    (checked,) = answer("test")
    (asked,) = answer("chat", "hi")["attempts"]
    plugins = answer("plugin", "list")
    assert 0 < checked["duration"] < 5
    assert 0 < asked["duration"] < 5
    assert all(0 < plugin["duration"] < 30 for plugin in plugins)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("timeout", "desk has no option 'timeout' set"),
        ("headers.A", "desk has no option 'headers.A' set"),
        ("timeOut", "openai-compatible has no option 'timeOut': did you mean timeout"),
    ],
)
def test_an_option_that_is_not_set_is_told_from_one_that_there_is_not(
    prouter, desk: Backend, key: str, says: str
) -> None:
    assert says in prouter("provider", "config", "desk", key).stderr


def test_what_cannot_be_asked_is_named_once(prouter, admin: Admin, desk: Backend) -> None:
    admin.providers.edit("desk", config={"apiKey": "env:PELICAN_KEY_THAT_IS_NOT_SET"})
    said = prouter("test", "desk").stdout
    assert said.startswith("desk: cannot be used: option apiKey: the environment variable ")


def test_an_equals_sign_where_a_blank_is_due_is_told_and_its_value_is_not_shown(prouter, admin: Admin) -> None:
    admin.providers.add("desk", type="openai-compatible", config={"baseURL": "http://127.0.0.1:9/v1"})
    result = prouter("provider", "config", "desk", "apiKey=sk-made-up")
    assert 2 == result.exit_code
    assert "prouter provider config desk apiKey VALUE" in result.stderr
    assert "sk-made-up" not in result.stderr
