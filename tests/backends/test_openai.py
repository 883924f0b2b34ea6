from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_router.backends import (
    EMBEDDINGS,
    EVERY_PATH,
    MODELS,
    Backend,
    Model,
    Reply,
    answers,
    calls,
    completes,
    echoes,
    embeds,
    lists,
    says,
    silent,
    slow,
    status,
)
from provider_router.backends.answer import words


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, verify=False, timeout=5) as client:
        yield client


def ask(client: httpx.Client, backend: Backend, text: str = "Hi", **fields: object) -> httpx.Response:
    body = {"messages": [{"role": "user", "content": text}], **fields}
    return client.post(f"{backend.base_url}/chat/completions", json=body)


def events(response: httpx.Response) -> list[Any]:
    assert "text/event-stream" == response.headers["content-type"]
    lines = [event.removeprefix("data: ") for event in response.text.split("\n\n")]
    assert ["[DONE]", ""] == lines[-2:]
    return [json.loads(line) for line in lines[:-2]]


def test_a_backend_echoes_by_default(client: httpx.Client) -> None:
    with Backend() as backend:
        answer = ask(client, backend, "Hello there").json()
    assert "echo: Hello there" == answer["choices"][0]["message"]["content"]
    assert "small-model" == answer["model"]
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + 3


def test_an_echo_finds_the_text_among_other_parts(client: httpx.Client) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    content = [{"type": "text", "text": "What is this?"}, image]
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "?"}]
    with Backend(echoes(prefix="")) as backend:
        answer = ask(client, backend, messages=messages).json()
        assert messages == backend.requests[0].json["messages"]
        assert "" == ask(client, backend, messages=[]).json()["choices"][0]["message"]["content"]
    assert "What is this?" == answer["choices"][0]["message"]["content"]


def test_a_stream_names_the_role_then_says_the_words_then_finishes(client: httpx.Client) -> None:
    with Backend(answers("One two  three", reasoning="Hm.", pace=0.001, tokens=(7, 3))) as backend:
        chunks = events(ask(client, backend, stream=True, stream_options={"include_usage": True}))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert {"role": "assistant", "content": ""} == deltas[0]
    assert {"reasoning_content": "Hm."} == deltas[1]
    assert ["One", " two", "  three"] == [delta["content"] for delta in deltas[2:-1]]
    assert ({}, "stop") == (deltas[-1], chunks[-2]["choices"][0]["finish_reason"])
    assert ([], {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}) == (
        chunks[-1]["choices"],
        chunks[-1]["usage"],
    )


def test_usage_comes_in_a_stream_only_when_asked_for(client: httpx.Client) -> None:
    with Backend(answers("One")) as backend:
        assert all("usage" not in chunk for chunk in events(ask(client, backend, stream=True)))


def test_an_answer_can_ask_for_a_tool_call(client: httpx.Client) -> None:
    arguments = {"city": "København", "days": 3}
    with Backend(calls("weather", arguments, text="Let me see.")) as backend:
        plain = ask(client, backend).json()["choices"][0]
        chunks = events(ask(client, backend, stream=True))
    [call] = plain["message"]["tool_calls"]
    assert ("tool_calls", "weather", arguments) == (
        plain["finish_reason"],
        call["function"]["name"],
        json.loads(call["function"]["arguments"]),
    )
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    pieces = [piece for delta in deltas for piece in delta.get("tool_calls", [])]
    assert "weather" == pieces[0]["function"]["name"]
    assert arguments == json.loads("".join(piece["function"]["arguments"] for piece in pieces))


def test_reasoning_is_told_in_a_plain_answer(client: httpx.Client) -> None:
    with Backend(answers("4", reasoning="2 + 2", model="other", finish_reason="length")) as backend:
        answer = ask(client, backend, model="asked").json()
    assert ("other", "2 + 2", "length") == (
        answer["model"],
        answer["choices"][0]["message"]["reasoning_content"],
        answer["choices"][0]["finish_reason"],
    )


def test_the_openai_client_understands_it() -> None:
    import openai  # which takes a second: no run that leaves this test out, and no other worker, pays for it

    with (
        Backend(answers("Hello you"), calls("f", '{"a": 1}'), api_key="sk-1", models=["a", "b"]) as backend,
        openai.OpenAI(base_url=backend.base_url, api_key="sk-1", max_retries=0) as sdk,
    ):
        with sdk.chat.completions.create(model="a", messages=[{"role": "user", "content": "x"}], stream=True) as stream:
            assert "Hello you" == "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        answer = sdk.chat.completions.create(model="a", messages=[{"role": "user", "content": "x"}])
        assert "tool_calls" == answer.choices[0].finish_reason
        assert ["a", "b"] == [model.id for model in sdk.models.list()]
        assert 2 == len(sdk.embeddings.create(model="a", input=["one", "two"]).data)
        assert "Once" == sdk.completions.create(model="a", prompt="Once").choices[0].text


