"""Each plugin's own tests, in an environment that has the core and that plugin only. Run with `make clients`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.clients

ROOT = Path(__file__).parents[2]
# What the tests themselves import, and what pytest's configuration names.
TOOLS = ["pytest", "pytest-timeout", "anyio[trio]", "hypothesis", "attrs"]
# How the suite says that something does not apply to a dialect.
LEFT_OUT = re.compile(r"SKIPPED \[\d+\] \S+: [a-z-]+: [\w-]+ has no ")


@pytest.mark.parametrize(
    ("package", "folder", "tools"),
    [
        ("provider_router_lm_studio", "plugins/lm_studio", []),
        ("provider_router_openai_compatible", "plugins/openai_compatible", ["starlette", "uvicorn"]),
        ("provider_router_qwen_direct", "plugins/qwen_direct", []),
        ("provider_router_qwen_proxy", "plugins/qwen_proxy", []),
        ("provider_router_parrot", "examples/parrot_provider", []),
        ("provider_router_ollama", "examples/ollama_provider", []),
    ],
)
def test_a_plugin_passes_its_tests_beside_the_core_alone(
    package: str, folder: str, tools: list[str], make_environment: Callable[..., Any]
) -> None:
    environment = make_environment("provider_router", package, tools=[*TOOLS, *tools])
    seen = environment.run(environment.python, "-m", "provider_router", "plugin", "list", "--json")
    assert [(found["version"], found["problem"]) for found in json.loads(seen.stdout)] == [("0.1.0", "")]
    options = ["-q", "-rs", "-p", "no:cacheprovider", "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")]
    # Hypothesis keeps the constants of what it runs, those of conftest.py too: not among what is searched for secrets.
    variables = {"PYTHONSAFEPATH": "1", "HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis")}
    done = environment.run(environment.python, "-m", "pytest", *options, str(ROOT / folder / "tests"), **variables)
    print(done.stdout[-2000:], file=sys.stderr)
    assert done.returncode == 0
    assert "passed" in done.stdout
    left_out = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert [] == [line for line in left_out if not LEFT_OUT.match(line)]


def test_a_generated_package_passes_its_tests_beside_the_core_alone(
    make_environment: Callable[..., Any], tmp_path: Path
) -> None:
    environment = make_environment("provider_router", tools=[*TOOLS, "hatchling", "pip"])
    folder = tmp_path / "third"
    environment.run(environment.python, "-m", "provider_router", "plugin", "new", "grey-heron", "--folder", str(folder))
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    installed = environment.run(environment.python, "-m", "pip", "install", *options, str(folder))
    assert installed.returncode == 0, installed.stderr
    checked = environment.run(environment.python, "-m", "provider_router", "plugin", "check", "grey-heron", "--json")
    assert (0, {True}) == (checked.returncode, {finding["ok"] for finding in json.loads(checked.stdout)})
    done = environment.run(environment.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder))
    print(done.stdout[-2000:], file=sys.stderr)
    assert done.returncode == 0
    assert " passed" in done.stdout
