"""The history's file: requests written in batches, found again, summed by the hour, and removed in small steps."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from provider_router.errors import AlreadyExists, ConfigError, StoreError
from provider_router.limits import PRUNE_ROWS
from provider_router.store import History
from provider_router.store.batch import Batch
from provider_router.store.connection import Connection
from provider_router.store.histogram import Histogram
from provider_router.store.history_schema import HISTORY
from provider_router.store.requests import AttemptLine, RequestLine, moment
from provider_router.store.rollups import HOUR, Subject, Tally
from provider_router.store.trails import Filter

NOW = 1_795_000_000_000 // HOUR * HOUR
PLAN = '{"needs": {"model": "m"}, "candidates": [], "skipped": [], "more": 0}'


def attempt(provider: str = "desk", failure: str | None = None, **fields: Any) -> AttemptLine:
    known: dict[str, Any] = {
        "asked": "m",
        "model": "m-there",
        "status": None,
        "detail": None,
        "started": 0.0,
        "duration": 0.5,
        "first_delta": None,
        "retry_after": None,
    }
    return AttemptLine(provider=provider, failure=failure, **{**known, **fields})


def line(number: int = 0, **fields: Any) -> RequestLine:
    known: dict[str, Any] = {
        "request_id": f"req_{number:024d}",
        "at": NOW + number,
        "session": None,
        "first_user_message": "",
        "path": "/v1/chat/completions",
        "model": "m",
        "stream": False,
        "provider": "desk",
        "failure": None,
        "plan": PLAN,
        "seed": 7,
        "revision": 3,
        "prompt_floor": 2,
        "prefix": None,
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "estimated": False,
        "cost": None,
        "finish_reason": "stop",
        "error": None,
        "duration": 0.5,
        "first_delta": None,
        "attempts": (attempt(prompt_tokens=10, completion_tokens=20),),
    }
    return RequestLine(**{**known, **fields})


def sums(history: History, *, overall: bool = False) -> dict[Subject, Tally]:
    """The sums of each hour in which a test may have been."""
    found: dict[Subject, Tally] = {}
    for hour in range(NOW, NOW + 6 * HOUR, HOUR):
        if overall:
            found[Subject(hour)] = history.rollups.overall(hour, hour + HOUR)
        else:
            found |= history.rollups.parts(hour, hour + HOUR, partial(Subject, hour))
    return {subject: tally for subject, tally in found.items() if tally != Tally()}


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History.open(tmp_path / "router.history.db") as opened:
        yield opened


def ids(history: History, limit: int = 1000, **which: Any) -> list[int]:
    return [request.number for request in history.trails.list(Filter(**which), limit=limit)]


def test_what_was_written_is_found_again_whole(history: History) -> None:
    failed = attempt("desk", "server", status=500, detail="HTTP 500", duration=0.1, retry_after=2.0)
    answered = attempt("loft", started=0.1, first_delta=0.2, prompt_tokens=9, completion_tokens=8, cost=0.25)
    written = line(
        session="s", stream=True, provider="loft", attempts=(failed, answered), first_delta=0.3, cost=0.25,
        request_body='{"messages": []}', response_body='{"choices": []}', prefix="abc", estimated=True,
    )  # fmt: skip
    history.record(Batch([written]), now=NOW + 1000)
    trail = history.trails.get(written.request_id)
    assert trail is not None
    assert (trail.seed, trail.revision, trail.prompt_floor, trail.prefix) == (7, 3, 2, "abc")
    assert {"model": "m"} == trail.plan["needs"]
    assert ({"messages": []}, {"choices": []}) == (trail.request_body, trail.response_body)
    request = trail.request
    assert (moment(NOW), "s", True, "loft", None) == (
        request.at,
        request.session,
        request.stream,
        request.provider,
        request.failure,
    )
    assert (0.5, 0.3, 10, 20, True, 0.25) == (
        request.duration,
        request.first_delta,
        request.prompt_tokens,
        request.completion_tokens,
        request.estimated,
        request.cost,
    )
    assert "desk: HTTP 500, 100 ms → loft: ok, 500 ms" == request.trail
    assert (500, 2.0) == (request.attempts[0].status, request.attempts[0].retry_after)
    assert (0.2, 9, 0.25) == (
        request.attempts[1].first_delta,
        request.attempts[1].prompt_tokens,
        request.attempts[1].cost,
    )
    assert (request,) == history.trails.list(limit=5)


@pytest.mark.parametrize("count", [1, 3, 4, 17, 63, 64, 250, 341])
def test_a_batch_of_any_size_is_kept_in_its_order(history: History, count: int) -> None:
    history.record(Batch([line(number) for number in range(count)]), now=NOW)
    found = history.trails.list(limit=1000)
    assert [line(number).request_id for number in reversed(range(count))] == [each.request_id for each in found]
    assert {1} == {len(each.attempts) for each in found}


def test_an_sqlite_that_takes_999_values_at_a_time_gets_no_more(history: History) -> None:
    raw = history._connection._raw
    assert raw is not None
    raw.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
    history.record(Batch([line(number, provider=f"desk-{number}") for number in range(341)]), now=NOW)
    assert 341 == len(history.trails.list(limit=1000)) == history.rollups.overall(0, 2 * NOW).requests


def test_requests_are_found_by_whatever_tells_them_apart(history: History) -> None:
    refused = (attempt("desk", "connect"), attempt("loft", started=0.1))
    history.record(
        Batch(
            [
                line(0),
                line(1, attempts=refused, provider="loft"),
                line(2, failure="auth", attempts=(attempt("desk", "auth"),), model="other"),
                line(3, session="talk", failure="nobody", provider=None, attempts=()),
            ]
        ),
        now=NOW,
    )
    assert [4, 3, 2, 1] == ids(history)
    assert [4, 3] == ids(history, limit=2)
    assert [2] == ids(history, provider="loft")
    assert [3, 2, 1] == ids(history, provider="desk")
    assert [3] == ids(history, model="other")
    assert [3, 2, 1] == ids(history, model="m-there")
    assert [2] == ids(history, failure="connect")
    assert [4] == ids(history, failure="nobody")
    assert [2, 1] == ids(history, failure="ok")
    assert [4, 3, 2] == ids(history, failure="any")
    assert [4] == ids(history, session="talk")
    assert [4] == ids(history, session=history.sessions.list(limit=1)[0].id)
    assert [3, 2] == ids(history, since=moment(NOW + 1), until=moment(NOW + 3))
    assert [3, 4] == ids(history, after=2)


def test_the_beginning_of_an_id_is_enough_if_it_is_the_only_one(history: History) -> None:
    history.record(Batch([line(1), line(2, request_id="req_other0000000000000001")]), now=NOW)
    found = history.trails.get("req_other00")
    assert found is not None
    assert 2 == found.request.number
    assert history.trails.get("req_") is None
    assert history.trails.get("req_nobody") is None


def test_an_id_that_is_there_already_is_refused_with_its_whole_batch(history: History) -> None:
    history.record(Batch([line(1)]), now=NOW)
    with pytest.raises(AlreadyExists):
        history.record(Batch([line(2), line(1)]), now=NOW)
    assert [1] == ids(history)
    assert 1 == sums(history, overall=True)[Subject(NOW)].requests
    history.record(Batch([line(2)]), now=NOW)
    assert 2 == sums(history, overall=True)[Subject(NOW)].requests


def test_a_batch_that_could_not_be_kept_can_be_written_again_whole(tmp_path: Path) -> None:
    batch = Batch([line(1, session="talk", request_body="{}"), line(2)])
    with History.open(tmp_path / "h.db") as history:
        with sqlite3.connect(tmp_path / "h.db", isolation_level=None) as other:
            other.execute("CREATE TRIGGER full BEFORE INSERT ON rollups BEGIN SELECT raise(FAIL, 'no more'); END")
            with pytest.raises(ConfigError):
                history.record(batch, now=NOW)
            other.execute("DROP TRIGGER full")
        other.close()
        assert [] == ids(history)
        batch.add([line(3)])
        history.record(batch, now=NOW + 1)
        assert [3, 2, 1] == ids(history)
        assert [1] == ids(history, session="talk")
        assert 3 == sums(history, overall=True)[Subject(NOW)].requests


def test_sums_to_which_another_process_added_meanwhile_lose_nothing(tmp_path: Path) -> None:
    with History.open(tmp_path / "h.db") as one, History.open(tmp_path / "h.db") as two:
        for number, history in enumerate([one, one, two, two, one, two, one]):
            history.record(Batch([line(number)]), now=NOW)
        assert 7 == sums(one, overall=True)[Subject(NOW)].requests == sums(one)[Subject(NOW, "desk", "m")].answered


def test_a_session_is_used_again_for_half_an_hour_after_its_last_request_and_then_begins_anew(history: History) -> None:
    minutes = 60_000
    for number, at in enumerate((0, 29, 58, 89)):
        history.record(Batch([line(number, session="talk", at=NOW + at * minutes)]), now=NOW)
    second, first = history.sessions.list(limit=9)
    assert ("talk", 3, "talk", 1) == (first.name, first.requests, second.name, second.requests)
    assert first.expires_at == first.last_accessed + timedelta(minutes=30)
    assert [3, 2, 1] == ids(history, session=first.id)
    assert [4, 3, 2, 1] == ids(history, session="talk")


def test_processes_share_a_session_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    with History.open(path) as one, History.open(path) as two:
        one.record(Batch([line(1, session="talk")]), now=NOW)
        two.record(Batch([line(2, session="talk")]), now=NOW)
        assert [2] == [session.requests for session in one.sessions.list(limit=9)]


def test_plans_that_are_the_same_are_kept_once(history: History, tmp_path: Path) -> None:
    history.record(Batch([line(number) for number in range(5)]), now=NOW)
    history.record(Batch([line(9, plan='{"candidates": []}')]), now=NOW)
    with sqlite3.connect(tmp_path / "router.history.db") as raw:
        assert [(2,)] == raw.execute("SELECT count(*) FROM plans").fetchall()
    raw.close()


def test_the_sums_of_an_hour_tell_of_everything_and_of_each_model_at_each_provider(history: History) -> None:
    saved = (attempt("desk", "server"), attempt("loft", started=1.0, duration=2.0, completion_tokens=5, cost=0.5))
    batches = [
        [line(0), line(1, attempts=saved, duration=3.0, cost=0.5)],
        [line(2, failure="auth", attempts=(attempt("desk", "auth"),)), line(3, at=NOW + HOUR, first_delta=0.2)],
    ]
    for batch in batches:
        history.record(Batch(batch), now=NOW)
    history.record(Batch(), now=NOW, lost=4)
    whole = sums(history, overall=True)[Subject(NOW)]
    assert (3, 2, 1, 4, 10, 25, 0.5) == (
        whole.requests,
        whole.answered,
        whole.absorbed,
        whole.lost,
        whole.prompt_tokens,
        whole.completion_tokens,
        whole.cost,
    )
    assert ({"auth": 1}, Histogram.of([0.5, 3.0])) == (whole.failures, whole.latency)
    parts = sums(history)
    desk, loft = parts[Subject(NOW, "desk", "m")], parts[Subject(NOW, "loft", "m")]
    assert (3, 1, 1, {"server": 1, "auth": 1}) == (desk.requests, desk.answered, desk.absorbed, desk.failures)
    assert (1, 1, 0, 0.5, Histogram.of([2.0])) == (loft.requests, loft.answered, loft.absorbed, loft.cost, loft.latency)
    assert [Subject(NOW), Subject(NOW + HOUR)] == sorted(sums(history, overall=True))


CALLS = st.tuples(st.booleans(), st.sampled_from(["desk", "loft"]), st.floats(0.001, 9))


@settings(max_examples=6)  # each makes two files
@given(st.lists(st.lists(CALLS, max_size=5), max_size=4))
def test_the_sums_are_the_same_however_the_requests_came_in_batches(
    batches: list[list[tuple[bool, str, float]]],
) -> None:
    with TemporaryDirectory() as folder:
        one, other = (History.open(Path(folder) / name) for name in ("one.db", "other.db"))
        lines = [
            line(number, duration=took, failure=None if good else "auth", attempts=(attempt(who, duration=took),))
            for number, (good, who, took) in enumerate(each for batch in batches for each in batch)
        ]
        with one, other:
            one.record(Batch(lines), now=NOW)
            left = iter(lines)
            for batch in batches:
                other.record(Batch([next(left) for _ in batch]), now=NOW)
            assert sums(one) == sums(other)
            assert len(lines) == sums(one, overall=True).get(Subject(NOW), Tally()).requests


SOME = st.none() | st.integers(0, 1000).map(lambda number: number / 8)
ATTEMPTS = st.builds(
    attempt,
    failure=st.none() | st.just("server"),
    status=st.none() | st.just(500),
    detail=st.none() | st.just("HTTP 500"),
    first_delta=SOME,
    retry_after=SOME,
    prompt_tokens=st.none() | st.integers(0, 9),
    estimated=st.booleans(),
    cost=SOME,
)
LINES = st.fixed_dictionaries(
    {
        "session": st.none() | st.just("s"),
        "stream": st.booleans(),
        "provider": st.none() | st.just("desk"),
        "failure": st.none() | st.just("server"),
        "error": st.none() | st.just("it broke"),
        "finish_reason": st.none() | st.just("stop"),
        "prompt_tokens": st.none() | st.integers(0, 9),
        "first_delta": SOME,
        "cost": SOME,
        "attempts": st.lists(ATTEMPTS, max_size=3),
    }
)


@settings(max_examples=10)  # each makes a file
@given(st.lists(LINES, max_size=12))
def test_whatever_is_unknown_of_some_requests_of_a_batch_the_others_keep_what_is_known(batch: list[Any]) -> None:
    lines = [line(number, **fields) for number, fields in enumerate(batch)]
    with TemporaryDirectory() as folder, History.open(Path(folder) / "h.db") as history:
        history.record(Batch(lines), now=NOW)
        found = history.trails.list(Filter(after=0), limit=100)
    names = (
        "session",
        "stream",
        "provider",
        "failure",
        "error",
        "finish_reason",
        "prompt_tokens",
        "first_delta",
        "cost",
    )
    assert [[getattr(each, name) for name in names] for each in lines] == [
        [getattr(each, name) for name in names] for each in found
    ]
    names = (
        "provider",
        "model",
        "failure",
        "status",
        "first_delta",
        "retry_after",
        "prompt_tokens",
        "estimated",
        "cost",
    )
    assert [[[getattr(one, name) for name in names] for one in each.attempts] for each in lines] == [
        [[getattr(one, name) for name in names] for one in each.attempts] for each in found
    ]


def test_the_oldest_go_in_small_steps_with_all_that_is_theirs(history: History, tmp_path: Path) -> None:
    many = PRUNE_ROWS + 10
    history.record(Batch([line(n, session="old", request_body="{}") for n in range(many)]), now=NOW)
    history.record(Batch([line(many, session="new", at=NOW + 5 * HOUR)]), now=NOW + 5 * HOUR)
    before = NOW + HOUR
    assert [PRUNE_ROWS, 10, 0] == [history.retention.step(before=before, now=NOW) for _ in range(3)]
    assert [many + 1] == ids(history)
    with sqlite3.connect(tmp_path / "router.history.db") as raw:
        left = [raw.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("responses", "attempts", "bodies")]
    raw.close()
    assert [1, 1, 0] == left
    assert many + 1 == sum(tally.requests for tally in sums(history, overall=True).values())


def steps_of(history: History, **how: int) -> tuple[int, int]:
    """How many requests one step removes, and how many thousands of SQLite's own steps it takes."""
    raw = history._connection._raw
    assert raw is not None
    taken: list[None] = []
    raw.set_progress_handler(lambda: taken.append(None), 1000)
    removed = history.retention.step(**{"now": NOW, **how})
    raw.set_progress_handler(None, 0)
    assert 1 == raw.execute("PRAGMA foreign_keys").fetchone()[0]
    assert [] == raw.execute("PRAGMA foreign_key_check").fetchall()
    return removed, len(taken)


