from __future__ import annotations

import pytest

from provider_router import Admin


def test_a_setting_is_set_shown_explained_and_unset(prouter, answer, admin: Admin) -> None:
    assert "routing.maxWait: 20s\n" == prouter("settings", "set", "routing.maxWait", "20s").stdout
    assert "20s\n" == prouter("settings", "get", "routing.maxWait").stdout
    assert 20000 == answer("settings", "get", "routing.maxWait")
    text = prouter("settings", "explain", "routing.maxWait").stdout
    for part in ("20s (from the setting)", "default      30s", "PROUTER_ROUTING_MAX_WAIT"):
        assert part in text
    assert ["routing.maxWait"] == [setting["key"] for setting in answer("settings", "list", "--set")]
    assert "30s (from the default)" in prouter("settings", "unset", "routing.maxWait").stdout
    assert [] == answer("settings", "list", "--set")


def test_every_kind_of_value_is_shown_as_it_is_typed(prouter) -> None:
    prouter("settings", "set", "routing.fallbackOn", "bad_request,content_policy")
    lines = {line.split()[0]: line.split()[1] for line in prouter("settings", "list").stdout.splitlines() if line}
    assert "bad_request,content_policy" == lines["routing.fallbackOn"]
    assert ("false", "3001", "-") == (lines["system.autoStart"], lines["server.port"], lines["active_provider"])
    assert "not set" in prouter("settings", "explain", "server.port").stdout


def test_an_environment_that_goes_first_is_told(prouter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROUTER_ROUTING_MAX_WAIT", "5s")
    result = prouter("settings", "set", "routing.maxWait", "20s")
    assert "routing.maxWait: 20s\n" == result.stdout
    assert "PROUTER_ROUTING_MAX_WAIT makes it 5s" in result.stderr
    assert "the environment, PROUTER_ROUTING_MAX_WAIT" in prouter("settings", "explain", "routing.maxWait").stdout


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("routing.maxWait", "20", "write 20s or 20ms"),
        ("maxWait", "20s", "did you mean routing.maxWait?"),
        ("routing.strategy", "best", "is not one of"),
        ("active_provider", "desk", "prouter add"),
        ("server.port", "0", "no port"),
    ],
)
def test_a_bad_setting_is_told(prouter, admin: Admin, key: str, value: str, says: str) -> None:
    result = prouter("settings", "set", key, value)
    assert (1, "") == (result.exit_code, result.stdout)
    assert says in result.stderr
    assert 0 == admin.revision


def test_a_setting_that_nothing_reads_yet_is_kept_and_says_so(prouter, answer, admin: Admin) -> None:
    result = prouter("settings", "set", "server.port", "8080")
    assert (0, "server.port: 8080\n") == (result.exit_code, result.stdout)
    assert "server.port is not used yet by this version" in result.stderr
    for command in (("settings", "list", "--set"), ("settings", "explain", "server.port")):
        assert "not used yet by this version" in prouter(*command).stdout
    used = {setting["key"]: setting["used"] for setting in answer("settings", "list")}
    assert (False, False, False, True) == (
        used["server.port"],
        used["logging.level"],
        used["system.autoStart"],
        used["routing.zone"],
    )


def test_nothing_set_is_told(prouter) -> None:
    assert "Every setting is at its default." in prouter("settings", "list", "--set").stderr


def test_a_name_of_another_case_is_near(prouter) -> None:
    assert "did you mean routing.maxWait?" in prouter("settings", "get", "maxwait").stderr
    assert "did you mean routing.maxWait" in prouter("settings", "get", "ROUTING.MAXWAIT").stderr
