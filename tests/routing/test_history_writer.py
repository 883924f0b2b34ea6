"""The writer never holds up a request: what it cannot write is dropped, counted and told; a kill costs one batch."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from provider_router import Admin, AsyncRouter, Router
from provider_router import History as LookBack
from provider_router.backends import Backend, answers
from provider_router.chat import ChatRequest, ChatResponse
from provider_router.errors import DatabaseLocked
from provider_router.limits import TROUBLE_OVER
from provider_router.providers.plugins import Plugins
from provider_router.routing import history_writer
from provider_router.routing.driver import new_request_id
from provider_router.routing.health import Health
from provider_router.routing.history_writer import HistoryWriter
from provider_router.routing.plan import Needs, plan
from provider_router.routing.snapshot import ProviderView, Recording, Snapshot
from provider_router.store import History
from provider_router.store.batch import Batch
from provider_router.store.connection import Connection
from provider_router.store.history_schema import HISTORY
from provider_router.store.requests import RequestLine
from provider_router.trail import Attempt

PLAN = plan(
    Needs(model="m"),
    Snapshot(providers=(ProviderView(id="desk"),)),
    Health(),
    now=0.0,
    at=datetime(2026, 1, 1, tzinfo=UTC),
)


def ended(**fields: Any) -> Any:
    """A request that was answered, as a driver leaves it."""
    machine = Namespace(
        plan=PLAN,
        attempts=[Attempt(provider="desk", model="m", started=0.0, duration=0.1)],
        begun=0.0,
        error=None,
        left=False,
        committed=True,
        finish_reason=None,
        policy=Namespace(stream=False),
    )
    answer = ChatResponse.of(text="hi", model="m")
    known = {"machine": machine, "request": ChatRequest({"messages": []}), "answer": answer}
    return Namespace(**{**known, "request_id": new_request_id(), **fields})


def record(writer: HistoryWriter, count: int = 1) -> None:
    for _ in range(count):
        writer.record(ended(), lambda _: (), now=0.1, session=None)


def hasty(path: Path) -> History:
    """A history that does not wait for others."""
    return History(Connection(path, schema=HISTORY, read_only=False, busy_timeout=0.01, lasting=False))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def numbers(path: Path) -> tuple[int, int, int]:
    """Requests in the file; requests in its sums; those that its sums call lost. The file is sound."""
    raw = sqlite3.connect(path, isolation_level=None)
    try:
        raw.execute("BEGIN")  # all of it of one moment: a writer may be at work
        assert [("ok",)] == raw.execute("PRAGMA integrity_check").fetchall()
        assert [] == raw.execute("PRAGMA foreign_key_check").fetchall()
        [(rows,)] = raw.execute("SELECT count(*) FROM requests JOIN responses USING (id)").fetchall()
        [(attempts,)] = raw.execute("SELECT count(*) FROM attempts").fetchall()
        assert rows == attempts
        sums = raw.execute("SELECT coalesce(sum(requests), 0), coalesce(sum(lost), 0) FROM rollups WHERE provider = ''")
        return (rows, *sums.fetchone())
    finally:
        raw.close()


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    writer = HistoryWriter(tmp_path / "h.db", share_health=False)
    writer.start()
    record(writer, 1234)
    writer.close()
    writer.close()
    assert Recording(enabled=True, written=1234) == writer.state
    assert (1234, 1234, 0) == numbers(tmp_path / "h.db")


def test_what_is_recorded_is_in_the_file_a_moment_later(tmp_path: Path) -> None:
    writer = HistoryWriter(tmp_path / "h.db")
    writer.start()
    try:
        record(writer)
        until(lambda: writer.state.written == 1)
        assert (1, 1, 0) == numbers(tmp_path / "h.db")
    finally:
        writer.close()


def test_a_writer_that_has_nothing_to_write_makes_no_file(tmp_path: Path) -> None:
    writer = HistoryWriter(tmp_path / "h.db", share_health=False)
    writer.start()
    writer.close()
    assert not (tmp_path / "h.db").exists()


def test_a_full_disk_costs_the_history_is_counted_and_warned_of_once_a_trouble(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, now = tmp_path / "h.db", [0.0]

    def warnings() -> int:
        return len([message for message in caplog.messages if "is full" in message])

    opened = partial(History.open, max_bytes=150_000)
    writer = HistoryWriter(path, share_health=False, open=opened, clock=lambda: now[0])
    writer.start()
    for _ in range(10):  # of which a small part may find room after a larger one has not
        record(writer, 300)
        until(lambda: writer.state.waiting == 0)
        now[0] += 1
    assert 1 == warnings()
    now[0] += TROUBLE_OVER
    record(writer, 3000)
    writer.close()
    assert 2 == warnings()
    state = writer.state
    assert 6000 == state.written + state.lost
    assert state.lost > 0
    assert state.written == numbers(path)[0]


def test_what_was_lost_is_told_in_the_file_as_soon_as_that_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    full = [True]

    def opened(path: Path) -> History:
        return History.open(path, read_only=full[0])

    with History.open(path):
        pass
    writer = HistoryWriter(path, share_health=False, open=opened)
    writer.start()
    record(writer, 5)
    until(lambda: writer.state.lost == 5)
    assert "readonly" in writer.state.trouble
    full[0] = False
    record(writer, 2)
    writer.close()
    assert Recording(enabled=True, written=2, lost=5) == writer.state
    assert (2, 2, 5) == numbers(path)


def test_a_file_that_another_holds_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    with History.open(path):
        pass
    writer = HistoryWriter(path, share_health=False, open=hasty, every=0.02)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    writer.start()
    record(writer, 3)
    until(lambda: "held by another process" in writer.state.trouble)
    assert (3, 0) == (writer.state.waiting, writer.state.lost)
    holder.execute("ROLLBACK")
    until(lambda: writer.state.written == 3)
    holder.execute("BEGIN IMMEDIATE")
    record(writer, 2)
    writer.close()
    holder.close()
    assert (3, 2) == (writer.state.written, writer.state.lost)


def test_what_was_lost_at_the_end_waits_no_more(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    History.open(path).close()
    writer = HistoryWriter(path, share_health=False, open=hasty)
    record(writer, 1200)
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    writer.start()
    writer.close()
    raw.close()
    assert (0, 0, 1200) == (writer.state.written, writer.state.waiting, writer.state.lost)


def test_a_queue_that_is_full_takes_no_more(tmp_path: Path) -> None:
    writer = HistoryWriter(tmp_path / "h.db", share_health=False)
    record(writer, 10_020)
    assert (10_000, 20) == (writer.state.waiting, writer.state.lost)


@pytest.mark.posix
def test_a_file_that_was_deleted_meanwhile_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    writer = HistoryWriter(path, share_health=False)
    writer.start()
    record(writer)
    until(lambda: writer.state.written == 1)
    for file in tmp_path.iterdir():
        file.unlink()
    record(writer)
    until(lambda: writer.state.waiting == 0)
    record(writer)
    writer.close()
    state = writer.state
    assert 3 == state.written + state.lost
    assert state.written - 1 == numbers(path)[0]
    assert state.lost == numbers(path)[2]


def test_old_requests_go_while_new_ones_come(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    long_ago = HistoryWriter(path, share_health=False, wall=lambda: 1_600_000_000.0)
    long_ago.start()
    record(long_ago, 1200)
    long_ago.close()
    writer = HistoryWriter(path, every=0.02)
    writer.start()
    record(writer, 5)
    until(lambda: numbers(path)[0] == 5)
    writer.close()
    assert writer.state.lost == 0


def test_what_cannot_be_kept_costs_nothing_but_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worked_out: list[int] = []

    class Watched(Batch):
        def add(self, lines: Sequence[RequestLine]) -> None:
            worked_out.append(len(lines))
            super().add(lines)

    class Held(History):
        singly = 0

        def record(self, batch: Batch, **how: Any) -> None:
            if len(batch) == 1:
                Held.singly += 1
                if Held.singly == 50:
                    raise DatabaseLocked("held by another process")
            super().record(batch, **how)

    monkeypatch.setattr(history_writer, "Batch", Watched)
    path = tmp_path / "h.db"
    writer = HistoryWriter(path, share_health=False, every=0.02, open=Held.open)
    for number in range(300):
        writer.record(ended(), lambda _: (), now=0.1, session="half \ud800" if number in (20, 200) else None)
    writer.start()
    until(lambda: writer.state.written == 298)
    writer.close()
    assert Recording(enabled=True, written=298, lost=2) == writer.state
    assert (298, 298, 2) == numbers(path)
    assert sum(worked_out) < 5 * 300


async def test_a_history_that_cannot_be_written_at_all_fails_no_request(tmp_path: Path, quick: Any) -> None:
    database, plugins = tmp_path / "router.db", Plugins([quick])
    (tmp_path / "router.history.db").mkdir()
    with Backend(answers("one")) as one, Admin(database, plugins=plugins) as admin:
        admin.providers.add("one", type="quick", config={"baseURL": one.base_url})
        async with AsyncRouter(database, plugins=plugins) as router:
            for _ in range(3):
                assert "one" == (await router.chat("hi")).text
            with anyio.fail_after(20):
                while router.recording.lost < 3:  # noqa: ASYNC110 - what a thread does has no event
                    await anyio.sleep(0.02)
            assert "is a folder" in router.recording.trouble
    with LookBack(database) as history:
        assert "is a folder" in history.state().trouble


@pytest.mark.posix
def test_requests_go_on_when_the_disk_fills_up_under_them(tmp_path: Path, quick: Any) -> None:
    database, plugins = tmp_path / "router.db", Plugins([quick])
    with Backend(answers("one")) as one, Admin(database, plugins=plugins) as admin:
        admin.providers.add("one", type="quick", config={"baseURL": one.base_url})
        admin.settings.set("history.bodies", "all")
        with Router(database, plugins=plugins) as router:
            router.chat("hi")

        def serve() -> Any:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
            router = Router(database, plugins=plugins)
            texts = {router.chat("pelican " * 3000).text for _ in range(60)}
            router.close()
            recording = router.recording
            return sorted(texts), recording.written, recording.lost

        texts, written, lost = json.loads(in_a_child(serve))
    assert ["one"] == texts
    assert 60 == written + lost
    assert lost > 0
    assert 1 + written == numbers(tmp_path / "router.history.db")[0]


def in_a_child(work: Callable[[], Any]) -> str:
    """What a forked process gives back, as JSON."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.write(writing, json.dumps(work()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return told


