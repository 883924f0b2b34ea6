"""The parrot keeps the contract: how its backend looks, two fixtures, and the inherited suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from provider_router_parrot import Parrot, register_providers

from provider_router import AsyncRouter
from provider_router.backends import Answer, Reply, Request, Wire, answers, echoes, says
from provider_router.backends.answer import words
from provider_router.testing import Fake, LinesFake, Make, ProviderSuite


class Cage(LinesFake):
    """A parrot over HTTP."""

    dialect = "parrot"
    chat_paths = ("/say", "/sing")
    lacks = LinesFake.lacks | {
        *(Wire.CODES, Wire.LENGTH, Wire.MODEL, Wire.USAGE, Wire.REASONING, Wire.HISTORY, Wire.PARAMETERS)
    }

    def site(self) -> Mapping[tuple[str, str], Reply]:
        return {("POST", "/say"): echoes(), ("POST", "/sing"): echoes(), ("GET", "/mood"): says({"mood": "chatty"})}

    def streamed(self, request: Request) -> bool:
        return request.path == "/sing"

    def asked(self, request: Request) -> str:
        return str(request.json["line"])

    def whole(self, answer: Answer, request: Request) -> object:
        text = answer.text_for(request)
        return {**answer.extra, "reply": text, "words": len(text.split())}

    def begin(self, answer: Answer, request: Request) -> Sequence[object]:
        return []

    def parts(self, answer: Answer, request: Request) -> Sequence[object]:
        return [{**answer.extra, "word": word} for word in words(answer.text_for(request))]

    def end(self, answer: Answer, request: Request) -> Sequence[object]:
        return [{"end": True}]

    def error(self, message: str, **_: Any) -> object:
        return {"error": message}


class TestParrot(ProviderSuite):
    @pytest.fixture
    def fake(self) -> Fake:
        return Cage()

    @pytest.fixture
    def make(self) -> Make:
        return lambda name, fake, **options: Parrot(name, base_url=fake.base_url, **options)

    async def test_its_check_says_its_mood(self, provider: Parrot) -> None:
        assert "chatty" == (await provider.check()).detail

    async def test_it_is_as_loud_as_its_options_say(self, backend: Fake, make: Make) -> None:
        backend.script(answers("Pretty bird"))
        async with AsyncRouter(providers=[make("polly", backend, voice="loud")]) as router:
            await router.chat("Pretty bird", extra_body={"pitch": 3})
        assert {"line": "Pretty bird", "voice": "loud", "pitch": 3} == backend.requests[0].json


def test_the_plugin_registers_its_type() -> None:
    assert [Parrot] == register_providers()
