"""Every request leaves its trail in the history, whatever becomes of it, and nothing of that touches the request."""

from __future__ import annotations

import json
import os
import sqlite3
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

from provider_router import Admin, AsyncRouter, History, ProviderRouterError, Router, StreamInterrupted
from provider_router.backends import Backend, answers, broken, silent, status
from provider_router.home import history_path
from provider_router.plugin import ChatChunk, ChatResponse, Usage
from provider_router.providers.plugins import Plugins
from provider_router.routing.health import Health
from provider_router.routing.plan import Needs, plan
from provider_router.routing.recording import Scribe
from provider_router.routing.snapshot import ProviderView, Snapshot
from provider_router.store.trails import RequestRecord, Trail


class Place:
    """A database with two providers, of which `one` is asked first."""

    def __init__(self, folder: Path, plugins: Plugins) -> None:
        self.database = folder / "router.db"
        self.plugins = plugins
        self.admin = Admin(self.database, plugins=plugins)
        self.one, self.two = Backend(answers("one")), Backend(answers("two"))

    def __enter__(self) -> Place:
        for name, backend, priority in (("one", self.one, 9), ("two", self.two, 1)):
            backend.__enter__()
            config = {"baseURL": backend.base_url, "defaultModel": "m"}
            self.admin.providers.add(name, type="quick", priority=priority, config=config)
        return self

    def __exit__(self, *_: object) -> None:
        for backend in (self.one, self.two):
            backend.__exit__(None, None, None)
        self.admin.close()

    def router(self, **options: Any) -> AsyncRouter:
        return AsyncRouter(self.database, plugins=self.plugins, **options)

    def requests(self) -> list[RequestRecord]:
        """What was recorded, oldest first."""
        with History(self.database) as history:
            return list(reversed(history.list()))

    def trail(self) -> Trail:
        """Of the only request."""
        [request] = self.requests()
        with History(self.database) as history:
            return history.show(request.request_id)


@pytest.fixture
def place(tmp_path: Path, quick: Any) -> Iterator[Place]:
    with Place(tmp_path, Plugins([quick])) as made:
        yield made


async def test_a_plain_answer_leaves_its_trail(place: Place) -> None:
    async with place.router() as router:
        answer = await router.chat("hi", model="qwen3", session="talk")
    trail = place.trail()
    request = trail.request
    assert answer.request_id == request.request_id
    assert ("qwen3", "one", None, "stop", False, "talk") == (
        request.model,
        request.provider,
        request.failure,
        request.finish_reason,
        request.stream,
        request.session,
    )
    usage = answer.usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, False) == (
        request.prompt_tokens,
        request.completion_tokens,
        request.estimated,
    )
    assert place.admin.revision == trail.revision
    assert ["one", "two"] == [step["provider"] for step in trail.plan["candidates"]]
    assert (None, None) == (trail.request_body, trail.response_body)


async def test_a_fallback_is_told_attempt_by_attempt(place: Place) -> None:
    place.one.script(status(401))
    async with place.router() as router:
        await router.chat("hi")
    [request] = place.requests()
    assert [("one", "auth", 401), ("two", None, None)] == [(a.provider, a.failure, a.status) for a in request.attempts]
    assert (None, "two") == (request.failure, request.provider)


async def test_a_request_that_failed_says_as_what_and_why(place: Place) -> None:
    place.one.kill()
    place.two.script(status(401))
    async with place.router() as router:
        with pytest.raises(ProviderRouterError) as caught:
            await router.chat("hi")
    [request] = place.requests()
    assert ("auth", str(caught.value.args[0])) == (request.failure, request.error)
    assert (None, None) == (request.prompt_tokens, request.completion_tokens)


async def test_an_error_names_the_request_under_which_the_history_keeps_it(place: Place) -> None:
    place.one.script(broken(after=2))
    async with place.router() as router:
        with pytest.raises(StreamInterrupted) as cut:
            async with router.stream("hi", model="m") as stream:
                async for _ in stream:
                    pass
        place.one.script(status(401))
        place.two.script(status(401))
        with pytest.raises(ProviderRouterError) as refused:
            await router.chat("hi", model="m")
        with pytest.raises(ProviderRouterError) as nobody:
            await router.chat("hi", model="m", provider="none")
    recorded = [request.request_id for request in place.requests()]
    assert recorded == [cut.value.request_id, refused.value.request_id]
    assert "" == nobody.value.request_id


