"""The plugins of this repository, the example among them, are third parties: they use the authors' names only."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from provider_router import plugin

ROOT = Path(__file__).parent.parent
PLACES = ("plugins", "examples")
PACKAGES = sorted(path.parent for place in PLACES for path in ROOT.glob(f"{place}/*/src/*/__init__.py"))


def test_there_are_plugins_to_look_at() -> None:
    assert {
        "provider_router_lm_studio",
        "provider_router_openai_compatible",
        "provider_router_parrot",
        "provider_router_qwen_direct",
        "provider_router_qwen_proxy",
    } <= {package.name for package in PACKAGES}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_plugin_imports_the_authors_names_only(package: Path) -> None:
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "provider_router.plugin":
                assert {alias.name for alias in node.names} <= set(plugin.__all__)
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] in {package.name, *sys.stdlib_module_names}
            elif isinstance(node, ast.Import):
                tops = {alias.name.partition(".")[0] for alias in node.names}
                assert tops <= {package.name, *sys.stdlib_module_names}
