"""What is learnt from a backend's list of models: its first one, and how many calls it serves at once."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

import anyio
import anyio.to_thread
from attrs import evolve

from provider_router import AsyncRouter
from provider_router.backends import Backend, answers, slow
from provider_router.plugin import ModelInfo


async def test_how_many_calls_a_backend_serves_is_learnt_beside_the_first_silent_one(hasty: Any) -> None:
    class Telling(hasty):  # type: ignore[misc]
        """A backend nearby that says with its models how many calls it serves at once."""

        async def models(self) -> list[ModelInfo]:
            return [evolve(model, parallel=1) for model in await super().models()]

    learnt, told = threading.Event(), threading.Event()
    replies = [slow(answers("one"), by=event) for event in (learnt, told)]
    with Backend(*replies) as one, Backend(answers("two")) as two:
        patient = {"timeout": 20.0, "first_token_timeout": 20.0, "connect_timeout": 20.0}
        providers = [Telling(name, base_url=where.base_url, **patient) for name, where in (("a", one), ("b", two))]
        async with AsyncRouter(providers=providers) as r:

            async def first() -> None:
                assert (await r.chat("hi", model="m")).provider == "a"  # silent for longer than checkAfter

            async with anyio.create_task_group() as group:
                group.start_soon(first)
                with anyio.fail_after(20):
                    while "full" not in [step.state for step in await r.plan("m")]:  # noqa: ASYNC110 - nobody tells
                        await anyio.sleep(0.005)
                learnt.set()
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: r.chat("hi", model="m"))
                assert await anyio.to_thread.run_sync(
                    lambda: one.wait_until(lambda seen: len([q for q in seen.requests if q.method == "POST"]) == 2)
                )
                assert [(step.provider, step.state) for step in await r.plan("m")] == [("b", "ready"), ("a", "full")]
                assert (await r.chat("hi", model="m")).provider == "b"
                told.set()


async def test_a_plan_without_a_model_names_the_first_that_each_backend_lists(quick: Any) -> None:
    class Costly(quick):  # type: ignore[misc]
        """Whose list is not asked for without need."""

        free_check: ClassVar[bool] = False

    with Backend(models=("pelican-7b", "other")) as one, Backend(models=()) as two, Backend() as three:
        providers = [
            quick("lists", base_url=one.base_url),
            quick("lists-none", base_url=two.base_url),
            quick("gone", base_url=three.base_url),
            Costly("costly", base_url=one.base_url),
            quick("configured", base_url=one.base_url, default_model="mine"),
        ]
        three.kill()
        async with AsyncRouter(providers=providers) as r:
            for _ in range(2):
                named = {step.provider: step.model for step in await r.plan()}
                assert named == {
                    "lists": "pelican-7b",
                    "lists-none": None,
                    "gone": None,
                    "costly": None,
                    "configured": "mine",
                }
    assert len(one.requests) == 1  # remembered for a minute