@pytest.mark.posix
@pytest.mark.parametrize("kills", [pytest.param(20, id="short"), pytest.param(50, id="long", marks=pytest.mark.soak)])
def test_a_kill_at_any_moment_costs_at_most_what_was_not_written_yet(tmp_path: Path, kills: int) -> None:
    path, chance = tmp_path / "h.db", random.Random(7)
    with History.open(path):
        acknowledged = 0
    for number in range(kills):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                writer = HistoryWriter(path, share_health=False)
                writer.start()
                told = 0
                while True:
                    record(writer, 10)
                    threading.Event().wait(0.002)
                    if (now := writer.state.written) > told:
                        told = now
                        os.write(writing, told.to_bytes(4))
            finally:
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            first = pipe.read(4) if number == 0 else b""  # one at least has written something, however slow we are
            threading.Event().wait(chance.uniform(0.01, 0.2))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            acknowledged += int.from_bytes((first + pipe.read())[-4:])
        rows, sums, _ = numbers(path)
        assert rows == sums
        assert rows >= acknowledged
        acknowledged = rows  # what was written and not acknowledged yet
    assert acknowledged > 0


def test_several_writers_share_one_file(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    writers = [HistoryWriter(path) for _ in range(4)]
    for writer in writers:
        writer.start()
    for _ in range(10):
        for writer in writers:
            record(writer, 60)
    for writer in writers:
        writer.close()
    assert [Recording(enabled=True, written=600)] * 4 == [writer.state for writer in writers]
    assert (2400, 2400, 0) == numbers(path)


def test_what_waits_is_written_when_python_ends_without_a_close(tmp_path: Path) -> None:
    code = """
        import sys
        from provider_router import AsyncRouter
        import asyncio

        async def main():
            router = AsyncRouter(sys.argv[1])
            await router.chat("hi")

        asyncio.run(main())
    """
    database = tmp_path / "router.db"
    with Backend(answers("one")) as one, Admin(database) as admin:
        admin.providers.add("one", type="openai-compatible", config={"baseURL": one.base_url})
        command = [sys.executable, "-c", textwrap.dedent(code), str(database)]
        subprocess.run(command, check=True, timeout=60)
    assert (1, 1, 0) == numbers(tmp_path / "router.history.db")
