"""What every table promises, whatever keeps it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provider_router.errors import AlreadyExists, ConfigError, InvalidConfig, UnknownModel, UnknownProvider
from provider_router.store import (
    ChangeRecord,
    CredentialRecord,
    Json,
    LinkRecord,
    ModelRecord,
    OptionRecord,
    ProviderRecord,
    SettingRecord,
    Store,
    kind_of,
    now,
)

DESK = ProviderRecord(id="desk", name="Desk", type="lm-studio", priority=5)
LOFT = ProviderRecord(id="loft", name="Loft", type="openai-compatible", enabled=False, description="under the roof")
QWEN = ModelRecord(id="qwen3-max", name="Qwen 3 Max", capabilities=("chat", "tools"), fallbacks=("small",), zone="lan")
SMALL = ModelRecord(id="small", name="Small", alias_of="qwen3-max", description="a short name")
CREDENTIAL = CredentialRecord(token="env:TOKEN", cookies="secret:qwen-cookies")
CHANGE = ChangeRecord(who="test", what="added provider desk", noun="provider", subject="desk")
LONG_AGO = datetime(2001, 9, 9, 1, 46, 40, 123_000, tzinfo=UTC)


@pytest.fixture
def filled(store: Store) -> Store:
    for provider in (DESK, LOFT):
        store.providers.add(provider)
    for model in (QWEN, SMALL):
        store.models.add(model)
    return store


def test_records_come_back_as_they_were(filled: Store) -> None:
    link = LinkRecord(
        provider_id="desk",
        model_id="qwen3-max",
        default=True,
        remote_name="qwen/qwen3-max",
        weight=2.5,
        context_length=32768,
        capabilities=("+tools", "-vision"),
        parameters=MappingProxyType({"top_k": 40, "stop": ["\n"]}),
        input_price=0.5,
        output_price=1.5,
        max_parallel=4,
        extra={"writtenByOthers": {"a": None}},
        created_at=LONG_AGO,
    )
    filled.links.add(link)
    assert filled.providers.list() == (DESK, LOFT)
    assert filled.models.list() == (QWEN, SMALL)
    assert filled.links.list() == (link,)
    assert (filled.providers.get("loft"), filled.models.get("small")) == (LOFT, SMALL)


def test_tables_tell_what_is_in_them(filled: Store) -> None:
    assert (len(filled.providers), len(filled.models)) == (2, 2)
    assert "desk" in filled.providers
    assert "nobody" not in filled.providers
    assert 7 not in filled.providers
    assert "small" in filled.models
    assert None not in filled.models


def test_lists_can_be_narrowed(filled: Store) -> None:
    assert filled.providers.list(type="lm-studio") == (DESK,)
    assert filled.providers.list(enabled=False) == (LOFT,)
    assert filled.providers.list(type="lm-studio", enabled=False) == ()
    assert filled.models.list(capability="tools") == (QWEN,)
    filled.links.add(LinkRecord(provider_id="desk", model_id="small"))
    assert [link.model_id for link in filled.links.list(provider_id="desk")] == ["small"]
    assert filled.links.list(provider_id="loft") == ()
    assert filled.links.list(model_id="qwen3-max") == ()


def test_an_update_writes_every_field_and_the_time(filled: Store) -> None:
    old = evolve(DESK, created_at=LONG_AGO, updated_at=LONG_AGO)
    written = filled.providers.update(evolve(old, name="Desktop", enabled=False, priority=-1))
    assert written.updated_at > LONG_AGO
    assert filled.providers.get("desk") == evolve(
        old, name="Desktop", enabled=False, priority=-1, updated_at=written.updated_at
    )
    model = filled.models.update(evolve(QWEN, fallbacks=(), capabilities=None))
    assert filled.models.get("qwen3-max") == model


def test_what_is_removed_is_handed_back_and_gone(filled: Store) -> None:
    assert filled.providers.remove("desk") == DESK
    assert filled.models.remove("small") == SMALL
    assert (filled.providers.list(), filled.models.list()) == ((LOFT,), (QWEN,))


@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.providers.get("nobody"),
        lambda store: store.providers.remove("nobody"),
        lambda store: store.providers.update(evolve(DESK, id="nobody")),
        lambda store: store.configs.set(OptionRecord(provider_id="nobody", key="timeout", value=1)),
        lambda store: store.links.add(LinkRecord(provider_id="nobody", model_id="small")),
    ],
)
def test_an_unknown_provider_is_named(filled: Store, act: Callable[[Store], object]) -> None:
    with pytest.raises(UnknownProvider, match="nobody"):
        act(filled)


@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.models.get("nothing"),
        lambda store: store.models.remove("nothing"),
        lambda store: store.models.update(evolve(SMALL, id="nothing")),
        lambda store: store.links.add(LinkRecord(provider_id="desk", model_id="nothing")),
    ],
)
def test_an_unknown_model_is_named(filled: Store, act: Callable[[Store], object]) -> None:
    with pytest.raises(UnknownModel, match="nothing"):
        act(filled)


@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.links.get("desk", "small"),
        lambda store: store.links.remove("desk", "small"),
        lambda store: store.links.set_default("desk", "small"),
        lambda store: store.links.update(LinkRecord(provider_id="desk", model_id="small")),
    ],
)
def test_a_link_that_is_not_there_is_said_to_be_so(filled: Store, act: Callable[[Store], object]) -> None:
    with pytest.raises(ConfigError, match="desk and small are not linked"):
        act(filled)


def test_ids_names_and_links_are_the_only_ones_of_their_kind(filled: Store) -> None:
    with pytest.raises(AlreadyExists, match="provider desk already"):
        filled.providers.add(evolve(DESK, name="Another"))
    with pytest.raises(AlreadyExists, match="desk is named Desk already"):
        filled.providers.add(evolve(LOFT, id="new", name="Desk"))
    with pytest.raises(AlreadyExists, match="desk is named Desk already"):
        filled.providers.update(evolve(LOFT, name="Desk"))
    with pytest.raises(AlreadyExists, match="model small already"):
        filled.models.add(SMALL)
    filled.links.add(LinkRecord(provider_id="desk", model_id="small"))
    with pytest.raises(AlreadyExists, match="linked already"):
        filled.links.add(LinkRecord(provider_id="desk", model_id="small"))


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda s: s.providers.add(evolve(DESK, id="x", name="")), "name is not empty"),
        (lambda s: s.providers.add(evolve(DESK, id="", name="X")), "id is not empty"),
        (lambda s: s.providers.add(evolve(DESK, id="x", name="X", priority=1.5)), "priority is a whole number"),
        (lambda s: s.providers.add(evolve(DESK, id="x", name="X", priority=2**70)), "too large"),
        (lambda s: s.providers.add(evolve(DESK, id="x", name="\ud800")), "surrogate"),
        (lambda s: s.models.add(evolve(SMALL, id="x", zone="mars")), "zone is loopback, lan or internet"),
        (lambda s: s.models.add(evolve(SMALL, id="x", alias_of="x")), "no alias of itself"),
        (lambda s: s.configs.set(OptionRecord(provider_id="desk", key="k", value="1", kind="int")), "str is not int"),
        (lambda s: s.configs.set(OptionRecord(provider_id="desk", key="k", value=[float("nan")])), "JSON"),
        (lambda s: s.settings.set(SettingRecord(key="k", value={"ab"})), "JSON knows no set"),
        (
            lambda s: s.configs.set(OptionRecord(provider_id="desk", key="apiKey", value="sk-1", sensitive=True)),
            "a sensitive option holds a reference",
        ),
        (
            lambda s: s.links.add(LinkRecord(provider_id="desk", model_id="small", weight="heavy")),
            "weight cannot be 'heavy'",
        ),
        (
            lambda s: s.links.add(LinkRecord(provider_id="desk", model_id="small", max_parallel=True)),
            "maxParallel cannot be True",
        ),
        (lambda s: s.credentials.add(evolve(CREDENTIAL, token="eyJ")), "token is a secret's reference"),
        (lambda s: s.credentials.add(evolve(CREDENTIAL, cookies="cna=env:x")), "cookies is a secret's reference"),
    ],
)
def test_what_a_table_cannot_hold_is_refused_with_the_reason(
    filled: Store, act: Callable[[Any], object], said: str
) -> None:
    before = filled.read()
    with pytest.raises(InvalidConfig, match=said):
        act(filled)
    assert filled.read() == before


def test_options_are_set_read_and_unset(filled: Store) -> None:
    url = OptionRecord(provider_id="desk", key="baseURL", value="http://localhost:1234/v1", created_at=LONG_AGO)
    key = OptionRecord(provider_id="desk", key="apiKey", value="env:KEY", kind="reference", sensitive=True)
    filled.configs.set(url)
    filled.configs.set(key)
    assert filled.configs.list("desk") == (key, url)
    changed = filled.configs.set(evolve(url, value="http://loft:1234/v1", created_at=now()))
    assert changed.created_at == LONG_AGO
    assert filled.configs.get("desk", "baseURL") == changed
    assert filled.configs.unset("desk", "baseURL") == changed
    assert filled.configs.unset("desk", "baseURL") is None
    assert filled.configs.get("desk", "baseURL") is None
    assert filled.configs.clear("desk") == 1
    assert filled.configs.list("desk") == ()


def test_settings_are_set_read_and_unset(store: Store) -> None:
    active = store.settings.set(SettingRecord(key="active_provider", value="desk"))
    assert store.settings.get("active_provider") == active
    changed = store.settings.set(SettingRecord(key="active_provider", value=None))
    assert store.settings.list() == (changed,)
    assert store.settings.unset("active_provider") == changed
    assert store.settings.unset("active_provider") is None
    assert store.settings.get("active_provider") is None


def test_the_newest_credentials_that_have_not_expired_are_current(store: Store) -> None:
    at = LONG_AGO
    old = store.credentials.add(evolve(CREDENTIAL, created_at=at))
    expired = store.credentials.add(
        evolve(CREDENTIAL, created_at=at + timedelta(hours=1), expires_at=at + timedelta(hours=2))
    )
    assert store.credentials.list() == (expired, old)
    assert store.credentials.current(at + timedelta(hours=1)) == expired
    assert store.credentials.current(at + timedelta(hours=3)) == old
    assert expired.id is not None
    assert store.credentials.remove(expired.id) == expired
    assert store.credentials.add(expired) == expired
    changed = store.credentials.update(evolve(old, cookies="env:COOKIES"))
    assert store.credentials.get(changed.id or 0) == changed


def test_credentials_that_are_not_there_are_said_to_be_so(store: Store) -> None:
    assert store.credentials.current(now()) is None
    with pytest.raises(ConfigError, match="no credentials 7"):
        store.credentials.get(7)
    with pytest.raises(ConfigError, match="no credentials 7"):
        store.credentials.remove(7)
    with pytest.raises(ConfigError, match="no credentials 7"):
        store.credentials.update(evolve(CREDENTIAL, id=7))


def test_a_provider_has_one_default_at_most(filled: Store) -> None:
    filled.links.add(LinkRecord(provider_id="desk", model_id="small", default=True))
    filled.links.add(LinkRecord(provider_id="loft", model_id="small", default=True))
    filled.links.add(LinkRecord(provider_id="desk", model_id="qwen3-max", default=True))
    assert [link.default for link in filled.links.list(provider_id="desk")] == [True, False]
    filled.links.set_default("desk", "small")
    filled.links.set_default("desk", "small")
    default = filled.links.default_for("desk")
    assert default is not None
    assert default.model_id == "small"
    assert filled.links.update(evolve(default, default=False)).default is False
    assert filled.links.default_for("desk") is None
    assert filled.links.default_for("loft") is not None


def test_options_and_links_go_with_their_provider_and_links_with_their_model(filled: Store) -> None:
    filled.configs.set(OptionRecord(provider_id="desk", key="timeout", value=1))
    for provider in ("desk", "loft"):
        for model in ("qwen3-max", "small"):
            filled.links.add(LinkRecord(provider_id=provider, model_id=model))
    filled.providers.remove("desk")
    assert filled.configs.list("desk") == ()
    assert filled.links.list(provider_id="desk") == ()
    filled.models.remove("small")
    assert [link.model_id for link in filled.links.list()] == ["qwen3-max"]
    assert filled.links.remove("loft", "qwen3-max").provider_id == "loft"
    assert filled.links.remove_all("loft") == 0


def test_the_revision_is_the_number_of_the_newest_change(store: Store) -> None:
    assert store.revision == 0
    first = store.changes.add(CHANGE)
    second = store.changes.add(evolve(CHANGE, subject="loft", before={"a": [1, 2.0]}, providers=("loft",), models=()))
    assert (first.number, second.number, store.revision) == (1, 2, 2)
    assert store.changes.get(2) == second
    assert store.changes.list() == (second, first)
    assert store.changes.list(since=1) == (second,)
    assert store.changes.list(subject="desk") == (first,)
    assert store.changes.list(limit=1) == (second,)
    with pytest.raises(ConfigError, match="no change 3"):
        store.changes.get(3)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
SCALARS = st.text(st.characters(codec="utf-8")) | st.sampled_from(["007", "false", "1.0", "null", "", "\0", " x "])


def exactly(value: Json) -> str:
    """A value with the types of all its parts: 1, 1.0 and True are equal to Python."""
    return repr(value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=JSON | SCALARS | st.just(float("inf")))
def test_a_value_comes_back_as_the_very_same_value(store: Store, value: Json) -> None:
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        return  # refused, see above
    record = store.settings.set(SettingRecord(key="k", value=value))
    read = store.settings.get("k")
    assert read == record
    assert exactly(read.value) == exactly(value)
    assert read.kind == kind_of(value)


def test_everything_is_there_after_opening_again(
    open_store: Callable[[Path], Store], path: Path, tmp_path: Path
) -> None:
    with open_store(path) as store:
        store.providers.add(DESK)
        store.changes.add(CHANGE)
        before = store.read()
    with open_store(path) as store:
        assert store.read() == before
