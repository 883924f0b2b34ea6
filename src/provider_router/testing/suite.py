"""ProviderSuite: what every provider type has to keep, as tests to inherit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from typing import Protocol

import pytest

from provider_router.backends import answers
from provider_router.plugin import ChatRequest, Provider
from provider_router.testing.fakes import Fake
from provider_router.testing.rules import same


class Make(Protocol):
    """What the fixture `make` returns: a provider of the type under test, for a fake that runs."""

    def __call__(self, name: str, fake: Fake, /, **options: object) -> Provider:
        """A provider.

        Args:
            name: Its id, to be handed on.
            fake: A running fake of the kind that the fixture `fake` returns; `fake.base_url` is its address.
            **options: Options as Python spells them, to be handed on: `timeout=0.2`.
        """


@pytest.mark.anyio
class ProviderSuite:
    """Subclass it as `Test…`, give it two fixtures, and its tests run on asyncio and trio.

    - `fake`: a fake of the type's backend, not started.
    - `make`: returns a provider of the type for a running fake (see `Make`).

    The suite starts the fake; a test of your own in the subclass gets the running one as `backend`.
    """

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> str:
        """Both event loops: trio is the stricter one, and finds leaks that asyncio hides."""
        return str(request.param)

    @pytest.fixture
    def fake(self) -> Fake:
        """A fake of the type's backend, not started: the subclass says which."""
        raise NotImplementedError("give the subclass of ProviderSuite a fixture `fake` that returns a Fake")

    @pytest.fixture
    def make(self) -> Make:
        """How a provider is made: the subclass says it."""
        raise NotImplementedError("give the subclass of ProviderSuite a fixture `make`; see testing.Make")

    @pytest.fixture
    def backend(self, fake: Fake) -> Iterator[Fake]:
        """The fake, running."""
        with fake:
            yield fake

    async def test_chat_returns_the_answer(self, backend: Fake, make: Make) -> None:
        backend.script(answers("One pelican."))
        async with aclosing(make("desk", backend)) as provider:
            answer = await provider.chat(ChatRequest.of("hi", model="small-model"))
        same("chat-answers", "One pelican.", answer.text, what="the text of the answer")

    async def test_chunks_add_up(self, backend: Fake, make: Make) -> None:
        backend.script(answers("One pelican flew over the harbour."))
        async with aclosing(make("desk", backend)) as provider:
            async with aclosing(provider.stream(ChatRequest.of("hi", model="small-model", stream=True))) as stream:
                text = "".join([chunk.text async for chunk in stream])
        same("stream-adds-up", "One pelican flew over the harbour.", text, what="the text of all chunks")
