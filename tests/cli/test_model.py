from __future__ import annotations

import pytest

from provider_router import Admin
from provider_router.backends import Backend


def test_models_are_added_shown_edited_and_removed(prouter, answer, admin: Admin) -> None:
    assert "prouter model link PROVIDER big" in prouter("model", "add", "big", "--capability", "tools").stderr
    prouter("model", "add", "small", "--zone", "lan", "--fallback", "big", "--description", "quick", "--name", "Small")
    assert "" == prouter("model", "add", "fast", "--alias-of", "small").stderr
    text = prouter("model", "list").stdout
    for part in ("alias of small", "then big", "stays within lan", "tools"):
        assert part in text
    assert ["big"] == [model["id"] for model in answer("model", "list", "--capability", "tools")]
    prouter("model", "edit", "small", "--zone", "", "--fallback", "", "--description", "", "--name", "S")
    record = admin.models.get("small")
    assert (None, (), None, "S") == (record.zone, record.fallbacks, record.description, record.name)
    prouter("model", "edit", "big", "--capability", "")
    assert admin.models.get("big").capabilities is None
    assert 2 == prouter("model", "edit", "big").exit_code
    assert 2 == prouter("model", "remove", "big").exit_code
    assert "fast" in prouter("model", "remove", "small", "--yes").stderr
    assert {"removed": "big"} == answer("model", "remove", "big", "--yes")


def test_no_model_is_no_error(prouter, answer) -> None:
    result = prouter("model", "list")
    assert (0, "") == (result.exit_code, result.stdout)
    assert "prouter plan MODEL" in result.stderr
    assert [] == answer("model", "list")


def test_a_link_tells_that_it_closes_its_provider(prouter, admin: Admin, desk: Backend) -> None:
    assert "prouter model add" in prouter("model", "link", "desk", "qwen3").stderr
    result = prouter("model", "link", "desk", "qwen3", "--create", "--remote-name", "q3", "--default")
    assert "linked models only" in result.stderr
    assert ("q3", True) == (admin.links.get("desk", "qwen3").remote_name, admin.links.get("desk", "qwen3").default)
    assert "desk (q3, default)" in prouter("model", "list", "--provider", "desk").stdout
    assert "any model name now" in prouter("model", "unlink", "desk", "qwen3").stderr


def test_a_link_has_settings_of_its_own(prouter, admin: Admin, desk: Backend) -> None:
    options = ["--capability", "-vision", "--context-length", "8192", "--max-parallel", "2", "--weight", "2.5"]
    options += ["--parameter", "top_k=40", "--parameter", "stop=END", "--limit", "timeout=2m", "--input-price", "0.5"]
    assert 0 == prouter("model", "link", "desk", "qwen3", "--create", *options, "--output-price", "1").exit_code
    link = admin.links.get("desk", "qwen3")
    assert ({"top_k": 40, "stop": "END"}, ("-vision",), 8192) == (
        link.parameters,
        link.capabilities,
        link.context_length,
    )
    assert 120000 == link.extra["timeout"]
    assert "changed" in prouter("model", "link", "desk", "qwen3", "--weight", "1", "--no-default").stdout
    assert 1.0 == admin.links.get("desk", "qwen3").weight
    assert "already" in prouter("model", "link", "desk", "qwen3").stdout
    result = prouter("model", "link", "desk", "qwen3", "--limit", "timeout=20")
    assert (1, True) == (result.exit_code, "20s or 20ms" in result.stderr)


def test_the_default_of_a_provider_is_shown_and_set(prouter, answer, admin: Admin, desk: Backend) -> None:
    assert {"provider": "desk", "default": None} == answer("model", "default", "desk")
    assert "not linked" in prouter("model", "default", "desk", "qwen3").stderr
    admin.links.link("desk", "qwen3", create=True)
    assert "qwen3\n" == prouter("model", "default", "desk", "qwen3").stdout


def test_all_links_go_at_once(prouter, answer, admin: Admin, desk: Backend) -> None:
    for model in ("a", "b"):
        admin.links.link("desk", model, create=True)
    assert 2 == prouter("model", "unlink", "desk").exit_code
    assert {"provider": "desk", "unlinked": ["a", "b"]} == answer("model", "unlink", "desk", "--all")
    assert "nothing" in prouter("model", "unlink", "desk", "--all").stdout


@pytest.mark.posix
def test_on_a_terminal_a_removal_is_asked_about(dialogue, admin: Admin, desk: Backend) -> None:
    admin.links.link("desk", "qwen3", create=True)
    for said, left in (("n", True), ("y", False)):
        typed = dialogue("model", "remove", "qwen3")
        typed.reads("Remove qwen3 with its links to desk? [y/N]: ")
        typed.types(said)
        assert 0 == typed.ends()[0]
        assert left == ("qwen3" in admin.models)


def test_an_alias_of_nothing_does_not_name_itself(prouter) -> None:
    said = prouter("model", "add", "fast", "--alias-of", "fest").stderr
    assert "There is no model 'fest': there is none yet. Add it first." in said


def test_a_provider_that_opens_again_is_told(prouter, admin: Admin, desk: Backend) -> None:
    for model in ("a", "b"):
        admin.links.link("desk", model, create=True)
    assert "desk takes any model name now" in prouter("model", "unlink", "desk", "--all").stderr
    assert "" == prouter("model", "unlink", "desk", "--all", "--json").stderr


def test_an_empty_list_says_why(prouter) -> None:
    assert "No model is configured." in prouter("model", "list").stderr
    assert "No such model is configured." in prouter("model", "list", "--capability", "tools").stderr
    assert "'tool' is not one of chat," in prouter("model", "list", "--capability", "tool").stderr
