"""Waiting for a free slot: in arrival order, nobody forgotten."""

from __future__ import annotations

import anyio

from provider_router.routing.line import Line
from provider_router.routing.slots import SlotQueue


def test_a_slot_is_kept_for_those_who_came_before() -> None:
    line = Line()
    first, second = line.join(), line.join()
    first.pools, second.pools = frozenset("ab"), frozenset("b")
    assert [line.ahead("b", turn) for turn in (first, second, None)] == [0, 1, 2]
    assert [line.ahead("a", turn) for turn in (first, second, None)] == [0, 1, 1]
    line.leave(first)
    line.leave(first)
    assert (len(line), line.ahead("b", second)) == (1, 0)


async def test_everybody_is_woken_when_a_slot_falls_free() -> None:
    queue, woken = SlotQueue(), []

    async def wait(name: str) -> None:
        await queue.wait(60)
        woken.append(name)

    queue.wake()  # nobody sleeps
    async with anyio.create_task_group() as group:
        for name in "ab":
            group.start_soon(wait, name)
        await anyio.wait_all_tasks_blocked()
        queue.wake()
    assert sorted(woken) == ["a", "b"]


async def test_the_wait_ends_with_its_time() -> None:
    queue = SlotQueue()
    await queue.wait(0.0)
    queue.wake()
