"""The rules of a provider's life: side by side, at once, cancelled, closed, and in the Router's hands."""

from __future__ import annotations

from contextlib import aclosing

import anyio

from provider_router import AsyncRouter
from provider_router.backends import STALL, Answer, Wire, answers, broken, silent, status
from provider_router.plugin import Provider
from provider_router.testing.asking import MODEL, PATIENT, QUESTION, WAYS, chats, request, seen, told
from provider_router.testing.fakes import Fake
from provider_router.testing.fixtures import Make, ProviderFixtures
from provider_router.testing.rules import Keeps, rule

CALLS = 8


class LifeRules(ProviderFixtures):
    """How a provider lives and ends."""

    @rule("nothing-shared")
    async def test_two_providers_ask_each_its_own_backend(self, fake: Fake, make: Make, keeps: Keeps) -> None:
        with fake.fresh(answers("first")) as first, fake.fresh(answers("second")) as second:
            desk, loft = make("desk", first, **PATIENT), make("loft", second, **PATIENT)
            said = [(await provider.chat(request())).text for provider in (desk, loft, desk)]
            keeps.same(["first", "second", "first"], said, "the answers of the two, in turn")
            await desk.aclose()
            keeps.same("second", (await loft.chat(request())).text, "what one says after the other was closed")
            await loft.aclose()
        keeps.holds(desk.endpoint != loft.endpoint, f"both tell the endpoint {desk.endpoint}")
        keeps.holds(desk.config is not loft.config, "both have the same config")

    @rule("nothing-shared")
    async def test_two_providers_of_one_backend_have_connections_of_their_own(
        self, backend: Fake, make: Make, keeps: Keeps
    ) -> None:
        desk, loft = make("desk", backend, **PATIENT), make("loft", backend, **PATIENT)
        await desk.chat(request())
        await loft.chat(request())
        used = [sent.connection for sent in chats(backend)]
        keeps.same(2, len(set(used)), "connections of two providers")
        await desk.aclose()
        await loft.aclose()

    @rule("closed-twice")
    async def test_a_provider_is_closed_twice(self, backend: Fake, make: Make, keeps: Keeps) -> None:
        provider = make("desk", backend, **PATIENT)
        await provider.chat(request())
        await provider.aclose()
        await provider.aclose()
        closed = await seen(backend, lambda fake: fake.open_connections == 0)
        keeps.holds(closed, "a connection is open after aclose()")

    @rule("closed-twice")
    async def test_a_provider_that_was_never_used_is_closed(self, backend: Fake, make: Make, keeps: Keeps) -> None:
        provider = make("desk", backend)
        await provider.aclose()
        await provider.aclose()
        keeps.same(0, backend.connections, "connections of a provider that was not asked")

    @rule("closed-twice")
    async def test_making_and_preparing_a_provider_asks_nobody(self, backend: Fake, make: Make, keeps: Keeps) -> None:
        provider = make("desk", backend)
        provider.prepare()
        repr(provider)
        _ = provider.endpoint, provider.zone, provider.bounds()
        await provider.aclose()
        keeps.same(0, backend.connections, "connections of a provider that was not asked")

    @rule("cancelled-closes")
    async def test_a_cancelled_chat_closes_its_connection(
        self, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        backend.script(silent())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(provider.chat, request())
            keeps.holds(await seen(backend, lambda fake: bool(chats(fake))), "no request came")
            tasks.cancel_scope.cancel()
        gone = await seen(backend, lambda fake: fake.hang_ups == 1)
        keeps.holds(gone, "the backend still holds the connection of a call that was cancelled")

    @rule("cancelled-closes")
    async def test_a_cancelled_stream_closes_its_connection(
        self, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        backend.script(broken(how=STALL))
        begun = anyio.Event()

        async def read() -> None:
            async with aclosing(provider.stream(request(stream=True))) as stream:
                async for chunk in stream:
                    if chunk.text:
                        begun.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            with anyio.fail_after(10):
                await begun.wait()
            tasks.cancel_scope.cancel()
        gone = await seen(backend, lambda fake: fake.hang_ups == 1)
        keeps.holds(gone, "the backend still holds the connection of a stream that was cancelled")

    @rule("cancelled-closes")
    async def test_after_a_cancelled_call_the_next_one_is_answered(
        self, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        backend.script(silent(), answers("Next."))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(provider.chat, request())
            await seen(backend, lambda fake: bool(chats(fake)))
            tasks.cancel_scope.cancel()
        keeps.same("Next.", (await provider.chat(request())).text, "what the next call says")

    @rule("at-once")
    async def test_calls_at_once_get_each_its_answer(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.script(Answer(text=lambda asked: f"You said {backend.asked(asked)}"))
        said: dict[str, str] = {}

        async def ask(text: str, way: str) -> None:
            said[text] = (await told(provider, request(text), way)).text

        async with anyio.create_task_group() as tasks:
            for number in range(CALLS):
                tasks.start_soon(ask, f"number {number}", WAYS[number % 2])
        wrong = {asked: answer for asked, answer in said.items() if not answer.endswith(asked)}
        keeps.same({}, wrong, "questions with another's answer")
        keeps.same(CALLS, len(said), "calls that were answered")

    @rule("at-once")
    async def test_one_that_fails_leaves_the_others_alone(
        self, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        backend.script(answers("Yes."))
        async with aclosing(provider.stream(request(stream=True))) as stream:
            await anext(stream)
            backend.script(status(500), answers("Still here."))
            try:
                await provider.chat(request())
            except Exception as error:
                keeps.same("desk", getattr(error, "provider", None), "who failed")
            async for _ in stream:
                pass
        keeps.same("Still here.", (await provider.chat(request())).text, "what the next call says")

    @rule("loops-apart")
    def test_a_provider_works_in_one_loop_after_another(
        self, fake: Fake, make: Make, keeps: Keeps, anyio_backend_name: str
    ) -> None:
        with fake.fresh(answers("Yes.")) as backend:
            provider = make("desk", backend, **PATIENT)

            async def ask() -> str:
                text = (await provider.chat(request())).text
                await provider.aclose()
                return text

            said = [anyio.run(ask, backend=anyio_backend_name) for _ in range(2)]
        keeps.same(["Yes.", "Yes."], said, "the answers in two loops")

    # In the Router's hands

    @rule("routed")
    async def test_the_router_chats_and_streams_over_it(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.script(answers("One pelican flew."))
        async with AsyncRouter(providers=[provider]) as router:
            answer = await router.chat(QUESTION, model=MODEL)
            async with router.stream(QUESTION, model=MODEL) as stream:
                text = "".join([chunk.text async for chunk in stream])
        keeps.same(("One pelican flew.", "desk"), (answer.text, answer.provider), "answer and provider of chat()")
        keeps.same(("One pelican flew.", "desk"), (text, stream.provider), "answer and provider of stream()")

    @rule("routed", Wire.HTTP)
    async def test_the_router_goes_on_to_the_next(self, fake: Fake, make: Make, keeps: Keeps) -> None:
        with fake.fresh(status(500)) as first, fake.fresh(answers("From the second.")) as second:
            providers = [make("desk", first, **PATIENT), make("loft", second, **PATIENT)]
            async with AsyncRouter(providers=providers) as router:
                answer = await router.chat(QUESTION, model=MODEL, max_attempts=3)
            tried = [str(each.failure) for each in answer.attempts if each.provider == "desk"]
        keeps.same(("From the second.", "loft"), (answer.text, answer.provider), "answer and provider")
        keeps.same({"server"}, set(tried), "what the first came to")
