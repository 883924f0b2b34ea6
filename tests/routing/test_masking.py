"""Before a body is kept, secrets, images and sound are taken out of it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_router.limits import BODY_LETTERS
from provider_router.providers.secrets import Secret, mask_text
from provider_router.routing.masking import masked_body, masked_text

BLOB = base64.b64encode(bytes(range(256)) * 4).decode()


def kept(body: Any, *secrets: str) -> Any:
    masks = [lambda text: mask_text(text, map(Secret, secrets))]
    text = masked_body(json.dumps(body).encode(), masks)
    assert text is not None
    return json.loads(text)


def test_ordinary_talk_is_kept_as_it_is() -> None:
    body = {
        "model": "qwen3",
        "max_tokens": 20,
        "messages": [{"role": "user", "content": "My task: what is a token? It is secret-free. " * 9}],
        "logprobs": {"content": [{"token": "Hello", "logprob": -0.1}]},
    }
    assert body == kept(body)


def test_images_and_sound_are_left_out() -> None:
    url = f"data:image/png;base64,{BLOB}"
    image = {"type": "image_url", "image_url": {"url": url}}
    sound = {"type": "input_audio", "input_audio": {"data": BLOB, "format": "wav"}}
    found = kept({"messages": [{"role": "user", "content": [image, sound]}]})["messages"][0]["content"]
    assert f"data:image/png;base64,***({len(url)} letters)" == found[0]["image_url"]["url"]
    assert f"***({len(BLOB)} letters)" == found[1]["input_audio"]["data"]
    assert BLOB[:64] not in json.dumps(found)


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdef0123456789",
        "use sk-proj-abcdefghij0123456789 for it",
        "api_key=abcdef0123456789",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhYmNkZWYwMTIzNDU2Nzg5In0.abcdef0123456789",
        "ghp_abcdef0123456789abcdef",
    ],
)
def test_what_looks_like_a_key_is_left_out(text: str) -> None:
    masked = masked_text(text)
    assert "***" in masked
    assert "abcdef0123456789" not in masked


@pytest.mark.parametrize("name", ["Authorization", "api_key", "x-api-key", "Cookie", "password", "access_token"])
def test_what_is_named_like_a_secret_is_left_out(name: str) -> None:
    assert {"headers": {name: "***"}} == kept({"headers": {name: "short"}})


@given(st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=8, max_size=30))
def test_a_configured_secret_is_left_out_wherever_it_stands(secret: str) -> None:
    inner = json.dumps({"said": secret})
    body = {"a": [{"b": f"x {secret} y"}], "tool": inner}
    assert secret not in json.dumps(kept(body, secret), ensure_ascii=False)


def test_a_body_that_is_too_long_is_cut_and_says_so() -> None:
    found = kept({"content": "word " * BODY_LETTERS})
    assert BODY_LETTERS == len(found["cut"])
    assert found["letters"] > 5 * BODY_LETTERS


def test_what_is_no_json_is_kept_as_text() -> None:
    assert '"no \ufffd json"' == masked_body(b"no \xff json")
    assert masked_body(None) is None
