"""The proxy's errors: each recorded body over real sockets, plain, streamed and inside a stream."""

from __future__ import annotations

import json
from contextlib import aclosing
from pathlib import Path

import pytest

from provider_router.backends import DONE, event, streams
from provider_router.backends.wire import response
from provider_router.plugin import ChatRequest, Failure, ProviderError
from provider_router.testing import QwenProxyFake
from provider_router_qwen_proxy import QwenProxy

RECORDED = sorted(Path(__file__).with_name("data").glob("*.json"))


def named(path: Path) -> str:
    return path.stem


def recorded(path: Path) -> tuple[Failure, int, bytes]:
    failure, status, _ = path.stem.split(".")
    return Failure(failure), int(status), path.read_bytes().strip()


async def streamed(provider: QwenProxy) -> tuple[list[str], ProviderError]:
    texts: list[str] = []
    with pytest.raises(ProviderError) as caught:
        async with aclosing(provider.stream(ChatRequest.of("hi", model="m"))) as stream:
            async for chunk in stream:
                texts.append(chunk.text)
    return texts, caught.value


@pytest.mark.parametrize("path", [path for path in RECORDED if ".200." not in path.name], ids=named)
async def test_a_recorded_body_means_its_class_and_its_text_is_told(
    path: Path, native: QwenProxy, proxy: QwenProxyFake
) -> None:
    failure, status, body = recorded(path)
    proxy.script(lambda request: [response(body, status=status)])
    with pytest.raises(ProviderError) as caught:
        await native.chat(ChatRequest.of("hi", model="m"))
    for error in (caught.value, (await streamed(native))[1]):
        assert (failure, status, "desk", "m") == (error.failure, error.status, error.provider, error.model)
        assert json.loads(body)["error"]["message"].rstrip(".") in error.message


@pytest.mark.parametrize("path", [path for path in RECORDED if ".200." in path.name], ids=named)
async def test_an_error_inside_a_stream_is_told_after_what_was_said_and_done_ends_nothing(
    path: Path, native: QwenProxy, proxy: QwenProxyFake
) -> None:
    failure, _, body = recorded(path)
    said = event({"choices": [{"index": 0, "delta": {"content": "One"}, "finish_reason": None}]})
    proxy.script(streams(lambda request: [said + event(json.loads(body)) + DONE]))
    texts, error = await streamed(native)
    assert (["One"], failure) == (texts, error.failure)


async def test_who_has_to_renew_what_is_told(native: QwenProxy, proxy: QwenProxyFake) -> None:
    _, status, body = recorded(Path(__file__).with_name("data") / "auth.401.missing-credentials.json")
    proxy.script(lambda request: [response(body, status=status)])
    with pytest.raises(ProviderError) as caught:
        await native.chat(ChatRequest.of("hi"))
    assert caught.value.message.endswith("Renew the proxy's own credentials for chat.qwen.ai")


async def test_a_text_of_chat_qwen_ai_from_anybody_else_decides_nothing(
    native: QwenProxy, proxy: QwenProxyFake
) -> None:
    body = json.dumps({"error": {"message": "Token has expired", "code": "odd"}}).encode()
    proxy.script(lambda request: [response(body, status=502)])
    with pytest.raises(ProviderError) as caught:
        await native.chat(ChatRequest.of("hi"))
    assert Failure.SERVER == caught.value.failure
