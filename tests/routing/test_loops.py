"""One router over several event loops, one after another."""

from __future__ import annotations

import subprocess
import sys

from provider_router.backends import Backend, answers


def test_a_router_that_outlives_its_event_loops_leaves_no_socket_open() -> None:
    program = """
import asyncio, gc, sys, trio
from provider_router import AsyncRouter
from provider_router.plugin import OpenAICompatibleProvider

class Plain(OpenAICompatibleProvider):
    type = "plain"

async def ask(router):
    return (await router.chat("hi", model="m")).text

router = AsyncRouter(providers=[Plain("a", base_url=sys.argv[1])])
for run in (asyncio.run, asyncio.run, trio.run, asyncio.run):
    assert run(ask, router) == "Hello" if run is trio.run else run(ask(router)) == "Hello"
    gc.collect()
"""
    with Backend(answers("Hello")) as one:
        command = [sys.executable, "-W", "error", "-c", program, one.base_url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.returncode) == ("", 0)
