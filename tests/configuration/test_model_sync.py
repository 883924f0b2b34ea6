from __future__ import annotations

import time

import pytest

from provider_router import Admin
from provider_router.errors import UnknownProvider
from provider_router.plugin import Capability, ModelInfo


def listed(*names: str) -> list[ModelInfo]:
    return [ModelInfo(id=name) for name in names]


@pytest.fixture
def desk(admin: Admin) -> str:
    return admin.providers.add("desk", type="wren").id


def test_what_is_listed_is_linked_and_added_where_it_is_not_there(admin: Admin, desk: str) -> None:
    admin.models.add("known", description="mine")
    diff = admin.sync.apply(desk, listed("known", "org/new:7b"))
    assert (("known", "org/new:7b"), ("org/new:7b",), True) == (diff.added, diff.created, diff.closes)
    assert ["known", "org/new:7b"] == [link.model_id for link in admin.links.models_for(desk)]
    assert "mine" == admin.models.get("known").description


def test_what_the_user_has_made_of_links_stays(admin: Admin, desk: str) -> None:
    admin.links.link(desk, "fast", create=True, remote_name="big", default=True, parameters={"top_k": 4}, weight=2)
    admin.links.link(desk, "gone", create=True)
    before = admin.links.models_for(desk)
    diff = admin.sync.apply(desk, listed("big", "new"))
    assert (("new",), ["gone"], 1, ()) == (
        diff.added,
        [link.model_id for link in diff.unlisted],
        diff.linked,
        diff.pruned,
    )
    assert before == tuple(link for link in admin.links.models_for(desk) if link.model_id != "new")


def test_a_model_of_that_name_which_is_another_there_is_left_alone(admin: Admin, desk: str) -> None:
    admin.links.link(desk, "qwen", create=True, remote_name="qwen-max")
    assert () == admin.sync.apply(desk, listed("qwen", "qwen-max")).added


def test_only_what_is_named_and_not_listed_is_pruned(admin: Admin, desk: str) -> None:
    for name in ("a", "b", "c"):
        admin.links.link(desk, name, create=True)
    diff = admin.sync.apply(desk, listed("a"), prune=["a", "b"])
    assert ("b",) == diff.pruned
    assert ["a", "c"] == [link.model_id for link in admin.links.models_for(desk)]
    assert "b" in admin.models


def test_an_embedding_model_is_not_asked_to_chat(admin: Admin, desk: str) -> None:
    admin.sync.apply(desk, [ModelInfo(id="vectors", chat=False), ModelInfo(id="m", capabilities=frozenset(Capability))])
    assert (("embeddings",), ("-chat",)) == (
        admin.models.get("vectors").capabilities,
        admin.links.get(desk, "vectors").capabilities,
    )
    assert "tools" in (admin.models.get("m").capabilities or ())
    assert () == admin.links.get(desk, "m").capabilities


def test_a_sync_is_one_change_and_none_if_nothing_is_new(admin: Admin, desk: str) -> None:
    before = admin.revision
    admin.sync.apply(desk, listed("a", "b", "c"))
    assert before + 1 == admin.revision
    admin.sync.apply(desk, listed("a", "b", "c"))
    assert before + 1 == admin.revision


def test_a_diff_changes_nothing(admin: Admin, desk: str) -> None:
    before = admin.revision
    assert ("a",) == admin.sync.diff(desk, listed("a", "a", "no id", " ")).added
    assert ("no id", " ") == admin.sync.diff(desk, listed("a", "no id", " ")).unfit
    assert (before, 0) == (admin.revision, len(admin.models))


def test_an_unknown_provider_is_told(admin: Admin) -> None:
    with pytest.raises(UnknownProvider):
        admin.sync.diff("nobody", [])


def test_a_thousand_models_more_do_not_cost_more_each(admin: Admin, desk: str) -> None:
    def seconds(first: int) -> float:
        begun = time.process_time()
        admin.sync.apply(desk, listed(*(f"m{number}" for number in range(first, first + 300))))
        return time.process_time() - begun

    seconds(0)
    early = seconds(300)
    admin.sync.apply(desk, listed(*(f"m{number}" for number in range(600, 1800))))
    assert seconds(1800) < 5 * early + 0.1
