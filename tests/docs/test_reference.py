"""The reference names everything that there is, and what is generated is current."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import click
import pytest

import provider_router
from provider_router import plugin
from provider_router.configuration.settings import SETTINGS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@cache
def generator() -> ModuleType:
    """`docs/generate.py`, which is no module of a package."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reference(name: str) -> str:
    return (DOCS / "reference" / name).read_text(encoding="utf-8")


def headings(text: str) -> set[str]:
    return set(re.findall(r"^#+ (.+)$", text, re.MULTILINE))


def test_what_is_generated_is_current() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate.py"), "--check"], capture_output=True, text=True, encoding="utf-8"
    )
    assert (0, "") == (done.returncode, done.stdout), done.stderr


def test_every_command_is_documented_and_explains_itself() -> None:
    tree = list(generator().commands())
    assert {" ".join(path) for path, _, _ in tree} <= headings(reference("cli.md"))
    assert [] == [path for path, command, _ in tree if not command.help]


def test_no_help_shows_the_marks_of_its_layout() -> None:
    assert "\\b" not in reference("cli.md")


def test_every_option_of_every_command_explains_itself() -> None:
    mute = [
        (path, parameter.name)
        for path, command, _ in generator().commands()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert [] == mute


def test_every_public_name_is_documented() -> None:
    documented = headings(reference("python.md")) | headings(reference("errors.md"))
    assert set() == {*provider_router.__all__, *plugin.__all__} - documented


def test_every_error_is_documented_and_drawn() -> None:
    text = reference("errors.md")
    names = {cls.__name__ for cls in generator().error_classes()}
    drawn = set(re.findall(r"\w+", text.split("```")[1]))
    assert (set(), set()) == (names - headings(text), names - drawn)


def test_every_variable_and_every_setting_is_documented() -> None:
    text = reference("environment.md")
    assert [] == [name for name in (*generator().variables(), *SETTINGS) if f"`{name}`" not in text]


def test_no_other_variable_of_ours_is_read_anywhere() -> None:
    sources = [*ROOT.glob("src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]
    named = {
        name
        for path in sources
        for name in re.findall(r"[\"'](PROUTER_[A-Z_]+[A-Z])[\"']", path.read_text(encoding="utf-8"))
    }
    assert set() == named - set(generator().variables())


def test_every_table_is_documented() -> None:
    assert set(generator().schema()) <= headings(reference("database.md"))


def test_every_effect_of_a_failure_is_explained() -> None:
    from provider_router.routing.effect import Effect

    assert set(Effect) == set(generator().EFFECTS)


def test_the_how_to_quotes_the_whole_example() -> None:
    how_to = (DOCS / "how-to/write-a-plugin.md").read_text(encoding="utf-8")
    quoted = "\n".join(re.findall(r"^```py\n(.*?)^```", how_to, re.DOTALL | re.MULTILINE))
    example = ROOT / "examples/parrot_provider"
    source = (example / "src/provider_router_parrot/__init__.py").read_text(encoding="utf-8")
    assert _lines(source) == _lines(quoted)
    project = (example / "pyproject.toml").read_text(encoding="utf-8")
    assert all(part in project for part in re.findall(r"^```toml\n(.*?)^```", how_to, re.DOTALL | re.MULTILINE))


def _lines(text: str) -> list[str]:
    """Without indentation and empty lines: a quoted part begins at the margin."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def test_every_decision_is_listed() -> None:
    records = {path.name for path in DOCS.glob("decisions/0*.md")}
    listed = set(re.findall(r"\((0\S+)\)", (DOCS / "decisions/README.md").read_text(encoding="utf-8")))
    assert records == listed


@pytest.mark.parametrize(
    "document", sorted([ROOT / "README.md", *DOCS.rglob("*.md")]), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_every_link_to_a_heading_leads_to_one(document: Path) -> None:
    missing = []
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", document.read_text(encoding="utf-8")):
        there = (document.parent / target) if target else document
        anchors = {
            re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings(there.read_text("utf-8"))
        }
        if anchor not in anchors:
            missing.append(f"{target}#{anchor}")
    assert [] == missing


@pytest.mark.parametrize("document", sorted(DOCS.rglob("*.md")), ids=lambda path: path.relative_to(DOCS).as_posix())
def test_every_document_can_be_found_from_the_index(document: Path) -> None:
    found, waiting = set(), [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in found or page.suffix != ".md" or not page.is_relative_to(DOCS):
            continue
        found.add(page)
        links = re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text(encoding="utf-8"))
        waiting += [(page.parent / link).resolve() for link in links]
    assert document in found
