"""The options of the type `qwen-direct`, and what the type says of itself."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from provider_router.errors import InvalidConfig
from provider_router.plugin import Capability
from provider_router.providers.config import describe_config
from provider_router_qwen_direct import QwenDirect, register_providers

LOGIN = {"token": "T2gAsynthetic", "cookies": "cna=abc"}


def test_the_options_are_the_seeds_with_the_old_variables() -> None:
    options = {info.name: info for info in describe_config(QwenDirect.Config)}
    assert ["token", "cookies"] == [info.name for info in options.values() if info.required]
    assert {"token", "cookies", "headers"} == {info.name for info in options.values() if info.sensitive}
    assert {"token", "cookies", "expiresAt"} == {info.name for info in options.values() if info.credentials == "qwen"}
    assert {"token": "QWEN_TOKEN", "cookies": "QWEN_COOKIES", "timeout": "REQUEST_TIMEOUT"} == {
        info.name: info.env for info in options.values() if info.env
    }
    assert "https://chat.qwen.ai" == options["baseURL"].default
    assert {"version", "headers"} <= options.keys()


@pytest.mark.parametrize("ends", [1_767_000_000, 1_767_000_000_000, "2025-12-29T09:20:00+00:00"])
def test_the_end_of_a_login_is_in_seconds_or_milliseconds(ends: object) -> None:
    config = QwenDirect("qwen", {**LOGIN, "expiresAt": ends}).config
    assert datetime(2025, 12, 29, 9, 20, tzinfo=UTC) == config.expires_at


def test_a_login_has_both_parts() -> None:
    with pytest.raises(InvalidConfig, match="cookies: is required"):
        QwenDirect("qwen", {"token": "T2gAsynthetic"})


def test_a_long_answer_has_more_than_thirty_seconds() -> None:
    bounds = QwenDirect("qwen", **LOGIN).bounds()
    assert bounds.timeout is not None
    assert bounds.timeout > 30
    assert 120.0 == QwenDirect("qwen", {**LOGIN, "timeout": "120000"}).bounds().timeout


def test_what_the_type_says_of_itself() -> None:
    assert ("qwen-direct", "Qwen (chat.qwen.ai)", 1) == (QwenDirect.type, QwenDirect.label, QwenDirect.contract)
    seeds = {Capability.CHAT, Capability.STREAMING, Capability.TOOLS, Capability.MODELS}
    assert seeds == QwenDirect.capabilities
    assert [QwenDirect] == register_providers()