def test_a_step_takes_no_longer_in_a_large_file(history: History) -> None:
    history.record(Batch([line(n, session=f"s{n}") for n in range(6 * PRUNE_ROWS)]), now=NOW)
    removed, taken = steps_of(history, before=0, max_bytes=1)
    assert PRUNE_ROWS == removed
    assert taken < 200  # not 500 requests times 3,000 responses


def test_sessions_go_as_fast_in_a_large_file(history: History) -> None:
    late = NOW + 500 * 24 * HOUR
    history.record(Batch([line(n, session=f"s{n}") for n in range(PRUNE_ROWS)]), now=NOW)
    history.record(Batch([line(n, at=late) for n in range(PRUNE_ROWS, 6 * PRUNE_ROWS)]), now=late)
    assert PRUNE_ROWS == steps_of(history, before=late, now=late)[0]
    removed, taken = steps_of(history, before=late, now=late)
    assert 0 == removed
    assert () == history.sessions.list(limit=9)
    assert taken < 200


def test_large_bodies_are_handed_over_few_at_once(history: History) -> None:
    written: list[int] = []
    raw = history._connection._raw
    assert raw is not None
    raw.set_trace_callback(lambda sql: written.append(len(sql)) if sql.startswith("INSERT INTO bodies") else None)
    history.record(Batch([line(n, response_body="x" * 1000) for n in range(300)]), now=NOW)
    assert sum(written) > 300 * 1000
    assert max(written) < 20 * 1000


