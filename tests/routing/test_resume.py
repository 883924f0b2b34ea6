"""A stream that is cut and replayed elsewhere; plain calls that ride a stream; guards in force."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from provider_router import Admin, AsyncRouter, StreamInterrupted
from provider_router.backends import (
    DONE,
    STALL,
    Backend,
    Request,
    Step,
    answers,
    broken,
    calls,
    event,
    says,
    status,
    streams,
)
from provider_router.errors import Failure, NotCapable
from provider_router.providers.plugins import Plugins

STORY = "One pelican flew over the quiet harbour."


async def test_a_replay_goes_on_where_the_cut_stream_ended(quick: Any) -> None:
    with Backend(broken(after=4)) as one, Backend(answers(STORY)) as two:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url), quick("b", base_url=two.base_url)]) as r:
            async with r.stream("hi", resume="replay") as stream:
                text = "".join([chunk.text async for chunk in stream])
            assert text == stream.text == STORY
            assert [(a.provider, a.failure) for a in stream.attempts] == [("a", Failure.TRUNCATED), ("b", None)]
            assert r.registry.health.in_flight == {}


async def test_a_stalled_stream_is_replayed_too(quick: Any, hasty: Any) -> None:
    with Backend(broken(after=4, how=STALL)) as one, Backend(answers(STORY)) as two:
        async with AsyncRouter(providers=[hasty("a", base_url=one.base_url), quick("b", base_url=two.base_url)]) as r:
            async with r.stream("hi", resume="replay") as stream:
                assert "".join([chunk.text async for chunk in stream]) == STORY


async def test_a_replay_that_is_cut_in_turn_is_replayed_by_the_next(quick: Any) -> None:
    with Backend(broken(after=3)) as one, Backend(broken(after=5)) as two, Backend(answers(STORY)) as three:
        providers = [quick(str(number), base_url=b.base_url) for number, b in enumerate((one, two, three))]
        async with AsyncRouter(providers=providers) as r, r.stream("hi", resume="replay") as stream:
            assert "".join([chunk.text async for chunk in stream]) == STORY


async def test_another_text_is_no_replay(quick: Any) -> None:
    with Backend(broken(after=4)) as one, Backend(answers("Something else entirely.")) as two:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url), quick("b", base_url=two.base_url)]) as r:
            seen = ""
            with pytest.raises(StreamInterrupted) as caught:
                async with r.stream("hi", resume="replay") as stream:
                    async for chunk in stream:
                        seen += chunk.text
            assert seen
            assert STORY.startswith(seen)
            assert caught.value.text == seen
            assert r.registry.health.in_flight == {}


async def test_with_nobody_else_the_cut_is_told_as_what_it_was(quick: Any) -> None:
    with Backend(broken(after=4)) as one, Backend(status(500)) as two:
        async with AsyncRouter(
            providers=[quick("a", base_url=one.base_url), quick("b", base_url=two.base_url)], seed=1
        ) as r:
            with pytest.raises(StreamInterrupted) as caught:
                async with r.stream("hi", resume="replay") as stream:
                    async for _ in stream:
                        pass
    assert caught.value.failure is Failure.TRUNCATED
    assert [a.provider for a in caught.value.attempts] == ["a", "b", "b"]


async def replayed(quick: Any, *replies: Any) -> tuple[str, StreamInterrupted | None]:
    """What the caller of a stream has in the end, with these backends one after another."""
    text, interrupted = "", None
    with ExitStack() as opened:
        backends = [opened.enter_context(Backend(reply)) for reply in replies]
        providers = [quick(str(number), base_url=backend.base_url) for number, backend in enumerate(backends)]
        async with AsyncRouter(providers=providers) as r:
            stream = r.stream("hi", model="m", resume="replay")
            try:
                async with stream:
                    async for chunk in stream:
                        text += chunk.text
            except StreamInterrupted as error:
                interrupted = error
            assert r.registry.health.in_flight == {}
    if interrupted is None:
        assert stream.response.finish_reason == "stop"
    else:
        assert interrupted.text == text
        assert interrupted.__notes__ == [str(attempt) for attempt in interrupted.attempts]
    return text, interrupted


async def test_a_replay_that_is_cut_before_it_said_anything_new_is_replayed_by_the_next(quick: Any) -> None:
    assert await replayed(quick, broken(after=5), broken(after=2), answers(STORY)) == (STORY, None)


async def test_a_replay_may_come_whole(quick: Any) -> None:
    whole = answers(STORY)

    def plain(request: Request) -> Iterator[Step]:
        yield from says(whole.body(request))(request)

    def one_chunk(request: Request) -> list[Step]:
        return [event(whole.chunk(request, {"content": STORY}, finish_reason="stop")), DONE]

    assert await replayed(quick, broken(after=4), plain) == (STORY, None)
    assert await replayed(quick, broken(after=4), streams(one_chunk)) == (STORY, None)


async def test_a_replay_that_begins_otherwise_or_ends_early_is_no_success(quick: Any) -> None:
    def begins_otherwise(request: Request) -> list[Step]:
        story = answers(STORY)
        return [event(story.chunk(request, {"content": "Hm. "})), *story.pieces(request), *story.closing(request), DONE]

    for other in (streams(begins_otherwise), answers("One pelican"), answers("One")):
        text, error = await replayed(quick, broken(after=4), other)
        assert STORY.startswith(text)
        assert error is not None
        assert error.attempts[-1].detail == "another answer"


async def test_alone_a_cut_is_told_once(quick: Any) -> None:
    text, error = await replayed(quick, broken(after=4))
    assert text
    assert error is not None
    assert len(error.__notes__) == 1


async def test_tool_calls_are_never_replayed(quick: Any) -> None:
    cut = broken(after=3, answer=calls("find_pelican", {"harbour": "the quiet one"}))
    with Backend(cut) as one, Backend(answers(STORY)) as two:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url), quick("b", base_url=two.base_url)]) as r:
            with pytest.raises(StreamInterrupted):
                async with r.stream("hi", resume="replay") as stream:
                    async for _ in stream:
                        pass
    assert two.requests == []


async def test_a_plain_call_can_ride_a_stream(quick: Any) -> None:
    with Backend(answers(STORY, tokens=(7, 9))) as one:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url, upstream_stream=True)]) as r:
            answer = await r.chat("hi")
    sent = one.requests[-1].json
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})
    assert (answer.text, answer.finish_reason) == (STORY, "stop")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 7


async def test_a_ride_that_is_cut_is_no_answer(quick: Any) -> None:
    with Backend(broken(after=4)) as one, Backend(answers("two")) as two:
        riding = quick("a", base_url=one.base_url, upstream_stream=True)
        async with AsyncRouter(providers=[riding, quick("b", base_url=two.base_url)], seed=1) as r:
            answer = await r.chat("hi")
    assert answer.text == "two"
    assert {a.failure for a in answer.attempts if a.provider == "a"} == {Failure.MALFORMED}


async def test_a_doubtful_answer_is_a_warning_or_the_next_providers_turn(quick: Any) -> None:
    with Backend(answers("one", model="other-7b")) as one, Backend(answers("two", model="pelican")) as two:
        providers = [quick("a", base_url=one.base_url), quick("b", base_url=two.base_url)]
        async with AsyncRouter(providers=providers) as r:
            warned = await r.chat("hi", model="pelican")
            passed = await r.chat("hi", model="pelican", guards="next")
            silent = await r.chat("hi", model="pelican", guards="off")
            async with r.stream("hi", model="pelican") as stream:
                async for _ in stream:
                    pass
            with pytest.raises(NotCapable, match="asked for was pelican"):
                await r.chat("hi", model="pelican", provider="a", guards="next")
            with pytest.raises(ValueError, match="guards: 'maybe' is not one of off, warn, next"):
                await r.chat("hi", guards="maybe")
    assert warned.warnings == ("the answer is of the model other-7b, asked for was pelican",)
    assert (passed.text, passed.warnings) == ("two", ())
    assert silent.warnings == ()
    assert stream.response.warnings == warned.warnings


@pytest.mark.parametrize("after", [2, 4, 6])  # in the middle of the reasoning, behind it, and in the text
async def test_reasoning_that_was_handed_out_is_not_said_twice(after: int, quick: Any) -> None:
    thinking = answers(STORY, reasoning="It is a bird.")
    with Backend(broken(after=after, answer=thinking)) as one, Backend(thinking) as two:
        async with AsyncRouter(providers=[quick("a", base_url=one.base_url), quick("b", base_url=two.base_url)]) as r:
            async with r.stream("hi", model="m", resume="replay") as stream:
                chunks = [chunk async for chunk in stream]
    assert ("It is a bird.", STORY) == ("".join(c.reasoning for c in chunks), "".join(c.text for c in chunks))
    assert [a.failure for a in stream.attempts] == [Failure.TRUNCATED, None]


async def test_other_reasoning_or_none_is_no_replay(quick: Any) -> None:
    cut = broken(after=2, answer=answers(STORY, reasoning="It is a bird."))
    for other in (answers(STORY, reasoning="Is it a fish?"), answers(STORY)):
        text, error = await replayed(quick, cut, other)
        assert text == ""
        assert error is not None
        assert error.attempts[-1].detail == "another answer"


async def test_a_doubtful_stream_is_the_next_providers_turn_before_its_first_word(quick: Any) -> None:
    with Backend(answers("one", model="other-7b")) as one, Backend(answers("two", model="pelican")) as two:
        providers = [quick("a", base_url=one.base_url), quick("b", base_url=two.base_url)]
        async with AsyncRouter(providers=providers) as r:
            async with r.stream("hi", model="pelican", guards="next") as stream:
                text = "".join([chunk.text async for chunk in stream])
            states = {state.state for state in await r.health()}
    assert [(a.provider, a.detail) for a in stream.attempts] == [("a", "doubtful answer"), ("b", "")]
    assert (text, stream.response.warnings, states) == ("two", (), {"ready"})


async def test_a_doubtful_answer_teaches_nothing_about_tools(quick: Any) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    with Backend(answers("one", model="other-7b")) as one, Backend(answers("two", model="pelican")) as two:
        providers = [quick("a", base_url=one.base_url), quick("b", base_url=two.base_url)]
        async with AsyncRouter(providers=providers) as r:
            answer = await r.chat("hi", model="pelican", tools=[tool], guards="next")
            steps = await r.plan("pelican", needs=["chat", "tools"])
    assert [(a.provider, a.failure) for a in answer.attempts] == [("a", Failure.CAPABILITY), ("b", None)]
    assert [(step.provider, step.state) for step in steps] == [("a", "ready"), ("b", "ready")]


async def test_a_model_by_another_name_is_no_doubt_in_a_stream(tmp_path: Path, quick: Any) -> None:
    database, plugins = tmp_path / "router.db", Plugins([quick])
    with Backend(answers("one", model="theirs")) as one, Admin(database, plugins=plugins) as admin:
        admin.providers.add("a", type="quick", config={"baseURL": one.base_url})
        admin.models.add("pelican")
        admin.links.link("a", "pelican", remote_name="theirs")
        admin.models.add("fast", alias_of="pelican")
        async with AsyncRouter(database, plugins=plugins) as r, r.stream("hi", model="fast") as stream:
            async for _ in stream:
                pass
        assert (stream.model, stream.response.warnings) == ("theirs", ())
