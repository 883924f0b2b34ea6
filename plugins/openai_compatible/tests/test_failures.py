"""Texts of well-known servers that give no code, and error events of every make."""

from __future__ import annotations

import json

import pytest

from provider_router.backends import Backend, event, streams
from provider_router.plugin import ChatRequest, Failure, ProviderError
from provider_router_openai_compatible import OpenAICompatible


@pytest.mark.parametrize(
    ("status", "message", "failure"),
    [
        (400, "This model's maximum context length is 4096 tokens. However, you requested 5000.", "context_length"),
        (404, "No endpoints found that support tool use.", "capability"),
        (404, "No endpoints found for nobody/nothing.", "model_unavailable"),
        (500, "This model's maximum context length is 4096 tokens.", "server"),
        (400, "Somebody wrote: This model's maximum context length is 4096 tokens", "bad_request"),
    ],
)
def test_a_known_text_with_its_status_has_its_class(status: int, message: str, failure: str) -> None:
    provider = OpenAICompatible("cloud", base_url="http://localhost:1/v1")
    body = json.dumps({"object": "error", "message": message, "code": status}).encode()
    error = provider.read_error(status, body, {})
    assert (error.failure, error.provider) == (Failure(failure), "cloud")


@pytest.mark.parametrize("data", ['{"detail": "overloaded"}', '{"message": "no such thing"}', "out of memory"])
async def test_an_event_that_calls_itself_an_error_is_one_whatever_it_holds(data: str) -> None:
    with Backend(streams(lambda request: [event(data, name="error")])) as backend:
        provider = OpenAICompatible("cloud", base_url=backend.base_url)
        with pytest.raises(ProviderError) as caught:
            async for _ in provider.stream(ChatRequest.of("hi", model="m")):
                pass
        await provider.aclose()
    assert caught.value.failure is Failure.MALFORMED
