"""admin.links: which provider serves which model, and how."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from provider_router.configuration.admin import Admin
from provider_router.errors import AlreadyExists, ConfigError, InvalidConfig, UnknownModel, UnknownProvider
from provider_router.limits import ROUTING
from provider_router.store import ChangeRecord

Changes = Callable[[], tuple[ChangeRecord, ...]]


@pytest.fixture
def model(admin: Admin) -> str:
    return admin.models.add("qwen3-max").id


def test_a_link_keeps_what_it_was_given(admin: Admin, desk: str, model: str) -> None:
    link = admin.links.link(
        desk,
        model,
        default=True,
        remote_name="qwen/qwen3-max@q4",
        weight=2,
        context_length=32768,
        capabilities=["tools", "-vision"],
        parameters={"top_k": 40},
        input_price=0.5,
        output_price=2,
        max_parallel=3,
        limits={"first_token_timeout": "2m", "idleTimeout": "500ms", "maxAnswerBytes": 1024},
    )
    assert link.capabilities == ("+tools", "-vision")
    assert link.extra == {"firstTokenTimeout": 120000, "idleTimeout": "500ms", "maxAnswerBytes": 1024}
    assert ROUTING["idleTimeout"].parse(link.extra["idleTimeout"]) == 0.5
    kept = admin.links.get(desk, model)
    assert (kept.default, kept.remote_name, kept.weight, kept.parameters) == (
        True,
        "qwen/qwen3-max@q4",
        2,
        {"top_k": 40},
    )
    assert (desk, model) in admin.links
    assert (desk, "other") not in admin.links
    assert desk not in admin.links


def test_every_problem_of_a_link_is_told_at_once(admin: Admin, desk: str, model: str) -> None:
    faults: dict[str, Any] = {
        "default": "yes",
        "remote_name": "a b",
        "weight": 0,
        "context_length": 1.5,
        "max_parallel": True,
        "input_price": -1,
        "output_price": math.inf,
        "capabilities": ["+flying", "+tools", "-tools"],
        "parameters": {"messages": []},
    }
    with pytest.raises(InvalidConfig) as caught:
        admin.links.link(desk, model, **faults)
    told = [problem.partition(":")[0] for problem in caught.value.problems]
    assert sorted(told) == sorted([*faults, "capabilities"])
    assert (desk, model) not in admin.links


def test_limits_that_will_not_do_are_refused(admin: Admin, desk: str, model: str) -> None:
    with pytest.raises(InvalidConfig, match="did you mean idleTimeout") as caught:
        admin.links.link(desk, model, limits={"idleTimout": "3s", "timeout": 20})
    assert "timeout: 20: seconds or milliseconds?" in caught.value.problems[1]


def test_parameters_that_are_no_json_are_refused(admin: Admin, desk: str, model: str) -> None:
    with pytest.raises(InvalidConfig):
        admin.links.link(desk, model, parameters={"stop": {"a", "b"}})  # type: ignore[dict-item]
    assert (desk, model) not in admin.links


def test_an_unknown_model_is_linked_only_when_it_may_be_created(admin: Admin, desk: str, changes: Changes) -> None:
    admin.models.add("qwen3-max")
    with pytest.raises(UnknownModel, match="did you mean qwen3-max"):
        admin.links.link(desk, "qwen3-maxx")
    with pytest.raises(InvalidConfig, match="model: 'a b'"):
        admin.links.link(desk, "a b", create=True)
    admin.links.link(desk, "Qwen/qwen3:8b", create=True)
    assert "Qwen/qwen3:8b" in admin.models
    assert (changes()[-1].providers, changes()[-1].models) == ((desk,), ("Qwen/qwen3:8b",))


def test_a_link_with_a_fault_creates_no_model(admin: Admin, desk: str) -> None:
    with pytest.raises(InvalidConfig):
        admin.links.link(desk, "new", weight=-1, create=True)
    assert "new" not in admin.models


def test_an_unknown_provider_is_refused_with_near_ones(admin: Admin, desk: str, model: str) -> None:
    for ask in (
        lambda: admin.links.link("desc", model),
        lambda: admin.links.models_for("desc"),
        lambda: admin.links.default_for("desc"),
        lambda: admin.links.unlink("desc", model),
    ):
        with pytest.raises(UnknownProvider, match="did you mean desk"):
            ask()


def test_a_second_link_of_the_same_two_is_refused(admin: Admin, desk: str, model: str) -> None:
    admin.links.link(desk, model)
    with pytest.raises(AlreadyExists):
        admin.links.link(desk, model)


def test_the_first_link_closes_an_open_provider_and_the_last_unlink_opens_it(admin: Admin, desk: str) -> None:
    assert admin.links.link(desk, "a", create=True).closed_provider is True
    assert admin.links.link(desk, "b", create=True).closed_provider is False
    assert admin.links.unlink(desk, "a").opened_provider is False
    assert admin.links.unlink(desk, "b").opened_provider is True


@pytest.mark.parametrize("value", [True, False])
def test_a_provider_that_says_itself_whether_it_is_open_is_not_closed_by_a_link(
    admin: Admin, desk: str, value: bool
) -> None:
    admin.providers.config(desk).set("open", value)
    assert admin.links.link(desk, "a", create=True).closed_provider is False


def test_nor_is_one_for_which_the_environment_or_a_setting_says_it(
    admin: Admin, desk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("PROUTER_ROUTING_OPEN", "true")
        assert admin.links.link(desk, "a", create=True).closed_provider is False
        admin.links.unlink(desk, "a")
    admin.settings.set("routing.open", "true")
    assert admin.links.link(desk, "a").closed_provider is False


def test_a_new_default_takes_the_place_of_the_old_one(admin: Admin, desk: str, changes: Changes) -> None:
    admin.links.link(desk, "a", default=True, create=True)
    admin.links.link(desk, "b", default=True, create=True)
    default = admin.links.default_for(desk)
    assert default
    assert default.model_id == "b"
    before, after = changes()[-1].before, changes()[-1].after
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert [row["model_id"] for row in before["link"]] == ["a"]  # type: ignore[union-attr, call-overload, index]
    assert len(after["link"]) == 2  # type: ignore[arg-type]
    admin.links.set_default(desk, "a")
    assert [(link.model_id, link.default) for link in admin.links.models_for(desk)] == [("a", True), ("b", False)]
    before = changes()[-1].before
    assert isinstance(before, dict)
    assert len(before["link"]) == 2  # type: ignore[arg-type]


def test_a_default_that_cannot_be_set_is_rolled_back_once_and_says_why(admin: Admin, desk: str, path: Path) -> None:
    # The old system: its fault ran ROLLBACK twice, and the second one's error hid what had been wrong.
    for name in ("a", "b"):
        admin.links.link(desk, name, default=name == "a", create=True)
    with pytest.raises(ConfigError, match="c"):
        admin.links.set_default(desk, "c")
    with closing(sqlite3.connect(path)) as file, file:  # SQLite ends the transaction by itself
        file.execute(
            "CREATE TRIGGER no BEFORE UPDATE ON provider_models WHEN NEW.model_id = 'b' "
            "BEGIN SELECT RAISE(ROLLBACK, 'not that one'); END"
        )
    with pytest.raises(InvalidConfig, match="not that one"):
        admin.links.set_default(desk, "b")
    assert [("a", True), ("b", False)] == [(link.model_id, link.default) for link in admin.links.models_for(desk)]
    admin.links.link(desk, "d", default=True, create=True)  # and nothing is left half done
    default = admin.links.default_for(desk)
    assert "d" == (default and default.model_id)


def test_an_edit_changes_what_is_given_and_leaves_the_rest(admin: Admin, desk: str, model: str) -> None:
    admin.links.link(desk, model, weight=2, limits={"timeout": "30s", "idleTimeout": "3s"})
    edited = admin.links.edit(desk, model, remote_name="x", capabilities="tools", limits={"timeout": None})
    assert (edited.weight, edited.remote_name, edited.capabilities) == (2, "x", ("+tools",))
    assert edited.extra == {"idleTimeout": 3000}
    revision = admin.revision
    admin.links.edit(desk, model, weight=2)
    assert admin.revision == revision
    with pytest.raises(InvalidConfig, match="weight"):
        admin.links.edit(desk, model, weight=-2)


def test_links_are_found_from_both_ends(admin: Admin, desk: str, model: str) -> None:
    admin.providers.add("nest", type="wren")
    admin.links.link(desk, model)
    admin.links.link("nest", model)
    assert [link.provider_id for link in admin.links.providers_for(model)] == [desk, "nest"]
    assert [link.model_id for link in admin.links.models_for(desk)] == [model]
    assert len(admin.links.list()) == 2
    with pytest.raises(UnknownModel):
        admin.links.providers_for("qwen3-maxx")


def test_what_is_not_linked_cannot_be_unlinked(admin: Admin, desk: str, model: str) -> None:
    admin.links.link(desk, model)
    with pytest.raises(ConfigError, match="did you mean qwen3-max"):
        admin.links.unlink(desk, "qwen3-maxx")


def test_unlink_all_removes_every_link_of_a_provider(admin: Admin, desk: str, changes: Changes) -> None:
    admin.links.link(desk, "a", create=True)
    admin.links.link(desk, "b", create=True)
    assert [link.model_id for link in admin.links.unlink_all(desk)] == ["a", "b"]
    assert admin.links.models_for(desk) == ()
    revision = admin.revision
    assert admin.links.unlink_all(desk) == ()
    assert admin.revision == revision
    assert changes()[-1].what == "unlinked every model from provider desk"