def test_numbers_are_never_given_twice(history: History) -> None:
    history.record(Batch([line(1), line(2)]), now=NOW)
    history.retention.step(before=NOW + 1, now=NOW)
    history.record(Batch([line(3)]), now=NOW)
    assert [3] == ids(history)


def test_a_file_that_is_too_large_gives_its_oldest_for_the_newest_and_grows_no_more(history: History) -> None:
    bound = 400_000
    sizes = []
    for batch in range(12):
        history.record(Batch([line(batch * 200 + number) for number in range(200)]), now=NOW)
        while history.retention.step(before=0, max_bytes=bound, now=NOW):
            pass
        sizes.append(history.size)
    assert max(sizes) <= bound
    assert 2400 == ids(history, limit=1)[0]
    assert len(ids(history, limit=5000)) > 200


def test_sessions_of_which_nothing_is_left_go_and_old_sums_too(history: History) -> None:
    history.record(Batch([line(1, session="old")]), now=NOW)
    late = NOW + 500 * 24 * HOUR
    while history.retention.step(before=late, now=late):
        pass
    assert () == history.sessions.list(limit=9)
    assert {} == sums(history, overall=True)


OPEN = """
import sys
from pathlib import Path
from provider_router.store import History
from provider_router.store.batch import Batch
print("ready", flush=True)
sys.stdin.readline()
with History.open(Path(sys.argv[1])) as history:
    print(*[note.process for note in history.notes.others("me", now=0)])
"""


