from __future__ import annotations

import pytest

from provider_router import Admin
from provider_router.backends import EVERY_PATH, Backend, status


def test_a_sync_shows_the_difference_and_links_what_is_new(prouter, admin: Admin, desk: Backend) -> None:
    admin.links.link("desk", "qwen3", create=True, default=True, parameters={"top_k": 4})
    admin.links.link("desk", "gone", create=True)
    result = prouter("model", "sync", "desk")
    assert 0 == result.exit_code
    assert "desk: lists 2 models" in result.stderr
    assert ["desk: 1 new, 1 not listed any more", "  + pelican-7b"] == result.stdout.splitlines()[:2]
    assert "    gone: stays; --prune removes it" in result.stdout
    assert "linked 1 model" in result.stdout
    assert ["gone", "pelican-7b", "qwen3"] == [link.model_id for link in admin.links.models_for("desk")]
    assert ("qwen3", {"top_k": 4}) == (
        admin.links.default_for("desk").model_id,
        admin.links.get("desk", "qwen3").parameters,
    )
    assert "nothing new" in prouter("model", "sync", "desk").stdout.replace("1 not listed any more", "nothing new")


def test_a_dry_run_changes_nothing(prouter, admin: Admin, desk: Backend) -> None:
    assert "takes linked models only" in prouter("model", "sync", "--dry-run").stdout
    admin.links.link("desk", "gone", create=True)
    before = admin.revision
    result = prouter("model", "sync", "--dry-run", "--prune")
    assert (0, before) == (result.exit_code, admin.revision)
    assert "would link 2 models, remove 1 link" in result.stdout


def test_nothing_is_pruned_unasked(prouter, admin: Admin, desk: Backend) -> None:
    admin.links.link("desk", "gone", create=True, default=True)
    before = admin.revision
    result = prouter("model", "sync", "--prune")
    assert (2, before) == (result.exit_code, admin.revision)
    assert "--yes" in result.stderr
    assert "- gone (the default)" in result.stdout
    assert "removed 1 link" in prouter("model", "sync", "--prune", "--yes").stdout
    assert ["pelican-7b", "qwen3"] == [link.model_id for link in admin.links.models_for("desk")]


def test_a_backend_that_lists_nothing_loses_nothing(prouter, admin: Admin) -> None:
    with Backend(models=()) as backend:
        admin.providers.add("bare", type="openai-compatible", config={"baseURL": backend.base_url})
        admin.links.link("bare", "mine", create=True)
        result = prouter("model", "sync", "--prune", "--yes")
    assert "bare lists nothing at all" in result.stderr
    assert ("bare", "mine") in admin.links


def test_a_dead_provider_stops_no_other(prouter, admin: Admin, desk: Backend, loft: Backend) -> None:
    desk.kill()
    result = prouter("model", "sync")
    assert 1 == result.exit_code
    assert "desk cannot be reached: refused" in result.stderr
    assert "1 provider could not be asked" in result.stdout
    assert ("loft", "qwen3") in admin.links


def test_json_has_a_row_for_each_provider(answer, prouter, admin: Admin, desk: Backend, loft: Backend) -> None:
    loft.script(status(500), path=EVERY_PATH)
    result = prouter("model", "sync", "--json")
    assert 1 == result.exit_code
    admin.providers.disable("loft")
    (row,) = answer("model", "sync")
    assert ("desk", 2, [], [], None) == (row["provider"], row["listed"], row["added"], row["pruned"], row["error"])
    assert '"added": [\n      "qwen3"' in result.stdout
    assert "answered 500" in result.stdout


def test_an_unknown_provider_is_told_with_a_near_one(prouter, desk: Backend) -> None:
    result = prouter("model", "sync", "dask")
    assert (1, True) == (result.exit_code, "desk" in result.stderr)


def test_without_a_provider_nothing_is_synced(prouter, admin: Admin) -> None:
    result = prouter("model", "sync")
    assert (0, True) == (result.exit_code, "No provider is enabled" in result.stderr)


@pytest.mark.posix
def test_on_a_terminal_a_pruning_is_asked_about(dialogue, admin: Admin, desk: Backend) -> None:
    admin.links.link("desk", "gone", create=True)
    typed = dialogue("model", "sync", "desk", "--prune")
    typed.reads("Remove the links of desk to gone?")
    typed.types("n")
    assert 0 == typed.ends()[0]
    assert ("desk", "gone") in admin.links
