"""admin.settings: known keys, typed values, and where each value in force comes from."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from provider_router.configuration.admin import Admin
from provider_router.configuration.settings import SETTINGS
from provider_router.errors import ConfigError, InvalidConfig, UnknownProvider
from provider_router.limits import ROUTING
from provider_router.store import ChangeRecord, SettingRecord, Store

Changes = Callable[[], tuple[ChangeRecord, ...]]


@pytest.mark.parametrize(
    ("key", "given", "kept"),
    [
        ("routing.maxWait", "45s", 45000),
        ("routing.idleTimeout", "500ms", "500ms"),
        ("routing.maxAttempts", "4", 4),
        ("routing.fallbackOn", "bad_request, capability", ["bad_request", "capability"]),
        ("routing.upstreamStream", "true", True),
        ("routing.zone", "lan", "lan"),
        ("server.port", "8080", 8080),
        ("server.host", " 0.0.0.0 ", "0.0.0.0"),
        ("server.timeout", 120000, 120000),
        ("logging.level", "WARNING", "warn"),
        ("logging.logRequests", True, True),
    ],
)
def test_a_value_is_kept_with_its_type(admin: Admin, key: str, given: object, kept: object) -> None:
    setting = admin.settings.set(key, given)
    assert (setting.value, type(setting.value), setting.source) == (kept, type(kept), "setting")
    assert admin.settings.get(key) == kept
    assert SETTINGS[key].parse(admin.settings.get(key)) == kept


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("routing.maxWait", 20),
        ("routing.maxAttempts", 0),
        ("routing.strategy", "best"),
        ("server.port", 65536),
        ("server.port", "http"),
        ("server.port", True),
        ("server.host", ""),
        ("server.timeout", 30),
        ("logging.level", "loud"),
        ("logging.logRequests", 1),
        ("active_provider", 7),
    ],
)
def test_a_value_that_will_not_do_is_refused_and_nothing_is_written(admin: Admin, key: str, value: object) -> None:
    with pytest.raises(InvalidConfig, match=f"{key}: "):
        admin.settings.set(key, value)
    assert admin.revision == 0


def test_an_unknown_key_is_refused_with_near_ones(admin: Admin) -> None:
    for ask in (admin.settings.get, admin.settings.unset, admin.settings.explain):
        with pytest.raises(ConfigError, match=r"did you mean routing\.maxWait"):
            ask("routing.maxwait")
    with pytest.raises(ConfigError, match=r"did you mean routing\.maxWait\?"):
        admin.settings.set("maxWait", "3s")


def test_every_routing_option_and_every_key_of_the_old_world_is_listed(admin: Admin) -> None:
    keys = {setting.key for setting in admin.settings.list()}
    assert {option.setting for option in ROUTING.values()} < keys
    assert {"active_provider", "server.port", "logging.level", "system.checkUpdates"} < keys
    assert {setting.source for setting in admin.settings.list()} == {"default"}


def test_explain_says_where_the_value_comes_from(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "routing.maxWait"
    default = admin.settings.explain(key)
    assert (default.value, default.source, default.variable) == (30000, "default", "PROUTER_ROUTING_MAX_WAIT")
    admin.settings.set(key, "10s")
    assert (admin.settings.explain(key).value, admin.settings.explain(key).source) == (10000, "setting")
    assert admin.settings.explain(key).updated_at is not None
    monkeypatch.setenv("PROUTER_ROUTING_MAX_WAIT", "5s")
    near = admin.settings.set(key, "20s")
    assert (near.value, near.source, near.kept) == (5000, "environment", 20000)
    monkeypatch.setenv("PROUTER_ROUTING_MAX_WAIT", "5")
    with pytest.raises(ConfigError, match="PROUTER_ROUTING_MAX_WAIT"):
        admin.settings.get(key)


def test_unset_takes_a_setting_back_to_its_default(admin: Admin) -> None:
    admin.settings.set("server.port", 8080)
    assert admin.settings.unset("server.port").value == 3001
    revision = admin.revision
    admin.settings.unset("server.port")
    assert admin.revision == revision


def test_what_another_program_has_left_behind_can_be_unset(admin: Admin) -> None:
    with Store.open(admin.path) as store:
        store.settings.set(SettingRecord(key="old.key", value="x"))
    assert admin.settings.unset("old.key").value is None
    with pytest.raises(ConfigError, match=r"no setting 'old\.key'"):
        admin.settings.unset("old.key")


def test_setting_the_same_again_is_no_change(admin: Admin, changes: Changes) -> None:
    admin.settings.set("server.port", 8080)
    admin.settings.set("server.port", "8080")
    assert [change.what for change in changes()] == ["set server.port"]
    assert (changes()[0].providers, changes()[0].models) == ((), ())


def test_the_active_provider_is_one_that_there_is(admin: Admin, desk: str) -> None:
    assert admin.settings.active is None
    with pytest.raises(UnknownProvider, match="did you mean desk"):
        admin.settings.set_active("desc")
    admin.settings.set_active(desk)
    assert admin.settings.active == desk
    admin.settings.set_active(None)
    assert admin.settings.active is None
