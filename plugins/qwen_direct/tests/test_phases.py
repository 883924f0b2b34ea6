"""The phases of an answer, read from events: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from provider_router.plugin import ChatChunk
from provider_router.testing.fakes.chat_qwen import created, piece
from provider_router_qwen_direct.phases import Increments, PhaseReader


def read(events: Iterable[Mapping[str, Any]]) -> tuple[PhaseReader, list[ChatChunk]]:
    reader = PhaseReader(chat_id="c-1", model="qwen3-max", created=1, who="qwen")
    chunks = [chunk for event in events for chunk in reader.feed(event)]
    return reader, [*chunks, *reader.close()]


def told(*texts: str) -> list[dict[str, Any]]:
    """The events of a whole answer."""
    return [created(), *(piece(text) for text in texts), piece(status="finished")]


def text(chunks: Iterable[ChatChunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def reasoning(chunks: Iterable[ChatChunk]) -> str:
    return "".join(chunk.reasoning for chunk in chunks)


def summary(titles: list[str], thoughts: list[str]) -> dict[str, Any]:
    extra = {"summary_title": {"content": titles}, "summary_thought": {"content": thoughts}}
    return piece(phase="thinking_summary", extra=extra)


def test_the_pieces_of_an_answer_are_its_text() -> None:
    reader, chunks = read(told("Hel", "lo."))
    assert "Hello." == text(chunks)
    assert "stop" == chunks[-1].finish_reason
    assert reader.finished
    assert {"provider": "qwen", "chat_id": "c-1", "parent_id": "r-1"} == reader.conversation
    assert reader.conversation == chunks[-1].raw["conversation"]


def test_every_chunk_has_the_same_id_and_the_first_the_role() -> None:
    _, chunks = read(told("a", "b", "c"))
    assert {"chatcmpl-r-1"} == {chunk.raw["id"] for chunk in chunks}
    assert [True, False, False, False] == ["role" in chunk.delta for chunk in chunks]


def test_thinking_is_reasoning_and_its_end_is_not_the_answers() -> None:
    events = [
        created(),
        piece("Hm. ", phase="think"),
        piece("Yes.", phase="think"),
        piece("", phase="think", status="finished"),
        piece("Hi"),
    ]
    reader, chunks = read(events)
    assert ("Hm. Yes.", "Hi") == (reasoning(chunks), text(chunks))
    assert [None] * len(chunks) == [chunk.finish_reason for chunk in chunks]
    assert not reader.finished


def test_of_summaries_that_are_told_again_only_what_is_new_is_told() -> None:
    events = [
        summary(["Plan"], ["First …"]),
        summary(["Plan"], ["First … then"]),
        summary(["Plan", "Check"], ["First … then"]),
        summary(["Plan", "Check"], ["First … then", "All good."]),
    ]
    _, chunks = read(events)
    assert "Plan\nFirst … then\nCheck\nAll good." == reasoning(chunks)


def test_the_events_of_another_candidate_are_left_out() -> None:
    events = [
        created(response_id="r-1"),
        created(response_id="r-2", index="1"),
        piece("mine "),
        piece("other ", response_id="r-2"),
        piece(status="finished", response_id="r-2"),
        piece("too"),
    ]
    reader, chunks = read(events)
    assert "mine too" == text(chunks)
    assert not reader.finished


def test_a_search_on_the_way_is_no_text() -> None:
    _, chunks = read(
        [
            created(),
            piece("looking", phase="web_search"),
            piece("", phase="web_search", status="finished"),
            piece("Found."),
        ]
    )
    assert "Found." == text(chunks)


def test_a_phase_that_is_not_known_is_no_text_and_no_end_and_is_remembered_once() -> None:
    events = [
        created(),
        piece('{"plan": 1}', phase="mcp_call"),
        piece("", phase="mcp_call", status="finished"),
        piece("Hi"),
        piece("more", phase="mcp_call"),
    ]
    reader, chunks = read([*events, piece(status="finished")])
    assert ("Hi", "", ["mcp_call"]) == (text(chunks), reasoning(chunks), reader.unknown)
    assert ["stop"] == [chunk.finish_reason for chunk in chunks if chunk.finish_reason]
    assert not read(events)[0].finished


def test_a_picture_is_a_part_of_the_answer_and_its_end_only_where_nothing_follows() -> None:
    drawn = [created(), piece("https://x/y.png", phase="image_gen"), piece("", phase="image_gen", status="finished")]
    for events, said in ((drawn, "https://x/y.png"), ([*drawn, *told(" A heron.")], "https://x/y.png A heron.")):
        reader, chunks = read(events)
        assert (said, ["stop"]) == (text(chunks), [chunk.finish_reason for chunk in chunks if chunk.finish_reason])
        assert reader.finished


def test_an_answer_that_became_too_long_says_so() -> None:
    event = piece("cut")
    event["choices"][0]["finish_reason"] = "length"
    _, chunks = read([created(), event])
    assert "length" == chunks[-1].finish_reason


def test_events_without_phases_are_the_answer() -> None:
    reader, chunks = read([piece("Hi", phase=None), piece("", phase=None, status="finished")])
    assert "Hi" == text(chunks)
    assert reader.finished


def test_usage_is_told_in_openais_words() -> None:
    usage = {
        "input_tokens": 1012,
        "output_tokens": 9,
        "total_tokens": 1021,
        "output_tokens_details": {"reasoning_tokens": 4},
    }
    _, chunks = read([created(), piece("Hi"), piece(status="finished", usage=usage)])
    last = chunks[-1]
    assert last.usage is not None
    assert (1012, 9, 1021, 4) == (
        last.usage.prompt_tokens,
        last.usage.completion_tokens,
        last.usage.total_tokens,
        last.usage.reasoning_tokens,
    )
    assert [] == last.raw["choices"]


def test_usage_is_told_once_also_where_it_comes_after_the_end() -> None:
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    late = [piece(usage=usage), piece(usage=usage)]
    for events in (
        [piece("Hi", usage=usage), piece(status="finished", usage=usage)],
        [piece(status="finished"), *late],
    ):
        _, chunks = read([created(), *events])
        assert [3] == [chunk.usage.total_tokens for chunk in chunks if chunk.usage]


@given(st.lists(st.text(alphabet="ab \n<", min_size=1), min_size=1, max_size=8))
def test_whole_texts_told_again_and_again_are_told_once(pieces: list[str]) -> None:
    wholes = ["".join(pieces[: index + 1]) for index in range(len(pieces))]
    increments = Increments()
    told = "".join(increments.feed(whole) for whole in wholes) + increments.close()
    assert wholes[-1] == told


@given(st.lists(st.text(min_size=1), min_size=1, max_size=8))
def test_increments_are_told_as_they_come(pieces: list[str]) -> None:
    if len(pieces) > 1 and pieces[1].startswith(pieces[0]):  # could be either
        pieces.insert(1, f"{pieces[0][::-1]}!")
    if len(pieces) > 1 and pieces[1].startswith(pieces[0]):
        return
    increments = Increments()
    assert "".join(pieces) == "".join(increments.feed(piece) for piece in pieces) + increments.close()


def test_a_piece_that_could_be_either_waits_for_the_next() -> None:
    increments = Increments()
    assert ["ha", "", "haha!"] == [increments.feed("ha"), increments.feed("haha"), increments.feed("!")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PLACES = ("response.created", "choices", "response_id", "usage", "delta", "phase", "status", "content", "extra")


@given(
    st.lists(
        st.dictionaries(st.sampled_from(PLACES), JSON, max_size=5)
        | st.builds(piece, JSON, phase=JSON, status=JSON, extra=JSON)
    )
)
def test_no_event_whatever_is_in_it_is_an_error(events: list[dict[str, Any]]) -> None:
    _, chunks = read(events)
    assert all(isinstance(chunk.data, bytes) for chunk in chunks)