async def test_a_total_that_is_up_and_nobody_to_ask_are_classes_too(place: Place) -> None:
    place.one.script(silent())
    place.admin.providers.disable("two")
    async with place.router() as router:
        with pytest.raises(ProviderRouterError):
            await router.chat("hi", timeout=0.2)
        place.admin.providers.disable("one")
        with pytest.raises(ProviderRouterError):
            await router.chat("hi")
    assert ["deadline", "nobody"] == [request.failure for request in place.requests()]


async def test_a_stream_is_recorded_with_the_time_to_its_first_delta(place: Place) -> None:
    place.one.script(status(401))
    async with place.router() as router:
        async with router.stream("hi", stream_options={"include_usage": True}) as stream:
            chunks = [chunk async for chunk in stream]
        assert chunks
    [request] = place.requests()
    assert (True, "two", None, "stop") == (request.stream, request.provider, request.failure, request.finish_reason)
    first, second = request.attempts
    assert first.first_delta is None
    assert second.first_delta is not None
    assert request.first_delta is not None
    assert second.first_delta <= request.first_delta <= request.duration + 0.001


async def test_tokens_that_no_backend_told_are_estimated_and_marked(place: Place) -> None:
    async with place.router() as router:
        async with router.stream("how are you today, my friend?") as stream:
            chunks = [chunk async for chunk in stream]
    [request] = place.requests()
    assert (True, len(chunks)) == (request.estimated, request.completion_tokens)
    assert request.prompt_tokens


async def test_a_caller_who_goes_away_is_recorded_with_what_was_used(place: Place) -> None:
    async with place.router() as router:
        async with router.stream("hi") as stream:
            await anext(stream)
        place.one.script(silent())
        async with anyio.create_task_group() as group:
            group.start_soon(router.chat, "hi")
            assert await anyio.to_thread.run_sync(place.one.wait_until, lambda backend: len(backend.requests) == 2)
            group.cancel_scope.cancel()
    streamed, plain = place.requests()
    assert ("cancelled", True, 1) == (streamed.failure, streamed.estimated, streamed.completion_tokens)
    assert ("cancelled", ["cancelled"]) == (plain.failure, [attempt.failure for attempt in plain.attempts])


async def test_an_upstream_that_breaks_in_the_middle_of_a_stream_hangs_nobody_and_is_logged(place: Place) -> None:
    # The old system: the client waited for ever, and nothing was written down of it.
    place.one.script(broken(after=3))
    seen = ""
    with anyio.fail_after(10), pytest.raises(StreamInterrupted):
        async with place.router() as router, router.stream("hi") as stream:
            async for chunk in stream:
                seen += chunk.text
    [request] = place.requests()
    assert seen
    assert ("one", "truncated", True) == (request.provider, request.failure, request.stream)
    assert [("one", "truncated")] == [(attempt.provider, attempt.failure) for attempt in request.attempts]


async def test_a_client_that_leaves_a_stream_ends_it_upstream_and_is_logged(place: Place) -> None:
    # The old system: the upstream call went on, and nothing was written down of it.
    place.one.script(answers("word " * 500, pace=0.02))
    async with place.router() as router, router.stream("hi") as stream:
        await anext(stream)
    assert place.one.wait_until(lambda backend: backend.hang_ups == 1)
    assert ["cancelled"] == [request.failure for request in place.requests()]


async def test_no_session_is_deleted_when_a_router_starts(place: Place) -> None:
    # The old system's proxy: its start deleted every session in the shared database, and with them every request.
    for _ in range(3):
        async with place.router() as router:
            await router.chat("hi", session="mine")
        with closing(sqlite3.connect(history_path(place.database))) as file, file:
            file.execute("UPDATE sessions SET expires_at = 1")
    with History(place.database) as history:
        assert ["mine"] * 3 == [session.name for session in history.sessions()]
        assert 3 == len(history.list())


