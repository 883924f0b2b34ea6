"""Against a second, independent implementation of a server: Starlette on uvicorn, in a thread of its own."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from provider_router import AsyncRouter
from provider_router.plugin import ChatRequest, Failure, ProviderError
from provider_router_openai_compatible import OpenAICompatible

STORY = "Pélicans\u2028over the harbour."


async def chat(request: Request) -> Response:
    body = await request.json()
    if body.get("model") == "missing":
        message = "The model `missing` does not exist"
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": "model_not_found"}
        return JSONResponse({"error": error}, status_code=404)
    if body.get("stream"):
        return StreamingResponse(pieces(body), media_type="text/event-stream")
    message = {"role": "assistant", "content": STORY}
    return JSONResponse(
        {"id": "1", "object": "chat.completion", "model": "m", "choices": [choice(message=message, finish="stop")]}
    )


def choice(*, finish: str | None, **parts: object) -> dict[str, object]:
    return {"index": 0, **parts, "finish_reason": finish}


async def pieces(body: dict[str, Any]) -> AsyncIterator[str]:
    yield ": warming up\r\n\r\n"
    for word in [*STORY.split(" "), None]:
        part = choice(delta={"content": f"{word} "}, finish=None) if word else choice(delta={}, finish="stop")
        chunk = {"object": "chat.completion.chunk", "model": body.get("model"), "choices": [part]}
        yield f"data: {json.dumps(chunk, ensure_ascii=False)}\r\n\r\n"
    yield "data: [DONE]\r\n\r\n"


async def models(request: Request) -> Response:
    return JSONResponse({"object": "list", "data": [{"id": "m", "object": "model", "max_model_len": 4096}]})


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    routes = [Route("/v1/chat/completions", chat, methods=["POST"]), Route("/v1/models", models)]
    config = uvicorn.Config(Starlette(routes=routes), log_config=None, lifespan="off", timeout_keep_alive=1)
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    server.should_exit = True
    thread.join()


async def test_a_chat_and_a_stream_say_the_same(server: str) -> None:
    async with aclosing(OpenAICompatible("desk", base_url=server)) as provider:
        answer = await provider.chat(ChatRequest.of("hi"))
        async with aclosing(provider.stream(ChatRequest.of("hi", model="m"))) as stream:
            chunks = [chunk async for chunk in stream]
    assert STORY == answer.text == "".join(chunk.text for chunk in chunks).rstrip()
    assert ("m", "stop") == (chunks[0].model, chunks[-1].finish_reason)


async def test_its_models_and_its_errors_are_understood(server: str) -> None:
    async with aclosing(OpenAICompatible("desk", base_url=server)) as provider:
        assert [("m", 4096)] == [(info.id, info.context_length) for info in await provider.models()]
        with pytest.raises(ProviderError) as caught:
            await provider.chat(ChatRequest.of("hi", model="missing"))
    assert Failure.MODEL_UNAVAILABLE == caught.value.failure


async def test_a_router_streams_over_it(server: str) -> None:
    async with AsyncRouter(providers=[OpenAICompatible("desk", base_url=server)]) as router:
        async with router.stream("hi") as stream:
            text = "".join([chunk.text async for chunk in stream])
    assert STORY == text.rstrip()


async def test_it_is_recognised_without_its_version(server: str) -> None:
    assert {"baseURL": server} == await OpenAICompatible.recognise(server.removesuffix("/v1"))
