"""The public names are a fixed list, each one is there, and importing them costs nothing that is not used."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files

import pytest

import provider_router
from provider_router import plugin

PUBLIC = [
    *("Admin", "AsyncRouter", "AuthenticationFailed", "ChatChunk", "ChatRequest", "ChatResponse", "ConfigError"),
    *("DeadlineExceeded", "History", "Limits", "NoCandidates", "ProviderError", "ProviderRouterError", "RateLimited"),
    *("Router", "StoreError", "StreamInterrupted", "assistant", "image", "system", "tool", "user"),
]
FOR_PLUGINS = [
    *("COMMENT", "CONTRACT", "FIRST_TOKEN_LOCAL", "Capability", "ChatChunk", "ChatRequest", "ChatResponse", "Checked"),
    *("ErrorBody", "Failure", "HTTPProvider", "Limits", "ModelInfo", "OpenAICompatibleProvider", "Provider"),
    *(
        "ProviderError",
        "Secret",
        "ToolCall",
        "Usage",
        "XMLToolParser",
        "XMLToolReader",
        "XMLTools",
        "assemble",
        "content_text",
        "decode",
        "encode",
        "error_class",
        "error_of",
        "folded",
        "hookimpl",
    ),
    *("option", "refuse_format", "refuse_several", "retry_after"),
]
# What only a call, a database or a command needs.
_LATE = ("httpx", "httptools", "anyio", "sqlite3", "sqlite_utils", "pluggy", "cattrs", "click", "platformdirs", "attrs")


def test_the_public_names_are_these() -> None:
    assert PUBLIC == provider_router.__all__


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(provider_router, name) is not None
    assert name in dir(provider_router)


def test_the_names_for_plugins_are_these() -> None:
    assert FOR_PLUGINS == plugin.__all__


@pytest.mark.parametrize("name", FOR_PLUGINS)
def test_every_name_for_plugins_is_there(name: str) -> None:
    assert getattr(plugin, name) is not None


@pytest.mark.parametrize("module", [provider_router, plugin])
def test_another_name_is_an_attribute_error(module: object) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        module.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_the_version_is_the_distributions() -> None:
    assert version("provider-router") == provider_router.__version__


def test_the_types_are_for_others_too() -> None:
    assert files("provider_router").joinpath("py.typed").is_file()


def _imported_by(code: str) -> set[str]:
    script = f"import sys; before = set(sys.modules); {code}; print(*(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (0, "") == (run.returncode, run.stderr)
    return set(run.stdout.split())


def test_importing_the_package_imports_nothing_else_of_it() -> None:
    ours = {name for name in _imported_by("import provider_router") if name.startswith("provider_router")}
    assert {"provider_router"} == ours


@pytest.mark.parametrize("late", _LATE)
def test_importing_the_package_leaves_out(late: str) -> None:
    assert late not in {name.partition(".")[0] for name in _imported_by("import provider_router")}


def test_the_names_for_plugins_come_without_httpx_and_without_a_database() -> None:
    imported = {name.partition(".")[0] for name in _imported_by("import provider_router.plugin")}
    assert set() == imported & {"httpx", "httptools", "sqlite3", "sqlite_utils", "click"}


def test_messages_and_errors_come_without_httpx_and_without_a_database() -> None:
    imported = _imported_by("from provider_router import ChatRequest, RateLimited, Limits, user")
    assert set() == {name.partition(".")[0] for name in imported} & {"httpx", "httptools", "sqlite3", "sqlite_utils"}


def test_a_public_name_says_where_it_lives() -> None:
    for name in (*PUBLIC, *FOR_PLUGINS):
        value = getattr(provider_router if name in PUBLIC else plugin, name)
        if isinstance(value, type):
            assert getattr(importlib.import_module(value.__module__), name) is value