def test_completions_stream_too(client: httpx.Client) -> None:
    with Backend() as backend:
        backend.script(completes("upon a time"), path="/v1/completions")
        response = client.post(f"{backend.base_url}/completions", json={"prompt": "Once", "stream": True})
    assert "upon a time" == "".join(chunk["choices"][0]["text"] for chunk in events(response))


def test_embeddings_take_a_text_or_a_list(client: httpx.Client) -> None:
    with Backend() as backend:
        one = client.post(f"{backend.base_url}/embeddings", json={"input": "abc"}).json()
        backend.script(embeds(dimensions=2), path=EMBEDDINGS)
        two = client.post(f"{backend.base_url}/embeddings", json={"input": ["a", "ab"]}).json()
    assert [[3.0, 1.5, 1.0, 0.75]] == [item["embedding"] for item in one["data"]]
    assert [[1.0, 0.5], [2.0, 1.0]] == [item["embedding"] for item in two["data"]]


def test_a_body_that_is_no_json_object_is_still_answered(client: httpx.Client) -> None:
    with Backend() as backend:
        for body in (b"{", b"[1]"):
            assert 200 == client.post(f"{backend.base_url}/chat/completions", content=body).status_code
        with pytest.raises(ValueError, match="Expecting"):
            _ = backend.requests[0].json


def test_scripted_replies_come_in_order_and_the_last_one_stays(client: httpx.Client) -> None:
    with Backend(status(503), answers("ok")) as backend:
        assert [503, 200, 200] == [ask(client, backend).status_code for _ in range(3)]
        backend.script(slow(answers("late"), by=0.001))
        assert "late" == ask(client, backend).json()["choices"][0]["message"]["content"]
        backend.script()
        assert "echo: Hi" == ask(client, backend).json()["choices"][0]["message"]["content"]


def test_each_path_has_a_script_of_its_own(client: httpx.Client) -> None:
    with Backend(silent()) as backend:
        assert ["small-model"] == [item["id"] for item in client.get(f"{backend.base_url}/models").json()["data"]]
        backend.script(status(500), path=EVERY_PATH)
        backend.script(lists("other"), path=MODELS)
        assert ["other"] == [item["id"] for item in client.get(f"{backend.base_url}/models").json()["data"]]
        assert 500 == client.get(f"{backend.url}/anything").status_code


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer sk-2"}], ids=["no key", "another key"])
def test_a_backend_with_a_key_wants_it(client: httpx.Client, headers: dict[str, str]) -> None:
    with Backend(api_key="sk-1") as backend:
        response = client.get(f"{backend.base_url}/models", headers=headers)
        assert (401, "invalid_api_key") == (response.status_code, response.json()["error"]["code"])
        assert 200 == client.get(f"{backend.base_url}/models", headers={"authorization": "Bearer sk-1"}).status_code


def test_an_unknown_path_is_not_found(client: httpx.Client) -> None:
    with Backend() as backend:
        for response in (client.post(f"{backend.url}/chat/completions"), client.get(f"{backend.url}/api/v0/models")):
            assert (404, "invalid_request_error") == (response.status_code, response.json()["error"]["type"])


def test_lm_studio_answers_an_unknown_path_with_200_and_an_error(client: httpx.Client) -> None:
    with Backend(dialect="lm-studio", api_key="k") as backend:
        assert "invalid_request" == client.get(f"{backend.base_url}/models").json()["error"]["type"]
        response = client.post(f"{backend.url}/chat/completions", headers={"authorization": "Bearer k"})
    assert 200 == response.status_code
    assert {"error": "Unexpected endpoint or method. (POST /chat/completions)"} == response.json()


def test_lm_studio_tells_what_is_loaded_and_how(client: httpx.Client) -> None:
    models = [Model(id="a", context_length=4096, parallel=2, vision=True), Model(id="b", loaded=False, tools=False)]
    with Backend(dialect="lm-studio", models=models) as backend:
        v0 = client.get(f"{backend.url}/api/v0/models").json()["data"]
        v1 = client.get(f"{backend.url}/api/v1/models").json()["models"]
    assert [("a", "loaded", "vlm", 4096), ("b", "not-loaded", "llm", None)] == [
        (item["id"], item["state"], item["type"], item.get("loaded_context_length")) for item in v0
    ]
    assert [{"id": "a", "config": {"context_length": 4096, "parallel": 2}}] == v1[0]["loaded_instances"]
    assert ("b", []) == (v1[1]["key"], v1[1]["loaded_instances"])


def test_a_backend_may_list_nothing(client: httpx.Client) -> None:
    with Backend(models=()) as backend:
        assert [] == client.get(f"{backend.base_url}/models").json()["data"]
        assert "" == ask(client, backend).json()["model"]


@given(st.text())
def test_words_joined_are_the_text(text: str) -> None:
    assert text == "".join(words(text))


def test_a_reply_may_look_at_its_request(client: httpx.Client) -> None:
    by_model: dict[str, Reply] = {"good": answers("yes"), "bad": says(b"no")}
    with Backend(lambda request: by_model[request.model](request)) as backend:
        assert ["yes", "no"] == [
            ask(client, backend, model="good").json()["choices"][0]["message"]["content"],
            ask(client, backend, model="bad").text,
        ]
