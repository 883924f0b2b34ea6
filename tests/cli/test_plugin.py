from __future__ import annotations

import ast
from pathlib import Path

import pytest

from provider_router.plugin import Capability, Provider, option
from provider_router.plugin_check import _of_making, _of_methods, _of_options, _of_type


@pytest.mark.parametrize("name", ["openai-compatible", "provider_router_lm_studio", "provider-router-lm-studio"])
def test_the_first_party_types_keep_what_shows_without_a_backend(name: str, answer) -> None:
    assert {True} == {finding["ok"] for finding in answer("plugin", "check", name)}


def test_a_check_says_how_the_suite_is_run(prouter) -> None:
    result = prouter("plugin", "check", "lm-studio")
    assert (0, True) == (result.exit_code, "ProviderSuite" in result.stderr)


def test_an_unknown_plugin_is_told_with_those_that_there_are(prouter) -> None:
    result = prouter("plugin", "check", "lm-studoi")
    assert (1, True) == (result.exit_code, "lm-studio" in result.stderr)


def test_what_a_type_breaks_is_told() -> None:
    class Odd(Provider):
        type = "Odd Type"
        contract = 7
        default_urls = ("http://example.com",)
        capabilities = frozenset({Capability.CHAT, Capability.EMBEDDINGS})

        class Config(Provider.Config):
            password: str = option(help="")

        def __init__(self, *args: object, **options: object) -> None:
            raise RuntimeError("no")

    found = [*_of_type(Odd), *_of_methods(Odd), *_of_options(Odd), *_of_making(Odd)]
    broken = " ".join(finding.what for finding in found if finding.ok is False)
    parts = ("contract 7", "Odd Type", "not on this machine", "embed() is missing", "chat() is missing", "password")
    assert [] == [part for part in (*parts, "RuntimeError: no") if part not in broken]


def test_a_new_plugin_is_a_whole_package(answer, tmp_path: Path) -> None:
    folder = tmp_path / "grey"
    written = answer("plugin", "new", "grey-heron", "--folder", str(folder))
    assert ("grey-heron", "provider_router_grey_heron") == (written["type"], written["package"])
    assert {"pyproject.toml", "README.md", "tests/test_grey_heron.py"} <= set(written["files"])
    for file in folder.rglob("*.py"):
        ast.parse(file.read_text(encoding="utf-8"))
    assert "class GreyHeron(" in (folder / "src/provider_router_grey_heron/__init__.py").read_text(encoding="utf-8")
    assert "$ pip install" in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["Heron", "a--b", "1x", "he ron"])
def test_a_name_that_will_not_do_is_refused(prouter, name: str) -> None:
    assert 1 == prouter("plugin", "new", name).exit_code


def test_a_folder_that_is_there_is_left_alone(prouter, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    result = prouter("plugin", "new", "heron", "--folder", str(tmp_path))
    assert (1, True) == (result.exit_code, "--folder" in result.stderr)
    assert ["mine.txt"] == [path.name for path in tmp_path.iterdir() if path.is_file()]
