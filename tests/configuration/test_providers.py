"""admin.providers: records, checks, change records."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_router.configuration.admin import Admin
from provider_router.configuration.names import provider_id_problems
from provider_router.errors import (
    AlreadyExists,
    ConfigError,
    InvalidConfig,
    UnknownProvider,
    UnknownProviderType,
)
from provider_router.providers.plugins import Plugins
from provider_router.store import ChangeRecord

URL = "http://192.168.0.22:1234/v1"
Changes = Callable[[], tuple[ChangeRecord, ...]]


def test_an_added_provider_is_there_with_its_options(admin: Admin) -> None:
    record = admin.providers.add(
        "desk", name="The desk", type="pelican", priority=10, description="under the lamp", config={"base_url": URL}
    )
    assert admin.providers.get("desk") == record
    assert (record.name, record.priority, record.enabled) == ("The desk", 10, True)
    assert admin.providers.config("desk").all() == {"baseURL": URL}
    assert "desk" in admin.providers
    assert len(admin.providers) == 1


def test_the_name_is_the_id_unless_given(admin: Admin) -> None:
    assert admin.providers.add("wren-1", type="wren").name == "wren-1"


def test_every_problem_of_a_new_provider_is_told_at_once_and_nothing_is_kept(admin: Admin) -> None:
    with pytest.raises(InvalidConfig) as caught:
        admin.providers.add("Desk 1", name=" ", type="pelican", priority=True, config={"baseurl": URL, "timeout": 20})
    fields = [problem.partition(":")[0] for problem in caught.value.problems]
    assert fields == ["id", "name", "priority", "baseurl", "timeout", "baseURL"]
    assert "desk-1 would do" in caught.value.problems[0]
    assert "did you mean baseURL?" in caught.value.problems[3]
    assert "write 20s or 20ms" in caught.value.problems[4]
    assert (len(admin.providers), admin.revision) == (0, 0)


@pytest.mark.parametrize("id", ["", "-desk", "desk/1", "Desk", "a" * 64, "dé", "a b", "a\n", ".x", None, 7])
def test_an_id_that_cannot_stand_in_a_url_is_refused(admin: Admin, id: str) -> None:
    with pytest.raises(InvalidConfig, match="id: "):
        admin.providers.add(id, type="wren")


@given(st.from_regex(r"\A[a-z0-9][a-z0-9._-]{0,62}\Z"))
def test_any_id_of_the_permitted_letters_will_do(id: str) -> None:
    assert list(provider_id_problems(id)) == []


@given(st.text())
def test_the_id_that_is_proposed_instead_will_do(id: str) -> None:
    for problem in provider_id_problems(id):
        if problem.endswith("would do"):
            assert list(provider_id_problems(problem.removesuffix(" would do").rpartition(" ")[2])) == []


def test_a_taken_id_or_name_is_refused(admin: Admin, desk: str) -> None:
    with pytest.raises(AlreadyExists, match="provider desk already"):
        admin.providers.add(desk, type="wren")
    with pytest.raises(AlreadyExists, match="named desk already"):
        admin.providers.add("loft", name="desk", type="wren")
    assert len(admin.providers) == 1


def test_a_type_that_is_not_installed_is_refused_with_near_ones(admin: Admin) -> None:
    with pytest.raises(UnknownProviderType, match="pelican"):
        admin.providers.add("desk", type="pelikan")


def test_an_unknown_provider_is_told_with_near_ones(admin: Admin, desk: str) -> None:
    for ask in (admin.providers.get, admin.providers.remove, admin.providers.enable, admin.providers.config):
        with pytest.raises(UnknownProvider, match="did you mean desk"):
            ask("desc")
    with pytest.raises(UnknownProvider, match="there is desk"):
        admin.providers.get("something-else")


def test_the_list_is_ordered_by_priority_and_can_be_filtered(admin: Admin, desk: str) -> None:
    admin.providers.add("attic", type="wren", priority=5)
    admin.providers.add("cellar", type="wren", enabled=False)
    assert [record.id for record in admin.providers.list()] == ["attic", "cellar", "desk"]
    assert [record.id for record in admin.providers.list(type="wren", enabled=True)] == ["attic"]


def test_an_edit_changes_what_is_given_and_leaves_the_rest(admin: Admin, desk: str) -> None:
    admin.providers.edit(desk, description="old")
    edited = admin.providers.edit(desk, name="Desk", priority=7, config={"timeout": "30s"})
    assert (edited.name, edited.priority, edited.description, edited.dropped_secrets) == ("Desk", 7, "old", ())
    assert admin.providers.config(desk).all() == {"baseURL": URL, "timeout": 30000}
    assert admin.providers.edit(desk, description=None).description is None


def test_an_edit_that_changes_nothing_is_no_change(admin: Admin, desk: str) -> None:
    revision = admin.revision
    admin.providers.edit(desk, priority=0, config={"baseURL": URL + "/"})
    assert admin.revision == revision


def test_an_edit_with_a_fault_changes_nothing(admin: Admin, desk: str) -> None:
    with pytest.raises(InvalidConfig, match="timeout: 20"):
        admin.providers.edit(desk, priority=3, config={"timeout": 20})
    with pytest.raises(InvalidConfig, match="enabled: 'no' is neither true nor false"):
        admin.providers.edit(desk, enabled="no")  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match=r"description: 7 has to be a text"):
        admin.providers.edit(desk, description=7)  # type: ignore[arg-type]
    assert (admin.providers.get(desk).priority, admin.revision) == (0, 1)


def test_another_ones_name_is_refused(admin: Admin, desk: str) -> None:
    admin.providers.add("loft", type="wren")
    with pytest.raises(AlreadyExists, match="choose another name"):
        admin.providers.edit("loft", name="desk")


def test_enable_disable_and_priority(admin: Admin, desk: str) -> None:
    assert admin.providers.disable(desk).enabled is False
    assert admin.providers.enable(desk).enabled is True
    assert admin.providers.set_priority(desk, -4).priority == -4


def test_enabling_what_is_on_is_a_change_for_it_resets_the_health(admin: Admin, desk: str, changes: Changes) -> None:
    admin.providers.enable(desk)
    assert changes()[-1].what == "enabled provider desk"
    assert changes()[-1].providers == ("desk",)


def test_the_active_provider_is_removed_by_force_only_and_then_none_is_active(
    admin: Admin, desk: str, changes: Changes
) -> None:
    admin.settings.set_active(desk)
    with pytest.raises(ConfigError, match="--force"):
        admin.providers.remove(desk)
    assert desk in admin.providers
    admin.providers.remove(desk, force=True)
    assert desk not in admin.providers
    assert admin.settings.active is None
    before = changes()[-1].before
    assert isinstance(before, dict)
    assert sorted(before) == ["option", "provider", "setting"]


def test_a_change_record_holds_every_row_that_was_touched(admin: Admin, desk: str, changes: Changes) -> None:
    admin.links.link(desk, "qwen3-max", create=True)
    admin.providers.edit(desk, priority=3, config={"timeout": "2m"})
    admin.providers.remove(desk)
    added, _, edited, removed = changes()
    assert (added.who, added.what, added.noun, added.subject) == (
        "tests",
        "added provider desk of type pelican",
        "provider",
        "desk",
    )
    assert added.before is None
    assert edited.what == "changed priority, timeout of provider desk"
    assert isinstance(edited.before, dict)
    assert isinstance(edited.after, dict)
    assert [row["priority"] for row in edited.before["provider"]] == [0]  # type: ignore[union-attr, call-overload, index]
    assert sorted(edited.after) == ["option", "provider"]
    assert isinstance(removed.before, dict)
    assert {noun: len(rows) for noun, rows in removed.before.items()} == {"provider": 1, "option": 2, "link": 1}  # type: ignore[arg-type]
    assert removed.after is None
    assert (removed.providers, removed.models) == (("desk",), ())


def test_providers_of_a_type_that_is_not_installed_can_be_listed_switched_and_removed(
    admin: Admin, desk: str, open_admin: Callable[..., Admin]
) -> None:
    admin.providers.config(desk).set_many({"apiKey": "sk-brown-pelican", "headers": {"X-Key": "sk-header-pelican"}})
    bare = open_admin(types=Plugins())
    assert [record.id for record in bare.providers.list()] == [desk]
    shown = bare.providers.config(desk).all()
    assert shown == {"baseURL": URL, "apiKey": "***", "headers": "***"}
    assert bare.providers.edit(desk, priority=2).priority == 2
    assert bare.providers.disable(desk).enabled is False
    with pytest.raises(UnknownProviderType):
        bare.providers.config(desk).set("timeout", "30s")
    assert bare.providers.config(desk).unset("apiKey").touched == ("apiKey",)
    assert bare.providers.config(desk).clear().touched == ("baseURL", "headers")
    bare.providers.remove(desk)
    assert len(bare.providers) == 0