async def test_embeddings_and_completions_are_recorded_under_their_paths(place: Place) -> None:
    async with place.router() as router:
        for call in (router.embed({"model": "m", "input": "hi"}), router.complete({"model": "m", "prompt": "hi"})):
            try:
                await call
            except ProviderRouterError:  # whatever the backend makes of it
                pass
    assert ["/v1/embeddings", "/v1/completions"] == [request.path for request in place.requests()]


def test_the_blocking_face_records_too_and_says_how_it_went(place: Place) -> None:
    with Router(place.database, plugins=place.plugins) as router:
        router.chat("hi")
        with router.stream("hi") as stream:
            assert list(stream)
        assert router.recording.enabled
    assert [False, True] == [request.stream for request in place.requests()]


async def test_what_was_recorded_is_counted(place: Place) -> None:
    router = place.router()
    for _ in range(3):
        await router.chat("hi")
    await router.aclose()
    assert (3, 0, 0, "") == (
        router.recording.written,
        router.recording.waiting,
        router.recording.lost,
        router.recording.trouble,
    )


async def test_prices_of_a_link_make_costs(place: Place) -> None:
    place.admin.models.add("priced")
    place.admin.links.link("one", "priced", input_price=2.0, output_price=10.0)
    async with place.router() as router:
        await router.chat("hi", model="priced")
    [request] = place.requests()
    assert request.prompt_tokens is not None
    assert request.completion_tokens is not None
    expected = (request.prompt_tokens * 2 + request.completion_tokens * 10) / 1e6
    assert expected == pytest.approx(request.cost)
    assert expected == pytest.approx(request.attempts[-1].cost)


@pytest.mark.parametrize(("setting", "kept"), [("off", []), ("errors", ["fell"]), ("all", ["fine", "fell"])])
async def test_bodies_are_kept_as_the_setting_says(place: Place, setting: str, kept: list[str]) -> None:
    place.admin.settings.set("history.bodies", setting)
    async with place.router() as router:
        await router.chat("fine", session="talk")
        place.one.script(status(401))
        async with router.stream("fell") as stream:
            assert [chunk async for chunk in stream]
    with History(place.database) as history:
        trails = [history.show(request.request_id) for request in reversed(history.list())]
        first_message = history.sessions()[0].first_user_message
    assert kept == [t.request_body["messages"][0]["content"] for t in trails if t.request_body]
    assert len(kept) == len([t for t in trails if t.response_body and t.response_body["choices"]])
    assert ("fine" if setting == "all" else "") == first_message


async def test_no_secret_comes_into_the_history(tmp_path: Path, place: Place) -> None:
    secret = "a-key-that-nobody-may-see"
    place.admin.settings.set("history.bodies", "all")
    place.admin.providers.edit("one", config={"apiKey": secret})
    place.one.script(status(400, {"error": {"message": f"what is {secret}?"}}))
    async with place.router() as router:
        with pytest.raises(ProviderRouterError):
            await router.chat(f"my key is {secret}", session="talk")
    assert place.trail().request_body
    files = [path async for path in anyio.Path(tmp_path).glob("*.history.db*")]
    assert files
    for path in files:
        assert secret.encode() not in await path.read_bytes()


async def test_a_router_may_be_told_to_record_nothing(place: Place) -> None:
    async with place.router(history=False) as router:
        await router.chat("hi")
        assert not router.recording.enabled
    assert [] == place.requests()


async def test_the_setting_is_heeded_from_the_next_request_on(place: Place) -> None:
    async with place.router() as router:
        await router.chat("hi")
        place.admin.settings.set("history.enabled", "false")
        await router.chat("hi")
        assert not router.recording.enabled
        place.admin.settings.unset("history.enabled")
        await router.chat("hi")
    assert 2 == len(place.requests())


async def test_without_a_database_nothing_is_recorded(quick: Any, prouter_home: Path) -> None:
    with Backend(answers("one")) as backend:
        async with AsyncRouter(providers=[quick("desk", base_url=backend.base_url)]) as router:
            await router.chat("hi", session="talk")
            assert not router.recording.enabled
    assert not await anyio.Path(prouter_home).exists()


async def test_a_session_without_a_name_is_refused(place: Place) -> None:
    async with place.router() as router:
        with pytest.raises(ValueError, match="session"):
            await router.chat("hi", session="")


