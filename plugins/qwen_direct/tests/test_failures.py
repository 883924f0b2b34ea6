"""What the site's errors mean, from recorded forms, in every place where they may stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from provider_router.plugin import ChatRequest, Failure, ProviderError, decode
from provider_router_qwen_direct import QwenDirect

from .conftest import COOKIES, TOKEN, Site, created, json_reply, page, quick, tells

DATA = Path(__file__).with_name("data")
# class.status.name: what it is, with which status it came, which one it is.
RECORDED = sorted(path.name for path in DATA.glob("*.*.*.*"))


@pytest.mark.parametrize("name", RECORDED)
async def test_each_recorded_error_has_its_class(name: str, provider: QwenDirect, site: Site) -> None:
    failure, status, *_ = name.split(".")
    text = (DATA / name).read_text(encoding="utf-8")
    site.script(page(text, int(status)) if name.endswith("html") else json_reply(decode(text), int(status)))
    with pytest.raises(ProviderError) as raised:
        await provider.chat(ChatRequest.of("Hi", model="qwen3-max"))
    assert failure == raised.value.failure


@pytest.mark.parametrize("name", [name for name in RECORDED if ".200." in name and name.endswith("json")])
async def test_in_a_stream_it_has_the_same_class(name: str, provider: QwenDirect, site: Site) -> None:
    site.script(tells([created(), decode((DATA / name).read_text(encoding="utf-8"))]))
    with pytest.raises(ProviderError) as raised:
        await provider.chat(ChatRequest.of("Hi", model="qwen3-max"))
    assert name.split(".")[0] == raised.value.failure


async def test_a_quota_ends_after_the_hours_that_it_names(provider: QwenDirect, site: Site) -> None:
    site.script(json_reply(decode((DATA / "quota.200.hours.json").read_text(encoding="utf-8"))))
    with pytest.raises(ProviderError) as raised:
        await provider.chat(ChatRequest.of("Hi"))
    assert 3 * 3600 == raised.value.retry_after


async def test_no_error_echoes_the_login(provider: QwenDirect, site: Site) -> None:
    echo = f"bad {TOKEN} and eyJsynthetic.jwt.x and {COOKIES}"
    for error in (
        {"success": False, "data": {"code": "x", "details": echo}},
        {"error": {"code": "x", "details": echo}},
    ):
        site.script(json_reply(error))
        with pytest.raises(ProviderError) as raised:
            await provider.chat(ChatRequest.of("Hi"))
        assert not [part for part in (TOKEN, "eyJsynthetic", "abcdefghij", "0a0b0c0d0e") if part in str(raised.value)]


def test_its_repr_shows_no_secret() -> None:
    provider = quick("http://127.0.0.1:9")
    assert TOKEN not in f"{provider!r} {provider.config!r}"
    assert "eyJsynthetic" not in f"{provider!r} {provider.config!r}"
