"""AsyncRouter.stream over real sockets: commit, cuts, silence, leaving early, nothing left behind."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import anyio
import pytest

from provider_router import AsyncRouter, DeadlineExceeded, Limits, ProviderError, StreamInterrupted
from provider_router.backends import (
    DONE,
    FAULTS,
    RESET,
    STALL,
    Backend,
    Pause,
    answers,
    broken,
    calls,
    event,
    pings,
    silent,
    status,
    streams,
)
from provider_router.errors import Failure

STORY = "One pelican flew over the quiet harbour."
LONG = " ".join(f"word{number}" for number in range(200))


async def test_the_words_arrive_one_by_one_and_add_up(quick: Any) -> None:
    with Backend(answers("Why is the sky blue?")) as one:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url)]) as r, r.stream("hi") as stream:
            texts = [chunk.text async for chunk in stream]
            assert "".join(texts) == stream.text == stream.response.text == "Why is the sky blue?"
            assert len([text for text in texts if text]) > 1
            assert (stream.provider, stream.response.finish_reason) == ("a", "stop")
            assert [a.failure for a in stream.attempts] == [None]


async def test_an_open_stream_keeps_of_what_was_read_hardly_more_than_the_bytes(quick: Any) -> None:
    with Backend(answers(LONG)) as one:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url)]) as r, r.stream("hi") as stream:
            await anext(stream)
            tracemalloc.start()
            try:
                size = 0
                async for chunk in stream:
                    size += len(chunk.data) if chunk.text else 0
                gc.collect()
                kept, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert kept < 3 * size


async def test_chunks_of_long_ago_say_what_they_said(quick: Any) -> None:
    with Backend(answers("Why is the sky blue?")) as one:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url)]) as r, r.stream("hi") as stream:
            told = [(chunk, chunk.text, chunk.raw) async for chunk in stream]
    assert [(text, raw) for _, text, raw in told] == [(chunk.text, chunk.raw) for chunk, _, _ in told]


async def test_a_failure_before_the_first_word_goes_to_the_next_provider(quick: Any) -> None:
    with Backend(status(500)) as one, Backend(answers("two")) as two:
        async with (
            AsyncRouter(providers=[quick("a", base_url=one.base_url), quick("b", base_url=two.base_url)]) as r,
            r.stream("hi") as stream,
        ):
            assert "".join([chunk.text async for chunk in stream]) == "two"
    assert stream.trail.startswith("a: HTTP 500")


async def test_role_chunks_of_a_failed_attempt_are_thrown_away(quick: Any) -> None:
    with FAULTS["role-then-end"].backend() if "role-then-end" in FAULTS else FAULTS["role-then-error"].backend() as one:
        with Backend(answers("two")) as two:
            async with (
                AsyncRouter(providers=[quick("a", base_url=one.base_url), quick("b", base_url=two.base_url)]) as r,
                r.stream("hi") as stream,
            ):
                chunks = [chunk async for chunk in stream]
    assert len([chunk for chunk in chunks if chunk.delta.get("role")]) == 1


@pytest.mark.parametrize("how", [None, RESET])
async def test_a_cut_after_the_first_word_is_an_error_with_the_text_so_far(quick: Any, how: Any) -> None:
    reply = broken(after=5) if how is None else broken(after=5, how=how)
    with Backend(reply) as one, Backend(answers("two")) as two:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url), quick("b", base_url=two.base_url)]) as r:
            seen = ""
            with pytest.raises(StreamInterrupted) as caught:
                async with r.stream("hi") as stream:
                    async for chunk in stream:
                        seen += chunk.text
            assert caught.value.failure is Failure.TRUNCATED
            assert caught.value.text == seen
            assert STORY.startswith(seen)
            assert seen
            assert two.requests == []
            assert r.registry.health.in_flight == {}


async def test_a_stall_after_the_first_word_ends_at_the_idle_limit(hasty: Any) -> None:
    with Backend(broken(after=5, how=STALL)) as one:
        stalling = hasty("a", base_url=one.base_url, connect_timeout=20.0, first_token_timeout=20.0)
        async with AsyncRouter(providers=[stalling]) as r:
            with pytest.raises(StreamInterrupted) as caught:
                async with r.stream("hi") as stream:
                    async for _ in stream:
                        pass
    assert caught.value.failure is Failure.STALLED
    assert caught.value.attempts[-1].detail == "stalled"


async def test_pings_keep_a_stream_alive_beyond_its_limit(quick: Any) -> None:
    hello = answers("Hello")

    def pieces(request: Any) -> Any:
        yield hello.opening(request)
        for _ in range(10):
            yield b": ping\n\n"
            yield Pause(0.15)
        yield from [*hello.pieces(request), *hello.closing(request)]

    with Backend(streams(pieces)) as one:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url, first_token_timeout=1.3)]) as r:
            async with r.stream("hi") as stream:
                text = "".join([chunk.text async for chunk in stream])
    assert text == "Hello"


async def test_leaving_early_breaks_off_the_generation_upstream(quick: Any) -> None:
    with Backend(answers(LONG, pace=0.05)) as one:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url)]) as r:
            async with r.stream("hi") as stream:
                async for chunk in stream:
                    if chunk.text:
                        break
            assert await anyio.to_thread.run_sync(one.wait_until, lambda backend: backend.hang_ups == 1)
            assert r.registry.health.in_flight == {}
            assert stream.attempts[-1].failure is Failure.CANCELLED


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3])
async def test_a_cancelled_caller_leaves_nothing_behind(quick: Any, delay: float) -> None:
    with Backend(answers(LONG, pace=0.02)) as one:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url)]) as r:
            with anyio.move_on_after(delay) as scope:
                async with r.stream("hi") as stream:
                    async for _ in stream:
                        pass
            assert scope.cancelled_caught
            assert r.registry.health.in_flight == {}
    gc.collect()


@pytest.mark.parametrize("whose", ["stream", "router"])
@pytest.mark.parametrize("begun", [True, False], ids=["after its first word", "before it"])
async def test_a_stream_that_is_closed_elsewhere_ends_for_whoever_waits_for_it(
    whose: str, begun: bool, quick: Any
) -> None:
    told: list[StreamInterrupted] = []
    at_work = anyio.Event()
    with Backend(broken(after=5, how=STALL) if begun else silent()) as one:
        r = AsyncRouter(providers=[quick("a", base_url=one.base_url)])
        stream = r.stream("hi", model="m")

        async def read() -> None:
            with pytest.raises(StreamInterrupted) as raised:
                async with stream:
                    async for chunk in stream:
                        if chunk.text:
                            at_work.set()
            told.append(raised.value)

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await anyio.to_thread.run_sync(one.wait_until, lambda traffic: bool(traffic.requests))
            if begun:
                await at_work.wait()
            await (stream if whose == "stream" else r).aclose()
        assert await anyio.to_thread.run_sync(one.wait_closed)
        await r.aclose()
    assert [(begun, Failure.CANCELLED)] == [(bool(error.text), error.failure) for error in told]


@pytest.mark.parametrize("whole", [True, False])
async def test_going_on_after_closing_is_an_end_only_where_the_answer_was_whole(whole: bool, quick: Any) -> None:
    with Backend(answers(STORY) if whole else broken(after=5, how=STALL)) as one:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url)]) as r, r.stream("hi") as stream:
            async for chunk in stream:
                if chunk.finish_reason if whole else chunk.text:
                    break
            await stream.aclose()
            if whole:
                assert not [chunk.text async for chunk in stream if chunk.text]
            else:
                with pytest.raises(StreamInterrupted) as raised:
                    [chunk async for chunk in stream]
                assert stream.text == raised.value.text != ""


async def test_an_exception_of_the_caller_passes_through_untouched(quick: Any) -> None:
    with Backend(answers(LONG, pace=0.02)) as one:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url)]) as r:
            with pytest.raises(ZeroDivisionError):
                async with r.stream("hi") as stream:
                    async for _ in stream:
                        1 / 0  # noqa: B018
            assert r.registry.health.in_flight == {}


async def test_nothing_is_held_while_the_caller_has_the_floor(quick: Any) -> None:
    """A caller may open a stream in one task group and go on in another: no scope of ours is entangled with his."""
    with Backend(answers(LONG)) as one:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url)]) as r:
            stream = r.stream("hi")
            async with anyio.create_task_group():
                await stream.__aenter__()
            with anyio.move_on_after(5):
                first = await anext(stream)
            texts = [first.text]
            async with anyio.create_task_group() as group:

                async def rest() -> None:
                    texts.extend([chunk.text async for chunk in stream])

                group.start_soon(rest)
            await stream.aclose()
    assert "".join(texts) == LONG


async def test_the_total_time_ends_a_stream_too(quick: Any) -> None:
    with Backend(answers(LONG, pace=0.05)) as one:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url)]) as r:
            with pytest.raises((DeadlineExceeded, StreamInterrupted)):
                async with r.stream("hi", timeout=0.6) as stream:
                    async for _ in stream:
                        pass
            assert r.registry.health.in_flight == {}


async def test_tool_calls_come_in_pieces_and_are_put_together(quick: Any) -> None:
    with Backend(calls("find_pelican", {"harbour": "the quiet one"})) as one:
        tool = {"type": "function", "function": {"name": "find_pelican", "parameters": {"type": "object"}}}
        async with (
            AsyncRouter(providers=[quick("a", base_url=one.base_url)]) as r,
            r.stream("where?", tools=[tool]) as stream,
        ):
            async for _ in stream:
                pass
            [call] = stream.response.tool_calls
    assert (call.name, call.parse()) == ("find_pelican", {"harbour": "the quiet one"})


async def test_usage_comes_where_it_was_asked_for(quick: Any) -> None:
    with Backend(answers("Hello", tokens=(7, 3))) as one:
        async with (
            AsyncRouter(providers=[quick("a", base_url=one.base_url)]) as r,
            r.stream("hi", stream_options={"include_usage": True}) as stream,
        ):
            async for _ in stream:
                pass
            assert stream.usage is not None
            assert (stream.usage.prompt_tokens, stream.usage.completion_tokens) == (7, 3)


@pytest.mark.no_cover
async def test_a_hundred_streams_at_once(quick: Any) -> None:
    with Backend(answers("Why is the sky blue?")) as one:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url, first_token_timeout=60)]) as r:
            texts: list[str] = []

            async def ask() -> None:
                async with r.stream("hi") as stream:
                    texts.append("".join([chunk.text async for chunk in stream]))

            async with anyio.create_task_group() as group:
                for _ in range(100):
                    group.start_soon(ask)
    assert texts == ["Why is the sky blue?"] * 100


async def test_a_stream_that_was_not_entered_says_how_to(quick: Any) -> None:
    router = AsyncRouter(providers=[quick("a", base_url="http://localhost:1")])
    with pytest.raises(RuntimeError, match="context manager"):
        aiter(router.stream("hi"))


async def test_pings_alone_are_no_answer_at_a_total(quick: Any) -> None:
    with Backend(pings()) as one, Backend(silent()):
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url)]) as r:
            with pytest.raises((ProviderError, DeadlineExceeded)):
                async with r.stream("hi", timeout=Limits(total=1.5)):
                    pass


async def test_one_broken_event_is_left_out_and_counted(quick: Any) -> None:
    with FAULTS["bad-event"].backend() as one:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url)]) as r, r.stream("hi") as stream:
            text = "".join([chunk.text async for chunk in stream])
    assert text == STORY
    assert stream.skipped_events == 1


def two_choices(*events: tuple[int, str | None, str | None], then: Any = None) -> Any:
    """A stream of two choices: which one, what it says, why it ends; then, in place of the end, something else."""

    def pieces(_: Any) -> Any:
        for index, text, finish in events:
            choice = {"index": index, "delta": {"content": text} if text else {}, "finish_reason": finish}
            yield event({"object": "chat.completion.chunk", "choices": [choice]})
        yield DONE if then is None else then

    return streams(pieces)


WHOLE = ((0, "one", None), (1, "two", None), (0, None, "stop"), (1, " more", None), (1, None, "length"))


@pytest.mark.parametrize("then", [DONE, RESET], ids=["done", "reset after both ends"])
async def test_an_answer_with_two_choices_ends_when_both_have_ended(then: Any, quick: Any) -> None:
    with Backend(two_choices(*WHOLE, then=then)) as one:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url)]) as r, r.stream("hi", n=2) as stream:
            async for _ in stream:
                pass
    choices = stream.response.raw["choices"]
    assert [("one", "stop"), ("two more", "length")] == [(c["message"]["content"], c["finish_reason"]) for c in choices]
    assert [None] == [attempt.failure for attempt in stream.attempts]


@pytest.mark.parametrize("then", [DONE, RESET], ids=["done", "reset"])
async def test_a_stream_that_is_cut_after_the_end_of_one_of_its_two_choices_is_no_success(
    then: Any, quick: Any
) -> None:
    with Backend(two_choices(*WHOLE[:-1], then=then)) as one:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url)]) as r, r.stream("hi", n=2) as stream:
            with pytest.raises(StreamInterrupted):
                async for _ in stream:
                    pass
    assert [Failure.TRUNCATED] == [attempt.failure for attempt in stream.attempts]


@pytest.mark.parametrize("text", ["Hello", ""], ids=["text", "no text"])
async def test_a_backend_that_gives_one_choice_of_two_has_answered(text: str, quick: Any) -> None:
    with Backend(two_choices((0, text or None, None), (0, None, "stop"))) as one:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url)]) as r, r.stream("hi", n=2) as stream:
            assert "".join([chunk.text async for chunk in stream]) == text
    assert [None] == [attempt.failure for attempt in stream.attempts]
    assert ("n=2 was dropped: there is 1 of them",) == stream.response.warnings
