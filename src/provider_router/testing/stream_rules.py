"""The rules of streams: what they add up to, when a chunk is handed out, and what an early end means."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import aclosing

import anyio

from provider_router import AsyncRouter
from provider_router.backends import STALL, Answer, Request, Step, Until, Wire, answers, broken, streams
from provider_router.plugin import ChatChunk, Failure, Provider, ProviderError
from provider_router.testing.asking import PATIENT, request, seen, streamed
from provider_router.testing.fakes import Fake
from provider_router.testing.fixtures import Make, ProviderFixtures
from provider_router.testing.rules import Keeps, rule

STORY = "One pelican flew over the quiet harbour, twice: 日本, Grüße."


class StreamRules(ProviderFixtures):
    """What stream() hands out."""

    @rule("stream-adds-up")
    async def test_the_text_of_the_chunks_is_the_answers(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.script(answers(STORY))
        whole = await provider.chat(request())
        told = await streamed(provider, request())
        keeps.same(STORY, whole.text, "what chat() says")
        keeps.same(STORY, told.text, "the text of all chunks")
        kinds = {type(chunk) for chunk in told.chunks}
        keeps.same({ChatChunk}, kinds, "what the chunks are")

    @rule("stream-adds-up", Wire.REASONING)
    async def test_the_reasoning_of_the_chunks_is_the_answers(
        self, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        backend.script(answers("A heron.", reasoning="Grey, and it stands still."))
        whole = await provider.chat(request())
        told = await streamed(provider, request())
        expected = ("A heron.", "Grey, and it stands still.")
        keeps.same(expected, (whole.text, whole.reasoning), "text and reasoning of chat()")
        keeps.same(expected, (told.text, told.reasoning), "text and reasoning of all chunks")

    @rule("stream-adds-up", Wire.MODEL)
    async def test_a_stream_says_which_model_answers(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.script(answers("Yes.", model="other-model"))
        keeps.same("other-model", (await streamed(provider, request())).model, "the model that the chunks name")

    @rule("stream-adds-up", Wire.USAGE)
    async def test_a_stream_says_what_it_used_where_that_is_asked(
        self, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        backend.script(answers("Yes.", tokens=(11, 7)))
        told = await streamed(provider, request(fields={"stream_options": {"include_usage": True}}))
        used = (told.usage.prompt_tokens, told.usage.completion_tokens) if told.usage else None
        keeps.same((11, 7), used, "tokens of prompt and answer in the chunks")

    @rule("stream-ends", Wire.FINISH)
    async def test_a_whole_stream_has_a_finish_reason(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.script(answers("Yes."))
        keeps.same("stop", (await streamed(provider, request())).finish_reason, "the last finish_reason")

    @rule("stream-ends", Wire.LENGTH)
    async def test_a_stream_without_tokens_left_says_so(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.script(answers("Once upon", finish_reason="length"))
        keeps.same("length", (await streamed(provider, request())).finish_reason, "the last finish_reason")

    @rule("stream-ends", Wire.FINISH)
    async def test_only_the_last_chunks_say_why_it_ended(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.script(answers(STORY))
        told = await streamed(provider, request())
        ended = [chunk.finish_reason is not None for chunk in told.chunks]
        late = [chunk.text for chunk, over in zip(told.chunks, _since(ended), strict=True) if over and chunk.text]
        keeps.same([], late, "text that comes after a finish_reason")

    @rule("stream-flows")
    async def test_a_chunk_comes_before_the_backend_goes_on(
        self, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        go_on = threading.Event()
        answer = answers(STORY)

        def halting(asked: Request) -> Iterator[Step]:
            first, *rest = answer.pieces(asked)
            yield from (answer.opening(asked), first)
            yield Until(go_on)
            yield from [*rest, *answer.closing(asked), backend.done]

        backend.script(streams(halting, plain=answer))
        text = ""
        try:
            with anyio.fail_after(10):
                async with aclosing(provider.stream(request(stream=True))) as stream:
                    async for chunk in stream:
                        text += chunk.text
                        if text:
                            go_on.set()
        except TimeoutError:
            keeps.broken("the first piece came, and no chunk was handed out while the backend waited")
        finally:
            go_on.set()
        keeps.same(STORY, text, "the text of all chunks")

    @rule("stream-ends", Wire.FINISH)
    async def test_a_cut_stream_raises(self, backend: Fake, make: Make, keeps: Keeps) -> None:
        backend.script(broken())
        provider = make("desk", backend, **PATIENT)
        text, error = "", None
        try:
            async with AsyncRouter(providers=[provider]) as router:
                async with router.stream(request(stream=True), max_attempts=1) as stream:
                    async for chunk in stream:
                        text += chunk.text
        except ProviderError as caught:
            error = caught
        finally:
            await provider.aclose()
        keeps.holds(text, "nothing of what came before the cut was handed out")
        found = error.failure if error else None
        keeps.same(Failure.TRUNCATED, found, "the failure of a stream that is cut after its first words")

    @rule("stream-abandoned")
    async def test_a_stream_that_is_left_closes_its_connection(
        self, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        backend.script(broken(how=STALL))
        async with aclosing(provider.stream(request(stream=True))) as stream:
            async for chunk in stream:
                if chunk.text:
                    break
        gone = await seen(backend, lambda fake: fake.hang_ups == 1)
        keeps.holds(gone, "the backend still holds the connection of a stream that nobody reads")

    @rule("stream-abandoned")
    async def test_after_a_stream_was_left_the_next_call_is_answered(
        self, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        backend.script(Answer(text=STORY, pace=0.01), answers("Next."))
        async with aclosing(provider.stream(request(stream=True))) as stream:
            await anext(stream)
        keeps.same("Next.", (await provider.chat(request())).text, "what the next call says")

    @rule("stream-adds-up")
    async def test_one_provider_streams_many_times(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.script(answers("first one"), answers("second one"))
        said = [(await streamed(provider, request())).text for _ in range(2)]
        keeps.same(["first one", "second one"], said, "the streams")


def _since(ended: list[bool]) -> Iterator[bool]:
    over = False
    for end in ended:
        yield over
        over = over or end