async def test_what_no_column_can_hold_costs_that_request_alone(place: Place) -> None:
    async with place.router() as router:
        await router.chat("hi", session="fine")
        await router.chat("hi", session="half \ud800")
        await router.chat("hi", session="fine")
    assert (2, 1) == (len(place.requests()), router.recording.lost)


async def test_estimates_of_a_provider_stay_marked(tmp_path: Path, quick: Any) -> None:
    class Guessing(quick):  # type: ignore[misc]
        type = "guessing"

        async def chat(self, request: Any) -> ChatResponse:
            usage = Usage(prompt_tokens=3, completion_tokens=4, estimated=True)
            return ChatResponse.of(text="hi", model="m", usage=usage)

        async def stream(self, request: Any) -> Any:
            yield ChatChunk.of("hi", finish_reason="stop")

    database, plugins = tmp_path / "router.db", Plugins([Guessing])
    with Admin(database, plugins=plugins) as admin:
        admin.providers.add("guess", type="guessing", config={"baseURL": "http://127.0.0.1:9/v1", "defaultModel": "m"})
    async with AsyncRouter(database, plugins=plugins) as router:
        await router.chat("hi")
    with History(database) as history:
        [request] = history.list()
    assert (3, 4, True) == (request.prompt_tokens, request.completion_tokens, request.estimated)


@pytest.mark.posix
def test_a_forked_child_records_with_a_writer_of_its_own(place: Place) -> None:
    with Router(place.database, plugins=place.plugins) as router:
        router.chat("hi", session="parent")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                router.chat("hi", session="child")
                router.close()
                code = 0
            finally:
                os._exit(code)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert {"parent", "child"} == {request.session for request in place.requests()}
    assert 2 == len(place.requests())


async def test_a_plan_recomputes_from_its_trail_and_differs_with_another_configuration(place: Place) -> None:
    from provider_router.store import Store

    place.admin.settings.set("routing.strategy", "weighted")
    place.admin.providers.edit("two", priority=9)
    with Store.open(place.database) as store:
        then = store.read()
        async with place.router() as router:
            for _ in range(24):  # that chance gives one order alone is then no matter of luck
                await router.chat("hi")
        place.admin.providers.disable("one")
        now = store.read()
    with History(place.database) as history:
        requests = history.list()
        orders = set()
        for request in requests:
            recorded = [step["provider"] for step in history.show(request.request_id).plan["candidates"]]
            again = history.replan(request.request_id, then, plugins=place.plugins)
            assert recorded == [step.provider for step in again.candidates]
            orders.add(tuple(recorded))
            other = history.replan(request.request_id, now, plugins=place.plugins)
            assert ["two"] == [step.provider for step in other.candidates]
            assert ["disabled"] == [step.reason for step in other.skipped]
    assert {("one", "two"), ("two", "one")} == orders


async def test_of_many_providers_only_the_first_of_a_plan_are_kept(place: Place, tmp_path: Path) -> None:
    with place.admin.atomic():
        for number in range(120):
            place.admin.providers.add(f"other-{number}", type="quick", config={"baseURL": place.two.base_url})
            place.admin.providers.disable(f"other-{number}")
    async with place.router() as router:
        await router.chat("hi")
    plan = place.trail().plan
    assert (2, 100, 20) == (len(plan["candidates"]), len(plan["skipped"]), plan["more"])
    with sqlite3.connect(tmp_path / "router.history.db") as raw:
        assert plan == json.loads(raw.execute("SELECT plan FROM plans").fetchone()[0])
    raw.close()


def test_plans_that_share_no_candidates_are_not_kept() -> None:
    views = tuple(ProviderView(id=f"p{number:04}", max_parallel=4) for number in range(2000))
    snapshot, health, scribe = Snapshot(providers=views), Health(), Scribe()

    def describe(times: int) -> None:
        for _ in range(times):
            scribe._plan(plan(Needs(model="m"), snapshot, health, now=0.0, at=datetime(2026, 1, 1, tzinfo=UTC)))

    describe(1)
    tracemalloc.start()
    try:
        describe(60)
        assert tracemalloc.get_traced_memory()[0] < 300_000  # 16 KB each
    finally:
        tracemalloc.stop()
