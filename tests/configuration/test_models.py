"""admin.models: what can be asked for by name, aliases and fallbacks without circles."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_router.configuration.admin import Admin
from provider_router.configuration.models import _circle
from provider_router.errors import AlreadyExists, ConfigError, InvalidConfig, UnknownModel
from provider_router.store import ChangeRecord, ModelRecord

Changes = Callable[[], tuple[ChangeRecord, ...]]


def test_an_added_model_is_there(admin: Admin) -> None:
    record = admin.models.add("qwen3-max", capabilities=["chat", "tools", "chat"], zone="lan")
    assert admin.models.get("qwen3-max") == record
    assert (record.name, record.capabilities, record.fallbacks) == ("qwen3-max", ("chat", "tools"), ())
    assert "qwen3-max" in admin.models
    assert len(admin.models) == 1


@pytest.mark.parametrize("id", ["Qwen/Qwen3-30B:A3B@q4_k_m", "hf.co/unsloth/x", "gpt-4.1", "~x", "モデル"])
def test_ids_as_backends_write_them_will_do(admin: Admin, id: str) -> None:
    assert admin.models.add(id).id == id


@pytest.mark.parametrize("id", ["", "-m", "a b", "a\tb", "a\n", "x" * 201, 7])
def test_ids_that_no_backend_has_are_refused(admin: Admin, id: str) -> None:
    with pytest.raises(InvalidConfig, match="id: "):
        admin.models.add(id)


def test_every_problem_is_told_at_once(admin: Admin) -> None:
    with pytest.raises(InvalidConfig) as caught:
        admin.models.add("a b", name="", description=1, capabilities="chatting", zone="moon")  # type: ignore[arg-type]
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "id",
        "name",
        "description",
        "capabilities",
        "zone",
    ]
    assert "json_schema" in str(caught.value)
    assert len(admin.models) == 0


def test_a_taken_id_is_refused(admin: Admin) -> None:
    admin.models.add("a")
    with pytest.raises(AlreadyExists):
        admin.models.add("a")


def test_an_unknown_model_is_told_with_near_ones(admin: Admin) -> None:
    with pytest.raises(UnknownModel, match="there is none yet"):
        admin.models.get("qwen3")
    admin.models.add("qwen3-max")
    with pytest.raises(UnknownModel, match="did you mean qwen3-max"):
        admin.models.edit("qwen3-maxx", zone="lan")


def test_the_list_can_be_filtered_by_capability(admin: Admin) -> None:
    admin.models.add("a", capabilities=["vision"])
    admin.models.add("b")
    assert [record.id for record in admin.models.list()] == ["a", "b"]
    assert [record.id for record in admin.models.list(capability="vision")] == ["a"]


def test_an_edit_changes_what_is_given_and_leaves_the_rest(admin: Admin, changes: Changes) -> None:
    admin.models.add("a", description="old", capabilities=["chat"])
    admin.models.add("b")
    edited = admin.models.edit("a", name="A", capabilities=None, fallbacks=["b"], zone="lan")
    assert (edited.name, edited.description, edited.capabilities) == ("A", "old", None)
    assert (edited.fallbacks, edited.zone) == (("b",), "lan")
    assert changes()[-1].what == "changed name, zone, capabilities, fallbacks of model a"
    assert (changes()[-1].providers, changes()[-1].models) == ((), ("a",))
    assert admin.models.edit("a", zone=None, fallbacks=()).zone is None


def test_an_edit_that_changes_nothing_is_no_change(admin: Admin) -> None:
    before = admin.models.add("a")
    assert admin.models.edit("a", name="a") == before
    assert admin.revision == 1


def test_aliases_and_fallbacks_need_their_models(admin: Admin) -> None:
    admin.models.add("qwen3-max")
    with pytest.raises(UnknownModel, match="did you mean qwen3-max"):
        admin.models.add("fast", alias_of="qwen3-maxx")
    with pytest.raises(UnknownModel, match="Add it first"):
        admin.models.edit("qwen3-max", fallbacks=["nothing-like-it"])
    assert len(admin.models) == 1


def test_a_circle_is_refused_and_named(admin: Admin) -> None:
    admin.models.add("c")
    admin.models.add("b", fallbacks=["c"])
    admin.models.add("a", alias_of="b")
    with pytest.raises(InvalidConfig, match="fallbacks: a circle, c → a → b → c"):
        admin.models.edit("c", fallbacks=["a"])
    with pytest.raises(InvalidConfig, match="alias_of: a circle, c → c"):
        admin.models.edit("c", alias_of="c")
    assert admin.models.get("c").fallbacks == ()


edges = st.dictionaries(st.sampled_from("abcde"), st.lists(st.sampled_from("abcdef"), max_size=3), max_size=5)


@given(edges)
def test_a_circle_is_found_exactly_when_a_model_reaches_itself(edges: dict[str, list[str]]) -> None:
    models = {one: ModelRecord(id=one, name=one, fallbacks=tuple(to)) for one, to in edges.items()}
    reached = set(edges.get("a", ()))
    for _ in edges:
        reached |= {after for one in reached for after in edges.get(one, ())}
    circle = _circle("a", models)
    assert bool(circle) == ("a" in reached)
    assert all(after in edges[one] for one, after in pairwise(circle))


def test_a_removed_model_takes_its_links_along(admin: Admin, desk: str, changes: Changes) -> None:
    admin.links.link(desk, "a", create=True)
    admin.models.remove("a")
    assert "a" not in admin.models
    assert admin.links.list() == ()
    before = changes()[-1].before
    assert isinstance(before, dict)
    assert sorted(before) == ["link", "model"]


def test_a_model_that_others_lead_to_stays(admin: Admin) -> None:
    admin.models.add("a")
    admin.models.add("b", alias_of="a")
    with pytest.raises(ConfigError, match="still needed by b"):
        admin.models.remove("a")
    admin.models.remove("b")
    admin.models.remove("a")
    assert len(admin.models) == 0
