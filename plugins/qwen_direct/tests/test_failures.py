"""What the site's errors mean, from recorded forms, in every place where they may stand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from provider_router import Admin, AsyncRouter
from provider_router.backends import Reply
from provider_router.backends.wire import response
from provider_router.errors import AuthenticationFailed, NoCandidates
from provider_router.plugin import ChatRequest, Failure, ProviderError, decode, encode
from provider_router.testing import ChatQwenFake
from provider_router.testing.fakes.chat_qwen import created, tells
from provider_router_qwen_direct import QwenDirect

DATA = Path(__file__).with_name("data")
# class.status.name: what it is, with which status it came, which one it is.
RECORDED = sorted(path.name for path in DATA.glob("*.*.*.*"))


def replies(body: bytes, status: int = 200, content_type: str = "application/json") -> Reply:
    return lambda request: [response(body, status=status, content_type=content_type)]


@pytest.mark.parametrize("name", RECORDED)
async def test_each_recorded_error_has_its_class(name: str, provider: QwenDirect, site: ChatQwenFake) -> None:
    failure, status, *_ = name.split(".")
    kind = "text/html" if name.endswith("html") else "application/json"
    site.script(replies((DATA / name).read_bytes(), int(status), kind))
    with pytest.raises(ProviderError) as raised:
        await provider.chat(ChatRequest.of("Hi", model="qwen3-max"))
    assert failure == raised.value.failure


@pytest.mark.parametrize("name", [name for name in RECORDED if ".200." in name and name.endswith("json")])
async def test_in_a_stream_it_has_the_same_class(name: str, provider: QwenDirect, site: ChatQwenFake) -> None:
    site.script(tells(created(), decode((DATA / name).read_bytes())))
    with pytest.raises(ProviderError) as raised:
        await provider.chat(ChatRequest.of("Hi", model="qwen3-max"))
    assert name.partition(".")[0] == raised.value.failure


async def test_a_quota_ends_after_the_hours_that_it_names(provider: QwenDirect, site: ChatQwenFake) -> None:
    site.script(replies((DATA / "quota.200.hours.json").read_bytes()))
    with pytest.raises(ProviderError) as raised:
        await provider.chat(ChatRequest.of("Hi"))
    assert 3 * 3600 == raised.value.retry_after


async def test_no_error_echoes_the_login(provider: QwenDirect, site: ChatQwenFake, login: dict[str, str]) -> None:
    echo = f"bad {login['token']} and eyJsynthetic.jwt.x and {login['cookies']}"
    said = {"code": "x", "details": echo}
    for error in ({"success": False, "data": said}, {"error": said}):
        site.script(replies(encode(error)))
        with pytest.raises(ProviderError) as raised:
            await provider.chat(ChatRequest.of("Hi"))
        parts = (login["token"], "eyJsynthetic", "abcdefghij", "0a0b0c0d0e")
        assert [] == [part for part in parts if part in str(raised.value)]


async def test_a_cookie_in_quotation_marks_is_masked_without_them(make: Callable[..., QwenDirect]) -> None:
    provider = make("http://127.0.0.1:9", cookies='cna=abc; token="eyJc4nary5d1c0ffee"')
    assert "c4nary" not in provider.mask("Bearer eyJc4nary5d1c0ffee is no login")
    await provider.aclose()


async def test_an_error_about_a_text_that_names_a_captcha_is_none_of_the_firewall(
    provider: QwenDirect, site: ChatQwenFake
) -> None:
    said = {"success": False, "data": {"code": "data_inspection_failed", "details": "How to solve a captcha: no."}}
    site.script(replies(encode(said)))
    with pytest.raises(ProviderError) as raised:
        await provider.chat(ChatRequest.of("How does one solve a captcha?"))
    assert Failure.CONTENT_POLICY == raised.value.failure


async def test_a_login_that_has_ended_is_told_by_the_check_and_never_sent(
    make: Callable[..., QwenDirect], site: ChatQwenFake
) -> None:
    provider = make(site.base_url, expires_at=datetime(2026, 1, 31, 12, tzinfo=UTC))
    with pytest.raises(ProviderError, match="ended at 2026-01-31 12:00 UTC") as raised:
        await provider.check()
    async with AsyncRouter(providers=[provider]) as router:
        with pytest.raises(NoCandidates, match="credentials expired"):
            await router.chat("Hi")
    assert (Failure.AUTH, []) == (raised.value.failure, site.requests)


async def test_a_login_that_was_refused_is_flagged_until_another_one_is_set(
    tmp_path: Path, site: ChatQwenFake, login: dict[str, str]
) -> None:
    site.key = "renewed-umid-0002"
    with Admin(tmp_path / "router.db") as admin:
        admin.providers.add("qwen", type="qwen-direct", config={"baseURL": site.base_url, **login})
        async with AsyncRouter(tmp_path / "router.db", history=False) as router:
            with pytest.raises(AuthenticationFailed, match="renew the options token and cookies"):
                await router.chat("Hi")
            (state,) = await router.health()
            admin.providers.edit("qwen", config={"token": site.key})
            answer = await router.chat("Hi")
    assert ("flagged", "echo: Hi") == (state.state, answer.text)


def test_its_repr_shows_no_secret(make: Callable[..., QwenDirect], login: dict[str, str]) -> None:
    provider = make("http://127.0.0.1:9")
    assert login["token"] not in f"{provider!r} {provider.config!r}"
    assert "eyJsynthetic" not in f"{provider!r} {provider.config!r}"
