"""The Python API as a user types it. Checked by mypy, never run."""

from __future__ import annotations

from typing import assert_type

from provider_router import (
    Admin,
    AsyncRouter,
    ChatChunk,
    ChatResponse,
    History,
    Limits,
    RateLimited,
    Router,
    image,
    system,
    user,
)
from provider_router_lm_studio import LMStudio
from provider_router_openai_compatible import OpenAICompatible


def blocking() -> None:
    router = Router()
    answer = router.chat("Name a pelican.", model="qwen3-max", temperature=0.2)
    assert_type(answer, ChatResponse)
    assert_type(answer.text, str)
    assert_type(answer.provider, str)
    print(answer, answer.message, answer.usage, answer.tool_calls, answer.raw, answer.model, answer.trail)
    messages = [system("Be brief."), user("Why is the sky blue?", image("https://example.com/sky.png"))]
    with router.stream(messages, timeout=30.0, extra_body={"top_k": 40}) as stream:
        for chunk in stream:
            assert_type(chunk, ChatChunk)
            print(chunk.text, end="", flush=True)
    for step in router.plan("qwen3-max"):
        print(step.provider, step.state, step.reason, step.until)
    router.check("lm-studio-home")
    router.models("lm-studio-home")
    router.health()
    router.chat({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    router.chat("hi", temprature=0.2)  # type: ignore[call-arg]
    router.chat(42)  # type: ignore[arg-type]
    try:
        router.chat("hi")
    except RateLimited as error:
        print(error.retry_after, error.attempts)
    Router("file.db")
    Router(
        providers=[
            LMStudio("desk", base_url="http://localhost:1234/v1"),
            LMStudio("loft", {"baseURL": "http://loft:1234/v1", "timeout": "30s"}),
            OpenAICompatible("cloud", base_url="https://api.example.com/v1", api_key="env:CLOUD_KEY"),
        ]
    )


async def asynchronous() -> None:
    async with AsyncRouter() as router:
        answer = await router.chat(
            "hi", provider="lm-studio-home", fallback=True, zone="lan", timeout=Limits(total=60, first_token=10)
        )
        assert_type(answer, ChatResponse)
        async with router.stream("hi") as stream:
            async for chunk in stream:
                assert_type(chunk, ChatChunk)


def changing() -> None:
    with Admin() as admin:
        admin.providers.add(
            "lm-studio-home",
            name="LM Studio Home",
            type="lm-studio",
            priority=10,
            config={"baseURL": "http://192.168.0.22:1234/v1"},
        )
        admin.models.add("qwen3-max", capabilities=["chat", "tools"])
        admin.links.link("lm-studio-home", "qwen3-max", default=True)
        admin.providers.edit("lm-studio-home", priority=5)
        admin.providers.disable("lm-studio-home")
        admin.settings.set_active("lm-studio-home")


def looking_back() -> None:
    with History() as history:
        for request in history.list(since="1h", failure="any", limit=5):
            assert_type(request.request_id, str)
            print(request.at, request.trail, history.show(request.request_id).plan)
        assert_type(history.stats(since="7d", by="provider").total.requests, int)
        print(history.sessions(), history.state().trouble, history.prune("30d"))
    router = Router(history=False)
    assert_type(router.recording.lost, int)
    router.chat("hi", session="talk")
