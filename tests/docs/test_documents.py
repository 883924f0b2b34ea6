"""What the documents say about this repository is so."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "plugins/**/*.md", "benchmarks/**/*.md")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_within_the_repository_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", document.read_text(encoding="utf-8"))
    assert [] == [link for link in links if not (document.parent / link).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = set(re.findall(r"(?:`|\$ )make (?:\w+=\S+ )*(\w+)", document.read_text(encoding="utf-8")))
    assert set() == named - targets


def test_every_target_has_a_line_of_help() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)", makefile, re.M)
    assert phony
    assert set(phony[1].split()) == set(re.findall(r"^(\w+):.*?## \S", makefile, re.M))


def test_the_constraints_name_exact_versions_and_no_address() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = re.compile(r"[a-z0-9.-]+==[0-9a-z.]+( ; .+)?")
    assert [] == [line for line in lines if not line.startswith("#") and not pinned.fullmatch(line)]


def test_every_requirement_is_bound_by_the_constraints() -> None:
    pinned = set(re.findall(r"^([a-z0-9.-]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M))
    tools = re.findall(r"^([a-z][a-z0-9-]*)", (ROOT / "requirements-dev.txt").read_text(encoding="utf-8"), re.M)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = itertools.chain(*project["optional-dependencies"].values())
    packages = [re.split(r"[^a-z0-9-]", requirement)[0] for requirement in (*project["dependencies"], *extras)]
    needed = {*tools, *(name for name in packages if not name.startswith("provider-router"))}
    assert set() == needed - pinned


def test_the_plugins_have_no_upper_bound_on_the_core() -> None:
    for project in ROOT.glob("plugins/*/pyproject.toml"):
        assert 'dependencies = ["provider-router"]' in project.read_text(encoding="utf-8")
