"""A fire drill over a real store: what the Router does, and that nothing is held against anybody afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provider_router import Admin, AsyncRouter, NoCandidates, StreamInterrupted
from provider_router.backends import Backend, answers
from provider_router.drill import DRILLS, run_drill
from provider_router.errors import Failure, UnknownModel

EXPECTED = {
    "503": [Failure.SERVER, Failure.SERVER],
    "refuse": [Failure.CONNECT],
    "hang": [Failure.TIMEOUT],
    "cut": [Failure.MALFORMED, Failure.MALFORMED],
    "429": [Failure.RATE_LIMIT],
}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "router.db"
    with Backend(answers("Hello there.")) as backend, Admin(path) as admin:
        admin.providers.add("home", type="openai-compatible", config={"baseURL": backend.base_url})
        yield path


@pytest.mark.parametrize("fault", DRILLS)
async def test_the_real_provider_answers_after_the_fault(fault: str, database: Path) -> None:
    result = await run_drill(None, fault, database=database)
    assert (result.answer, result.provider, result.error) == ("Hello there.", "home", None)
    assert [a.failure for a in result.attempts if a.provider == "drill"] == EXPECTED[fault]
    async with AsyncRouter(database) as router:
        assert [(state.provider, state.state) for state in await router.health()] == [("home", "ready")]


async def test_a_stream_that_is_cut_is_told_as_one(database: Path) -> None:
    result = await run_drill("some-model", "cut", database=database, stream=True)
    assert result.answer is None
    assert isinstance(result.error, StreamInterrupted)
    assert [a.failure for a in result.attempts] == [Failure.TRUNCATED]


async def test_a_stream_goes_on_to_the_next(database: Path) -> None:
    result = await run_drill(None, "503", database=database, stream=True)
    assert result.answer == "Hello there."


async def test_when_nobody_is_behind_the_fault_it_is_raised(tmp_path: Path) -> None:
    with pytest.raises(NoCandidates, match="prouter add"):
        await run_drill(None, "503", database=tmp_path / "empty.db")


async def test_wrong_names_are_told_before_anything_is_asked(database: Path) -> None:
    with pytest.raises(ValueError, match="'flood' is not one of 503, refuse, hang, cut, 429"):
        await run_drill(None, "flood", database=database)
    with Admin(database) as admin:
        admin.models.add("pelican")
        admin.links.link("home", "pelican")
    with pytest.raises(UnknownModel):
        await run_drill("pelikan", "503", database=database)


async def test_a_provider_that_is_called_like_the_drill_is_asked_all_the_same(database: Path) -> None:
    with Backend(answers("It is really me.")) as backend, Admin(database) as admin:
        admin.providers.add("drill", type="openai-compatible", priority=9, config={"baseURL": backend.base_url})
        result = await run_drill("m", "refuse", database=database)
    assert [(a.provider, a.failure) for a in result.attempts] == [("drill-2", Failure.CONNECT), ("drill", None)]
    assert result.answer == "It is really me."


@pytest.mark.soak
async def test_a_drill_takes_no_longer_where_everybody_has_more_time(database: Path) -> None:
    with Admin(database) as admin:
        admin.settings.set("routing.timeout", "10m")
        admin.settings.set("routing.open", "true")
    result = await run_drill(None, "hang", database=database)
    assert [(a.provider, a.failure) for a in result.attempts] == [("drill", Failure.TIMEOUT), ("home", None)]
    assert result.attempts[0].duration < 10 * 1.5


async def test_a_model_that_names_its_provider_has_that_one_alone_behind_the_fault(database: Path) -> None:
    with Backend(answers("I was not asked.")) as first, Admin(database) as admin:
        admin.providers.add("first", type="openai-compatible", priority=9, config={"baseURL": first.base_url})
        result = await run_drill("home/some-model", "refuse", database=database)
    assert [(a.provider, a.model) for a in result.attempts] == [("drill", "some-model"), ("home", "some-model")]
    assert result.answer == "Hello there."