@pytest.mark.no_cover
def test_a_history_of_the_first_schema_is_brought_up_by_several_processes_at_once_with_its_notes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "router.history.db"
    old = Connection(path, schema=evolve(HISTORY, steps=HISTORY.steps[:1]), read_only=False, busy_timeout=1.0)
    old.insert(
        "health_notes",
        {"process": "p", "scope": "endpoint", "subject": "s", "state": "open", "reason": "", "until": NOW, "at": 1},
    )
    old.close()
    command = [sys.executable, "-c", OPEN, str(path)]
    programs = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for program in programs:
        assert program.stdout is not None
        assert "ready\n" == program.stdout.readline()
    assert ["p\n"] * 3 == [program.communicate("go\n", timeout=60)[0] for program in programs]
    with History.open(path) as history:
        history.record(Batch([line(1)]), now=NOW)
        assert [1] == ids(history)
    assert 1 == len(list(tmp_path.glob("*before-m002*")))


def test_a_file_says_whether_it_can_be_written_now(tmp_path: Path) -> None:
    path = tmp_path / "router.history.db"
    with History.open(path) as history:
        assert "" == history.trouble
    with History.open(path, read_only=True) as history:
        assert "attempt to write a readonly database" in history.trouble


def test_a_disk_that_is_full_keeps_nothing_of_a_batch_and_all_that_was_before(tmp_path: Path) -> None:
    path = tmp_path / "router.history.db"
    with History.open(path, max_bytes=200_000) as history:
        written = 0
        with pytest.raises(StoreError, match="is full"):
            for batch in range(100):
                history.record(Batch([line(batch * 50 + number) for number in range(50)]), now=NOW)
                written += 50
        assert written == len(ids(history, limit=5000))
    with sqlite3.connect(path) as raw:
        assert [("ok",)] == raw.execute("PRAGMA integrity_check").fetchall()
        assert [] == raw.execute("PRAGMA foreign_key_check").fetchall()
    raw.close()
