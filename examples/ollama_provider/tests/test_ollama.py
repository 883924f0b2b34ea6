"""The type keeps the contract, and says what Ollama says."""

from __future__ import annotations

from typing import Any

import pytest
from fake_ollama import OllamaFake
from provider_router_ollama import Ollama, register_providers
from provider_router_ollama.requests import body_of

from provider_router.backends import Answer, Model, ToolCall, status
from provider_router.backends.misbehaviour import failing
from provider_router.plugin import ChatRequest, Failure, ProviderError
from provider_router.testing import Fake, Make, ProviderSuite

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def asked(prompt: Any = "hi", **fields: Any) -> ChatRequest:
    return ChatRequest.of(prompt, model="llama3.2", fields=fields)


class TestOllama(ProviderSuite):
    @pytest.fixture
    def fake(self) -> Fake:
        return OllamaFake()

    @pytest.fixture
    def make(self) -> Make:
        return lambda name, fake, **options: Ollama(name, base_url=fake.base_url, **options)

    async def test_what_is_in_memory_comes_first_with_its_window(self, make: Make) -> None:
        shelf = [Model(id="big", loaded=False), Model(id="small", context_length=8192), Model(id="nomic-embed-text")]
        with OllamaFake(models=shelf) as backend:
            provider = make("desk", backend)
            listed = await provider.models()
            await provider.aclose()
        assert [("small", True, 8192, True), ("nomic-embed-text", True, 32768, False), ("big", False, None, True)] == [
            (info.id, info.loaded, info.context_length, info.chat) for info in listed
        ]
        assert "a80c4f17" == listed[2].raw["digest"]

    async def test_a_model_stays_in_memory_as_long_as_the_options_say(self, backend: Fake, make: Make) -> None:
        provider = make("desk", backend, keep_alive="10m")
        await provider.chat(asked())
        await provider.chat(ChatRequest.of("hi", extra_body={"keep_alive": 0}))
        await provider.aclose()
        assert ["10m", 0] == [request.json["keep_alive"] for request in backend.requests]

    async def test_durations_are_carried(self, backend: Fake, provider: Ollama) -> None:
        assert 1334875 == (await provider.chat(asked())).raw["load_duration"]

    async def test_several_calls_of_a_stream_have_each_an_index(self, backend: Fake, provider: Ollama) -> None:
        both = [ToolCall(name="weather", arguments=f'{{"city": "{city}"}}') for city in ("Oslo", "Rome")]
        backend.script(Answer(tool_calls=both, finish_reason="tool_calls"))
        chunks = [chunk async for chunk in provider.stream(asked(tools=[TOOL]))]
        deltas = [delta for chunk in chunks for delta in chunk.tool_calls]
        assert [(0, "call_0"), (1, "call_1")] == [(delta["index"], delta["id"]) for delta in deltas]

    @pytest.mark.parametrize(
        ("number", "text", "failure"),
        [
            (404, 'model "llama3.2" not found, try pulling it first', Failure.MODEL_UNAVAILABLE),
            (404, "model 'llama3.2' not found", Failure.MODEL_UNAVAILABLE),
            (400, "registry.ollama.ai/library/llama2:latest does not support tools", Failure.CAPABILITY),
            (400, "the input length exceeds the context length", Failure.CONTEXT_LENGTH),
            (503, "server busy, please try again.  maximum pending requests exceeded", Failure.BUSY),
            (401, "unauthorized", Failure.AUTH),
            (404, "404 page not found", Failure.BAD_REQUEST),
        ],
    )
    async def test_a_text_has_its_class(
        self, number: int, text: str, failure: Failure, backend: Fake, provider: Ollama
    ) -> None:
        backend.script(status(number, text))
        with pytest.raises(ProviderError) as caught:
            await provider.chat(asked())
        assert failure == caught.value.failure

    async def test_an_error_in_a_stream_comes_after_what_was_said(self, backend: Fake, provider: Ollama) -> None:
        backend.script(failing("an error was encountered while running the model", after=2))
        said = ""
        with pytest.raises(ProviderError, match="running the model"):
            async for chunk in provider.stream(asked()):
                said += chunk.text
        assert "One pelican" == said

    @pytest.mark.parametrize("path", ["", "/", "/v1", "/api"])
    async def test_ollama_is_recognised_under_any_of_its_addresses(self, path: str, backend: Fake) -> None:
        assert {"baseURL": backend.url} == await Ollama.recognise(backend.url + path)


def test_parameters_are_options_and_a_schema_is_a_format() -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    request = asked(temperature=0.5, max_tokens=7, stop=["x"], response_format=form, reasoning_effort="low")
    body = body_of(request, stream=False)
    assert {"temperature": 0.5, "num_predict": 7, "stop": ["x"]} == body["options"]
    assert (schema, "low", False) == (body["format"], body["think"], body["stream"])


def test_what_a_caller_gives_as_options_wins() -> None:
    own = {"num_ctx": 4096, "temperature": 0}
    request = ChatRequest.of("hi", fields={"temperature": 0.5}, extra_body={"options": own})
    assert own == body_of(request, stream=True)["options"]


def test_no_tool_is_offered_where_none_may_be_called() -> None:
    assert "tools" not in body_of(asked(tools=[TOOL], tool_choice="none"), stream=True)


def test_a_result_stands_under_its_tools_name() -> None:
    call = {"id": "call_0", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    told = [
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "Hm."},
        {"role": "tool", "tool_call_id": "call_0", "content": "Rain"},
    ]
    first, second = body_of(asked(told), stream=True)["messages"]
    assert {"city": "Oslo"} == first["tool_calls"][0]["function"]["arguments"]
    assert ("Hm.", "") == (first["thinking"], first["content"])
    assert ("weather", "Rain") == (second["tool_name"], second["content"])


def test_the_plugin_registers_its_type() -> None:
    assert [Ollama] == register_providers()
