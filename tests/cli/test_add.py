from __future__ import annotations

import json

import pytest

from provider_router import Admin
from provider_router.backends import Backend, Model


def test_what_runs_at_an_address_is_added(prouter, admin: Admin) -> None:
    with Backend(models=("a", "b"), dialect="lm-studio") as backend:
        result = prouter("add", backend.url)
        assert 0 == result.exit_code
        assert result.stdout.startswith("added lm-studio: ok, ")
        assert f"LM Studio at {backend.base_url}: a, b" in result.stderr
        assert "prouter chat" in result.stderr
        assert {"baseURL": backend.base_url} == admin.providers.config("lm-studio").all()
        assert 0 == prouter("chat", "hi").exit_code
    assert () == admin.links.list()


def test_an_address_needs_no_scheme_and_the_type_is_found(answer, prouter) -> None:
    with Backend(models=("a",)) as backend:
        result = prouter("add", f"127.0.0.1:{backend.port}", "--json", "--id", "x", "--name", "X", "--priority", "3")
    (added,) = json.loads(result.stdout)
    assert ("x", "X", 3, "openai-compatible") == tuple(added[key] for key in ("id", "name", "priority", "type"))
    assert (["a"], [], True) == (added["models"], added["linked"], added["check"]["ok"])


def test_its_models_are_linked_on_request(prouter, admin: Admin) -> None:
    models = [Model(id="a"), Model(id="embed-b", type="embeddings")]
    with Backend(models=models, dialect="lm-studio") as backend:
        result = prouter("add", backend.url, "--link")
    assert "linked a\n" in result.stdout
    assert ["a"] == [link.model_id for link in admin.links.list()]


def test_many_models_are_not_all_told(prouter) -> None:
    with Backend(models=[f"m{number}" for number in range(12)]) as backend:
        assert "m7 and 4 more" in prouter("add", backend.url).stderr


def test_a_key_can_be_given_along(prouter, admin: Admin) -> None:
    with Backend(api_key="sk-1") as backend:
        result = prouter("add", backend.url, "--stdin", "apiKey", input="sk-1")
        assert "ok, " in result.stdout
        assert "it wants a key" in result.stderr
        result = prouter("add", backend.url)
        assert (1, "") == (result.exit_code, result.stdout)
        assert "is there already: openai-compatible" in result.stderr
        result = prouter("add", backend.url, "--id", "again")
        assert (0, "added again\n") == (result.exit_code, result.stdout)
        assert "apiKey --stdin" in result.stderr


def test_nothing_at_an_address_is_told_with_the_other_way(prouter, admin: Admin) -> None:
    result = prouter("add", "127.0.0.1:9")
    assert (1, "") == (result.exit_code, result.stdout)
    assert "prouter provider add --type TYPE --id ID --config baseURL=http://127.0.0.1:9" in result.stderr
    assert 0 == admin.revision


@pytest.mark.parametrize("address", ["ftp://desk", "http://desk:1#x", "http://", "http://de sk"])
def test_what_is_no_address_is_told(prouter, address: str) -> None:
    result = prouter("add", address)
    assert 1 == result.exit_code
    assert f"Error: {address} is no address of a backend:\n  - baseURL" in result.stderr


def test_a_taken_id_is_told(prouter, admin: Admin, desk: Backend) -> None:
    assert "already" in prouter("add", desk.url, "--id", "desk").stderr


@pytest.mark.posix
def test_on_a_terminal_it_offers_an_id_a_key_and_links(dialogue, admin: Admin) -> None:
    with Backend(models=("a", "b"), api_key="sk-1") as backend:
        typed = dialogue("add", backend.url)
        typed.reads("apiKey, API key, sent as a bearer token (Enter: later): ")
        typed.types("sk-1")
        typed.reads("[openai-compatible]: ")
        typed.types("desk")
        code, seen = typed.ends()
        assert (0, "sk-1" in seen) == (code, False)
        assert "added desk: ok, " in typed.stdout
    with Backend(models=("a", "b")) as backend:
        typed = dialogue("add", backend.url, "--id", "loft")
        typed.reads("Link these 2 models, so that nothing else is asked of loft? [y/N]: ")
        typed.types("yes")
        code, seen = typed.ends()
        assert "linked a, b" in typed.stdout
    assert ["a", "b"] == [link.model_id for link in admin.links.models_for("loft")]


def test_a_rejected_key_is_told_with_what_to_do_next(prouter, admin: Admin) -> None:
    with Backend(models=("a",), api_key="sk-right") as backend:
        result = prouter("add", backend.url, "--config", "apiKey=sk-wrong", "--id", "x")
        assert (0, "added x\n") == (result.exit_code, result.stdout)
        assert "prouter provider config x apiKey --stdin" in result.stderr
        assert "prouter test x" in result.stderr
        assert "prouter chat" not in result.stderr


def test_looking_at_another_server_says_nothing_of_lm_studio(process, admin: Admin) -> None:
    with Backend(models=("a",)) as backend:
        assert "LM Studio" not in process("add", backend.url).stderr


@pytest.mark.posix
def test_on_a_terminal_the_key_may_come_later(dialogue, admin: Admin) -> None:
    with Backend(api_key="sk-1") as backend:
        typed = dialogue("add", backend.url, "--id", "desk")
        typed.reads("(Enter: later): ")
        typed.types("")
        code, seen = typed.ends()
    assert 0 == code
    assert "prouter provider config desk apiKey --stdin" in seen
    assert "apiKey" not in admin.providers.config("desk")
