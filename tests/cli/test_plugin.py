from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provider_router.plugin import Capability, Provider, option
from provider_router.plugin_check import _of_making, _of_methods, _of_options, _of_type, check_plugin
from provider_router.providers.plugins import Plugins


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
        capabilities = frozenset({Capability.CHAT, Capability.EMBEDDINGS, "sing"})

        class Config(Provider.Config):
            password: str = option(help="")
            speed: int = option("fast", help="how fast")

        def __init__(self, *args: object, **options: object) -> None:
            raise RuntimeError("no")

    found = [*_of_type(Odd), *_of_methods(Odd), *_of_options(Odd), *_of_making(Odd)]
    broken = " ".join(finding.what for finding in found if finding.ok is False)
    parts = ["contract 7", "Odd Type", "not on this machine", "embed() is missing", "chat() is missing", "password"]
    parts += ["has no label", "has no docstring", "declares sing, and there are only: audio", "the default of speed"]
    assert [] == [part for part in (*parts, "RuntimeError: no") if part not in broken]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Lay a package `grey_heron` into a folder as pip does."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(source: str, module: str = "grey_heron") -> None:
        (tmp_path / "grey_heron.py").write_text(source)
        info = tmp_path / "grey_heron-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: grey-heron\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[provider_router]\ngrey_heron = {module}\n")

    yield install
    sys.modules.pop("grey_heron", None)


@pytest.mark.parametrize(
    ("source", "module", "told"),
    [
        ("def x(:", "grey_heron", "SyntaxError: "),
        ("from provider_router.plugin import hookimpl", "grey_heron", "has no @hookimpl above it"),
        ("", "grey.heron", "No module named 'grey'"),
        (
            "from provider_router.providers.http import HTTPProvider",
            "grey_heron",
            "imports provider_router.providers.http: take the names from provider_router.plugin",
        ),
    ],
)
def test_what_a_package_breaks_is_told_with_how_to_mend_it(
    source: str, module: str, told: str, installed: Callable[..., None]
) -> None:
    installed(source, module)
    found = check_plugin("grey_heron", Plugins.load())
    assert told in " ".join(finding.what for finding in found if finding.ok is False)


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
