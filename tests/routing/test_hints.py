"""What processes on one store tell each other: hints order and make them check, and veto nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from attrs import evolve

from provider_router import Admin, AsyncRouter
from provider_router.backends import Backend, answers, status
from provider_router.errors import Failure, ProviderError
from provider_router.providers.plugins import Plugins
from provider_router.routing.breaker import State
from provider_router.routing.effect import Effect
from provider_router.routing.health import Health
from provider_router.routing.hints import Hints, Note
from provider_router.routing.history_writer import HistoryWriter
from provider_router.routing.ticket import Key
from provider_router.store import HealthNoteRecord, History

KEY = Key("desk", "http://desk:1", "m")


def note(scope: str = "endpoint", subject: str = "http://desk:1", **fields: Any) -> Note:
    return Note(**{"scope": scope, "subject": subject, "state": "open", "until": 110.0, "at": 100.0, **fields})


def unwell(effect: Effect, **details: Any) -> Health:
    health = Health(rng=Random(1))
    health.failed(health.begin(KEY, 100.0), effect, 100.0, reason="refused", **details)
    return health


@pytest.mark.parametrize(
    ("effect", "scope", "state"),
    [
        (Effect.ENDPOINT_DOWN, "endpoint", "open"),
        (Effect.AUTH, "provider", "flagged"),
        (Effect.CRASH, "provider", "flagged"),
        (Effect.QUOTA, "provider", "throttled"),
        (Effect.THROTTLE, "provider", "throttled"),
        (Effect.MODEL_MISSING, "missing", "flagged"),
    ],
)
def test_what_one_process_finds_is_a_doubt_for_another(effect: Effect, scope: str, state: str) -> None:
    [told] = unwell(effect).notes(101.0)
    assert (told.scope, told.state, told.reason) == (scope, state, "refused")
    other = Health(rng=Random(2))
    other.hear([told])
    condition = other.condition(KEY, 101.0)
    assert (condition.state, condition.askable) == (State.DOUBTED, True)
    assert condition.reason == f"another process found it {state}: refused"
    assert other.condition(KEY, told.until + 1).state is State.READY


def test_a_model_that_fails_is_told_for_that_model_alone() -> None:
    health = Health(rng=Random(1))
    for _ in range(3):
        health.failed(health.begin(KEY, 100.0), Effect.MODEL_FAULT, 100.0, reason="HTTP 500")
    other = Health(rng=Random(2))
    other.hear(health.notes(101.0))
    assert other.condition(KEY, 101.0).state is State.DOUBTED
    assert other.condition(Key("desk", "http://desk:1", "another"), 101.0).state is State.READY


@pytest.mark.parametrize("effect", [Effect.NONE, Effect.BUSY])
def test_neutral_outcomes_are_not_told(effect: Effect) -> None:
    health = unwell(effect)
    assert health.notes(100.0) == []
    assert health.changes == 0


def test_what_is_over_is_not_told() -> None:
    assert unwell(Effect.ENDPOINT_DOWN).notes(200.0) == []


def test_a_success_of_ones_own_outweighs_the_others() -> None:
    health = Health(rng=Random(1))
    health.hear([note()])
    health.succeeded(health.begin(KEY, 101.0), 102.0)
    assert health.condition(KEY, 102.0).state is State.READY
    health.hear([note()])
    assert health.condition(KEY, 102.0).state is State.READY
    health.hear([note(at=103.0)])
    assert health.condition(KEY, 104.0).state is State.DOUBTED


def test_a_doubted_endpoint_and_a_half_open_one_are_checked_first() -> None:
    health = Health(rng=Random(1))
    assert not health.to_check_first(KEY, 100.0)
    health.hear([note()])
    assert health.to_check_first(KEY, 100.0)
    opened = unwell(Effect.ENDPOINT_DOWN)
    assert not opened.to_check_first(KEY, 101.0)
    assert opened.to_check_first(KEY, 200.0)


def test_a_good_test_elsewhere_ends_what_is_held_here_once() -> None:
    tester, other = Health(rng=Random(1)), unwell(Effect.ENDPOINT_DOWN)
    tester.tested("desk", "http://desk:1", 105.0)
    notes = tester.notes(105.0)
    assert other.condition(KEY, 101.0).state is State.OPEN
    other.hear(notes)
    assert other.condition(KEY, 106.0).state is State.READY
    other.failed(other.begin(KEY, 107.0), Effect.ENDPOINT_DOWN, 107.0, reason="refused")
    other.hear(notes)
    assert other.condition(KEY, 108.0).state is State.OPEN


def test_a_test_from_before_a_fault_does_not_end_it_however_the_clocks_are_compared() -> None:
    tester, other = Health(rng=Random(1)), unwell(Effect.ENDPOINT_DOWN)
    tester.tested("desk", "http://desk:1", 99.0)
    [told] = tester.notes(99.0)
    for jitter in (0.0, 0.0001, 0.0002):
        other.hear([evolve(told, at=told.at + jitter)])
        assert other.condition(KEY, 101.0).state is State.OPEN


def test_that_an_endpoint_answers_checks_is_remembered_by_others() -> None:
    health = Health(rng=Random(1))
    health.check_answered("http://desk:1")
    health.check_answered("http://desk:1")
    assert health.changes == 1
    other = Health(rng=Random(2))
    other.hear(health.notes(100.0))
    assert other.answers_checks("http://desk:1")
    assert other.condition(KEY, 100.0).state is State.READY


def test_of_several_hints_on_one_thing_the_one_that_ends_last_counts() -> None:
    hints = Hints()
    hints.hear([note(until=110.0), note(until=120.0), note(until=105.0)])
    found = hints.about("desk", "http://desk:1", "m", at=100.0)
    assert found is not None
    assert found.until == 120.0


def record(process: str, **fields: Any) -> HealthNoteRecord:
    return HealthNoteRecord(
        **{
            "process": process,
            "scope": "endpoint",
            "subject": "http://desk:1",
            "model": None,
            "state": "open",
            "reason": "refused",
            "until": 110_000,
            "at": 100_000,
            **fields,
        }
    )


def test_notes_are_kept_by_process_and_dropped_when_they_are_long_over(tmp_path: Path) -> None:
    with History.open(tmp_path / "router.history.db") as history:
        history.notes.replace("one", [record("one"), record("one", model="m")], now=100_000)
        history.notes.replace("two", [record("two")], now=100_000)
        assert history.notes.others("two", now=100_000) == [record("one"), record("one", model="m")]
        assert history.notes.others("one", now=111_000) == []
        history.notes.replace("one", [], now=100_000)
        assert history.notes.others("two", now=100_000) == []
        history.notes.replace("three", [], now=100_000 + 2 * 86_400_000)
        assert history.notes.others("one", now=0) == []


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not holds():  # noqa: ASYNC110 - what a thread does has no event
            await anyio.sleep(0.02)


async def test_an_exchange_tells_and_hears(tmp_path: Path) -> None:
    path = tmp_path / "router.history.db"
    one, two = HistoryWriter(path, every=0.05), HistoryWriter(path, every=0.05)
    one.start()
    two.start()
    try:
        far = note(until=4e9, at=1e9)
        one.notes.tell((far,))
        await until(lambda: two.notes.heard == (far,))
        assert one.notes.heard == ()
        one.notes.tell(())
        await until(lambda: two.notes.heard == ())
    finally:
        one.close()
        two.close()
        two.close()


def test_what_was_written_before_the_clock_was_set_back_is_not_heard(tmp_path: Path) -> None:
    """Else a good test of an hour to come would end, at every reading, whatever is held against its provider."""
    path = tmp_path / "router.history.db"
    exchanges = {wall: HistoryWriter(path, wall=lambda wall=wall: wall) for wall in (1_000_000.0, 1_003_600.0)}
    early, late = exchanges.values()
    late.notes.tell((note(scope="test", until=1_003_660.0, at=1_003_600.0),))
    early.notes.tell((note(until=1_000_060.0, at=1_000_000.0),))
    for exchange in (late, early, late):
        exchange.start()
        exchange.close()
    assert early.notes.heard == ()
    assert late.notes.heard == ()


def test_a_file_that_cannot_be_written_is_told_once_and_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "router.history.db"
    path.write_text("this is no database, and will not be one " * 50)
    writer = HistoryWriter(path, every=0.01)
    writer.start()
    writer.notes.tell((note(),))
    writer.close()
    assert writer.notes.heard == ()
    assert len([message for message in caplog.messages if "is not written" in message]) == 1


async def test_a_second_process_asks_a_dead_provider_last_and_checks_it_first(tmp_path: Path, quick: Any) -> None:
    database, plugins = tmp_path / "router.db", Plugins([quick])
    with Backend(answers("one")) as one, Backend(answers("two")) as two, Admin(database, plugins=plugins) as admin:
        admin.providers.add("one", type="quick", priority=9, config={"baseURL": one.base_url, "defaultModel": "m"})
        admin.providers.add("two", type="quick", priority=1, config={"baseURL": two.base_url, "defaultModel": "m"})
        one.kill()
        async with AsyncRouter(database, plugins=plugins) as first:
            assert [a.failure for a in (await first.chat("hi")).attempts] == [Failure.CONNECT, None]
        async with AsyncRouter(database, plugins=plugins) as second:
            answer = await second.chat("hi")
            assert [(a.provider, a.failure) for a in answer.attempts] == [("two", None)]
            states = {step.provider: step.state for step in await second.plan()}
            assert states == {"two": "ready", "one": "doubted"}
            two.script(status(500))
            one.revive()
            answer = await second.chat("hi")
            assert answer.provider == "one"
            assert [request.path for request in one.requests] == ["/v1/models", "/v1/chat/completions"]
            assert {step.provider: step.state for step in await second.plan()}["one"] == "ready"


async def test_what_was_found_survives_a_restart_and_a_change_of_configuration_ends_it(
    tmp_path: Path, quick: Any
) -> None:
    database, plugins = tmp_path / "router.db", Plugins([quick])
    with Backend(status(401)) as one, Backend(answers("two")) as two, Admin(database, plugins=plugins) as admin:
        admin.providers.add("one", type="quick", priority=9, config={"baseURL": one.base_url, "defaultModel": "m"})
        admin.providers.add("two", type="quick", priority=1, config={"baseURL": two.base_url, "defaultModel": "m"})
        async with AsyncRouter(database, plugins=plugins) as router:
            await router.chat("hi")
        async with AsyncRouter(database, plugins=plugins) as router:
            assert {step.provider: step.state for step in await router.plan()}["one"] == "doubted"
            admin.providers.enable("one")
            assert {step.provider: step.state for step in await router.plan()}["one"] == "ready"


async def test_a_router_that_does_not_share_leaves_no_notes(tmp_path: Path, quick: Any) -> None:
    database, plugins = tmp_path / "router.db", Plugins([quick])
    with Backend(answers("one")) as one, Admin(database, plugins=plugins) as admin:
        admin.providers.add("one", type="quick", config={"baseURL": one.base_url})
        async with AsyncRouter(database, plugins=plugins, share_health=False, history=False) as router:
            await router.chat("hi")
    assert not await anyio.Path(tmp_path / "router.history.db").exists()


async def test_health_tells_of_each_model_that_is_not_well(tmp_path: Path, quick: Any) -> None:
    """In this process and in the next one; what holds for the whole provider is told once."""
    database, plugins = tmp_path / "router.db", Plugins([quick])
    gone = status(404, code="model_not_found")
    with Backend(*[status(500)] * 3, gone, status(401)) as one, Admin(database, plugins=plugins) as admin:
        admin.providers.add("one", type="quick", config={"baseURL": one.base_url, "defaultModel": "usual"})
        async with AsyncRouter(database, plugins=plugins) as router:
            for model in ("failing", "missing"):
                with pytest.raises(ProviderError):
                    await router.chat("hi", model=model)
            [health] = await router.health()
        assert (health.state, health.reason, health.until) == ("ready", "", None)
        assert [(m.model, m.state, m.reason) for m in health.models] == [
            ("failing", "open", "HTTP 500"),
            ("missing", "flagged", "HTTP 404"),
        ]
        assert all(m.until is not None for m in health.models)
        async with AsyncRouter(database, plugins=plugins) as router:
            [health] = await router.health()
            assert [(m.model, m.state) for m in health.models] == [("failing", "doubted"), ("missing", "doubted")]
            admin.providers.enable("one")
            [health] = await router.health()
            assert health.models == ()
