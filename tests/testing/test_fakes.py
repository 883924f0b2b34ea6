"""The fakes of the Qwen dialects: what they say, as bytes on the wire."""

from __future__ import annotations

import json

import httpx
import pytest

from provider_router.backends import answers, calls
from provider_router.backends.misbehaviour import failing
from provider_router.testing import ChatQwenFake, Fake, QwenProxyFake
from provider_router.testing.strategies import WEATHER


def events(fake: Fake, path: str, **body: object) -> list[dict[str, object]]:
    text = httpx.post(
        fake.url + path, json={"messages": [], "stream": True, **body}, trust_env=False, verify=False
    ).text
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


def test_the_proxy_says_an_answer_to_tools_in_one_piece_with_its_metadata() -> None:
    with QwenProxyFake(answers("One pelican flew.")) as fake:
        url = f"{fake.base_url}/chat/completions"
        whole = httpx.post(url, json={"messages": []}, trust_env=False, verify=False).json()
        pieces = events(fake, "/v1/chat/completions", tools=[WEATHER])
    assert "_qwen_metadata" in whole
    assert ["", "One pelican flew.", None] == [piece["choices"][0]["delta"].get("content") for piece in pieces]  # type: ignore[index]


def test_the_proxys_stream_error_is_followed_by_the_mark_of_an_end() -> None:
    with QwenProxyFake(failing("It broke.")) as fake:
        text = httpx.post(
            f"{fake.base_url}/chat/completions", json={"stream": True}, trust_env=False, verify=False
        ).text
    assert 'data: {"error":{"message":"It broke.","type":"stream_error"}}\n\ndata: [DONE]\n\n' == text


def test_the_site_streams_phases_and_writes_calls_as_xml() -> None:
    with ChatQwenFake(calls("weather", {"city": "Oslo", "days": 2}, text="I look.")) as fake:
        first, *pieces = events(fake, "/api/v2/chat/completions")
    assert "response.created" in first
    deltas = [piece["choices"][0]["delta"] for piece in pieces]  # type: ignore[index]
    assert "I look.\n<weather>\n<city>Oslo</city>\n<days>2</days>\n</weather>" == "".join(d["content"] for d in deltas)
    assert ("answer", "finished") == (deltas[-1]["phase"], deltas[-1]["status"])


@pytest.mark.parametrize(("fake", "path"), [(QwenProxyFake, "/v1/models"), (ChatQwenFake, "/api/models")])
def test_a_key_is_asked_for_and_models_are_listed(fake: type[Fake], path: str) -> None:
    with fake(models=["qwen3-max"], key="k-1") as backend:
        assert 401 == httpx.get(backend.url + path, trust_env=False, verify=False).status_code
        shown = {"authorization": "Bearer k-1"}
        listed = httpx.get(backend.url + path, headers=shown, trust_env=False, verify=False).json()
    assert ["qwen3-max"] == [item["id"] for item in listed["data"]]
