"""Slots, strategies and the settings of a request over real sockets and a real database, as a user has them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.to_thread import run_sync

from provider_router import Admin, AsyncRouter, ProviderError, StreamInterrupted
from provider_router.backends import Backend, Request, Step, Until, answers, broken, status
from provider_router.errors import Busy
from provider_router.providers.plugins import Plugins

PATIENCE = 10.0  # seconds until everybody must stand in the line


class Held:
    """A backend that answers each prompt when it is told to."""

    def __init__(self, opened: ExitStack) -> None:
        self._leave: dict[str, threading.Event] = {}
        self.backend = opened.enter_context(Backend(self._reply))

    def _reply(self, request: Request) -> Iterator[Step]:
        prompt = request.json["messages"][-1]["content"]
        yield Until(self._leave.setdefault(prompt, threading.Event()))
        yield from answers(prompt)(request)

    @property
    def asked(self) -> list[str]:
        return [request.json["messages"][-1]["content"] for request in self.backend.requests]

    async def gets(self, prompt: str) -> None:
        """Wait until it was asked this, last of all."""
        assert await run_sync(lambda: self.backend.wait_until(lambda _: self.asked[-1:] == [prompt]))

    def let_go(self, prompt: str) -> None:
        self._leave.setdefault(prompt, threading.Event()).set()


@pytest.fixture
def place(tmp_path: Path, quick: Any) -> Iterator[Any]:
    """A database, and how to open a router on it."""
    plugins = Plugins([quick])

    class Place:
        admin = Admin(tmp_path / "router.db", plugins=plugins)

        def add(self, id: str, backend: Backend, **config: Any) -> None:
            self.admin.providers.add(id, type="quick", config={"baseURL": backend.base_url, **config})

        def router(self) -> AsyncRouter:
            return AsyncRouter(tmp_path / "router.db", plugins=plugins, seed=4)

    with Place.admin:
        yield Place()


async def waiting(router: AsyncRouter, requests: int) -> None:
    """Wait until so many stand in the line."""
    with anyio.fail_after(PATIENCE):
        while len(router.registry.health.line) < requests:  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.002)


async def test_a_full_provider_is_passed_over_and_when_all_are_full_the_first_in_line_has_the_first_slot(
    place: Any,
) -> None:
    with ExitStack() as opened:
        one, two = Held(opened), Held(opened)
        place.add("one", one.backend, maxParallel=1)
        place.add("two", two.backend, maxParallel=1)
        served: dict[str, str] = {}
        async with place.router() as router, anyio.create_task_group() as callers:

            async def ask(prompt: str) -> None:
                served[prompt] = (await router.chat(prompt, model="m")).provider

            callers.start_soon(ask, "1st")
            await one.gets("1st")
            callers.start_soon(ask, "2nd")
            await two.gets("2nd")
            assert {step.state for step in await router.plan("m")} == {"full"}
            for place_in_line, prompt in enumerate(("3rd", "4th", "5th"), 1):
                callers.start_soon(ask, prompt)
                await waiting(router, place_in_line)
            two.let_go("2nd")
            await two.gets("3rd")
            one.let_go("1st")
            await one.gets("4th")
            one.let_go("4th")
            await one.gets("5th")
            one.let_go("5th")
            two.let_go("3rd")
    assert served == {"1st": "one", "2nd": "two", "3rd": "two", "4th": "one", "5th": "one"}


async def test_who_waits_for_a_slot_longer_than_the_longest_wait_is_told_to_come_back(place: Any) -> None:
    place.admin.settings.set("routing.maxWait", "100ms")
    with ExitStack() as opened:
        one = Held(opened)
        place.add("one", one.backend, maxParallel=1)
        async with place.router() as router, anyio.create_task_group() as callers:
            callers.start_soon(lambda: router.chat("1st", model="m"))
            await one.gets("1st")
            with pytest.raises(Busy, match="none fell free within 100 ms") as caught:
                await router.chat("2nd", model="m")
            one.let_go("1st")
        assert caught.value.retry_after
        assert (caught.value.attempts, one.asked) == ((), ["1st"])


async def test_a_conversation_goes_elsewhere_only_while_its_home_is_full_and_stays_there(place: Any) -> None:
    place.admin.settings.set("routing.strategy", "affinity")
    with ExitStack() as opened:
        backends = {name: Held(opened) for name in ("one", "two")}
        for name, held in backends.items():
            place.add(name, held.backend, maxParallel=1)
        async with place.router() as router, anyio.create_task_group() as callers:

            async def turn(said: str) -> str:
                messages = [{"role": "user", "content": "Tell me of pelicans."}, {"role": "user", "content": said}]
                for held in backends.values():
                    held.let_go(said)
                return (await router.chat(messages, model="m")).provider

            home = await turn("a")
            [other] = backends.keys() - {home}
            assert await turn("b") == home
            stuck = [{"role": "user", "content": "Tell me of pelicans."}, {"role": "user", "content": "stuck"}]
            callers.start_soon(lambda: router.chat(stuck, model="m"))
            await backends[home].gets("stuck")
            assert await turn("c") == other
            assert await turn("d") == other
            backends[home].let_go("stuck")


async def test_the_least_busy_one_is_asked_first(place: Any) -> None:
    place.admin.settings.set("routing.strategy", "least-busy")
    with ExitStack() as opened:
        one, two = Held(opened), Held(opened)
        place.add("one", one.backend)
        place.add("two", two.backend)
        async with place.router() as router, anyio.create_task_group() as callers:
            for prompt, held in (("1st", one), ("2nd", two), ("3rd", one), ("4th", two)):
                callers.start_soon(lambda prompt=prompt: router.chat(prompt, model="m"))
                await held.gets(prompt)
            for prompt, held in (("1st", one), ("2nd", two), ("3rd", one), ("4th", two)):
                held.let_go(prompt)


async def test_by_weight_each_link_has_its_share(place: Any) -> None:
    place.admin.settings.set("routing.strategy", "weighted")
    place.admin.models.add("m")
    with Backend(answers("hi")) as one, Backend(answers("hi")) as two:
        place.add("one", one)
        place.add("two", two)
        place.admin.links.link("one", "m", weight=1)
        place.admin.links.link("two", "m", weight=4)
        async with place.router() as router:
            served = Counter([(await router.chat("hi", model="m")).provider for _ in range(60)])
    assert 4 <= served["one"] <= 24  # 12 are due


async def test_the_settings_of_a_request_hold_unless_the_call_says_otherwise(place: Any) -> None:
    with Backend(status(400)) as one, Backend(answers("two", model="other-7b")) as two:
        place.add("one", one)
        place.add("two", two)
        for name, value in (("fallbackOn", "bad_request"), ("guards", "off"), ("maxAttempts", 2)):
            place.admin.settings.set(f"routing.{name}", value)
        async with place.router() as router:
            answer = await router.chat("hi", model="m")
            assert (answer.provider, answer.warnings) == ("two", ())
            assert len((await router.chat("hi", model="m", guards="warn")).warnings) == 1
            for call in ({"fallback_on": []}, {"max_attempts": 1}):
                with pytest.raises(ProviderError) as caught:
                    await router.chat("hi", model="m", **call)
                assert [attempt.provider for attempt in caught.value.attempts] == ["one"]


async def test_a_cut_stream_is_replayed_where_the_setting_says_so(place: Any) -> None:
    place.admin.settings.set("routing.resume", "replay")
    with Backend(broken(after=2)) as one, Backend(answers("One pelican flew over the quiet harbour.")) as two:
        place.add("one", one)
        place.add("two", two)
        async with place.router() as router:
            async with router.stream("hi", model="m") as stream:
                assert "".join([chunk.text async for chunk in stream]) == "One pelican flew over the quiet harbour."
            with pytest.raises(StreamInterrupted):
                async with router.stream("hi", model="m", resume="error") as stream:
                    async for _ in stream:
                        pass
